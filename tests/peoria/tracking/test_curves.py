"""Curves that only grow, of finite values, few enough to draw."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from peoria.records.points import read_points
from peoria.tracking.curves import MAX_KEYS, MAX_POINTS, MetricPoint, curve, thinned


def points(num: int, every: int = 10) -> list[MetricPoint]:
    return curve([(every * k, {"train/loss": float(k)} | ({"val/loss": float(k)} if k % 100 == 99 else {})) for k in range(1, num + 1)])


@pytest.mark.parametrize("length", [50_000, None])
def test_a_long_curve_keeps_500_values_with_the_first_and_the_last(length: int | None) -> None:
    kept = thinned(points(5000), length, ended=True)
    losses = [point.step for point in kept if "train/loss" in point.metrics]
    assert MAX_POINTS - 2 <= len(losses) <= MAX_POINTS
    assert (losses[0], losses[-1]) == (10, 50_000)
    if length:
        assert max(b - a for a, b in pairwise(losses)) <= 2 * length // (MAX_POINTS - 2)


def test_the_rarer_metric_is_not_thinned_by_the_more_frequent_one() -> None:
    kept = thinned(points(5000), 50_000, ended=True)
    assert [point.step for point in kept if "val/loss" in point.metrics] == [10 * k for k in range(99, 5000, 100)]


@pytest.mark.parametrize("length", [7_000, None])
def test_a_curve_that_grows_is_only_added_to(length: int | None) -> None:
    everything = points(700)
    before: tuple[MetricPoint, ...] = ()
    for num in range(701):
        now = thinned(everything[:num], length, ended=False)
        assert now[: len(before)] == before
        before = now
    assert thinned(everything, length, ended=True)[: len(before)] == before


def test_a_short_curve_stays_whole() -> None:
    assert list(thinned(points(40), 400, ended=False)) == points(40)


def test_only_finite_values_and_40_keys_with_the_marker() -> None:
    raw: list[tuple[int, dict[str, Any]]] = [
        (1, {"a": math.nan, "b": math.inf, "c": True, "d": None, "e": 1}),
        (2, {f"m{k:02d}": 0.5 for k in range(60)}),
    ]
    first, second = curve(raw)
    assert first.metrics == {"e": 1.0, "pictures_seen": 1.0}
    assert len(first.metrics.keys() | second.metrics.keys()) == MAX_KEYS


def test_torn_and_repeated_lines(tmp_path: Path) -> None:
    path = tmp_path / "points.jsonl"
    path.write_text('{"step": 5, "metrics": {"a": 1}}\n{"step": 10, "met{"step": 10, "metrics": {"a": 2}}\n' * 2 + '{"step": 15, "metrics": {"a"')
    assert read_points(path) == [(5, {"a": 1})]
    with path.open("a") as file:
        file.write('\n{"step": 20, "metrics": {"a": 3}}\n')
    assert read_points(path) == [(5, {"a": 1}), (20, {"a": 3})]
    assert read_points(tmp_path / "absent.jsonl") == []
