"""Importances, slices and tables of a search whose answer is known."""

from typing import Any

import numpy as np
import pytest

from peoria.report.search_charts import MIN_FINISHED, coordinates, importance, slices, trial_rows

SWEEP = {"objective": "rank_mean"}
KEY = "val/rank_mean"


def curve(value: float | None, **changes: Any) -> dict[str, Any]:
    points = [] if value is None else [{"step": 100, "metrics": {KEY: value}}]
    config = {"task": "hybrid", "learning_rate": 1e-3, "head_multiplier": 10.0, "outlier_sd": None} | changes.pop("config", {})
    return {"label": "t", "status": "done", "fixed": False, "of": None, "task": config["task"], "config": config, "points": points} | changes


def searched(num: int, seed: int = 0) -> dict[str, dict[str, Any]]:
    """The objective is best in the middle of the learning rates, and goes with nothing else."""
    rng = np.random.default_rng(seed)
    found = {}
    for k in range(num):
        place = rng.uniform(-5, -1)
        config = {"learning_rate": 10**place, "head_multiplier": 10 ** rng.uniform(0, 2), "outlier_sd": (None, 6.0, 3.0)[rng.integers(3)]}
        found[f"{k:04d}"] = curve(float(-abs(place + 3) + 0.05 * rng.normal()), config=config)
    return found


def test_what_mattered_is_found_though_the_best_lies_in_the_middle() -> None:
    (task,) = importance(SWEEP, searched(30))
    assert (task["task"], task["num"]) == ("hybrid", 30)
    rate, multiplier, cut = task["settings"]
    assert rate["share"] > 0.8 > rate["chance"]
    assert all(setting["share"] < setting["chance"] < 0.5 for setting in (multiplier, cut))
    curves = searched(30)
    x = [c["config"]["learning_rate"] for c in curves.values()]
    y = [c["points"][0]["metrics"][KEY] for c in curves.values()]
    assert abs(np.corrcoef(np.argsort(np.argsort(x)), np.argsort(np.argsort(y)))[0, 1]) < 0.4  # what a plain rank correlation would have said


def test_by_chance_one_in_twenty_passes_the_tick() -> None:
    passed = [setting["share"] > setting["chance"] for seed in range(100) for setting in importance(SWEEP, searched(12, seed))[0]["settings"][1:]]
    assert len(passed) == 200
    assert 1 <= sum(passed) <= 22


def test_few_trials_say_nothing() -> None:
    (task,) = importance(SWEEP, searched(MIN_FINISHED - 1))
    assert task == {"task": "hybrid", "num": MIN_FINISHED - 1, "settings": []}
    stopped = {key: {**c, "status": "pruned"} for key, c in searched(40).items()}
    assert importance(SWEEP, stopped)[0]["num"] == 0  # values at other lengths do not compare


def test_slices_tell_how_each_trial_ended() -> None:
    curves = searched(6) | {"0006": curve(0.1, status="pruned"), "0007": curve(None, status="diverged"), "0008": curve(None, status="pruned")}
    curves |= {"paper-hybrid": curve(0.2, fixed=True), "0003-seed-1": curve(0.2, fixed=True, of="0003")}
    found = slices(SWEEP, curves, "0003")
    assert [chart["name"] for chart in found] == ["learning rate", "head multiplier", "outlier cut (sd)"]
    for chart in found:
        dots = {mark["role"]: mark["path"].count("M") for mark in chart["marks"]}
        assert dots == {"dot broken": 1, "dot stopped": 1, "dot done": 5, "dot best": 1, "dot hole": 1}
    assert [tick["text"] for tick in found[2]["x_ticks"]] == ["3", "6", "no cut"]


def test_a_line_through_all_settings_for_each_evaluated_trial() -> None:
    curves = searched(6) | {"0006": curve(None, status="diverged"), "paper-hybrid": curve(0.2, fixed=True)}
    found = coordinates(SWEEP, curves, "0003")
    assert found is not None
    assert [axis["name"] for axis in found["axes"]] == ["task", "learning rate", "head multiplier", "outlier cut (sd)", KEY]
    assert [axis["at"] for axis in found["axes"]] == [0, 25, 50, 75, 100]
    assert len(found["lines"]) == 6
    assert found["lines"][-1]["role"] == "best done"  # on top
    assert coordinates(SWEEP, {"paper-hybrid": curve(0.2, fixed=True)}, None) is None


def test_a_trial_that_did_not_finish_is_never_listed_above_one_that_did() -> None:
    curves = {
        "0000": curve(0.9, status="pruned"),
        "0001": curve(0.1),
        "0002": curve(0.2),
        "0003": curve(None, status="failed"),
        "0002-seed-1": curve(0.99, fixed=True, of="0002"),
    }
    assert [row["key"] for row in trial_rows(SWEEP, curves, "0002")] == ["0002", "0001", "0000", "0003", "0002-seed-1"]


@pytest.mark.parametrize(("value", "text"), [(None, "no cut"), (1.23456e-5, "1.23e-05"), (6.0, "6")])
def test_settings_in_the_table(value: float | None, text: str) -> None:
    (row,) = trial_rows(SWEEP, {"0000": curve(0.1, config={"outlier_sd": value})}, None)
    assert row["outlier_sd"] == text
