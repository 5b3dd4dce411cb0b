import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shards.cache import cache_path, decoded
from shards.errors import DamagedShardError, ShardsError, TestSplitClosedError
from shards.manifest import Manifest
from shards.openings import open_test
from shards.read import ShardSet

# counts the builds, and makes each long enough for the processes to meet
_BUILD = """
import pathlib, sys, time
from shards.cache import decoded
from shards.read import ShardSet
root, folder, pause = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), float(sys.argv[3])
decode = ShardSet.decode
def slow(self, split, out, opening=None):
    decode(self, split, out, opening)
    with (folder / "builds").open("a") as file:
        file.write("one\\n")
    time.sleep(pause)
ShardSet.decode = slow
print(int(decoded(ShardSet(root), "train", folder).sum()))
"""


def _direct(shard_set: ShardSet, split: str) -> np.ndarray:
    out = np.zeros((shard_set.num_pictures(split), 256, 256, 3), np.uint8)
    shard_set.decode(split, out)
    return out


def test_the_cache_holds_the_decoded_pictures_and_is_read_only(packed_once: Path, tmp_path: Path) -> None:
    shard_set = ShardSet(packed_once)
    pictures = decoded(shard_set, "train", tmp_path / "new" / "folder")
    assert (pictures == _direct(shard_set, "train")).all()
    path = cache_path(shard_set, "train", tmp_path / "new" / "folder")
    assert path.name.endswith("-train.u8")
    assert path.stat().st_size == pictures.size
    with pytest.raises(ValueError, match="read-only"):
        pictures[0] = 0
    assert sorted(file.name for file in path.parent.iterdir()) == sorted([path.name, path.name + ".lock"])


def test_a_second_reader_decodes_nothing(packed: Path, tmp_path: Path) -> None:
    first = decoded(ShardSet(packed), "train", tmp_path).copy()
    shutil.rmtree(packed / "train")
    assert (decoded(ShardSet(packed), "train", tmp_path) == first).all()


def test_a_cache_of_the_wrong_size_is_built_again(packed_once: Path, tmp_path: Path) -> None:
    shard_set = ShardSet(packed_once)
    path = cache_path(shard_set, "train", tmp_path)
    path.write_bytes(b"torn")
    assert (decoded(shard_set, "train", tmp_path) == _direct(shard_set, "train")).all()


def test_a_damaged_shard_leaves_no_cache(packed: Path, tmp_path: Path) -> None:
    shard = packed / Manifest.load(packed).shards[0].file
    data = shard.read_bytes()
    shard.write_bytes(data[:-1] + b"\1")
    with pytest.raises(DamagedShardError, match=r"train/00000.tar: sha256"):
        decoded(ShardSet(packed), "train", tmp_path / "cache")
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_other_shards_of_the_same_pictures_are_another_cache(packed: Path, tmp_path: Path) -> None:
    shard_set = ShardSet(packed)
    assert cache_path(shard_set, "train", tmp_path) != cache_path(shard_set, "val", tmp_path)
    shards = list(shard_set.manifest.shards)
    shards[0] = shards[0].model_copy(update={"sha256": "0" * 64})
    before = cache_path(shard_set, "train", tmp_path)
    shard_set.manifest = shard_set.manifest.model_copy(update={"shards": tuple(shards)})
    assert cache_path(shard_set, "train", tmp_path) != before


def test_the_test_split_stays_closed_even_when_it_is_cached(packed: Path, tmp_path: Path) -> None:
    shard_set = ShardSet(packed)
    with pytest.raises(TestSplitClosedError, match="no opening"):
        decoded(shard_set, "test", tmp_path)
    decoded(shard_set, "test", tmp_path, open_test(packed, sweep="paper", purpose="report"))
    with pytest.raises(TestSplitClosedError, match="no opening"):
        decoded(shard_set, "test", tmp_path)


def test_a_disk_that_is_too_small_is_named_before_a_picture_is_decoded(packed_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ShardSet, "decode", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(ShardsError, match=r"-train.u8: [\d,]+ bytes are needed for the decoded train pictures; 1,000 bytes are free"):
        decoded(ShardSet(packed_once), "train", tmp_path)


def test_a_disk_that_fills_up_meanwhile_is_named_too(packed_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ShardsError, match="bytes are needed for the decoded train pictures"):
        decoded(ShardSet(packed_once), "train", tmp_path)
    assert not list(tmp_path.glob("*.u8"))
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_folder_that_cannot_be_is_named(packed_once: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ShardsError, match=r"-train.u8: File exists; a folder that can be written to"):
        decoded(ShardSet(packed_once), "train", tmp_path / "file")


def test_processes_that_build_at_once_build_once(packed_once: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _BUILD, str(packed_once), str(tmp_path), "1.0"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    sums = {process.communicate(timeout=120)[0] for process in processes}
    assert sums == {b"%d\n" % _direct(ShardSet(packed_once), "train").sum()}
    assert (tmp_path / "builds").read_text() == "one\n"


def test_a_killed_build_leaves_no_cache_and_is_made_good(packed_once: Path, tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", _BUILD, str(packed_once), str(tmp_path), "600"])
    deadline = time.monotonic() + 60
    while not (tmp_path / "builds").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert (tmp_path / "builds").exists()
    assert not list(tmp_path.glob("*.u8"))
    assert len(list(tmp_path.glob(".*.tmp"))) == 1
    shard_set = ShardSet(packed_once)
    assert (decoded(shard_set, "train", tmp_path) == _direct(shard_set, "train")).all()
    assert not list(tmp_path.glob(".*.tmp"))
