"""Packing, opening and caching on a disk that is full, at every amount of room: told by path and bytes, nothing torn, and on with room again."""

import errno
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shards.cache.decoded import decoded
from shards.cache.files import cached_files
from shards.cache.mapped import built_once
from shards.errors import FileError, NoRoomError, PictureError
from shards.fetch import read_file
from shards.files import write_atomic
from shards.inspection.describe import describe, write_description
from shards.inspection.verify import verify
from shards.manifest import MANIFEST
from shards.pack import staging
from shards.pack.pack import pack
from shards.read.openings import OPENINGS, open_test, openings
from shards.read.shard_set import ShardSet
from tests.helpers.small_disk import small_disk

_SIDECAR = """
import os, pathlib, sys
from shards.cache import mapped
fsync = os.fsync
calls = []
def stopped(handle):
    calls.append(handle)
    if len(calls) == 2:  # of the sidecar; the first is of the copy
        print("writing", flush=True)
        sys.stdin.readline()
    fsync(handle)
os.fsync = stopped
mapped.built_once(pathlib.Path(sys.argv[1]), "<f4", (1000,), lambda out: out.fill(7), what="numbers")
"""


def _bytes(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def _temporaries(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.name.endswith(".tmp")]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_pack_on_a_disk_that_is_too_small_says_so_and_goes_on(whole: Path, tmp_path: Path, processes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a few KB to enough, the same folder all along: each stop is one error, nothing is torn, and the end has the same bytes."""
    monkeypatch.setattr(staging, "CHUNK_ROWS", 25)
    table = whole.parent / "table.csv"
    pack(table, tmp_path / "undisturbed", keep=["mood"], processes=1, shard_size=10)
    stops = 0
    with small_disk(tmp_path / "disk", 40_000) as disk:
        for num_bytes in range(40_000, 10**7, 400_000 if processes == 1 else 1_500_000):
            subprocess.run(["mount", "-o", f"remount,size={num_bytes}", str(disk)], check=True)
            try:
                pack(table, disk / "out", keep=["mood"], processes=processes, shard_size=10)
                break
            except NoRoomError as error:
                stops += 1
                told = error
            assert str(disk / "out") in str(told)
            assert told.num_bytes > told.free_bytes
            assert _temporaries(disk) == []
            assert not (disk / "out" / MANIFEST).exists()
        assert stops >= 2
        assert _bytes(disk / "out") == _bytes(tmp_path / "undisturbed")
        assert verify(disk / "out") == []


def test_a_pack_that_may_not_write_says_so_and_goes_on(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is read-only from the start, one that has become so, and no folder at all."""
    monkeypatch.setattr(staging, "CHUNK_ROWS", 25)
    table = whole.parent / "table.csv"

    def stop(what: str, done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    with small_disk(tmp_path / "disk", 10**8) as disk:
        for begun in (False, True):
            if begun:
                with pytest.raises(KeyboardInterrupt):
                    pack(table, disk / "out", processes=1, progress=stop)
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            with pytest.raises(FileError, match=rf"{disk}.*: Read-only file system; a folder that can be written to\nhint: .*goes on") as told:
                pack(table, disk / "out", processes=1)
            assert told.value.errno == errno.EROFS
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert pack(table, disk / "out", processes=1).manifest.num_kept
    with pytest.raises(FileError, match=r"/proc/set: No such file or directory; a folder that can be written to\nhint: .*--out"):
        pack(table, Path("/proc/set"), processes=1)


def test_an_opening_that_finds_no_room_is_not_on_record(whole: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 20 * 2**20) as disk:
        root = Path(shutil.copytree(whole, disk / "set"))
        first = open_test(root, sweep="s", purpose="p" * 3800)  # nearly a page of memory: the next line needs another
        with (disk / "other").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free)
        before = (root / OPENINGS).read_bytes()
        with pytest.raises(NoRoomError, match=rf"{OPENINGS}: [\d,]+ bytes are needed for an opening; 0 bytes are free\nhint: each opening"):
            open_test(root, sweep="s", purpose="p" * 3800)
        assert (root / OPENINGS).read_bytes() == before
        with pytest.raises(NoRoomError, match=r"describe.json: [\d,]+ bytes are needed for the file; 0 bytes are free"):
            write_description(root, describe(root), root)
        assert _temporaries(root) == []
        (disk / "other").unlink()
        assert open_test(root, sweep="s", purpose="p").number == 2
        assert openings(root)[0] == first


def test_a_copy_that_finds_no_room_leaves_nothing(whole: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4 * 2**20) as disk:
        with pytest.raises(
            NoRoomError, match=r"-train.u8: [\d,]+ bytes are needed for the decoded train pictures; [\d,]+ bytes are free\nhint: name a f"
        ):
            decoded(ShardSet(whole), "train", disk)
        assert cached_files(disk) == []
        assert _temporaries(disk) == []
        assert len(decoded(ShardSet(whole), "val", disk)) > 0


def test_a_disk_without_room_for_another_file_is_told(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2**20, "nr_inodes=4") as disk:
        for name in "abc":
            (disk / name).write_bytes(b"")
        with pytest.raises(
            NoRoomError, match=r"d: 1 bytes are needed for the file; the disk has no room for another file \(its inodes are used up\)"
        ):
            write_atomic(disk / "d", b"x")


# a limit of a whole process, so that of one of its own: what pytest prints may go to a file that is longer
_LIMITED = """
import pathlib, resource, sys
from shards.cache.decoded import decoded
from shards.errors import NoRoomError
from shards.read.shard_set import ShardSet
resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))
try:
    decoded(ShardSet(pathlib.Path(sys.argv[1])), "train", pathlib.Path(sys.argv[2]))
except NoRoomError as error:
    print(error)
"""


_PACK_LIMITED = """
import pathlib, resource, sys
from shards.errors import NoRoomError
from shards.pack.pack import pack
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    pack(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), processes=1)
except NoRoomError as error:
    print(error)
"""


def test_a_limit_of_files_is_no_room_for_a_pack(whole: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PACK_LIMITED, whole.parent / "table.csv", tmp_path / "out"]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    text = (
        r"out/\.staging/[\w.]+: [\d,]+ bytes are needed for the file.*; a file may have 20,000 bytes \(ulimit -f\)\nhint: .*the same command goes on"
    )
    assert re.search(text, ran.stdout), ran
    assert _temporaries(tmp_path) == []
    assert pack(whole.parent / "table.csv", tmp_path / "out", processes=1).manifest.num_kept


def test_a_limit_of_files_is_no_room_for_a_copy(whole: Path, tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", _LIMITED, whole, tmp_path / "cache"], capture_output=True, text=True, check=True, timeout=120)
    assert re.search(r"-train.u8: [\d,]+ bytes are needed for the decoded train pictures; a file may have 1,000,000 bytes", ran.stdout), ran
    assert _temporaries(tmp_path) == []
    assert len(decoded(ShardSet(whole), "train", tmp_path / "cache")) > 0


def test_a_machine_at_its_limits_leaves_no_picture_out(whole: Path) -> None:
    """Control: what is wrong with the file itself is the picture's, and goes into the ledger."""
    path = whole.parent / "1.jpg"
    handle = os.open(path, os.O_RDONLY)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (handle + 1, hard))
    try:
        with pytest.raises(FileError, match=r"1.jpg: Too many open files; a picture that can be read now") as told:
            read_file(path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    os.close(handle)
    assert told.value.errno == errno.EMFILE
    with pytest.raises(PictureError, match="not_a_file"):
        read_file(whole.parent)


def test_what_a_killed_build_left_of_a_sidecar_is_removed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _SIDECAR, str(tmp_path / "a.f4")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        assert len(_temporaries(tmp_path)) == 2  # the copy's and the sidecar's
        (tmp_path / ".notes.txt.abcdefgh.tmp").write_text("of another program")
        process.send_signal(signal.SIGKILL)
    found = built_once(tmp_path / "a.f4", "<f4", (1000,), lambda out: out.fill(7), what="numbers")
    assert (np.asarray(found) == 7).all()
    assert [path.name for path in _temporaries(tmp_path)] == [".notes.txt.abcdefgh.tmp"]
