"""All groups of figures, in the order in which they run."""

from collections.abc import Iterable

from benchmarks.demo_sweep import demo_sweep
from benchmarks.figures import Figure, Group, Measured, Setting, not_run
from benchmarks.first_pass import first_pass, later_pass
from benchmarks.gpu import gpu
from benchmarks.memory import data_memory
from benchmarks.packing import packing
from benchmarks.sweeps import further_trial
from benchmarks.training import tiny_training, whole_trial

LATER = (
    Figure("frozen_trunk", "heads on a frozen trunk, against fine-tuning all of it", None, None),
    Figure("searcher_regret", "what the searcher finds, against random search", None, None),
)


def later(setting: Setting) -> Iterable[Measured]:
    return not_run(LATER, "not measured yet")


GROUPS: dict[str, Group] = {
    "first_pass": first_pass,
    "later_pass": later_pass,
    "tiny_training": tiny_training,
    "whole_trial": whole_trial,
    "further_trial": further_trial,
    "packing": packing,
    "demo_sweep": demo_sweep,
    "data_memory": data_memory,
    "gpu": gpu,
    "later": later,
}
