"""A table in a file, as a source: what format it has, how it is packed, encoded and parted, found by its name and its first bytes."""

import codecs
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path

from shards.errors import TableError
from shards.sources.delimited import DELIMITERS, Delimited, sniff
from shards.sources.json_rows import JsonRows
from shards.sources.parquet_rows import ParquetRows
from shards.sources.pictures import Folder
from shards.sources.source import BadRow, Pictures, Record
from shards.sources.table_bytes import PACKED, TableBytes

FORMATS = ("csv", "tsv", "jsonl", "json", "parquet")
_SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_SHEETS = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")
_OPEN = {"", ".txt", ".dat", ".data", ".text"}  # suffixes that say nothing
_USUAL = {"csv": ",", "tsv": "\t"}


class TableFile:
    """``path`` "-" is standard input, which is kept in a temporary file. ``pictures`` is the folder that paths start from, by default the table's, or
    where else pictures are. ``encoding`` is one that Python knows, by default UTF-8 or what the first bytes say; ``format`` one of `FORMATS`, by
    default the one that the suffix names."""

    selects = encoded = True

    def __init__(
        self, path: Path | str, pictures: Pictures | Path | str | None = None, *, encoding: str | None = None, format: str | None = None
    ) -> None:
        self.path = Path(path)
        self.data = TableBytes(self.path)
        self.name = self.data.name
        self.encoding, self.format = encoding, format
        if format is not None and format not in FORMATS:
            raise TableError(f"format: {format!r}; {', '.join(FORMATS)}")
        where = (Path() if self.data.is_stream else self.path.parent) if pictures is None else pictures
        self.pictures: Pictures = Folder(Path(where)) if isinstance(where, (str, Path)) else where
        self._remarks: list[str] = []

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was taken for granted of the file as a whole."""
        return tuple(self._remarks) if self._rows is not None else ()

    def header(self) -> list[str]:
        """The names of the columns. Raises TableError, as do the others."""
        return self._header

    def records(self, columns: Collection[str] | None = None) -> Iterator[Record | BadRow]:
        """All rows, of all columns or of those that are named, in memory that does not grow with them."""
        return self._rows.records(columns)

    def members(self) -> list[str]:
        """The members of objects in columns, as far as some rows tell, as ``stats.views``."""
        return self._rows.members()

    def sha256(self) -> str:
        return self.data.sha256()

    @cached_property
    def _header(self) -> list[str]:
        return self._rows.header()

    @cached_property
    def _rows(self) -> Delimited | JsonRows | ParquetRows:
        kind = self.format or self._found_format()
        if kind == "parquet":
            if self.data.packing:
                raise TableError(f"{self.name}: a Parquet file that is packed once more; the file itself", hint="unpack it")
            return ParquetRows(self.data)
        encoding, remark = self.data.encoding(self.encoding)
        if remark:
            self._remarks.append(f"{self.name}: {remark}")
        if kind in ("json", "jsonl"):
            rows = JsonRows(self.data, encoding)
            if rows.key:
                self._remarks.append(f"{self.name}: the rows are the objects in {rows.key!r}")
            return rows
        head = self.data.head
        text = codecs.getincrementaldecoder(encoding)("replace").decode(head)
        usual = _USUAL[kind]
        dialect = sniff(text, usual, complete=len(head) < 2**16)
        if dialect.delimiter != usual or (self.format is None and self._suffix in _OPEN):
            self._remarks.append(f"{self.name}: cells are parted by {DELIMITERS.get(dialect.delimiter, repr(dialect.delimiter))}")
        if not dialect.quote:
            self._remarks.append(f"{self.name}: quotes are letters of the cells, and part nothing")
        if dialect.escape:
            self._remarks.append(f"{self.name}: a backslash stands before a quote inside a cell")
        return Delimited(self.data, encoding, dialect)

    @property
    def _suffix(self) -> str:
        suffixes = [suffix.lower() for suffix in self.path.suffixes if str(self.path) != "-"]
        if suffixes and suffixes[-1] in PACKED:
            suffixes.pop()
        return suffixes[-1] if suffixes else ""

    def _found_format(self) -> str:
        suffix = self._suffix
        if suffix in _SHEETS:
            raise TableError(f"{self.name}: a spreadsheet; {', '.join(_SUFFIXES)}", hint="save the sheet as CSV (UTF-8) there")
        begin = self.data.head[:2000]
        if begin.startswith(b"PAR1"):
            return "parquet"
        if suffix in _SUFFIXES:
            return _SUFFIXES[suffix]
        if suffix not in _OPEN and not self.data.is_stream:
            known = ", ".join(_SUFFIXES)
            raise TableError(f"{self.name}: unknown format {suffix!r}; {known}", hint="name the format of another suffix, as in --format csv")
        start = begin.lstrip(b"\xef\xbb\xbf\xff\xfe\0 \t\r\n")[:1]
        return "jsonl" if start in (b"{", b"[") else "csv"
