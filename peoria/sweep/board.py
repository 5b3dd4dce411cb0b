"""What a running sweep looks like now, in numbers, for whoever shows it; and the screen that it is shown on."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peoria.errors import RecordError
from peoria.records.folder import SweepFolder, TrialFolder
from peoria.records.points import read_points
from peoria.records.schema import BaselineNames, SweepRecord, TrialOutcome, TrialSeen, TrialStart
from peoria.sweep.outlook import Outlook
from peoria.sweep.workload import ENOUGH_ENDED, Workload

if TYPE_CHECKING:
    from peoria.sweep.trial_store import TrialStore

WINDOW_S = 300.0  # that the pace is taken over


@dataclass(frozen=True)
class Running:
    """A trial that was handed out."""

    key: str
    label: str
    seen: int
    pictures: int
    waits: bool = False
    """It has no place yet."""


@dataclass(frozen=True)
class Best:
    """A value of the objective on val, and whose it is."""

    label: str
    value: float


@dataclass(frozen=True)
class Money:
    """Of the nodes of a cluster, by the prices of a file."""

    spent: float
    """Since this run of the sweep began."""
    an_hour: float
    currency: str
    of: str
    """The file, and the day that it is of."""


@dataclass(frozen=True)
class Now:
    """A running sweep at a moment."""

    sweep: str
    counts: Mapping[str, int]
    """`TrialStore.counts`."""
    wanted: int
    running: tuple[Running, ...]
    objective: str
    se: float
    """Standard error of the objective, of a score that knows nothing."""
    best: Best | None
    baseline: Best | None
    pictures_s: float
    left_s: float | None
    """None: not known yet."""
    nodes: int | None = None
    """That run trials, of a cluster."""
    money: Money | None = None
    waits_for: str = ""


class Screen:
    """Where a sweep is shown: its lines, and beside them what it looks like now. This one shows the lines alone."""

    every_s: float | None = None
    """Between two calls of `show`; None: it is never called."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say

    def say(self, text: str) -> None:
        self._say(text)

    def say_folded(self, text: str) -> None:
        """In lines of at most 80 characters, wherever it goes."""
        self.say(text)

    def stage(self, text: str) -> None:
        """What is done now, before there are trials to show; "" when that is over."""

    def ended(self, key: str, outcome: TrialOutcome, line: str) -> None:
        """A trial has ended; ``line`` says how."""
        self.say(line)

    def show(self, now: Now) -> None:
        """Called every `every_s` while trials run."""

    def an_hour(self, outlook: Outlook) -> tuple[float, str, str] | None:
        """What all nodes of a cluster cost together, the currency, and whose prices those are; None where a price is not known."""
        return None

    def quiet(self, log: Path) -> AbstractContextManager[Any]:
        """What others print in this block goes to ``log``."""
        return nullcontext()


_screen: Screen | None = None


@contextmanager
def shown_on(screen: Screen) -> Iterator[None]:
    """A sweep that this process runs in this block is shown there."""
    global _screen
    _screen = screen
    try:
        yield
    finally:
        _screen = None


def screen_now() -> Screen | None:
    return _screen


@dataclass
class Board:
    """Makes `Now` of what the process of a sweep knows. Called by whoever loops, in the thread that holds the store."""

    store: "TrialStore"
    work: Workload
    screen: Screen
    about: SweepRecord
    clock: Callable[[], float] = time.monotonic
    _next_s: float = 0.0
    _starts: dict[str, TrialStart] = field(default_factory=dict)
    _steps: dict[str, int] = field(default_factory=dict)  # of those that run, as counted so far
    _total: int = 0  # pictures since the run began
    _marks: deque[tuple[float, int]] = field(default_factory=deque)
    _top: tuple[str, Best] | None = None  # and its key
    _baseline: Best | None = None
    _ended: int = 0  # searched trials of this run, and the pictures that they saw
    _ended_pictures: int = 0
    _spent: float = 0.0
    _paid_at: float | None = None

    def look(self, running: Mapping[str, float | None], outlook: Outlook | None, waits_for: str = "") -> None:
        """
        Args:
            running: what was handed out, None of what has no place yet.
        """
        if self.screen.every_s is None or (at := self.clock()) < self._next_s:
            return
        self._next_s = at + self.screen.every_s
        counts = self.store.counts()
        found = [self._running(key, since is None) for key, since in running.items()]
        self._count(at, {trial.key: trial.seen for trial in found})
        sweep = self.about
        self.screen.show(
            Now(
                sweep=self.store.folder.name,
                counts=counts,
                wanted=self.store.sweep.trials,
                running=tuple(found),
                objective=sweep.objective,
                se=sweep.se_objective,
                best=self._best(),
                baseline=self._best_baseline(sweep.objective),
                pictures_s=self._pace(),
                left_s=self._left(found, counts),
                nodes=None if outlook is None else sum(1 for node in outlook.nodes if node.cpus or node.gpus),
                money=self._money(at, outlook),
                waits_for=waits_for,
            )
        )

    def _running(self, key: str, waits: bool) -> Running:
        folder = self.store.folder.trial(key)
        if key not in self._starts:
            self._starts[key] = TrialStart.read(folder.start)
        start = self._starts[key]
        seen = max(0, self.store.reached(key), told_of(folder))
        return Running(key, start.label, min(seen, start.config.pictures), start.config.pictures, waits)

    def _count(self, at: float, steps: dict[str, int]) -> None:
        for key, before in self._steps.items():
            if key not in steps:  # it has ended, or is owed again
                after = self.store.reached(key)
                self._total += max(0, after - before)
                if key.isdigit() and self.store.folder.trial(key).outcome.exists():
                    self._ended += 1
                    self._ended_pictures += max(0, after)
                self._starts.pop(key, None)
        self._total += sum(max(0, step - self._steps.get(key, step)) for key, step in steps.items())
        self._steps = steps
        if not self._total:  # workers are still starting, which is no pace
            self._marks.clear()
        self._marks.append((at, self._total))
        while len(self._marks) > 2 and self._marks[1][0] < at - WINDOW_S:
            self._marks.popleft()

    def _pace(self) -> float:
        (began, before), (now, after) = self._marks[0], self._marks[-1]
        return (after - before) / (now - began) if now > began else 0.0

    def _left(self, running: list[Running], counts: Mapping[str, int]) -> float | None:
        work = self.work
        mean = self._ended_pictures / self._ended if self._ended >= ENOUGH_ENDED else work.share * work.length
        left = counts["remaining"] * mean
        if (budget := self.store.sweep.pictures) is not None:  # none begins once it is seen, and what runs then is trained on
            left = min(left, max(budget - self.store.tally.pictures, counts["running"] * mean))
        if self.store.choice.over:
            waits = bool(self.store.choice.waits_for)
            left += (counts["unsearched_remaining"] + (work.follow_ups - work.to_choose if waits else 0)) * work.length
        else:
            left += sum(work.paper[: counts["unsearched_remaining"]]) + work.follow_ups * work.length
        left -= sum(trial.seen for trial in running)
        pace = self._pace()
        return max(0.0, left) / pace if pace else None

    def _best(self) -> Best | None:
        for key in self.store.standings.best(1):
            if self._top is None or self._top[0] != key:
                folder = self.store.folder.trial(key)
                objective = TrialOutcome.read(folder.outcome).objective
                assert objective is not None
                self._top = key, Best(TrialStart.read(folder.start).label, objective)
            return self._top[1]
        return None

    def _best_baseline(self, objective: str) -> Best | None:
        if self._baseline is None and self.store.folder.baselines_done.exists():
            self._baseline = best_baseline(self.store.folder, objective)
        return self._baseline

    def _money(self, at: float, outlook: Outlook | None) -> Money | None:
        before, self._paid_at = self._paid_at, at
        if outlook is None or (found := self.screen.an_hour(outlook)) is None:
            return None
        an_hour, currency, of = found
        self._spent += an_hour * (at - (at if before is None else before)) / 3600
        return Money(self._spent, an_hour, currency, of)


def told_of(folder: TrialFolder) -> int:
    """Pictures that a trial under way has seen, by its worker's last word in passing; 0 where there is none."""
    try:
        found = TrialSeen.read_if_there(folder.seen)
    except RecordError:  # nothing rests on it
        return 0
    return 0 if found is None else found.step


def seen_of(folder: TrialFolder) -> int:
    """The same by its curve too."""
    points = read_points(folder.points)
    return max(points[-1][0] if points else 0, told_of(folder))


def best_baseline(folder: SweepFolder, objective: str) -> Best | None:
    """The baseline with the highest objective on val; None where there is none that has one."""
    if BaselineNames.read_if_there(folder.baselines_done) is None:
        return None
    found = [Best(record.label, record.metrics[f"val/{objective}"]) for record in folder.read_baselines() if f"val/{objective}" in record.metrics]
    return max(found, key=lambda best: best.value, default=None)
