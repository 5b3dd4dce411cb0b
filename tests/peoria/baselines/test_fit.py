"""Baselines: on the same pictures, from unfiltered train, and blind to what they should be blind to."""

from pathlib import Path

import numpy as np
import pytest

from peoria.baselines.fit import random_score, trivial
from peoria.baselines.image import colour_and_edges
from peoria.baselines.suite import all_baselines
from peoria.data.dataset import Dataset, SplitData, open_dataset
from peoria.data.images import ArrayPictures
from peoria.data.synthetic import EFFECT_WEIGHTS, plant
from peoria.tasks import get_task
from shards.pack.pack import pack
from tests.helpers.small import trial_config

TASKS = ("regression", "classification", "hybrid")


@pytest.fixture(scope="module")
def found(dataset: Dataset) -> dict[str, dict[str, float]]:
    return {b.name: b.predict(dataset.val).metrics(dataset.val.labels) for b in all_baselines(dataset, trial_config(), TASKS)}


def test_every_constant_of_the_study(found: dict[str, dict[str, float]], dataset: Dataset) -> None:
    train, val = dataset.train.labels, dataset.val.labels
    assert {name.split("(")[1].rstrip(")") for task in TASKS for name in found[f"trivial-{task}"] if "(" in name} == {
        *("mean", "median", "geometric mean", "prior", "majority", "mean bin", "median bin", "random bin")
    }
    regression, classification = found["trivial-regression"], found["trivial-classification"]
    assert regression["half_mse_views (mean)"] == pytest.approx(0.5 * np.mean((val.views - train.views.mean()) ** 2))
    assert regression["half_mse_views"] == regression["half_mse_views (mean)"]
    assert val.favorites is not None
    assert classification["accuracy_fav (majority)"] == pytest.approx((val.favorites == 0).mean())
    assert all(found[f"trivial-{task}"]["rho_views"] == 0 for task in TASKS)
    assert found["trivial-hybrid"]["half_mse_bin (random bin)"] > found["trivial-hybrid"]["half_mse_bin (mean bin)"]


def test_learnt_ones_find_what_they_can_see(found: dict[str, dict[str, float]]) -> None:
    assert found["colour-ridge"]["rho_views"] > 0.3  # colour was planted
    assert found["age-only"]["rho_views"] > 0  # and age
    assert "frozen-trunk-ridge" not in found  # no weights, no pretrained trunk


def test_the_ridge_does_not_see_arrangement(tmp_path: Path) -> None:
    plant(tmp_path / "p", num_pictures=500, seed=5, **EFFECT_WEIGHTS["arrangement"])
    pack(tmp_path / "p" / "metadata.csv", tmp_path / "s", keep=("oracle",), processes=2)
    world = open_dataset(tmp_path / "s", tmp_path / "c")
    ridge = next(b for b in all_baselines(world, trial_config(), ("regression",)) if b.name == "colour-ridge")
    rho = ridge.predict(world.val).metrics(world.val.labels)["rho_views"]
    assert abs(rho) < 3 / np.sqrt(len(world.val))


def test_features_do_not_know_where_anything_is(dataset: Dataset) -> None:
    assert isinstance(dataset.val.pixels, ArrayPictures)
    array, labels = np.asarray(dataset.val.pixels.array[:4]), dataset.val.labels.take(np.arange(4))
    split = SplitData(ArrayPictures(array), labels)
    # The centre crop mirrored is the same set of pixels; edges are the same but for their direction.
    mirrored = SplitData(ArrayPictures(array[:, ::-1][:, np.r_[1:256, 0:1]]), labels)
    np.testing.assert_allclose(colour_and_edges(split)[:, :28], colour_and_edges(mirrored)[:, :28], rtol=0.05, atol=1.0)
    assert np.isfinite(colour_and_edges(split)).all()
    grey = SplitData(ArrayPictures(np.full((1, 256, 256, 3), 128, dtype=np.uint8)), labels.take(np.arange(1)))
    assert np.isfinite(colour_and_edges(grey)).all()


def test_chance_is_chance(dataset: Dataset) -> None:
    scores = random_score().predict(dataset.val)
    assert abs(scores.metrics(dataset.val.labels)["rho_views"]) < 4 / np.sqrt(len(dataset.val))


def test_constants_come_from_uncut_train(dataset: Dataset) -> None:
    """No trial's cut can reach them: they are fitted before any trial exists, on every training picture."""
    baseline = trivial(get_task("regression"), dataset, "views")
    losses = baseline.predict(dataset.val).losses
    cut = dataset.train.labels.views[dataset.train.labels.views < np.quantile(dataset.train.labels.views, 0.9)]
    wrong = 0.5 * np.mean((dataset.val.labels.views - cut.mean()) ** 2)
    assert losses["half_mse_views (mean)"] != pytest.approx(wrong)
