"""The tables beside the tars: the labels of what was kept, a line for every row that went in, and pairs of nearly the same picture."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from shards.sources.rows import PictureRow, Rejection, Table

LEDGER_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),  # of the input table, from 0
        ("id", pa.string()),
        ("status", pa.string()),  # kept or rejected
        ("reason", pa.string()),  # null for the kept
        ("detail", pa.string()),
        ("split", pa.string()),  # null where the row was rejected before it had one
        ("key", pa.string()),  # null for the rejected
    ]
)
_TIME = pa.timestamp("s", tz="UTC")
_OPTIONAL = {  # present if the table has the column
    "favorites": pa.int64(), "comments": pa.int64(), "uploaded_at": _TIME, "observed_at": _TIME, "taken_at": pa.string(), "tags": pa.string(),
}  # fmt: skip


def labels_table(table: Table, rows: Sequence[PictureRow], keys: Sequence[str], splits: Sequence[str]) -> pa.Table:
    """One row for each of ``rows``: key, id, split, owner, views, what else the table has, and the columns kept on request."""
    columns: dict[str, pa.Array] = {
        "key": pa.array(keys, pa.string()),
        "id": pa.array([row.id for row in rows], pa.string()),
        "split": pa.array(splits, pa.string()),
        "owner": pa.array([row.owner for row in rows], pa.string()),
        "views": pa.array([row.views for row in rows], pa.int64()),
    }
    for name, kind in _OPTIONAL.items():
        if name in table.columns:
            columns[name] = pa.array([getattr(row, name) for row in rows], kind)
    for name in table.kept_columns:
        columns[name] = _kept_column([row.extra[name] for row in rows])
    return pa.table(columns)


def ledger_table(
    rejections: Sequence[Rejection], kept: Sequence[PictureRow], keys: Sequence[str], splits: Sequence[str], known: dict[int, str]
) -> pa.Table:
    """``known`` is the split of each row, rejected ones too, that got so far."""
    lines: list[dict[str, Any]] = [
        {"row": r.row, "id": r.id, "status": "rejected", "reason": r.reason, "detail": r.detail, "split": known.get(r.row)} for r in rejections
    ]
    lines += [
        {"row": row.row, "id": row.id, "status": "kept", "split": split, "key": key} for row, key, split in zip(kept, keys, splits, strict=True)
    ]
    return pa.Table.from_pylist(sorted(lines, key=lambda line: line["row"]), LEDGER_SCHEMA)


def near_duplicates_table(rows: Sequence[PictureRow], splits: Sequence[str | None], i: np.ndarray, j: np.ndarray, bits: np.ndarray) -> pa.Table:
    """One row for each pair of `shards.images.near_duplicates.near_identical_pairs` among ``rows``; ``splits`` is None for a row that was rejected.

    Favourites and dates are there in any case, null where they are not known.
    """
    columns: dict[str, pa.Array] = {}
    kinds = {"id": pa.string(), "owner": pa.string(), "split": pa.string(), "views": pa.int64(), "favorites": pa.int64(), "uploaded_at": _TIME}
    for name, kind in kinds.items():
        for side, places in (("a", i.tolist()), ("b", j.tolist())):
            values = [splits[at] if name == "split" else getattr(rows[at], name) for at in places]
            columns[f"{name}_{side}"] = pa.array(values, kind)
    return pa.table(columns | {"bits": pa.array(bits, pa.int64())})


def _kept_column(values: list[Any]) -> pa.Array:
    """Numbers and truth values stay what they are where the whole column agrees; all else is text."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {bool}:
        return pa.array(values, pa.bool_() if kinds else pa.string())
    if kinds <= {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return pa.array(values, pa.int64())
    if kinds <= {float}:
        return pa.array(values, pa.float64())
    return pa.array([None if value is None else str(value) for value in values], pa.string())
