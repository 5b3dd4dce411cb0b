"""What a sweep was to take, and what it took."""

from collections.abc import Sequence
from dataclasses import dataclass

from peoria.records.folder import SweepFolder
from peoria.records.schema import PlannedWork, TrialWorker
from peoria.records.trials import TrialRecord
from peoria.sweep.workload import seen


@dataclass(frozen=True)
class PlanOutcome:
    """The plan that the record was begun with, beside its trials."""

    planned: PlannedWork
    trainings: int
    pictures: int
    trial_seconds: float
    """From the start of each training's last worker to its end: what an earlier worker did before it was lost is not among it."""

    @property
    def rows(self) -> list[tuple[str, float, float | None]]:
        """(what, found, planned)"""
        return [
            ("trainings", self.trainings, self.planned.trainings),
            ("train pictures seen", self.pictures, self.planned.pictures),
            ("seconds of trials", self.trial_seconds, self.planned.trial_seconds),
        ]


def plan_outcome(folder: SweepFolder, trials: Sequence[TrialRecord]) -> PlanOutcome | None:
    """None of a sweep that was begun without one."""
    planned = PlannedWork.read_if_there(folder.plan)
    if planned is None:
        return None
    ended = [(trial, TrialWorker.read_if_there(trial.folder.worker)) for trial in trials if trial.ended_at is not None]
    seconds = sum(trial.ended_at - worker.started_at for trial, worker in ended if trial.ended_at is not None and worker is not None)
    return PlanOutcome(planned, len(ended), sum(seen(trial) for trial, _ in ended), seconds)
