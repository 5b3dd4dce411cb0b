"""A table's file: how it is packed, encoded and parted, where it comes from, and that it is read in a memory that does not grow with it."""

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shards.errors import TableError
from shards.sources.rows import Table, read_table
from tests.helpers.read_rows import rejections_of, rows_of
from tests.helpers.studies import sampled

TEXT = "id,path,views,owner\na,a.jpg,5,José\nb,b.jpg,6,ann\n"
ROWS = [("a", "a.jpg", 5, "José"), ("b", "b.jpg", 6, "ann")]


def table_of(folder: Path, data: str | bytes, name: str = "t.csv", **how: Any) -> Table:
    (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
    return read_table(folder / name, **how)


def plain(table: Table) -> list[tuple[str, str, int | None, str]]:
    return [(row.id, row.path, row.views, row.owner) for row in rows_of(table)]


def refusal(folder: Path, data: str | bytes, name: str = "t.csv", **how: Any) -> str:
    with pytest.raises(TableError) as caught:
        table_of(folder, data, name, **how)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t.csv", TEXT.replace(",", ";"), "t.csv: cells are parted by semicolons"),
        ("t.csv", TEXT.replace(",", "\t"), "t.csv: cells are parted by tabs"),
        ("t.tsv", TEXT.replace(",", "|"), "t.tsv: cells are parted by bars"),
        ("t.tsv", TEXT, "t.tsv: cells are parted by commas"),
        ("t.txt", TEXT.replace(",", "\t"), "t.txt: cells are parted by tabs"),
        ("t.csv", f"sep=;\n{TEXT.replace(',', ';')}", "t.csv: cells are parted by semicolons"),
        ("t.csv", TEXT.replace("\n", "\r"), ""),
        ("t.csv", TEXT.replace("\n", "\r\n"), ""),
        ("t.csv", TEXT.replace("\n", ",\n"), ""),  # a delimiter at the end of each line
        ("t.csv", TEXT.replace("ann\n", "ann,\n").replace("José\n", "José,,\n"), ""),
        ("t.csv", TEXT.replace("owner\n", "owner,,\n"), ""),
        (
            "t.tsv",
            TEXT.replace(",", "\t").replace("\n", "\tt\n", 1).replace("José", 'José\t"Hi" x').replace("ann", 'ann\t5" y'),
            "quotes are letters",
        ),
        ("t.csv", "'id','path','views','owner'\n'a','a.jpg','5','José'\n'b','b.jpg','6','ann'\n", ""),
        ("t.csv", TEXT.replace("id", "#id", 1), "id: taken from the column '#id'"),
        ("t.csv", TEXT.replace("a,a.jpg,5", '"a", "a.jpg", "5"'), ""),
        (
            "t.csv",
            TEXT.replace("\n", ",title\n", 1).replace("José", r'José,"a \"b\", c"').replace("ann", "ann,x"),
            "a backslash stands before a quote",
        ),
    ],
)
def test_dialects_are_found_and_said(tmp_path: Path, name: str, text: str, said: str) -> None:
    table = table_of(tmp_path, text, name)
    assert plain(table) == ROWS
    assert not said or any(said in remark for remark in table.remarks)
    assert said or table.remarks == ()


def test_a_comma_in_a_cell_parts_nothing(tmp_path: Path) -> None:
    """The delimiter of the suffix holds where the rows agree with it."""
    table = table_of(tmp_path, 'id,path,views,title\na,a.jpg,5,"x;y;z;w"\nb,b.jpg,6,"p|q\tr"\n')
    assert [row.views for row in rows_of(table)] == [5, 6]
    assert table.remarks == ()


def test_a_quote_that_never_closes_is_told_by_the_line_where_it_opened(tmp_path: Path) -> None:
    lines = [f'{i},{i}.jpg,5,"t{i}"' for i in range(2000)]
    lines[700] = '700,700.jpg,5,"open'
    text = "id,path,views,title\n" + "\n".join(lines)
    assert "t.csv: line 703: ',' expected after '\"', in a row that begins in line 702, where a quote may be open" in refusal(tmp_path, text)
    lines[700:] = ['700,700.jpg,5,"open', *(f"{i},{i}.jpg,5,t" for i in range(701, 2000))]
    said = refusal(tmp_path, "id,path,views,title\n" + "\n".join(lines))
    assert "line 702: a quote opens in the row that begins here and never closes" in said
    assert "hint: a quote inside a quoted cell is written twice" in said


@pytest.mark.parametrize(
    ("data", "how", "said"),
    [
        (TEXT.encode("utf-8-sig"), {}, ""),
        (TEXT.encode("utf-16"), {}, "read as UTF-16, as its first bytes say"),
        (TEXT.encode("utf-16-be"), {"encoding": "utf-16-be"}, "read as utf-16-be"),
        (TEXT.encode("utf-32"), {}, "read as UTF-32"),
        (TEXT.encode("cp1252"), {"encoding": "CP1252"}, "read as cp1252, as asked for"),
        (TEXT.encode("latin-1"), {"encoding": "latin-1"}, "read as iso8859-1"),
    ],
)
def test_encodings(tmp_path: Path, data: bytes, how: dict[str, str], said: str) -> None:
    table = table_of(tmp_path, data, **how)
    assert plain(table) == ROWS
    assert any(said in remark for remark in table.remarks) == bool(said)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    said = refusal(tmp_path, TEXT.encode("cp1252"))
    assert said.startswith(
        "t.csv: column 'owner': bytes that are not UTF-8, in 1 row, the first row 0; text in one encoding\nhint: name it, as in --encoding"
    )
    assert "--encoding utf-16-le" in refusal(tmp_path, TEXT.encode("utf-16-le"), "u.csv")
    for name in ("klingon", "undefined", "idna", "punycode", "unicode_escape"):
        assert f"encoding: '{name}' is unknown" in refusal(tmp_path, TEXT, "v.csv", encoding=name)
    assert "w.csv: bytes that are not UTF-16 (truncated data)" in refusal(tmp_path, TEXT.encode("utf-16")[:-1], "w.csv")
    damaged = (TEXT + "c,c.jpg,7,Bjørn\n").encode() + b"d,d.jpg,8,\xff\n"  # UTF-8 with a damaged row
    table = table_of(tmp_path, damaged, "x.csv")
    assert len(rows_of(table)) == 3
    assert [(r.row, r.reason) for r in rejections_of(table)] == [(3, "bad_text")]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, lambda data: pa.Codec("zstd").compress(data, asbytes=True)])
def test_packed_tables(tmp_path: Path, pack: Any) -> None:
    data = pack(TEXT.encode() + b"".join(b"r%d,r.jpg,1,o\n" % i for i in range(5000)))
    for name in ("t.csv.gz", "t.csv"):
        assert plain(table_of(tmp_path, data, name))[:2] == ROWS
    assert refusal(tmp_path, data[: len(data) // 2], "cut.csv.gz").startswith("cut.csv.gz: ")


A, B = (json.dumps(dict(zip(("id", "path", "views", "owner"), row, strict=True)), ensure_ascii=False) for row in ROWS)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"[{A},\n {B} ]\n", "t.json"),
        (f'{{"total": 2, "photos": [{A}, {B}]}}', "t.json"),
        (f"{A}\n{B}", "t.json"),
        (f"{A}\n{B}", "t.txt"),
        (f"\n[{A},{B}]", "t.jsonl"),
        (f"{A},\n{B},\n", "t.jsonl"),
    ],
)
def test_json_of_any_layout(tmp_path: Path, text: str, name: str) -> None:
    assert plain(table_of(tmp_path, text, name)) == ROWS


def test_json_that_is_no_table(tmp_path: Path) -> None:
    assert 'to_json(orient="records")' in refusal(tmp_path, '{"id": {"0": 1}, "path": {"0": "a"}, "views": {"0": 5}}', "t.json")
    assert "element 1: no whole JSON" in refusal(tmp_path, '[{"id": 1, "path": "a", "views": 5}, {"id":', "u.json")
    assert "more after the end of the array" in refusal(tmp_path, '[{"id": 1, "path": "a", "views": 5}] x', "v.json")
    assert refusal(tmp_path, "5", "x.json") == "x.json: line 1: not a JSON object; one object a line"
    table = table_of(tmp_path, '[{"id": 1, "path": "a", "views": 5}, 7, [], {"id": 2, "path": "b", "views": 123456789012}]', "w.json")
    assert [(r.row, r.reason) for r in rejections_of(table)] == [(1, "bad_row"), (2, "bad_row")]
    assert [row.views for row in rows_of(table)] == [5, 123456789012]


def test_an_array_is_read_in_parts(tmp_path: Path) -> None:
    objects = [{"id": str(i), "path": f"{i}.jpg", "views": i, "text": "x" * (i % 700)} for i in range(3000)]
    objects[1500]["text"] = "[{" * 300_000  # longer than what is read at once
    table = table_of(tmp_path, json.dumps(objects), "t.json")
    assert [row.views for row in rows_of(table)] == list(range(3000))


def test_standard_input_and_pipes(tmp_path: Path) -> None:
    """They are kept in a temporary file, for a table is read more than once."""
    code = "from shards.sources.rows import *; t = read_table('-'); print(t.source.name, [r.path for r in t.read()], [r.views for r in t.read()])"
    run = subprocess.run([sys.executable, "-c", code], input=gzip.compress(TEXT.replace(",", ";").encode()), capture_output=True, check=False)
    assert (run.stdout.decode().strip(), run.stderr) == ("stdin ['a.jpg', 'b.jpg'] [5, 6]", b"")
    os.mkfifo(tmp_path / "p")
    for data in (TEXT.encode(), _parquet()):
        writer = threading.Thread(target=(tmp_path / "p").write_bytes, args=(data,))
        writer.start()
        table = read_table(tmp_path / "p")
        assert (plain(table), plain(table)) == (ROWS, ROWS)
        writer.join()


def _parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(dict(zip(("id", "path", "views", "owner"), map(list, zip(*ROWS, strict=True)), strict=True))), sink)
    return sink.getvalue()


def test_what_a_file_is_counts_more_than_its_name(tmp_path: Path) -> None:
    assert plain(table_of(tmp_path, _parquet(), "t.csv")) == ROWS
    assert plain(table_of(tmp_path, TEXT, "t.dump", format="csv")) == ROWS
    assert "unknown format '.dump'" in refusal(tmp_path, TEXT, "u.dump")
    assert "format: 'xml'" in refusal(tmp_path, TEXT, "v.csv", format="xml")


def test_a_table_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    table = table_of(tmp_path, TEXT)
    assert len(rows_of(table)) == 2
    (tmp_path / "t.csv").write_text(TEXT + "c,c,1,\n")
    with pytest.raises(TableError, match=r"t.csv: changed while it was read; a table that stays as it is"):
        rows_of(table)


_MEASURE = """
import csv, sys
from pathlib import Path
import numpy, pyarrow.parquet
from shards.sources.rows import read_table
def peak():  # KiB; of this program alone, as getrusage is not
    return next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
before = peak()
num = len(list(csv.DictReader(open(sys.argv[1])))) if sys.argv[2] == "whole" else sum(1 for _ in read_table(sys.argv[1]).read())
print(num, peak() - before)
"""


def _mib(path: Path, how: str) -> tuple[int, float]:
    """How many rows it has, and what reading it takes."""
    run = subprocess.run([sys.executable, "-c", _MEASURE, str(path), how], capture_output=True, text=True, check=True)
    num, kib = map(int, run.stdout.split())
    return num, kib / 1024


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl", "parquet"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, kind: str) -> None:
    """Few rows are long ones, so that all of them at once, the control, are too much."""
    num, path = sampled(1_000_000, 6_000), tmp_path / f"t.{kind}"
    rows = ({"id": str(i), "path": f"img/{i}.jpg", "views": i, "owner": f"o{i % 5000}"} for i in range(num))
    text = "x" * (10_000 if num == 6_000 else 100)
    if kind == "parquet":
        table = pa.Table.from_pylist(list(rows)).append_column("jpeg", pa.repeat(pa.scalar(text.encode()), num))
        pq.write_table(table, path, row_group_size=num // 10)
        del table
    else:
        with path.open("w") as file:
            file.write({"csv": "id,path,views,owner,text\n", "json": "[", "jsonl": ""}[kind])
            for i, row in enumerate(rows):
                comma = "," if kind == "json" and i else ""
                file.write(f"{','.join(map(str, row.values()))},{text}\n" if kind == "csv" else f"{comma}{json.dumps(row | {'text': text})}\n")
            file.write("]" if kind == "json" else "")
    read, mib = _mib(path, "rows")
    most = (20 if kind != "parquet" else 50) + 20 * num / 10**6
    print(f"{kind}: {num:,} rows of {path.stat().st_size / 2**20:.0f} MiB in {mib:.0f} MiB")
    assert (read, mib < most) == (num, True), mib
    if kind == "csv" and num == 6_000:  # of a million rows it would take a gigabyte
        assert _mib(path, "whole")[1] > most
