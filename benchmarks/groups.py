"""All groups of figures, in the order in which they run."""

from benchmarks.figures import Group
from benchmarks.first_pass import first_pass, later_pass

GROUPS: dict[str, Group] = {
    "first_pass": first_pass,
    "later_pass": later_pass,
}
