"""What a sweep's own run shows while trials end: the best so far, and who leads or won."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from peoria.records.schema import SweepRecord
from peoria.records.selection import FURTHER_ENDS, SEARCH_ENDS, TARGET_METRICS, Choice, Standings, choose, to_begin
from peoria.tracking.curves import OBJECTIVE, MetricPoint, Thinning, is_finite

if TYPE_CHECKING:
    from peoria.tracking.runs import TrackedRun

PREFIX = "best_by_objective/"


@dataclass(frozen=True)
class TrialEnd:
    """What the sweep's own run needs of a trial: one that is over is not read again."""

    key: str
    searched: bool
    running: bool
    length: int  # pictures that its curves reach or will reach
    pictures: int = 0  # seen by its end
    status: str = "running"
    objective: float | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    ended_at: float | None = None
    again: "TrackedRun | None" = None
    """Of a training with a fresh seed: its run."""

    @property
    def counts(self) -> bool:
        """Towards the search."""
        return self.searched and self.ended_at is not None

    def by_end(self) -> tuple[float, str]:
        return (self.ended_at or 0.0, self.key)


class BestSoFar:
    """The searched trials that have ended, entered in the order of their ends: at step n the metrics of the trial that is best by objective among
    the first n; and who won, by what fresh seeds reached."""

    def __init__(self) -> None:
        self._ends: dict[str, TrialEnd] = {}
        self._num_counted, self._seen = 0, 0
        self._running: set[str] = set()  # of the search
        self._fresh: dict[str, dict[str, float]] = {}  # by key: the last metrics of fresh seeds that have ended, {} of one that diverged
        self._last = (0.0, "")
        self._standings = Standings()
        self._curve = Thinning(None)

    @classmethod
    def of(cls, trials: Iterable[TrialEnd]) -> "BestSoFar":
        """Of all trials of a sweep; those that do not count are left out."""
        found, trials = cls(), list(trials)
        found.look(trials)
        for trial in sorted((trial for trial in trials if trial.counts), key=TrialEnd.by_end):
            found.add(trial)
        return found

    def look(self, trials: Iterable[TrialEnd]) -> None:
        """Takes in what the choice of the winners needs of trials beside those that `add` enters; in any order."""
        for trial in trials:
            if trial.searched:
                (self._running.add if trial.running else self._running.discard)(trial.key)
            elif trial.again is not None:
                self._fresh.pop(trial.key, None)
                self._fresh |= {trial.key: trial.metrics if trial.status == "done" else {}} if trial.status in FURTHER_ENDS else {}

    def add(self, trial: TrialEnd) -> bool:
        """Whether it could be entered: one that ended before another that is in, or is in itself, cannot."""
        if trial.key in self._ends or trial.by_end() < self._last:
            return False
        self._ends[trial.key], self._last = trial, trial.by_end()
        self._num_counted, self._seen = self._num_counted + (trial.status in SEARCH_ENDS), self._seen + trial.pictures
        if trial.status == "done" and trial.objective is not None:
            self._standings.add(trial.key, trial.objective, trial.metrics)
        values: dict[str, float] = {}
        if (best := self.best) is not None:  # what trials of any task have; a loss, or a constant's, is of the best one's own task
            of_val = {PREFIX + name: float(best.metrics[name]) for name in TARGET_METRICS.values() if is_finite(best.metrics.get(name))}
            values = {PREFIX + OBJECTIVE: float(best.objective or 0.0)} | of_val
        step = len(self._ends)
        self._curve.add(MetricPoint(step, values | {"trials_ended": float(step)}))
        return True

    def end_of(self, key: str) -> TrialEnd | None:
        return self._ends.get(key)

    @property
    def best(self) -> TrialEnd | None:
        return next((self._ends[key] for key in self._standings.best(1)), None)

    def choice(self, sweep: SweepRecord) -> Choice:
        """Of the trials so far."""
        over = not self._running and not to_begin(sweep.trials, sweep.pictures, ended=self._num_counted, seen=self._seen)
        return choose(self._standings, self._fresh, seeds=sweep.seeds, over=over)

    def said(self, choice: Choice) -> dict[str, str]:
        """By target, the key of its winner, or of who leads, and the measure that chose it."""
        return {target: f"{key}, {choice.said(target, self._ends[key].metrics)}" for target, key in (choice.leaders | choice.winners).items()}

    def points(self, *, ended: bool) -> tuple[MetricPoint, ...]:
        return self._curve.points(ended=ended)
