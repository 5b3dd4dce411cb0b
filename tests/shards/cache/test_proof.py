"""A cached file is used only where its bytes are those that were built, and nobody else may have written it."""

import hashlib
import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from shards.cache import proof
from shards.cache.files import ANOTHER, Sidecar, cached_files, clear, sidecar_path
from shards.cache.mapped import built_once
from shards.cache.proof import BLOCK_BYTES, digest
from tests.helpers.instead import REFUSED, put

NUM = 100_000
# maps the file, says how often it hashed and built and what came, and holds it until it is told to end
_MAP = """
import mmap, os, pathlib, sys  # mmap: another user may not be able to read Python's own files
from shards.cache import mapped, proof
counts = {"hashed": 0, "built": 0}
digest = proof.digest
def counted(*args):
    counts["hashed"] += 1
    return digest(*args)
proof.digest = counted
def fill(out):
    counts["built"] += 1
    out[:] = range(len(out))
if len(sys.argv) > 2:
    os.seteuid(int(sys.argv[2]))
try:
    found = mapped.built_once(pathlib.Path(sys.argv[1]), "<f4", (100_000,), fill, what="numbers")
    print(counts["hashed"], counts["built"], int((found == range(len(found))).all()), flush=True)
except ValueError as error:
    print(type(error).__name__, error, flush=True)
sys.stdin.readline()
"""


def _fill(out: np.ndarray) -> None:
    out[:] = range(len(out))


def _numbers(path: Path) -> np.ndarray:
    return built_once(path, "<f4", (NUM,), _fill, what="numbers")


def _right(found: np.ndarray) -> bool:
    return bool((found == np.arange(NUM, dtype="<f4")).all())


def _start(path: Path, *user: int) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", _MAP, str(path), *map(str, user)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _said(path: Path, *user: int) -> str:
    return _start(path, *user).communicate("\n", timeout=120)[0].strip()


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder as /tmp is: everybody may add files, and remove his own."""
    folder = Path(tempfile.mkdtemp(prefix="peoria-shared-", dir="/tmp"))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


def _flip(path: Path, how: str) -> None:
    before, place = path.stat(), NUM * 2
    if how == "mapped":
        array = np.memmap(path, np.uint8, "r+")
        array[place] ^= 1
        array.flush()
        return
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0] ^ 1
        file.seek(place)
        file.write(bytes([byte]))
    if how == "time put back":
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("how", ["written", "time put back", "mapped"])
def test_a_flipped_bit_is_said_aloud_and_never_used(
    tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.f4"
    held = _numbers(path)
    for again in ("in this process", "in another"):
        _flip(path, how)
        caplog.clear()
        if again == "in this process":
            assert _right(_numbers(path))
            assert [record.levelno for record in caplog.records] == [logging.WARNING]
            assert f"{path}: sha256 " in caplog.text
            assert "was built: removed, and built again" in caplog.text
        else:
            assert _said(path).split() == ["1", "1", "1"]
    with monkeypatch.context() as patch:  # control: the size is right and the sidecar too
        patch.setattr("shards.cache.mapped.damage", lambda *_, **__: "")
        _flip(path, how)
        assert not _right(_numbers(path))
    assert held.shape == (NUM,)


def test_a_file_is_hashed_once_while_it_is_used_and_again_after(tmp_path: Path) -> None:
    path = tmp_path / "a.f4"
    assert _said(path) == "0 1 1"  # who built it knows it
    with _start(path) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "1 0 1\n"  # nobody had it mapped: a new run
        assert _said(path) == "0 0 1"  # the first one's note
        (tmp_path / "a.f4.lock").write_text("[torn")
        assert _said(path) == "1 0 1"
        os.chmod(path, 0o600)  # any change of the file ends what is known of it
        assert _said(path) == "1 0 1"
        assert _said(path) == "0 0 1"
        first.communicate("\n", timeout=60)
    assert _said(path) == "1 0 1"


def test_a_process_hashes_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.f4"
    _numbers(path)
    with monkeypatch.context() as patch:
        patch.setattr(proof, "digest", lambda *_: pytest.fail("hashed"))
        assert _right(_numbers(path))
        assert _right(_numbers(path))
    monkeypatch.setattr(proof, "_checked", {})
    monkeypatch.setattr(proof, "digest", lambda *_: "0")  # control: what it would be asked
    assert _right(_numbers(path))
    with path.open("rb") as file:
        assert json.loads(sidecar_path(path).read_text())["sha256"] == digest(file, 4 * NUM)
    assert "sha256 0…; " in caplog.text


def test_a_note_that_others_can_write_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "a.f4"
    with _start(path) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "0 1 1\n"
        assert _said(path) == "0 0 1"
        (tmp_path / "a.f4.lock").chmod(0o666)
        assert _said(path) == "1 0 1"
        first.communicate("\n", timeout=60)


def test_a_change_right_after_the_check_has_another_time(tmp_path: Path) -> None:
    path = tmp_path / "a.f4"
    for _ in range(20):
        _numbers(path)
        _flip(path, "time put back")  # at once
        assert _right(_numbers(path))


@pytest.mark.parametrize("num_bytes", [1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 5])
def test_the_digest_is_that_of_the_blocks(tmp_path: Path, num_bytes: int) -> None:
    data = np.random.default_rng(num_bytes).bytes(num_bytes)
    (tmp_path / "a").write_bytes(data + b"more")
    blocks = [hashlib.sha256(data[start : start + BLOCK_BYTES]).digest() for start in range(0, num_bytes, BLOCK_BYTES)]
    with (tmp_path / "a").open("rb") as file:
        assert digest(file, num_bytes) == hashlib.sha256(b"".join(blocks)).hexdigest()
        with pytest.raises(OSError, match=f"{num_bytes + 4:,} bytes; {num_bytes + 5:,}"):
            digest(file, num_bytes + 5)


def test_sidecars_of_other_versions_are_listed_and_freed_but_prove_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.f4"
    _numbers(path)
    said = json.loads(sidecar_path(path).read_text())
    older = {name: value for name, value in said.items() if name != "sha256"}
    for other in (older, said | {"compressed": True}):
        sidecar_path(path).write_text(json.dumps(other))
        assert [cached.path for cached in cached_files(tmp_path)] == [path]
        found = Sidecar.read(path)
        assert found is not None
        assert found.sha256 == ""
        caplog.clear()
        path.write_bytes(b"\1" * 4 * NUM)
        assert _right(_numbers(path))
        assert "nothing proves its bytes: it is of another version: removed, and built again" in caplog.text
        sidecar_path(path).write_text(json.dumps(other))
        assert [cached.path for cached in clear(tmp_path)] == [path]
        assert _right(_numbers(path))
    for nonsense in ({"what": 5}, {"shape": "x"}, {"sha256": 7}, {"num": True}, {"bytes": "1"}):
        sidecar_path(path).write_text(json.dumps(said | nonsense))
        assert Sidecar.read(path) is None
        assert _right(_numbers(path))


def test_what_others_may_have_written_is_removed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.f4"
    _numbers(path)
    for name, change, said in (
        ("a.f4", lambda file: os.chmod(file, 0o666), r"a file that others can write to \(mode 666\)"),
        ("a.f4", lambda file: os.chmod(file, 0o664), r"a file that others can write to \(mode 664\)"),
        ("a.f4.json", lambda file: os.chmod(file, 0o646), r"a file that others can write to \(mode 646\)"),
        ("a.f4", lambda file: os.chown(file, 54321, -1), "a file of user 54321"),
        ("a.f4.json", lambda file: os.chown(file, 54321, -1), "a file of user 54321"),
    ):
        if "user" in said and os.geteuid() != 0:
            continue
        change(tmp_path / name)
        caplog.clear()
        assert _right(_numbers(path)), said
        assert caplog.records[0].message.startswith(str(path))
        assert said.replace("\\", "") in caplog.text
        assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who can be several users")
def test_another_users_file_is_refused_by_name_where_it_cannot_be_removed(shared: Path) -> None:
    path = shared / "a.f4"
    assert _said(path, 54321) == "0 1 1"
    assert path.stat().st_uid == 54321
    refused = f"FileError {path}: a file of user 54321, which cannot be removed (Operation not permitted); this user's own, or none"
    assert _said(path, 12345).startswith(refused)
    assert _said(path) == f"FileError {path}: a lock of user 54321; a folder that can be written to\nhint: {ANOTHER}"  # who could hold it for ever
    (shared / "a.f4.lock").unlink()
    assert _said(path, 12345).startswith(refused)
    (shared / "a.f4.lock").unlink()
    assert _said(path, 54321) == "1 0 1"  # control: his own he uses
    (shared / "a.f4.lock").unlink()
    (shared / ".room.lock").unlink()
    assert _said(path) == "0 1 1"  # root removes it


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, who can be several users")
def test_what_root_made_for_all_is_used_where_nothing_can_be_written(shared: Path) -> None:
    shared.chmod(0o755)
    path = shared / "a.f4"
    assert _said(path) == "0 1 1"
    assert _said(path, 12345) == "1 0 1"
    _flip(path, "time put back")
    assert "FileError" in _said(path, 12345)  # neither used nor removed


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o644), (0, 0o644)])
def test_the_umask_is_followed_and_nobody_else_may_write(tmp_path: Path, umask: int, mode: int, caplog: pytest.LogCaptureFixture) -> None:
    before = os.umask(umask)
    try:
        _numbers(tmp_path / "a.f4")
        assert _right(_numbers(tmp_path / "a.f4"))
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == dict.fromkeys(
        ("a.f4", "a.f4.json", "a.f4.lock", ".room.lock"), mode
    )
    assert not caplog.records


@pytest.mark.parametrize("name", ["a.f4", "a.f4.json"])
@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_file_is_neither_followed_nor_waited_for(tmp_path: Path, name: str, kind: str) -> None:
    path, victim = tmp_path / "a.f4", tmp_path / "victim"
    _numbers(path)
    victim.write_bytes((tmp_path / name).read_bytes())
    precious = victim.read_bytes()
    put(kind, tmp_path / name, victim)
    assert len(cached_files(tmp_path)) <= 1
    assert _right(_numbers(path))
    assert path.is_file()
    assert victim.read_bytes() == precious
    assert len(clear(tmp_path)) == 1
    assert victim.read_bytes() == precious
