"""The tables beside the tars: the labels of what was kept, a line for every row that went in, and pairs of nearly the same picture.

They are made a group of rows at a time, of what `shards.pack.rowfile` holds.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from shards.manifest import SPLITS, Unknown
from shards.pack.layout import Layout
from shards.pack.rowfile import RowFile

GROUP_ROWS = 100_000  # of a Parquet file
LEDGER_SCHEMA = pa.schema(
    [
        ("row", pa.int64()),  # of the input table, from 0
        ("id", pa.string()),
        ("status", pa.string()),  # kept or rejected
        ("reason", pa.string()),  # null for the kept
        ("detail", pa.string()),  # of the kept: optional values that could not be read; null without any
        ("split", pa.string()),  # null where the row was rejected before it had one
        ("key", pa.string()),  # null for the rejected
    ]
)
_OPTIONAL = ("favorites", "comments", "uploaded_at", "observed_at", "taken_at", "tags")  # present if the table has the column
_NULLABLE = ("favorites", "comments", "uploaded_at", "observed_at")


@dataclass(frozen=True)
class Outcome:
    """What became of each row of the table."""

    staged: RowFile
    columns: Mapping[str, str]  # our field → the table's column
    kept_columns: tuple[str, ...]
    kept: np.ndarray  # int64 [K], the rows that were kept, in the order of their keys
    keys: np.ndarray  # int64 [K]
    split: np.ndarray  # int8 [rows], a place in SPLITS, -1 where the row was rejected before it had one
    key: np.ndarray  # int64 [rows], -1 where it has none
    left_out: Mapping[int, tuple[str, str]]  # row → reason and detail, of what was rejected last

    @classmethod
    def of(cls, staged: RowFile, good: np.ndarray, layout: Layout, columns: Mapping[str, str], kept_columns: tuple[str, ...]) -> "Outcome":
        """``good`` are the rows that were laid out, int64 [N], ascending."""
        kept = good[np.fromiter((place for shard in layout.shards for place in shard.places), np.int64)]
        keys = np.fromiter((int(key) for shard in layout.shards for key in shard.keys), np.int64)
        split, key = np.full(len(staged), -1, np.int8), np.full(len(staged), -1, np.int64)
        for number, name in enumerate(SPLITS):
            split[good[layout.splits == name]] = number
        key[kept] = keys
        left_out = {int(good[place]): (reason, detail) for place, reason, detail in layout.rejections}
        return cls(staged, columns, kept_columns, kept, keys, split, key, left_out)

    def pictures(self) -> Iterator[tuple[str, str]]:
        """The key of each kept picture, in order, and the sha256 of its JPEG, hex."""
        for start in range(0, len(self.kept), GROUP_ROWS):
            shas = self.staged.take(self.kept[start : start + GROUP_ROWS], ["jpeg_sha256"])["jpeg_sha256"].to_pylist()
            yield from ((f"{key:09d}", sha.hex()) for key, sha in zip(self.keys[start : start + GROUP_ROWS].tolist(), shas, strict=True))

    def labels(self) -> Iterator[pa.Table]:
        """One row for each kept picture: key, id, split, owner, views, what else the table has, and the columns kept on request."""
        unpack = self._kept_columns()
        for start in range(0, max(1, len(self.kept)), GROUP_ROWS):
            places = self.kept[start : start + GROUP_ROWS]
            rows = self.staged.take(places, ["id", "owner", "views", *_OPTIONAL, "extra"])
            columns: dict[str, Any] = {
                "key": pa.array(_key_texts(self.keys[start : start + GROUP_ROWS]), pa.string()),
                "id": rows["id"],
                "split": pa.array([SPLITS[number] for number in self.split[places].tolist()], pa.string()),
                "owner": rows["owner"],
                "views": rows["views"],
            }
            columns |= {name: rows[name] for name in _OPTIONAL if name in self.columns}
            yield pa.table(columns | unpack(rows["extra"]))

    def ledger(self) -> Iterator[pa.Table]:
        """One row for each row of the table."""
        for start in range(0, max(1, len(self.staged)), GROUP_ROWS):
            rows = self.staged.table.slice(start, GROUP_ROWS).select(["row", "id", "unread", "reason", "detail"]).combine_chunks()
            reasons, details, unread = (rows[name].to_pylist() for name in ("reason", "detail", "unread"))
            keys, split = self.key[start : start + GROUP_ROWS], self.split[start : start + GROUP_ROWS].tolist()
            for place, number in enumerate(range(start, start + len(rows))):
                if number in self.left_out:
                    reasons[place], details[place] = self.left_out[number]
                elif unread[place] is not None and reasons[place] is None:
                    details[place] = "; ".join(detail for _, detail in json.loads(unread[place]))
            columns = {
                "row": rows["row"],
                "id": rows["id"],
                "status": ["kept" if key >= 0 else "rejected" for key in keys.tolist()],
                "reason": reasons,
                "detail": details,
                "split": [SPLITS[number] if number >= 0 else None for number in split],
                "key": _key_texts(keys),
            }
            yield pa.table(columns, schema=LEDGER_SCHEMA)

    def unknown(self) -> dict[str, Unknown]:
        """By name, the optional values that some of the kept pictures lack; of texts, where empty is a value, those that could not be read."""
        found = {}
        unread: dict[str, tuple[int, str]] = {}  # by name: how many, and the first
        is_kept = self.key >= 0
        for row in np.flatnonzero(is_kept & ~self.staged.is_null("unread")).tolist():
            for name, detail in json.loads(self.staged.table["unread"][row].as_py()):
                number, example = unread.get(name, (0, f"row {row}: {detail}"))
                unread[name] = number + 1, example
        for name in (*self.columns, *self.kept_columns):
            bad, example = unread.get(name, (0, ""))
            num = int((is_kept & self.staged.is_null(name)).sum()) if name in _NULLABLE and name in self.columns else bad
            if num:
                found[name] = Unknown(num=num, num_unreadable=bad, example=example if len(example) <= 200 else f"{example[:197]}...")
        return found

    def near_duplicates(self, i: np.ndarray, j: np.ndarray, bits: np.ndarray) -> pa.Table:
        """One row for each pair of the rows ``i`` and ``j``, int64 [P] each; favourites and dates are there in any case, null where they are not
        known."""
        columns: dict[str, Any] = {}
        sides = {"a": i, "b": j}
        rows = {side: self.staged.take(places, ["id", "owner", "views", "favorites", "uploaded_at"]) for side, places in sides.items()}
        for name in ("id", "owner", "split", "views", "favorites", "uploaded_at"):
            for side, places in sides.items():
                if name == "split":
                    names = [SPLITS[split] if key >= 0 else None for split, key in zip(self.split[places], self.key[places], strict=True)]
                    columns[f"{name}_{side}"] = pa.array(names, pa.string())
                else:
                    columns[f"{name}_{side}"] = rows[side][name]
        return pa.table(columns | {"bits": pa.array(bits, pa.int64())})

    def _kept_columns(self) -> Callable[[pa.ChunkedArray], dict[str, pa.Array]]:
        """What makes columns of packed values: numbers and truth values stay what they are where the whole column agrees; all else is text."""
        kinds: list[set[str]] = [set() for _ in self.kept_columns]
        for start in range(0, len(self.kept), GROUP_ROWS) if self.kept_columns else ():
            for text in self.staged.take(self.kept[start : start + GROUP_ROWS], ["extra"])["extra"].to_pylist():
                for kind, value in zip(kinds, json.loads(text), strict=True):
                    kind.add(_kind(value))
        makers = [_maker(kind - {""}) for kind in kinds]

        def unpack(extra: pa.ChunkedArray) -> dict[str, pa.Array]:
            values: list[list[Any]] = [json.loads(text) for text in extra.to_pylist()] if self.kept_columns else []
            return {name: makers[at]([row[at] for row in values]) for at, name in enumerate(self.kept_columns)}

        return unpack


def _kind(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -(2**63) <= value < 2**63 else "text"
    return "float" if isinstance(value, float) else "text"


def _maker(kinds: set[str]) -> Callable[[Sequence[Any]], pa.Array]:
    kind = {"bool": pa.bool_(), "int": pa.int64(), "float": pa.float64()}.get(*kinds) if len(kinds) == 1 else None
    if kind is not None:
        return lambda values: pa.array(values, kind)
    return lambda values: pa.array([None if value is None else str(value) for value in values], pa.string())


def _key_texts(keys: np.ndarray) -> list[str | None]:
    return [f"{key:09d}" if key >= 0 else None for key in keys.tolist()]
