"""A table of pictures as a Parquet file, written whole or not at all."""

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from shards.errors import TableError
from shards.files import remove_stale, replacing, told
from shards.sources.source import Record

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 10_000  # in memory at a time


def check_out(path: Path) -> None:
    """Raises TableError where no Parquet file can be of this name, FileError where its folder cannot be made: before work is done for it."""
    if path.suffix.lower() != ".parquet":
        raise TableError(f"{path}: written as Parquet; a name that ends in .parquet")
    if path.is_dir():
        raise TableError(f"{path}: a folder; the name of a file")
    with told(path.parent, "a folder that can be written to"):
        path.parent.mkdir(parents=True, exist_ok=True)


def write_table(path: Path, columns: Sequence[str], numbers: Sequence[str], records: Iterable[Record]) -> int:
    """Writes ``columns`` as text and, those that are ``numbers``, as int64; "" and None are null. Returns the number of rows.

    Raises NoRoomError, FileError; then, as after a kill or what ``records`` raises, what was there before stays.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.int64() if name in numbers else pa.string()) for name in columns])
    check_out(path)
    remove_stale(path.parent, below=False, of=path.name)
    rows, num = iter(records), 0
    accepted = "a folder that can be written to"
    with told(path, accepted, what="the table"), replacing(path) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while batch := list(islice(rows, _ROWS)):
            writer.write_table(_table(batch, schema))
            num += len(batch)
    return num


def _table(batch: list[Record], schema: "pa.Schema") -> "pa.Table":
    import pyarrow as pa

    return pa.Table.from_pydict({name: [None if row.get(name) == "" else row.get(name) for row in batch] for name in schema.names}, schema)
