"""Pictures added: what is there stays as it is, and the rules of the set hold for the whole."""

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from shards.errors import ShardsError, TableError
from shards.inspection.verify import unproven, verify
from shards.living.add import add
from shards.living.change import ADDING
from shards.living.recount import recount
from shards.living.remove import remove
from shards.manifest import SplitRule
from shards.pack import staging
from shards.pack.pack import pack
from shards.read import vaults as vaults_module
from shards.read.openings import open_test
from shards.read.shard_set import ShardSet
from tests.helpers.living import counts, manifest, new_counts, new_pictures, pixels, state
from tests.helpers.packed_set import edit_manifest


def test_new_pictures_lie_beside_the_old_ones(packed: Path, tmp_path: Path) -> None:
    before, seen, old = manifest(packed), pixels(packed), ShardSet(packed).table.to_pylist()
    found = add(packed, new_pictures(tmp_path, {n: f"new{n // 2}" if n < 72 else "o3" for n in range(60, 76)}), processes=1)
    after, rows = manifest(packed), ShardSet(packed).table.to_pylist()
    assert sum(found.kept.values()) == 16
    assert found.num_owners == 6
    assert after.shards[: len(before.shards)] == before.shards
    assert [shard.file[-9:-4] for shard in after.shards] == [f"{number:05d}" for number in range(len(after.shards))]
    assert rows[: len(old)] == old
    assert after.identity != before.identity
    assert [(one.identity, one.change) for one in after.lineage] == [(before.identity, "add")]
    assert (after.num_rows, after.added[0].num_rows, after.added[0].table) == (77, 16, "new.csv")
    again = pixels(packed)
    assert len(again) == 76
    assert all((again[one] == picture).all() for one, picture in seen.items())
    assert verify(packed) == []
    assert unproven(packed) == []
    assert not (packed / ADDING).exists()


def test_owners_keep_their_splits_and_the_cap_holds(packed: Path, tmp_path: Path) -> None:
    split_of = {row["owner"]: row["split"] for row in ShardSet(packed).table.to_pylist()}
    tested, trained = (next(owner for owner, split in split_of.items() if split == name) for name in ("test", "train"))
    found = add(packed, new_pictures(tmp_path, {n: tested if n < 82 else trained for n in range(60, 86)}), processes=1)
    rows = ShardSet(packed).table.to_pylist()
    assert Counter(row["split"] for row in rows if row["owner"] == tested) == {"test": 20}
    assert Counter(row["split"] for row in rows if row["owner"] == trained) == {"train": 6}
    assert found.rejected == {"owner_cap": 4}
    assert f"owner {tested!r} has more than 20 pictures in test" in found.text()
    assert verify(packed) == []


def test_new_copies_give_way(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To what is there in another split, whichever; and among themselves as at packing."""
    there = {row["id"]: row for row in ShardSet(packed).table.to_pylist()}
    by_split = {split: next(row for row in there.values() if row["split"] == split) for split in ("train", "val", "test")}
    of_train, of_test = by_split["train"]["owner"], by_split["test"]["owner"]
    number = {split: int(row["id"][1:]) for split, row in by_split.items()}
    owners = {60: of_train, 61: of_test, 62: of_test, 63: of_train, 64: of_test, 65: of_train}
    table = new_pictures(tmp_path, owners, {60: number["test"], 61: number["train"], 62: number["val"], 64: 63, 65: number["train"]})
    shutil.copytree(packed, tmp_path / "control")
    found = add(packed, table, processes=1)
    kept = {row["id"] for row in ShardSet(packed).table.to_pylist()} - set(there)
    assert kept == {"n64", "n65"}  # n65 lies in the split of its copy
    assert found.rejected == {"near_duplicate": 4}
    ledger = ShardSet(packed).packed("ledger.parquet", ["id", "detail"]).to_pylist()
    assert {line["id"]: line["detail"].partition("which is ")[2] for line in ledger if line["id"] in ("n60", "n61", "n62", "n63")} == {
        "n60": "in test", "n61": "in train", "n62": "in val", "n63": "in test"
    }  # fmt: skip
    pairs = ShardSet(packed).packed("near_duplicates.parquet", ["id_a", "id_b", "split_a", "split_b"]).to_pylist()
    assert {frozenset((pair["id_a"], pair["id_b"])) for pair in pairs} >= {frozenset((by_split["test"]["id"], "n60"))}
    assert verify(packed) == []
    with monkeypatch.context() as patch:  # control: without looking at what is there, copies lie in train and in test
        patch.setattr("shards.living.add.nearest_within", lambda query, base, bits: (np.full(len(query), -1), np.zeros(len(query), np.int64)))
        add(tmp_path / "control", table, processes=1)
    assert {"n60", "n61", "n62"} <= set(ShardSet(tmp_path / "control").table["id"].to_pylist())


def test_once_more_is_nothing_new_and_what_failed_is_tried_again(packed_once: Path, packed: Path, tmp_path: Path) -> None:
    table = new_pictures(tmp_path, {60: "a", 61: "b", 62: "c"})
    (tmp_path / "61.jpg").rename(tmp_path / "later.jpg")
    assert add(packed, table, processes=1).rejected == {"missing_file": 1}
    was = state(packed)
    again = add(packed, table, processes=1)
    assert (sum(again.kept.values()), again.rejected) == (0, {"in_set": 2, "missing_file": 1})
    assert state(packed) == was
    (tmp_path / "later.jpg").rename(tmp_path / "61.jpg")
    assert sum(add(packed, table, processes=1).kept.values()) == 1
    assert {"n60", "n61", "n62"} <= set(ShardSet(packed).table["id"].to_pylist())
    assert len(manifest(packed).added) == 2
    with pytest.raises(ShardsError, match=r"the set was changed after it was packed; one that was not\nhint: peoria add"):
        pack(packed_once.parent / "table.csv", packed, keep=["mood"], shard_size=10, retry=True)
    assert pack(packed_once.parent / "table.csv", packed, keep=["mood"], shard_size=10).already_packed
    assert verify(packed) == []


def test_columns_of_both_are_there(packed: Path, tmp_path: Path) -> None:
    rows = [{"id": "n60", "path": "60.jpg", "views": 3, "owner": "x", "mood": "1", "observed_at": "2026-01-01"}]
    new_pictures(tmp_path, {60: "x"})
    add(packed, counts(tmp_path, rows), processes=1)
    found = {row["id"]: row for row in ShardSet(packed).table.to_pylist()}
    new, old = found["n60"], found["p1"]
    assert (new["favorites"], new["comments"], new["uploaded_at"], new["tags"], new["mood"]) == (None, None, None, "", "1")
    assert old["observed_at"] is None
    assert manifest(packed).unknown["favorites"].num == 1
    assert verify(packed) == []
    assert ShardSet(packed).labels("train").tags is not None
    with pytest.raises(TableError, match="mood"):  # the set keeps that column
        add(packed, counts(tmp_path, [{"id": "n61", "path": "60.jpg", "views": 3}], "bare.csv"), processes=1)


def test_what_cannot_be_added_to_is_refused(packed: Path, tmp_path: Path) -> None:
    table, was = new_pictures(tmp_path, {60: "x"}), state(packed)
    with pytest.raises(ShardsError, match=r"no picture left of 1 row; (.|\n)*missing_file"):
        add(packed, counts(tmp_path, [{"id": "n1", "path": "none.jpg", "views": 3, "mood": "x"}]), processes=1)
    assert state(packed) == was
    edit_manifest(packed, lambda fields: fields["picture_rule"].update(version=1))
    with pytest.raises(ShardsError, match=r"made by version 1 of the picture rule; version \d+, by which new ones would be made"):
        add(packed, table, processes=1)


def test_an_unfinished_one_is_held_to_its_table(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table, was = new_pictures(tmp_path, {60: "x", 61: "y"}), state(packed)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(staging, "load", stop)
        with pytest.raises(KeyboardInterrupt):
            add(packed, table, processes=1)
    assert state(packed) == was
    with pytest.raises(ShardsError, match=r"set: an unfinished addition with another add\.(.|\n)*or delete .*\.adding"):
        add(packed, new_pictures(tmp_path, {60: "x"}, name="other.csv"), processes=1)
    shutil.copytree(packed, tmp_path / "other")
    assert sum(add(packed, table, processes=1).kept.values()) == 2
    remove(tmp_path / "other", ["p1"])  # another change ends it
    assert not (tmp_path / "other" / ADDING).exists()


def test_opened_vaults_stay_opened_where_owners_come(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vaults_module, "MIN_OWNERS", 2)
    shard_set = ShardSet(packed)
    assert shard_set.vaults.num == 2
    opening = open_test(packed, sweep="s", purpose="p", choose=lambda before: shard_set.vaults.sealed(before, rest=False))
    shown = set(shard_set.labels("test", opening).owners.tolist())
    add(packed, new_pictures(tmp_path, {n: f"new{n}" for n in range(60, 110)}), processes=1)
    now = ShardSet(packed)
    assert now.vaults.num > 2
    sealed = now.test_columns(("owner",))["owner"][now.vaults.within(now.vaults.sealed([opening], rest=True))]
    assert len(sealed)
    assert not shown & set(sealed.tolist())
    recount(packed, counts(tmp_path, new_counts(packed)))
    now = ShardSet(packed)
    assert not shown & set(now.test_columns(("owner",))["owner"][now.vaults.within(now.vaults.sealed([opening], rest=True))].tolist())


def test_a_rule_of_the_set_is_kept(tmp_path: Path) -> None:
    root = tmp_path / "set"
    rule = SplitRule(seed="mine", train=0.4, val=0.3, test=0.3, max_per_owner=1)
    pack(new_pictures(tmp_path, {n: f"o{n // 2}" for n in range(60, 80)}).path, root, processes=1, split_rule=rule, shard_size=3)
    add(root, new_pictures(tmp_path, {n: f"q{n // 2}" for n in range(80, 100)}, name="more.csv"), processes=1)
    assert manifest(root).split_rule == rule
    rows = ShardSet(root).table.to_pylist()
    assert set(Counter(row["owner"] for row in rows if row["split"] != "train").values()) == {1}
    assert max(shard.num_samples for shard in manifest(root).shards) <= 3
    assert verify(root) == []
