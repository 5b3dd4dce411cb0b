"""Controls: every split keeps its counts, what is planted is there at its strength, and only who can see it finds it."""

import itertools
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from peoria.baselines.image import colour_and_edges
from peoria.data.control_signals import GLOBAL, NUM_MEASURES, TOP, WARMTH, measure, noise_pictures, seen_in_pictures
from peoria.data.controls import WORDS, Control, control_name, not_in_pictures, reassign, refuse_control
from peoria.data.dataset import Dataset, SplitData, open_dataset, open_split
from peoria.data.images import CROP_PX, ArrayPictures
from peoria.errors import ConfigError
from peoria.serving.export import export
from peoria.stats.metrics import normal_scores, spearman
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from shards.labels import Labels
from shards.read.openings import open_test
from shards.read.shard_set import ShardSet
from tests.helpers.small import small_sweep

ALL = "plant-arrangement-1"


def planted_rho(strength: float) -> float:
    """Spearman's of two normal variables whose Pearson correlation is ``strength`` (Pearson 1907)."""
    return 6 / math.pi * math.asin(strength / 2)


# -- names


@pytest.mark.parametrize("word", WORDS)
def test_a_name_says_all(word: str) -> None:
    name = control_name(word)
    control = Control.parse(name)
    assert name == ("shuffle" if word == "shuffle" else f"{word}-0.45")
    assert (control.kind, control.strength) == (("shuffle", 0.0) if word == "shuffle" else (word.removeprefix("plant-"), 0.45))


@pytest.mark.parametrize("name", ["shuffled", "plant-colour", "plant-colour-", "plant-colour-2", "plant-colour-0.450", "plant-x-0.45", ""])
def test_what_is_no_control_is_said(name: str) -> None:
    with pytest.raises(ConfigError, match=r"control: '.*'; shuffle or plant-KIND-STRENGTH, as in plant-colour-0.45"):
        Control.parse(name)


# -- who gets which counts


@pytest.fixture
def labels(make_labels: Callable[..., Labels]) -> Labels:
    views = np.random.default_rng(5).lognormal(3, 1.5, 20_000).astype(np.int64)  # with ties
    return make_labels(views, views * 2, comments=views * 3, owners=np.array([f"o{i}" for i in range(len(views))]))


@pytest.mark.parametrize("name", ["shuffle", "plant-colour-0.45", "plant-owner-1", "plant-age-0"])
def test_triples_stay_whole_and_every_count_stays_in_its_split(labels: Labels, name: str) -> None:
    s = np.random.default_rng(0).standard_normal(len(labels))
    handed = reassign(name, labels, "seed", s)
    assert sorted(handed.views) == sorted(labels.views)
    assert (handed.favorites == handed.views * 2).all()
    assert (handed.comments == handed.views * 3).all()
    assert (handed.owners == labels.owners).all()
    assert spearman(handed.views, labels.views) == pytest.approx(0, abs=0.03)
    assert (reassign(name, labels, "seed", s).views == handed.views).all()
    if name != "plant-owner-1":  # where nothing is left to the dice
        assert (reassign(name, labels, "another seed", s).views != handed.views).any()


def test_a_shuffle_is_the_permutation_that_it_has_always_been(labels: Labels) -> None:
    """So that a study that was controlled before can be repeated."""
    order = np.random.default_rng(0x19B25856E1C150CA).permutation(len(labels))  # the first eight bytes of sha256("seed")
    assert (reassign("shuffle", labels, "seed", None).views == labels.views[order]).all()


@pytest.mark.parametrize("strength", [0.0, 0.2, 0.45, 0.8, 1.0])
def test_the_strength_is_what_is_found(labels: Labels, strength: float) -> None:
    s = np.random.default_rng(1).standard_normal(len(labels))
    handed = reassign(f"plant-colour-{strength:g}", labels, "seed", s)
    assert spearman(s, handed.views) == pytest.approx(planted_rho(strength), abs=0.02)  # standard error 0.007


def test_equals_change_places_by_the_dice_alone(make_labels: Callable[..., Labels]) -> None:
    equal = make_labels(np.zeros(5000, np.int64), np.arange(5000))
    handed = reassign("plant-colour-1", equal, "seed", np.arange(5000.0))
    assert handed.favorites is not None
    assert spearman(np.arange(5000.0), handed.favorites) == pytest.approx(0, abs=0.05)


def test_normal_scores_are_normal_where_they_were_fitted() -> None:
    values = np.random.default_rng(0).lognormal(0, 2, 10_001)
    scores = normal_scores(values, values)
    assert (scores.mean(), scores.std()) == pytest.approx((0, 1), abs=0.01)
    assert (np.argsort(scores) == np.argsort(values)).all()
    beyond = normal_scores(values, np.array([-1.0, 1e9]))
    assert np.isfinite(beyond).all()
    assert beyond[0] == pytest.approx(-beyond[1])


# -- what is seen in a picture


def measures(split: SplitData) -> np.ndarray:
    out = np.empty((len(split), NUM_MEASURES), np.float32)
    measure(split.pixels, out)
    return out


def test_a_mirror_changes_nothing_and_turning_over_the_arrangement_alone(dataset: Dataset) -> None:
    crops = dataset.val.pixels.centre(0, 20)
    pictures = np.zeros((20, 256, 256, 3), np.uint8)

    def measured(of: np.ndarray) -> np.ndarray:
        pictures[:, 14 : 14 + CROP_PX, 14 : 14 + CROP_PX] = of
        out = np.empty((20, NUM_MEASURES), np.float32)
        measure(ArrayPictures(pictures), out)
        return out

    plain, mirrored, turned = measured(crops), measured(crops[:, :, ::-1]), measured(crops[:, ::-1])
    np.testing.assert_allclose(mirrored, plain, atol=1e-3)
    np.testing.assert_allclose(turned[:, WARMTH], plain[:, WARMTH], atol=1e-3)
    np.testing.assert_allclose(turned[:, GLOBAL], plain[:, GLOBAL], atol=1e-3)
    np.testing.assert_allclose(turned[:, TOP], -plain[:, TOP], atol=1e-3)
    assert (np.abs(plain[:, TOP]) > 1).any()
    expected = [np.subtract(*crop.reshape(-1, 3).mean(axis=0)[[0, 2]]) for crop in crops]
    np.testing.assert_allclose(plain[:, WARMTH], expected, atol=3)  # every sixteenth pixel stands for all
    grey = np.array([cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in crops], dtype=np.float64)
    np.testing.assert_allclose(plain[:, TOP], grey[:, :113].mean(axis=(1, 2)) - grey[:, 114:].mean(axis=(1, 2)), atol=4)


def test_every_crop_shows_what_is_planted(dataset: Dataset) -> None:
    """What training sees is a random crop, what is planted is measured in the centre."""
    whole = np.asarray(dataset.train.pixels.array)  # type: ignore[attr-defined]
    corner = np.empty((len(whole), NUM_MEASURES), np.float32)
    measure(ArrayPictures(np.roll(whole, (14, -14), axis=(1, 2))), corner)  # the crop at (0, 28)
    centre = measures(dataset.train)
    for name in ("plant-colour-1", "plant-arrangement-1"):
        assert spearman(seen_in_pictures(name, centre, corner), seen_in_pictures(name, centre, centre)) > 0.9


@pytest.fixture(scope="module")
def planted(planted_shards: Path, home: Path) -> Callable[[str], Dataset]:
    return lambda name: open_dataset(planted_shards, home / "cache", control=name)


def thumbnails(split: SplitData) -> np.ndarray:
    """Sees where it is bright, float64 [N, 64]."""
    return np.stack([cv2.resize(crop, (8, 8), interpolation=cv2.INTER_AREA).mean(axis=2).ravel() for crop in split.pixels.centre(0, len(split))])


def found_by(x: np.ndarray, labels: Labels) -> float:
    """How a ridge on ``x`` ranks one half of the pictures, fitted on the other half: val is too small to tell."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    ridge = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13))).fit(x[1::2], np.log1p(labels.views[1::2]))
    return spearman(ridge.predict(x[::2]), labels.views[::2])


def test_only_who_can_see_it_finds_what_is_planted(planted: Callable[[str], Dataset], dataset: Dataset) -> None:
    seen = {"colour and edges": colour_and_edges(dataset.train), "where it is bright": thumbnails(dataset.train)}
    names = ("plant-colour-0.8", "plant-arrangement-0.8", "plant-colour-0", "plant-owner-0.8", "plant-age-0.8", "shuffle")
    found = {(name, seer): found_by(x, planted(name).train.labels) for name in names for seer, x in seen.items()}
    assert found.pop(("plant-colour-0.8", "colour and edges")) > 0.6
    assert found.pop(("plant-arrangement-0.8", "where it is bright")) > 0.6
    del found["plant-colour-0.8", "where it is bright"]  # which knows a little of warmth
    assert ("plant-arrangement-0.8", "colour and edges") in found
    assert max(abs(rho) for rho in found.values()) < 4 / math.sqrt(len(dataset.train) / 2), found  # four standard errors


def test_what_position_free_statistics_know_of_the_arrangement_is_taken_out(dataset: Dataset) -> None:
    """Bright skies are blue: in pictures like these a histogram would tell how bright the upper half is."""
    random = np.random.default_rng(0)
    pictures = random.integers(60, 100, (300, 256, 256, 3), dtype=np.uint8)
    sky, own = random.uniform(size=300), random.integers(0, 12, 300)
    pictures[:, :128] += (sky[:, None] * [20, 40, 100] + own[:, None]).astype(np.uint8)[:, None, None]
    split = SplitData(ArrayPictures(pictures), dataset.train.labels.take(np.arange(300)))
    measured, x = measures(split), colour_and_edges(split)
    rho = {}
    for what, s in {"raw": normal_scores(measured[:, TOP], measured[:, TOP]), "taken out": seen_in_pictures(ALL, measured, measured)}.items():
        rho[what] = found_by(x, reassign(ALL, split.labels, "seed", s))
    assert rho["raw"] > 0.8
    assert abs(rho["taken out"]) < 4 / math.sqrt(150)


def test_the_oracle_is_what_the_picture_shows(planted: Callable[[str], Dataset]) -> None:
    for name in ("plant-colour-0.8", "plant-arrangement-0.8"):
        dataset = planted(name)
        for split in (dataset.train, dataset.val):
            assert split.oracle is not None
            assert split.oracle.dtype == np.float64
            assert spearman(split.oracle, split.labels.views) == pytest.approx(planted_rho(0.8), abs=3 / math.sqrt(len(split)))
    for name in ("plant-owner-0.8", "plant-age-0.8", "shuffle"):
        assert planted(name).val.oracle is None


def test_the_test_split_is_planted_by_the_measures_of_train(planted_shards: Path, home: Path, tmp_path: Path) -> None:
    """Whether train is at hand or has to be opened again."""
    shutil.copytree(planted_shards, tmp_path / "s", ignore=shutil.ignore_patterns("openings.jsonl"))
    opening = open_test(tmp_path / "s", sweep="a", purpose="test")
    shard_set = ShardSet(tmp_path / "s")
    name = "plant-arrangement-0.8"
    dataset = open_dataset(tmp_path / "s", home / "cache", control=name)
    test = open_split(shard_set, "test", home / "cache", control=name, opening=opening, train=dataset.train)
    alone = open_split(shard_set, "test", tmp_path / "cache", control=name, opening=opening, budget_bytes=0, say=lambda line: None)
    assert test.oracle is not None
    assert spearman(test.oracle, test.labels.views) == pytest.approx(planted_rho(0.8), abs=3 / math.sqrt(len(test)))
    np.testing.assert_array_equal(test.oracle, alone.oracle)  # type: ignore[arg-type]
    assert (test.labels.views == alone.labels.views).all()


def test_a_vault_is_planted_by_its_own_counts_and_measures(vaulted_shards: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(vaulted_shards, tmp_path / "s"))
    shard_set, name = ShardSet(root), "plant-colour-0.8"
    whole = open_test(root, sweep="a", purpose="test")
    first = open_test(root, sweep="a", purpose="test", choose=lambda _: (1, 1))
    found = [open_split(shard_set, "test", tmp_path, control=name, opening=opening) for opening in (whole, first)]
    assert 0 < len(found[1]) < len(found[0])
    for split, opening in zip(found, (whole, first), strict=True):
        assert split.oracle is not None
        assert len(split.pixels) == len(split.oracle) == len(split)
        own = shard_set.labels("test", opening)
        assert (split.labels.keys == own.keys).all()
        assert sorted(split.labels.views.tolist()) == sorted(own.views.tolist())


def test_what_is_measured_is_measured_once_a_node(planted_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_dataset(planted_shards, tmp_path, control="plant-colour-0.45")
    assert len(list(tmp_path.glob("*.f32"))) == 2

    def refuse(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("peoria.data.control_signals.measure", refuse)
    again = open_dataset(planted_shards, tmp_path, control="plant-arrangement-0.2")  # another control, the same measures
    assert again.train.oracle is not None
    assert (again.train.labels.views != first.train.labels.views).any()
    with pytest.raises(AssertionError, match="measured again"):  # control: another view
        open_dataset(planted_shards, tmp_path, control="plant-colour-0.45", where="tag=beach|bird|city|family|flower|garden")


def test_an_owner_has_one_fame_and_age_follows_the_dates(planted: Callable[[str], Dataset]) -> None:
    by_owner, by_age = planted("plant-owner-1").train.labels, planted("plant-age-1").train.labels
    assert by_age.uploaded_at is not None
    assert by_age.observed_at is not None
    age = (by_age.observed_at - by_age.uploaded_at).astype(np.float64)
    assert spearman(age, by_age.views) > 0.99
    mean = {owner: by_owner.views[by_owner.owners == owner] for owner in np.unique(by_owner.owners)}
    ranges = sorted((of_one.min(), of_one.max()) for of_one in mean.values())
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(ranges))  # owner after owner, nothing between


def test_without_a_reading_of_the_counts_age_is_to_one_moment_in_all_splits(labels: Labels) -> None:
    days = np.arange(len(labels)) % 900
    train = replace(labels, uploaded_at=np.datetime64("2012-01-01", "s") + days * np.timedelta64(86_401, "s"))
    later = labels.take(np.arange(50))
    later = replace(later, uploaded_at=np.datetime64("2014-01-01", "s") + np.arange(50) * np.timedelta64(1, "s"))
    read = [replace(of, observed_at=np.full(len(of), np.datetime64("2015-01-01", "s"))) for of in (train, later)]
    assert np.array_equal(not_in_pictures("plant-age-1", train, later, "data"), not_in_pictures("plant-age-1", *read, "data"))


def test_what_the_pictures_lack_is_said(labels: Labels, planted_shards: Path, tmp_path: Path) -> None:
    unknown = replace(labels, owners=np.where(np.arange(len(labels)) < 7, "", labels.owners))
    with pytest.raises(ConfigError, match=r"control: plant-owner-0.45: owner unknown for 7 of 20,000 pictures of val; known for each"):
        refuse_control("plant-owner-0.45", unknown, "val")
    with pytest.raises(ConfigError, match=r"control: plant-age-0.45: uploaded_at unknown for 20,000 of 20,000 pictures of train"):
        refuse_control("plant-age-0.45", labels, "train")
    dates = np.full(len(labels), np.datetime64("2014-01-01", "s"))
    refuse_control("plant-age-0.45", replace(labels, uploaded_at=dates), "train")
    read = np.where(np.arange(len(labels)) < 3, np.datetime64("NaT"), dates)
    with pytest.raises(ConfigError, match=r"uploaded_at or observed_at unknown for 3 of"):
        refuse_control("plant-age-0.45", replace(labels, uploaded_at=dates, observed_at=read), "train")
    with pytest.raises(ConfigError, match=r"control: 'plant-sound-0.45'"):
        run_sweep(small_sweep(planted_shards), RunOptions(home=tmp_path, local=True, tracking="off", control="plant-sound-0.45"))
    assert not (tmp_path / "sweeps").exists()


def test_a_sweep_under_a_control_is_its_own_and_its_model_is_none(planted_shards: Path, home: Path, tmp_path: Path) -> None:
    options = RunOptions(home=tmp_path, cache_dir=home / "cache", local=True, tracking="off", control="plant-colour-0.8")
    result = run_sweep(small_sweep(planted_shards, trials=1), options, lambda line: None)
    assert result.folder.name == "small-plant-colour-0.8"
    assert json.loads(result.folder.definition.read_text())["control"] == "plant-colour-0.8"
    ridge = json.loads(result.folder.baseline("colour-ridge").record.read_text())
    assert ridge["metrics"]["val/rho_views"] > 0.5
    export(tmp_path, result.folder.name, tmp_path / "model", formats=("safetensors",))
    card = (tmp_path / "model" / "README.md").read_text()
    assert "(control plant-colour-0.8: its counts were reassigned; not a model of anything)" in card


def test_white_noise() -> None:
    noise = noise_pictures(30, seed=4)
    assert noise.array.shape == (30, 256, 256, 3)
    assert noise.array.dtype == np.uint8
    assert (noise.array == noise_pictures(30, seed=4).array).all()
    assert (noise.array != noise_pictures(30, seed=5).array).any()
    shares = np.bincount(noise.array.ravel(), minlength=256) / noise.array.size
    assert shares == pytest.approx(np.full(256, 1 / 256), rel=0.04)  # six standard errors
    grey = noise.array.astype(np.float64) - 127.5
    assert (grey[:, 1:] * grey[:, :-1]).mean() / (grey**2).mean() == pytest.approx(0, abs=0.002)  # neighbours know nothing of one another
