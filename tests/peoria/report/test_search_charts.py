"""Importances, slices and tables of a search whose answer is known."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from peoria.report.search_charts import MIN_FINISHED, Importance, TrialCurve, coordinates, importance, slices, trial_rows

KEY = "val/rank_mean"


def curve(key: str, value: float | None, **changes: Any) -> TrialCurve:
    points = () if value is None else ((100, {KEY: value}),)
    settings = {"learning_rate": 1e-3, "head_multiplier": 10.0, "outlier_sd": None} | changes.pop("settings", {})
    return replace(TrialCurve(key, "t", "done", "search", "hybrid", settings, points), **changes)


def searched(num: int, seed: int = 0) -> list[TrialCurve]:
    """The objective is best in the middle of the learning rates, and goes with nothing else."""
    rng = np.random.default_rng(seed)
    found = []
    for k in range(num):
        place = rng.uniform(-5, -1)
        settings = {"learning_rate": 10**place, "head_multiplier": 10 ** rng.uniform(0, 2), "outlier_sd": (None, 6.0, 3.0)[rng.integers(3)]}
        found.append(curve(f"{k:04d}", float(-abs(place + 3) + 0.05 * rng.normal()), settings=settings))
    return found


def test_what_mattered_is_found_though_the_best_lies_in_the_middle() -> None:
    (task,) = importance(KEY, searched(30))
    assert (task.task, task.num) == ("hybrid", 30)
    rate, multiplier, cut = task.settings
    assert rate.share > 0.8 > rate.chance
    assert all(setting.share < setting.chance < 0.5 for setting in (multiplier, cut))
    curves = searched(30)
    x = [c.settings["learning_rate"] or 0.0 for c in curves]
    y = [c.points[0][1][KEY] for c in curves]
    assert abs(np.corrcoef(np.argsort(np.argsort(x)), np.argsort(np.argsort(y)))[0, 1]) < 0.4  # what a plain rank correlation would have said


def test_by_chance_one_in_twenty_passes_the_tick() -> None:
    passed = [setting.share > setting.chance for seed in range(100) for setting in importance(KEY, searched(12, seed))[0].settings[1:]]
    assert len(passed) == 200
    assert 1 <= sum(passed) <= 22


def test_few_trials_say_nothing() -> None:
    (task,) = importance(KEY, searched(MIN_FINISHED - 1))
    assert task == Importance("hybrid", MIN_FINISHED - 1, ())
    stopped = [replace(c, status="pruned") for c in searched(40)]
    assert importance(KEY, stopped)[0].num == 0  # values at other lengths do not compare


def test_slices_tell_how_each_trial_ended() -> None:
    curves = [*searched(6), curve("0006", 0.1, status="pruned"), curve("0007", None, status="diverged"), curve("0008", None, status="pruned")]
    curves += [curve("paper-hybrid", 0.2, purpose="paper"), curve("0003-seed-1", 0.2, purpose="reseed")]
    found = slices(KEY, curves, "0003")
    assert [chart.name for chart in found] == ["learning rate", "head multiplier", "outlier cut (sd)"]
    for chart in found:
        dots = {mark.role: mark.path.count("M") for mark in chart.plot.marks}
        assert dots == {"dot broken": 1, "dot stopped": 1, "dot done": 5, "dot winner": 1, "dot hole": 1}
    assert [tick.text for tick in found[2].plot.x_ticks] == ["3", "6", "no cut"]


def test_a_line_through_all_settings_for_each_evaluated_trial() -> None:
    curves = [*searched(6), curve("0006", None, status="diverged"), curve("paper-hybrid", 0.2, purpose="paper")]
    found = coordinates(KEY, curves, "0003")
    assert found is not None
    assert [axis.name for axis in found.poles] == ["task", "learning rate", "head multiplier", "outlier cut (sd)", KEY]
    assert [axis.at for axis in found.poles] == [0, 25, 50, 75, 100]
    assert len(found.lines) == 6
    assert found.lines[-1].role == "winner done"  # on top
    assert coordinates(KEY, [curve("paper-hybrid", 0.2, purpose="paper")], None) is None


def test_a_trial_that_did_not_finish_is_never_listed_above_one_that_did() -> None:
    curves = [
        curve("0000", 0.9, status="pruned"),
        curve("0001", 0.1),
        curve("0002", 0.2),
        curve("0003", None, status="failed"),
        curve("0002-seed-1", 0.99, purpose="reseed"),
    ]
    assert [row.key for row in trial_rows(KEY, curves, "0002")] == ["0002", "0001", "0000", "0003", "0002-seed-1"]


@pytest.mark.parametrize(("value", "text"), [(None, "no cut"), (1.23456e-5, "1.23e-05"), (6.0, "6")])
def test_settings_in_the_table(value: float | None, text: str) -> None:
    (row,) = trial_rows(KEY, [curve("0000", 0.1, settings={"outlier_sd": value})], None)
    assert row.outlier_sd == text
