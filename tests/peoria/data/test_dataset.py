"""Batches: every picture once a pass, any position from (seed, position) alone, crops and flips as the paper's."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from peoria.data.batches import Batches
from peoria.data.dataset import Dataset, SplitData, open_dataset, open_split
from peoria.data.images import CROP_PX, ArrayPictures, ShardPictures
from shards.read.shard_set import ShardSet


@pytest.fixture
def batches() -> Batches:
    pixels = np.random.default_rng(0).integers(0, 256, (23, 256, 256, 3), dtype=np.uint8)
    return Batches(ArrayPictures(pixels), np.arange(23.0), np.flatnonzero(np.arange(23) % 4 != 0), batch_size=5, seed=9)


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
    assert isinstance(batches.pixels, ArrayPictures)
    assert encoded.tolist() == rows.tolist()
    for crop, row, (y, x, flip) in zip(crops, rows, augment, strict=True):
        expected = batches.pixels.array[row][y : y + CROP_PX, x : x + CROP_PX]
        assert (crop == (expected[:, ::-1] if flip else expected)).all()


def test_offsets_are_caffes_and_half_are_flipped(batches: Batches) -> None:
    augment = np.concatenate([batches.draw(position, position + 5)[1] for position in range(0, 20_000, 5)])
    assert augment[:, :2].min() == 0
    assert augment[:, :2].max() == 256 - 227
    assert 0.48 < augment[:, 2].mean() < 0.52


def test_a_fixed_order_is_every_pass_that_of_the_first_and_crops_are_drawn_anew(batches: Batches) -> None:
    fixed, num = replace(batches, fixed_order=True), len(batches.rows)
    passes = [fixed.draw(k * num, (k + 1) * num) for k in range(3)]
    assert [rows.tolist() for rows, _ in passes] == [batches.draw(0, num)[0].tolist()] * 3
    assert (passes[0][1] != passes[1][1]).any()


def test_a_study_has_no_test_split(dataset: Dataset) -> None:
    assert [name for name, value in vars(dataset).items() if isinstance(value, SplitData)] == ["train", "val"]
    assert not hasattr(dataset, "test")


def test_pictures_come_from_the_shards_where_the_copy_has_no_room(planted_shards: Path, dataset: Dataset, tmp_path: Path) -> None:
    """Every one of them the same, whatever the room."""
    said: list[str] = []
    cramped = open_dataset(planted_shards, tmp_path, budget_bytes=len(dataset.val) * 196_608, say=said.append)
    assert isinstance(cramped.train.pixels, ShardPictures)
    assert isinstance(cramped.val.pixels, ArrayPictures)  # there is room for this one
    needed, free = (num * 196_608 / 1e9 for num in (len(dataset.train), len(dataset.val)))
    text = f"no room for a decoded copy of train (needs {needed:.2f} GB, {free:.2f} GB free): its pictures are decoded from the shards each time"
    assert [line.strip() for line in said] == [text]
    assert not list(tmp_path.glob("*-train.u8"))
    num = len(dataset.train)
    assert (cramped.train.pixels.centre(0, num + 9) == dataset.train.pixels.centre(0, num + 9)).all()
    assert (cramped.val.pixels.centre(0, num) == dataset.val.pixels.centre(0, num)).all()


def test_nobody_is_told_where_there_is_room(planted_shards: Path, home: Path) -> None:
    said: list[str] = []
    assert isinstance(open_dataset(planted_shards, home / "cache", say=said.append).train.pixels, ArrayPictures)
    assert said == []


def test_a_worker_writes_it_into_its_log(planted_shards: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "peoria.data.dataset"):
        open_dataset(planted_shards, tmp_path, budget_bytes=0)
    assert [re.sub(r" \(.*", "", message.strip()) for message in caplog.messages] == [
        "no room for a decoded copy of train",
        "no room for a decoded copy of val",
    ]


def test_the_test_split_stays_closed_where_there_is_no_room(planted_shards: Path, tmp_path: Path) -> None:
    from shards.errors import TestSplitClosedError

    shard_set = ShardSet(planted_shards)
    with pytest.raises(TestSplitClosedError, match="no opening"):
        open_split(shard_set, "test", tmp_path, control=None, budget_bytes=0)
