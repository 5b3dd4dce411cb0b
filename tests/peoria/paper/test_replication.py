"""The paper's tables and figures from counts and a sweep folder that are known."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from peoria.paper.replication import remade
from peoria.records.schema import TrialOutcome
from peoria.records.trials import read_trials
from peoria.verdict.schema import Predictor
from peoria.verdict.sentences import tail_laws
from peoria.verdict.values import Interval
from shards.labels import Labels
from tests.helpers.sweep_folder import WrittenSweep

NUM_TRAIN, NUM_VAL = 8000, 2000


def labels(num: int, seed: int, **changes: Any) -> Labels:
    random = np.random.default_rng(seed)
    logs = random.normal(3.5, 1.2, num)
    views = np.floor(np.exp(logs)).astype(np.int64)
    favorites = random.poisson(np.exp(logs - 6))
    columns: dict[str, Any] = {
        "keys": np.array([f"{i:09d}" for i in range(num)]),
        "ids": np.array([f"id{i}" for i in range(num)]),
        "owners": np.array([f"o{i % 40}" for i in range(num)]),
        "views": views,
        "favorites": favorites,
        "comments": random.poisson(0.2 + favorites / 3),
    }
    return Labels(**(columns | changes))


LAST_DIGIT = 6e-7  # of a number that a verdict keeps to six decimals


def plainly(*arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = remade(*arguments).model_dump(mode="json")
    return found


@pytest.fixture(scope="module")
def splits() -> tuple[Labels, Labels]:
    train = labels(NUM_TRAIN, 1)
    train.views[17] = 90_000
    return train, labels(NUM_VAL, 2)


@pytest.fixture
def sweep(tmp_path: Path) -> WrittenSweep:
    """The paper's hybrid with a point each 40 iterations, its classification with one each 2,000, and two drawn hybrids."""
    folder = WrittenSweep(tmp_path / "s")
    for key, task, purpose in (("paper-hybrid", "hybrid", "paper"), ("paper-classification", "classification", "paper"), ("0000", "hybrid", "search"),
                             ("0001", "hybrid", "search"), ("0002", "regression", "search")):  # fmt: skip
        folder.trial(key, task=task, purpose=purpose, label=f"{key}!", batch_size=50, pictures=400_000)
    for k in range(1, 101):
        more = {"val_half_mse_bin": 4.0, "val_half_mse_bin_mean_bin": 4.1} if k % 25 == 0 else {}
        folder.point("paper-hybrid", 2000 * k, train_loss=float(k), **more)
    for k in range(1, 5):
        folder.point("paper-classification", 100_000 * k, train_loss=1.0 / k, val_log_loss_fav=0.3, val_log_loss_fav_prior=0.4)
    hybrid = {"val/half_mse_bin": 4.0, "val/half_mse_bin_mean_bin": 4.1, "val/rho_views": 0.2, "val/gini_fav": 0.1}
    outcomes = {
        "paper-hybrid": ("done", 0.15, hybrid),
        "paper-classification": ("done", 0.1, {"val/log_loss_fav": 0.3, "val/log_loss_fav_prior": 0.4, "val/gini_fav": 0.3, "val/accuracy_fav": 0.9}),
        "0000": ("done", 0.2, hybrid | {"val/half_mse_bin": 3.0}),
        "0001": ("pruned", 0.9, hybrid),
        "0002": ("diverged", -1.0, {}),
    }
    for key, (status, objective, metrics) in outcomes.items():
        TrialOutcome(status=status, settings_sha256="0" * 64, objective=objective, metrics=metrics, ended_at=1.0).write(
            folder.folder.trial(key).outcome
        )
    return folder


def test_what_is_said_of_a_tail() -> None:
    assert tail_laws("power law", -2.04, 0.0413) == "a power law fits better (z = -2.0, p = 0.041)"
    assert tail_laws(None, 0.0, 1.0) == "a lognormal and a power law cannot be told apart (z = 0.0, p = 1.000)"


def test_everything_is_plain_json(splits: tuple[Labels, Labels], sweep: WrittenSweep) -> None:
    found = plainly(*splits, read_trials(sweep.folder))
    assert json.loads(json.dumps(found, allow_nan=False, sort_keys=True)) == found
    assert found == plainly(*splits, read_trials(sweep.folder))
    assert found["pictures"] == {"train": NUM_TRAIN, "val": NUM_VAL}


def test_table_1_before_and_after_the_cut(splits: tuple[Labels, Labels]) -> None:
    found = plainly(*splits, [])["table_1"]
    views = np.concatenate([split.views for split in splits])
    row = found["rows"][0]
    assert row["count"] == "views"
    assert row["paper"] == {"mean": 146.37, "sd": 323.58, "max": 321_528}
    assert row["before"]["max"] == 90_000
    assert row["before"]["sd"] == pytest.approx(views.std(ddof=1), abs=LAST_DIGIT)
    assert row["before"]["sd_population"] == pytest.approx(views.std(), abs=LAST_DIGIT)
    assert row["before"]["sd"] > row["before"]["sd_population"]
    assert row["limit"] == pytest.approx(views.mean() + 6 * views.std(), abs=LAST_DIGIT)
    assert row["after"]["max"] <= row["limit"] < 90_000
    assert row["after"]["sd"] < row["before"]["sd"] / 3  # what one picture does
    assert 1 <= found["num_before"] - found["num_after"] < 200
    assert found["num_before"] == NUM_TRAIN + NUM_VAL


def test_table_2_with_and_without_the_outliers(splits: tuple[Labels, Labels]) -> None:
    rows = {(row["first"], row["second"]): row for row in plainly(*splits, [])["table_2"]["rows"]}
    assert list(rows) == [("views", "favorites"), ("views", "comments"), ("favorites", "comments")]
    views, favorites = (np.concatenate([getattr(split, name) for split in splits]) for name in ("views", "favorites"))
    row = rows["views", "favorites"]
    assert row["paper"] == 0.44
    assert row["pearson_before"] == pytest.approx(np.corrcoef(views, favorites)[0, 1], abs=LAST_DIGIT)
    assert row["spearman_before"] == pytest.approx(spearmanr(views, favorites).statistic, abs=LAST_DIGIT)
    assert row["pearson_after"] > row["pearson_before"] + 0.1  # one picture is enough to hide a correlation of counts,
    assert row["spearman_after"] == pytest.approx(row["spearman_before"], abs=0.02)  # not one of ranks


def test_figure_1_is_of_train(splits: tuple[Labels, Labels]) -> None:
    found = plainly(*splits, [])["figure_1"]
    train = splits[0]
    assert found["most_viewed"] == {
        "key": "000000017", "id": "id17", "views": 90_000, "favorites": int(train.favorites[17]), "comments": int(train.comments[17]),  # type: ignore[index]
    }  # fmt: skip
    assert found["mean_views"] == train.views.mean()
    assert abs(found["average"]["views"] - train.views.mean()) == np.abs(train.views - train.views.mean()).min()
    assert found["paper"] == {"average": 200, "most_viewed": 321_528}


def test_figure_2_holds_all_counts_and_both_laws(splits: tuple[Labels, Labels]) -> None:
    found = plainly(*splits, [])["figure_2"]
    assert sum(found["heights"]) + found["num_beyond"] == found["num"] == NUM_TRAIN + NUM_VAL
    assert found["edges"][-1] == found["shown_views"] == 2000
    assert len(found["heights"]) == len(found["edges"]) - 1
    views = np.concatenate([split.views for split in splits])
    for point in (found["ccdf"][0], found["ccdf"][len(found["ccdf"]) // 2], found["ccdf"][-1]):
        assert point["share"] == pytest.approx((views >= point["views"]).mean(), abs=LAST_DIGIT)
    assert found["ccdf"][-1]["views"] == 90_000
    whole, tail = found["fits"]
    assert (whole["xmin"], whole["xmin_chosen"], tail["xmin_chosen"]) == (1, False, True)
    assert whole["better"] == "lognormal"
    assert whole["sentence"] == f"a lognormal fits better (z = {whole['z']:.1f}, p < 0.001)"
    at = {point["views"]: point for point in whole["curve"]}
    assert at[1]["lognormal"] == pytest.approx((views >= 1).mean(), abs=LAST_DIGIT)
    assert at[1]["power_law"] == pytest.approx(at[1]["lognormal"], abs=2 * LAST_DIGIT)
    assert found["why_no_fit"] is None


def test_figure_4_is_smoothed_over_the_papers_window(splits: tuple[Labels, Labels], sweep: WrittenSweep) -> None:
    found = plainly(*splits, read_trials(sweep.folder))["figure_4"]
    assert (found["trial"], found["status"], found["window"], found["window_of_paper"]) == ("paper-hybrid", "done", 600, 600)
    assert found["iterations_a_point"] == 40  # 2,000 pictures, 50 a batch
    assert found["smoothed_over"] == 15  # 15 points of 40 iterations are 600
    assert not found["coarser_than_window"]
    assert found["points"][0] == {"iterations": 600.0, "pictures": 30_000, "loss": pytest.approx(8)}
    assert found["points"][-1] == {"iterations": 4000.0, "pictures": 200_000, "loss": pytest.approx(93)}
    assert [point["loss"] for point in found["val"]] == [4.0] * 4
    assert found["constant"] == 4.1
    assert found["note"] == "Each point is the mean loss of 40 iterations, averaged over 15 for a window of 600 as in the paper."


def test_a_run_of_one_window_keeps_a_curve(splits: tuple[Labels, Labels], tmp_path: Path) -> None:
    folder = WrittenSweep(tmp_path / "s")
    folder.trial("paper-hybrid", task="hybrid", purpose="paper", batch_size=50, pictures=30_000)
    for k in range(1, 41):
        folder.point("paper-hybrid", 750 * k, train_loss=float(k))
    found = plainly(*splits, read_trials(folder.folder))["figure_4"]
    assert (found["window"], found["smoothed_over"], len(found["points"])) == (60, 4, 37)
    assert found["note"] == "Each point is the mean loss of 15 iterations, averaged over 4 for a window of 60, a tenth of the run."


def test_a_curve_coarser_than_the_window_says_so(splits: tuple[Labels, Labels], sweep: WrittenSweep) -> None:
    found = plainly(*splits, read_trials(sweep.folder))["figure_3"]
    assert found["coarser_than_window"]
    assert found["smoothed_over"] == 1
    assert found["iterations_a_point"] == 2000
    assert [point["loss"] for point in found["points"]] == pytest.approx([1.0, 1 / 2, 1 / 3, 1 / 4], abs=LAST_DIGIT)
    assert found["note"] == "Each point is the mean loss of 2,000 iterations, more than the paper's window of 400."


def test_headline_numbers_beside_the_papers(splits: tuple[Labels, Labels], sweep: WrittenSweep) -> None:
    losses = {"half_mse_bin": 3.2, "half_mse_bin_mean_bin": 4.0}
    rho = Interval(value=0.3, low=0.2, high=0.4)
    judged = [Predictor(name="trial-0000", label="0000!", kind="shipped", losses=losses, num_seeds=1, rho_views=rho)]
    regression, classification, hybrid = plainly(*splits, read_trials(sweep.folder), judged)["headline"]
    assert hybrid["paper"]["d2"] == pytest.approx(1 - 4.01 / 4.125, abs=LAST_DIGIT)
    paper, best = hybrid["ours"]
    assert (paper["role"], paper["trial"], paper["test"]) == ("paper", "paper-hybrid", None)
    assert paper["val"]["d2"] == pytest.approx(1 - 4.0 / 4.1, abs=LAST_DIGIT)
    assert paper["val"]["rank"] == paper["val"]["rho_views"] == 0.2
    assert (best["role"], best["trial"]) == ("best of this task", "0000")  # the pruned one is higher, and no candidate
    assert best["val"]["d2"] == pytest.approx(1 - 3.0 / 4.1, abs=LAST_DIGIT)
    assert best["test"] == {"loss": 3.2, "constant": 4.0, "d2": pytest.approx(0.2), "rank": 0.3, "rho_views": 0.3, "accuracy": None}
    assert classification["paper"]["d2"] == pytest.approx(0.0, abs=LAST_DIGIT)
    assert classification["paper"]["best_d2"] == pytest.approx(1 - 0.104 / 0.109, abs=LAST_DIGIT)
    assert classification["ours"][0]["val"] == {
        "loss": 0.3,
        "constant": 0.4,
        "d2": pytest.approx(0.25),
        "rank": 0.3,
        "rho_views": None,
        "accuracy": 0.9,
    }
    assert regression["paper"]["constant"] == pytest.approx(323.58**2 / 2)
    assert regression["ours"] == []  # none with the paper's settings, and the drawn one diverged


def test_what_a_table_lacks_is_left_out(splits: tuple[Labels, Labels], make_labels: Callable[..., Labels]) -> None:
    train, val = make_labels(np.array([0, 3, 3])), make_labels(np.array([1, 2]))
    train = Labels(train.keys, train.ids, train.owners, train.views)
    found = plainly(train, Labels(val.keys, val.ids, val.owners, val.views), [])
    assert [row["count"] for row in found["table_1"]["rows"]] == ["views"]
    assert found["table_2"]["rows"] == []
    assert found["figure_2"]["fits"] == []
    assert found["figure_2"]["why_no_fit"].startswith("counts: 4 of at least 1, 3 different; at least 50 are needed")
    assert found["figure_3"] is None
    assert found["figure_1"]["most_viewed"]["favorites"] is None
    assert json.dumps(found, allow_nan=False)
    none = Labels(train.keys, train.ids, train.owners, np.zeros(3, np.int64))
    assert plainly(none, none, [])["figure_2"]["ccdf"] == []


def test_a_trial_without_a_point_draws_nothing(splits: tuple[Labels, Labels], tmp_path: Path) -> None:
    folder = WrittenSweep(tmp_path / "s")
    folder.trial("paper-hybrid", task="hybrid", purpose="paper")
    found = plainly(*splits, read_trials(folder.folder))
    assert found["figure_4"]["points"] == []
    assert found["figure_4"]["note"] == "No point was noted."
    assert found["headline"][2]["ours"][0]["val"]["loss"] is None
    assert json.dumps(found, allow_nan=False)
