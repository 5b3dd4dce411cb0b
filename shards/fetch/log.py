"""What was fetched for a chunk: a record a row, in the order in which they came, on the disk before they count.

A record is ``P1``, the length of its head and the CRC-32 of that, the head (JSON), and the bytes of the picture, whose sha256 the head holds. Killed
in the middle of one, the next run cuts it off.
"""

import hashlib
import json
import os
import struct
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

from shards.errors import DamagedShardError, PictureError
from shards.files import not_as_packed, open_plain, sync_folder, told

SYNC_SECONDS, SYNC_BYTES = 0.5, 16 * 2**20  # at most so much is fetched again after a power cut; after a kill only what was in the air
_FRAME = struct.Struct(">2sII")
_MARK = b"P1"
_LONGEST_HEAD = 2**20
_BLOCK = 2**20


@dataclass(frozen=True, slots=True)
class _Record:
    head: dict[str, Any]
    start: int  # of its bytes in the file
    end: int


class Log:
    """The log of a chunk, being written. One thread at a time.

    All raise NoRoomError and FileError.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.held: dict[int, str] = {}
        """The address of each row that is there."""
        self._stack = ExitStack()
        self._unsynced, self._synced_at = 0, time.monotonic()

    def open(self) -> "Log":
        """Reads what lies there already, and cuts off what was cut short."""
        with told(self.path, "what was fetched"):
            is_new = not os.path.lexists(self.path)
            self._file = self._stack.enter_context(open_plain(self.path, os.O_RDWR | os.O_CREAT, 0o644))
            if is_new:
                sync_folder(self.path.parent)
            end = 0
            for record in _records(self._file):
                if not _is_whole(self._file, record):
                    break
                self.held[record.head["row"]], end = record.head["address"], record.end
            self._file.truncate(end)
            self._file.seek(end)
        return self

    def append(self, row: int, address: str, found: PictureError | tuple[IO[bytes], int, str]) -> None:
        """A reason, or a file that holds a picture, the number of its bytes and their sha256."""
        head: dict[str, Any] = {"row": row, "address": address}
        if isinstance(found, PictureError):
            head |= {"reason": found.reason, "detail": found.detail, "bytes": 0}
        else:
            head |= {"bytes": found[1], "sha256": found[2]}
        data = json.dumps(head).encode()
        with told(self.path, "a disk with room"):
            self._write(_FRAME.pack(_MARK, len(data), zlib.crc32(data)) + data)
            if not isinstance(found, PictureError):
                found[0].seek(0)
                while block := found[0].read(_BLOCK):
                    self._write(block)
            self.held[row] = address
            if self._unsynced >= SYNC_BYTES or time.monotonic() >= self._synced_at + SYNC_SECONDS:
                self.sync()

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]
        self._unsynced += len(data)

    def sync(self) -> None:
        with told(self.path, "a disk that can be written to"):
            if self._unsynced:
                os.fdatasync(self._file.fileno())
            self._unsynced, self._synced_at = 0, time.monotonic()

    def close(self) -> None:
        self._stack.close()


class Fetched(Mapping[int, bytes | PictureError]):
    """`read_fetched`'s answer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._records: dict[int, _Record] = {}
        with self._opened() as file:
            end = 0
            for record in _records(file):
                self._records[record.head["row"]], end = record, record.end
            if end != os.fstat(file.fileno()).st_size:
                raise self._damaged(f"byte {end:,} begins no record")

    def __getitem__(self, row: int) -> bytes | PictureError:
        record = self._records[row]
        if "reason" in record.head:
            return PictureError(record.head["reason"], record.head["detail"])
        with self._opened() as file:
            file.seek(record.start)
            data = file.read(record.end - record.start)
        if hashlib.sha256(data).hexdigest() != record.head["sha256"]:
            raise self._damaged(f"the picture of row {row} is not the one that was fetched")
        return data

    def __iter__(self) -> Iterator[int]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)

    def _opened(self) -> BinaryIO:
        try:
            return open_plain(self._path)
        except OSError as error:
            raise not_as_packed(error, self._path, "what was fetched", hint="delete it, and pack again") from None

    def _damaged(self, found: str) -> DamagedShardError:
        return DamagedShardError(f"{self._path}: {found}; what was fetched", hint="delete it, and pack again")


def read_fetched(log: Path) -> Mapping[int, bytes | PictureError]:
    """What each row of a chunk got; bytes are read, and compared with their digest, when they are asked for: a chunk need not fit into memory.

    Raises DamagedShardError and FileError.
    """
    return Fetched(log)


def _records(file: BinaryIO) -> Iterator[_Record]:
    """Those from the start up to the first that is no whole one; their bytes are not looked at."""
    size, end = os.fstat(file.fileno()).st_size, 0
    while True:
        file.seek(end)
        frame = file.read(_FRAME.size)
        if len(frame) < _FRAME.size:
            return
        mark, length, check = _FRAME.unpack(frame)
        head = file.read(length) if mark == _MARK and length <= _LONGEST_HEAD else b""
        if not head or len(head) != length or zlib.crc32(head) != check:
            return
        record: dict[str, Any] = json.loads(head)
        start = end + _FRAME.size + length
        end = start + record["bytes"]
        if end > size:
            return
        yield _Record(record, start, end)


def _is_whole(file: BinaryIO, record: _Record) -> bool:
    if "reason" in record.head:
        return True
    digest, left = hashlib.sha256(), record.end - record.start
    file.seek(record.start)
    while left and (block := file.read(min(left, _BLOCK))):
        digest.update(block)
        left -= len(block)
    return digest.hexdigest() == record.head["sha256"]
