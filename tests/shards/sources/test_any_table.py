"""Tables as strangers have them: names, paths, ids, cells; what is read, what is said, and what is refused with what to do."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards.errors import TableError
from shards.sources.columns import resolve
from shards.sources.rows import Table, read_table
from tests.helpers.read_rows import rejections_of, rows_of


def table_of(folder: Path, text: str | bytes, name: str = "t.csv", **how: Any) -> Table:
    (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return read_table(folder / name, **how)


def refusal(folder: Path, text: str | bytes, name: str = "t.csv", **how: Any) -> str:
    with pytest.raises(TableError) as caught:
        table_of(folder, text, name, **how)
    return str(caught.value)


def column(table: Table, name: str) -> list[Any]:
    return [getattr(row, name) for row in rows_of(table)]


def counts(*views: str, more: str = "") -> str:
    return "id,path,views\n" + "".join(f'{i},{i}.jpg,"{value}"\n' for i, value in enumerate(views)) + more


# --- the tables that were found hard ---


def test_thousands_are_read_in_one_style(tmp_path: Path) -> None:
    """Left out for their commas, exactly the most viewed pictures would be gone."""
    table = table_of(tmp_path, counts("12", "72", "492", "1,632", "20,592"))
    assert column(table, "views") == [12, 72, 492, 1632, 20592]
    assert table.remarks == ("views: thousands are parted by commas: '1,632' is 1632",)
    assert column(table_of(tmp_path, counts("7966443103", "0"), "big.csv"), "views") == [7966443103, 0]
    assert column(table_of(tmp_path, counts(*(f"{i},234" for i in range(1, 13)))), "views") == [1000 * i + 234 for i in range(1, 13)]


@pytest.mark.parametrize(
    ("views", "problem"),
    [
        (
            ["12", "1.234", "20.592"],
            "views: '1.234' may be a number of thousands or a fraction, and no other value tells; whole numbers in one style",
        ),
        (["12", "1,234", "1.234"], "views: two styles, as '1,234' and '1.234'; whole numbers"),
        (["12", "1 234", "1,234"], "views: two styles, as '1 234' and '1,234'; whole numbers"),
        (["12", "1,234", "12,5"], "views: two styles, as '1,234' and '12,5'; whole numbers"),
        (["12", "1.234.567", "12.5"], "views: two styles, as '1.234.567' and '12.5'; whole numbers"),
        (["12", "1.2K", "3M"], "views: 2 of 3 are rounded ('1.2K', '3M'), the popular ones; whole numbers in one style"),
        (["12", "1000+"], "views: 1 of 2 are rounded ('1000+')"),
        (["1.000", "2.000"], "views: '1.000' may be a number of thousands or a fraction"),
    ],
)
def test_counts_that_may_be_two_numbers_refuse_the_table(tmp_path: Path, views: list[str], problem: str) -> None:
    assert problem in refusal(tmp_path, counts(*views))
    text = "id,path,views,favorites\n" + "".join(f'{i},{i}.jpg,5,"{value}"\n' for i, value in enumerate(views))
    assert "--drop favorites" in refusal(tmp_path, text)
    assert column(table_of(tmp_path, text, drop=["favorites"]), "favorites") == [None] * len(views)


@pytest.mark.parametrize(
    ("views", "read"),
    [
        (["1.234", "1.234.567"], [1234, 1234567]),
        (["12,0", "7,0"], [12, 7]),
        (["1.234,0", "7,0"], [1234, 7]),
        (["12,34,567", "1,23,456"], [1234567, 123456]),
        ([f"{i}.000" for i in range(1, 13)], list(range(1, 13))),  # three decimals throughout
        (["1e6", "5"], [1000000, 5]),
    ],
)
def test_a_column_tells_how_its_counts_are_written(tmp_path: Path, views: list[str], read: list[int]) -> None:
    assert column(table_of(tmp_path, counts(*views)), "views") == read


def test_dates_that_may_be_two_days_are_refused_with_what_to_do(tmp_path: Path) -> None:
    text = "id,path,views,uploaded_at\n" + "".join(f"{i},{i}.jpg,{i},{day} 22:03\n" for i, day in enumerate(["07/12/2014", "03/03/2014"]))
    said = refusal(tmp_path, text)
    assert "t.csv: uploaded_at: none of 2 values can be read, the first for '07/12/2014 22:03' may have its day or its month first" in said
    assert said.endswith("leave it unread, and the time unknown: --drop uploaded_at")
    assert column(table_of(tmp_path, text, drop=["uploaded_at"]), "uploaded_at") == [None, None]
    table = table_of(tmp_path, f"{text}2,c,1,12/25/2014\n")
    assert column(table, "uploaded_at") == [
        datetime(2014, 7, 12, 22, 3, tzinfo=UTC),
        datetime(2014, 3, 3, 22, 3, tzinfo=UTC),
        datetime(2014, 12, 25, tzinfo=UTC),
    ]
    assert table.remarks == ("uploaded_at: the month comes first, as '12/25/2014' says",)
    both = table_of(tmp_path, f"{text}2,c,1,12/25/2014\n3,d,1,25/12/2014\n4,e,1,2014-01-01\n")
    assert column(both, "uploaded_at")[4] == datetime(2014, 1, 1, tzinfo=UTC)
    assert "dates of that form are unknown" in both.remarks[0]
    assert [len(row.unread) for row in rows_of(both)] == [1, 0, 1, 1, 0]


def test_addresses_and_blank_cells_are_rows(tmp_path: Path) -> None:
    table = table_of(tmp_path, "id,path,views,comments\n0,a.jpg,5,\n1,b.jpg,6,3\n")
    assert column(table, "comments") == [None, 3]
    assert len([*table_of(tmp_path, "id,path,views\n0,https://pictures.example/0.jpg,1\n").read()]) == 1


def test_owners_are_without_blanks_and_nobody_is_no_owner(tmp_path: Path) -> None:
    text = "id,path,views,owner\n" + "".join(
        f"{i},{i},1,{owner}\n" for i, owner in enumerate(["bob", "bob ", "Bob", " bob", "nan", "None", "<NA>", "N/A", ""])
    )
    table = table_of(tmp_path, text)
    assert column(table, "owner") == ["bob", "bob", "Bob", "bob", "", "", "", "", ""]
    assert table.remarks == (
        "owner: blanks around 2 values are cut off",
        "owner: unknown in 4 rows that say so, as 'nan'",
        "owner: names that differ in case alone are two owners, as 'bob' and 'Bob'",
    )


@pytest.mark.parametrize("other", ["Jose\u0301 L", "Jos\u00e9  L", "Jos\u00e9\u200b L", "\ufeffjos\u00e9 L", "Jos\u00e9\u00a0L"])
def test_owners_that_look_alike_are_told(tmp_path: Path, other: str) -> None:
    table = table_of(tmp_path, f"id,path,views,owner\n0,0,1,Jos\u00e9 L\n1,1,1,{other}\n")
    assert table.remarks == (f"owner: names that look alike are two owners, as 'Jos\\xe9 L' and {other!a}",)
    assert table_of(tmp_path, "id,path,views,owner\n0,0,1,Jos\u00e9 L\n1,1,1,Jose L\n").remarks == ()


def test_a_column_that_is_not_used_refuses_nothing(tmp_path: Path) -> None:
    """A cell of 140,000 characters, bytes, a struct, a type without a Python object, two columns of one name, half a letter."""
    table = table_of(tmp_path, f"id,path,views,text,text\na,a.jpg,5,{'x' * 140_000},\nb,b.jpg,6,y,\n")
    assert column(table, "views") == [5, 6]
    columns = {"id": ["a"], "path": ["a.jpg"], "views": [5], "jpeg": [b"\xff\xd8"], "size": [{"w": 1}], "far": pa.array([2**31 - 1], pa.date32())}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert column(read_table(tmp_path / "t.parquet"), "views") == [5]
    assert "column 'jpeg' holds bytes that are no text" in refusal(
        tmp_path, (tmp_path / "t.parquet").read_bytes(), "t.parquet", columns={"tags": "jpeg"}
    )
    assert column(table_of(tmp_path, b"id,path,views,title\na,a.jpg,5,caf\xe9\n"), "views") == [5]


@pytest.mark.parametrize("form", ["lines", "array", "member"])
def test_a_number_longer_than_python_reads_costs_its_cell_alone(tmp_path: Path, form: str) -> None:
    long = "9" * (sys.get_int_max_str_digits() + 1)
    with pytest.raises(ValueError, match="limit"):  # control
        json.loads(long)
    rows = [
        f'{{"id": "{name}", "path": "{name}.jpg", "views": {views}, "favorites": {favorites}, "unused": {unused}}}'
        for name, views, favorites, unused in (("a", 1, 1, long), ("b", 2, f"-{long}", 1), ("c", long, 1, 1))
    ]
    text = {"lines": "\n".join(rows), "array": f"[{', '.join(rows)}]", "member": f'{{"rows": [{", ".join(rows)}]}}'}[form]
    table = table_of(tmp_path, text, "t.json")
    assert [(row.id, row.favorites) for row in rows_of(table)] == [("a", 1), ("b", None)]
    assert [(row.id, row.reason) for row in rejections_of(table)] == [("c", "bad_count")]


def test_a_table_without_ids_takes_its_paths(tmp_path: Path) -> None:
    text = "filename,views\n000000.jpg,8\n000001.jpg,6\n"
    assert refusal(tmp_path, text).endswith("hint: did you mean --column path=filename?")
    table = table_of(tmp_path, text, columns={"path": "filename"})
    assert column(table, "id") == column(table, "path") == ["000000.jpg", "000001.jpg"]
    assert table.columns == {"id": "filename", "path": "filename", "views": "views"}
    assert table.remarks == ("id: no such column; the path is the id",)
    twice = table_of(tmp_path, text, "twice.csv", columns={"path": "filename", "id": "filename"})
    assert column(twice, "id") == column(table, "id")
    again = table_of(tmp_path, f"{text}000001.jpg,9\n", "again.csv", columns={"path": "filename"})
    assert [r.reason for r in rejections_of(again)] == ["duplicate_id"]


# --- names ---


def test_names_are_blind_to_case_and_blanks(tmp_path: Path) -> None:
    table = table_of(tmp_path, "ID, Path ,VIEWS,Uploaded At,Favourites,Camera\na,a.jpg,5,2014-01-02,3,K\n", keep=["camera"])
    [row] = rows_of(table)
    assert (row.id, row.path, row.views, row.favorites, row.extra) == ("a", "a.jpg", 5, 3, {"Camera": "K"})
    assert row.uploaded_at == datetime(2014, 1, 2, tzinfo=UTC)
    assert "favorites: taken from the column 'Favourites'" in table.remarks
    exact = table_of(tmp_path, "id,path,Views,views\na,a.jpg,5,7\n")
    assert (column(exact, "views"), exact.unmapped_columns) == ([7], ("Views",))
    assert "'Views' and 'VIEWS' may both be 'views'; one, by its exact name" in refusal(tmp_path, "id,path,Views,VIEWS\na,a.jpg,5,7\n")
    assert "did you mean --column 'views=View Count'?" in refusal(tmp_path, "id,path,View Count\na,a.jpg,5\n")


def test_a_path_is_made_of_other_columns(tmp_path: Path) -> None:
    table = table_of(tmp_path, "video_id,set,views\n7.0,b,5\n8.0,,6\n", columns={"id": "video_id"}, path_pattern="img/{SET}/{video_id}.jpg")
    assert (column(table, "id"), column(table, "path")) == (["7"], ["img/b/7.jpg"])
    assert [(r.id, r.reason) for r in rejections_of(table)] == [("8", "empty_path")]
    assert table.columns["path"] == "img/{SET}/{video_id}.jpg"
    named = table_of(tmp_path, "video_id,views\n7,5\n", columns={"id": "video_id"}, path_pattern="{id}.jpg")
    assert column(named, "path") == ["7.jpg"]
    alone = table_of(tmp_path, "set,n,views\na,1.0,5\nx,1.0,6\na,y,7\na,1.0,8\n", path_pattern="{set}/{n}.jpg")
    assert column(alone, "id") == ["a/1.0.jpg", "x/1.0.jpg", "a/y.jpg"]
    assert [(r.row, r.reason) for r in rejections_of(alone)] == [(3, "duplicate_id")]
    for pattern, problem in (
        ("{nope}.jpg", "no column 'nope'"),
        ("a.jpg", "names no column"),
        ("{id", "expected '}'"),
        ("{id!r}", "text with names"),
    ):
        assert problem in refusal(tmp_path, "id,views\n7,5\n", path_pattern=pattern)
    assert [r.reason for r in rejections_of(table_of(tmp_path, "id,views\n../../x,5\n", path_pattern="img/{id}.jpg"))] == ["path_outside"]


def test_members_of_objects_are_columns(tmp_path: Path) -> None:
    row = {"id": "a", "file": {"name": "a.jpg"}, "stats": {"views": 5}, "user": [{"id": "u"}]}
    mapping = {"path": "file.name", "views": "stats.views", "owner": "user.0.id"}
    table = table_of(tmp_path, json.dumps(row), "t.jsonl", columns=mapping)
    assert [(r.path, r.views, r.owner) for r in rows_of(table)] == [("a.jpg", 5, "u")]
    assert table.unmapped_columns == ()
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "t.parquet")
    assert [(r.path, r.views) for r in rows_of(read_table(tmp_path / "t.parquet", mapping))] == [("a.jpg", 5)]
    assert "did you mean --column path=file.name --column views=stats.views?" in refusal(tmp_path, json.dumps(row), "t.jsonl")
    assert "no row has 'stats.likes'" in refusal(tmp_path, json.dumps(row), "t.jsonl", columns=mapping | {"favorites": "stats.likes"})


def test_a_field_may_be_left_unread(tmp_path: Path) -> None:
    table = table_of(tmp_path, "id,path,views,favorites\na,a.jpg,5,1\n", drop=["favorites"])
    assert (column(table, "favorites"), "favorites" in table.columns, table.unmapped_columns) == ([None], False, ("favorites",))
    for drop, problem in (("path", "drop: path: a picture needs one"), ("likes", "drop: unknown field 'likes'")):
        assert problem in refusal(tmp_path, "id,path,views\na,a.jpg,5\n", drop=[drop])
    assert "is mapped to 'f' too" in refusal(tmp_path, "id,path,views,f\na,a,5,1\n", drop=["favorites"], columns={"favorites": "f"})


def test_a_first_line_that_is_a_row_is_told(tmp_path: Path) -> None:
    assert "the first line looks like a row of the table (17)" in refusal(tmp_path, "17\ta.jpg\t5\n18\tb.jpg\t6\n", "t.tsv")


# --- ids and paths ---


@pytest.mark.parametrize(
    ("ids", "read"),
    [
        (["1.0", "2.0"], ["1", "2"]),
        (["1.0", "2"], ["1", "2"]),
        (["1.0", "x"], ["1.0", "x"]),
        (["007", "8.0"], ["007", "8.0"]),
        (["1.5", "2.0"], ["1.5", "2.0"]),
        (["1e3", "5e3"], ["1000", "5000"]),
        (["-1", "2"], ["-1", "2"]),
        (["+1", "2.0"], ["+1", "2.0"]),
        ([" a ", "b"], ["a", "b"]),
    ],
)
def test_ids_are_what_they_were(tmp_path: Path, ids: list[str], read: list[str]) -> None:
    text = "id,path,views\n" + "".join(f"{value},{i}.jpg,5\n" for i, value in enumerate(ids))
    table = table_of(tmp_path, text)
    assert column(table, "id") == read
    assert (table.remarks == ()) == (ids == read)
    assert [r.reason for r in rejections_of(table_of(tmp_path, f"{text}{ids[0]},z.jpg,1\n"))] == ["duplicate_id"]


def test_ids_that_have_lost_digits_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1.0, 1e18], "path": ["a", "b"], "views": [1, 2]}), tmp_path / "t.parquet")
    with pytest.raises(TableError, match=r"t.parquet: column 'id': numbers that have lost digits, as 1e\+18; text, or whole numbers up to 2\^53"):
        read_table(tmp_path / "t.parquet")
    pq.write_table(pa.table({"id": [1.0, None], "path": ["a", "b"], "views": [1, 2], "owner": [5.0, None]}), tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert [(r.id, r.owner) for r in rows_of(table)] == [("1", "5")]
    assert [r.reason for r in rejections_of(table)] == ["empty_id"]
    assert "numbers that have lost digits, as 1.23457E+11" in refusal(tmp_path, "id,path,views\n1.23457E+11,a,5\n4,b,5\n")


def test_ids_that_meet_as_whole_numbers_are_one(tmp_path: Path) -> None:
    """Digests of ids are taken before it is known how the column is read."""
    lines = [{"id": 1, "path": "a", "views": 1}, {"id": 1.0, "path": "b", "views": 1}, {"id": "1", "path": "c", "views": 1}]
    table = table_of(tmp_path, "\n".join(map(json.dumps, lines)), "t.jsonl")
    assert [r.row for r in rejections_of(table)] == [1, 2]
    again = table_of(tmp_path, "id,path,views\nx,a,1\n1.0,b,1\n1.0,c,1\n1,d,1\n")
    assert ([r.row for r in rejections_of(again)], column(again, "id")) == ([2], ["x", "1.0", "1"])


def test_paths_of_other_systems_are_found(tmp_path: Path) -> None:
    """What is there as it is written stays so."""
    (tmp_path / "img").mkdir()
    for name in ("a b.jpg", "c.jpg", "d%20e.jpg"):
        (tmp_path / "img" / name).touch()
    table = table_of(tmp_path, "id,path,views\n1,img\\c.jpg,1\n2,img\\x.jpg,1\n")
    assert column(table, "path") == ["img/c.jpg", "img/x.jpg"]
    assert table.remarks == ("path: backslashes are read as slashes, as 'img\\\\c.jpg'",)
    table = table_of(tmp_path, "id,path,views\n1,img/a%20b.jpg,1\n2,img/c.jpg,1\n3,https://x.org/a%20b.jpg,1\n")
    assert column(table, "path")[:2] == ["img/a b.jpg", "img/c.jpg"]
    assert column(table_of(tmp_path, "id,path,views\n1,img/d%20e.jpg,1\n"), "path") == ["img/d%20e.jpg"]
    (tmp_path / "img\\c.jpg").touch()
    assert column(table_of(tmp_path, "id,path,views\n1,img\\c.jpg,1\n"), "path") == ["img\\c.jpg"]


def test_three_decimals_throughout_are_told(tmp_path: Path) -> None:
    """They may be thousands after all."""
    assert table_of(tmp_path, counts(*(f"{i}.000" for i in range(1, 13)))).remarks == ("views: points are decimal points: '1.000' is 1",)
    assert table_of(tmp_path, counts(*(f"{i}.0" for i in range(1, 13))), "plain.csv").remarks == ()


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        (["id", "path", "views", "user"], ["owner=user"]),
        (["id", "path", "views", "photographer_username", "date_posted"], ["owner=photographer_username", "uploaded_at=date_posted"]),
        (["id", "path", "views", "created_at"], ["uploaded_at=created_at"]),
        (["id", "path", "views", "owner", "uploaded_at", "user", "created"], []),
        (["id", "path", "views", "user_rating", "date_taken", "updated_at", "colour"], []),  # controls: of another kind
    ],
)
def test_what_may_be_the_owner_or_the_date_is_asked_about_and_not_taken(header: list[str], asked: list[str]) -> None:
    found = resolve("t.csv", header, {})
    assert [remark.partition("--column ")[2].rstrip("?") for remark in found.remarks if "is it --column" in remark] == asked
    assert {"user", "photographer_username", "date_posted", "created_at"} & {*found.fields.values()} == set()
    assert not [remark for remark in resolve("t.csv", header, {}, drop=("owner", "uploaded_at")).remarks if "is it" in remark]
