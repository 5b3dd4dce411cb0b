"""The rows of a Parquet file, a part at a time, of the columns that are used."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from shards.errors import TableError
from shards.sources.cells import Rounded, Unreadable
from shards.sources.source import Record
from shards.sources.table_bytes import TableBytes

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 2000  # read at a time


class ParquetRows:
    def __init__(self, data: TableBytes) -> None:
        self.data = data

    def header(self) -> list[str]:
        with self._opened() as file:
            return list(file.schema_arrow.names)

    def members(self) -> list[str]:
        with self._opened() as file:
            return [path for field in file.schema_arrow for path in _members(field)]

    def records(self, columns: Collection[str] | None) -> Iterator[Record]:
        with self._opened() as file:
            names = file.schema_arrow.names
            wanted = [name for name in dict.fromkeys(names) if columns is None or name in columns]
            for batch in file.iter_batches(_ROWS, columns=wanted, use_threads=False):
                values = [column_values(self._text(name, batch.column(batch.schema.names.index(name)))) for name in wanted]
                for row in zip(*values, strict=True):
                    yield dict(zip(wanted, row, strict=True))

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with self.data.told(), self.data.raw() as raw, pq.ParquetFile(raw, pre_buffer=False) as file:
                yield file
        except (pa.ArrowException, ValueError) as error:  # of many kinds: a value error, a key error, not implemented
            if isinstance(error, TableError):
                raise
            raise TableError(f"{self.data.name}: {str(error).splitlines()[0]}; a whole .parquet file") from None

    def _text(self, name: str, column: "pa.Array") -> "pa.Array":
        """Of a column of bytes; another as it is."""
        import pyarrow as pa

        if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type) or pa.types.is_fixed_size_binary(column.type)):
            return column
        try:
            return column.cast(pa.binary()).cast(pa.string())
        except pa.ArrowInvalid:
            raise TableError(f"{self.data.name}: column {name!r} holds bytes that are no text; text, or leave the column out") from None


def column_values(column: "pa.Array") -> list[Any]:
    """What stands in a column: `Unreadable` for what Python has no object for, `Rounded` for what short floats have lost digits of."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":  # does not fit datetime; the others may not fit microseconds
        column = column.cast(pa.timestamp("us", tz=column.type.tz), safe=False)
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):  # pyarrow's are ValueErrors
        return [_value(scalar) for scalar in column]
    if pa.types.is_float32(column.type) or pa.types.is_float16(column.type):
        most = 2**24 if pa.types.is_float32(column.type) else 2**11
        return [Rounded(value) if value is not None and abs(value) > most else value for value in values]
    return values


def _members(field: "pa.Field", prefix: str = "") -> Iterator[str]:
    import pyarrow as pa

    if pa.types.is_struct(field.type):
        for inner in field.type:
            yield f"{prefix}{field.name}.{inner.name}"
            yield from _members(inner, f"{prefix}{field.name}.")


def _value(scalar: "pa.Scalar") -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return Unreadable("bytes that are not UTF-8; text")
    except (ValueError, OverflowError):
        return Unreadable(f"a {scalar.type} out of range; one that a calendar has")
