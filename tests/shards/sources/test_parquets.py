"""Parquet files with pictures in them: the rows of all, and each picture by file and row."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards.errors import PictureError, TableError
from shards.sources.parquets import Parquets, columns_of
from shards.sources.pictures import Folder
from shards.sources.rows import read_source
from tests.helpers.origins import good, picture, write_hub
from tests.helpers.read_rows import rows_of

POOLS: list[pa.MemoryPool] = []  # they live as long as what was taken from them: the source keeps its last rows


def parquets(folder: Path, *files: str) -> Parquets:
    return Parquets(folder, files, "hub", Folder(folder))


def written(path: Path, rows: list[dict[str, Any]], **how: Any) -> Parquets:
    pq.write_table(pa.Table.from_pylist(rows), path, **how)
    return parquets(path.parent, path.name)


def test_rows_of_all_files_and_their_pictures(tmp_path: Path) -> None:
    write_hub(tmp_path)
    source = parquets(tmp_path, "data/train-00001-of-00002.parquet", "data/train-00000-of-00002.parquet")
    rows = good(source)
    assert source.header() == ("path", "image", "image.path", "views", "owner")
    assert rows[3] == {
        "path": "data/train-00000-of-00002.parquet/3",
        "image": "data/train-00000-of-00002.parquet/3",
        "image.path": "6.jpg",
        "views": 36,
        "owner": "o3",
    }
    assert len(rows) == 24
    for row in [*rows, *reversed(rows), rows[7]]:  # in a run, and in no order
        assert source.pictures.read(source.pictures.check(row["path"])) == picture(int(row["image.path"].split(".")[0]))


def test_bytes_alone_are_known_by_their_first_ones(tmp_path: Path) -> None:
    rows = [{"img": None if i == 0 else picture(i), "code": b"\xff\x00%d" % i, "text": b"caf\xc3\xa9", "views": i} for i in range(9)]
    source = written(tmp_path / "t.parquet", rows)
    assert source.header() == ("path", "img", "code", "text", "views")
    assert good(source)[2] == {"path": "t.parquet/2", "img": "t.parquet/2", "code": "3 bytes", "text": "café", "views": 2}
    assert source.pictures.read("t.parquet/2") == picture(2)
    with pytest.raises(PictureError, match="missing_file: neither bytes nor a path in this row"):
        source.pictures.read("t.parquet/0")


def test_of_several_columns_of_pictures_the_path_names_one(tmp_path: Path) -> None:
    rows = [{"left": {"bytes": picture(i), "path": None}, "right": {"bytes": picture(i + 50), "path": None}, "views": i} for i in range(4)]
    source = written(tmp_path / "t.parquet", rows)
    assert "path" not in source.header()
    assert source.pictures.read(good(source)[3]["right"]) == picture(53)
    with pytest.raises(PictureError, match=r"missing_file: no pictures in a column 'middle'; one of left, right"):
        source.pictures.read("t.parquet/3/middle")


def test_a_path_alone_is_a_file_beside_the_table(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"beside")
    names = ["a.jpg", "b.jpg", "../a.jpg", None, "https://x.org/a.jpg"]
    source = written(tmp_path / "t.parquet", [{"image": {"bytes": None, "path": name}} for name in names] + [{"image": {"bytes": b"x", "path": ""}}])
    assert source.pictures.read("t.parquet/0") == b"beside"
    for row, reason in ((1, "missing_file"), (2, "path_outside"), (3, "missing_file"), (4, "not_a_file"), (9, "missing_file")):
        with pytest.raises(PictureError) as raised:
            source.pictures.read(f"t.parquet/{row}")
        assert raised.value.reason == reason


def test_a_path_column_of_the_table_is_its_own(tmp_path: Path) -> None:
    source = written(tmp_path / "t.parquet", [{"path": "x.jpg", "image": {"bytes": picture(1), "path": None}}])
    assert good(source) == [{"path": "x.jpg", "image": "t.parquet/0", "image.path": None}]
    assert source.pictures.check("x.jpg") == "x.jpg"


def test_the_digest_is_of_all_but_the_pictures(tmp_path: Path) -> None:
    def digest(views: int = 1, seed: int = 1, name: str = "t") -> str:
        rows = [{"image": {"bytes": bytes([seed]) * 5000, "path": "a"}, "views": views}]
        return written(tmp_path / f"{name}.parquet", rows, use_dictionary=False, write_statistics=False, compression="none").sha256()

    assert digest() == digest(seed=2)  # the picture's own digest is in the manifest
    assert len({digest(), digest(views=2), digest(name="u")}) == 3


def test_damage_is_a_word_about_the_row_that_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    source = written(path, [{"image": {"bytes": picture(i), "path": str(i)}, "views": i} for i in range(20)], row_group_size=5, compression="snappy")
    data = bytearray(path.read_bytes())
    chunk = next(c for i in range(3) if (c := pq.read_metadata(path).row_group(1).column(i)).path_in_schema == "image.bytes")
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    for row in range(20):
        if 5 <= row < 10:
            with pytest.raises(PictureError, match=r"^unreadable_file: '?t.parquet'?: [ -~]{1,260}; a (whole Parquet file|file that can be read)$"):
                source.pictures.read(f"t.parquet/{row}")
        else:
            assert source.pictures.read(f"t.parquet/{row}") == picture(row)
    path.write_bytes(data[:-100])
    with pytest.raises(TableError, match=r"^t.parquet: .{1,260}; a whole Parquet file$"):
        columns_of(path)


def test_a_date_that_no_calendar_has_is_unknown_and_the_picture_stays(tmp_path: Path) -> None:
    dates = pa.array([2**60, 1_400_000_000_000_000], pa.timestamp("us"))
    pq.write_table(pa.table({"image": [{"bytes": picture(0), "path": "a"}] * 2, "views": [1, 2], "uploaded_at": dates}), tmp_path / "t.parquet")
    first, second = rows_of(read_source(parquets(tmp_path, "t.parquet")))
    said = "uploaded_at: a timestamp[us] out of range; one that a calendar has"
    assert (first.uploaded_at, first.unread) == (None, (("uploaded_at", said),))
    assert second.uploaded_at == datetime(2014, 5, 13, 16, 53, 20, tzinfo=UTC)


def test_ids_that_have_lost_digits_are_refused(tmp_path: Path) -> None:
    images, views = [{"bytes": picture(i), "path": str(i)} for i in range(3)], [1, 2, 3]
    for kind in (pa.float32(), pa.float64()):
        ids = pa.array([123456789.0, 123456790.0, 123456791.0]).cast(kind)
        pq.write_table(pa.table({"image": images, "views": views, "id": ids}), tmp_path / f"{kind}.parquet")
    with pytest.raises(TableError, match="column 'id': numbers that have lost digits, as 123456792"):
        read_source(parquets(tmp_path, "float.parquet"))
    assert [row.id for row in rows_of(read_source(parquets(tmp_path, "double.parquet")))] == ["123456789", "123456790", "123456791"]  # control


def test_a_group_of_rows_is_never_in_memory_whole(tmp_path: Path) -> None:
    rows = [{"image": {"bytes": bytes([i]) * 500_000, "path": str(i)}} for i in range(60)]
    source = written(tmp_path / "t.parquet", rows, use_dictionary=False, compression="none", data_page_size=500_000, write_batch_size=1)
    before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
    POOLS.append(pool)
    pa.set_memory_pool(pool)
    try:
        assert all(source.pictures.read(f"t.parquet/{i}") == bytes([i]) * 500_000 for i in range(60))
        streamed = pool.max_memory()
        pq.read_table(tmp_path / "t.parquet")
        whole = pool.max_memory()  # the control
    finally:
        pa.set_memory_pool(before)
    assert whole >= 30_000_000 > 3 * streamed


def test_names_that_are_no_text(tmp_path: Path) -> None:
    """A path beside bytes costs nothing; one in their place, its row; a damaged name of a column is told."""
    paths = pa.array([b"\xff.jpg", b"\xff.jpg", b"b.jpg"], pa.binary())
    texts = pa.Array.from_buffers(pa.string(), len(paths), paths.buffers())
    images = pa.StructArray.from_arrays([pa.array([picture(0), None, picture(1)], pa.binary()), texts], ["bytes", "path"])
    pq.write_table(pa.table({"image": images, "views": [1, 2, 3]}), tmp_path / "a.parquet")
    source = parquets(tmp_path, "a.parquet")
    table = read_source(source)
    assert [row.path for row in rows_of(table)] == ["a.parquet/0", "a.parquet/1", "a.parquet/2"]
    assert [source.pictures.read(f"a.parquet/{row}") for row in (0, 2)] == [picture(0), picture(1)]
    with pytest.raises(PictureError, match="unreadable_file"):
        source.pictures.read("a.parquet/1")
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(data.replace(b"views", b"v\xffews"))
    with pytest.raises(TableError, match=r"b\.parquet: .*; a whole Parquet file"):
        parquets(tmp_path, "b.parquet").header()
