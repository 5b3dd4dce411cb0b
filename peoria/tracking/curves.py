"""Curves as MLflow is to hold them: finite values, few enough points, and each point able to tell its own step."""

import math
import re
from dataclasses import dataclass
from typing import TypeGuard

from peoria.records.points import Curve

MAX_POINTS = 500  # a curve; MLflow's chart view becomes slow above
MAX_KEYS = 40  # metrics a run, the marker among them
MARKERS = {"pictures_seen", "trials_ended"}  # every point carries one, its own step


@dataclass(frozen=True)
class MetricPoint:
    step: int  # pictures seen; on the sweep itself, trials ended
    metrics: dict[str, float]  # finite, with the marker


def curve(raw: Curve) -> list[MetricPoint]:
    """Points with finite values only, of the MAX_KEYS - 1 metrics that came first, and the marker."""
    keys: dict[str, None] = {}
    for _, metrics in raw:
        keys |= dict.fromkeys(key for key in sorted(metrics) if is_finite(metrics[key]) and key != "pictures_seen")
    allowed = set(list(keys)[: MAX_KEYS - 1])
    points = []
    for step, metrics in raw:
        finite = {mlflow_name(key): float(value) for key, value in sorted(metrics.items()) if key in allowed and is_finite(value)}
        points.append(MetricPoint(step, finite | {"pictures_seen": float(step)}))
    return points


def thinned(points: list[MetricPoint], length: int | None, *, ended: bool) -> tuple[MetricPoint, ...]:
    """At most MAX_POINTS values of each metric: the first in each of equal stretches of ``length`` pictures, and the last point of an ended run.

    Each metric is thinned by itself, for there are more values of the training loss than of val; the marker stays with every point. What stays
    depends on the points before it alone (but for the last one), so that a curve that grows is only ever added to.
    """
    kept: list[MetricPoint] = []
    cells: dict[str, int] = {}
    counts: dict[str, int] = {}
    for index, point in enumerate(points):
        cell = point.step * (MAX_POINTS - 2) // length if length else index
        fresh = [name for name in point.metrics if name not in MARKERS and cell > cells.get(name, -1) and counts.get(name, 0) < MAX_POINTS - 1]
        if ended and index == len(points) - 1 and not fresh:
            fresh = [name for name in point.metrics if name not in MARKERS]
        if fresh or point.metrics.keys() <= MARKERS:
            kept.append(MetricPoint(point.step, {name: value for name, value in point.metrics.items() if name in fresh or name in MARKERS}))
        for name in fresh:
            cells[name], counts[name] = cell, counts.get(name, 0) + 1
    return tuple(kept)


def mlflow_name(key: str) -> str:
    return re.sub(r"[^\w\-. :/]", "_", key)[:250]


def is_finite(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
