"""Asynchronous successive halving as a pure function of the stored values."""

import bisect
from collections.abc import Iterable, Sequence

import optuna
from optuna.trial import FrozenTrial

from peoria.config.sweep import Sweep


def sweep_rungs(sweep: Sweep) -> tuple[int, ...]:
    """Pictures seen where a sweep's trials, which all have one length, are compared, ascending; () of one that prunes nothing."""
    return sweep.trial({"task": sweep.space.task[0], "learning_rate": 1e-3}, seed=0, threads=1).rung_points()


def falls_behind(value: float, reached: Sequence[float], reduction_factor: int) -> bool:
    """Whether a trial with ``value`` at a rung is not among the best ``1/reduction_factor`` of the values there, its own included, ascending."""
    num = len(reached)
    return num >= reduction_factor and value < reached[num - num // reduction_factor]


class RungPruner(optuna.pruners.BasePruner):
    """Asynchronous successive halving (ASHA; Li et al. 2020, arXiv 1810.05934) as a pure function of the stored values.

    At a rung, the best ``1/reduction_factor`` of all trials that have reached it go on; fewer trials than ``reduction_factor`` all go on.
    Optuna's own pruner keeps in the storage that a rung was passed before it answers, so a kill in between would let a bad trial go on.
    """

    def __init__(self, rungs: tuple[int, ...], reduction_factor: int) -> None:
        self.rungs = rungs
        self.reduction_factor = reduction_factor
        self._reached: dict[int, list[float]] | None = None  # values at each rung, ascending; None: read from the study each time

    def remember(self, trials: Iterable[FrozenTrial]) -> None:
        """Of all ``trials`` of the study; from here on whoever enters a value there tells it by `entered`."""
        self._reached = {step: [] for step in self.rungs}
        for trial in trials:
            for step, value in trial.intermediate_values.items():
                self.entered(step, value)

    def entered(self, step: int, value: float) -> None:
        if self._reached is not None and step in self._reached:
            bisect.insort(self._reached[step], value)

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        if step not in self.rungs:
            return False
        if self._reached is None:
            reached = sorted(t.intermediate_values[step] for t in study.get_trials(deepcopy=False) if step in t.intermediate_values)
        else:
            reached = self._reached[step]
        return falls_behind(trial.intermediate_values[step], reached, self.reduction_factor)
