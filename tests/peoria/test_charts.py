import math
import re

import pytest

from peoria.charts import interval_chart, line_chart, ticks


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


def test_intervals_keep_their_order_and_show_chance() -> None:
    rows = [
        {"label": "a", "rho": {"value": 0.3, "low": 0.2, "high": 0.4}},
        {"label": "constant"},
        {"label": "b", "rho": {"value": 0.0, "low": -0.1, "high": 0.1}},
    ]
    chart = interval_chart(rows, "rho")
    assert [row["label"] for row in chart["rows"]] == ["a", "b"]
    a, b = (row["at"] for row in chart["rows"])
    assert 0 < b["low"] < chart["chance"] == b["value"] < b["high"] < a["low"] < a["value"] < a["high"] < 100
    assert a["value"] - b["value"] == pytest.approx(3 * (b["high"] - b["value"]), abs=0.01)


def places(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", path)]


def test_lines_share_one_scale_with_the_references() -> None:
    chart = line_chart([{"points": [(0, 0.0), (50, 1.0)], "label": "a"}, {"points": [(100, 0.5)], "label": "b"}], [{"value": 0.5}])
    a, b = (places(line["path"]) for line in chart["lines"])
    assert [x for x, _ in a + b] == [0, 500, 1000]
    assert a[0][1] > b[0][1] > a[1][1]  # down is up in SVG
    assert chart["references"][0]["at"] == pytest.approx(100 - b[0][1] / 10, abs=0.02)
    assert not chart["log"]


def test_wide_positive_values_get_a_log_axis_and_what_is_not_finite_is_left_out() -> None:
    chart = line_chart([{"points": [(1, 1.0), (2, 1000.0), (3, math.inf), (4, math.nan)], "label": "a"}, {"points": [(1, math.nan)], "label": "b"}])
    assert chart["log"]
    assert [tick["value"] for tick in chart["y_ticks"]] == [1.0, 10.0, 100.0, 1000.0]
    assert len(chart["lines"]) == 1
    assert len(places(chart["lines"][0]["path"])) == 2
    assert not line_chart([{"points": [(1, -1.0), (2, 1000.0)], "label": "a"}])["log"]


def test_nothing_to_draw() -> None:
    assert line_chart([])["lines"] == []
    assert line_chart([{"points": [(1, 2.0), (2, 2.0)], "label": "flat"}])["y_ticks"]
