"""Pictures decoded when they are asked for: the same bytes as in the decoded copy, from shards that were checked."""

import os
from pathlib import Path

import numpy as np
import pytest

from shards.cache.decoded import decoded
from shards.errors import DamagedShardError, TestSplitClosedError
from shards.manifest import LABELS, Manifest
from shards.read.on_demand import ShardReader
from shards.read.openings import open_test
from shards.read.shard_set import ShardSet


def read(reader: ShardReader, rows: np.ndarray) -> np.ndarray:
    out = np.zeros((len(rows), 256, 256, 3), np.uint8)
    reader.visit(rows, lambda i, picture: np.copyto(out[i], picture))
    return out


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("split", ["train", "val"])
def test_every_picture_is_the_one_of_the_decoded_copy(packed_once: Path, tmp_path: Path, split: str, threads: int) -> None:
    shard_set = ShardSet(packed_once)
    copy = decoded(shard_set, split, tmp_path)
    reader = ShardReader(shard_set, split, threads)
    assert len(reader) == len(copy) > 0
    everything = np.random.default_rng(0).permutation(len(copy))
    assert (read(reader, everything) == copy[everything]).all()
    with_repeats = np.array([len(copy) - 1, 0, len(copy) - 1])
    assert (read(reader, with_repeats) == copy[with_repeats]).all()
    assert not (read(reader, everything[::-1]) == copy[everything]).all()  # control: another order is seen
    assert read(reader, everything[:0]).shape == (0, 256, 256, 3)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_visit_sees_each_picture_once(packed_once: Path, tmp_path: Path, threads: int) -> None:
    shard_set = ShardSet(packed_once)
    copy = decoded(shard_set, "train", tmp_path)
    rows = np.arange(len(copy))[::-1]
    seen = []

    def use(i: int, picture: np.ndarray) -> None:
        assert (picture == copy[rows[i]]).all()
        seen.append(i)

    ShardReader(shard_set, "train", threads).visit(rows, use)
    assert sorted(seen) == list(range(len(copy)))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_flipped_bit_is_found_at_opening(packed: Path, threads: int) -> None:
    shard = packed / Manifest.load(packed).shards[0].file
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DamagedShardError, match=r"train/00000.tar: sha256 .*; .* was packed"):
        ShardReader(ShardSet(packed), "train", threads)
    assert len(ShardReader(ShardSet(packed), "val", threads)) > 0  # another split's shards are not looked at


def test_test_pictures_need_an_opening(packed: Path, tmp_path: Path) -> None:
    shard_set = ShardSet(packed)
    with pytest.raises(TestSplitClosedError, match="no opening"):
        ShardReader(shard_set, "test", 1)
    opening = open_test(packed, sweep="paper", purpose="report")
    reader = ShardReader(shard_set, "test", 1, opening)
    assert (read(reader, np.arange(len(reader))) == decoded(shard_set, "test", tmp_path, opening)).all()


def test_shards_and_labels_must_hold_the_same_pictures(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard_set = ShardSet(packed)
    labels = shard_set.labels("train")
    monkeypatch.setattr(shard_set, "labels", lambda *_: labels.take(np.arange(1, len(labels))))
    with pytest.raises(DamagedShardError, match=rf"train/00000.tar: picture {labels.keys[0]} has no row in {LABELS}; one each"):
        ShardReader(shard_set, "train", 1)
    shards = [shard for shard in shard_set.manifest.shards if shard.file != "train/00000.tar"]
    monkeypatch.setattr(shard_set, "labels", lambda *_: labels)
    monkeypatch.setattr(shard_set, "manifest", shard_set.manifest.model_copy(update={"shards": tuple(shards)}))
    with pytest.raises(DamagedShardError, match=rf"{LABELS}: 10 pictures of train are in no shard, first {labels.keys[0]}; one each"):
        ShardReader(shard_set, "train", 1)


def test_a_reader_keeps_no_descriptor_open(packed_once: Path) -> None:
    """A set of a million pictures has a thousand shards, more than a process may have files open on most machines."""
    shard_set = ShardSet(packed_once)
    before = len(os.listdir("/proc/self/fd"))
    reader = ShardReader(shard_set, "train", 1)
    assert len(os.listdir("/proc/self/fd")) == before
    maps = Path("/proc/self/maps").read_text()
    assert all(str(packed_once.resolve() / shard.file) in maps for shard in shard_set.manifest.of_split(["train"]))
    assert len(reader) > 0
