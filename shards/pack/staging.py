"""Pictures made ready and not yet in shards, kept in ``.staging`` so that a pack that was killed goes on where it stopped.

A chunk is ``CHUNK_ROWS`` rows of the table: ``NNNNN.jpegs``, the pictures one after another, then ``NNNNN.parquet``, one line a row, whose
presence means that the chunk is done. What lies here belongs to the plan in ``plan.json`` and to no other.
"""

import ctypes
import hashlib
import json
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from shards.errors import ShardsError
from shards.fetch import read_file
from shards.files import write_atomic
from shards.manifest import PictureRule, differences
from shards.sources.rows import PictureRow

STAGING = ".staging"
CHUNK_ROWS = 200
_LIBRARIES = ("numpy", "opencv-python-headless", "pillow", "pyarrow", "simplejpeg", "webdataset")  # these decide the bytes
_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("reason", pa.string()),  # null where the picture is good; else the columns below are null
        ("detail", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("pdq", pa.binary()),
        ("quality", pa.int32()),
        ("original_sha256", pa.string()),
        ("jpeg_sha256", pa.string()),
        ("offset", pa.int64()),  # into NNNNN.jpegs
        ("bytes", pa.int64()),
    ]
)
Progress = Callable[[str, int, int], None]  # what is being done, how much of it is done, how much there is


def versions() -> dict[str, str]:
    return {name: version(name) for name in _LIBRARIES}


def bind(staging: Path, plan: dict[str, Any]) -> None:
    """Writes the plan into a new staging folder; raises ShardsError where another plan's work lies there."""
    file = staging / "plan.json"
    if file.is_file():
        differs = changes(json.loads(file.read_bytes()), json.loads(json.dumps(plan)))
        if differs:
            raise ShardsError(
                *[f"{staging.parent}: an unfinished pack with another {line}" for line in differs],
                hint=f"pack as before to finish it, or delete {staging.parent} and begin anew",
            )
    else:
        for stale in staging.glob("[0-9]*"):  # whose plan is gone
            stale.unlink()
        write_atomic(file, (json.dumps(plan, sort_keys=True, indent=1, allow_nan=False) + "\n").encode())


def changes(there: Any, now: Any) -> list[str]:
    """The leaves at which two plans differ, as ``name: there; now``."""
    return [f"{name}: {was} there; {is_} asked for" for name, was, is_ in differences(there, now)]


def prepare_all(staging: Path, rows: Sequence[PictureRow], folder: Path, rule: PictureRule, processes: int, progress: Progress) -> None:
    """Makes every picture ready that is not yet. Raises whatever stops a worker, and ShardsError where one dies."""
    chunks = [rows[start : start + CHUNK_ROWS] for start in range(0, len(rows), CHUNK_ROWS)]
    owed = [number for number in range(len(chunks)) if not _path(staging, number, "parquet").is_file()]
    done = len(rows) - sum(len(chunks[number]) for number in owed)
    progress("pictures", done, len(rows))

    def job(number: int) -> tuple[Path, int, list[tuple[int, str]], Path, PictureRule]:
        return staging, number, [(row.row, row.path) for row in chunks[number]], folder, rule

    if processes == 1 or len(owed) < 2:
        for number in owed:
            _prepare_chunk(*job(number))
            progress("pictures", done := done + len(chunks[number]), len(rows))
        return
    pool = ProcessPoolExecutor(min(processes, len(owed)), multiprocessing.get_context("spawn"), initializer=_start_worker)
    try:
        futures = {pool.submit(_prepare_chunk, *job(number)): number for number in owed}
        for future in as_completed(futures):
            future.result()
            progress("pictures", done := done + len(chunks[futures[future]]), len(rows))
    except BrokenProcessPool:
        raise ShardsError(
            f"{staging.parent}: a worker process died while preparing pictures; it was killed, or memory ran out",
            hint="the same command goes on where this stopped; --processes 1 needs the least memory",
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def load(staging: Path, num_rows: int) -> pa.Table:
    """One line for each of the rows given to `prepare_all`, in their order, with ``chunk`` to find its picture."""
    tables = []
    for number in range(-(-num_rows // CHUNK_ROWS)):
        table = pq.read_table(_path(staging, number, "parquet"))
        tables.append(table.append_column("chunk", pa.array([number] * len(table), pa.int64())))
    return pa.concat_tables(tables)


def read_jpeg(staging: Path, chunk: int, offset: int, num_bytes: int) -> bytes:
    with open(_path(staging, chunk, "jpegs"), "rb") as file:
        file.seek(offset)
        return file.read(num_bytes)


def _path(staging: Path, chunk: int, suffix: str) -> Path:
    return staging / f"{chunk:05d}.{suffix}"


def _prepare_chunk(staging: Path, number: int, rows: list[tuple[int, str]], folder: Path, rule: PictureRule) -> None:
    from shards.errors import PictureError
    from shards.images.square import prepare  # OpenCV and Pillow: only where pictures are made

    lines: list[dict[str, Any]] = []
    jpegs: list[bytes] = []
    offset = 0
    for row, path in rows:
        try:
            data = read_file(folder / path)
            made = prepare(data, rule)
        except PictureError as error:
            lines.append({"row": row, "reason": error.reason, "detail": f"{path}: {error.detail}"})
            continue
        lines.append(
            {
                "row": row,
                "width": made.width,
                "height": made.height,
                "pdq": made.pdq,
                "quality": made.quality,
                "original_sha256": hashlib.sha256(data).hexdigest(),
                "jpeg_sha256": hashlib.sha256(made.jpeg).hexdigest(),
                "offset": offset,
                "bytes": len(made.jpeg),
            }
        )
        jpegs.append(made.jpeg)
        offset += len(made.jpeg)
    write_atomic(_path(staging, number, "jpegs"), b"".join(jpegs))
    write_atomic(_path(staging, number, "parquet"), parquet_bytes(pa.Table.from_pylist(lines, _SCHEMA)))


def parquet_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _start_worker() -> None:
    """Leaves Ctrl-C to the parent, ends with it, and keeps the buffers of decoded pictures instead of giving them back each time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:  # else a killed parent leaves workers that wait for ever
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:  # glibc: page faults on fresh megabytes cost a third of the time
        mallopt(-3, 32 * 2**20)  # M_MMAP_THRESHOLD, its largest
        mallopt(-1, 512 * 2**20)  # M_TRIM_THRESHOLD
