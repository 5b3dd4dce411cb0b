"""All groups of figures, in the order in which they run."""

from benchmarks.figures import Group
from benchmarks.first_pass import first_pass, later_pass
from benchmarks.packing import packing
from benchmarks.training import tiny_training, whole_trial

GROUPS: dict[str, Group] = {
    "first_pass": first_pass,
    "later_pass": later_pass,
    "tiny_training": tiny_training,
    "whole_trial": whole_trial,
    "packing": packing,
}
