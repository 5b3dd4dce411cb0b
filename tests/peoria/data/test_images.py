"""Pictures from the decoded copy and from the shards: the same crops, bit for bit."""

from pathlib import Path

import numpy as np
import pytest

from peoria.data.dataset import Dataset
from peoria.data.images import CROP_PX, ArrayPictures, Pictures, ShardPictures, centre_crops
from shards.errors import DamagedShardError
from shards.read.on_demand import ShardReader
from shards.read.shard_set import ShardSet


@pytest.fixture(scope="module", params=[1, 3])
def from_shards(request: pytest.FixtureRequest, planted_shards: Path) -> Pictures:
    return ShardPictures(ShardReader(ShardSet(planted_shards), "train", request.param))


def crops(pictures: Pictures, rows: np.ndarray, augment: np.ndarray) -> np.ndarray:
    out = np.zeros((len(rows) + 2, CROP_PX, CROP_PX, 3), np.uint8)
    pictures.crops(rows, augment, out)
    assert (out[len(rows) :] == 0).all()  # no more than was asked for
    return out[: len(rows)]


def test_centre_crop_starts_at_14() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 256, 256, 3), dtype=np.uint8)
    found = list(centre_crops(ArrayPictures(pixels), 2))
    assert [len(some) for some in found] == [2, 1]
    assert (np.concatenate(found) == pixels[:, 14:241, 14:241]).all()


def test_random_crops_are_the_same_from_both(from_shards: Pictures, dataset: Dataset) -> None:
    dice = np.random.default_rng(1)
    for num in (1, 5, 64):
        rows = dice.integers(0, len(dataset.train), num)
        augment = dice.integers(0, (30, 30, 2), size=(num, 3))
        expected = crops(dataset.train.pixels, rows, augment)
        assert (crops(from_shards, rows, augment) == expected).all()
        assert (crops(from_shards, rows, augment ^ [[0, 0, 1]]) == expected[:, :, ::-1]).all()  # control: the flip is not lost


def test_centre_crops_are_the_same_from_both(from_shards: Pictures, dataset: Dataset) -> None:
    assert len(from_shards) == len(dataset.train)
    for mine, theirs in zip(centre_crops(from_shards, 100), centre_crops(dataset.train.pixels, 100), strict=True):
        assert mine.flags.c_contiguous
        assert (mine == theirs).all()


def test_what_goes_wrong_with_one_picture_reaches_the_caller(from_shards: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shards.read.on_demand.decode_picture", lambda *_: "torn")
    with pytest.raises(DamagedShardError, match=r"train/0000\d\.tar: \d+\.jpg: torn; a JPEG of the size that was packed"):
        from_shards.centre(0, 3)
