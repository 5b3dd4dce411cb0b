"""The counts and the context of one split, as arrays in the order of its pictures."""

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shards.digests import labels_sha256
from shards.errors import DamagedShardError
from shards.manifest import LABELS, Manifest

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Labels:
    """Row ``i`` of every array belongs to picture ``i`` of the split; pictures are in the order of their keys.

    Counts are raw (int64). A column that the table did not have is ``None``; a single unknown owner is ``""`` and a single unknown time
    is ``NaT``.
    """

    keys: np.ndarray  # str [N], digits only
    ids: np.ndarray  # str [N]
    owners: np.ndarray  # str [N]
    views: np.ndarray  # int64 [N]
    favorites: np.ndarray | None = None  # int64 [N]
    comments: np.ndarray | None = None  # int64 [N]
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
            favorites=at(self.favorites),
            comments=at(self.comments),
            uploaded_at=at(self.uploaded_at),
            observed_at=at(self.observed_at),
            tags=at(self.tags),
            extra={name: column[rows] for name, column in self.extra.items()},
        )

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
    """labels.parquet, all splits. Raises DamagedShardError where its rows are not those that were packed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = root / LABELS
    try:
        table = pq.read_table(io.BytesIO(path.read_bytes()))
    except (OSError, pa.ArrowException) as error:
        raise DamagedShardError(f"{path}: {str(error).splitlines()[0]}; the table that was packed", hint="fetch it again, or pack again") from None
    if (found := labels_sha256(table)) != manifest.labels_sha256:
        raise DamagedShardError(f"{path}: rows of sha256 {found[:16]}…; {manifest.labels_sha256[:16]}… was packed", hint="pack again")
    return table


def labels_of(rows: "pa.Table", kept_columns: Iterable[str]) -> Labels:
    """Rows of the labels table as arrays, with the columns that were kept on request."""

    def text(name: str) -> np.ndarray:
        return np.array(rows[name].to_pylist(), dtype=np.str_)

    def count(name: str) -> np.ndarray | None:
        return rows[name].to_numpy().astype(np.int64) if name in rows.column_names else None

    def moment(name: str) -> np.ndarray | None:
        return rows[name].to_numpy().astype("datetime64[s]") if name in rows.column_names else None

    views = count("views")
    assert views is not None
    return Labels(
        keys=text("key"),
        ids=text("id"),
        owners=text("owner"),
        views=views,
        favorites=count("favorites"),
        comments=count("comments"),
        uploaded_at=moment("uploaded_at"),
        observed_at=moment("observed_at"),
        tags=text("tags") if "tags" in rows.column_names else None,
        extra={name: _objects(rows[name].to_pylist()) for name in kept_columns},
    )


def _objects(values: list[object]) -> np.ndarray:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
