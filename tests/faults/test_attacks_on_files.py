"""Names in a set, a cache or a folder that lead elsewhere, and copies that somebody else put there: no other file is written to or read, and no other
picture is used."""

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shards.cache.decoded import decoded
from shards.cache.files import cached_files, clear
from shards.errors import DamagedShardError, ShardsError
from shards.inspection.describe import describe, write_description
from shards.inspection.verify import verify
from shards.pack.pack import pack
from shards.read.openings import OPENINGS, open_test, openings
from shards.read.shard_set import ShardSet
from tests.helpers.instead import PRECIOUS, REFUSED, put

Attack = Callable[[Path, Path], object]
pytestmark = pytest.mark.usefixtures("no_waiting")


def _instead(kind: str, name: str = OPENINGS) -> Attack:
    return lambda root, victim: put(kind, root / name, victim)


OF_THE_RECORD: dict[str, Attack] = {
    **{kind: _instead(kind) for kind in ("link", "dangling", "second name", "pipe")},
    **{f"its lock: {kind}": _instead(kind, f".{OPENINGS}.lock") for kind in ("link", "dangling", "second name", "pipe")},
    "a folder": lambda root, _: (root / OPENINGS).mkdir(),
    "without end": lambda root, _: put("link", root / OPENINGS, Path("/dev/zero")),
    "to a disk": lambda root, _: put("link", root / OPENINGS, Path("/dev/full")),
}


@pytest.mark.parametrize("name", OF_THE_RECORD)
def test_an_opening_goes_into_no_other_file(root: Path, victim: Path, name: str) -> None:
    OF_THE_RECORD[name](root, victim)
    with pytest.raises(ShardsError, match=r"openings.jsonl: .*; a file that can be appended to\nhint: each opening of the test split"):
        open_test(root, sweep="s", purpose="p")
    assert victim.read_bytes() == PRECIOUS
    assert os.listdir(victim.parent) == ["victim"]
    assert bool(verify(root)) == ("lock" not in name)


def test_a_followed_link_would_take_the_line(root: Path, victim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: the same attack where links are followed."""
    put("link", root / OPENINGS, victim)
    monkeypatch.setattr("shards.files._SAFE", os.O_CLOEXEC)
    open_test(root, sweep="s", purpose="p")
    assert victim.read_bytes().startswith(PRECIOUS + b'{"identity"')


@pytest.mark.parametrize(
    "line",
    [
        b"[" * 100_000,
        b'{"number": [], "identity": {}, "sweep": 1, "purpose": null, "opened_at": "x"}',
        b"5",
        b"\xff\xfe",
        b'{"number": 1e999}',
        b"null",
    ],
)
def test_a_record_of_nonsense_is_told_and_opens_nothing(root: Path, line: bytes) -> None:
    (root / OPENINGS).write_bytes(line + b"\n")
    assert verify(root) == [f"{root}/{OPENINGS}: line 1 cannot be read; one opening a line"]
    assert openings(root) == []
    assert open_test(root, sweep="s", purpose="p").number == 2


def _noise(path: Path) -> object:
    return path.write_bytes(np.random.default_rng(0).bytes(path.stat().st_size))


def _zeros(path: Path) -> object:
    return path.write_bytes(bytes(path.stat().st_size))


def _cut(path: Path) -> object:
    return os.truncate(path, path.stat().st_size // 2)


def _swapped(path: Path) -> None:
    other = path.with_name("other")
    shutil.copyfile(path, other)
    _zeros(other)
    other.rename(path)


def _elsewhere(path: Path) -> None:
    path.rename(path.parent.parent / "elsewhere")
    _zeros(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def _second(path: Path) -> None:
    os.link(path, path.parent.parent / "elsewhere")
    _zeros(path.parent.parent / "elsewhere")


def _sidecar(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    """The sidecar edited, beside pictures of zeros."""

    def attack(path: Path) -> None:
        _zeros(path)
        sidecar = path.with_name(path.name + ".json")
        said = json.loads(sidecar.read_bytes())
        change(said)
        sidecar.write_text(json.dumps(said))

    return attack


def _note(path: Path) -> None:
    """A note that says: checked."""
    _zeros(path)
    found = path.stat()
    said = json.loads(path.with_name(path.name + ".json").read_bytes())
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    note = [boot, said["sha256"], found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
    path.with_name(path.name + ".lock").write_text(json.dumps(note))


def _endless_sidecar(path: Path) -> None:
    _zeros(path)
    put("link", path.with_name(path.name + ".json"), Path("/dev/zero"))


IN_THE_CACHE: dict[str, Callable[[Path], object]] = {
    "noise": _noise, "zeros": _zeros, "cut": _cut, "another file of that name": _swapped, "a link": _elsewhere, "a second name": _second,
    "a pipe": lambda path: put("pipe", path, path), "a file for everybody": lambda path: os.chmod(path, 0o666), "a forged note": _note,
    "no digest": _sidecar(lambda said: said.pop("sha256")), "an empty digest": _sidecar(lambda said: said.update(sha256="")),
    "a digest that is a list": _sidecar(lambda said: said.update(sha256=[])), "more than is known": _sidecar(lambda said: said.update(more=1)),
    "a sidecar in 100,000 levels": lambda path: (_zeros(path), path.with_name(path.name + ".json").write_bytes(b"[" * 60_000)),
    "a sidecar without end": _endless_sidecar,
}  # fmt: skip


@pytest.mark.parametrize("name", IN_THE_CACHE)
def test_a_forged_copy_is_never_used(whole: Path, pixels: np.ndarray, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    cache = tmp_path / "cache"
    decoded(ShardSet(whole), "train", cache)
    path = next(cache.glob("*-train.u8"))
    IN_THE_CACHE[name](path)
    assert (decoded(ShardSet(whole), "train", cache) == pixels).all()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "removed, and built again" in caplog.text
    assert path.is_file()
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_copy_whose_forger_knows_the_digest_is_his_own_users(whole: Path, tmp_path: Path) -> None:
    """The bound of what is promised: who may write the sidecar too may forge both; so both must be this user's or root's."""
    from shards.cache.proof import digest

    cache = tmp_path / "cache"
    decoded(ShardSet(whole), "train", cache)
    path = next(cache.glob("*-train.u8"))
    _zeros(path)
    sidecar = path.with_name(path.name + ".json")
    with path.open("rb") as file:
        sidecar.write_text(json.dumps(json.loads(sidecar.read_bytes()) | {"sha256": digest(file, path.stat().st_size)}))
    assert not decoded(ShardSet(whole), "train", cache).any()
    if os.geteuid() == 0:
        os.chown(sidecar, 54321, -1)
        assert decoded(ShardSet(whole), "train", cache).any()


@pytest.mark.parametrize("lock", [".room.lock", "{}.lock"])
@pytest.mark.parametrize("kind", REFUSED)
def test_a_lock_of_the_cache_is_no_other_file(whole: Path, victim: Path, tmp_path: Path, lock: str, kind: str) -> None:
    cache = tmp_path / "cache"
    decoded(ShardSet(whole), "train", cache)
    path = cache / lock.format(next(cache.glob("*-train.u8")).name)
    clear(cache)
    put(kind, path, victim)
    with pytest.raises(ShardsError, match=rf"{REFUSED[kind]}; a folder that can be written to"):
        decoded(ShardSet(whole), "train", cache)
    assert victim.read_bytes() == PRECIOUS
    assert cached_files(cache) == []


@pytest.mark.parametrize("name", ["describe.json", "describe.txt", "describe.png"])
@pytest.mark.parametrize("kind", ["link", "second name"])
def test_a_description_replaces_what_bears_its_name(root: Path, victim: Path, name: str, kind: str) -> None:
    put(kind, root / name, victim)
    write_description(root, describe(root), root)
    assert victim.read_bytes() == PRECIOUS
    assert (root / name).stat().st_size > 20


@pytest.mark.parametrize("name", [".staging", "train", "val", "test", ".staging/lock", ".staging/plan.json"])
def test_packing_into_a_folder_of_links_writes_nowhere_else(whole: Path, victim: Path, tmp_path: Path, name: str) -> None:
    out, elsewhere = tmp_path / "out", victim.parent
    (out / ".staging").mkdir(parents=True)
    if name == ".staging":
        (out / ".staging").rmdir()
    put("link", out / name, victim if name.startswith(".staging/") else elsewhere)
    with pytest.raises(ShardsError, match="a link"):
        pack(whole.parent / "table.csv", out, keep=["mood"], processes=1)
    assert victim.read_bytes() == PRECIOUS
    assert os.listdir(elsewhere) == ["victim"]


def test_staged_pictures_that_were_changed_are_not_packed(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr("shards.pack.tars.TarWriter.write", stop)
        with pytest.raises(KeyboardInterrupt):
            pack(whole.parent / "table.csv", out, processes=1)
    path = out / ".staging" / "00000.jpegs"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(
        DamagedShardError, match=r"\.staging: the picture of row \d+ is not the one made ready\nhint: delete .*\.staging and pack again"
    ):
        pack(whole.parent / "table.csv", out, processes=1)


def test_a_table_whose_name_steers_a_terminal_is_refused(whole: Path, tmp_path: Path) -> None:
    for name in ("\x1b[2J.csv", "a\nb.csv", os.fsdecode(b"\xff.csv")):
        shutil.copyfile(whole.parent / "table.csv", tmp_path / name)
        with pytest.raises(ShardsError, match="a name that cannot be kept"):
            pack(tmp_path / name, tmp_path / "out", pictures=whole.parent, processes=1)
