"""All groups of figures, in the order in which they run."""

from benchmarks.demo_sweep import demo_sweep
from benchmarks.fetching import fetching
from benchmarks.figures import Group
from benchmarks.first_pass import first_pass, later_pass
from benchmarks.frozen_trunk import frozen_trunk
from benchmarks.gpu import gpu_steps, gpu_trials
from benchmarks.memory import data_memory
from benchmarks.packing import packing
from benchmarks.packing_scale import packing_scale
from benchmarks.regret import searcher_regret
from benchmarks.sweeps import further_trial
from benchmarks.training import tiny_training, whole_trial
from benchmarks.verdict import verdict

GROUPS: dict[str, Group] = {
    "first_pass": first_pass,
    "later_pass": later_pass,
    "tiny_training": tiny_training,
    "whole_trial": whole_trial,
    "further_trial": further_trial,
    "packing": packing,
    "packing-scale": packing_scale,
    "fetch": fetching,
    "demo_sweep": demo_sweep,
    "data_memory": data_memory,
    "verdict": verdict,
    "gpu_steps": gpu_steps,
    "gpu_trials": gpu_trials,
    "searcher_regret": searcher_regret,
    "frozen_trunk": frozen_trunk,
}
ON_REQUEST = ("packing-scale",)  # an hour of its own
