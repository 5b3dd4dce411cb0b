"""Rows that failed for a reason that can heal are tried again, of an unfinished pack and of a finished set, to the bytes of one that never failed."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.errors import ShardsError
from shards.inspection.verify import verify
from shards.manifest import MANIFEST, SplitRule
from shards.pack import retry, staging, tars
from shards.pack.pack import pack
from shards.read.openings import OPENINGS, open_test, openings

Files = Callable[[Path], dict[str, str]]
pytestmark = pytest.mark.usefixtures("small_chunks")
RULE = SplitRule(train=0.5, val=0.2, test=0.3, max_per_owner=5)


@pytest.fixture
def table(mixed: Path) -> Path:
    """Of it three pictures are not there yet, of a prolific owner, of near-duplicates, and of neither."""
    for row in (1, 12, 30):
        (mixed.parent / f"images/{row:03d}.jpg").rename(mixed.parent / f"images/{row:03d}.later")
    return mixed


def heal(table: Path) -> None:
    for later in (table.parent / "images").glob("*.later"):
        later.rename(later.with_suffix(".jpg"))


def whole(table: Path, out: Path) -> Path:
    """What a pack of the healed table makes."""
    copied = shutil.copytree(table.parent, out.parent / f"{out.name}-in")
    heal(copied / table.name)
    pack(copied / table.name, out, shard_size=5, processes=1, split_rule=RULE)
    return out


@pytest.mark.parametrize("version", [2, 3])  # the third keeps the quality of the hash
def test_a_finished_set_is_packed_again_where_something_healed(
    tmp_path: Path, files: Files, table: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tars, "QUALITY_SINCE", 0 if version == 3 else 99)
    out = tmp_path / "out"
    first = pack(table, out, shard_size=5, processes=1, split_rule=RULE)
    assert first.rejected["missing_file"] == 4
    open_test(out, sweep="s", purpose="p")
    before = files(out)
    again = pack(table, out, shard_size=5, processes=1, split_rule=RULE, retry=True)
    assert (again.healed, again.already_packed, files(out)) == (0, True, before)  # nothing healed: it stays as it is
    assert "healed    0 rows" in again.text()
    heal(table)
    assert pack(table, out, shard_size=5, processes=1, split_rule=RULE).already_packed  # control: without retry nothing is tried
    for row in (0, 2, 25):  # what is in the shards is not asked for again
        (table.parent / f"images/{row:03d}.jpg").rename(table.parent / f"images/{row:03d}.gone")
    again = pack(table, out, shard_size=5, processes=1, split_rule=RULE, retry=True)
    assert (again.healed, again.already_packed, again.rejected["missing_file"]) == (3, False, 1)
    assert verify(out) == []
    for gone in (table.parent / "images").glob("*.gone"):
        gone.rename(gone.with_suffix(".jpg"))
    expected = files(whole(table, tmp_path / "whole"))
    assert {name: digest for name, digest in files(out).items() if OPENINGS not in name} == expected
    assert [entry.sweep for entry in openings(out) if entry] == ["s"]


def test_killed_at_every_step_it_goes_on(tmp_path: Path, files: Files, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(table, tmp_path / "once", shard_size=5, processes=1, split_rule=RULE)
    old = files(tmp_path / "once")
    expected = files(whole(table, tmp_path / "whole"))
    heal(table)
    rename, replace = os.rename, os.replace
    stop = 0
    while True:
        out = Path(shutil.copytree(tmp_path / "once", tmp_path / f"out{stop}"))
        counted = iter(range(10**6))

        def counting(done: Callable[[object, object], None]) -> Callable[[object, object], None]:
            def move(source: object, target: object) -> None:
                if next(counted) == stop:  # noqa: B023 - called at once
                    raise KeyboardInterrupt
                done(source, target)

            return move

        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", counting(rename))
            patch.setattr(os, "replace", counting(replace))
            try:
                pack(table, out, shard_size=5, processes=1, split_rule=RULE, retry=True)
                break
            except KeyboardInterrupt:
                pass
        finished = (out / MANIFEST).exists()
        if finished:  # the old set, whole
            assert {name: digest for name, digest in files(out).items() if not name.startswith(".staging")} == old
        pack(table, out, shard_size=5, processes=1, split_rule=RULE, retry=finished)
        assert files(out) == expected
        stop += 5 if finished else 3
    assert stop > 12


def test_an_unfinished_pack_tries_them_again_too(tmp_path: Path, files: Files, table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    for out in ("with", "without"):
        with monkeypatch.context() as patch:
            patch.setattr(tars.TarWriter, "write", stop)
            with pytest.raises(KeyboardInterrupt):
                pack(table, tmp_path / out, shard_size=5, processes=1, split_rule=RULE)
    heal(table)
    for out, again in (("with", True), ("without", False)):
        pack(table, tmp_path / out, shard_size=5, processes=1, split_rule=RULE, retry=again)
    pack(table, tmp_path / "whole", shard_size=5, processes=1, split_rule=RULE)
    assert files(tmp_path / "with") == files(tmp_path / "whole") != files(tmp_path / "without")


def test_what_is_left_of_another_generation_is_not_taken(tmp_path: Path, files: Files, table: Path) -> None:
    """Killed after the manifest was written, and while .staging was removed: what a retry of the set before had taken out of its shards."""
    out = tmp_path / "out"
    pack(table, out, shard_size=5, processes=1, split_rule=RULE)
    (out / ".staging").mkdir()
    retry.write_rows(out / ".staging" / staging.RESTORED, retry._SCHEMA.with_metadata({b"manifest": b"another"}), [])
    heal(table)
    pack(table, out, shard_size=5, processes=1, split_rule=RULE, retry=True)
    assert files(out) == files(whole(table, tmp_path / "whole"))


def test_another_table_is_refused_as_ever(tmp_path: Path, table: Path) -> None:
    pack(table, tmp_path / "out", processes=1)
    table.write_text(table.read_text() + "x,images/001.jpg,1,1,o,,,\n")
    with pytest.raises(ShardsError, match="packed with another source"):
        pack(table, tmp_path / "out", retry=True)
