"""Batches: every picture once a pass, any position from (seed, position) alone, crops and flips as the paper's."""

from collections.abc import Callable

import numpy as np
import pytest

from peoria.data import CROP_PX, Batches, Dataset, centre_crops, shuffle_counts
from shards.labels import Labels


@pytest.fixture
def batches() -> Batches:
    pixels = np.random.default_rng(0).integers(0, 256, (23, 256, 256, 3), dtype=np.uint8)
    return Batches(pixels, np.arange(23.0), np.flatnonzero(np.arange(23) % 4 != 0), batch_size=5, seed=9)


def test_every_kept_picture_once_a_pass(batches: Batches) -> None:
    num = len(batches.rows)
    passes = [batches.draw(k * num, (k + 1) * num)[0] for k in range(3)]
    assert all(sorted(rows) == batches.rows.tolist() for rows in passes)
    assert passes[0].tolist() != passes[1].tolist()  # another order each time


def test_a_batch_across_two_passes(batches: Batches) -> None:
    num = len(batches.rows)
    rows, _ = batches.draw(num - 2, num + 3)
    assert rows.tolist() == [*batches.draw(0, num)[0][-2:], *batches.draw(num, 2 * num)[0][:3]]


def test_any_position_is_computable_alone(batches: Batches) -> None:
    out = np.empty((5, CROP_PX, CROP_PX, 3), dtype=np.uint8)
    stream = [tuple(part.copy() for part in batches.fill(position, out)) for position in range(0, 50, 5)]
    crops, encoded = batches.fill(35, out)
    assert (crops == stream[7][0]).all()
    assert (encoded == stream[7][1]).all()


def test_crops_are_where_they_are_said_to_be(batches: Batches) -> None:
    out = np.empty((5, CROP_PX, CROP_PX, 3), dtype=np.uint8)
    crops, encoded = batches.fill(0, out)
    rows, augment = batches.draw(0, 5)
    assert encoded.tolist() == rows.tolist()
    for crop, row, (y, x, flip) in zip(crops, rows, augment, strict=True):
        expected = batches.pixels[row][y : y + CROP_PX, x : x + CROP_PX]
        assert (crop == (expected[:, ::-1] if flip else expected)).all()


def test_offsets_are_caffes_and_half_are_flipped(batches: Batches) -> None:
    augment = np.concatenate([batches.draw(position, position + 5)[1] for position in range(0, 20_000, 5)])
    assert augment[:, :2].min() == 0
    assert augment[:, :2].max() == 256 - 227
    assert 0.48 < augment[:, 2].mean() < 0.52


def test_centre_crop_starts_at_14() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 256, 256, 3), dtype=np.uint8)
    crops = np.concatenate(list(centre_crops(pixels, 2)))
    assert (crops == pixels[:, 14:241, 14:241]).all()


def test_shuffled_counts_keep_triples_and_everything_else(make_labels: Callable[..., Labels]) -> None:
    views = np.arange(200)
    labels = make_labels(views, views * 2, comments=views * 3, owners=np.array([f"o{i}" for i in range(200)]))
    shuffled = shuffle_counts(labels, "seed")
    assert sorted(shuffled.views) == views.tolist()
    assert (shuffled.views != views).mean() > 0.9
    assert (shuffled.favorites == shuffled.views * 2).all()
    assert (shuffled.comments == shuffled.views * 3).all()
    assert (shuffled.owners == labels.owners).all()
    assert (shuffle_counts(labels, "seed").views == shuffled.views).all()


def test_a_study_has_no_test_split(dataset: Dataset) -> None:
    assert set(dataset.__dataclass_fields__) == {"train", "val", "identity", "control"}
