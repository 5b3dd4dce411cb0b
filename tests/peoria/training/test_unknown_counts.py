"""Pictures whose favourites are unknown: in no batch, loss, constant or rank of favourites, and in all of views."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from peoria.baselines.suite import every_baseline
from peoria.config.space import Space
from peoria.data.controls import reassign
from peoria.data.dataset import Dataset
from peoria.data.targets import counts, kept_by_outlier_filter, known_counts
from peoria.errors import ConfigError
from peoria.records.folder import TrialFolder
from peoria.stats import metrics
from peoria.sweep.plan import make_plan, objective_standard_error
from peoria.training.evaluate import has_both_classes, objective_name, rank_metrics
from peoria.training.loop import train
from peoria.training.messages import TrialReport
from shards.counts import PartlyKnown, counts_of
from shards.labels import Labels
from tests.helpers.small import small_sweep, trial_config
from tests.helpers.unknown import split_without_favorites, without_favorites

MakeLabels = Callable[..., Labels]
SHORT = {"pictures": 320, "evaluations": 1}


@pytest.fixture(scope="module")
def partly(dataset: Dataset) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """The small set without the favourites of three pictures in ten, and whose are left in train and in val."""
    of_train, train_known = split_without_favorites(dataset.train, 0.3, 1)
    of_val, val_known = split_without_favorites(dataset.val, 0.3, 2)
    return replace(dataset, train=of_train, val=of_val), train_known, val_known


def ended(dataset: Dataset, folder: Path, **changes: object) -> TrialReport:
    folder.mkdir(exist_ok=True)
    return list(train(trial_config(**SHORT, **changes), dataset, TrialFolder(folder)))[-1]


def test_a_classification_is_that_of_the_pictures_whose_favourites_are_known(
    partly: tuple[Dataset, np.ndarray, np.ndarray], dataset: Dataset, tmp_path: Path
) -> None:
    """To the bit what training on those pictures alone gives: the others are in no batch."""
    some, train_known, val_known = partly
    among_all = ended(some, tmp_path / "a", task="classification", outlier_sd=None)
    alone = replace(some, train=dataset.train.take(np.flatnonzero(train_known)))
    assert among_all.points == ended(alone, tmp_path / "b", task="classification", outlier_sd=None).points
    only_val = replace(alone, val=dataset.val.take(np.flatnonzero(val_known)))
    by_favourites = ended(only_val, tmp_path / "c", task="classification", outlier_sd=None).metrics
    for name in ("gini_fav", "log_loss_fav", "brier_fav", "accuracy_fav", "d2", "log_loss_fav_prior"):
        assert among_all.metrics[f"val/{name}"] == pytest.approx(by_favourites[f"val/{name}"], abs=1e-6)
    assert among_all.metrics["val/rho_views"] != by_favourites["val/rho_views"]  # of all val pictures
    # the control: 0 in the place of what is unknown teaches and judges something else
    zeros = [replace(split, labels=replace(split.labels, favorites=_filled(split.labels))) for split in (some.train, some.val)]
    filled = ended(replace(some, train=zeros[0], val=zeros[1]), tmp_path / "d", task="classification", outlier_sd=None)
    assert filled.metrics["val/log_loss_fav_prior"] < 0.9 * among_all.metrics["val/log_loss_fav_prior"]


@pytest.mark.parametrize("task", ["regression", "hybrid"])
def test_what_learns_views_learns_from_every_picture(
    task: str, partly: tuple[Dataset, np.ndarray, np.ndarray], dataset: Dataset, tmp_path: Path
) -> None:
    some, _, val_known = partly
    found, whole = ended(some, tmp_path / "a", task=task, outlier_sd=None), ended(dataset, tmp_path / "b", task=task, outlier_sd=None)
    same = {name for name in whole.metrics if name not in ("val/gini_fav", "val/auc_fav", "val/rank_mean")}
    assert {name: found.metrics[name] for name in same} == {name: whole.metrics[name] for name in same}
    with np.load(tmp_path / "a" / "val_scores.npz") as stored:
        _, favorites = some.val.labels.counted("favorites")
        assert found.metrics["val/gini_fav"] == pytest.approx(metrics.gini(stored["scores"][val_known], favorites >= 1))


def test_a_target_that_is_known_for_some(partly: tuple[Dataset, np.ndarray, np.ndarray], dataset: Dataset, tmp_path: Path) -> None:
    """Also where the outlier filter and a subset are at work: the filter's limits are of all pictures of the subset, the batches of the known."""
    some = partly[0]
    settings = {"task": "hybrid", "target": "favorites", "outlier_sd": 2.0, "subset": "owners:0.8"}
    found = ended(some, tmp_path / "a", **settings)
    assert np.isfinite(found.metrics["val/half_mse_bin"])
    none = replace(some, train=replace(some.train, labels=replace(some.train.labels, favorites=None)))
    with pytest.raises(ConfigError, match="target: favorites; the packed set has no such column"):
        ended(none, tmp_path / "b", **settings)
    of_val = replace(some, val=replace(some.val, labels=replace(some.val.labels, favorites=None)))
    without = ended(of_val, tmp_path / "c", task="classification")  # learnt, and on val ranked by views alone
    assert "val/rho_views" in without.metrics
    assert not [name for name in without.metrics if "fav" in name or name in ("val/d2", "val/rank_mean")]


def test_the_outlier_filter_goes_by_what_is_known(make_labels: MakeLabels) -> None:
    views, favorites = np.full(1000, 5), np.zeros(1000, np.int64)
    favorites[:3] = 50, 60, 70
    known = np.arange(1000) % 2 == 0
    labels = make_labels(views, counts_of(favorites[known], known))
    assert np.flatnonzero(~kept_by_outlier_filter(labels, 6.0)).tolist() == [0, 2]
    limit = favorites[known].mean() + 6 * favorites[known].std()
    assert favorites[0] > limit > favorites.mean()
    assert kept_by_outlier_filter(make_labels(views), 6.0).all()


def test_counts_of_every_picture_are_refused_where_some_are_unknown(make_labels: MakeLabels) -> None:
    labels = make_labels(np.arange(4), counts_of(np.array([7, 0]), np.array([False, True, False, True])))
    rows, y = known_counts(labels, "favorites")
    assert (rows.tolist(), y.tolist()) == ([1, 3], [7.0, 0.0])
    assert counts(labels, "views").tolist() == [0, 1, 2, 3]
    with pytest.raises(ConfigError, match="target: favorites; unknown for 2 of 4 pictures"):
        counts(labels, "favorites")


def test_the_rank_of_favourites_is_that_of_the_known(make_labels: MakeLabels) -> None:
    random = np.random.default_rng(0)
    score, favorites = random.normal(size=300), random.integers(0, 2, 300)
    labels, known = without_favorites(make_labels(random.integers(0, 99, 300), favorites), 0.4)
    found = rank_metrics(score, score, labels)
    assert found["gini_fav"] == metrics.gini(score[known], favorites[known] >= 1)
    assert found["rho_views"] == metrics.spearman(score, labels.views)
    assert objective_name(labels) == "rank_mean"
    one_class = make_labels(labels.views, counts_of(np.ones(5, np.int64), np.arange(300) < 5))
    assert not has_both_classes(one_class)
    assert objective_name(one_class) == "rho_views"  # few that are known are no reason to refuse a study of views
    assert objective_name(make_labels(labels.views, np.ones(300, np.int64))) == "rho_views"  # nor that all have one


def test_learnt_baselines_have_no_part_of_the_unknown(partly: tuple[Dataset, np.ndarray, np.ndarray], dataset: Dataset) -> None:
    some, train_known, _ = partly
    alone = replace(some, train=dataset.train.take(np.flatnonzero(train_known)))
    named = {baseline.name: baseline for baseline in every_baseline(some, trial_config(), ("classification", "regression"))}
    of_known = {baseline.name: baseline for baseline in every_baseline(alone, trial_config(), ("classification", "regression"))}
    found, expected = (of["colour-ridge"].predict(some.val) for of in (named, of_known))
    np.testing.assert_allclose(found.favorites, expected.favorites)  # type: ignore[arg-type]
    assert len(found.favorites) == len(some.val)  # type: ignore[arg-type]
    assert not np.allclose(found.views, expected.views)  # type: ignore[arg-type]  # of views it learns from all
    trivial = named["trivial-classification"].predict(some.val)
    positive = some.val.labels.counted("favorites")[1] >= 1
    prior = float((some.train.labels.counted("favorites")[1] >= 1).mean())
    assert trivial.losses["log_loss_fav (prior)"] == pytest.approx(metrics.log_loss(np.full(len(positive), prior), positive))
    none = replace(some.val, labels=replace(some.val.labels, favorites=None))
    assert named["trivial-classification"].predict(none).losses == {}


def test_a_control_moves_a_triple_whole(make_labels: MakeLabels) -> None:
    """What is unknown goes with the picture's other counts, so that every split keeps what it has."""
    views = np.arange(400)
    labels, _ = without_favorites(make_labels(views, views * 2), 0.3)
    moved = reassign("shuffle", labels, "seed", None)
    assert isinstance(moved.favorites, PartlyKnown)
    rows, favorites = moved.counted("favorites")
    assert (favorites == 2 * moved.views[rows]).all()
    assert sorted(favorites.tolist()) == sorted(labels.counted("favorites")[1].tolist())
    assert not (moved.views == views).all()


def test_the_plan_says_what_is_unknown(partly: tuple[Dataset, np.ndarray, np.ndarray], planted_shards: Path, tmp_path: Path) -> None:
    some, train_known, val_known = partly
    plan = make_plan(small_sweep(planted_shards), some.train.labels, some.val.labels, concurrent=1, home=tmp_path, pictures="")
    [said] = [text for text in plan.warnings if text.startswith("favorites: unknown for")]
    few = counts_of(np.zeros(3, np.int64), np.arange(len(some.val)) < 3)
    plan = make_plan(
        small_sweep(planted_shards), some.train.labels, replace(some.val.labels, favorites=few), concurrent=1, home=tmp_path, pictures=""
    )
    assert plan.objective == "rho_views"
    sweep = small_sweep(planted_shards, space=Space(task=("classification",)))
    with pytest.raises(ConfigError, match="'classification' with favourites known for 3 pictures of train, all of one class"):
        make_plan(sweep, replace(some.train.labels, favorites=counts_of(few.values, np.arange(len(some.train)) < 3)), some.val.labels, concurrent=1,
                  home=tmp_path, pictures="")  # fmt: skip
    assert "favorites: known for 3 pictures of val, all of one class: trials are ranked by views alone, favourites are not judged" in plan.warnings
    assert said.startswith(f"favorites: unknown for {1 - train_known.mean():.1%} of train and {1 - val_known.mean():.1%} of val; these pictures stay")


def test_the_luck_of_the_objective_where_favourites_are_known_for_some(make_labels: MakeLabels) -> None:
    """The standard error of the mean of both ranks, of a score that knows nothing, as it is over many such scores."""
    random = np.random.default_rng(3)
    views = random.integers(0, 1000, 1500)
    favorites = (views + random.normal(0, 400, 1500) > 800).astype(np.int64)
    labels, _ = without_favorites(make_labels(views, favorites), 0.5)
    drawn = []
    for _ in range(1500):
        score = random.normal(size=1500)
        drawn.append(rank_metrics(score, score, labels)["rank_mean"])
    assert objective_standard_error(labels, "rank_mean") == pytest.approx(np.std(drawn), rel=0.06)


def _filled(labels: Labels) -> np.ndarray:
    filled = np.zeros(len(labels), np.int64)
    rows, favorites = labels.counted("favorites")
    filled[rows] = favorites
    return filled
