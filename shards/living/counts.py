"""A source of counts: its rows have ids and numbers, and need no pictures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from posixpath import normpath

from shards.errors import PictureError, TableError
from shards.sources.columns import FIELDS
from shards.sources.rows import Table, read_source
from shards.sources.source import BadRow, Pictures, Record, Source

_NONE = "none"
COUNTS = ("views", "favorites", "comments", "observed_at")


def read_counts(source: Source, columns: Mapping[str, str] | None = None) -> Table:
    """The table of ids and counts that a source holds; what else is in it is not looked at. Raises TableError."""
    given = dict(columns or {})
    own = getattr(source, "suggested", {}).items()  # what the source itself calls our fields
    wanted = ("id", "path", *COUNTS)
    given = {field: name for field, name in own if field in wanted and field not in given and name not in given.values()} | given
    counted = _Counted(source)
    table = read_source(counted, given, drop=[name for name in FIELDS if name not in (*wanted, *given)])
    if table.columns["id"] == table.columns["path"] and not counted.has_paths:
        header = ", ".join(source.header())
        raise TableError(f"{source.name}: id: no column for it; the table has {header}", hint="--column id=COLUMN names the column of the ids")
    return table


@dataclass(frozen=True)
class _NoPictures:
    def check(self, given: str) -> str:
        return normpath(given) if given.strip() else _NONE  # an id where the set was packed without any

    def read(self, path: str) -> bytes:
        raise PictureError("not_a_file", f"{path}: of a table of counts; a picture")


class _Counted:
    """`shards.sources.source.Source`, with a path for every row."""

    def __init__(self, inner: Source) -> None:
        self._inner = inner
        self.name = inner.name
        self.pictures: Pictures = _NoPictures()

    @property
    def remarks(self) -> tuple[str, ...]:
        return tuple(getattr(self._inner, "remarks", ()))

    @property
    def has_paths(self) -> bool:
        return any(name.strip().lower() == "path" for name in self._inner.header())

    def header(self) -> Sequence[str]:
        names = self._inner.header()
        return names if self.has_paths else [*names, "path"]

    def records(self) -> Iterator[Record | BadRow]:
        if self.has_paths:
            yield from self._inner.records()
            return
        for record in self._inner.records():
            yield record if isinstance(record, BadRow) else {**record, "path": _NONE}

    def sha256(self) -> str:
        return self._inner.sha256()
