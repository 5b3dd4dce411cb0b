"""A table of pictures, read row by row: every row becomes a `PictureRow` or a `Rejection` that says why not; none is lost.

The table as a whole is refused (`TableError`) only for what no row can mend: columns, format, emptiness.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from shards.errors import TableError
from shards.sources.cells import MAX_PATH, Bad, as_count, as_name, as_text, is_nothing, is_unknown
from shards.sources.columns import COUNTS, TIMES, Columns, resolve
from shards.sources.dates import as_time
from shards.sources.json_rows import members_of
from shards.sources.source import BadRow, Pictures, Record, Source
from shards.sources.survey import Styles, digest_of, path_text, survey
from shards.sources.tables import TableFile

NEEDED = ("id", "path", "views", "owner")  # what a row cannot do without; of an owner, that it is unknown or can be read
_TEXTS = (*NEEDED, "taken_at", "tags", "licence", "page")
_NUM_SAMPLED = 100  # rows in which members of objects are looked for


@dataclass(frozen=True, slots=True)
class PictureRow:
    """One picture as the table gives it."""

    row: int  # position in the table, from 0, header and blank lines not counted
    id: str
    path: str  # relative to the folder of the table, or to the pictures folder that was given; "/" between parts
    views: int | None = None  # None throughout where a set is packed without counts
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
    unread: tuple[tuple[str, str], ...] = ()  # (name, ``name: <found>; <accepted>``) of optional values that cannot be read, and are unknown


@dataclass(frozen=True, slots=True)
class Rejection:
    """One row left out."""

    row: int
    id: str  # "" where the row has none
    reason: str  # short snake_case
    detail: str


@dataclass(frozen=True)
class Table:
    """What a source holds, after one look through it; its rows stay where they are."""

    source: Source
    columns: dict[str, str]  # our field → the table's column; of a path that is made of columns, the pattern
    kept_columns: tuple[str, ...]
    unmapped_columns: tuple[str, ...]  # in the table, and dropped
    num_rows: int
    sha256: str  # of the file
    remarks: tuple[str, ...]  # what was taken for granted while reading, for the user: a delimiter, a column's name in other case
    used: Columns
    styles: Styles

    @property
    def pictures(self) -> Pictures:
        return self.source.pictures

    def read(self) -> Iterator[PictureRow | Rejection]:
        """All rows, in their order, each time from the start; ``num_rows`` of them."""
        reader = _Reader(self.used, self.styles, self.source.pictures)
        for number, record in enumerate(_records(self.source, self.used)):
            yield reader.read(number, record)


def read_source(
    source: Source,
    columns: Mapping[str, str] | None = None,
    keep: Sequence[str] = (),
    drop: Sequence[str] = (),
    path_pattern: str | None = None,
    encoding: str | None = None,
    format: str | None = None,
) -> Table:
    """Looks through a source once, and says how its rows are read. What it keeps in memory is eight bytes a row.

    ``columns`` maps our field to the table's column; a field that it does not name takes the column of its own name, if there is one, and a picture
    without an id has its path for one. ``keep`` names further columns to carry along, ``drop`` fields that are not read. ``path_pattern`` makes the
    path of other columns, as ``img/{id}.jpg``. ``encoding`` and ``format`` are those of a table's file (`shards.sources.tables.TableFile`).

    Raises TableError, with every problem of the table at once.
    """
    if encoding is not None or format is not None:
        if not isinstance(source, TableFile):
            raise TableError(f"{source.name}: no file of a table, to have an encoding or a format named; one")
        source = TableFile(source.path, source.pictures, encoding=encoding, format=format)
    header = list(source.header())
    if not header:
        first = next(source.records(), None)
        raise TableError(f"{source.name}: {first.detail if isinstance(first, BadRow) else 'no rows; at least one picture'}")
    inner = source.members() if isinstance(source, TableFile) else members_of(islice(source.records(), _NUM_SAMPLED))
    used = resolve(source.name, header, columns or {}, keep, drop, path_pattern, inner)
    seen = survey(source.name, used, _records(source, used), encoded=getattr(source, "encoded", False))
    styles = seen.styles(source.pictures)
    remarks = (*getattr(source, "remarks", ()), *used.remarks, *seen.remarks(styles))
    return Table(source, used.fields, used.keep, used.unmapped, seen.num_rows, source.sha256(), remarks, used, styles)


def read_table(
    path: Path | str,
    columns: Mapping[str, str] | None = None,
    keep: Sequence[str] = (),
    pictures: Path | None = None,
    *,
    drop: Sequence[str] = (),
    path_pattern: str | None = None,
    encoding: str | None = None,
    format: str | None = None,
) -> Table:
    """`read_source` of a file (`shards.sources.tables.TableFile`). Paths of pictures are taken from ``pictures``, by default from the table's folder,
    and must stay inside it."""
    return read_source(TableFile(path, pictures), columns, keep, drop, path_pattern, encoding, format)


def _records(source: Source, used: Columns) -> Iterator[Record | BadRow]:
    return source.records(used.used) if getattr(source, "selects", False) else source.records()  # type: ignore[call-arg]


class _Reader:
    """Reads rows one after another; an id counts in the first row that has it."""

    def __init__(self, used: Columns, styles: Styles, pictures: Pictures) -> None:
        self.used, self.styles, self.pictures = used, styles, pictures
        self.seen: set[str] = set()

    def read(self, number: int, record: Record | BadRow) -> PictureRow | Rejection:
        if isinstance(record, BadRow):
            return Rejection(number, record.id, record.reason, record.detail)
        used = self.used
        problems: list[Bad] = []
        unread: list[tuple[str, str]] = []
        values: dict[str, Any] = {}
        for name, column in used.fields.items():
            try:
                values[name] = self._value(name, column, record)
            except Bad as bad:
                values[name] = "" if name in _TEXTS else None
                if name in NEEDED:
                    problems.append(Bad(bad.reason, f"{name}: {bad.detail}"))
                else:
                    unread.append((name, f"{name}: {bad.detail}"))
        identity = values["id"]
        if not identity:
            if not any(bad.detail.startswith("id:") for bad in problems):
                problems.insert(0, Bad("empty_id", "id: empty; a name that no other row has"))
        elif digest_of(used, record) in self.styles.repeated:
            if identity in self.seen:
                problems.insert(0, Bad("duplicate_id", "id: an earlier row has it too; the first one counts"))
            self.seen.add(identity)
        extra: dict[str, Any] = {}
        for name in used.keep:
            value = record.get(name)
            try:
                extra[name] = value if value is None or isinstance(value, (bool, int, float)) else as_text(value)
            except Bad as bad:
                extra[name] = None
                unread.append((name, f"{name}: {bad.detail}"))
        if problems:
            return Rejection(number, identity, problems[0].reason, "; ".join([*(bad.detail for bad in problems), *(detail for _, detail in unread)]))
        return PictureRow(row=number, **values, extra=extra, unread=tuple(unread))

    def _value(self, name: str, column: str, record: Record) -> Any:
        """Raises Bad."""
        used, styles = self.used, self.styles
        if name == "path" or column == used.made:
            text = path_text(used, record, styles.whole)
            if name == "id":
                return as_name(text)
            if is_nothing(text):
                return self.pictures.check("")
            as_text(text)
            if len(text) > MAX_PATH:
                raise Bad("bad_text", f"{len(text)} characters; at most {MAX_PATH}")
            return self.pictures.check(styles.path.plain(text.strip()))
        value = used.value(record, column)
        if name in COUNTS:
            return None if name != "views" and is_unknown(value) else as_count(value, styles.counts[name])
        if name in TIMES:
            return None if is_unknown(value) else as_time(value, styles.dates[name])
        if name == "id":
            return "" if is_nothing(value) else as_name(value, column in styles.whole)
        if name == "owner":
            return "" if is_unknown(value) else as_name(value, column in styles.whole)
        return as_text(value)
