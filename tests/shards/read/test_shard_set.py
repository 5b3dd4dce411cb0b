import hashlib
import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from shards.errors import DamagedShardError, ShardsError, TestSplitClosedError
from shards.manifest import Manifest, sealed
from shards.read.openings import open_test
from shards.read.shard_set import ShardSet
from shards.read.tar_index import MappedShard, index


def _decoded(shard_set: ShardSet, split: str, opening: Any = None) -> np.ndarray:
    out = np.zeros((shard_set.num_pictures(split), 256, 256, 3), np.uint8)
    shard_set.decode(split, out, opening)
    return out


def _flip(path: Path, offset: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(data)


def _edit(root: Path, **changes: Any) -> None:
    """Changes the manifest's first shard."""
    manifest = json.loads((root / "manifest.json").read_text())
    manifest["shards"][0] |= changes
    (root / "manifest.json").write_bytes(sealed(json.dumps(manifest).encode()))


def _repack(root: Path, data: bytes) -> Path:
    """Puts ``data`` in the place of the first shard, with a manifest that says so: what a forger would do."""
    path = root / Manifest.load(root).shards[0].file
    path.write_bytes(data)
    _edit(root, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    return path


def _tar(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.type = len(data), kind
            tar.addfile(info, io.BytesIO(data))
    return sink.getvalue()


def test_labels_are_the_tables_columns_in_the_order_of_the_keys(packed_once: Path) -> None:
    shard_set = ShardSet(packed_once)
    labels = shard_set.labels("train")
    assert len(labels) == shard_set.num_pictures("train") > 20
    assert labels.keys.tolist() == sorted(set(labels.keys.tolist()))
    number = np.array([int(identity[1:]) for identity in labels.ids])
    assert labels.favorites is not None
    assert labels.comments is not None
    assert labels.uploaded_at is not None
    assert labels.tags is not None
    assert labels.views.dtype == labels.favorites.dtype == labels.comments.dtype == np.int64
    assert (labels.views == number**2).all()
    assert (labels.favorites == (number % 9 == 0)).all()
    assert (labels.comments == number % 3).all()
    assert labels.owners.tolist() == [f"o{i // 2}" for i in number]
    assert set(labels.tags) == {"a,b"}
    assert labels.extra["mood"].tolist() == [f"m{i}" for i in number]
    assert labels.uploaded_at.dtype == np.dtype("datetime64[s]")
    assert (np.isnat(labels.uploaded_at) == (number % 7 == 0)).all()
    known = number[number % 7 > 0]
    assert (labels.uploaded_at[number % 7 > 0] == np.datetime64("2013-01-01T00:00:00") + known % 28 * np.timedelta64(86400, "s")).all()
    assert labels.observed_at is None


def test_pictures_stand_beside_their_labels(packed_once: Path) -> None:
    shard_set = ShardSet(packed_once)
    labels, pictures = shard_set.labels("train"), _decoded(shard_set, "train")
    seen = 0
    for shard in shard_set.manifest.of_split(["train"]):
        with tarfile.open(packed_once / shard.file) as tar:
            for member in tar:
                key, suffix = member.name.split(".")
                data = tar.extractfile(member)
                assert data is not None
                row = labels.keys.tolist().index(key)
                if suffix == "jpg":
                    assert (np.asarray(Image.open(data)) == pictures[row]).all()
                    seen += 1
                else:
                    assert json.load(data)["id"] == labels.ids[row]
    assert seen == len(labels)


def test_webdatasets_own_reader_finds_the_same_pictures(packed_once: Path) -> None:
    from webdataset.tariterators import group_by_keys, tar_file_expander

    shard_set, found = ShardSet(packed_once), []
    for shard in shard_set.manifest.of_split(["train"]):
        with (packed_once / shard.file).open("rb") as file:
            found += list(group_by_keys(tar_file_expander([{"url": shard.file, "stream": file}])))
    labels = shard_set.labels("train")
    assert [sample["__key__"] for sample in found] == labels.keys.tolist()
    assert [json.loads(sample["json"])["id"] for sample in found] == labels.ids.tolist()
    pictures = np.array([np.asarray(Image.open(io.BytesIO(sample["jpg"]))) for sample in found])
    assert (pictures == _decoded(shard_set, "train")).all()


def test_test_rows_need_an_opening_that_is_on_record(packed: Path) -> None:
    shard_set = ShardSet(packed)
    for ask in (shard_set.labels, lambda split: _decoded(shard_set, split)):
        with pytest.raises(TestSplitClosedError, match=r"split 'test' of .*: no opening; one made by shards.read.openings.open_test"):
            ask("test")
    opening = open_test(packed, sweep="paper", purpose="report")
    for wrong, text in (
        (replace(opening, identity="0" * 64), "opening 1 is of other data"),
        (replace(opening, number=7), "opening 7 is not on record"),
    ):
        with pytest.raises(TestSplitClosedError, match=text):
            shard_set.labels("test", wrong)
    assert len(shard_set.labels("test", opening)) == len(_decoded(shard_set, "test", opening)) > 0


def test_an_unknown_split_is_named(packed_once: Path) -> None:
    with pytest.raises(ShardsError, match="split: 'tset'; train, val, test"):
        ShardSet(packed_once).labels("tset")


def test_a_flipped_bit_is_found_before_a_picture_is_decoded(packed: Path) -> None:
    shard_set = ShardSet(packed)
    shard = shard_set.manifest.shards[0]
    _flip(packed / shard.file, 512 + 1000)
    out = np.zeros((shard_set.num_pictures("train"), 256, 256, 3), np.uint8)
    with pytest.raises(DamagedShardError, match=rf"{shard.file}: sha256 .* was packed"):
        shard_set.decode("train", out)
    assert not out.any()
    # control: what the digest sees, the decoder does not
    with tarfile.open(packed / shard.file) as tar:
        data = tar.extractfile(tar.getmembers()[0])
        assert data is not None
        assert Image.open(data).convert("RGB").size == (256, 256)


def test_verify_files_names_every_damaged_shard_and_only_those(packed: Path) -> None:
    shard_set = ShardSet(packed)
    shard_set.verify_files()
    first, second, *_ = shard_set.manifest.of_split(["train"])
    _flip(packed / first.file, -1)
    with (packed / second.file).open("ab") as file:
        file.write(b"\0")
    test = shard_set.manifest.of_split(["test"])[0]
    (packed / test.file).unlink()
    with pytest.raises(DamagedShardError) as caught:
        shard_set.verify_files(["train", "test"])
    problems = caught.value.problems
    assert [any(shard.file in problem for problem in problems) for shard in (first, second, test)] == [True] * 3
    assert len(problems) == 3
    assert "bytes; " in problems[1]
    assert "No such file" in problems[2]
    shard_set.verify_files(["val"])


def test_labels_that_were_changed_are_named(packed: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = packed / "labels.parquet"
    table = pq.read_table(path)
    views = pa.array([*table["views"].to_pylist()[:-1], 10**6])
    pq.write_table(table.set_column(table.column_names.index("views"), "views", views), path)
    with pytest.raises(DamagedShardError, match=r"labels.parquet: sha256 .* was packed"):  # before anything reads it as a table
        ShardSet(packed).labels("train")
    manifest = json.loads((packed / "manifest.json").read_text())
    del manifest["files_sha256"]["labels.parquet"]  # as in a set packed before it was kept
    (packed / "manifest.json").write_bytes(sealed(json.dumps(manifest).encode()))
    with pytest.raises(DamagedShardError, match=r"labels.parquet: rows of sha256 .* was packed"):
        ShardSet(packed).labels("train")
    path.write_bytes(b"PAR1 no parquet PAR1")
    with pytest.raises(DamagedShardError, match=r"labels.parquet: .*; the table that was packed"):
        ShardSet(packed).labels("train")


@pytest.mark.parametrize("file", ["../x.tar", "/etc/passwd", "pipe:touch pwned", "train/../../x.tar", "val/00000.tar", "train/00000.tar.gz"])
def test_a_manifest_that_names_another_file_is_refused(packed: Path, file: str) -> None:
    _edit(packed, file=file)
    with pytest.raises(ShardsError, match=r"manifest.json: shards: file .*; a file like train/00000.tar inside"):
        ShardSet(packed)


def test_a_link_that_leads_out_of_the_set_is_refused(packed: Path, tmp_path: Path) -> None:
    shard = packed / Manifest.load(packed).shards[0].file
    shard.rename(tmp_path / "elsewhere.tar")
    shard.symlink_to(tmp_path / "elsewhere.tar")
    with pytest.raises(ShardsError, match=r"manifest.json: shards: file 'train/"):
        ShardSet(packed)


def test_a_shard_named_twice_is_refused(packed: Path) -> None:
    manifest = Manifest.load(packed)
    _edit(packed, file=manifest.of_split(["train"])[1].file)
    with pytest.raises(ShardsError, match="a file is named twice; each once"):
        ShardSet(packed)


_PAIR = (("007.jpg", b"x" * 700), ("007.json", b"{}"))


def test_the_index_is_that_of_tarfile() -> None:
    data = _tar(*_PAIR, ("008.json", b"{}"), ("008.jpg", b""))
    assert index(memoryview(data), "t") == {"007": {"jpg": (512, 700), "json": (2048, 2)}, "008": {"json": (3072, 2), "jpg": (4096, 0)}}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (_tar(("a/7.jpg", b"")), r"member 'a/7.jpg'; plain files KEY.jpg and KEY.json"),
        (_tar(("7.pyd", b"")), r"member '7.pyd'"),
        (_tar(*_PAIR, ("007.txt", b"")), r"member '007.txt'"),
        (_tar(("7.jpg", b""), kind=tarfile.SYMTYPE), r"member '7.jpg'"),
        (_tar(("../7.jpg", b"")), r"member '../7.jpg'"),
        (_tar(("7.jpg", b"")), r"7 has jpg only; jpg and json"),
        (_tar(*_PAIR, *_PAIR[:1]), r"a second 007.jpg; one of each"),
        (_tar(*_PAIR)[:1500], r"no end of archive"),
        (_tar(*_PAIR)[:1000], r"a member of 700 bytes; one that ends within the file"),
        (_tar(*_PAIR) + b"7", r"no end of archive at byte 2560"),
        (b"<html>" + b" " * 1000, r"header at byte 0: its checksum does not fit"),
        (_tar(*_PAIR).replace(b"0001274", b"0001273"), r"header at byte 0: its checksum does not fit"),
    ],
)  # fmt: skip
def test_what_is_no_shard_is_named(data: bytes, text: str) -> None:
    with pytest.raises(DamagedShardError, match=f"^here.tar: {text}" if text.startswith(("no", "7")) else f"^here.tar: .*{text}"):
        index(memoryview(data), "here.tar")


def test_a_picture_of_another_size_is_named(packed: Path) -> None:
    def jpeg(side: int) -> bytes:
        sink = io.BytesIO()
        Image.new("RGB", (side, side)).save(sink, "JPEG")
        return sink.getvalue()

    with MappedShard(packed, Manifest.load(packed).shards[0]) as mapped:
        members = [(f"{key}.{suffix}", bytes(mapped.member(key, suffix))) for key in mapped.places for suffix in ("jpg", "json")]
    key = members[0][0][:-4]
    for data, text in ((jpeg(128), "128 x 128 pixels"), (jpeg(300), ".+"), (b"GIF89a", ".+")):
        _repack(packed, _tar((f"{key}.jpg", data), *members[1:]))
        with pytest.raises(DamagedShardError, match=rf"train/00000.tar: {key}.jpg: {text}; a JPEG of the size that was packed"):
            _decoded(ShardSet(packed), "train")


def test_shards_and_labels_must_hold_the_same_pictures(packed: Path) -> None:
    with MappedShard(packed, Manifest.load(packed).shards[0]) as mapped:
        members = [(f"{key}.{suffix}", bytes(mapped.member(key, suffix))) for key in mapped.places for suffix in ("jpg", "json")]
    other = [(name.replace(members[0][0][:-4], "999999999"), data) for name, data in members]
    _repack(packed, _tar(*other))
    with pytest.raises(DamagedShardError, match=r"train/00000.tar: picture 999999999 has no row in labels.parquet; one each"):
        _decoded(ShardSet(packed), "train")
    _repack(packed, _tar(*members[2:]))
    with pytest.raises(DamagedShardError, match=r"train/00000.tar: 9 samples; 10 were packed"):
        _decoded(ShardSet(packed), "train")
    _edit(packed, num_samples=9)
    shard_set = ShardSet(packed)
    with pytest.raises(DamagedShardError, match=r"labels.parquet: 1 picture of train is in no shard, first 000000000; one each"):
        shard_set.decode("train", np.zeros((len(shard_set.labels("train")), 256, 256, 3), np.uint8))


def test_the_bounds_of_the_buffer_are_held(packed_once: Path) -> None:
    shard_set = ShardSet(packed_once)
    with pytest.raises(AssertionError):
        shard_set.decode("train", np.zeros((shard_set.num_pictures("train") - 1, 256, 256, 3), np.uint8))
