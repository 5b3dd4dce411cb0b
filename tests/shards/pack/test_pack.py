"""A table becomes a packed set: every row accounted for, the same bytes every time, whatever happens on the way."""

import csv
import hashlib
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import simplejpeg

from shards.digests import labels_sha256, pictures_sha256
from shards.errors import ShardsError, TableError
from shards.inspection.verify import verify
from shards.manifest import Manifest, SplitRule
from shards.pack import staging
from shards.pack.layout import Layout, lay_out
from shards.pack.pack import pack
from shards.sources.rows import read_table
from tests.helpers.read_rows import rows_of

MakeTable = Callable[..., Path]
Files = Callable[[Path], dict[str, str]]
pytestmark = pytest.mark.usefixtures("small_chunks")
# Every split has some of so few pictures, and, by the hash alone, the owner of most is not in train: else the cap takes none.
RULE = SplitRule(version=1, train=0.5, val=0.2, test=0.3, max_per_owner=5)
TABLES = {"labels.parquet", "ledger.parquet", "near_duplicates.parquet"}
TABLE = os.environ.get("PEORIA_TEST_TABLE")  # a metadata.csv of some thousand real pictures


def members(root: Path) -> dict[str, bytes]:
    found = {}
    for shard in Manifest.load(root).shards:
        with tarfile.open(root / shard.file) as tar:
            for member in tar:
                data = tar.extractfile(member)
                assert data is not None
                assert (member.mtime, member.uname, member.gname) == (0, "peoria", "peoria")
                found[member.name] = data.read()
    return found


def test_every_row_is_a_line_of_the_ledger(tmp_path: Path, mixed: Path) -> None:
    result = pack(mixed, tmp_path / "out", shard_size=9, processes=1, keep=["title"], split_rule=RULE)
    ledger = pq.read_table(tmp_path / "out/ledger.parquet").to_pylist()
    labels = pq.read_table(tmp_path / "out/labels.parquet").to_pylist()
    manifest = result.manifest
    assert [line["row"] for line in ledger] == list(range(40))
    assert manifest.num_kept + manifest.num_rejected == 40 == manifest.source.num_rows
    reasons = {line["row"]: line["reason"] for line in ledger[3:10]}
    assert reasons == {
        3: "bad_count",
        4: "duplicate_id",
        5: "missing_file",
        6: "not_a_file",
        7: "path_outside",
        8: "undecodable",
        9: "truncated",
    }
    assert ledger[5]["detail"] == "images/none.jpg: no such file; a file in the folder of the pictures"
    assert ledger[8]["detail"] == "images/008.jpg: text or HTML; a picture as JPEG, MPO, PNG, WEBP, GIF, TIFF, BMP, AVIF"
    split_of = {line["row"]: line["split"] for line in ledger}
    twins = [line for line in ledger if line["reason"] == "near_duplicate"]
    assert {line["row"] for line in twins} == {row for row in range(10, 20) if split_of[row] != "test"} != set()
    test_keys = {line["key"] for line in ledger if line["row"] in range(10, 20) and line["split"] == "test"}
    for line in twins:
        assert any(f" of 256 bits from {key} (id '0" in line["detail"] and line["detail"].endswith("which is in test") for key in test_keys)
    assert split_of[30] in ("val", "test")  # the owner of rows 28 to 39: else the cap is not tried
    assert result.rejected["owner_cap"] == 12 - 5
    assert f"owner 'prolific' has more than 5 pictures in {split_of[30]}" in [x["detail"] for x in ledger]
    kept = [line for line in ledger if line["status"] == "kept"]
    assert sorted((x["key"], x["id"], x["split"]) for x in kept) == [(x["key"], x["id"], x["split"]) for x in labels]
    assert all(line["key"] is None and line["reason"] for line in ledger if line["status"] == "rejected")
    assert result.kept == {split: sum(x["split"] == split for x in labels) for split in ("train", "val", "test")}
    assert result.unmapped_columns == ()
    assert sum(result.shares.values()) == pytest.approx(1)
    assert result.num_unknown_owners == 0
    assert not result.owners_unknown
    assert not result.already_packed


def test_the_shards_hold_what_the_manifest_says(tmp_path: Path, files: Files, mixed: Path) -> None:
    root = tmp_path / "out"
    manifest = pack(mixed, root, shard_size=4, processes=1, keep=["title"], split_rule=RULE).manifest
    assert [shard.file for shard in manifest.shards] == [f"{shard.split}/{i:05d}.tar" for i, shard in enumerate(manifest.shards)]
    assert list(dict.fromkeys(shard.split for shard in manifest.shards)) == ["train", "val", "test"]
    for shard in manifest.shards:
        data = (root / shard.file).read_bytes()
        assert (shard.sha256, shard.bytes) == (hashlib.sha256(data).hexdigest(), len(data))
        assert 1 <= shard.num_samples <= 4
    labels = pq.read_table(root / "labels.parquet")
    assert labels.column_names == ["key", "id", "split", "owner", "views", "favorites", "uploaded_at", "title"]
    found = members(root)
    keys = labels["key"].to_pylist()
    assert list(found) == [f"{key}.{kind}" for key in keys for kind in ("jpg", "json")]
    assert keys == sorted(keys)
    assert keys == [f"{i:05d}{j:04d}" for i, shard in enumerate(manifest.shards) for j in range(shard.num_samples)]
    assert manifest.pictures_sha256 == pictures_sha256(keys, [hashlib.sha256(found[f"{key}.jpg"]).hexdigest() for key in keys])
    assert manifest.labels_sha256 == labels_sha256(labels)
    for key, identity in zip(keys, labels["id"].to_pylist(), strict=True):
        sidecar = json.loads(found[f"{key}.json"])
        original = (mixed.parent / sidecar["source"]).read_bytes()
        assert simplejpeg.decode_jpeg(found[f"{key}.jpg"]).shape == (256, 256, 3)
        assert set(sidecar) == {"id", "source", "width", "height", "sha256", "pdq", "quality", "licence"}
        assert (sidecar["id"], sidecar["sha256"]) == (identity, hashlib.sha256(original).hexdigest())
        assert len(sidecar["pdq"]) == 64
    assert set(files(root)) == {"manifest.json", *TABLES, "train", "val", "test", *(s.file for s in manifest.shards)}


def test_copies_are_kept_before_caps_and_splits_take_them_away(tmp_path: Path, mixed: Path) -> None:
    root = tmp_path / "out"
    manifest = pack(mixed, root, processes=1, split_rule=RULE).manifest
    pairs = pq.read_table(root / "near_duplicates.parquet").to_pylist()
    assert {int(pair[f"id_{side}"]) for pair in pairs for side in "ab"} == set(range(10, 20))  # the ten copies, and none of the others
    assert len(pairs) == 5
    table = {row.id: row for row in rows_of(read_table(mixed))}
    split_of = {line["id"]: line["split"] if line["status"] == "kept" else None for line in pq.read_table(root / "ledger.parquet").to_pylist()}
    for pair in pairs:
        assert pair["bits"] <= 15
        for side in "ab":
            row = table[pair[f"id_{side}"]]
            assert [pair[f"{name}_{side}"] for name in ("owner", "views", "favorites")] == [row.owner, row.views, row.favorites]
            assert pair[f"uploaded_at_{side}"] == row.uploaded_at
            assert pair[f"split_{side}"] == split_of[row.id]
    assert {split_of[f"{row:03d}"] for row in range(10, 20)} == {None, "test"}  # what of them gave way is there all the same
    assert manifest.files_sha256["near_duplicates.parquet"] == hashlib.sha256((root / "near_duplicates.parquet").read_bytes()).hexdigest()
    assert set(manifest.files_sha256) == TABLES


def test_unknown_owners_and_what_the_table_lacks(tmp_path: Path, make_table: MakeTable) -> None:
    table = make_table(tmp_path / "in", 8, ["a", "b", "", "d", "e", "e", "g", "h"])
    for twin, of in ((1, 0), (3, 2), (5, 4)):
        shutil.copy(tmp_path / f"in/images/{of:03d}.jpg", tmp_path / f"in/images/{twin:03d}.jpg")
    with table.open(newline="") as file:
        records = [[record[name] for name in ("id", "path", "views", "owner")] for record in csv.DictReader(file)]
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([["id", "path", "views", "owner"], *records])
    pack(table, tmp_path / "out", processes=1)
    pairs = pq.read_table(tmp_path / "out/near_duplicates.parquet")
    found = sorted((pair["owner_a"], pair["owner_b"], pair["bits"], pair["favorites_a"], pair["uploaded_at_b"]) for pair in pairs.to_pylist())
    assert found == [("a", "b", 0, None, None), ("e", "e", 0, None, None)]
    assert [str(kind) for kind in pairs.schema.types[8:12]] == ["int64", "int64", "timestamp[ms, tz=UTC]", "timestamp[ms, tz=UTC]"]


def test_labels_digest_is_over_what_they_say(tmp_path: Path, mixed: Path) -> None:
    root = tmp_path / "out"
    digest = pack(mixed, root, processes=1).manifest.labels_sha256
    labels = pq.read_table(root / "labels.parquet")
    pq.write_table(labels.select(labels.column_names[::-1]), root / "again.parquet", compression="none", row_group_size=3)
    assert labels_sha256(pq.read_table(root / "again.parquet")) == digest
    assert labels_sha256(labels.slice(1)) != digest
    views = [row + (i == 5) for i, row in enumerate(labels["views"].to_pylist())]
    assert labels_sha256(labels.set_column(4, "views", [views])) != digest


def test_the_same_bytes_anywhere_with_any_number_of_processes(tmp_path: Path, files: Files, mixed: Path) -> None:
    pack(mixed, tmp_path / "one", shard_size=5, processes=1)
    shutil.copytree(mixed.parent, tmp_path / "moved/far")
    pack(tmp_path / "moved/far/metadata.csv", tmp_path / "moved/two", shard_size=5, processes=3)
    assert files(tmp_path / "one") == files(tmp_path / "moved/two")
    assert str(tmp_path).encode() not in b"".join(p.read_bytes() for p in (tmp_path / "one").rglob("*") if p.is_file())


def test_a_finished_set_is_left_alone(tmp_path: Path, mixed: Path) -> None:
    first = pack(mixed, tmp_path / "out", processes=1)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    again = pack(mixed, tmp_path / "out", processes=2)
    assert again.already_packed
    assert not first.already_packed
    assert (again.manifest, again.rejected, again.kept, again.largest_owner_shares) == (
        first.manifest,
        first.rejected,
        first.kept,
        first.largest_owner_shares,
    )
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_what_cannot_be_packed(tmp_path: Path, mixed: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("x")
    with pytest.raises(ShardsError, match=r"full: holds thesis.txt; a new or empty folder"):
        pack(mixed, tmp_path / "full")
    with pytest.raises(ShardsError, match=r"thesis.txt: a file; a new or empty folder"):
        pack(mixed, tmp_path / "full/thesis.txt")
    for options, text in [
        ({"shard_size": 10_000}, "shard_size: 10000; 1 to 9999"),
        ({"processes": 0}, "processes: 0; at least 1"),
        ({"pictures": tmp_path / "none"}, "pictures: .*none; a folder"),
        ({"split_rule": SplitRule(test=0.5)}, "sum to 1"),
    ]:
        with pytest.raises(ShardsError, match=text):
            pack(mixed, tmp_path / "new", **options)  # type: ignore[arg-type]
    with pytest.raises(TableError, match=r"keep: no column 'colour'"):
        pack(mixed, tmp_path / "new", keep=["colour"])
    assert not (tmp_path / "new").exists()


def test_no_picture_left_is_an_error_that_says_why_and_can_be_mended(tmp_path: Path, make_table: MakeTable) -> None:
    table = make_table(tmp_path / "in", 3, change={1: {"views": "x"}})
    (tmp_path / "in/images").rename(tmp_path / "in/pictures")
    (tmp_path / "in/elsewhere").mkdir()
    text = "no picture left of 3 rows; at least one\nrow 1: views: 'x' is not a number(.|\n)*row 0: images/000.jpg: no such.* (missing_file: 2 rows)"
    with pytest.raises(ShardsError, match=text.replace("(missing", r"\(missing").replace("rows)", r"rows\)")) as refused:
        pack(table, tmp_path / "out", processes=1)
    assert "--pictures DIR" in str(refused.value.hint)
    (tmp_path / "in/pictures").rename(tmp_path / "in/images")
    assert pack(table, tmp_path / "out", processes=1).manifest.num_kept == 2


def test_owners_that_are_unknown_are_said(tmp_path: Path, make_table: MakeTable) -> None:
    result = pack(make_table(tmp_path / "in", 30, ["", "b"] * 15), tmp_path / "out", processes=1)
    assert result.num_unknown_owners == 15
    assert not result.owners_unknown
    assert result.largest_owner == "b"
    assert max(result.largest_owner_shares.values()) > 0.3
    result = pack(make_table(tmp_path / "in2", 30, [""] * 30), tmp_path / "out2", processes=1)
    assert result.owners_unknown
    assert result.largest_owner == ""
    assert set(result.largest_owner_shares.values()) == {0.0}


def test_progress_counts_up_to_the_whole(tmp_path: Path, mixed: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    shards = pack(mixed, tmp_path / "out", processes=2, shard_size=5, progress=lambda *now: seen.append(now)).manifest.shards
    assert seen == sorted(seen)
    assert seen[0] == ("pictures", 0, 37)
    assert ("pictures", 37, 37) in seen
    assert seen[-1] == ("shards", len(shards), len(shards))


def test_owners_are_capped_before_duplicates_give_way() -> None:
    """A duplicate that the cap took out of test takes nothing out of train."""
    ids = np.array([f"{i}" for i in range(40)], object)
    owners = np.array(["t" if i < 3 else f"o{i}" for i in range(40)], object)
    rule = SplitRule(train=0.5, val=0.0, test=0.5, max_per_owner=1)

    def laid_out(hashes: np.ndarray) -> Layout:
        return lay_out(ids, owners, hashes, np.full(40, 100), rule, 5, fixed={"t": "test"})

    hashes = np.random.default_rng(0).integers(0, 256, (40, 32), dtype=np.uint8)
    alone = laid_out(hashes)
    surplus = [place for place, reason, _ in alone.rejections if reason == "owner_cap"]
    assert len(surplus) == len(alone.rejections) == 2
    train = alone.splits.tolist().index("train")
    for twin in range(3):
        alike = hashes.copy()
        alike[train] = alike[twin]
        gave_way = [place for place, reason, _ in laid_out(alike).rejections if reason == "near_duplicate"]
        assert gave_way == ([] if twin in surplus else [train])


@pytest.mark.slow
@pytest.mark.skipif(TABLE is None, reason="PEORIA_TEST_TABLE names no table of real pictures")
def test_a_table_of_real_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert TABLE is not None
    monkeypatch.setattr(staging, "CHUNK_ROWS", 200)
    with open(TABLE, newline="", encoding="utf-8") as file:
        num_rows = sum(1 for _ in csv.DictReader(file))
    result = pack(Path(TABLE), tmp_path / "out")
    assert result.manifest.num_kept + result.manifest.num_rejected == num_rows
    assert result.manifest.num_kept > 0.9 * num_rows
    np.testing.assert_allclose(list(result.shares.values()), [0.7, 0.1, 0.2], atol=0.05)
    assert verify(tmp_path / "out") == []
    first = result.manifest.shards[0]
    with tarfile.open(tmp_path / "out" / first.file) as tar:
        assert len(tar.getnames()) == 2 * first.num_samples
