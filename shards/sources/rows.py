"""A table of pictures, read row by row: every row becomes a `PictureRow` or a `Rejection` that says why not; none is lost.

The table as a whole is refused (`TableError`) only for what no row can mend: columns, format, emptiness.
"""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from shards.sources.cells import Bad, as_count, as_name, as_text, as_time
from shards.sources.columns import Columns, resolve
from shards.sources.tables import BadRow, Record, read_records

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class PictureRow:
    """One picture as the table gives it."""

    row: int  # position in the table, from 0, header and blank lines not counted
    id: str
    path: str  # relative to the folder of the table, or to the pictures folder that was given; "/" between parts
    views: int
    favorites: int | None = None
    comments: int | None = None
    owner: str = ""  # "" is an unknown owner
    uploaded_at: datetime | None = None  # UTC, whole seconds
    observed_at: datetime | None = None  # UTC, whole seconds: when the counts were read
    taken_at: str = ""  # as given: cameras write anything
    tags: str = ""  # as given
    licence: str = ""
    page: str = ""
    extra: dict[str, Any] = field(default_factory=dict)  # columns kept on request: text, numbers, truth values, None


@dataclass(frozen=True, slots=True)
class Rejection:
    """One row left out."""

    row: int
    id: str  # "" where the row has none
    reason: str  # short snake_case
    detail: str


@dataclass(frozen=True)
class Table:
    rows: list[PictureRow]
    rejections: list[Rejection]  # len(rows) + len(rejections) == num_rows
    columns: dict[str, str]  # our field → the table's column
    kept_columns: tuple[str, ...]
    unmapped_columns: tuple[str, ...]  # in the table, and dropped
    num_rows: int
    sha256: str  # of the file


def read_table(path: Path, columns: Mapping[str, str] | None = None, keep: Sequence[str] = (), pictures: Path | None = None) -> Table:
    """Reads .csv, .tsv, .parquet, .jsonl or .ndjson.

    ``columns`` maps our field to the table's column; a field that it does not name takes the column of its own name, if there is one.
    ``keep`` names further columns to carry along. Paths of pictures are taken from ``pictures``, by default from the table's folder, and
    must stay inside it.

    Raises TableError, with every problem of the table at once.
    """
    path = Path(path)
    data, header, records = read_records(path)
    used = resolve(path, header, dict(columns or {}), tuple(keep))
    used.check_years(path, records)
    folder = os.path.abspath(pictures if pictures is not None else path.parent)
    rows: list[PictureRow] = []
    rejections: list[Rejection] = []
    seen: set[str] = set()
    for number, record in enumerate(records):
        read = _read_row(number, record, used, folder, seen)
        if isinstance(read, PictureRow):
            rows.append(read)
        else:
            rejections.append(read)
    return Table(rows, rejections, used.fields, used.keep, used.unmapped, len(records), hashlib.sha256(data).hexdigest())


def _read_row(number: int, record: Record | BadRow, used: Columns, folder: str, seen: set[str]) -> PictureRow | Rejection:
    if isinstance(record, BadRow):
        return Rejection(number, "", "bad_row", record.detail)
    problems: list[Bad] = []
    values: Record = {}

    def read(name: str, value: Any) -> Any:
        try:
            match name:
                case "views" | "favorites" | "comments":
                    return as_count(value)
                case "uploaded_at" | "observed_at":
                    return as_time(value)
                case "path":
                    return _inside(as_text(value), folder)
                case "id" | "owner":
                    return as_name(value)
                case _:
                    return as_text(value)
        except Bad as bad:
            problems.append(Bad(bad.reason, f"{name}: {bad.detail}"))
            return ""

    for name, column in used.fields.items():
        values[name] = read(name, record.get(column))
    identity = values["id"]
    if not identity.strip():
        if not any(bad.detail.startswith("id:") for bad in problems):
            problems.insert(0, Bad("empty_id", "id: empty; a name that no other row has"))
    elif identity in seen:
        problems.insert(0, Bad("duplicate_id", "id: an earlier row has it too; the first one counts"))
    else:
        seen.add(identity)
    for name in used.keep:
        value = record.get(name)
        plain = value is None or isinstance(value, (bool, int, float))
        values.setdefault("extra", {})[name] = value if plain else read(name, value)
    if problems:
        return Rejection(number, identity, problems[0].reason, "; ".join(bad.detail for bad in problems))
    return PictureRow(row=number, **values)


def _inside(given: str, folder: str) -> str:
    """The path relative to ``folder``. Judged by its text: a link inside the folder may lead anywhere, it is the owner's."""
    if not given.strip():
        raise Bad("empty_path", "empty; the path of a picture file")
    if _URL.match(given):
        raise Bad("not_a_file", f"{given!r} is an address; the path of a file (download pictures first)")
    if "\0" in given:
        raise Bad("not_a_file", f"{given!r} holds a zero byte; the path of a file")
    relative = os.path.relpath(os.path.join(folder, given), folder)
    if relative == os.pardir or relative.startswith(os.pardir + os.sep):
        raise Bad("path_outside", f"{given!r} leaves the folder of the pictures; a path inside it, or give the folder that holds them all")
    return PurePosixPath(*Path(relative).parts).as_posix()
