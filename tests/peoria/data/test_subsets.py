"""Parts of train: the same ones for every trial, nested, and a study that has one has nothing else."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from peoria.baselines.suite import all_baselines
from peoria.data.dataset import Dataset, SplitData
from peoria.data.subsets import Subset, complement, subset_mask, uniform
from peoria.data.targets import kept_by_outlier_filter
from peoria.errors import ConfigError
from peoria.records.folder import TrialFolder
from peoria.training.checkpoint import load_model
from peoria.training.loop import train
from shards.labels import Labels
from tests.helpers.frozen import frozen_config
from tests.helpers.small import trial_config

DAYS = np.datetime64("2014-01-01", "s") + np.arange(4000) % 365 * np.timedelta64(86_400, "s")


@pytest.fixture
def labels(make_labels: Callable[..., Labels]) -> Labels:
    return make_labels(np.arange(4000), owners=np.array([f"o{i // 5}" for i in range(4000)]), uploaded_at=DAYS)


def test_shares_of_the_owners_are_nested_and_whole(labels: Labels) -> None:
    masks = [subset_mask(labels, f"owners:{share}", "a") for share in (0.125, 0.25, 0.5, 1)]
    for small, large in itertools.pairwise(masks):
        assert (small <= large).all()
    assert [mask.mean() for mask in masks] == pytest.approx([0.125, 0.25, 0.5, 1], abs=0.05)  # 800 owners
    for mask in masks:
        assert (mask.reshape(-1, 5) == mask.reshape(-1, 5)[:, :1]).all()  # an owner is in it or not
    assert (subset_mask(labels, "owners:0.5", "other data") != masks[2]).any()


def test_pictures_are_drawn_across_owners(labels: Labels) -> None:
    mask = subset_mask(labels, "pictures:0.8", "a")
    assert mask.mean() == pytest.approx(0.8, abs=0.03)
    shares = mask.reshape(-1, 5).mean(axis=1)
    assert ((shares > 0) & (shares < 1)).mean() > 0.5
    assert (complement(labels, "pictures:0.8", "a") == ~mask).all()
    by_owner = subset_mask(labels, "owners:0.8", "a")
    assert np.corrcoef(mask, by_owner)[0, 1] == pytest.approx(0, abs=0.1)  # another draw


def test_where_the_owner_is_unknown_the_picture_stands_in(labels: Labels) -> None:
    unknown = replace(labels, owners=np.full(4000, ""))
    assert subset_mask(unknown, "owners:0.5", "a").mean() == pytest.approx(0.5, abs=0.05)


def test_before_a_day_is_what_is_known_to_be(labels: Labels) -> None:
    dates = DAYS.copy()
    dates[:100] = np.datetime64("NaT")
    dated = replace(labels, uploaded_at=dates)
    mask, rest = subset_mask(dated, "before:2014-05-01", "a"), complement(dated, "before:2014-05-01", "a")
    assert (mask[100:] == (DAYS[100:] < np.datetime64("2014-05-01"))).all()
    assert not (mask[:100] | rest[:100]).any()
    assert (mask | rest)[100:].all()


def test_the_control_of_a_past_is_as_large_and_of_any_time(labels: Labels) -> None:
    past = subset_mask(labels, "before:2014-05-01", "a")
    draws = [subset_mask(labels, f"matched:2014-05-01/{draw}", "a") for draw in (1, 2, 3)]
    for mask in draws:
        assert mask.sum() == past.sum()  # to the picture
        of_owners = mask.reshape(-1, 5).mean(axis=1)
        assert ((of_owners > 0) & (of_owners < 1)).sum() <= 1  # whole owners, but for the last
    early, late = (np.mean([mask[when].mean() for mask in draws]) for when in (past, ~past))
    assert late == pytest.approx(early, abs=0.07)  # of the later time as many
    for one, other in itertools.combinations(draws, 2):
        assert np.corrcoef(one, other)[0, 1] == pytest.approx(0, abs=0.15)  # owners are drawn anew
    order = np.random.default_rng(0).permutation(len(labels))
    assert (subset_mask(labels.take(order), "matched:2014-05-01/2", "a") == draws[1][order]).all()  # whatever the order of the pictures
    unknown = replace(labels, owners=np.full(4000, ""))
    assert subset_mask(unknown, "matched:2014-05-01/1", "a").sum() == past.sum()
    with pytest.raises(ConfigError, match="it needs the column uploaded_at"):
        subset_mask(replace(labels, uploaded_at=None), "matched:2014-05-01/1", "a")


@pytest.mark.parametrize(
    "text",
    [
        *("owners", "owners:0", "owners:1.5", "owners:nan", "owner:0.5", "pictures:", "before:2014", "before:20140501", "before:yesterday", ""),
        *("matched:2014-05-01", "matched:2014-05-01/0", "matched:2014-05-01/01", "matched:2014-05-01/-1", "matched:2014/1", "matched:2014-05-01/1/2"),
    ],
)
def test_what_is_no_subset_is_said(text: str) -> None:
    with pytest.raises(ConfigError, match=r"subset: '.*'; owners:SHARE, pictures:SHARE .* or matched:YYYY-MM-DD/DRAW"):
        Subset.parse(text)
    with pytest.raises(ValueError, match=r"subset: '.*'; owners:SHARE"):
        trial_config(subset=text)


def test_too_few_or_no_dates_are_said(labels: Labels) -> None:
    with pytest.raises(ConfigError, match=r"subset: 'before:2014-01-01' is 0 of 4,000 pictures of train; at least 20"):
        subset_mask(labels, "before:2014-01-01", "a")
    with pytest.raises(ConfigError, match="it needs the column uploaded_at"):
        subset_mask(replace(labels, uploaded_at=None), "before:2014-05-01", "a")


def test_numbers_by_hash_are_even(labels: Labels) -> None:
    found = uniform(labels.ids, "a")
    assert np.histogram(found, bins=10, range=(0, 1))[0] == pytest.approx(np.full(10, 400), rel=0.25)
    assert (uniform(labels.ids[::-1], "a")[::-1] == found).all()


def shrunk(dataset: Dataset, rows: np.ndarray) -> Dataset:
    return replace(dataset, train=dataset.train.take(rows))


@pytest.mark.parametrize("task", ["regression", "hybrid", "classification"])
def test_a_trial_on_a_subset_is_the_trial_of_a_study_that_has_no_more(dataset: Dataset, tmp_path: Path, task: str) -> None:
    config = trial_config(task=task, subset="owners:0.5", outlier_sd=3.0, pictures=320, evaluations=1, curve_points=10)
    mask = subset_mask(dataset.train.labels, config.subset, dataset.identity)
    found = list(train(config, dataset, TrialFolder(tmp_path / "subset")))
    alone = list(train(config.model_copy(update={"subset": None}), shrunk(dataset, np.flatnonzero(mask)), TrialFolder(tmp_path / "alone")))
    assert found == alone
    card, card_alone = (load_model(TrialFolder(tmp_path / name))[1] for name in ("subset", "alone"))
    assert card.task == card_alone.task
    assert (card.num_train, card.num_kept) == (card_alone.num_train, card_alone.num_kept)
    assert card.num_train == mask.sum() < len(dataset.train)
    whole = list(train(config.model_copy(update={"subset": None}), dataset, TrialFolder(tmp_path / "whole")))  # control
    assert whole != found


def test_a_frozen_trunk_is_seen_once_for_all_subsets_and_only_its_rows_are_drawn(here: Dataset, weights: Path, tmp_path: Path) -> None:
    from peoria.data.batches import Batches

    drawn: list[np.ndarray] = []
    plain = Batches.rows_at

    def watched(self: Batches, start: int, stop: int) -> np.ndarray:
        drawn.append(plain(self, start, stop))
        return drawn[-1]

    list(train(frozen_config(weights), here, TrialFolder(tmp_path / "whole")))
    assert here.cache is not None
    files = sorted(path.name for path in here.cache.glob("*.f16"))
    config = frozen_config(weights, subset="owners:0.5")
    mask = subset_mask(here.train.labels, config.subset, here.identity)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batches, "rows_at", watched)
        list(train(config, here, TrialFolder(tmp_path / "part")))
    assert sorted(path.name for path in here.cache.glob("*.f16")) == files
    seen = np.unique(np.concatenate(drawn))
    assert mask[seen].all()
    assert set(seen) == set(np.flatnonzero(mask)[kept_by_outlier_filter(here.train.labels.take(np.flatnonzero(mask)), config.outlier_sd)])


def test_baselines_learn_from_the_subset_too(dataset: Dataset) -> None:
    tasks = ("regression",)
    config = trial_config(subset="owners:0.5")
    rows = np.flatnonzero(subset_mask(dataset.train.labels, config.subset, dataset.identity))

    def scores(config_subset: str | None, data: Dataset) -> dict[str, np.ndarray | None]:
        found = all_baselines(data, config.model_copy(update={"subset": config_subset}), tasks)
        return {baseline.name: baseline.predict(data.val).views for baseline in found}

    part, alone, whole = scores(config.subset, dataset), scores(None, shrunk(dataset, rows)), scores(None, dataset)
    assert part["colour-ridge"] is not None
    np.testing.assert_allclose(part["colour-ridge"], alone["colour-ridge"], rtol=1e-9)  # type: ignore[arg-type]
    assert not np.allclose(part["colour-ridge"], whole["colour-ridge"], rtol=1e-3)  # type: ignore[union-attr]


def test_a_part_of_a_split_keeps_pictures_and_rows_together(dataset: Dataset) -> None:
    rows = np.array([7, 3, 11])
    part: SplitData = dataset.val.take(rows)
    assert part.labels.keys.tolist() == dataset.val.labels.keys[rows].tolist()
    assert [part.pixels.centre(i, i + 1).tobytes() for i in range(3)] == [dataset.val.pixels.centre(r, r + 1).tobytes() for r in rows]
