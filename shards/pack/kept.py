"""The kept pictures of a set as numbers alone, read a group of rows at a time."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from shards.counts import Counts, counts_of, known_of
from shards.labels import OPTIONAL_COUNTS, TIMES
from shards.manifest import SPLITS

if TYPE_CHECKING:
    import pyarrow as pa

NUMBERS = ("split", "owner", "views", *OPTIONAL_COUNTS, *TIMES)  # the columns of labels.parquet that it is made of


@dataclass(frozen=True)
class Kept:
    """What is counted of N pictures, in at most 60 bytes each: of owners a digest, no text. Columns that the table did not have are not there."""

    split: np.ndarray  # int8 [N], a place in SPLITS
    owner: np.ndarray  # uint64 [N], the same for the same owner; 0 where unknown
    views: np.ndarray  # int64 [N]
    counts: dict[str, Counts]  # favorites, comments: int64 [N], or partly known
    times: dict[str, np.ndarray]  # uploaded_at, observed_at: datetime64[s] [N], NaT where unknown
    there: tuple[str, ...] = ()  # the optional columns that the table had, if only for no picture

    def __len__(self) -> int:
        return len(self.views)

    @classmethod
    def of(cls, tables: "Iterable[pa.Table]") -> "Kept":
        """Of the rows of labels.parquet, in tables that follow one another; other columns than `NUMBERS` are not looked at."""
        reading = Reading()
        for table in tables:
            reading.add(table)
        return reading.kept()

    def take(self, rows: np.ndarray) -> "Kept":
        """The pictures of a mask, bool [N]."""
        counts = {name: taken for name, column in self.counts.items() if (taken := column[rows]) is not None}
        times = {name: column[rows] for name, column in self.times.items()}
        return Kept(self.split[rows], self.owner[rows], self.views[rows], counts, times, self.there)

    def of_split(self, split: str) -> "Kept":
        return self.take(self.split == SPLITS.index(split))

    @property
    def unknown(self) -> dict[str, int]:
        """Pictures without an optional value, of those columns that some lack."""
        num = {name: int((~known_of(self.counts.get(name), len(self))).sum()) for name in OPTIONAL_COUNTS if name in self.there}
        num |= {name: int(np.isnat(column).sum()) for name, column in self.times.items()}
        return {name: lacking for name, lacking in num.items() if lacking}

    @property
    def sizes(self) -> np.ndarray:
        """Pictures of each known owner, int64 [O]."""
        return np.unique(self.owner[self.owner != 0], return_counts=True)[1]

    @property
    def units(self) -> np.ndarray:
        """Pictures of each known owner, and 1 for each picture of an unknown one, int64 [U]."""
        return np.concatenate([self.sizes, np.ones(self.num_unknown_owners, np.int64)])

    @property
    def num_units(self) -> int:
        return len(self.units)

    @property
    def num_unknown_owners(self) -> int:
        """Pictures whose owner is unknown."""
        return int((self.owner == 0).sum())


class Reading:
    """A `Kept` while its rows come."""

    def __init__(self) -> None:
        self._parts: dict[str, list[np.ndarray]] = {}

    def add(self, table: "pa.Table") -> None:
        for name in NUMBERS:
            if name in table.column_names:
                for part, values in _numbers(name, table[name]).items():
                    self._parts.setdefault(part, []).append(values)

    def kept(self) -> Kept:
        whole: dict[str, np.ndarray] = {}
        for name in list(self._parts):  # one column at a time twice in memory
            whole[name] = np.concatenate(self._parts.pop(name))
        counts = {name: counts_of(whole[name], whole[f"{name} known"]) for name in OPTIONAL_COUNTS if name in whole}
        known = {name: column for name, column in counts.items() if column is not None}
        times = {name: whole[name] for name in TIMES if name in whole}
        return Kept(whole["split"], whole["owner"], whole["views"], known, times, (*counts, *times))


def _numbers(name: str, column: "pa.ChunkedArray") -> dict[str, np.ndarray]:
    import pyarrow as pa
    import pyarrow.compute as pc

    if name == "split":
        return {name: pc.index_in(column, value_set=pa.array(SPLITS)).to_numpy().astype(np.int8)}
    if name == "owner":
        coded = column.combine_chunks().dictionary_encode()
        digests = np.array([_digest(owner) for owner in coded.dictionary.to_pylist()], np.uint64)
        return {name: digests[coded.indices.to_numpy(zero_copy_only=False)]}
    if name in TIMES:
        return {name: column.to_numpy().astype("datetime64[s]")}
    known = column.is_valid().to_numpy()
    values = pc.fill_null(column, 0).to_numpy().astype(np.int64)
    return {name: values} if name == "views" else {name: values[known], f"{name} known": known}


def _digest(owner: str) -> int:
    """0 for unknown; two owners of a million have the same once in 30 million sets."""
    return int.from_bytes(hashlib.blake2b(owner.encode(), digest_size=8).digest()) if owner else 0
