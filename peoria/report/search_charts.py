"""What the search shows on val: curves of every trial, their table, and how much each setting mattered among trials of one task."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from peoria.records.schema import BaselineRecord, Purpose
from peoria.records.trials import TrialRecord
from peoria.report.svg import Axis, Drawn, Mark, Plot, Reference, Scale, Tick, curve_chart, plot
from peoria.stats import metrics
from peoria.stats.metrics import Floats

STATUSES = ("done", "pruned", "diverged", "failed", "infeasible", "running")
ENDS = {"done": "done", "diverged": "broken", "failed": "broken", "infeasible": "broken"}  # how a dot shows that a trial ended; any other was stopped
NUM_REFERENCES = 6  # colours of horizontal lines that the style sheet has
SETTINGS = {"learning_rate": "learning rate", "head_multiplier": "head multiplier", "outlier_sd": "outlier cut (sd)"}
NO_CUT = "no cut"
MIN_FINISHED = 10  # trials of a task; a curve of three numbers through fewer fits whatever there is
NUM_PERMUTATIONS = 1000


@dataclass(frozen=True)
class TrialCurve:
    """A trial as the charts show it."""

    key: str
    label: str
    status: str
    purpose: Purpose
    task: str
    settings: Mapping[str, float | None]  # by `SETTINGS`
    points: tuple[tuple[int, dict[str, float]], ...]  # (pictures seen, metrics), ascending

    @classmethod
    def of(cls, trial: TrialRecord) -> "TrialCurve":
        config = trial.config
        settings = {"learning_rate": config.learning_rate, "head_multiplier": config.head_multiplier, "outlier_sd": config.outlier_sd}
        return cls(trial.key, trial.label, trial.status, trial.purpose, config.task, settings, tuple(trial.points()))

    @property
    def is_follow_up(self) -> bool:
        """Whether it was trained once the search was over."""
        return self.purpose in ("reseed", "subset")

    def values(self, metric: str) -> list[tuple[int, float]]:
        """(pictures seen, value)"""
        return [(step, found[metric]) for step, found in self.points if metric in found]

    def last(self, metric: str) -> float | None:
        values = self.values(metric)
        return values[-1][1] if values else None


@dataclass(frozen=True)
class TrialRow:
    """A trial in the table."""

    key: str
    label: str
    status: str
    role: str
    last: float | None  # of its objective
    seen: int  # pictures
    learning_rate: str
    head_multiplier: str
    outlier_sd: str


@dataclass(frozen=True)
class SettingShare:
    """How much goes with one setting."""

    name: str
    share: float
    chance: float  # the share that 1 of 20 random orders of the same trials reaches


@dataclass(frozen=True)
class Importance:
    """How much each setting mattered among the finished trials of a task."""

    task: str
    num: int  # finished trials
    settings: tuple[SettingShare, ...]  # empty where fewer than `MIN_FINISHED` finished


@dataclass(frozen=True)
class TaskPlot:
    """A plot of the trials of one task."""

    task: str
    name: str
    log: bool
    plot: Plot


@dataclass(frozen=True)
class Pole:
    """An axis of parallel coordinates."""

    name: str
    at: float
    ticks: Sequence[Tick]


@dataclass(frozen=True)
class Coordinates:
    """Each trial as a line through its settings to its last objective."""

    poles: tuple[Pole, ...]
    lines: tuple[Drawn, ...]


def objective_chart(key: str, curves: Sequence[TrialCurve], baselines: Sequence[BaselineRecord], se: float | None, winner: str | None) -> Plot:
    """Val objective of every trial of the search and of the paper's, the baselines on the same pictures, and what luck alone would show.

    Args:
        key: name of the val metric.
        se: standard error of the objective without skill.
    """
    heights: dict[float, list[str]] = {}
    for baseline in baselines:
        if key in baseline.metrics:
            heights.setdefault(round(baseline.metrics[key], 4), []).append(baseline.label)
    ordered = sorted(heights.items(), reverse=True)
    references = [Reference(value, f"r{k % NUM_REFERENCES}", ", ".join(labels)) for k, (value, labels) in enumerate(ordered)]
    num = sum(curve.purpose == "search" for curve in curves)
    if num and se:
        luck = round(metrics.expected_best_of(num, se), 4)
        references.append(Reference(luck, "luck", f"luck: the best of {num} trials without skill, on average"))
    return curve_chart(lines_of(curves, key, winner, ends=True), references, log=False)


def train_charts(curves: Sequence[TrialCurve], winner: str | None) -> list[TaskPlot]:
    """The training loss of each task's trials; losses of different tasks have different units."""
    found = []
    for task in sorted({curve.task for curve in curves}):
        chart = curve_chart(lines_of([curve for curve in curves if curve.task == task], "train/loss", winner))
        found.append(TaskPlot(task, "train/loss", chart.log, chart))
    return [chart for chart in found if chart.plot.marks]


def lines_of(curves: Sequence[TrialCurve], metric: str, winner: str | None, ends: bool = False) -> list[Mark]:
    """Curves of one metric, the winner's last, so that it lies on top; what was trained after the search is left out.

    Args:
        ends: a dot where a trial was stopped or broke off, without which one that was evaluated once would be a single pixel.
    """
    lines, dots = [], []
    shown = [curve for curve in curves if not curve.is_follow_up]
    for curve in sorted(shown, key=lambda curve: (curve.key == winner, curve.purpose == "paper", curve.key)):
        values, label = curve.values(metric), f"{curve.label} ({curve.status})"
        marked = ends and values and status_of(curve) != "done"
        if marked:
            role = ENDS.get(curve.status, "stopped")
            dots.append(Mark("dots", values[-1:], f"dot {role}", label if len(values) == 1 else ""))
        if not marked or len(values) > 1:
            lines.append(Mark("line", values, f"{role_of(curve, winner)} {status_of(curve)}", label))
    stopped = [dot.points[0] for dot in dots if dot.role == "dot stopped"]
    holes = [Mark("dots", stopped, "dot hole")] if stopped else []
    return [*lines[:-1], *dots, *holes, *lines[-1:]]


def role_of(curve: TrialCurve, winner: str | None) -> str:
    return "winner" if curve.key == winner else "follow-up" if curve.is_follow_up else "paper" if curve.purpose == "paper" else "other"


def status_of(curve: TrialCurve) -> str:
    """A class of the style sheet, whatever a folder says."""
    return curve.status if curve.status in STATUSES else "running"


def trial_rows(key: str, curves: Sequence[TrialCurve], winner: str | None) -> list[TrialRow]:
    """Every trial with the last value of its objective: of the search first, those that are done above the others, the highest at the top."""
    rows = [
        TrialRow(
            key=curve.key,
            label=curve.label or curve.key,
            status=curve.status,
            role=role_of(curve, winner),
            last=curve.last(key),
            seen=curve.points[-1][0] if curve.points else 0,
            **{setting: _written(curve.settings[setting]) for setting in SETTINGS},
        )
        for curve in curves
    ]
    return sorted(rows, key=lambda row: (row.role == "follow-up", row.status != "done", row.last is None, -(row.last or 0.0), row.key))


def importance(key: str, curves: Sequence[TrialCurve]) -> list[Importance]:
    """How much of what finished trials of one task differ by goes with each setting: R² of the ranks of the last objective on a parabola in the
    ranks of the setting, so that a best value in the middle counts too."""
    found = []
    for task, of_task in by_task(curves).items():
        done = [(curve, value) for curve in of_task if curve.status == "done" and (value := curve.last(key)) is not None]
        settings = []
        if len(done) >= MIN_FINISHED:
            y = np.array([value for _, value in done])
            for setting, name in SETTINGS.items():
                x = np.array([_number(curve.settings[setting]) for curve, _ in done])
                if len(np.unique(x)) > 1 and len(np.unique(y)) > 1:
                    settings.append(SettingShare(name, *_share(x, y)))
        found.append(Importance(task, len(done), tuple(settings)))
    return found


def _share(x: Floats, y: Floats) -> tuple[float, float]:
    from scipy.stats import rankdata

    place, rank = rankdata(x), rankdata(y)
    parabola = np.linalg.qr(np.stack([np.ones(len(place)), place, place**2], axis=1))[0]  # of two different values it is a line
    rank = (rank - rank.mean()) / np.linalg.norm(rank - rank.mean())
    rng = np.random.default_rng(0)
    drawn = np.stack([rank, *(rng.permutation(rank) for _ in range(NUM_PERMUTATIONS))])
    shares = ((drawn @ parabola) ** 2).sum(axis=1)
    return round(float(shares[0]), 6), round(float(np.quantile(shares[1:], 0.95)), 6)


def slices(key: str, curves: Sequence[TrialCurve], winner: str | None) -> list[TaskPlot]:
    """For each task and setting the last val objective of each trial against the setting, on one common y axis."""
    values = [value for curve in curves if curve.purpose == "search" and (value := curve.last(key)) is not None]
    y = Axis.around([0.0, *values])
    found = []
    for task, of_task in by_task(curves).items():
        for setting, name in SETTINGS.items():
            x, where, names = setting_axis(setting, [curve.settings[setting] for curve in of_task])
            points: dict[str, list[tuple[float, float]]] = {}
            for curve in of_task:
                role = "winner" if curve.key == winner else ENDS.get(curve.status, "stopped")
                height = y.low + 0.04 * (y.high - y.low) if role == "broken" else curve.last(key)
                if height is not None:
                    points.setdefault(role, []).append((where(curve.settings[setting]), height))
            order = ("broken", "stopped", "done", "winner")
            marks = [Mark("dots", points[role], f"dot {role}", role) for role in order if role in points]
            marks += [Mark("dots", points["stopped"], "dot hole")] if "stopped" in points else []
            found.append(TaskPlot(task, name, x.scale == "log", plot(x, y, marks, names=names)))
    return found


def coordinates(key: str, curves: Sequence[TrialCurve], winner: str | None) -> Coordinates | None:
    """Each trial of the search that was evaluated; ``None`` without one."""
    shown = [(curve, value) for curve in curves if curve.purpose == "search" and (value := curve.last(key)) is not None]
    if not shown:
        return None
    tasks = sorted({curve.task for curve, _ in shown})
    task_axis, value_axis = Axis(-0.5, len(tasks) - 0.5), Axis.around([value for _, value in shown])
    poles: list[tuple[str, Sequence[Tick]]] = [("task", [Tick(task_axis.at(k), text=task) for k, task in enumerate(tasks)])]
    places = {curve.key: [task_axis.at(tasks.index(curve.task))] for curve, _ in shown}
    for setting, name in SETTINGS.items():
        axis, where, names = setting_axis(setting, [curve.settings[setting] for curve, _ in shown])
        poles.append((name, axis.ticks(4) if names is None else [Tick(axis.at(at), text=text) for at, text in names]))
        for curve, _ in shown:
            places[curve.key].append(axis.at(where(curve.settings[setting])))
    poles.append((key, value_axis.ticks(4)))
    for curve, value in shown:
        places[curve.key].append(value_axis.at(value))
    x, y = Axis(0.0, len(poles) - 1.0), Axis(0.0, 100.0)
    ordered = sorted(shown, key=lambda found: (found[0].key == winner, found[0].status == "done", found[1]))
    marks = [Mark("line", list(enumerate(places[c.key])), f"{role_of(c, winner)} {status_of(c)}", c.label) for c, _ in ordered]
    return Coordinates(tuple(Pole(name, x.at(k), ticks) for k, (name, ticks) in enumerate(poles)), plot(x, y, marks).marks)


def by_task(curves: Sequence[TrialCurve]) -> dict[str, list[TrialCurve]]:
    """The trials of the search."""
    found: dict[str, list[TrialCurve]] = {}
    for curve in sorted(curves, key=lambda curve: (curve.task, curve.key)):
        if curve.purpose == "search":
            found.setdefault(curve.task, []).append(curve)
    return found


Where = Callable[[float | None], float]


def setting_axis(setting: str, values: Sequence[float | None]) -> tuple[Axis, Where, list[tuple[float, str]] | None]:
    """An axis, where a value lies on it (a function), and names where values are choices: the cut, no cut last."""
    if setting != "outlier_sd":
        scale: Scale = "log"
        return Axis.around([value for value in values if value is not None], scale), _number, None
    choices = sorted({_number(value) for value in values})
    names = [(float(k), NO_CUT if choice == np.inf else f"{choice:g}") for k, choice in enumerate(choices)]
    return Axis(-0.5, max(0.5, len(choices) - 0.5)), lambda value: float(choices.index(_number(value))), names


def _number(value: float | None) -> float:
    """No cut leaves more than any cut."""
    return np.inf if value is None else float(value)


def _written(value: float | None) -> str:
    return NO_CUT if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)
