import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards.digests import labels_sha256
from shards.inspection.verify import verify
from shards.manifest import Manifest, sealed
from shards.read.openings import open_test
from shards.read.tar_index import MappedShard


def _edit(root: Path, **changes: Any) -> None:
    manifest = json.loads((root / "manifest.json").read_text())
    (root / "manifest.json").write_bytes(sealed(json.dumps(manifest | changes).encode()))


def _forge_table(root: Path, name: str, table: pa.Table) -> None:
    """Writes the table with digests that fit: what is left to find is what it says."""
    pq.write_table(table, root / name)
    files = Manifest.load(root).files_sha256 | {name: hashlib.sha256((root / name).read_bytes()).hexdigest()}
    _edit(root, files_sha256=files, **({"labels_sha256": labels_sha256(table)} if name == "labels.parquet" else {}))


def test_a_packed_set_is_whole(packed: Path) -> None:
    open_test(packed, sweep="paper", purpose="report")
    assert verify(packed) == []


@pytest.mark.parametrize("name", ["train/00000.tar", "labels.parquet", "ledger.parquet", "near_duplicates.parquet"])
def test_one_changed_byte_anywhere_names_the_file(packed: Path, name: str) -> None:
    path = packed / name
    whole = path.read_bytes()
    places = np.random.default_rng(0).integers(0, len(whole), 40).tolist()
    for place in [0, len(whole) - 1, *places]:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x20]) + whole[place + 1 :])
        problems = verify(packed)
        assert [problem.split(" ")[:2] for problem in problems] == [[f"{path}:", "sha256"]], place


@pytest.mark.parametrize("name", ["val", "labels.parquet", "ledger.parquet", "near_duplicates.parquet", "manifest.json"])
def test_a_missing_file_is_named(packed: Path, name: str) -> None:
    path = packed / Manifest.load(packed).of_split([name])[0].file if name == "val" else packed / name
    path.unlink()
    problems = verify(packed)
    assert len(problems) == 1
    assert path.name in problems[0]


def test_several_problems_are_all_told(packed: Path) -> None:
    (packed / "labels.parquet").unlink()
    (packed / "train" / "00000.tar").write_bytes(b"")
    (packed / "train" / ".00000.tar.x.tmp").write_bytes(b"")
    (packed / "test" / "notes.txt").write_text("")
    with (packed / "openings.jsonl").open("w") as file:
        file.write("{\n")
    texts = ("00000.tar: 0 bytes; ", "labels.parquet: No such file", ".tmp: not in manifest.json", "notes.txt: not in", "line 1 cannot be")
    assert [text in problem for text, problem in zip(texts, verify(packed), strict=True)] == [True] * 5


def test_a_manifest_that_names_other_files_is_not_followed(packed: Path) -> None:
    shards = [shard.model_dump() for shard in Manifest.load(packed).shards]
    shards[0]["file"] = "../outside.tar"
    _edit(packed, shards=shards)
    assert [problem.split(";")[0] for problem in verify(packed)] == ["manifest.json: shards: file '../outside.tar'"]


def test_keys_must_be_the_same_everywhere(packed: Path) -> None:
    labels = pq.read_table(packed / "labels.parquet")
    _forge_table(packed, "labels.parquet", labels.slice(1))
    key = labels["key"][0].as_py()
    assert verify(packed) == [
        f"{packed}/shards: 1 keys have no row in labels.parquet, first {key}; one each",
        f"{packed}/ledger.parquet: the keys of the kept rows are not those of labels.parquet; the same",
    ]
    _forge_table(packed, "labels.parquet", pa.concat_tables([labels, labels.slice(0, 1)]))
    assert verify(packed) == [f"{packed}/labels.parquet: 1 keys stand in more than one row; one row each"]
    keys = pa.array(["999999999", *labels["key"].to_pylist()[1:]])
    _forge_table(packed, "labels.parquet", labels.set_column(labels.column_names.index("key"), "key", keys))
    assert f"{packed}/labels.parquet: 1 keys have no picture, first 999999999; one each" in verify(packed)
    splits = pa.array(["val", *labels["split"].to_pylist()[1:]])
    assert labels["split"][0].as_py() == "train"
    _forge_table(packed, "labels.parquet", labels.set_column(labels.column_names.index("split"), "split", splits))
    assert verify(packed) == [f"{packed}/labels.parquet: 1 picture lies in the shards of another split, first {key}; one split each"]


def test_the_ledger_has_a_line_for_every_row(packed: Path) -> None:
    ledger = pq.read_table(packed / "ledger.parquet")
    rejected = ledger["status"].to_pylist().index("rejected")
    _forge_table(packed, "ledger.parquet", ledger.take([i for i in range(len(ledger)) if i != rejected]))
    num = Manifest.load(packed).num_rejected
    assert verify(packed) == [
        f"{packed}/ledger.parquet: {num - 1} rows for num_rejected; {num}, as manifest.json says",
        f"{packed}/ledger.parquet: 60 rows for source.num_rows; 61, as manifest.json says",
    ]


def test_rows_and_pictures_have_digests_of_their_own(packed: Path) -> None:
    _edit(packed, labels_sha256="0" * 64)
    digest = labels_sha256(pq.read_table(packed / "labels.parquet"))
    assert verify(packed) == [f"{packed}/labels.parquet: rows of sha256 {digest[:16]}…; 0000000000000000… was packed"]
    _edit(packed, labels_sha256=digest, files_sha256={})
    assert [problem.split(":", 1)[1] for problem in verify(packed)] == [
        " files_sha256: nothing for labels.parquet; its sha256",
        " files_sha256: nothing for ledger.parquet; its sha256",
        " files_sha256: nothing for near_duplicates.parquet; its sha256",
    ]


def _pair(labels: pa.Table, **changes: Any) -> pa.Table:
    """A pair of two packed pictures, and one of two that were rejected."""
    columns = {}
    for side, place in (("a", 0), ("b", 1)):
        packed = labels.slice(place, 1).to_pylist()[0]
        for name in ("id", "split", "owner", "views"):
            columns[f"{name}_{side}"] = [packed[name], {"id": f"rejected-{side}", "split": None, "owner": "x", "views": 3}[name]]
    columns |= {name: [value, columns[name][1]] for name, value in changes.items()}
    return pa.table(columns)


def test_copies_are_those_of_the_labels(packed: Path) -> None:
    labels = pq.read_table(packed / "labels.parquet")
    _forge_table(packed, "near_duplicates.parquet", _pair(labels))
    assert verify(packed) == []
    first = labels["id"][0].as_py()
    for name, value in (("views_a", 10**6), ("owner_a", "x"), ("split_a", "test"), ("split_a", None)):
        _forge_table(packed, "near_duplicates.parquet", _pair(labels, **{name: value}))
        assert verify(packed) == [f"{packed}/near_duplicates.parquet: 1 picture is not as in labels.parquet, first id {first!r}; the same"], name
    _forge_table(packed, "near_duplicates.parquet", _pair(labels, id_b="stranger"))
    assert "first id 'stranger'" in verify(packed)[0]


def test_a_set_packed_before_copies_were_kept_is_whole(packed: Path) -> None:
    (packed / "near_duplicates.parquet").unlink()
    files = Manifest.load(packed).files_sha256
    _edit(packed, files_sha256={name: digest for name, digest in files.items() if name != "near_duplicates.parquet"})
    assert verify(packed) == []


def test_a_shard_with_another_picture_does_not_pass_by_a_new_digest(packed: Path) -> None:
    shard = Manifest.load(packed).shards[0]
    with MappedShard(packed, shard) as mapped:
        members = {f"{key}.{suffix}": bytes(mapped.member(key, suffix)) for key in mapped.places for suffix in ("jpg", "json")}
    first, second, *_ = [name for name in members if name.endswith(".jpg")]
    members[first] = members[second]
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    data = sink.getvalue()
    (packed / shard.file).write_bytes(data)
    forged = shard.model_copy(update={"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)})
    _edit(packed, shards=[forged.model_dump(), *[other.model_dump() for other in Manifest.load(packed).shards[1:]]])
    assert verify(packed) == [f"{packed}/manifest.json: pictures_sha256 does not fit the pictures of the shards; the digest that was packed"]
