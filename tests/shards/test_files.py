"""Writing whole or not at all, reading plain files only, and what the system says."""

import errno
import os
import pickle
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shards.errors import DamagedShardError, FileError, NoRoomError, ShardsError
from shards.files import locked, not_as_packed, open_temporary, read_plain, remove_stale, told, write_atomic
from tests.helpers.small_disk import small_disk

# holds its temporary file open, written and not yet renamed, until it is killed or told to go on
_WRITER = """
import os, pathlib, sys
fsync = os.fsync
def stopped(handle):
    print("written", flush=True)
    sys.stdin.readline()
    os.fsync = fsync
    fsync(handle)
os.fsync = stopped
from shards.files import write_atomic
write_atomic(pathlib.Path(sys.argv[1]), b"new" * 1000)
"""

# a limit of a whole process, so that of one of its own: what pytest prints may go to a file that is longer
_LIMITED = """
import pathlib, resource, sys
from shards.errors import NoRoomError
from shards.files import write_atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    write_atomic(pathlib.Path(sys.argv[1]), bytes(100_000))
except NoRoomError as error:
    print(error, flush=True)
write_atomic(pathlib.Path(sys.argv[2]), bytes(50_000))
"""


def _writer(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "written\n"
    return process


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_files_follow_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_atomic(tmp_path / "a", b"x")
        write_atomic(tmp_path / "b", b"x", mode=0o644)
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode
    assert (tmp_path / "b").stat().st_mode & 0o777 == mode & 0o644


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "soft").symlink_to(tmp_path / "victim")
    os.link(tmp_path / "victim", tmp_path / "hard")
    for name in ("soft", "hard"):
        write_atomic(tmp_path / name, b"new")
        assert (tmp_path / name).read_bytes() == b"new"
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_a_full_disk_is_told_before_a_byte_is_written(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 2**20) as disk:
        write_atomic(disk / "kept", b"old")
        (disk / "other").write_bytes(bytes(900_000))
        with pytest.raises(NoRoomError, match=r"kept: 500,000 bytes are needed for the file; [\d,]+ bytes are free\nhint: make room there") as told:
            write_atomic(disk / "kept", bytes(500_000))
        assert 0 < told.value.free_bytes < 500_000 == told.value.num_bytes
        assert told.value.errno == errno.ENOSPC
        assert {path.name for path in disk.iterdir()} == {"kept", "other"}
        assert (disk / "kept").read_bytes() == b"old"
        (disk / "other").write_bytes(b"")
        write_atomic(disk / "kept", bytes(500_000))  # with room again


def test_a_full_disk_without_asking_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: the room that was not asked for is missed only after most of it is written; what is told and left is the same."""
    monkeypatch.setattr("shards.files.reserve", lambda *_: None)
    with small_disk(tmp_path / "disk", 2**20) as disk:
        with pytest.raises(NoRoomError, match=r"new: 2,000,000 bytes are needed"):
            write_atomic(disk / "new", bytes(2_000_000))
        assert list(disk.iterdir()) == []


def test_the_limit_of_a_file_is_told(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _LIMITED, tmp_path / "big", tmp_path / "fits"], capture_output=True, text=True, check=True, timeout=60
    )
    assert "big: 100,000 bytes are needed for the file; a file may have 50,000 bytes (ulimit -f)" in ran.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["fits"]


def test_what_the_system_refuses_names_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    cases = {
        tmp_path / "file" / "a": "Not a directory|File exists",
        tmp_path / "loop" / "a": "symbolic links|File exists",
        tmp_path / ("n" * 300): "too long",
    }
    for path, said in cases.items():
        with pytest.raises(FileError, match=f"({said}); a folder that can be written to") as told:
            write_atomic(path, b"x")
        assert str(tmp_path) in str(told.value)
        assert isinstance(told.value, ShardsError)
        assert isinstance(told.value, OSError)
    with small_disk(tmp_path / "disk", 2**20, "ro") as disk, pytest.raises(FileError, match=r"disk/a: Read-only file system; a folder that"):
        write_atomic(disk / "a", b"x")


def test_too_many_open_files_are_told(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    handles = [os.open(tmp_path, os.O_RDONLY)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (handles[0] + 1, hard))
    try:
        with pytest.raises(FileError, match="a: Too many open files; a folder that can be written to"):
            write_atomic(tmp_path / "a", b"x")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(handles[0])


def test_errors_reach_another_process_as_they_are(tmp_path: Path) -> None:
    """Control: without a way of their own to be pickled, errors whose making needs more than a text end the pool that carries them."""
    error = NoRoomError(tmp_path, 5, 3, "pictures", hint="less")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.num_bytes, again.free_bytes, again.errno, again.problems, again.hint) == (
        str(error), 5, 3, errno.ENOSPC, error.problems, "less",
    )  # fmt: skip
    other = pickle.loads(pickle.dumps(ShardsError("a", "b", hint="c")))
    assert (other.problems, other.hint, str(other)) == (("a", "b"), "c", "a\nb\nhint: c")
    with pytest.raises(TypeError):
        NoRoomError(*error.args)


def test_what_a_dead_writer_left_is_removed_and_what_a_living_one_has_is_not(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    dead, living = _writer(tmp_path / "below" / "dead.json"), _writer(tmp_path / "living.json")
    dead.send_signal(signal.SIGKILL)
    dead.communicate(timeout=60)
    (tmp_path / ".other.tmp").write_text("of somebody else")
    (tmp_path / ".older.abcd_f1z.tmp").write_text("of an older version, which locked nothing")
    gone = remove_stale(tmp_path)
    assert sorted(path.name.split(".")[1] for path in gone) == ["dead", "older"]
    assert not list((tmp_path / "below").iterdir())
    assert living.communicate("\n", timeout=60)[0] == ""
    assert (living.returncode, (tmp_path / "living.json").read_bytes()) == (0, b"new" * 1000)
    assert {path.name for path in tmp_path.iterdir()} == {".other.tmp", "below", "living.json"}


def test_without_its_lock_a_living_writer_would_lose_its_file(tmp_path: Path) -> None:
    """Control."""
    handle, temporary = open_temporary(tmp_path / "a.json")
    assert remove_stale(tmp_path) == []
    os.close(handle)
    assert remove_stale(tmp_path) == [Path(temporary)]


def test_a_file_taken_for_stale_before_it_was_locked_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    flock, seen = fcntl.flock, []

    def late(handle: int, how: int) -> None:
        if not seen:
            seen.append(True)
            seen.extend(remove_stale(tmp_path))
        flock(handle, how)

    monkeypatch.setattr("shards.files.fcntl.flock", late)
    write_atomic(tmp_path / "a", b"x")
    assert len(seen) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_stale_files_of_one_folder_and_kind_alone(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    for name in (".a.json.abcdefgh.tmp", ".a.txt.abcdefgh.tmp", "below/.a.json.abcdefgh.tmp"):
        (tmp_path / name).write_text("")
    assert remove_stale(tmp_path, below=False, of=".json") == [tmp_path / ".a.json.abcdefgh.tmp"]


def test_only_plain_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "plain")
    os.mkfifo(tmp_path / "pipe")
    assert read_plain(tmp_path / "plain", 5) == b"12345"
    for name, said in (("link", "a link"), ("pipe", "a pipe or a device"), (".", "Is a directory"), ("none", "No such file")):
        with pytest.raises(OSError, match=said) as found:
            read_plain(tmp_path / name)
        assert isinstance(not_as_packed(found.value, tmp_path / name, "x"), DamagedShardError)
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_plain(tmp_path / "plain", 4)
    for device in ("/dev/zero", "/dev/full"):
        if os.path.exists(device):
            with pytest.raises(OSError, match="a pipe or a device"):
                read_plain(Path(device))
    refused = not_as_packed(PermissionError(13, "Permission denied"), tmp_path / "a", "the table")
    assert (type(refused), str(refused)) == (FileError, f"{tmp_path}/a: Permission denied; the table")


def test_one_holder_at_a_time_and_no_link_is_locked(tmp_path: Path) -> None:
    with locked(tmp_path / "lock"), pytest.raises(BlockingIOError), locked(tmp_path / "lock", wait=False):
        pass
    with locked(tmp_path / "lock", wait=False) as note:
        note.write(b"noted")
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / "soft").symlink_to(tmp_path / "victim")
    os.link(tmp_path / "victim", tmp_path / "hard")
    for name, said in (("soft", "a link"), ("hard", "a file of 2 names"), (".", "Is a directory")):
        with pytest.raises(OSError, match=said), locked(tmp_path / name):
            pass
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_what_is_told_inside_keeps_its_own_name(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="inner: x; y"), told(tmp_path / "outer", "z"), told(tmp_path / "inner", "y"):
        raise OSError(5, "x")
    with pytest.raises(NoRoomError, match="the quota of this user is used up"), told(tmp_path / "a", "z"):
        raise OSError(errno.EDQUOT, "Disk quota exceeded")
    with pytest.raises(NoRoomError, match=r"a: room is needed for the file; [\d,]+ bytes are free"), told(tmp_path / "a", "z"):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(FileError, match="a: timed out; z"), told(tmp_path / "a", "z"):
        raise TimeoutError("timed out")
    with pytest.raises(KeyboardInterrupt), told(tmp_path / "a", "z"):
        raise KeyboardInterrupt
