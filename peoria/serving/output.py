"""Predictions as people and programs read them: CSV, JSON lines and Parquet in blocks of bytes; lines with tabs; a table for a terminal."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from peoria.records.selection import TARGET_WORDS
from peoria.serving.predict import COLUMNS, Prediction

FORMATS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
ROWS = 1000  # a block
UNLIKE = "unlike what it learnt from"
WIDTH = 80
_FLOATS = ("value", "percentile", "seeds_mean", "seeds_low", "seeds_high", "distance")
_KINDS: dict[str, type] = {**dict.fromkeys(_FLOATS, float), "seeds": int, "unlike": bool}


def blocks(kind: str, found: Iterable[Prediction]) -> Iterator[bytes]:
    """All of a file of ``kind``, csv, jsonl or parquet, in pieces, with a column for each field of `Prediction`."""
    return {"csv": _csv, "jsonl": _json_lines, "parquet": _parquet}[kind](found)


def row(one: Prediction) -> dict[str, Any]:
    """Its fields; a name that is no UTF-8 with its bytes written out (``\\xff``), for a file is UTF-8 throughout."""
    return vars(one) | {"picture": one.picture.encode("utf-8", "backslashreplace").decode()}


def _batches(found: Iterable[Prediction], num: int) -> Iterator[list[Prediction]]:
    left = iter(found)
    while some := list(islice(left, num)):
        yield some


def _csv(found: Iterable[Prediction]) -> Iterator[bytes]:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for some in _batches(found, ROWS):
        writer.writerows({name: str(value).lower() if isinstance(value, bool) else value for name, value in row(one).items()} for one in some)
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


def _json_lines(found: Iterable[Prediction]) -> Iterator[bytes]:
    for some in _batches(found, ROWS):
        yield "".join(json.dumps(row(one), ensure_ascii=False, allow_nan=False) + "\n" for one in some).encode()


def _parquet(found: Iterable[Prediction]) -> Iterator[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {float: pa.float64(), int: pa.int32(), bool: pa.bool_()}
    schema = pa.schema([(name, types[_KINDS[name]] if name in _KINDS else pa.string()) for name in COLUMNS])
    sink = io.BytesIO()

    def drained() -> bytes:
        data = sink.getvalue()
        sink.seek(0)
        sink.truncate()
        return data

    class Sink(io.RawIOBase):  # whose place goes on where the buffer begins anew
        at = 0

        def writable(self) -> bool:
            return True

        def tell(self) -> int:
            return self.at

        def write(self, data: Any) -> int:
            self.at += len(data)
            return sink.write(data)

    with pq.ParquetWriter(pa.PythonFile(Sink(), mode="w"), schema) as writer:
        for some in _batches(found, 10 * ROWS):
            writer.write_table(pa.Table.from_pylist([row(one) for one in some], schema=schema))
            yield drained()
    yield drained()


def line(one: Prediction) -> list[str]:
    """The parts of a line, which a tab each parts."""
    if one.value is None:
        return [one.picture, "no value", str(one.error)]
    assert one.percentile is not None
    parts = [one.picture, f"{one.value:.4g} {one.unit}", f"above {one.percentile:.0%} of the val pictures"]
    parts += [f"{one.seeds_low:.4g} to {one.seeds_high:.4g} by {one.seeds} seed{'s' if one.seeds > 1 else ''}"] if one.seeds else []
    parts += ["by the winner for favourites"] if one.target == "favorites" else []
    parts += [UNLIKE] if one.unlike else []
    parts += [f"control {one.control}: no model of anything"] if one.control else []
    return parts


def table(found: Iterable[Prediction], width: int, shown: Callable[[str], str]) -> Iterator[str]:
    """Lines of a table as wide as the terminal, ``WIDTH`` at most; a longer name loses its beginning. ``shown`` makes a name fit to be printed."""
    from rich.cells import cell_len

    left = max(12, min(width, WIDTH) - 57)
    head: tuple[str, str] | None = None
    for one in found:
        if one.value is None:  # said on standard error
            continue
        assert one.percentile is not None
        if head is None:
            head = (one.unit, one.model)
            yield f"{'picture':<{left}} {'of':<10} {'value':>8} {'above':>6} {'seeds':>18}"
        name = shown(one.picture)
        while cell_len(name) > left:
            name = "…" + name[2:] if name.startswith("…") else "…" + name[1:]
        name += " " * (left - cell_len(name))
        seeds = f"{one.seeds_low:.3g} to {one.seeds_high:.3g}" if one.seeds else ""
        note = "control" if one.control else "unlike" if one.unlike else ""
        yield f"{name} {TARGET_WORDS[one.target]:<10} {one.value:>8.4g} {one.percentile:>6.0%} {seeds:>18} {note}".rstrip()
