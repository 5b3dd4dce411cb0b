"""Samples of tars become rows: grouped as webdataset groups them, with what img2dataset could not download."""

import io
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from webdataset.tariterators import group_by_keys, tar_file_iterator

from shards.errors import PictureError, TableError
from shards.sources.cells import Bad
from shards.sources.source import BadRow
from shards.sources.tars import TarPictures, Tars
from tests.helpers.origins import bad, good, picture, write_downloaded, write_tar
from tests.helpers.studies import sampled


def tars(path: Path) -> Tars:
    return Tars(path.parent, [path.name], path.name)


def test_what_img2dataset_wrote(tmp_path: Path) -> None:
    write_downloaded(tmp_path)
    source = Tars(tmp_path, ["00001.tar", "00000.tar"], "downloaded")
    rows = good(source)
    assert source.header() == ("path", "key", "txt", "url", "caption", "num_views", "owner", "status", "error_message")
    assert rows[5] == {
        "path": "00000.tar/000000006.jpg", "key": "000000006", "txt": "picture 6", "caption": "picture 6", "url": "https://example.org/6.jpg",
        "num_views": 36, "owner": "o3", "status": "success", "error_message": None,
    }  # fmt: skip
    assert [row["key"] for row in rows] == sorted(row["key"] for row in rows)
    assert bad(source) == [("not_downloaded", key) for key in ("000000004", "000000009", "000010004", "000010009")]
    assert source.pictures.read(source.pictures.check(rows[5]["path"])) == picture(6)
    assert len(rows) + len(bad(source)) == 24


def test_a_sample_that_its_table_has_and_the_tar_has_not(tmp_path: Path) -> None:
    write_downloaded(tmp_path, num_shards=1)
    path = tmp_path / "00000.tar"
    path.write_bytes(path.read_bytes()[:9000])
    found = bad(tars(path))
    assert found[0][0] == "truncated"
    assert len(good(tars(path))) + len(found) in (12, 13)  # the damage may be of a sample, or of none
    assert ("no_picture", "000000011") in found


FILES: dict[str, bytes] = {
    "a/001.jpg": b"1", "a/001.json": b'{"v": 1}', "a.b/002.PNG": b"2", "a.b/002.json": b"{}", "003.left.jpg": b"3", "004.jpg": b"4",
    "__meta__/x.jpg": b"m", "README": b"r", ".hidden": b"h", "005.cls": b"7", "005.seg.png": b"s", "005.webp": b"5", "006.json": b"{}",
}  # fmt: skip


def test_groups_are_webdatasets(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "t.tar", list(FILES.items()))
    stream: Any = io.BytesIO(path.read_bytes())
    theirs = group_by_keys(member | {"__url__": "t.tar"} for member in tar_file_iterator(stream))
    samples = {sample["__key__"]: {name for name in sample if not name.startswith("__")} for sample in theirs}
    source = tars(path)
    assert {row["key"] for row in good(source)} | {of for _, of in bad(source)} == samples.keys()
    chosen = {row["key"]: row["path"].removeprefix(f"t.tar/{row['key']}.").lower() for row in good(source)}
    assert chosen == {"a/001": "jpg", "a.b/002": "png", "003": "left.jpg", "004": "jpg", "005": "webp"}
    assert all(suffix in samples[key] for key, suffix in chosen.items())
    assert bad(source) == [("no_picture", "006")]
    assert source.remarks == ("3 members belong to no sample, the first 't.tar/__meta__/x.jpg'; KEY.jpg with KEY.json",)


@pytest.mark.parametrize(
    ("files", "reason", "says"),
    [
        ([("1.jpg", b""), ("1.json", b"[1]")], "bad_row", "t.tar/1.json: not a JSON object"),
        ([("1.jpg", b""), ("1.json", b'{"a":' * 2000 + b"1" + b"}" * 2000)], "bad_row", "not a JSON object"),
        ([("1.jpg", b""), ("1.json", b"\xff\xfe\x00")], "bad_row", "not a JSON object"),
        ([("1.jpg", b""), ("1.txt", b"\xff")], "bad_row", "not UTF-8"),
        ([("1.jpg", b""), ("1.JPG", b"")], "bad_row", "two members 'jpg'"),
        ([("../1.jpg", b"")], "path_outside", "a path inside the tar"),
        ([("/etc/1.jpg", b"")], "path_outside", "a path inside the tar"),
        ([("a\x1b[2J/1.jpg", b"")], "path_outside", "\\x1b"),
        ([("1.left.jpg", b""), ("1.right.jpg", b"")], "no_picture", "left.jpg, right.jpg; one picture, as 1.jpg"),
        ([("1.json", b"{}"), ("2.jpg", b""), ("1.jpg", b"")], "no_picture", "tar --sort=name"),
    ],
)
def test_samples_that_are_none(tmp_path: Path, files: list[tuple[str, bytes]], reason: str, says: str) -> None:
    source = tars(write_tar(tmp_path / "t.tar", [*files, ("sound.jpg", b"s")]))
    [row] = [row for row in source.records() if not isinstance(row, dict)]
    assert row.reason == reason
    assert says in row.detail
    assert good(source)[-1]["path"] == "t.tar/sound.jpg"


def test_links_are_not_followed(tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(tmp_path / "t.tar", "w") as made:
        info = tarfile.TarInfo("1.jpg")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(info)
    source = tars(tmp_path / "t.tar")
    assert bad(source) == [("not_a_file", "1")]
    with pytest.raises(PictureError, match="missing_file: no such member"):
        source.pictures.read("t.tar/1.jpg")


def test_what_others_wrote_steers_no_terminal_and_is_text(tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(tmp_path / "t.tar", "w", format=tarfile.GNU_FORMAT) as made:
        info = tarfile.TarInfo("\x1b[2J\udcff.jpg")
        info.type, info.linkname = tarfile.SYMTYPE, "x"
        made.addfile(info)
    lines = [{"key": "\x1b[2J", "status": "failed", "error_message": "\r\n\x07" * 1000}]
    pq.write_table(pa.Table.from_pylist(lines), tmp_path / "t.parquet")
    rows = [row for row in tars(tmp_path / "t.tar").records() if isinstance(row, BadRow)]
    assert [row.id for row in rows] == ["?[2J?", "?[2J"]
    for row in rows:
        assert row.detail.isprintable()
        assert len(row.detail) <= 500


def test_fields_are_nested_by_dots_and_no_path_of_theirs_is_taken(tmp_path: Path) -> None:
    said = {"stats": {"views": 3, "by": {"day": [1]}}, "path": "/etc/passwd", "key": "theirs"}
    source = tars(write_tar(tmp_path / "t.tar", [("1.jpg", b""), ("1.json", json.dumps(said).encode())]))
    assert good(source) == [{"path": "t.tar/1.jpg", "key": "theirs", "stats.views": 3, "stats.by.day": [1], "json.path": "/etc/passwd"}]


def test_the_digest_is_of_counts_names_and_sizes(tmp_path: Path) -> None:
    def digest(views: int = 1, name: str = "1", data: bytes = b"abc") -> str:
        return tars(write_tar(tmp_path / "t.tar", [(f"{name}.jpg", data), (f"{name}.json", b'{"views": %d}' % views)])).sha256()

    assert digest() == digest(data=b"xyz")  # the picture's own digest is in the manifest
    assert len({digest(), digest(views=2), digest(name="2"), digest(data=b"longer")}) == 4


def test_what_is_no_tar_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "t.tar").write_bytes(b"\x1f\x8b" + bytes(range(256)) * 8)
    with pytest.raises(TableError, match=r"^t.tar: at byte 0 of 2,050: no header; a plain tar(.|\n)*hint: unpack"):
        tars(tmp_path / "t.tar").header()
    with pytest.raises(TableError, match=r"gone.tar: cannot be read: No such file"):
        tars(tmp_path / "gone.tar").header()


def test_paths_are_judged_by_their_text(tmp_path: Path) -> None:
    pictures = TarPictures(tmp_path)
    for given, reason in (("", "empty_path"), ("a.jpg", "not_a_file"), ("../t.tar/a.jpg", "path_outside"), ("/t.tar/a.jpg", "path_outside")):
        with pytest.raises(Bad) as raised:
            pictures.check(given)
        assert raised.value.reason == reason
    folder = tmp_path / "old.tar"
    write_tar(folder / "t.tar", [("1.jpg", b"abc")])
    assert pictures.read("old.tar/t.tar/1.jpg") == b"abc"
    for path, reason in (("old.tar/u.tar/1.jpg", "missing_file"), ("old.tar/t.tar/2.jpg", "missing_file"), ("old.tar/1.jpg", "missing_file")):
        with pytest.raises(PictureError) as failed:
            pictures.read(path)
        assert failed.value.reason == reason
        assert str(tmp_path) not in str(failed.value)


def test_a_tar_that_lost_its_end_after_it_was_looked_through(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "t.tar", [("1.jpg", b"a" * 900), ("2.jpg", b"b" * 900)])
    pictures = TarPictures(tmp_path)
    assert pictures.read("t.tar/2.jpg") == b"b" * 900
    path.write_bytes(path.read_bytes()[:2000])
    assert pictures.read("t.tar/1.jpg") == b"a" * 900
    with pytest.raises(PictureError, match="missing_file"):
        pictures.read("t.tar/2.jpg")


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    num = sampled(20_000, 500)
    for shard in range(5):
        write_tar(tmp_path / f"{shard}.tar", [(f"{i:06d}.{suffix}", b"{}") for i in range(num // 5) for suffix in ("jpg", "json")])

    def peak(shards: int) -> int:
        source = Tars(tmp_path, [f"{shard}.tar" for shard in range(shards)], "t")
        tracemalloc.start()
        seen = sum(1 for _ in source.records())
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert seen == shards * num // 5
        return found

    peak(1)
    few, many, kept = peak(1), peak(5), len(json.dumps(good(Tars(tmp_path, [f"{shard}.tar" for shard in range(5)], "t"))))
    assert many < few + kept / 4  # the control: what the rows themselves would take, as text


def test_a_table_of_img2dataset_that_is_no_text(tmp_path: Path) -> None:
    write_downloaded(tmp_path)
    keys = pa.array([b"000000001", b"\xff"], pa.binary())
    columns = {"key": pa.Array.from_buffers(pa.string(), len(keys), keys.buffers()), "status": ["failed_to_download", "failed_to_download"]}
    pq.write_table(pa.table(columns), tmp_path / "00000.parquet")
    assert ("bad_row", "") in bad(Tars(tmp_path, ["00000.tar"], "downloaded"))
    pq.write_table(pa.table({"key": ["000000001"], "status": ["failed_to_download"]}), tmp_path / "00000.parquet")
    assert ("not_downloaded", "000000001") in bad(Tars(tmp_path, ["00000.tar"], "downloaded"))
