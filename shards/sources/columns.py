"""Which column of the table is which of our fields."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards.errors import TableError
from shards.sources.cells import BAD_YEAR, is_bare_year, is_empty

REQUIRED = ("id", "path", "views")
FIELDS = (*REQUIRED, "favorites", "comments", "owner", "uploaded_at", "observed_at", "taken_at", "tags", "licence", "page")
TIMES = ("uploaded_at", "observed_at")
RESERVED = {*FIELDS, "key", "split"}  # names of our own in labels.parquet


@dataclass(frozen=True)
class Columns:
    fields: dict[str, str]  # our field → the table's column
    keep: tuple[str, ...]
    unmapped: tuple[str, ...]

    def check_years(self, path: Path, records: Sequence[Any]) -> None:
        """Raises TableError where a column mapped to a time holds years and nothing else: no row could pass."""
        problems = []
        for field in TIMES:
            if (column := self.fields.get(field)) is None:
                continue
            values = [record[column] for record in records if isinstance(record, dict) and not is_empty(record.get(column))]
            if values and all(is_bare_year(value) for value in values):
                problems.append(f"{path.name}: {field}: column {column!r} holds bare years ({values[0]}) and {BAD_YEAR}; ISO 8601 or unix seconds")
        if problems:
            raise TableError(*problems, hint="leave the column unmapped, or map it to taken_at")


def resolve(path: Path, header: Sequence[str], columns: dict[str, str], keep: tuple[str, ...]) -> Columns:
    """Raises TableError naming every field and column that does not fit."""
    problems: list[str] = []
    have = f"the table has {', '.join(header) or 'no columns'}"
    for name, times in Counter(header).items():
        if times > 1:
            problems.append(f"{path.name}: {times} columns are named {name!r}; one of a name")
    for field in columns:
        if field not in FIELDS:
            problems.append(f"columns: unknown field {field!r}; {', '.join(FIELDS)}")
    for column, times in Counter(columns.values()).items():
        if times > 1:
            both = " and ".join(field for field in columns if columns[field] == column)
            problems.append(f"columns: {column!r} is mapped twice, to {both}; one column a field")
    fields = {field: columns.get(field, field) for field in FIELDS}
    taken = set(columns.values())
    for field, column in list(fields.items()):
        if field in columns and column not in header:
            problems.append(f"{path.name}: {field}: no column {column!r}; {have}")
        elif column not in header or (field not in columns and column in taken):
            del fields[field]
            if field in REQUIRED:
                problems.append(f"{path.name}: {field}: no column {column!r} is left for it; {have}")
    for name in keep:
        if name not in header:
            problems.append(f"{path.name}: keep: no column {name!r}; {have}")
        if name in RESERVED:
            problems.append(f"keep: {name!r} is a name of our own; another name, or map the column to the field")
    if problems:
        raise TableError(*problems, hint="map a field to a column with FIELD=COLUMN")
    keep = tuple(dict.fromkeys(keep))
    used = {*fields.values(), *keep}
    return Columns(fields, keep, tuple(name for name in header if name not in used))
