"""The counts and the context of one split, as arrays in the order of its pictures."""

import hashlib
import io
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from shards.counts import Counts, counted, from_values
from shards.digests import labels_sha256
from shards.errors import DamagedShardError
from shards.files import not_as_packed, open_plain, read_plain
from shards.manifest import LABELS, Manifest

if TYPE_CHECKING:
    import pyarrow as pa

GROUP_ROWS = 20_000  # in memory at once, where rows are read one after another
_PACKED, _FETCH = "the table that was packed", "fetch it again, or pack again"
_REQUIRED = ("key", "id", "split", "owner", "views")
OPTIONAL_COUNTS, TIMES = ("favorites", "comments"), ("uploaded_at", "observed_at")
_NULLABLE = (*OPTIONAL_COUNTS, *TIMES)
_WHOLE = ("views", "favorites", "row", "bits")  # columns of numbers in the tables beside the labels


@dataclass(frozen=True)
class Labels:
    """Row ``i`` of every array belongs to picture ``i`` of the split; pictures are in the order of their keys.

    Counts are raw (int64). A column that the table did not have is ``None``; a single unknown owner is ``""`` and a single unknown time
    is ``NaT``. Favourites and comments that some pictures lack are `PartlyKnown`, which is no array: `counted` gives the known ones.
    """

    keys: np.ndarray  # str [N], digits only
    ids: np.ndarray  # str [N]
    owners: np.ndarray  # str [N]
    views: np.ndarray  # int64 [N]
    favorites: Counts | None = None  # int64 [N], or partly known; None: of no picture
    comments: Counts | None = None  # likewise
    uploaded_at: np.ndarray | None = None  # datetime64[s] [N]
    observed_at: np.ndarray | None = None  # datetime64[s] [N], when the counts were read
    tags: np.ndarray | None = None  # str [N], as the table gave them
    extra: dict[str, np.ndarray] = field(default_factory=dict)  # columns kept on request, object [N]

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: np.ndarray) -> "Labels":
        """The same columns at ``rows`` (a mask or indices)."""

        def at(column: np.ndarray | None) -> np.ndarray | None:
            return None if column is None else column[rows]

        return Labels(
            keys=self.keys[rows],
            ids=self.ids[rows],
            owners=self.owners[rows],
            views=self.views[rows],
            favorites=None if self.favorites is None else self.favorites[rows],
            comments=None if self.comments is None else self.comments[rows],
            uploaded_at=at(self.uploaded_at),
            observed_at=at(self.observed_at),
            tags=at(self.tags),
            extra={name: column[rows] for name, column in self.extra.items()},
        )

    def counted(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """The rows of the pictures whose count ``name`` is known, int64 [K], ascending, and those counts, int64 [K]; both empty where none is."""
        columns: dict[str, Counts | None] = {"views": self.views, "favorites": self.favorites, "comments": self.comments}
        return counted(columns[name])

    def age_days(self, read_at: np.datetime64 | None = None) -> np.ndarray:
        """Days from upload to the reading of the counts, float64 [N], NaN where unknown.

        Where the table does not say when the counts were read: to ``read_at``, one moment for all, or to the newest upload of these labels.
        """
        if self.uploaded_at is None:
            return np.full(len(self), np.nan)
        until: Any = self.observed_at
        if until is None:
            until = np.fmax.reduce(self.uploaded_at, initial=np.datetime64("NaT")) if read_at is None else read_at
        return np.asarray((until - self.uploaded_at) / np.timedelta64(1, "D"), dtype=np.float64)


def read_labels(root: Path, manifest: Manifest) -> "pa.Table":
    """labels.parquet, all splits. Raises DamagedShardError where its rows are not those that were packed, or no labels at all."""
    path = root / manifest.file_of(LABELS)
    table = _table(path, _bytes(path, manifest), manifest)
    _check_kinds(path, table, manifest)
    try:
        found = labels_sha256(table)
    except (ValueError, OverflowError) as error:  # half a character, a date that no calendar has
        raise DamagedShardError(f"{path}: {error}; {_PACKED}", hint=_FETCH) from None
    if found != manifest.labels_sha256:
        raise DamagedShardError(f"{path}: rows of sha256 {found[:16]}…; {manifest.labels_sha256[:16]}… was packed", hint="pack again")
    return table


def read_packed(root: Path, name: str, manifest: Manifest, columns: Sequence[str]) -> "pa.Table":
    """``columns``, texts, counts and dates, of one of the other tables beside the shards. Raises DamagedShardError where it is not the one packed."""
    from pyarrow import types

    path = root / manifest.file_of(name)
    table = _table(path, _bytes(path, manifest), manifest)
    for column in columns:
        if table.column_names.count(column) != 1:
            raise DamagedShardError(f"{path}: no column {column!r}; {_PACKED}", hint=_FETCH)
        kind, of = table.schema.field(column).type, column.removesuffix("_a").removesuffix("_b")
        fits = types.is_integer(kind) if of in _WHOLE else types.is_timestamp(kind) if of in TIMES else _is_text(kind) or types.is_null(kind)
        if not fits:
            raise DamagedShardError(f"{path}: column {column!r} of {kind}; {_PACKED}", hint=_FETCH)
    return table.select(list(columns))


def packed_batches(root: Path, name: str, manifest: Manifest) -> Iterator[list[dict[str, Any]]]:
    """The rows of one of the other tables beside the shards, some thousand at once. Raises DamagedShardError as `read_packed`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = root / manifest.file_of(name)
    data = _bytes(path, manifest)
    try:
        with pq.ParquetFile(io.BytesIO(data), pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=10_000, use_threads=False):
                yield batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DamagedShardError(f"{path}: {str(error).splitlines()[0]}; {_PACKED}", hint=_FETCH) from None


def each_group(root: Path, name: str, manifest: Manifest, take: "Callable[[pa.Table], None]", columns: Sequence[str] | None = None) -> None:
    """Gives ``take`` the rows of one of the tables, a group after another, so that memory holds no more than one.

    Args:
        columns: those alone; None: all of labels.parquet, whose rows are then compared as `read_labels` compares them.

    Raises:
        DamagedShardError: the table is not the one packed; where its rows are not, after all were taken.
    """
    path = root / manifest.file_of(name)
    packed = manifest.files_sha256.get(path.name)
    try:
        with open_plain(path) as file:
            digest = hashlib.sha256()
            while block := file.read(2**20):
                digest.update(block)
            if packed is not None and (found := digest.hexdigest()) != packed:
                raise DamagedShardError(f"{path}: sha256 {found[:16]}…; {packed[:16]}… was packed", hint=_FETCH)
            file.seek(0)
            _parse(path, file, manifest, take, columns)
    except OSError as error:
        raise not_as_packed(error, path, _PACKED) from None


def _parse(path: Path, file: BinaryIO, manifest: Manifest, take: "Callable[[pa.Table], None]", columns: Sequence[str] | None) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def groups(table_file: pq.ParquetFile) -> Iterator[pa.Table]:
        for batch in table_file.iter_batches(GROUP_ROWS, columns=None if columns is None else list(columns), use_threads=False):
            table = pa.Table.from_batches([batch])
            if columns is None:
                _check_kinds(path, table, manifest)
            take(table)
            yield table

    most, found = 2 * (manifest.num_kept + manifest.num_rejected), manifest.labels_sha256
    try:
        with pq.ParquetFile(file, pre_buffer=False) as parquet:
            names = parquet.schema_arrow.names
            problems = [f"no column {column!r}; {_PACKED}" for column in columns or () if names.count(column) != 1]
            if parquet.metadata.num_rows > most:  # a few bytes can stand for any number of rows
                problems.append(f"{parquet.metadata.num_rows:,} rows; at most {most:,}")
            if problems:
                raise DamagedShardError(*[f"{path}: {problem}" for problem in problems], hint=_FETCH)
            if columns is None:
                found = labels_sha256(groups(parquet))
            else:
                deque(groups(parquet), maxlen=0)
    except DamagedShardError:
        raise
    except (OSError, pa.ArrowException, ValueError, OverflowError) as error:  # half a character, a date that no calendar has
        raise DamagedShardError(f"{path}: {str(error).splitlines()[0]}; {_PACKED}", hint=_FETCH) from None
    if found != manifest.labels_sha256:
        raise DamagedShardError(f"{path}: rows of sha256 {found[:16]}…; {manifest.labels_sha256[:16]}… was packed", hint="pack again")


def _bytes(path: Path, manifest: Manifest) -> bytes:
    """Compared before a parser sees them: what damaged bytes do to one, nobody knows."""
    try:
        data = read_plain(path)
    except OSError as error:
        raise not_as_packed(error, path, _PACKED) from None
    packed = manifest.files_sha256.get(path.name)  # sets packed before it was kept have none
    if packed is not None and (found := hashlib.sha256(data).hexdigest()) != packed:
        raise DamagedShardError(f"{path}: sha256 {found[:16]}…; {packed[:16]}… was packed", hint=_FETCH)
    return data


def _table(path: Path, data: bytes, manifest: Manifest) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.parquet as pq

    most = 2 * (manifest.num_kept + manifest.num_rejected)  # pairs: a picture is in at most two
    try:
        with pq.ParquetFile(io.BytesIO(data), pre_buffer=False) as file:
            if file.metadata.num_rows > most:  # a few bytes can stand for any number of rows
                raise DamagedShardError(f"{path}: {file.metadata.num_rows:,} rows; at most {most:,}", hint=_FETCH)
            return file.read(use_threads=False)  # a thread of Arrow's that lets go of a Python file while Python ends aborts the process
    except (OSError, pa.ArrowException) as error:
        raise DamagedShardError(f"{path}: {str(error).splitlines()[0]}; {_PACKED}", hint=_FETCH) from None


def _is_text(kind: "pa.DataType") -> bool:
    from pyarrow import types

    return bool(types.is_string(kind) or types.is_large_string(kind))


def _check_kinds(path: Path, table: "pa.Table", manifest: Manifest) -> None:
    """Raises DamagedShardError for a table that is no labels, whatever its digest."""
    from pyarrow import types

    def plain(kind: "pa.DataType") -> bool:
        return bool(_is_text(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))

    kept_columns = manifest.source.kept_columns
    kinds: dict[str, Callable[[pa.DataType], bool]] = dict.fromkeys(("key", "id", "split", "owner", "taken_at", "tags"), _is_text)
    kinds |= dict.fromkeys(("views", "favorites", "comments"), types.is_integer) | dict.fromkeys(("uploaded_at", "observed_at"), types.is_timestamp)
    kinds |= dict.fromkeys(kept_columns, plain)
    names = table.column_names
    problems = [f"no column {name!r}" for name in (*_REQUIRED, *kept_columns) if name not in names]
    for name, column in zip(names, table.columns, strict=True):
        if name not in kinds or names.count(name) > 1:
            problems.append(f"a column {name!r}")
        elif not kinds[name](column.type):
            problems.append(f"column {name!r} of {column.type}")
        elif name == "views" and column.null_count == len(column) and not manifest.has_counts:
            continue  # packed without counts, which come later
        elif column.null_count and name not in (*_NULLABLE, *kept_columns):
            problems.append(f"column {name!r} with {column.null_count} values that are not there")
    if problems:
        raise DamagedShardError(*[f"{path}: {problem}; {_PACKED}" for problem in problems], hint=_FETCH)


def labels_of(rows: "pa.Table", kept_columns: Iterable[str]) -> Labels:
    """Rows of the labels table as arrays, with the columns that were kept on request."""

    def text(name: str) -> np.ndarray:
        return np.array(rows[name].to_pylist(), dtype=np.str_)

    def moment(name: str) -> np.ndarray | None:
        return rows[name].to_numpy().astype("datetime64[s]") if name in rows.column_names else None

    return Labels(
        keys=text("key"),
        ids=text("id"),
        owners=text("owner"),
        views=rows["views"].to_numpy().astype(np.int64),
        favorites=counts_in(rows, "favorites"),
        comments=counts_in(rows, "comments"),
        uploaded_at=moment("uploaded_at"),
        observed_at=moment("observed_at"),
        tags=text("tags") if "tags" in rows.column_names else None,
        extra={name: _objects(rows[name].to_pylist()) for name in kept_columns},
    )


def counts_in(rows: "pa.Table", name: str) -> Counts | None:
    """A count in rows of the labels table; None where the table did not have it, or no picture has."""
    if name not in rows.column_names:
        return None
    return from_values(rows[name].to_pylist()) if rows[name].null_count else rows[name].to_numpy().astype(np.int64)


def _objects(values: list[object]) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
