"""What a pack has done so far, kept in ``.staging`` so that a pack that was killed goes on where it stopped.

``rows.arrow`` has every row of the table. A chunk is `CHUNK_ROWS` of them: ``NNNNN.jpegs``, its pictures one after another, then ``NNNNN.parquet``,
one line a picture, whose presence means that the chunk is done; ``NNNNN.fetched`` what was fetched for it; ``NNNNN.trying`` says that its pictures
are being made ready by the very process that packs. ``staged.arrow`` is all of them in one. What lies here belongs to the plan in ``plan.json`` and
to no other.
"""

import io
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shards.errors import DamagedShardError, ShardsError
from shards.files import open_plain, read_plain, told, write_atomic
from shards.manifest import differences
from shards.pack.rowfile import ROWS, RowFile, Sink, rows_table, write_rows
from shards.sources.rows import PictureRow, Rejection

STAGING = ".staging"
OLD = "old"  # the shards of that set, where they are taken from
RESTORED = "restored.arrow"  # lines that a finished set gave (`shards.pack.retry`), with where their pictures lie in ``chunk``
FORMAT = 2  # of this folder
CHUNK_ROWS = 200
_LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "pyarrow", "simplejpeg")  # these decide the bytes
LINES = pa.schema(
    [
        ("row", pa.int64()),
        ("reason", pa.string()),  # null where the picture is good; else the columns below are null
        ("detail", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("pdq", pa.binary()),
        ("quality", pa.int32()),
        ("original_sha256", pa.binary(32)),
        ("jpeg_sha256", pa.binary(32)),
        ("offset", pa.int64()),  # into NNNNN.jpegs
        ("bytes", pa.int64()),
    ]
)
_MADE = [*(LINES.field(name) for name in LINES.names[3:]), pa.field("chunk", pa.int64())]
STAGED = pa.schema([*ROWS, *_MADE])  # those of a picture are null where there is none
Progress = Callable[[str, int, int], None]  # what is being done, how much of it is done, how much there is


def versions() -> dict[str, str]:
    return {name: version(name) for name in _LIBRARIES}


def bind(staging: Path, plan: dict[str, Any]) -> None:
    """Writes the plan into a new staging folder; raises ShardsError where another plan's work lies there."""
    file = staging / "plan.json"
    if os.path.lexists(file):
        with told(file, "the plan of an unfinished pack"):
            data = read_plain(file)
        try:
            there = json.loads(data)
        except (ValueError, RecursionError):
            raise damaged(file, "no JSON") from None
        differs = changes(there, json.loads(json.dumps(plan)))
        if differs:
            raise ShardsError(
                *[f"{staging.parent}: an unfinished pack with another {line}" for line in differs],
                hint=f"pack as before to finish it, or delete {staging.parent} and begin anew",
            )
    else:
        for stale in [*staging.glob("[0-9]*"), *staging.glob("*.arrow")]:  # whose plan is gone
            stale.unlink()
        write_atomic(file, (json.dumps(plan, sort_keys=True, indent=1, allow_nan=False) + "\n").encode())


def changes(there: Any, now: Any) -> list[str]:
    """The leaves at which two plans differ, as ``name: there; now``."""
    return [f"{name}: {was} there; {is_} asked for" for name, was, is_ in differences(there, now)]


def stage_rows(staging: Path, read: Iterable[PictureRow | Rejection], kept_columns: Sequence[str]) -> RowFile:
    """Every row of the table, in its order; the table is read only where that was not done before."""
    file = staging / "rows.arrow"
    if not os.path.lexists(file):
        rows = iter(read)
        parts = iter(lambda: list(islice(rows, 1000)), [])
        write_rows(file, ROWS, (rows_table(part, kept_columns) for part in parts))
    return RowFile(file)


def path_of(staging: Path, chunk: int, suffix: str) -> Path:
    return staging / f"{chunk:05d}.{suffix}"


def is_done(staging: Path, chunk: int) -> bool:
    return path_of(staging, chunk, "parquet").is_file()


def read_lines(staging: Path, chunk: int) -> pa.Table:
    """Of the schema `LINES`. Raises DamagedShardError."""
    path = path_of(staging, chunk, "parquet")
    try:
        return pq.read_table(io.BytesIO(read_plain(path)), schema=LINES, use_threads=False, pre_buffer=False)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, str(error).split("\n")[0]) from None


def write_chunk(staging: Path, chunk: int, lines: Sequence[dict[str, Any]], jpegs: Sequence[bytes]) -> None:
    """Of a chunk that is done already, ``lines`` take the place of those of the same rows."""
    path = path_of(staging, chunk, "jpegs")
    before: list[dict[str, Any]] = []
    if is_done(staging, chunk):
        new = {line["row"] for line in lines}
        before = [line for line in read_lines(staging, chunk).to_pylist() if line["row"] not in new]
        with told(path, "pictures made ready"):
            packed = read_plain(path)
        jpegs = [packed, *jpegs]
        lines = [line if line.get("offset") is None else line | {"offset": line["offset"] + len(packed)} for line in lines]
    write_atomic(path, b"".join(jpegs))
    table = pa.Table.from_pylist(sorted([*before, *lines], key=lambda line: line["row"]), LINES)
    write_atomic(path_of(staging, chunk, "parquet"), parquet_bytes([table]))


def load(staging: Path, rows: RowFile) -> RowFile:
    """All that is known of every row, of the schema `STAGED`."""
    before = RowFile(staging / RESTORED).table if os.path.lexists(staging / RESTORED) else None
    at = None if before is None else before["row"].to_numpy()

    def lines(start: int) -> pa.Table:
        chunk = start // CHUNK_ROWS
        made = read_lines(staging, chunk) if is_done(staging, chunk) else LINES.empty_table()
        made = made.append_column("chunk", pa.array(np.full(len(made), chunk)))
        if before is None or at is None:
            return made
        low, high = np.searchsorted(at, [start, start + CHUNK_ROWS])
        return pa.concat_tables([made, before.slice(low, high - low)]).sort_by("row")

    write_rows(staging / "staged.arrow", STAGED, (_joined(staging, rows, start, lines(start)) for start in range(0, len(rows), CHUNK_ROWS)))
    return RowFile(staging / "staged.arrow")


def restored(staging: Path, num_rows: int) -> np.ndarray:
    """bool [num_rows], which rows a finished set gave."""
    found = np.zeros(num_rows, bool)
    if os.path.lexists(staging / RESTORED):
        file = RowFile(staging / RESTORED)
        found[file.numbers("row", np.arange(len(file)))] = True
    return found


def _joined(staging: Path, rows: RowFile, start: int, lines: pa.Table) -> pa.Table:
    part = rows.table.slice(start, CHUNK_ROWS).combine_chunks()
    owed = part["reason"].is_null().to_numpy()
    if lines["row"].to_pylist() != (start + np.flatnonzero(owed)).tolist():
        raise damaged(path_of(staging, start // CHUNK_ROWS, "parquet"), "lines of other rows")
    lines = lines.take(pa.array(np.cumsum(owed) - 1, pa.int64(), mask=~owed))
    for name in ("reason", "detail"):
        part = part.set_column(part.schema.get_field_index(name), name, pc.coalesce(part[name], lines[name]))
    for field in _MADE:
        part = part.append_column(field, lines[field.name])
    return part


def read_jpeg(path: Path, offset: int, num_bytes: int) -> bytes:
    with told(path, "pictures made ready"), open_plain(path) as file:
        file.seek(offset)
        return file.read(num_bytes)


def damaged(path: Path, found: str) -> DamagedShardError:
    return DamagedShardError(f"{path}: {found}; what an earlier pack wrote", hint=f"delete {path.parent} and pack again")


def parquet_bytes(tables: pa.Table | Iterable[pa.Table]) -> bytes:
    """A table, or several of one schema, a row group each, none of them of more than a million rows."""
    return b"".join(_parquet_blocks([tables] if isinstance(tables, pa.Table) else tables))


def _parquet_blocks(tables: Iterable[pa.Table]) -> Iterator[bytes]:
    sink, writer = Sink(), None
    for table in tables:
        if writer is None:
            writer = pq.ParquetWriter(sink, table.schema, compression="zstd")
        writer.write_table(table)
        yield from sink.take()
    if writer is not None:
        writer.close()
    yield from sink.take()


def remove(staging: Path, chunk: int, suffix: str) -> None:
    with suppress(FileNotFoundError):
        path_of(staging, chunk, suffix).unlink()


def clear(staging: Path) -> None:
    """Removes all but the lock, the plan last."""
    with told(staging, "a folder that can be written to"):
        for path in sorted(staging.iterdir(), key=lambda path: path.name == "plan.json"):
            if path.name != "lock":
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
