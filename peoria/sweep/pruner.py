"""Asynchronous successive halving as a pure function of the stored values."""

import optuna
from optuna.trial import FrozenTrial

from peoria.config.trial import TrialConfig


def rungs(config: TrialConfig, reduction_factor: int) -> tuple[int, ...]:
    """The rungs of successive halving: pictures seen where trials are compared, ascending; the first evaluations at or after length / factor^k."""
    points = config.evaluation_points()
    found: set[int] = set()
    wanted = config.pictures / reduction_factor
    while wanted * reduction_factor > points[0]:
        step = next(point for point in points if point >= wanted)
        if step < config.pictures:
            found.add(step)
        wanted /= reduction_factor
    return tuple(sorted(found))


class RungPruner(optuna.pruners.BasePruner):
    """Asynchronous successive halving (ASHA; Li et al. 2020, arXiv 1810.05934) as a pure function of the stored values.

    At a rung, the best ``1/reduction_factor`` of all trials that have reached it go on; fewer trials than ``reduction_factor`` all go on.
    Optuna's own pruner keeps in the storage that a rung was passed before it answers, so a kill in between would let a bad trial go on.
    """

    def __init__(self, rungs: tuple[int, ...], reduction_factor: int) -> None:
        self.rungs = rungs
        self.reduction_factor = reduction_factor

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        if step not in self.rungs:
            return False
        reached = [t.intermediate_values[step] for t in study.get_trials(deepcopy=False) if step in t.intermediate_values]
        if len(reached) < self.reduction_factor:
            return False
        return trial.intermediate_values[step] < sorted(reached, reverse=True)[len(reached) // self.reduction_factor - 1]
