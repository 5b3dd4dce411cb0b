"""Rows by the million without an object each: record batches in a file that is mapped into memory, of which any row can be taken."""

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shards.errors import DamagedShardError
from shards.files import told, write_blocks
from shards.sources.rows import PictureRow, Rejection

BATCH_ROWS, BATCH_BYTES = 50_000, 64 * 2**20
TIME = pa.timestamp("s", tz="UTC")
ROWS = pa.schema(
    [
        ("row", pa.int64()),
        ("id", pa.string()),
        ("path", pa.string()),  # from here to ``extra``: null where the row was refused while the table was read
        ("views", pa.int64()),
        ("favorites", pa.int64()),
        ("comments", pa.int64()),
        ("owner", pa.string()),
        ("uploaded_at", TIME),
        ("observed_at", TIME),
        ("taken_at", pa.string()),
        ("tags", pa.string()),
        ("licence", pa.string()),
        ("page", pa.string()),
        ("unread", pa.string()),  # JSON of `PictureRow.unread`; null where it is empty
        ("extra", pa.string()),  # JSON: the values of the kept columns, in their order; null where there are none
        ("reason", pa.string()),  # null for a picture
        ("detail", pa.string()),
    ]
)


class Sink(io.RawIOBase):
    """What a writer wrote since it was last asked."""

    def __init__(self) -> None:
        super().__init__()
        self._written: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._size

    def write(self, data: Any) -> int:
        self._written.append(bytes(data))
        self._size += len(self._written[-1])
        return len(self._written[-1])

    def take(self) -> list[bytes]:
        taken, self._written = self._written, []
        return taken


class RowFile:
    """A file of `write_rows`, open."""

    def __init__(self, path: Path) -> None:
        """Raises FileError, and DamagedShardError where no such file lies there."""
        try:
            with told(path, "rows that were staged"):
                reader = pa.ipc.open_file(pa.memory_map(str(path)))
            self._batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        except pa.ArrowInvalid as error:
            raise DamagedShardError(
                f"{path}: {str(error).splitlines()[0]}; rows that were staged", hint=f"delete {path.parent} and pack again"
            ) from None
        self.schema: pa.Schema = reader.schema
        self._starts = np.cumsum([0, *(batch.num_rows for batch in self._batches)])
        self.table: pa.Table = pa.Table.from_batches(self._batches, self.schema)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, places: np.ndarray, columns: Sequence[str]) -> pa.Table:
        """Rows at ``places``, int [K], in that order; each column in one piece."""
        batch_of = np.searchsorted(self._starts, places, "right") - 1
        order = np.argsort(batch_of, kind="stable")
        parts = [
            self._batches[number].select(list(columns)).take(pa.array(places[batch_of == number] - self._starts[number]))
            for number in np.unique(batch_of).tolist()
        ]
        back = np.empty(len(places), np.int64)
        back[order] = np.arange(len(places))
        schema = pa.schema([self.schema.field(name) for name in columns])
        return pa.Table.from_batches(parts, schema).combine_chunks().take(pa.array(back)).combine_chunks()

    def texts(self, name: str, places: np.ndarray) -> np.ndarray:
        """str [K], object, of a column of texts at ``places``, which ascend. Equal texts of a batch are one object."""
        found = [np.zeros(0, object)]
        for number, batch in enumerate(self._batches):
            low, high = np.searchsorted(places, self._starts[number : number + 2])
            coded = batch.column(name).take(pa.array(places[low:high] - self._starts[number])).dictionary_encode()
            found.append(np.array([*coded.dictionary.to_pylist(), None], dtype=object)[coded.indices.to_numpy(zero_copy_only=False)])
        return np.concatenate(found)

    def numbers(self, name: str, places: np.ndarray) -> np.ndarray:
        """int64 [K] at ``places``, which ascend; none of them null."""
        return self._joined(name, places, lambda column: column.to_numpy(zero_copy_only=False).astype(np.int64), np.zeros(0, np.int64))

    def hashes(self, name: str, places: np.ndarray, num_bytes: int) -> np.ndarray:
        """uint8 [K, num_bytes] of a column of bytes at ``places``, which ascend; none of them null."""

        def unpacked(column: pa.Array) -> np.ndarray:
            return np.frombuffer(b"".join(column.to_pylist()), np.uint8).reshape(-1, num_bytes)

        return self._joined(name, places, unpacked, np.zeros((0, num_bytes), np.uint8))

    def is_null(self, name: str) -> np.ndarray:
        """bool [N]."""
        return np.concatenate([np.zeros(0, bool), *(batch.column(name).is_null().to_numpy(zero_copy_only=False) for batch in self._batches)])

    def _joined(self, name: str, places: np.ndarray, unpack: Any, empty: np.ndarray) -> np.ndarray:
        found = [empty]
        for number, batch in enumerate(self._batches):
            low, high = np.searchsorted(places, self._starts[number : number + 2])
            found.append(unpack(batch.column(name).take(pa.array(places[low:high] - self._starts[number]))))
        return np.concatenate(found)


def write_rows(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Writes tables of ``schema`` one after another, whole or not at all. Raises FileError and NoRoomError."""
    write_blocks(path, _blocks(schema, tables))


def _blocks(schema: pa.Schema, tables: Iterable[pa.Table]) -> Iterator[bytes]:
    sink = Sink()
    held: list[pa.Table] = []
    with pa.ipc.new_file(sink, schema) as writer:

        def flush() -> None:
            for batch in pa.concat_tables(held).combine_chunks().to_batches() if held else ():
                writer.write_batch(batch)
            held.clear()

        for table in tables:
            held.append(table.select(schema.names).cast(schema))
            if sum(map(len, held)) >= BATCH_ROWS or sum(part.nbytes for part in held) >= BATCH_BYTES:
                flush()
                yield from sink.take()
        flush()
    yield from sink.take()


def rows_table(rows: Sequence[PictureRow | Rejection], kept_columns: Sequence[str]) -> pa.Table:
    """Of the schema `ROWS`."""
    columns = {name: [getattr(row, name, None) for row in rows] for name in ROWS.names if name not in ("unread", "extra")}
    columns["unread"] = [json.dumps(row.unread) if isinstance(row, PictureRow) and row.unread else None for row in rows]
    columns["extra"] = [
        json.dumps([row.extra.get(name) for name in kept_columns]) if isinstance(row, PictureRow) and kept_columns else None for row in rows
    ]
    return pa.table({name: pa.array(columns[name], ROWS.field(name).type) for name in ROWS.names}, schema=ROWS)
