"""Every row of a table ends as a picture or as a rejection with its reason."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards.errors import TableError
from shards.sources.pictures import Folder
from shards.sources.rows import PictureRow, Table, read_table
from tests.helpers.read_rows import rejections_of, rows_of

COLUMNS = "id,path,views"


def table_of(folder: Path, text: str, name: str = "t.csv", **options: Any) -> Table:
    (folder / name).write_text(text)
    return read_table(folder / name, **options)


def cell(folder: Path, column: str, value: str, **options: Any) -> Table:
    """A good row, then one whose ``column`` is ``value``."""
    good = {"id": "a", "path": "a.jpg", "views": "1", "uploaded_at": "2015-01-01", "favorites": "0"}
    rows = [good, good | {"id": "b"} | {column: value}]
    return table_of(folder, "\n".join(json.dumps(row) for row in rows), "t.jsonl", **options)


def test_a_row_is_read_whole(tmp_path: Path) -> None:
    text = "id\tpath\tviews\tfavorites\tcomments\towner\tuploaded_at\tobserved_at\ttaken_at\ttags\tlicence\tpage\ttitle\tcolour\n"
    text += "007\tx/../a b.jpg\t12.0\t3\t0\tann\t2014-01-02T03:04:05.9+01:00\t1400000000\t1995\tcat dog\tCC0\thttp://x\tT\tred\n"
    table = table_of(tmp_path, text, "t.tsv", keep=["colour"])
    assert rows_of(table) == [
        PictureRow(
            row=0,
            id="007",
            path="a b.jpg",
            views=12,
            favorites=3,
            comments=0,
            owner="ann",
            uploaded_at=datetime(2014, 1, 2, 2, 4, 5, tzinfo=UTC),
            observed_at=datetime(2014, 5, 13, 16, 53, 20, tzinfo=UTC),
            taken_at="1995",
            tags="cat dog",
            licence="CC0",
            page="http://x",
            extra={"colour": "red"},
        )
    ]
    assert rejections_of(table) == []
    assert table.num_rows == 1
    assert table.kept_columns == ("colour",)
    assert table.unmapped_columns == ("title",)
    assert table.sha256 == hashlib.sha256((tmp_path / "t.tsv").read_bytes()).hexdigest()


def test_a_field_takes_the_column_it_is_mapped_to(tmp_path: Path) -> None:
    table = table_of(tmp_path, "photo_id,path,hits,views\n1,a.jpg,5,9\n", columns={"id": "photo_id", "views": "hits"})
    assert (rows_of(table)[0].id, rows_of(table)[0].views) == ("1", 5)
    assert table.columns == {"id": "photo_id", "path": "path", "views": "hits"}
    assert table.unmapped_columns == ("views",)


def test_parquet_keeps_texts_and_whole_floats(tmp_path: Path) -> None:
    columns = {
        "id": ["007", "8", "9"],
        "path": ["a.jpg"] * 3,
        "views": [12.0, float("nan"), 1.5],
        "owner": ["o", None, "p"],
        "uploaded_at": pa.array([10**18 + 1, None, 10**18], pa.timestamp("ns")),
        "score": [0.5, None, 1.0],
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet", keep=["score"])
    assert rows_of(table) == [
        PictureRow(row=0, id="007", path="a.jpg", views=12, owner="o", uploaded_at=datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC), extra={"score": 0.5})
    ]
    assert [(r.row, r.reason, r.detail) for r in rejections_of(table)] == [
        (1, "bad_count", "views: empty; a whole number from 0"),
        (2, "bad_count", "views: 1.5 is fractional; a whole number from 0"),
    ]


@pytest.mark.parametrize(
    ("column", "value", "reason", "detail"),
    [
        ("views", "many", "bad_count", "views: 'many' is not a number; a whole number from 0"),
        ("views", "nan", "bad_count", "views: 'nan' is not a number"),
        ("views", True, "bad_count", "views: True is not a number"),
        ("views", -5, "bad_count", "views: -5 is negative"),
        ("views", "3.7", "bad_count", "views: 3.7 is fractional"),
        ("views", "9223372036854775808", "bad_count", "views: 9223372036854775808 does not fit 64 bits"),
        ("views", "1e999", "bad_count", "views: 1e999 does not fit 64 bits"),
        ("views", "", "bad_count", "views: empty"),
        ("views", "-", "bad_count", "views: '-' is not a number"),
        ("owner", "\ud800", "bad_text", "owner: '.ud800' holds half a character"),
        ("id", "", "empty_id", "id: empty; a name that no other row has"),
        ("id", "a", "duplicate_id", "id: an earlier row has it too; the first one counts"),
        ("id", "x" * 1001, "bad_text", "id: 1001 characters; at most 1000"),
        ("id", "\ud800", "bad_text", "id: '.ud800' holds half a character"),
        ("path", "", "empty_path", "path: empty"),
        ("path", "../a.jpg", "path_outside", "path: '../a.jpg' leaves the folder of the pictures"),
        ("path", "x/../../a.jpg", "path_outside", "leaves the folder"),
        ("path", "/etc/passwd", "path_outside", "leaves the folder"),
        ("path", "ftp://x.org/a.jpg", "not_a_file", "path: 'ftp://x.org/a.jpg' is an address of the kind ftp:; "),
        ("path", "file:///etc/passwd", "not_a_file", "an address of the kind file:; "),
        ("path", "data:image/png;base64,AAAA", "not_a_file", "an address of the kind data:; "),
        ("path", "https:/x.org/a.jpg", "not_a_file", "path: 'https:/x.org/a.jpg' is an address of the kind https:; "),
        ("path", "https://ann:hunter2@x.org/a.jpg", "forbidden_address", "path: an address with a user or a password; one without"),
        ("path", "https://x.org/a\nb.jpg", "forbidden_address", "path: an address with a control character"),
        ("path", "http://[x/a.jpg", "forbidden_address", "path: an address that cannot be read"),
        ("path", "a\0.jpg", "not_a_file", "a zero byte"),
    ],
)
def test_a_bad_cell_is_a_rejection(tmp_path: Path, column: str, value: str, reason: str, detail: str) -> None:
    table = cell(tmp_path, column, value)
    assert [row.row for row in rows_of(table)] == [0]
    [rejection] = rejections_of(table)
    assert (rejection.row, rejection.reason) == (1, reason)
    with pytest.raises(AssertionError, match=detail):
        raise AssertionError(rejection.detail)


@pytest.mark.parametrize("value", ["", " ", None, "NaN", "null", "None", "N/A", "-", "\\N"])
@pytest.mark.parametrize("column", ["favorites", "uploaded_at"])
def test_an_optional_value_that_is_not_there_is_unknown(tmp_path: Path, column: str, value: str) -> None:
    table = cell(tmp_path, column, value)
    assert rejections_of(table) == []
    assert (getattr(rows_of(table)[1], column), rows_of(table)[1].unread) == (None, ())


@pytest.mark.parametrize(
    ("column", "value", "detail"),
    [
        ("favorites", "1.5", "favorites: 1.5 is fractional; a whole number from 0"),
        ("favorites", "1,23,4", "favorites: '1,23,4' is not a number; a whole number from 0"),
        ("favorites", -1, "favorites: -1 is negative; a whole number from 0"),
        ("uploaded_at", "1995", "uploaded_at: 1995: a bare year is not a date; ISO 8601 or unix seconds"),
        ("uploaded_at", 1995, "uploaded_at: 1995: a bare year is not a date; ISO 8601 or unix seconds"),
        ("uploaded_at", "last week", "uploaded_at: 'last week' is not a date; ISO 8601 or unix seconds"),
        ("uploaded_at", "45361.5", "uploaded_at: '45361.5' is not a date; ISO 8601 or unix seconds"),
        ("uploaded_at", "0001-01-01", "uploaded_at: '0001-01-01' is before 1973 or after 2100; ISO 8601 or unix seconds"),
        ("tags", "\ud800", "tags: '\\ud800' holds half a character; Unicode text"),
        ("mood", ["\ud800"], "mood: '[\"\\ud800\"]' holds half a character; Unicode text"),
    ],
)
def test_an_optional_value_that_cannot_be_read_is_unknown_and_told(tmp_path: Path, column: str, value: str, detail: str) -> None:
    good = {"id": "a", "path": "a.jpg", "views": "1", "uploaded_at": "2015-01-01", "favorites": "0", "tags": "", "mood": "m"}
    text = "\n".join(json.dumps(row) for row in (good, good | {"id": "b", column: value}))
    table = table_of(tmp_path, text, "t.jsonl", keep=["mood"])
    assert rejections_of(table) == []
    bad = rows_of(table)[1]
    assert bad.unread == ((column, detail),)
    assert (bad.extra[column] if column == "mood" else getattr(bad, column)) == ("" if column == "tags" else None)
    assert rows_of(table)[0].unread == ()


def test_a_rejection_tells_of_optional_values_too(tmp_path: Path) -> None:
    [rejection] = rejections_of(table_of(tmp_path, f"{COLUMNS},comments\n1,a,-1,x\n"))
    assert (rejection.reason, rejection.detail.split("; ")[2]) == ("bad_count", "comments: 'x' is not a number")


def test_a_column_of_no_times_at_all_is_refused(tmp_path: Path) -> None:
    """As is one of bare years: else age would quietly be unknown for every picture. One bad value among blanks refuses nothing."""
    rows = [f"{k},a,1,0{k + 1}/10/2024" for k in range(3)]
    with pytest.raises(
        TableError, match=r"t.csv: uploaded_at: none of 3 values can be read, the first for '01/10/2024' may have(.|\n)*--drop uploaded_at"
    ):
        table_of(tmp_path, "\n".join([f"{COLUMNS},uploaded_at", *rows]))
    table = table_of(tmp_path, "\n".join([f"{COLUMNS},uploaded_at", *rows[:1], "7,a,1,", "8,a,1,", "9,a,1,"]))
    assert [row.uploaded_at for row in rows_of(table)] == [None] * 4


@pytest.mark.parametrize(
    ("column", "value", "read"),
    [
        ("views", "12.0", 12),
        ("views", " 7 ", 7),
        ("views", 1e3, 1000),
        ("views", 2**63 - 1, 2**63 - 1),
        ("uploaded_at", "", None),
        ("uploaded_at", "20150301", datetime(2015, 3, 1, tzinfo=UTC)),
        ("uploaded_at", "2015-03-01", datetime(2015, 3, 1, tzinfo=UTC)),
        ("uploaded_at", "1400000000.7", datetime(2014, 5, 13, 16, 53, 20, tzinfo=UTC)),
        ("path", "./x//a.jpg", "x/a.jpg"),
        ("id", "ünï\n1", "ünï\n1"),
    ],
)
def test_an_odd_cell_is_read(tmp_path: Path, column: str, value: str, read: object) -> None:
    table = cell(tmp_path, column, value)
    assert rejections_of(table) == []
    assert getattr(rows_of(table)[1], column) == read


def test_a_rejection_tells_all_that_is_wrong(tmp_path: Path) -> None:
    [rejection] = rejections_of(table_of(tmp_path, f"{COLUMNS}\n1,../a,-1\n"))
    assert rejection.detail == (
        "path: '../a' leaves the folder of the pictures; a path inside it, or give the folder that holds them all; "
        "views: -1 is negative; a whole number from 0"
    )


def test_the_pictures_may_lie_in_another_folder(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    text = f"{COLUMNS}\n1,a.jpg,1\n2,{tmp_path}/pictures/x/b.jpg,1\n"
    assert [r.reason for r in rejections_of(table_of(tmp_path, text, "tables/t.csv"))] == ["path_outside"]
    table = read_table(tmp_path / "tables/t.csv", pictures=tmp_path / "pictures")
    assert [row.path for row in rows_of(table)] == ["a.jpg", "x/b.jpg"]


def test_rows_that_are_no_rows(tmp_path: Path) -> None:
    table = table_of(tmp_path, f"{COLUMNS}\n1,a,1\n\n2,b\n3,c,1,9\n")
    assert [(r.row, r.reason, r.detail) for r in rejections_of(table)] == [
        (1, "bad_row", "line 4: 2 cells; 3, as in the header"),
        (2, "bad_row", "line 5: 4 cells; 3, as in the header"),
    ]
    lines = '{"id":"1","path":"a","views":1}\n{"id":\n[1]\n{"id":"2","path":["b"],"views":1}\n'
    table = table_of(tmp_path, lines, "t.ndjson")
    assert [(r.row, r.detail) for r in rejections_of(table)] == [(n, f"line {n + 1}: not a JSON object; one object a line") for n in (1, 2)]
    assert rows_of(table)[1].path == '["b"]'


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbf" + f"{COLUMNS}\n1,a,1\n".encode())
    assert len(rows_of(read_table(tmp_path / "t.csv"))) == 1


def test_every_problem_of_a_table_is_told_at_once(tmp_path: Path) -> None:
    mapping = {"colour": "x", "views": "hits", "owner": "who", "tags": "none"}
    with pytest.raises(TableError) as caught:
        table_of(tmp_path, "id,who,who,key\n1,a,b,c\n", columns=mapping, keep=["key", "nope"])
    assert caught.value.problems == (
        "columns: unknown field 'colour'; id, path, views, favorites, comments, owner, uploaded_at, observed_at, taken_at, tags, licence, page",
        "t.csv: path: no column 'path'; the table has id, who, who, key",
        "t.csv: views: no column 'hits'; the table has id, who, who, key",
        "t.csv: tags: no column 'none'; the table has id, who, who, key",
        "keep: 'key' is a name of our own; another name, or map the column to the field",
        "t.csv: keep: no column 'nope'; the table has id, who, who, key",
        "t.csv: 2 columns are named 'who'; one of a name",
    )
    assert caught.value.hint.startswith("name the column, as in --column path=filename, or make the path of others")


@pytest.mark.parametrize(
    ("name", "data", "text"),
    [
        ("t.xlsx", b"x", "t.xlsx: a spreadsheet; .csv, .tsv, (.|\n)*hint: save the sheet as CSV"),
        ("t.csv", b"PK\x03\x04 and so on", "t.csv: a spreadsheet or a zip archive; CSV, TSV, Parquet or JSON lines"),
        ("t.csv", b"<!DOCTYPE html><html>", "t.csv: a page of HTML(.|\n)*download the table itself"),
        ("t.doc", b"id,path,views", "t.doc: unknown format '.doc'; (.|\n)*--format csv"),
        ("t.csv", b"", "t.csv: no rows; at least one picture"),
        ("t.csv", b"id,path,views\n", "t.csv: no rows"),
        ("t.csv", b'id,path,views\n1,"a,1\n2,b,1\n', "t.csv: line 2: a quote opens in the row that begins here and never closes"),
        ("t.csv", b"id,path,views\n\xff,a,1\n", "t.csv: column 'id': bytes that are not UTF-8, in 1 row, the first row 0(.|\n)*iconv -f CP1252"),
        ("t.jsonl", b"\n", "t.jsonl: no rows"),
        ("t.parquet", b"PAR1 or not", "t.parquet: .*; a whole .parquet file"),
    ],
)
def test_a_table_that_cannot_be_read(tmp_path: Path, name: str, data: bytes, text: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(TableError, match=text):
        read_table(tmp_path / name)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"t.csv: cannot be read: No such file or directory; a table of pictures"):
        read_table(tmp_path / "t.csv")


def test_years_alone_are_no_upload_dates(tmp_path: Path) -> None:
    text = "id,path,views,year\n1,a,1,1995\n2,b,1,\n3,c,1,2001\n"
    with pytest.raises(TableError, match=r"uploaded_at: column 'year' holds bare years \(1995\)(.|\n)*leave the column unmapped"):
        table_of(tmp_path, text, columns={"uploaded_at": "year"})
    assert [row.taken_at for row in rows_of(read_table(tmp_path / "t.csv", {"taken_at": "year"}))] == ["1995", "", "2001"]


def test_an_address_passes_and_is_no_file(tmp_path: Path) -> None:
    """It is fetched before pictures are made ready; also with a blank, which people write."""
    folder = Folder(tmp_path)
    for address in ("https://x.org/a.jpg", "HTTP://x.org:8080/a b.jpg?c=../d", "http://10.0.0.1/a.jpg"):
        assert folder.check(address) == address
    assert rows_of(cell(tmp_path, "path", " https://x.org/a.jpg "))[1].path == "https://x.org/a.jpg"
    with pytest.raises(ValueError, match=r"'https://x.org/a.jpg' is an address, and no file of .*: shards.fetch gets it"):
        folder.read("https://x.org/a.jpg")
