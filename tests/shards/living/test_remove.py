"""Pictures that are to be gone: from readers at once, from the disk when the set is compacted."""

from pathlib import Path

import numpy as np
import pytest

from shards.cache.decoded import decoded
from shards.errors import DamagedShardError, ShardsError
from shards.inspection.describe import describe, near_duplicates
from shards.inspection.verify import unproven, verify
from shards.living.add import add
from shards.living.remove import compact, remove
from shards.manifest import Manifest, SplitRule
from shards.pack.pack import pack
from shards.read import tar_index
from shards.read.on_demand import ShardReader
from shards.read.openings import open_test
from shards.read.shard_set import ShardSet
from tests.helpers.living import everywhere, manifest, new_pictures, pixels, state
from tests.helpers.packed_set import edit_manifest


def going(root: Path, *splits: str) -> list[str]:
    """An id of each split."""
    rows = ShardSet(root).table.to_pylist()
    return [next(row["id"] for row in rows if row["split"] == split) for split in splits]


def test_no_reader_gives_them(packed: Path, tmp_path: Path) -> None:
    seen, before = pixels(packed), manifest(packed)
    ids = going(packed, "train", "val", "test")
    keys = {row["key"] for row in ShardSet(packed).table.to_pylist() if row["id"] in ids}
    decoded(ShardSet(packed), "train", tmp_path / "cache")
    found = remove(packed, [*ids, "stranger"], caches=[tmp_path / "cache"])
    assert (found.num_pictures, found.num_rows, found.unknown) == (3, 3, ("stranger",))
    assert not list((tmp_path / "cache").glob("*.u8"))  # nobody has it mapped
    now = ShardSet(packed)
    assert now.manifest.identity != before.identity
    assert [one.change for one in now.manifest.lineage] == ["remove"]
    assert set(pixels(packed)) == set(seen) - set(ids)
    for split in ("train", "val", "test"):
        opening = open_test(packed, sweep="s", purpose="p") if split == "test" else None
        labels = now.labels(split, opening)
        assert not set(labels.ids.tolist()) & set(ids)
        assert len(labels) == now.num_pictures(split)
        copy = decoded(now, split, tmp_path / "cache", opening)
        reader, on_demand = ShardReader(now, split, 1, opening), np.zeros(copy.shape, np.uint8)
        reader.visit(np.arange(len(reader)), lambda i, picture, to=on_demand: to.__setitem__(i, picture))  # type: ignore[misc]
        for one, picture, again in zip(labels.ids.tolist(), copy, on_demand, strict=True):
            assert (picture == seen[one]).all()
            assert (again == seen[one]).all()
    assert describe(packed)["rejected"] == {"removed": 3, "missing_file": 1}
    assert verify(packed) == []
    assert everywhere(packed, f'"{ids[0]}"') == [now.manifest.file_of("ledger.parquet"), *_shards_of(packed, keys, ids[0])]
    ledger = [line for line in _ledger(packed) if line["id"] in ids]
    assert {(line["status"], line["reason"], line["detail"], line["split"], line["key"]) for line in ledger} == {
        ("rejected", "removed", None, None, None)
    }  # fmt: skip


def _shards_of(root: Path, keys: set[str], one: str) -> list[str]:
    return [path for path in everywhere(root, f'"{one}"') if path.endswith(".tar")]


def _ledger(root: Path) -> list[dict[str, object]]:
    import pyarrow.parquet as pq

    lines: list[dict[str, object]] = pq.read_table(root / manifest(root).file_of("ledger.parquet")).to_pylist()
    return lines


def test_bytes_are_gone_when_the_set_is_compacted(packed: Path, tmp_path: Path) -> None:
    ids = going(packed, "train", "val", "test")
    remove(packed, ids)
    before, seen = manifest(packed), pixels(packed)
    assert all(any(path.endswith(".tar") for path in everywhere(packed, f'"{one}"')) for one in ids)  # control: they still lie there
    found = compact(packed)
    after = manifest(packed)
    assert (found.num_pictures, found.num_shards) == (3, 3)
    assert (after.identity, after.lineage, after.labels_sha256) == (before.identity, before.lineage, before.labels_sha256)
    assert not any(path.endswith(".tar") for one in ids for path in everywhere(packed, f'"{one}"'))
    assert not any(shard.removed for shard in after.shards)
    assert len({shard.file for shard in after.shards} - {shard.file for shard in before.shards}) == 3
    assert verify(packed) == []
    assert unproven(packed) == []
    again = pixels(packed)
    assert set(again) == set(seen)
    assert all((again[one] == picture).all() for one, picture in seen.items())
    assert compact(packed).num_shards == 0
    remove(packed, going(packed, "train"))  # and once more, of a shard that was written anew
    compact(packed)
    assert verify(packed) == []


def test_a_shard_without_pictures_goes(packed: Path) -> None:
    shard, num = manifest(packed).shards[0], len(manifest(packed).shards)
    ids = [row["id"] for row in ShardSet(packed).table.to_pylist() if row["key"].startswith(shard.file[-9:-4])]
    remove(packed, ids)
    assert verify(packed) == []
    compact(packed)
    assert len(manifest(packed).shards) == num - 1
    assert not (packed / shard.file).exists()
    assert verify(packed) == []


def test_an_owner_goes_with_all_that_names_them(tmp_path: Path) -> None:
    """Pictures over the cap and copies too, which were left out at packing, and details that name a picture that goes."""
    table = new_pictures(tmp_path, {n: f"owner-{n // 4}" for n in range(60, 100)}, {99: 61, 98: 65, 97: 69})
    root = tmp_path / "set"
    pack(table.path, root, processes=1, keep=["mood"], split_rule=SplitRule(max_per_owner=2))
    capped = next(line for line in _ledger(root) if line["reason"] == "owner_cap")
    owner = str(capped["detail"]).split("'")[1]
    assert len(everywhere(root, owner)) >= 2  # control: labels, ledger
    found = remove(root, owners=[owner], forget=True)
    assert found.num_rows > found.num_pictures >= 2
    assert everywhere(root, owner) == []
    line = next(line for line in _ledger(root) if line["row"] == capped["row"])
    assert (line["id"], line["reason"], line["detail"]) == (None, "removed", None)
    assert verify(root) == []


def test_copies_of_what_goes_do_not_name_it(tmp_path: Path) -> None:
    owners = {n: f"o{n}" for n in range(60, 100)}
    table = new_pictures(tmp_path, owners, {n: n - 20 for n in range(80, 100)})
    root = tmp_path / "set"
    pack(table.path, root, processes=1)
    named = [line for line in _ledger(root) if line["reason"] == "near_duplicate"]
    assert named
    kept = str(named[0]["detail"]).partition("(id '")[2].partition("'")[0]
    pairs = ShardSet(root).packed("near_duplicates.parquet", ["id_a", "id_b"]).to_pylist()
    assert any(kept in pair.values() for pair in pairs)
    remove(root, [kept], forget=True)
    assert [path for path in everywhere(root, kept) if not path.endswith(".tar")] == []
    detail = next(line["detail"] for line in _ledger(root) if line["row"] == named[0]["row"])
    assert "(removed), which is in" in str(detail)
    compact(root)
    assert everywhere(root, kept) == []
    opening = open_test(root, sweep="s", purpose="p")
    assert near_duplicates(ShardSet(root), opening) is not None
    assert verify(root) == []


def test_what_is_not_there_is_told(packed: Path) -> None:
    was = state(packed)
    with pytest.raises(ShardsError, match=r"set: nothing of id 'p99', owner 'nobody'; ids or owners of the set"):
        remove(packed, ["p99"], ["nobody"])
    with pytest.raises(ShardsError, match=r"all 60 pictures would go; a set has at least one\nhint: delete the folder"):
        remove(packed, [f"p{n}" for n in range(60)])
    assert state(packed) == was
    assert remove(packed, ["gone"]).num_pictures == 0  # a row that had been left out loses what it told
    assert manifest(packed).identity == was[0]
    remove(packed, ["p3"])
    again = remove(packed, ["p3"])
    assert (again.num_pictures, again.before) == (0, 1)
    assert remove(packed, ["p3"], forget=True).num_rows == 1
    with pytest.raises(ShardsError, match="nothing of id 'p3'"):
        remove(packed, ["p3"])


def test_what_was_removed_is_not_added_again_unless_it_was_forgotten(packed: Path, tmp_path: Path) -> None:
    table = new_pictures(tmp_path, {61: "x", 62: "y"})
    add(packed, table, processes=1)
    remove(packed, ["n61"])
    remove(packed, ["n62"], forget=True)
    found = add(packed, table, processes=1)
    assert found.rejected == {"removed_before": 1}
    ids = ShardSet(packed).table["id"].to_pylist()
    assert ("n61" in ids, "n62" in ids) == (False, True)
    assert verify(packed) == []


def test_the_tombstones_themselves_are_proven(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remove(packed, ["p3"])
    with monkeypatch.context() as patch:  # control: a reader that knows of none finds a picture without a row
        patch.setattr(tar_index.MappedShard, "__enter__", _plain(tar_index.MappedShard.__enter__))
        assert any("keys have no row in" in problem for problem in verify(packed))
    at = next(i for i, shard in enumerate(manifest(packed).shards) if shard.removed)
    edit_manifest(packed, lambda fields: fields["shards"][at].pop("removed"))
    assert any("keys have no row in" in problem for problem in verify(packed))
    edit_manifest(packed, lambda fields: fields["shards"][at].update(removed=["999990000"]))
    with pytest.raises(DamagedShardError, match="no picture 999990000, which was removed"):
        ShardSet(packed).decode("train", np.empty((ShardSet(packed).num_pictures("train"), 256, 256, 3), np.uint8))


def _plain(enter):  # type: ignore[no-untyped-def]
    def entered(self):  # type: ignore[no-untyped-def]
        self.shard = self.shard.model_copy(update={"removed": ()})
        return enter(self)

    return entered


def test_a_set_that_never_changed_keeps_its_bytes(packed: Path) -> None:
    path = packed / "manifest.json"
    data = path.read_bytes()
    assert not any(word in data for word in (b"removed", b"lineage", b"generation", b"added", b"owners_hashed"))
    Manifest.load(packed).write(packed)
    assert path.read_bytes() == data
