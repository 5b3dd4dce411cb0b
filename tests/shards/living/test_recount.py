"""New counts: by id, whole or not at all, the pictures as they were."""

from pathlib import Path

import numpy as np
import pytest

from shards.errors import NothingSealedError, ShardsError, TableError
from shards.inspection.verify import unproven, verify
from shards.living.recount import recount
from shards.living.remove import remove
from shards.manifest import Manifest
from shards.read import vaults as vaults_module
from shards.read.openings import open_test
from shards.read.shard_set import ShardSet
from tests.helpers.living import counts, manifest, new_counts, pixels, state
from tests.helpers.packed_set import edit_manifest


def test_counts_are_new_and_pictures_are_not(packed: Path, tmp_path: Path) -> None:
    before, seen, old = manifest(packed), pixels(packed), ShardSet(packed).table.to_pylist()
    tars = {shard.file: (packed / shard.file).stat().st_mtime_ns for shard in before.shards}
    found = recount(packed, counts(tmp_path, new_counts(packed)))
    assert (found.num_new, found.num_old, found.columns, found.reasons) == (60, 0, ("views", "favorites", "comments"), {})
    after = manifest(packed)
    assert after.identity != before.identity
    assert (after.shards, after.pictures_sha256) == (before.shards, before.pictures_sha256)
    assert {file: (packed / file).stat().st_mtime_ns for file in tars} == tars
    assert [(one.identity, one.num_vaults, one.change) for one in after.lineage] == [(before.identity, 1, "recount")]
    now = ShardSet(packed).table.to_pylist()
    assert now == [row | {"views": row["views"] + 5, "favorites": 1, "comments": 0} for row in old]
    again = pixels(packed)
    assert all((again[one] == picture).all() for one, picture in seen.items())
    assert verify(packed) == []
    assert unproven(packed) == []


def test_the_same_counts_once_more_change_nothing(packed: Path, tmp_path: Path) -> None:
    table = counts(tmp_path, new_counts(packed))
    first = recount(packed, table)
    data = (packed / "manifest.json").read_bytes()
    second = recount(packed, table)
    assert (first.changed, second.changed) == (True, False)
    assert "as they were before" in second.text()
    assert (packed / "manifest.json").read_bytes() == data


def test_counts_that_come_back_are_the_old_identity(packed: Path, tmp_path: Path) -> None:
    identity = manifest(packed).identity
    back = counts(tmp_path, [{name: row[name] for name in ("id", "views", "favorites", "comments")} for row in ShardSet(packed).table.to_pylist()])
    recount(packed, counts(tmp_path, new_counts(packed), "new.csv"))
    assert recount(packed, back).manifest.identity == identity
    assert [one.change for one in manifest(packed).lineage] == ["recount"]


def test_pictures_that_the_table_lacks_are_refused_or_keep_their_counts(packed: Path, tmp_path: Path) -> None:
    rows, was = new_counts(packed), state(packed)
    table = counts(tmp_path, [*rows[2:], rows[1] | {"views": "many"}, {"id": "stranger", "views": 1}, rows[3], {"id": "gone", "views": 3}])
    with pytest.raises(ShardsError, match=r"counts.csv: no counts for 2 of 60 pictures of .*set, first id .*; a row for each(.|\n)*--missing keep"):
        recount(packed, table)
    assert state(packed) == was
    found = recount(packed, table, missing="keep")
    assert (found.num_new, found.num_old) == (58, 2)
    assert {reason: (of.num, of.row) for reason, of in found.reasons.items()} == {
        "bad_count": (1, 58), "not_in_set": (1, 59), "duplicate_id": (1, 60), "left_out_at_packing": (1, 61)
    }  # fmt: skip
    views = {row["id"]: row["views"] for row in ShardSet(packed).table.to_pylist()}
    assert [views[row["id"]] - row["views"] for row in rows] == [-5, -5, *[0] * 58]
    assert verify(packed) == []


def test_a_table_of_other_ids_is_told_which_column_to_name(packed: Path, tmp_path: Path) -> None:
    rows = new_counts(packed)
    with pytest.raises(ShardsError, match=r"60 of 60 pictures(.|\n)*\(not_in_set: 1 row\)\nhint: --column id=COLUMN"):
        recount(packed, counts(tmp_path, [rows[0] | {"id": "stranger"}]))
    with pytest.raises(ShardsError, match=r"60 of 60 pictures(.|\n)*\(bad_count: 60 rows\)\nhint: --missing keep"):  # the same ids
        recount(packed, counts(tmp_path, [row | {"views": "many"} for row in rows]))


def test_a_removed_picture_is_told_as_removed(packed: Path, tmp_path: Path) -> None:
    rows = new_counts(packed)
    remove(packed, [rows[0]["id"]])
    assert {reason: of.num for reason, of in recount(packed, counts(tmp_path, rows)).reasons.items()} == {"removed": 1}


def test_counts_of_two_times_are_refused(packed: Path, tmp_path: Path) -> None:
    table = counts(tmp_path, [{"id": row["id"], "views": row["views"]} for row in new_counts(packed)])
    was = state(packed)
    with pytest.raises(ShardsError, match=r"counts.csv: favorites: no column for it, and .*(.|\n)*comments: no column(.|\n)*--drop favorites --drop"):
        recount(packed, table)
    assert state(packed) == was
    found = recount(packed, table, drop=("favorites", "comments"))
    assert found.columns == ("views",)
    assert not {"favorites", "comments"} & set(ShardSet(packed).table.column_names)
    assert verify(packed) == []
    with pytest.raises(ShardsError, match="drop: 'views'; favorites, comments, observed_at"):
        recount(packed, table, drop=("views",))


def test_a_count_that_cannot_be_read_is_unknown_and_told(packed: Path, tmp_path: Path) -> None:
    rows = new_counts(packed)
    rows[7]["favorites"], rows[9]["favorites"], rows[9]["observed_at"] = "lots", "", "2026-01-02"
    found = recount(packed, counts(tmp_path, [row | {"observed_at": row.get("observed_at", "2026-01-01")} for row in rows]))
    of = Manifest.load(packed).unknown["favorites"]
    assert (of.num, of.num_unreadable) == (2, 1)
    assert "favorites: 'lots' is not a number" in of.example
    assert found.reasons["unreadable_value"].num == 1
    assert verify(packed) == []
    assert ShardSet(packed).table["observed_at"].null_count == 0
    found = recount(packed, counts(tmp_path, [row | {"favorites": 2, "observed_at": "2026-02-01"} for row in rows]))  # all can be read now
    assert "favorites" not in found.manifest.unknown


def test_no_table_of_counts(packed: Path, tmp_path: Path) -> None:
    was = state(packed)
    with pytest.raises(TableError, match="views"):
        recount(packed, counts(tmp_path, [{"id": "p1", "likes": 3}]))
    with pytest.raises(ShardsError, match=r"no row is of a picture of .*; the same ids"):
        recount(packed, counts(tmp_path, [{"id": "q1", "views": 3, "favorites": 1, "comments": 2}]), missing="keep")
    with pytest.raises(ShardsError, match=r"no manifest\.json"):
        recount(tmp_path, counts(tmp_path, [{"id": "q1", "views": 3}]))
    assert state(packed) == was
    assert not (tmp_path / ".change.lock").exists()


def test_a_set_that_had_no_counts_gets_its_first(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa

    from shards import labels as labels_module
    from shards.living import change

    monkeypatch.setattr(labels_module, "_check_kinds", lambda *_: None)  # views that are not there
    rows, tables = new_counts(packed), change.Tables.read(packed, manifest(packed))
    views = pa.chunked_array([pa.nulls(60, pa.int64())])
    bare = tables.labels.drop_columns(["favorites", "comments", "views"]).append_column("views", views)
    change.commit(packed, manifest(packed), change.Tables(bare, tables.ledger, None), "recount")
    table = counts(tmp_path, rows)
    with pytest.raises(ShardsError, match="no counts for 1 of 60"):
        recount(packed, counts(tmp_path, rows[1:], "less.csv"), missing="keep")  # there are none to keep
    assert recount(packed, table).num_new == 60
    monkeypatch.undo()
    assert ShardSet(packed).labels("train").counted("favorites")[1].tolist() == [1] * ShardSet(packed).num_pictures("train")


def test_an_opened_vault_stays_opened(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vaults_module, "MIN_OWNERS", 2)
    shard_set = ShardSet(packed)
    assert shard_set.vaults.num > 1
    opening = open_test(packed, sweep="s", purpose="p", choose=lambda before: shard_set.vaults.sealed(before, rest=False))
    shown = set(shard_set.labels("test", opening).owners.tolist())
    for more in (3, 4):
        recount(packed, counts(tmp_path, new_counts(packed, more)))
        now = ShardSet(packed)
        second = now.vaults.sealed([opening], rest=True)
        assert second == (2, now.vaults.num)
        sealed = now.test_columns(("owner",))["owner"][now.vaults.within(second)]
        assert len(sealed)
        assert not shown & set(sealed.tolist())
    edit_manifest(packed, lambda fields: fields.pop("lineage"))  # control: what was opened of another set has shown all
    with pytest.raises(NothingSealedError):
        ShardSet(packed).vaults.sealed([opening], rest=False)
    edit_manifest(packed, lambda fields: fields.update(lineage=[]))
    with monkeypatch.context() as patch:  # control: were it taken for nothing, its owners would be judged twice
        patch.setattr(vaults_module.Vaults, "held_by", lambda self, opening: (0, 0))
        now = ShardSet(packed)
        again = now.test_columns(("owner",))["owner"][now.vaults.within(now.vaults.sealed([opening], rest=False))]
        assert shown & set(again.tolist())


def test_who_has_the_set_open_is_told(packed: Path, tmp_path: Path) -> None:
    early, late = ShardSet(packed), ShardSet(packed)
    held = early.labels("train").views
    recount(packed, counts(tmp_path, new_counts(packed)))
    assert (early.labels("train").views == held).all()  # what was read is of one time
    out = np.empty((early.num_pictures("train"), 256, 256, 3), np.uint8)
    early.decode("train", out)
    with pytest.raises(
        ShardsError, match=rf"opened as {late.manifest.identity[:12]}, and meanwhile changed to [0-9a-f]{{12}}; .*\nhint: open it again"
    ):
        late.labels("train")
    (packed / Manifest.load(packed).file_of("labels.parquet")).unlink()
    with pytest.raises(ShardsError, match="No such file or directory; the table that was packed"):  # control: damage is still called so
        ShardSet(packed).labels("train")


def test_two_at_once_are_one(packed: Path, tmp_path: Path) -> None:
    from shards.living.change import changing

    with changing(packed), pytest.raises(ShardsError, match="another process is changing the set; one at a time"):
        recount(packed, counts(tmp_path, new_counts(packed)))
    assert recount(packed, counts(tmp_path, new_counts(packed))).changed
