import math
import re
from typing import Any

import pytest

from peoria.report.svg import Axis, Mark, Reference, Row, Tick, curve_chart, plot, strip, ticks
from peoria.verdict.values import Interval


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.05, 0.34, [0.0, 0.1, 0.2, 0.3]),
        (0, 40_000, [0, 10_000, 20_000, 30_000, 40_000]),
        (3.0, 3.0, [3.0]),
    ],
)
def test_ticks_are_round_and_inside(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "scale", "expected"),
    [
        ([1, 1000], "log", [1, 10, 100, 1000]),
        ([2, 60], "log", [2, 5, 10, 20, 50]),  # one power of ten tells no scale
        ([1.9, 5.2], "log", [2, 5]),
        ([2.3, 4.1], "log", [2.5, 3, 3.5, 4]),
        ([0, 1000], "log1p", [0, 1, 10, 100, 1000]),
        ([1e-9, 1e9], "log", [1e-9, 1e-6, 1e-3, 1, 1e3, 1e6, 1e9]),
    ],
)
def test_ticks_of_logarithmic_axes(values: list[float], scale: Any, expected: list[float]) -> None:
    axis = Axis.around(values, scale)
    found = axis.ticks()
    assert [tick.value for tick in found] == pytest.approx(expected)
    assert all(-1e-6 <= tick.at <= 100 + 1e-6 for tick in found)


def test_an_axis_leaves_out_what_it_cannot_show() -> None:
    assert Axis.around([1.0, math.inf, math.nan, 10.0]) == Axis.around([1.0, 10.0])
    assert Axis.around([-1.0, 0.0, 1.0, 10.0], "log") == Axis.around([1.0, 10.0], "log")
    assert Axis.around([]).low < Axis.around([]).high
    assert Axis.around([2.0]).at(2.0) == pytest.approx(50)
    assert Axis.around([0, 50], "log1p").at(0) == 0  # counts have no air below nothing


def test_intervals_keep_their_order_and_show_chance() -> None:
    rows = [
        Row("a", "recipe", "", Interval(value=0.3, low=0.2, high=0.4)),
        Row("val", "recipe", "", dots=(0.5,)),
        Row("b", "recipe", "", Interval(value=0.0, low=-0.1, high=0.1)),
    ]
    chart = strip(rows, lines=[Reference(0.5, "luck")])
    a, val, b = chart.rows
    assert val.at is None
    assert a.at is not None
    assert b.at is not None
    assert chart.chance is not None
    assert 0 < b.at.low < chart.chance == b.at.value < b.at.high < a.at.low < a.at.value < a.at.high
    assert a.at.high < val.dots[0] == chart.lines[0].at < 100
    assert a.at.value - b.at.value == pytest.approx(3 * (b.at.high - b.at.value), abs=0.01)
    assert strip(rows, chance=None).chance is None


def places(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", path)]


def test_each_kind_of_mark() -> None:
    x, y = Axis(0.0, 10.0), Axis(0.0, 1.0)
    marks = [
        Mark("line", [(0, 0.0), (10, 1.0)], "l", "said"),
        Mark("dots", [(0, 0.0), (10, 1.0)], "d"),
        Mark("area", [(0, 0.1, 0.9), (10, 0.2, 0.8)], "a"),
        Mark("whiskers", [(5, 0.25, 0.75), (5, math.nan, 1.0)], "w"),
        Mark("line", [(math.inf, 0.0)], "nothing"),
    ]
    chart = plot(x, y, marks, [Reference(0.25, "r")], [(5.0, "middle")])
    assert [mark.role for mark in chart.marks] == ["l", "d", "a", "w"]
    line, dots, area, whiskers = (mark.path for mark in chart.marks)
    assert places(line) == places(dots) == [(0, 1000), (1000, 0)]  # down is up in SVG
    assert (line.count("M"), dots.count("M")) == (1, 2)
    assert places(area) == [(0, 100), (1000, 200), (1000, 800), (0, 900)]
    assert area.endswith("Z")
    assert places(whiskers) == [(500, 750), (500, 250)]
    assert chart.references == (Reference(0.25, "r", at=25.0),)
    assert chart.x_ticks == [Tick(50.0, text="middle")]


def test_curves_share_one_scale_with_the_references() -> None:
    lines = [Mark("line", [(0, 0.0), (50, 1.0)], "o", "a"), Mark("line", [(100, 0.5)], "o", "b")]
    chart = curve_chart(lines, [Reference(0.5, "r")])
    a, b = (places(mark.path) for mark in chart.marks)
    assert [x for x, _ in a + b] == [0, 500, 1000]
    assert a[0][1] > b[0][1] > a[1][1]
    assert chart.references[0].at == pytest.approx(100 - b[0][1] / 10, abs=0.02)
    assert not chart.log


def test_wide_positive_values_get_a_log_axis_and_what_is_not_finite_is_left_out() -> None:
    wide = Mark("line", [(1, 1.0), (2, 1000.0), (3, math.inf), (4, math.nan)], "o", "a")
    chart = curve_chart([wide, Mark("line", [(1, math.nan)], "o", "b")])
    assert chart.log
    assert [tick.value for tick in chart.y_ticks] == [1.0, 10.0, 100.0, 1000.0]
    assert len(chart.marks) == 1
    assert len(places(chart.marks[0].path)) == 2
    assert not curve_chart([Mark("line", [(1, -1.0), (2, 1000.0)], "o", "a")]).log


def test_nothing_to_draw() -> None:
    assert curve_chart([]).marks == ()
    assert curve_chart([Mark("line", [(1, 2.0), (2, 2.0)], "o", "flat")]).y_ticks
