"""The bytes of a table, from the start as often as they are asked for: of a file or a pipe, unpacked where they are packed; and their text."""

import bz2
import codecs
import gzip
import hashlib
import io
import lzma
import os
import stat
import tempfile
import weakref
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import IO, Any

from shards.errors import TableError

BLOCK = 2**20
_PASSING = ("-", "/dev/", "/proc/")  # pipes of this process
MAX_LINE = 2**26  # characters of a line, or of an object: beyond it is no row
PACKED = {".gz": b"\x1f\x8b", ".bz2": b"BZh", ".xz": b"\xfd7zXZ\0", ".zst": b"\x28\xb5\x2f\xfd"}
_NO_FILES = ("idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape")  # of names of hosts, or of a program's own text
_STRANGE = {  # what a file may be that is no table: how it begins, what it is, what to do
    b"PK\x03\x04": ("a spreadsheet or a zip archive", "save the sheet as CSV (UTF-8), or unzip it"),
    b"\xd0\xcf\x11\xe0": ("a spreadsheet of Excel", "save the sheet as CSV (UTF-8)"),
    b"%PDF": ("a PDF", "the table as CSV"),
    b"SQLite format 3": ("a database of SQLite", 'sqlite3 -csv -header FILE "select * from TABLE" > table.csv'),
    b"ORC": ("an ORC file", "write it as Parquet"),
    b"Obj\x01": ("an Avro file", "write it as Parquet"),
    b"\x89HDF": ("an HDF5 file", "write it as Parquet"),
    b"\x93NUMPY": ("an array of numpy", "write a table"),
    b"ARROW1": ("an Arrow file", "write it as Parquet"),
    b"version https://git-lfs": ("a pointer of Git LFS, and not the file", "git lfs pull"),
    b"<!doctype html": ("a page of HTML", "download the table itself"),
    b"<html": ("a page of HTML", "download the table itself"),
    b"<?xml": ("XML", "the table as CSV"),
}
_MARKS = (  # of byte order; the longer first
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class TableBytes:
    """``path`` "-" is standard input. It and a pipe are kept in a temporary file without a name, for they are read more than once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = "stdin" if str(path) == "-" else path.name
        self._found: tuple[int, ...] | None = None

    @property
    def is_stream(self) -> bool:
        """Whether nothing lies beside it."""
        try:
            mode = 0 if str(self.path) == "-" else os.stat(self.path).st_mode
            return not mode or stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
        except OSError:
            return False

    @contextmanager
    def told(self) -> Iterator[None]:
        """What reading it can raise, as TableError."""
        try:
            yield
        except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise TableError(f"{self.name}: cut short or damaged ({error}); a whole file") from None
        except OSError as error:
            if error.strerror is None:  # what libraries say of damage
                raise TableError(f"{self.name}: {str(error).splitlines()[0]}; a whole file") from None
            raise TableError(f"{self.path}: cannot be read: {error.strerror}; a table of pictures") from None

    @contextmanager
    def raw(self) -> Iterator[IO[bytes]]:
        """The bytes as they lie there. Raises OSError; TableError where they are not those that were read before."""
        if self.is_stream:
            yield io.BufferedReader(_Kept(_spooled(str(self.path)) if str(self.path).startswith(_PASSING) else self._spooled))
            return
        with open(self.path, "rb") as file:
            found = os.fstat(file.fileno())
            now = (found.st_ino, found.st_size, found.st_mtime_ns)
            self._found = self._found or now
            if self._found != now:
                raise TableError(f"{self.path}: changed while it was read; a table that stays as it is", hint="run the same command again")
            yield file

    @contextmanager
    def plain(self) -> Iterator[IO[bytes]]:
        """The bytes, unpacked."""
        with self.raw() as file:
            stream: Any
            match self.packing:
                case ".gz":
                    stream = gzip.GzipFile(fileobj=file)
                case ".bz2":
                    stream = bz2.BZ2File(file)
                case ".xz":
                    stream = lzma.LZMAFile(file)  # noqa: SIM115 -- closed below
                case ".zst":
                    import pyarrow as pa

                    stream = io.BufferedReader(_Readable(pa.CompressedInputStream(file, "zstd")))
                case _:
                    yield file
                    return
            with stream:
                yield stream

    @contextmanager
    def text(self, encoding: str, newline: str | None) -> Iterator[io.TextIOWrapper]:
        """Bytes that are no UTF-8 become half characters, so that a column that nobody reads refuses nothing."""
        errors = "surrogateescape" if encoding in ("utf-8", "utf-8-sig") else "strict"
        try:
            with self.told(), self.plain() as plain, io.TextIOWrapper(plain, encoding, errors, newline) as text:
                yield text
        except UnicodeDecodeError as error:
            raise TableError(
                f"{self.name}: bytes that are not {encoding.upper()} ({error.reason}); text in one encoding",
                hint=f"name it, as in --encoding cp1252, or convert it: iconv -f CP1252 -t UTF-8 {self.name} > utf8.csv",
            ) from None

    @cached_property
    def packing(self) -> str:
        with self.raw() as file:
            begin = file.read(8)
        return next((name for name, mark in PACKED.items() if begin.startswith(mark)), "")

    @cached_property
    def head(self) -> bytes:
        """Its first 64 KiB, unpacked. Raises TableError where it is something else than a table."""
        with self.told(), self.plain() as file:
            head = file.read(2**16)
        for mark, (what, todo) in _STRANGE.items():
            if head[: len(mark)].lower() == mark.lower():
                raise TableError(f"{self.name}: {what}; CSV, TSV, Parquet or JSON lines", hint=todo)
        if head[257:262] == b"ustar":
            raise TableError(f"{self.name}: a tar archive; CSV, TSV, Parquet or JSON lines", hint="unpack it")
        return head

    def encoding(self, named: str | None) -> tuple[str, str]:
        """The encoding that was named, or that the first bytes tell, and what is said of it, "" of UTF-8. Raises TableError."""
        if named is not None:
            try:
                found = codecs.lookup(named)
                if not found._is_text_encoding or found.name in _NO_FILES:
                    raise LookupError
            except (LookupError, ValueError):
                raise TableError(f"encoding: {named!r} is unknown; a name as utf-8, utf-16, cp1252 or latin-1") from None
            return ("utf-8-sig" if found.name == "utf-8" else found.name), f"read as {found.name}, as asked for"
        for mark, name in _MARKS:
            if self.head.startswith(mark):
                return name, "" if name == "utf-8-sig" else f"read as {name.upper()}, as its first bytes say"
        begin = self.head[:2000]
        if len(begin) > 3 and 4 * begin.count(0) > len(begin):
            order = "le" if begin[1::2].count(0) > begin[::2].count(0) else "be"
            raise TableError(f"{self.name}: many zero bytes; text in UTF-8", hint=f"of UTF-16 without its mark: --encoding utf-16-{order}")
        return "utf-8", ""

    def sha256(self) -> str:
        """Of the bytes as they lie there."""
        digest = hashlib.sha256()
        with self.told(), self.raw() as file:
            while block := file.read(BLOCK):
                digest.update(block)
        return digest.hexdigest()

    @cached_property
    def _spooled(self) -> IO[bytes]:
        file = _spool(str(self.path))
        weakref.finalize(self, file.close)
        return file


@cache
def _spooled(path: str) -> IO[bytes]:
    """What came through a pipe of this process, which can be read once, and is asked for by all that read the table."""
    return _spool(path)


def _spool(path: str) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- it goes with whoever holds it
    with open(0, "rb", closefd=False) if path == "-" else open(path, "rb") as source:
        while block := source.read(BLOCK):
            file.write(block)
    file.flush()
    return file


class _Kept(io.RawIOBase):
    """A file that others read too, from its start."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: os.fstat(self._file.fileno()).st_size}[whence]
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = os.pread(self._file.fileno(), len(buffer), self._at)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Readable(io.RawIOBase):
    """A stream of pyarrow, for what wants one of Python's."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        import pyarrow as pa

        try:
            data = self._stream.read(len(buffer))
        except pa.ArrowException as error:
            raise OSError(str(error)) from None
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()
