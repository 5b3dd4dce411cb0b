"""Parquet files that hold pictures, as data sets on Hugging Face are: a column of ``struct<bytes, path>``, or of the bytes alone.

A picture is named by its file and row, ``train-00000.parquet/17``; where a row has several, by the column too, ``train-00000.parquet/17/image``.
"""

import hashlib
import re
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shards.errors import PictureError, TableError
from shards.sources.cells import Bad
from shards.sources.held import judged, refuse_large, said
from shards.sources.parquet_rows import column_values
from shards.sources.source import Pictures, Record

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_ROWS_AT_ONCE = 1000  # of what is no picture
_PICTURES_AT_ONCE = 8
_BUFFER_BYTES = 2**20  # pages come one by one, or a column of a group of rows would be in memory whole
_SNIFFED = 100  # rows
_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
SUFFIXES = (".parquet", ".pq")
_ROW = re.compile(r"\.(?:parquet|pq)/([0-9]{1,15})(?:/(.+))?", re.IGNORECASE | re.DOTALL)


class Parquets:
    """The rows of some files in the order of their names (`shards.sources.source.Source`); ``path`` is the picture's, where each row has one and no
    column has that name. Columns of pictures hold such paths, and ``COLUMN.path`` what the writer called the file."""

    selects = True

    def __init__(self, folder: Path, files: Sequence[str], name: str, pictures: Pictures) -> None:
        """``files`` relative to ``folder``; ``pictures`` where a row names a file instead."""
        self.folder, self.files, self.name = folder, tuple(sorted(files)), name
        self.pictures: Pictures = ParquetPictures(folder, pictures)

    def header(self) -> Sequence[str]:
        names = dict.fromkeys(name for file in self.files for name in self._columns[file].names)
        if all(len(columns.pictures) == 1 for columns in self._columns.values()) and "path" not in names:
            names = dict.fromkeys(("path",)) | names
        return tuple(names)

    def records(self, columns: Collection[str] | None = None) -> Iterator[Record]:
        """All rows, of all columns or, besides those of pictures, of those that are named."""
        named = "path" in self.header() and all("path" not in of.names for of in self._columns.values())
        for file in self.files:
            found = self._columns[file]
            wanted = [name for name in found.wanted if columns is None or name in columns]
            for row, record in enumerate(_rows(self.folder / file, found, wanted)):
                places = {name: f"{file}/{row}" + (f"/{name}" if len(found.pictures) > 1 else "") for name in found.pictures}
                if named:
                    places["path"] = f"{file}/{row}"
                yield record | places

    def sha256(self) -> str:
        """Of every byte but those of the pictures, which would have to be read for it once more."""
        digests = [(file, _digest(self.folder / file, self._columns[file])) for file in self.files]
        return hashlib.sha256("".join(f"{digest} {file}\n" for file, digest in digests).encode(errors="surrogateescape")).hexdigest()

    @cached_property
    def _columns(self) -> dict[str, "Columns"]:
        return {file: columns_of(self.folder / file) for file in self.files}


@dataclass(frozen=True)
class Columns:
    names: tuple[str, ...]  # those of pictures too, and the paths in them
    wanted: tuple[str, ...]  # to be read for a row
    pictures: dict[str, str]  # column of pictures → the column of its bytes, in Parquet's own words


def columns_of(path: Path) -> Columns:
    """Raises TableError where it is no Parquet file."""
    import pyarrow as pa

    names, wanted, pictures = list[str](), list[str](), dict[str, str]()
    with _opened(path) as file:
        for field in file.schema_arrow:
            inner = (
                {field.type.field(i).name: field.type.field(i).type for i in range(field.type.num_fields)} if pa.types.is_struct(field.type) else {}
            )
            names.append(field.name)
            if "bytes" in inner and _is_binary(inner["bytes"]):
                pictures[field.name] = f"{field.name}.bytes"
                if "path" in inner:
                    names.append(f"{field.name}.path")
                    wanted.append(f"{field.name}.path")
            elif _is_binary(field.type) and _holds_pictures(file, field.name):
                pictures[field.name] = field.name
            else:
                wanted.append(field.name)
    return Columns(tuple(names), tuple(wanted), pictures)


def _is_binary(kind: "pa.DataType") -> bool:
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _holds_pictures(file: "pq.ParquetFile", column: str) -> bool:
    """By the first bytes of the first value."""
    for batch in file.iter_batches(batch_size=_SNIFFED, columns=[column]):
        found = batch.column(0).drop_null()
        if len(found):
            start: bytes = found[0].as_py()[:16]
            return start.startswith(_STARTS) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP") or start[4:8] == b"ftyp"
    return False


@contextmanager
def _opened(path: Path) -> Iterator["pq.ParquetFile"]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # the last one of names that are damaged
        raise TableError(f"{path.name}: {said(error)}; a whole Parquet file") from None


def _rows(path: Path, columns: Columns, wanted: list[str]) -> Iterator[Record]:
    with _opened(path) as file:
        if not wanted:
            yield from ({} for _ in range(file.metadata.num_rows))
            return
        for batch in file.iter_batches(batch_size=_ROWS_AT_ONCE, columns=wanted):
            yield from _plain(batch, columns)


def _plain(batch: "pa.RecordBatch", columns: Columns) -> Iterator[Record]:
    import pyarrow.compute as pc

    parts = {
        f"{name}.path" if name in columns.pictures else name: pc.struct_field(column, "path") if name in columns.pictures else column
        for name, column in zip(batch.schema.names, batch.columns, strict=True)
    }
    for row in zip(*map(column_values, parts.values()), strict=True):
        yield {name: _readable(value) for name, value in zip(parts, row, strict=True)}


def _readable(value: Any) -> Any:
    """Bytes as the text that they are, or as how many there are: a column that nobody maps may hold anything."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return f"{len(value):,} bytes"


def _digest(path: Path, columns: Columns) -> str:
    leaves = {*columns.pictures.values()}
    with _opened(path) as file:
        meta = file.metadata
        chunks = (meta.row_group(group).column(i) for group in range(meta.num_row_groups) for i in range(meta.num_columns))
        skipped = []
        for chunk in chunks:
            if chunk.path_in_schema in leaves:
                start = min(offset for offset in (chunk.data_page_offset, chunk.dictionary_page_offset) if offset)
                skipped.append((start, start + chunk.total_compressed_size))
    digest, at = hashlib.sha256(), 0
    with path.open("rb") as whole:
        for start, end in [*sorted(skipped), (path.stat().st_size, 0)]:
            whole.seek(at)
            left = start - at
            while left > 0 and (block := whole.read(min(left, 2**20))):
                digest.update(block)
                left -= len(block)
            at = max(at, end)
    return digest.hexdigest()


@dataclass(frozen=True)
class ParquetPictures:
    """Pictures by file and row (`shards.sources.source.Pictures`), and where a row has a path alone, ``others``."""

    folder: Path
    others: Pictures

    def check(self, given: str) -> str:
        match = _ROW.search(given)
        if match is None or match.end() < len(given):
            return self.others.check(given)
        if {"..", ""} & {*given.split("/")} or "\0" in given:
            raise Bad("path_outside", f"{given!r} leaves the folder of the tables; a path inside it")
        return given

    def read(self, path: str) -> bytes:
        for match in _ROW.finditer(path):
            file = self.folder / path[: match.start(1) - 1]
            if not file.is_dir():
                return self._of_row(file, int(match[1]), match[2])
        return self.others.read(path)

    def _of_row(self, file: Path, row: int, column: str | None) -> bytes:
        import pyarrow as pa

        try:
            with judged(file):
                value = _value_at(file, row, column)
        except (pa.ArrowException, TableError, UnicodeDecodeError) as error:
            raise PictureError("unreadable_file", f"{file.name}: {said(error)}; a whole Parquet file") from None
        if isinstance(value, bytes):
            refuse_large(len(value))
            return value
        if not value:
            raise PictureError("missing_file", "neither bytes nor a path in this row; a picture")
        if "://" in value:
            raise PictureError("not_a_file", f"{value[:100]!r} is an address; bytes, or the path of a file")
        try:
            return self.others.read(self.others.check(value))
        except Bad as bad:
            raise PictureError(bad.reason, bad.detail) from None


_RUN = threading.local()  # the last file and group of rows that was read from, open where it was left


def _value_at(file: Path, row: int, column: str | None) -> bytes | str | None:
    """The picture, or the path that stands for it; None for neither. Rows that follow one another are read in one run."""
    found = file.stat()
    key = (file, found.st_size, found.st_mtime_ns, column)
    run: _Run | None = getattr(_RUN, "run", None)
    if run is None or run.key != key or not run.at <= row < run.end:
        if run is not None:
            run.file.close()
        _RUN.run = None
        _RUN.run = run = _Run(key, row)
    try:
        return run.value(row)
    except BaseException:
        _RUN.run = None  # what has failed has ended; the next row begins anew
        raise


class _Run:
    def __init__(self, key: tuple[Path, int, int, str | None], row: int) -> None:
        import pyarrow.parquet as pq

        self.key = key
        path, _, _, column = key
        columns = columns_of(path).pictures
        self.column = column or next(iter(columns), "")
        if self.column not in columns:
            raise PictureError("missing_file", f"no pictures in a column {self.column!r}; one of {', '.join(columns)}")
        self.file = pq.ParquetFile(path, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        self.at = self.end = 0  # rows
        group, meta = -1, self.file.metadata
        while self.end <= row:
            group += 1
            if group == meta.num_row_groups:
                raise PictureError("missing_file", f"no such row; one of {meta.num_rows}")
            self.at, self.end = self.end, self.end + meta.row_group(group).num_rows
        self.batches = self.file.iter_batches(batch_size=_PICTURES_AT_ONCE, row_groups=[group], columns=[self.column])
        self.batch: Any = None

    def value(self, row: int) -> bytes | str | None:
        while self.batch is None or row >= self.at + len(self.batch):
            self.at += 0 if self.batch is None else len(self.batch)
            self.batch = None
            self.batch = next(self.batches, None)
            if self.batch is None:
                self.end = self.at
                raise PictureError("missing_file", "no such row; a whole Parquet file")
        cell = self.batch.column(0)[row - self.at]
        if hasattr(cell, "keys"):  # a struct; its path may be no text, which is no loss beside bytes
            found = (cell[name].as_py() for name in ("bytes", "path") if cell.is_valid and name in cell)
            return next((value for value in found if value), None)
        return cell.as_py() or None
