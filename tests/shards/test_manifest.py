"""What a manifest may say, and that it says so itself when it was changed."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from shards.errors import DamagedShardError, ShardsError
from shards.inspection.verify import unproven, verify
from shards.manifest import MAX_PROBLEMS, Manifest, PictureRule, Source, SplitRule, own_sha256, sealed
from shards.read.shard_set import ShardSet


def _changed(root: Path, name: str, value: Any) -> None:
    """Sets ``outer.0.inner`` in the manifest, and seals it again: what a forger would do."""
    manifest = json.loads((root / "manifest.json").read_text())
    at: Any = manifest
    *outer, last = name.split(".")
    for key in outer:
        at = at[int(key)] if key.isdigit() else at[key]
    at[last] = value
    (root / "manifest.json").write_bytes(sealed(json.dumps(manifest).encode()))


def test_its_digest_is_over_its_own_bytes(packed: Path) -> None:
    data = (packed / "manifest.json").read_bytes()
    manifest = Manifest.load(packed)
    assert manifest.manifest_sha256 == own_sha256(data)
    assert data.count(own_sha256(data).encode()) == 1
    assert own_sha256(data.replace(own_sha256(data).encode(), b"0" * 64)) == own_sha256(data)
    assert unproven(packed) == []


def test_every_flipped_byte_is_found(packed: Path) -> None:
    path = packed / "manifest.json"
    data = path.read_bytes()
    for place in range(len(data)):
        for other in {data[place] ^ 1, data[place] ^ 0x20, 0x20, 0x09, 0x31} - {data[place]}:
            path.write_bytes(data[:place] + bytes([other]) + data[place + 1 :])
            with pytest.raises(ShardsError, match=r"manifest\.json: "):
                Manifest.load(packed)
    path.write_bytes(data)
    Manifest.load(packed)


def test_a_set_of_the_earlier_picture_rule_keeps_its_identity(packed: Path) -> None:
    now = Manifest.load(packed)
    assert now.picture_rule.version == 3
    _changed(packed, "picture_rule.version", 2)
    earlier = Manifest.load(packed)
    assert (earlier.picture_rule.version, earlier.identity) == (2, now.identity)
    assert verify(packed) == []
    assert json.loads(earlier.model_dump_json())["picture_rule"] == {"version": 2, "short_side_px": 256, "crop_px": 256, "jpeg_quality": 90}


def test_flipped_bytes_that_only_the_digest_finds(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: without it each of these is another table, another number or another layout, in silence."""
    path = packed / "manifest.json"
    data = path.read_bytes()
    changes = ((b'"table": "table', b'"table": "tablf'), (b'"shard_size": 10', b'"shard_size": 11'), (b"\n ", b"\n\t"))
    for there, other in changes:
        path.write_bytes(data.replace(there, other, 1))
        with pytest.raises(DamagedShardError, match=r"manifest\.json: sha256 [0-9a-f]{16}…; [0-9a-f]{16}… was packed\nhint: the file was changed"):
            ShardSet(packed)
        assert len(verify(packed)) == 1
        with monkeypatch.context() as patch:
            patch.setattr("shards.manifest.own_sha256", lambda _: Manifest.model_validate_json(data).manifest_sha256)
            assert verify(packed) == []


def test_a_set_packed_before_there_was_a_digest_is_read_and_says_so(packed: Path) -> None:
    identity = Manifest.load(packed).identity
    manifest = json.loads((packed / "manifest.json").read_text())
    del manifest["manifest_sha256"]
    (packed / "manifest.json").write_text(json.dumps(manifest, sort_keys=True, indent=1) + "\n")
    assert verify(packed) == []
    assert [line.split(",")[0] for line in unproven(packed)] == [f"{packed}/manifest.json: no manifest_sha256"]
    assert Manifest.load(packed).identity == identity


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("picture_rule.crop_px", 10**6), ("picture_rule.crop_px", 0), ("picture_rule.crop_px", -256), ("picture_rule.crop_px", 256.0),
        ("picture_rule.crop_px", "256"), ("picture_rule.crop_px", True), ("picture_rule.crop_px", 512), ("picture_rule.short_side_px", 10**6),
        ("picture_rule.short_side_px", None), ("picture_rule.jpeg_quality", 0), ("picture_rule.jpeg_quality", 101), ("picture_rule.version", 0),
        ("shard_size", 0), ("shard_size", 10**5), ("shard_size", -1), ("shard_size", 1.5), ("num_kept", -1), ("num_rejected", 2**60),
        ("num_kept", "60"), ("format_version", -1), ("format_version", 2), ("source.num_rows", -1), ("source.sha256", "0" * 63),
        ("source.sha256", "Z" * 64),
        ("source.table", ""), ("source.table", "a/b.csv"), ("source.table", "\x1b[2Ja.csv"), ("source.table", "x" * 300), ("source.columns", []),
        ("source.columns", {"id": 5}), ("source.kept_columns", "mood"), ("split_rule.train", -0.1), ("split_rule.train", 0.9),
        ("split_rule.val", 1e300),
        ("split_rule.max_per_owner", 0), ("split_rule.near_duplicate_bits", 257), ("split_rule.near_duplicate_bits", -1), ("split_rule.seed", 5),
        ("shards.0.bytes", -1), ("shards.0.bytes", 1023), ("shards.0.bytes", 2**50), ("shards.0.bytes", 1e5), ("shards.0.num_samples", 0),
        ("shards.0.num_samples", 10**5), ("shards.0.num_samples", -10), ("shards.0.sha256", ""), ("shards.0.split", "holdout"), ("shards.0.file", 7),
        ("shards.0.file", "train/" + "0" * 200 + ".tar"), ("shards", {}), ("shards", None), ("pictures_sha256", 7), ("labels_sha256", "g" * 64),
        ("files_sha256", {"labels.parquet": "x"}), ("files_sha256", None), ("manifest_sha256", 1), ("more", 1), ("source.more", 1),
    ],
)  # fmt: skip
def test_a_field_out_of_its_range_is_one_line(packed: Path, name: str, value: Any) -> None:
    _changed(packed, name, value)
    with pytest.raises(ShardsError) as told:
        ShardSet(packed)
    assert len(told.value.problems) == 1
    assert told.value.problems[0].startswith(f"{packed}/manifest.json: {name.partition('.')[0]}")
    assert len(told.value.problems[0]) < 400
    assert "; " in told.value.problems[0]


def test_not_a_number_is_no_share(packed: Path) -> None:
    _changed(packed, "split_rule.train", float("nan"))
    with pytest.raises(ShardsError, match=r"manifest\.json: (split_rule|file): "):
        Manifest.load(packed)


def test_many_problems_are_cut(packed: Path) -> None:
    _changed(packed, "shards", [{"file": 1}] * 10_000)
    with pytest.raises(ShardsError) as told:
        Manifest.load(packed)
    assert len(told.value.problems) == MAX_PROBLEMS + 1
    assert told.value.problems[-1] == f"{packed}/manifest.json: 49,980 more".replace(",", "")


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_manifest_that_is_no_file_is_neither_followed_nor_waited_for(packed: Path, tmp_path: Path, kind: str) -> None:
    path = packed / "manifest.json"
    path.rename(tmp_path / "elsewhere.json")
    if kind == "link":
        path.symlink_to(tmp_path / "elsewhere.json")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(DamagedShardError, match=r"manifest\.json: (a link|a pipe or a device|Is a directory); the manifest\.json that was packed"):
        Manifest.load(packed)
    assert len(verify(packed)) == 1


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000, b'{"a":' * 100_000, b'"' + b"x" * 10**6 + b'"'])
def test_what_is_no_manifest_is_one_line(packed: Path, data: bytes) -> None:
    (packed / "manifest.json").write_bytes(data)
    with pytest.raises(ShardsError) as told:
        Manifest.load(packed)
    assert all(len(problem) < 400 for problem in told.value.problems)


def test_a_set_of_the_first_split_rule_keeps_its_bytes_and_its_identity(tmp_path: Path) -> None:
    """The file as it was written before rules of splits had a version, to the byte."""
    rule = SplitRule(version=1)
    source = Source(table="t.csv", sha256="0" * 64, num_rows=3, columns={"id": "id"})
    digests = {"pictures_sha256": "1" * 64, "labels_sha256": "2" * 64}
    pictures = PictureRule(version=2, short_side_px=256, crop_px=256, jpeg_quality=90)
    manifest = Manifest(source=source, picture_rule=pictures, split_rule=rule, shards=(), num_kept=2, num_rejected=1, **digests)
    manifest.write(tmp_path)
    data = (tmp_path / "manifest.json").read_bytes()
    assert b'"seed": "peoria",\n  "test": 0.2,\n  "train": 0.7,\n  "val": 0.1\n }' in data
    assert Manifest.load(tmp_path).split_rule == rule
    assert Manifest.load(tmp_path).identity == "15e6477adc847bc702565c8dd5ee560375577a1d09529738d25d81e2518fe27b"
    today = manifest.model_copy(update={"split_rule": SplitRule()})  # control: another rule, another test set
    assert today.identity != manifest.identity
    today.write(tmp_path)
    assert Manifest.load(tmp_path).split_rule == SplitRule()
