"""The files of a cache folder: what is ours, what is used, what may go."""

import fcntl
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from shards.cache.decoded import decoded
from shards.cache.files import cached_files, clear, render, sidecar_path
from shards.cache.mapped import built_once
from shards.errors import ShardsError
from shards.read.shard_set import ShardSet


def numbers(path: Path, num: int) -> np.ndarray:
    return built_once(path, np.float32, (num,), lambda out: out.fill(7), what="the numbers")


def test_what_is_not_ours_is_neither_named_nor_removed(tmp_path: Path) -> None:
    for name in ("notes.txt", "pictures.u8", "package.json", "0123456789abcdef-train.json", ".x.tmp"):
        (tmp_path / name).write_text("{}")
    numbers(tmp_path / "a.f4", 10)
    (tmp_path / "0123456789abcdef-val.u8").write_bytes(b"of an older version")
    (tmp_path / ".a.f4.xyz.copy.tmp").write_bytes(b"of a build that was killed")
    before = {path.name for path in tmp_path.iterdir()}
    ours = {"a.f4", "0123456789abcdef-val.u8", ".a.f4.xyz.copy.tmp"}
    assert {cached.path.name for cached in cached_files(tmp_path)} == ours
    assert {cached.path.name for cached in clear(tmp_path)} == ours
    assert {path.name for path in tmp_path.iterdir()} == before - ours - {"a.f4.json"}


def test_clearing_leaves_what_is_in_use(tmp_path: Path) -> None:
    held = numbers(tmp_path / "held.f4", 1000)
    numbers(tmp_path / "idle.f4", 500)
    assert [(cached.path.name, cached.num_bytes) for cached in clear(tmp_path)] == [("idle.f4", 2000)]
    assert [cached.path.name for cached in cached_files(tmp_path)] == ["held.f4"]
    assert (held == 7).all()
    del held
    assert [cached.path.name for cached in clear(tmp_path)] == ["held.f4"]
    assert clear(tmp_path) == clear(tmp_path / "gone") == []


def test_without_locks_everything_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    numbers(tmp_path / "a.f4", 10)
    with monkeypatch.context() as patch:
        patch.setattr("shards.cache.files.fcntl", SimpleNamespace(**vars(fcntl) | {"flock": unsupported}))  # the locks of filelock go on
        assert [cached.in_use for cached in cached_files(tmp_path)] == [True]
        assert clear(tmp_path) == []
        assert (numbers(tmp_path / "a.f4", 10) == 7).all()  # and it can still be used
    assert [cached.in_use for cached in cached_files(tmp_path)] == [False]


def test_a_folder_whose_files_cannot_be_removed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    numbers(tmp_path / "a.f4", 10)
    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.raises(ShardsError, match=r": Permission denied; a folder whose files can be removed"):
        clear(tmp_path)


def test_the_list_says_what_each_file_is(packed_once: Path, tmp_path: Path) -> None:
    shard_set = ShardSet(packed_once)
    train = decoded(shard_set, "train", tmp_path)
    numbers(tmp_path / "abcdef.f4", 1234)
    os.utime(sidecar_path(tmp_path / "abcdef.f4"), (86400 * 365.25 * 30, 86400 * 365.25 * 30))
    (tmp_path / ".b.f4.xyz.copy.tmp").write_bytes(b"")
    lines = render(tmp_path, cached_files(tmp_path)).splitlines()
    digest = next(tmp_path.glob("*-train.u8")).name[:16]
    found = {tuple(line.split()) for line in lines[:-1]}
    assert any(
        words[:3] == ("decoded", "train", "pictures") and words[3] == digest and words[4] == str(len(train)) and words[-2:] == ("in", "use")
        for words in found
    )
    assert any(
        words[0] == "numbers" and "1,234" in words and words[-3:] == ("not", "in", "use") and "2000-01-01" in " ".join(words) for words in found
    )
    assert any(words[-1] == "unfinished" for words in found)
    assert lines[-1].startswith(f"3 files, {(train.nbytes + 4936) / 1e9:.2f} GB, in {tmp_path}; ")
    assert render(tmp_path / "gone" / "deep", []).startswith(f"0 files, 0.00 GB, in {tmp_path}/gone/deep; ")
