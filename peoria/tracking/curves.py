"""Curves as MLflow is to hold them: finite values, few enough points, and each point able to tell its own step."""

import math
import re
from dataclasses import dataclass
from typing import TypeGuard

from peoria.records.points import Curve

MAX_POINTS = 500  # a curve; MLflow's chart view becomes slow above
MAX_KEYS = 40  # metrics a run, the marker among them
MARKERS = {"pictures_seen", "trials_ended"}  # every point carries one, its own step
OBJECTIVE = "objective"
_LEFT_OUT = {"train/learning_rate"}  # a setting's schedule; MLflow's page of comparison takes the first metric of all runs for the one that matters


@dataclass(frozen=True)
class MetricPoint:
    step: int  # pictures seen; on the sweep itself, trials ended
    metrics: dict[str, float]  # finite, with the marker


def curve(raw: Curve, objective: str = "") -> list[MetricPoint]:
    """Points with finite values only, of the MAX_KEYS - 1 metrics that came first, and the marker.

    Args:
        objective: what the searcher maximises, without the split; a metric of its own beside its place among those of val.
    """
    found = [(step, {key: value for key, value in metrics.items() if key not in _LEFT_OUT and is_finite(value)}) for step, metrics in raw]
    for _, metrics in found:
        if (name := f"val/{objective}") in metrics:
            metrics[OBJECTIVE] = metrics[name]
    keys: dict[str, None] = {}
    for _, metrics in found:
        keys |= dict.fromkeys(key for key in sorted(metrics) if key != "pictures_seen")
    allowed = set(list(keys)[: MAX_KEYS - 1])
    points = []
    for step, metrics in found:
        named = {mlflow_name(key): float(value) for key, value in sorted(metrics.items()) if key in allowed}
        points.append(MetricPoint(step, named | {"pictures_seen": float(step)}))
    return points


class Thinning:
    """At most MAX_POINTS values of each metric: the first in each of equal stretches of ``length`` pictures (None: of points), and the last point of
    an ended run.

    Each metric is thinned by itself, for there are more values of the training loss than of val; the marker stays with every point. What stays
    depends on the points before it alone (but for the last one), so that a curve that grows is only ever added to.
    """

    def __init__(self, length: int | None) -> None:
        self._length = length
        self._kept: list[MetricPoint] = []
        self._cells: dict[str, int] = {}
        self._counts: dict[str, int] = {}
        self._num = 0
        self._left_out: MetricPoint | None = None  # the last point, where nothing of it was kept

    def add(self, point: MetricPoint) -> None:
        cell = point.step * (MAX_POINTS - 2) // self._length if self._length else self._num
        values = {name: value for name, value in point.metrics.items() if name not in MARKERS}
        fresh = [name for name in values if cell > self._cells.get(name, -1) and self._counts.get(name, 0) < MAX_POINTS - 1]
        if fresh or not values:
            self._kept.append(MetricPoint(point.step, {name: value for name, value in point.metrics.items() if name in fresh or name in MARKERS}))
        for name in fresh:
            self._cells[name], self._counts[name] = cell, self._counts.get(name, 0) + 1
        self._num += 1
        self._left_out = None if fresh or not values else point

    def points(self, *, ended: bool) -> tuple[MetricPoint, ...]:
        return (*self._kept, *((self._left_out,) if ended and self._left_out is not None else ()))


def thinned(points: list[MetricPoint], length: int | None, *, ended: bool) -> tuple[MetricPoint, ...]:
    """All ``points``, thinned."""
    thinning = Thinning(length)
    for point in points:
        thinning.add(point)
    return thinning.points(ended=ended)


def mlflow_name(key: str) -> str:
    return re.sub(r"[^\w\-. :/]", "_", key)[:250]


def is_finite(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
