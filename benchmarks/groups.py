"""All groups of figures, in the order in which they run."""

from benchmarks.demo_sweep import demo_sweep
from benchmarks.figures import Group
from benchmarks.first_pass import first_pass, later_pass
from benchmarks.frozen_trunk import frozen_trunk
from benchmarks.gpu import gpu
from benchmarks.memory import data_memory
from benchmarks.packing import packing
from benchmarks.regret import searcher_regret
from benchmarks.sweeps import further_trial
from benchmarks.training import tiny_training, whole_trial

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
    "searcher_regret": searcher_regret,
    "frozen_trunk": frozen_trunk,
}
