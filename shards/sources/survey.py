"""What the columns of a source hold as a whole, found by one look through it: how many rows, and how each column writes what it has."""

import hashlib
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from shards.errors import TableError
from shards.sources.cells import Bad, CountStyle, as_text, as_whole, is_unknown
from shards.sources.columns import COUNTS, TIMES, Columns
from shards.sources.counts_seen import CountsSeen
from shards.sources.dates import BAD_YEAR, DateStyle
from shards.sources.paths import PathsSeen, PathStyle
from shards.sources.source import BadRow, Pictures, Record
from shards.sources.texts_seen import DatesSeen, NamesSeen


@dataclass(frozen=True)
class Styles:
    """How each column is read."""

    counts: Mapping[str, CountStyle]  # by field
    dates: Mapping[str, DateStyle]
    whole: frozenset[str]  # columns of names that are whole numbers written with a point
    path: PathStyle
    repeated: frozenset[int]  # digests of ids that more than one row may have


class Survey:
    """Sees row after row. Memory: eight bytes a row."""

    def __init__(self, used: Columns, encoded: bool = True) -> None:
        self.used, self.encoded = used, encoded
        self.num_rows = self.num_records = self.num_objects = 0
        fields = used.fields
        self.counts = {name: CountsSeen() for name in COUNTS if name in fields}
        self.dates = {name: DatesSeen() for name in TIMES if name in fields}
        names = {fields[name] for name in ("id", "owner") if name in fields} | {column for _, column in used.pattern}
        self.names = {column: NamesSeen() for column in names - {"", used.made}}
        self.paths = PathsSeen()
        self._ids = array("Q")
        self._bytes: dict[str, tuple[int, int]] = {}  # by column: the first row whose bytes are no text, and how many
        self._num_text: dict[str, int] = {}  # by column: rows that have other letters than ASCII's, as text
        self._nested = dict.fromkeys({*fields.values()} - used.header - {used.made}, 0)

    def see(self, record: Record | BadRow) -> None:
        row = self.num_rows
        self.num_rows += 1
        if isinstance(record, BadRow):
            return
        self.num_records += 1
        used, fields = self.used, self.used.fields
        for name, counts in self.counts.items():
            value = used.value(record, fields[name])
            if not is_unknown(value):
                counts.see(value)
        for name, dates in self.dates.items():
            dates.see(used.value(record, fields[name]))
        for column, names in self.names.items():
            names.see(used.value(record, column), cases=column == fields.get("owner"))
        self.num_objects += not used.pattern and isinstance(used.value(record, fields["path"]), (dict, list, bytes))
        self.paths.see(path_text(used, record))
        self._ids.append(digest_of(used, record))
        for column in fields.values():
            value = record.get(column)
            if self.encoded and isinstance(value, str) and not value.isascii():
                self._see_letters(row, column, value)
        for column in self._nested:
            self._nested[column] += used.value(record, column) is not None

    def _see_letters(self, row: int, column: str, value: str) -> None:
        if any("\udc80" <= letter <= "\udcff" for letter in value):  # a byte that is no UTF-8
            first, times = self._bytes.get(column, (row, 0))
            self._bytes[column] = (first, times + 1)
        else:
            self._num_text[column] = self._num_text.get(column, 0) + 1

    def problems(self, table: str) -> tuple[list[str], str]:
        """What refuses the table as a whole, and what to do about it."""
        if not self.num_rows:
            return [f"{table}: no rows; at least one picture"], ""
        found = [f"{table}: no row has {column!r}; a member of an object in the table" for column, times in self._nested.items() if not times]
        hint = "name it as in the table, with points between the parts"
        if self.num_objects and self.num_objects == self.num_records:
            column = self.used.fields["path"]
            found.append(f"{table}: path: column {column!r} holds objects; text, as --column path={column}.path for a member of them")
        for column, (row, times) in self._bytes.items():
            if times > self._num_text.get(column, 0):  # else it is UTF-8, and some rows are damaged
                rows = "1 row" if times == 1 else f"{times:,} rows"
                found.append(f"{table}: column {column!r}: bytes that are not UTF-8, in {rows}, the first row {row}; text in one encoding")
                hint = f"name it, as in --encoding cp1252, or convert it: iconv -f CP1252 -t UTF-8 {table} > utf8.csv"
        if found:
            return found, hint
        hints = []
        for name, counts in self.counts.items():
            if problem := counts.style()[1]:
                found.append(f"{table}: {name}: {problem}")
                hints.append("export whole numbers" + ("" if name == "views" else f", or leave the field unread: --drop {name}"))
        for name, dates in self.dates.items():
            style = dates.style()
            column = self.used.fields[name]
            if dates.num_values and dates.num_years == dates.num_values:
                found.append(f"{table}: {name}: column {column!r} holds bare years ({dates.year}) and {BAD_YEAR}; ISO 8601 or unix seconds")
                hints.append(f"leave the column unmapped, map it to taken_at, or --drop {name}")
            elif dates.is_blank(style) and 2 * dates.num_values > self.num_records:
                found.append(f"{table}: {name}: none of {dates.num_values:,} values can be read, the first for {dates.why(style)}")
                hints.append(f"mend the column, or leave it unread, and the time unknown: --drop {name}")
        for column, names in self.names.items():
            if problem := names.problem():
                found.append(f"{table}: column {column!r}: {problem}")
                hints.append("write the column as text where it comes from: digits that are gone are not known any more")
        return found, "; ".join(dict.fromkeys(hints))

    def styles(self, pictures: Pictures) -> Styles:
        ids = np.frombuffer(self._ids, np.uint64)
        ids.sort()  # in place
        return Styles(
            {name: counts.style()[0] for name, counts in self.counts.items()},
            {name: dates.style() for name, dates in self.dates.items()},
            frozenset(column for column, names in self.names.items() if names.whole),
            self.paths.style(pictures),
            frozenset(ids[1:][ids[1:] == ids[:-1]].tolist()),
        )

    def remarks(self, styles: Styles) -> list[str]:
        """What was taken for granted."""
        found = [counts.remark(name, styles.counts[name]) for name, counts in self.counts.items()]
        found += [dates.remark(name, styles.dates[name]) for name, dates in self.dates.items()]
        fields = self.used.fields
        for column, names in self.names.items():
            of = next((name for name in ("id", "owner") if fields.get(name) == column), column)
            found += names.remarks(of, owner=of == "owner")
        found += self.paths.remarks(styles.path)
        return [remark for remark in found if remark]


def survey(table: str, used: Columns, records: Any, encoded: bool = True) -> Survey:
    """``encoded``: whether bytes that are not UTF-8 may be text in another encoding. Raises TableError, with every problem of the columns at once."""
    seen = Survey(used, encoded)
    for record in records:
        seen.see(record)
    problems, hint = seen.problems(table)
    if problems:
        raise TableError(*problems, hint=hint)
    return seen


def digest_of(used: Columns, record: Record) -> int:
    """64 bits of a row's id, the same for all that may be one id, however its column is read."""
    if used.fields["id"] == used.made:
        identity = path_text(used, record, frozenset(column for _, column in used.pattern))
    else:
        identity = as_whole(_text(used.value(record, used.fields["id"])).strip())
    return int.from_bytes(hashlib.blake2b(identity.encode(errors="surrogatepass"), digest_size=8).digest(), "little")


def path_text(used: Columns, record: Record, whole: frozenset[str] = frozenset()) -> str:
    """The path as the table has it, or as the pattern makes it; "" where a part of that is not there. ``whole`` are the columns of whole numbers that
    a program has written with a point."""
    if not used.pattern:
        return _text(used.value(record, used.fields["path"]))
    parts = []
    for literal, column in used.pattern:
        parts.append(literal)
        if column:
            text = _text(used.value(record, column)).strip()
            if not text:
                return ""
            parts.append(as_whole(text) if column in whole else text)
    return "".join(parts)


def _text(value: Any) -> str:
    try:
        return value if isinstance(value, str) else as_text(value)
    except Bad:
        return ""
