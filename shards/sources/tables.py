"""The rows of a CSV, TSV, JSON lines or Parquet file as plain dicts. Text stays text: an id "007" is not 7."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards.errors import TableError

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of which not even the columns can be told apart."""

    detail: str


Parsed = tuple[list[str], list[Record | BadRow]]


def read_records(path: Path) -> tuple[bytes, list[str], list[Record | BadRow]]:
    """Returns the file's bytes, the names of its columns and its rows. Raises TableError: suffix, unreadable, no rows."""
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        raise TableError(f"{path.name}: unknown format {path.suffix!r}; {', '.join(_PARSERS)}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TableError(f"{path}: cannot be read: {error.strerror}; a table of pictures") from None
    try:
        header, records = parse(data)
    except UnicodeDecodeError as error:
        raise TableError(f"{path.name}: byte {error.start} is not UTF-8; UTF-8 text", hint="convert it: iconv -t utf-8") from None
    except (csv.Error, ValueError, OSError) as error:  # pyarrow's errors are ValueError and OSError
        raise TableError(f"{path.name}: {error}; a whole {path.suffix} file") from None
    if not records:
        raise TableError(f"{path.name}: no rows; at least one picture")
    return data, header, records


def _parse_delimited(data: bytes, delimiter: str) -> Parsed:
    # strict: without it a quote that never closes swallows the rest of the table as one cell
    reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    records: list[Record | BadRow] = []
    try:
        for cells in reader:
            if not cells:
                continue
            if not header:
                header = cells
            elif len(cells) != len(header):
                records.append(BadRow(f"line {reader.line_num}: {len(cells)} cells; {len(header)}, as in the header"))
            else:
                records.append(dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from None
    return header, records


def _parse_csv(data: bytes) -> Parsed:
    return _parse_delimited(data, ",")


def _parse_tsv(data: bytes) -> Parsed:
    return _parse_delimited(data, "\t")


def _parse_json_lines(data: bytes) -> Parsed:
    header: dict[str, None] = {}
    records: list[Record | BadRow] = []
    for number, line in enumerate(data.decode("utf-8-sig").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict):
            records.append(BadRow(f"line {number}: not a JSON object; one object a line"))
            continue
        header.update(dict.fromkeys(record))
        records.append(record)
    return list(header), records


def _parse_parquet(data: bytes) -> Parsed:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(data))
    columns = []
    for column in table.columns:
        if pa.types.is_timestamp(column.type):  # nanoseconds do not fit datetime
            column = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)
        elif pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
            column = column.cast(pa.string())
        columns.append(column.to_pylist())
    names = table.column_names
    return names, [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


_PARSERS: dict[str, Callable[[bytes], Parsed]] = {
    ".csv": _parse_csv,
    ".tsv": _parse_tsv,
    ".parquet": _parse_parquet,
    ".jsonl": _parse_json_lines,
    ".ndjson": _parse_json_lines,
}
