"""One table in many forms: dialects, encodings, containers, counts, dates and words for nothing, each with what is hoped of it."""

import bz2
import csv
import gzip
import io
import json
import lzma
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

FIELDS = ("id", "path", "views", "favorites", "owner", "uploaded_at")
Row = dict[str, Any]


@dataclass(frozen=True)
class Form:
    name: str  # of the file
    what: str  # in words
    data: bytes
    truth: list[Row]
    how: dict[str, Any] = field(default_factory=dict)  # the arguments of `read_table`
    refused: tuple[str, ...] = ()  # words that the error has; (): the rows are hoped for
    said: tuple[str, ...] = ()  # words that the remarks have


def truth(rng: random.Random, num: int) -> list[Row]:
    """Rows as they are meant. Views have a heavy tail, some favourites, owners and dates are unknown."""
    rows = []
    for i in range(num):
        day = datetime(2014, 1, 1, tzinfo=UTC) + timedelta(seconds=rng.randrange(10**8))
        views = int(10 ** rng.uniform(0, 7.5)) if i else 1_234_567  # one of more than a million is there
        rows.append(
            {
                "id": f"{1000 + i}",
                "path": f"img/{i:03d}.jpg",
                "views": views,
                "favorites": None if rng.random() < 0.3 else views // 50,
                "owner": "" if rng.random() < 0.2 else rng.choice(["ann", "José", "Bjørn", "o'neil", "Smith, Jo"]),
                "uploaded_at": None if rng.random() < 0.2 else day,
            }
        )
    return rows


def _grouped(mark: str) -> Any:
    return lambda number: f"{number:,}".replace(",", mark)


COUNTS: dict[str, tuple[Any, tuple[str, ...], tuple[str, ...]]] = {  # how written, words where it is refused, words of the remark
    "plain": (str, (), ()),
    "with .0": (lambda number: f"{number}.0", (), ()),
    "with a plus": (lambda number: f"+{number}", (), ()),
    "with blanks": (lambda number: f" {number} ", (), ()),
    "commas": (_grouped(","), (), ("views: thousands are parted by commas",)),
    "commas and .00": (lambda number: f"{number:,}.00", (), ("views: thousands are parted by commas",)),
    "blanks": (_grouped(" "), (), ("views: thousands are parted by blanks",)),
    "narrow blanks": (_grouped("\u202f"), (), ("views: thousands are parted by blanks",)),
    "apostrophes": (_grouped("'"), (), ("views: thousands are parted by apostrophes",)),
    "underscores": (_grouped("_"), (), ("views: thousands are parted by underscores",)),
    "points": (_grouped("."), (), ("views: thousands are parted by points",)),
    "points and ,0": (lambda number: _grouped(".")(number) + ",0", (), ("views: thousands are parted by points",)),
    "a decimal comma": (lambda number: f"{number},0", (), ("views: a comma is the decimal point",)),
    "points, below a million": (lambda number: _grouped(".")(number % 10**6), ("views", "may be a number of thousands or a fraction"), ()),
    "rounded": (lambda number: str(number) if number < 1000 else f"{number / 1000:.1f}K", ("views", "rounded", "K'"), ()),
    "cut off": (lambda number: str(number) if number < 10_000 else "10,000+", ("views", "rounded", "'10,000+'"), ()),
    "two styles": (lambda number: _grouped("," if number % 2 else ".")(number), ("views", "two styles"), ()),
}


def _iso(day: datetime) -> str:
    return day.strftime("%Y-%m-%d %H:%M:%S")


DATES: dict[str, tuple[Any, tuple[str, ...], tuple[str, ...]]] = {
    "ISO": (lambda day: day.isoformat(), (), ()),
    "ISO with Z": (lambda day: day.strftime("%Y-%m-%dT%H:%M:%SZ"), (), ()),
    "ISO with a zone": (lambda day: day.astimezone(timezone(timedelta(hours=-7))).isoformat(), (), ()),
    "of a database": (_iso, (), ()),
    "of pandas": (lambda day: f"{_iso(day)}+00:00", (), ()),
    "UTC behind": (lambda day: f"{_iso(day)} UTC", (), ()),
    "of Go": (lambda day: f"{_iso(day)} +0000 UTC", (), ()),
    "seconds": (lambda day: str(int(day.timestamp())), (), ()),
    "seconds with a point": (lambda day: f"{int(day.timestamp())}.0", (), ()),
    "milliseconds": (lambda day: str(int(day.timestamp()) * 1000), (), ("uploaded_at: unix milliseconds",)),
    "microseconds": (lambda day: str(int(day.timestamp()) * 10**6), (), ("uploaded_at: unix microseconds",)),
    "of mail": (format_datetime, (), ()),
    "of Twitter": (lambda day: day.strftime("%a %b %d %H:%M:%S +0000 %Y"), (), ()),
    "of EXIF": (lambda day: day.strftime("%Y:%m:%d %H:%M:%S"), (), ()),
    "compact": (lambda day: day.strftime("%Y%m%d%H%M%S"), (), ()),
    "year, slashes": (lambda day: day.strftime("%Y/%m/%d %H:%M:%S"), (), ()),
    "of America": (lambda day: day.strftime("%m/%d/%Y %I:%M:%S %p"), (), ("uploaded_at: the month comes first",)),
    "of Europe": (lambda day: day.strftime("%d/%m/%Y %H:%M:%S"), (), ("uploaded_at: the day comes first",)),
    "of Germany": (lambda day: day.strftime("%d.%m.%Y %H:%M:%S"), (), ()),
    "in words": (lambda day: day.strftime("%B %d, %Y %H:%M:%S"), (), ()),
    "either way": (lambda day: day.replace(day=1 + day.day % 12).strftime("%d/%m/%Y"), ("uploaded_at", "none of", "its day or its month first"), ()),
    "days of a sheet": (lambda day: f"{41_640 + day.day}.5", ("uploaded_at", "none of", "is not a date"), ()),
    "years": (lambda day: str(day.year), ("uploaded_at", "a bare year"), ()),
}
NOTHING = ("", "NaN", "null", "None", "NA", "N/A", "-", "\\N", "<NA>", "  ")
HEADERS = {
    "as ours": (lambda name: name, {}),
    "with capitals": (str.title, {}),
    "in capitals": (str.upper, {}),
    "with blanks": (lambda name: f" {name.replace('_', ' ')} ", {}),
    "of others": (lambda name: f"num_{name}", {"columns": {name: f"num_{name}" for name in FIELDS}}),
    "unmapped": (lambda name: {"views": "view_count", "path": "file_name"}.get(name, name), {}),
    "none": (None, {}),
}
PACKINGS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
}
ENCODINGS = {
    "utf-8": {},
    "utf-8-sig": {},
    "utf-16": {},
    "cp1252": {},
    "cp1252, named": {"encoding": "cp1252"},
    "utf-16-le, named": {"encoding": "utf-16-le"},
}


def forms(num: int, seed: int = 14) -> list[Form]:
    """``num`` of them, each a draw of everything; every twentieth is as plain as a table can be."""
    return [_form(i, random.Random(f"{seed} {i}")) for i in range(num)]


def _form(number: int, rng: random.Random) -> Form:
    rows = truth(rng, rng.randrange(12, 40))
    container = rng.choice(["csv", "csv", "csv", "tsv", "csv;", "csv|", "txt;", "jsonl", "json", "parquet"])
    counts, dates, nothing = rng.choice(list(COUNTS)), rng.choice(list(DATES)), rng.choice(NOTHING)
    header = rng.choice(["as ours", "as ours", "as ours", *HEADERS]) if container != "json" else "as ours"
    easy = number % 20 == 0
    if easy:
        container, counts, dates, nothing, header = "csv", "plain", "ISO", "", "as ours"
    write_count, count_refused, count_said = COUNTS[counts]
    write_date, date_refused, date_said = DATES[dates]
    name_of, how = HEADERS[header]
    cells = [
        {
            "id": row["id"],
            "path": row["path"],
            "views": write_count(row["views"]),
            "favorites": nothing if row["favorites"] is None else str(row["favorites"]),
            "owner": row["owner"] or nothing,
            "uploaded_at": nothing if row["uploaded_at"] is None else write_date(row["uploaded_at"]),
            "description": "x" * 140_000 if i == 3 and rng.random() < 0.2 else rng.choice(["", "a; b, c|d", 'say "hi"\nthere', "ünï"]),
        }
        for i, row in enumerate(rows)
    ]
    names = {name: (name_of or str)(name) for name in (*FIELDS, "description")}
    refused, said = [*count_refused, *date_refused], [*count_said, *date_said]
    packing, encoding = "", "utf-8"
    if container == "parquet":
        sink = io.BytesIO()
        if header == "none":
            header, names = "as ours", {name: name for name in names}
        pq.write_table(pa.table({names[name]: [row[name] for row in cells] for name in names} | {"thumbnail": [b"\xff\xd8"] * len(cells)}), sink)
        name, data = "t.parquet", sink.getvalue()
    elif container in ("json", "jsonl"):
        if header == "none":
            header, names = "as ours", {name: name for name in names}
        objects = [{names[name]: row[name] for name in names} for row in cells]
        text = json.dumps(objects, indent=1) if container == "json" else "\n".join(json.dumps(row, ensure_ascii=False) for row in objects)
        packing = rng.choice(list(PACKINGS))
        name, data = f"t.{container}{packing}", PACKINGS[packing](text.encode())
    else:
        kind, mark = container[:3], {"tsv": "\t"}.get(container, container[3:] or ",")
        text = _delimited(cells, names if name_of else None, mark, rng)
        packing, encoding = rng.choice(["", "", *PACKINGS]), rng.choice(["utf-8", "utf-8", *ENCODINGS])
        packing, encoding = ("", "utf-8") if easy else (packing, encoding)
        if encoding.startswith("cp1252") and counts == "narrow blanks":
            encoding = "utf-8"
        name, data = f"t.{kind}{packing}", PACKINGS[packing](text.encode(encoding.partition(",")[0]))
        how = how | ENCODINGS[encoding]
        said += {";": ["parted by semicolons"], "|": ["parted by bars"]}.get(mark, [])
        if encoding == "cp1252" and any(not row["owner"].isascii() for row in rows):
            refused = ["not UTF-8", "--encoding cp1252", "iconv -f"]
    if header == "unmapped":
        refused = ["no column 'path'", "no column 'views'", "--column path=file_name", "--column views=view_count"]
    elif header == "none":
        refused = ["no column 'path'", "the first line looks like a row"]
    what = f"{number}: {name}, {encoding}, header {header}, counts {counts}, dates {dates}, nothing {nothing!r}"
    return Form(name, what, data, rows, how, tuple(refused), () if refused else tuple(said))


def _delimited(cells: list[dict[str, str]], names: dict[str, str] | None, mark: str, rng: random.Random) -> str:
    sink = io.StringIO()
    writer = csv.writer(
        sink, delimiter=mark, quoting=rng.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), lineterminator=rng.choice(["\n", "\r\n"])
    )  # fmt: skip
    tail = rng.choice([[], [], [""]])
    if names is not None:
        writer.writerow([*names.values(), *(tail if rng.random() < 0.5 else [])])
    for row in cells:
        writer.writerow([*row.values(), *tail])
    text = sink.getvalue()
    return f"sep={mark}\n{text}" if mark == ";" and rng.random() < 0.3 else text
