"""A sweep's trials, read from its folder: needs neither Optuna nor Ray."""

from dataclasses import dataclass
from typing import Literal

from peoria.config.trial import TrialConfig
from peoria.records.folder import SweepFolder, TrialFolder
from peoria.records.points import read_points
from peoria.records.schema import Purpose, TrialOutcome, TrialStart, TrialStatus


@dataclass(frozen=True)
class TrialRecord:
    """One trial as its folder tells it: `TrialStart` and, where it has ended, `TrialOutcome`."""

    key: str
    label: str
    purpose: Purpose
    of: str | None  # of a follow-up: the searched trial whose settings it has
    config: TrialConfig
    status: Literal["running"] | TrialStatus
    objective: float | None
    metrics: dict[str, float]  # of the last evaluation
    error: str | None  # of one that failed or diverged
    started_at: float  # unix seconds
    ended_at: float | None
    folder: TrialFolder
    pictures: int = 0  # seen by its end, `TrialOutcome.pictures`; 0 of one that has not ended

    def points(self) -> list[tuple[int, dict[str, float]]]:
        return read_points(self.folder.points)


def read_trial(folder: TrialFolder) -> TrialRecord:
    """
    Raises:
        RecordError: a file of it cannot be read.
    """
    start, outcome = TrialStart.read(folder.start), TrialOutcome.read_if_there(folder.outcome)
    return TrialRecord(
        key=folder.key,
        label=start.label,
        purpose=start.purpose,
        of=start.of,
        config=start.config,
        status="running" if outcome is None else outcome.status,
        objective=None if outcome is None else outcome.objective,
        metrics={} if outcome is None else outcome.metrics,
        error=None if outcome is None else outcome.error,
        pictures=0 if outcome is None else outcome.pictures,
        started_at=start.started_at,
        ended_at=None if outcome is None else outcome.ended_at,
        folder=folder,
    )


def read_trials(folder: SweepFolder) -> list[TrialRecord]:
    """All trials that were begun, by key; raises as `read_trial`."""
    return [read_trial(trial) for trial in folder.trials()]
