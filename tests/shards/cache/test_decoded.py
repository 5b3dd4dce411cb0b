import json
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

from shards.cache.decoded import decoded, forecast
from shards.cache.files import cached_files, sidecar_path
from shards.cache.mapped import built_once
from shards.errors import DamagedShardError, NoRoomError, ShardsError, TestSplitClosedError
from shards.manifest import Manifest
from shards.read.openings import open_test
from shards.read.shard_set import ShardSet

# counts the builds, and makes each long enough for the processes to meet
_BUILD = """
import pathlib, sys, time
from shards.cache.decoded import decoded
from shards.read.shard_set import ShardSet
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
    path = next((tmp_path / "new" / "folder").glob("*-train.u8"))
    assert path.stat().st_size == pictures.size
    with pytest.raises(ValueError, match="read-only"):
        pictures[0] = 0
    kept = [path.name, f"{path.name}.json", f"{path.name}.lock", ".room.lock"]
    assert sorted(file.name for file in path.parent.iterdir()) == sorted(kept)


def test_a_second_reader_decodes_nothing(packed: Path, tmp_path: Path) -> None:
    first = decoded(ShardSet(packed), "train", tmp_path).copy()
    shutil.rmtree(packed / "train")
    assert (decoded(ShardSet(packed), "train", tmp_path) == first).all()


def test_a_cache_of_the_wrong_size_is_built_again(packed_once: Path, tmp_path: Path) -> None:
    shard_set = ShardSet(packed_once)
    decoded(shard_set, "train", tmp_path)
    next(tmp_path.glob("*-train.u8")).write_bytes(b"torn")
    assert (decoded(shard_set, "train", tmp_path) == _direct(shard_set, "train")).all()


@pytest.mark.parametrize("change", [{"source": "0" * 64}, {"dtype": "<u2"}, None])
def test_a_cache_that_its_sidecar_does_not_vouch_for_is_built_again(
    packed_once: Path, tmp_path: Path, change: dict[str, str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard_set = ShardSet(packed_once)
    expected = decoded(shard_set, "train", tmp_path).copy()
    path = next(tmp_path.glob("*-train.u8"))
    said = json.loads(sidecar_path(path).read_text())
    assert said["bytes"] == expected.nbytes
    assert said["num"] == len(expected)
    assert said["source"].startswith(path.name[:16])
    path.write_bytes(b"\1" * expected.nbytes)
    with monkeypatch.context() as patch:
        patch.setattr("shards.cache.mapped.damage", lambda *_, **__: "")
        assert (decoded(shard_set, "train", tmp_path) == 1).all()  # control: the size is right, and nobody hashes it
    if change is None:
        sidecar_path(path).unlink()
    else:
        sidecar_path(path).write_text(json.dumps(said | change))
    assert (decoded(shard_set, "train", tmp_path) == expected).all()
    assert json.loads(sidecar_path(path).read_text()) == said


def test_a_damaged_shard_leaves_no_cache(packed: Path, tmp_path: Path) -> None:
    shard = packed / Manifest.load(packed).shards[0].file
    data = shard.read_bytes()
    shard.write_bytes(data[:-1] + b"\1")
    with pytest.raises(DamagedShardError, match=r"train/00000.tar: sha256"):
        decoded(ShardSet(packed), "train", tmp_path / "cache")
    assert {path.suffix for path in (tmp_path / "cache").iterdir()} == {".lock"}


def test_other_shards_of_the_same_pictures_are_another_cache(packed: Path, tmp_path: Path) -> None:
    shard_set = ShardSet(packed)
    decoded(shard_set, "train", tmp_path)
    assert [found.there for found in forecast(shard_set, ["train", "val"], tmp_path)] == [True, False]
    shards = list(shard_set.manifest.shards)
    shards[0] = shards[0].model_copy(update={"sha256": "0" * 64})
    shard_set.manifest = shard_set.manifest.model_copy(update={"shards": tuple(shards)})
    assert not forecast(shard_set, ["train"], tmp_path)[0].there


def test_the_test_split_stays_closed_even_when_it_is_cached(packed: Path, tmp_path: Path) -> None:
    shard_set = ShardSet(packed)
    with pytest.raises(TestSplitClosedError, match="no opening"):
        decoded(shard_set, "test", tmp_path)
    decoded(shard_set, "test", tmp_path, open_test(packed, sweep="paper", purpose="report"))
    with pytest.raises(TestSplitClosedError, match="no opening"):
        decoded(shard_set, "test", tmp_path)


def test_a_disk_that_is_too_small_is_named_before_a_picture_is_decoded(packed_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ShardSet, "decode", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 2000, "total": 10_000}))
    with pytest.raises(NoRoomError, match=r"-train.u8: [\d,]+ bytes are needed for the decoded train pictures; 1,000 bytes are free"):
        decoded(ShardSet(packed_once), "train", tmp_path)


def test_a_disk_that_fills_up_meanwhile_is_named_too(packed_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(NoRoomError, match="bytes are needed for the decoded train pictures"):
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


def test_the_least_recently_used_makes_room(tmp_path: Path) -> None:
    first, second, third = (_numbers(tmp_path / name, 1000) for name in ("first.f4", "second.f4", "third.f4"))
    for age_s, built in ((100, first), (300, second), (200, third)):
        os.utime(sidecar_path(tmp_path / built), (time.time() - age_s,) * 2)
    _numbers(tmp_path / "first.f4", 1000)  # opened again, and so the last to go
    _numbers(tmp_path / "fourth.f4", 1000, budget_bytes=3 * 4000)
    assert _files(tmp_path) == {"first.f4", "third.f4", "fourth.f4"}
    os.utime(sidecar_path(tmp_path / "fourth.f4"), (time.time() - 50,) * 2)
    _numbers(tmp_path / "fifth.f4", 2000, budget_bytes=3 * 4000)
    assert _files(tmp_path) == {"first.f4", "fifth.f4"}  # as many as are needed go, and no more
    assert not sidecar_path(tmp_path / "second.f4").exists()


def test_what_somebody_has_mapped_does_not_go(tmp_path: Path) -> None:
    held = built_once(tmp_path / "held.f4", np.float32, (1000,), lambda out: out.fill(1), what="the held numbers")
    view = np.asarray(held)[10:]
    del held
    os.utime(tmp_path / "held.f4", (0, 0))
    with pytest.raises(NoRoomError, match=r"next.f4: 4,000 bytes are needed for the numbers; 1,000 bytes are free"):
        _numbers(tmp_path / "next.f4", 1000, budget_bytes=5000)
    assert _files(tmp_path) == {"held.f4"}
    assert (view == 1).all()
    del view
    _numbers(tmp_path / "next.f4", 1000, budget_bytes=5000)  # control: given back, it goes
    assert _files(tmp_path) == {"next.f4"}


def test_another_process_holds_as_well(packed_once: Path, tmp_path: Path) -> None:
    code = (
        "import pathlib, sys\nfrom shards.cache.decoded import decoded\nfrom shards.read.shard_set import ShardSet\n"
        "array = decoded(ShardSet(pathlib.Path(sys.argv[1])), 'val', pathlib.Path(sys.argv[2]))\nprint('mapped', flush=True)\nsys.stdin.readline()\n"
    )
    command = [sys.executable, "-c", code, str(packed_once), str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "mapped\n"
        assert [cached.in_use for cached in cached_files(tmp_path)] == [True]
        with pytest.raises(NoRoomError):
            decoded(ShardSet(packed_once), "train", tmp_path, budget_bytes=45 * 196_608)
        process.kill()
    assert [cached.in_use for cached in cached_files(tmp_path)] == [False]  # a killed process holds nothing
    decoded(ShardSet(packed_once), "train", tmp_path, budget_bytes=45 * 196_608)
    assert len(_files(tmp_path)) == 1
    assert forecast(ShardSet(packed_once), ["train"], tmp_path)[0].there


def test_nothing_goes_where_it_would_not_help(tmp_path: Path) -> None:
    _numbers(tmp_path / "old.f4", 1000)
    with pytest.raises(NoRoomError, match="8,000 bytes are needed for the numbers; 3,000 bytes are free"):
        _numbers(tmp_path / "new.f4", 2000, budget_bytes=7000)
    assert _files(tmp_path) == {"old.f4"}
    _numbers(tmp_path / "new.f4", 2000, budget_bytes=8000)
    assert _files(tmp_path) == {"new.f4"}


def test_a_tenth_of_the_disk_stays_free_where_no_budget_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 5000, "total": 20_000}))
    with pytest.raises(NoRoomError, match="3,004 bytes are needed for the numbers; 3,000 bytes are free"):
        _numbers(tmp_path / "new.f4", 751)
    _numbers(tmp_path / "new.f4", 750)


def test_of_a_large_disk_no_more_stays_free_than_others_could_want(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 5_000_003_000, "total": 250_000_000_000}))
    with pytest.raises(NoRoomError, match="3,004 bytes are needed for the numbers; 3,000 bytes are free"):
        _numbers(tmp_path / "new.f4", 751)
    _numbers(tmp_path / "new.f4", 750)


def test_a_file_removed_while_it_was_waited_for_is_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening a file and locking it, another process may remove it: its bytes are there, but nobody else will find them."""
    from shards.cache import files as files_module

    _numbers(tmp_path / "a.f4", 1000)
    lock_shared, seen = files_module.lock_shared, []

    def late(handle: int) -> None:
        if not seen:
            seen.append(files_module.remove(tmp_path / "a.f4"))
        lock_shared(handle)

    monkeypatch.setattr(files_module, "lock_shared", late)
    _numbers(tmp_path / "a.f4", 1000)
    assert seen == [True]
    assert _files(tmp_path) == {"a.f4"}


def test_the_outlook_changes_nothing_and_is_what_happens(packed_once: Path, tmp_path: Path) -> None:
    shard_set = ShardSet(packed_once)
    train, val = (shard_set.num_pictures(split) * 196_608 for split in ("train", "val"))

    def fits(budget_bytes: int | None) -> list[tuple[bool, bool]]:
        return [(split.fits, split.there) for split in forecast(shard_set, ["train", "val"], tmp_path, budget_bytes)]

    assert fits(train + val) == [(True, False), (True, False)]
    assert fits(train + val - 1) == [(True, False), (False, False)]
    assert fits(val) == [(False, False), (True, False)]
    assert not list(tmp_path.iterdir())
    _numbers(tmp_path / "other.f4", 1000)
    assert fits(train + val) == [(True, False), (True, False)]  # that one may go
    held = built_once(tmp_path / "other.f4", np.float32, (1000,), lambda out: None, what="the numbers")
    assert fits(train + val) == [(True, False), (False, False)]
    del held
    decoded(shard_set, "train", tmp_path, budget_bytes=train + val)
    assert fits(train + val) == [(True, True), (True, False)]
    assert fits(0) == [(True, True), (False, False)]


def test_a_copy_of_an_older_version_makes_room_for_its_successor(packed_once: Path, tmp_path: Path) -> None:
    shard_set = ShardSet(packed_once)
    num_bytes = decoded(shard_set, "train", tmp_path).nbytes
    sidecar = sidecar_path(next(tmp_path.glob("*-train.u8")))
    assert [(split.fits, split.there) for split in forecast(shard_set, ["train"], tmp_path, num_bytes)] == [(True, True)]
    sidecar.write_text(json.dumps({name: value for name, value in json.loads(sidecar.read_text()).items() if name != "sha256"}))
    assert [(split.fits, split.there) for split in forecast(shard_set, ["train"], tmp_path, num_bytes)] == [(True, False)]
    assert (decoded(shard_set, "train", tmp_path, budget_bytes=num_bytes) == _direct(shard_set, "train")).all()


def _numbers(path: Path, num: int, budget_bytes: int | None = None) -> str:
    """A file of another kind than pictures; its array is given back at once."""
    found = built_once(path, np.float32, (num,), lambda out: out.fill(7), what="the numbers", budget_bytes=budget_bytes)
    assert (found == 7).all()
    return path.name


def _files(folder: Path) -> set[str]:
    return {cached.path.name for cached in cached_files(folder)}
