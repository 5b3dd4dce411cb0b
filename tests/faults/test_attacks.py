"""Packed sets, caches and tables that come from somebody else: none of them runs code, is waited for without end, changes another file, or comes
through with another picture. Every one ends in one clear error, or in the right pictures."""

import gzip
import hashlib
import io
import os
import pickle
import shutil
import tarfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from shards.cache.decoded import decoded
from shards.digests import labels_sha256
from shards.errors import ShardsError
from shards.inspection.describe import describe, near_duplicates
from shards.inspection.verify import verify
from shards.manifest import Manifest
from shards.read.on_demand import ShardReader
from shards.read.openings import open_test, openings
from shards.read.shard_set import ShardSet
from shards.read.tar_index import MappedShard
from tests.helpers.instead import PRECIOUS, put
from tests.helpers.packed_set import edit_manifest, forge_shard, tar

pytestmark = pytest.mark.usefixtures("no_waiting")
Attack = Callable[[Path, Path], object]  # on a set and a victim; what it says of the set is its own business


class _Code:
    """What a pickle runs when it is read."""

    def __init__(self, pwned: Path) -> None:
        self.pwned = pwned

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.pwned),))


def _ways(root: Path, cache: Path) -> list[Callable[[], object]]:
    """All ways in which a set is read, and added to."""
    return [
        lambda: ShardSet(root).labels("train"),
        lambda: decoded(ShardSet(root), "train", cache),
        lambda: ShardReader(ShardSet(root), "train", 1).visit(np.arange(10), lambda *_: None),
        lambda: ShardSet(root).verify_files(),
        lambda: describe(root),
        lambda: open_test(root, sweep="s", purpose="p"),
        lambda: near_duplicates(ShardSet(root), openings(root)[0]),
    ]


def _outcome(root: Path, cache: Path) -> list[str]:
    """Of each way: "" where it went through, else the error, which is one of ours."""
    said = []
    for way in _ways(root, cache):
        try:
            way()
            said.append("")
        except ShardsError as error:
            said.append(str(error))
        except IndexError:  # no opening there to look at the near-duplicates with
            said.append("no opening")
    assert all(len(line) < 1000 for text in said for line in text.splitlines())
    return said


def _members(root: Path) -> list[tuple[str, bytes]]:
    with MappedShard(root, Manifest.load(root).shards[0]) as mapped:
        return [(f"{key}.{suffix}", bytes(mapped.member(key, suffix))) for key in mapped.places for suffix in ("jpg", "json")]


def _pickled(victim: Path) -> bytes:
    return pickle.dumps(_Code(victim.parent / "pwned"))


def _more(name: str) -> Attack:
    return lambda root, victim: forge_shard(root, tar([*_members(root), (name, _pickled(victim))]))


def _instead(suffix: str, data: Callable[[Path], bytes]) -> Attack:
    def attack(root: Path, victim: Path) -> None:
        members = _members(root)
        place = next(i for i, (name, _) in enumerate(members) if name.endswith(suffix))
        members[place] = (members[place][0], data(victim))
        forge_shard(root, tar(members))

    return attack


def _renamed(name: str) -> Attack:
    def attack(root: Path, victim: Path) -> None:
        (_, jpg), (_, about), *rest = _members(root)
        forge_shard(root, tar([(f"{name}.jpg", jpg), (f"{name}.json", about), *rest]))

    return attack


def _kind(kind: bytes) -> Attack:
    def attack(root: Path, victim: Path) -> None:
        link = tar([("000000000.jpg", b"")], kind, str(victim))[:512]
        forge_shard(root, link + tar(_members(root)[1:]))

    return attack


def _header(change: Callable[[bytearray], object]) -> Attack:
    """Changes the first header, with a checksum that fits."""

    def attack(root: Path, victim: Path) -> None:
        data = bytearray(tar(_members(root)))
        change(data)
        data[148:156] = b"%06o\0 " % (sum(data[:148]) + sum(b" " * 8) + sum(data[156:512]))
        forge_shard(root, bytes(data))

    return attack


def _at(at: int, what: bytes) -> Callable[[bytearray], object]:
    return lambda data: data.__setitem__(slice(at, at + len(what)), what)


def _bomb(_: Path) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (12_000, 12_000)).save(sink, "JPEG", quality=1)
    return sink.getvalue()


IN_A_SHARD: dict[str, Attack] = {
    **{f"member .{suffix}": _more(f"000000099.{suffix}") for suffix in ("pkl", "pickle", "pyd", "pth", "pkl.gz", "x.PKL", "npy", "cls", "txt")},
    "a picture that is a pickle": _instead(".jpg", _pickled),
    "a JSON that is a pickle": _instead(".json", _pickled),
    "a JSON in 100,000 levels": _instead(".json", lambda _: b"[" * 100_000),
    "a picture of 12,000 squared": _instead(".jpg", _bomb),
    "an empty picture": _instead(".jpg", lambda _: b""),
    "key ../../x": _renamed("../../x"),
    "key /etc/x": _renamed("/etc/x"),
    "key with a line feed": _renamed("1\n2"),
    "key of Arabic digits": _renamed("\u0661\u0662"),
    **{
        f"member that is a {name}": _kind(kind)
        for name, kind in {
            "link": tarfile.SYMTYPE, "second name": tarfile.LNKTYPE, "pipe": tarfile.FIFOTYPE, "folder": tarfile.DIRTYPE, "device": tarfile.CHRTYPE,
            "disk": tarfile.BLKTYPE, "long name": tarfile.GNUTYPE_LONGNAME, "pax header": tarfile.XHDTYPE, "sparse file": tarfile.GNUTYPE_SPARSE,
        }.items()
    },
    "a member twice": lambda root, _: forge_shard(root, tar([*_members(root), _members(root)[0]])),
    "JSON without a picture": lambda root, _: forge_shard(root, tar(_members(root)[1:])),
    "a compressed shard": lambda root, _: forge_shard(root, gzip.compress(bytes(10**7))),
    "nothing but zeros": lambda root, _: forge_shard(root, bytes(10_240)),
    "a size past the end": _header(_at(124, b"77777777777\0")),
    "a size in base 256": _header(_at(124, b"\x80" + bytes(10) + b"\x01")),
    "a negative size": _header(_at(124, b"-0000000001\0")),
    "a prefix": _header(_at(345, b"../..")),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_A_SHARD)
def test_a_forged_shard_runs_nothing_and_reaches_nothing(root: Path, victim: Path, tmp_path: Path, pixels: np.ndarray, name: str) -> None:
    IN_A_SHARD[name](root, victim)
    said = _outcome(root, tmp_path / "cache")
    assert not said[3]  # control: the forger's digest fits
    problems = verify(root)
    assert problems
    assert all(problem.startswith(str(root)) for problem in problems)
    if "JSON" not in name or "without" in name:  # what is known of a picture is read by nobody but verify
        assert "train/00000.tar" in said[1]
        assert said[1] == said[2]
    else:
        assert (decoded(ShardSet(root), "train", tmp_path / "cache") == pixels).all()
        assert "no JSON object" in problems[0]
    assert os.listdir(victim.parent) == ["victim"]
    assert victim.read_bytes() == PRECIOUS


def test_a_pickle_would_run(victim: Path) -> None:
    """Control."""
    pickle.loads(_pickled(victim))
    assert (victim.parent / "pwned").is_dir()


def _put(kind: str, name: str) -> Attack:
    return lambda root, victim: put(kind, root / name, victim)


def _endless(name: str) -> Attack:
    return lambda root, _: put("link", root / name, Path("/dev/zero"))


def _file(name: str) -> Attack:
    return lambda root, _: edit_manifest(root, lambda manifest: manifest["shards"][0].update(file=name))


def _forged(root: Path, name: str, table: pa.Table) -> None:
    """A table of another kind, with a digest that fits."""
    pq.write_table(table, root / name, compression="zstd")
    digest = hashlib.sha256((root / name).read_bytes()).hexdigest()
    edit_manifest(root, lambda manifest: manifest["files_sha256"].update({name: digest}))


def _labels(root: Path, table: pa.Table) -> None:
    """Labels of another kind, with digests that fit where they can be made."""
    _forged(root, "labels.parquet", table)
    with suppress(TypeError, ValueError, OverflowError):
        rows = labels_sha256(table) if len(table) < 1000 else "0" * 64
        edit_manifest(root, lambda manifest: manifest.update(labels_sha256=rows))


def _table(change: Callable[[pa.Table], pa.Table]) -> Attack:
    return lambda root, _: _labels(root, change(pq.read_table(root / "labels.parquet")))


def _column(name: str, values: Callable[[int], pa.Array]) -> Attack:
    return _table(lambda table: table.set_column(table.column_names.index(name), name, values(len(table))))


def _folder_elsewhere(root: Path, victim: Path) -> None:
    shutil.move(root / "train", victim.parent / "train")
    (root / "train").symlink_to(victim.parent / "train")


def _loop(name: str) -> Attack:
    def attack(root: Path, _: Path) -> None:
        (root / name).rename(root / "gone")
        (root / name).symlink_to(root / name)

    return attack


FILES = ("manifest.json", "labels.parquet", "ledger.parquet", "near_duplicates.parquet", "train/00000.tar")
IN_A_SET: dict[str, Attack] = {
    **{
        f"manifest names {name!r}": _file(name)
        for name in (
            "../../../etc/passwd", "/etc/passwd", "val/../../etc/passwd", "train/0.tar\n", "pipe:touch pwned", "file:///etc/passwd", "http://127.0.0.1/x.tar",
            "train/\u0660.tar", "train//00000.tar", "./train/00000.tar", "train/00000.tar\0", "",
        )
    },
    **{f"{name} as a link": _put("link", name) for name in FILES},
    **{f"{name} as a pipe": _put("pipe", name) for name in FILES},
    **{f"{name} without end": _endless(name) for name in FILES},
    "a folder of a split elsewhere": _folder_elsewhere,
    **{f"{name} as a link to itself": _loop(name) for name in ("labels.parquet", "train/00000.tar", "train")},
    "manifest in 100,000 levels": lambda root, _: (root / "manifest.json").write_bytes(b"[" * 100_000),
    "manifest of nothing": lambda root, _: (root / "manifest.json").write_bytes(b"{}"),
    "pictures of a million pixels a side": lambda root, _: edit_manifest(root, lambda manifest: manifest["picture_rule"].update(crop_px=10**6)),
    "shards of 10^12 pictures": lambda root, _: edit_manifest(root, lambda manifest: manifest["shards"][0].update(num_samples=10**12)),
    "labels that are bytes": _column("owner", lambda num: pa.array([b"\xff"] * num, pa.binary())),
    "labels that are lists": _column("id", lambda num: pa.array([["x"]] * num)),
    "counts that are texts": _column("views", lambda num: pa.array(["9"] * num)),
    "counts that are missing": _column("views", lambda num: pa.array([None] * num, pa.int64())),
    "dates that are texts": _column("uploaded_at", lambda num: pa.array(["yesterday"] * num)),
    "labels without owners": _table(lambda table: table.drop_columns(["owner"])),
    "labels with a column twice": _table(lambda table: table.append_column("views", table["views"])),
    "a ledger of lists": lambda root, _: _forged(root, "ledger.parquet", pa.table({name: [["x"]] for name in ("status", "key", "reason")})),
    "a ledger of nothing": lambda root, _: _forged(root, "ledger.parquet", pa.table({"row": [1]})),
    "pairs of lists": lambda root, _: _forged(
        root, "near_duplicates.parquet", pa.table({f"{name}_{side}": [["x"]] for name in ("id", "split", "owner", "views") for side in "ab"})
    ),
    "labels of 10^8 rows": _table(lambda _: pa.table({"key": pa.DictionaryArray.from_arrays(pa.array(np.zeros(10**8, np.int8)), ["1"])})),
}  # fmt: skip


@pytest.mark.parametrize("name", IN_A_SET)
def test_a_forged_set_is_refused_in_one_error(root: Path, victim: Path, tmp_path: Path, name: str) -> None:
    IN_A_SET[name](root, victim)
    assert verify(root)
    said = _outcome(root, tmp_path / "cache")
    assert any(text and text != "no opening" for text in said)
    assert victim.read_bytes() == PRECIOUS
    assert PRECIOUS.decode().strip() not in "".join(said)
    assert "root:" not in "".join(said)
    assert {path.name for path in victim.parent.iterdir()} <= {"victim", "train"}
