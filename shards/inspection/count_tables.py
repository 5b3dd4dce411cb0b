"""The paper's Tables 1 and 2: how the counts of pictures are distributed, and how they go together."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from shards.counts import Counts, counted

COUNTS = ("views", "favorites", "comments")


@dataclass(frozen=True)
class CountSummary:
    """A row of Table 1: one count of a set of pictures, of those where it is known, in that count's unit."""

    mean: float
    sd: float | None  # with n − 1; None of one picture
    sd_population: float  # with n
    max: int
    share_zero: float  # of pictures, 0 to 1


@dataclass(frozen=True)
class CountTables:
    """Tables 1 and 2 of one set of pictures."""

    num_pictures: int
    table_1: dict[str, CountSummary]  # by count
    table_2: dict[
        str, float | None
    ]  # Pearson's correlation of each pair, as in "views favorites", where both are known; None where one does not vary

    @classmethod
    def of(cls, columns: Mapping[str, Counts]) -> "CountTables":
        """
        Args:
            columns: views and what else is known of the counts, int64 [N] each or partly known, N at least 1.
        """
        pairs = combinations(columns, 2)
        return cls(
            len(columns["views"]),
            {name: _summary(counted(column)[1]) for name, column in columns.items()},
            {f"{first} {second}": _pearson(*both_known(columns[first], columns[second])) for first, second in pairs},
        )


def both_known(first: Counts, second: Counts) -> tuple[np.ndarray, np.ndarray]:
    """Two counts of the pictures where both are known, int64 [K] each."""
    (rows, values), (other_rows, other_values) = counted(first), counted(second)
    _, here, there = np.intersect1d(rows, other_rows, assume_unique=True, return_indices=True)
    return values[here], other_values[there]


def _summary(column: np.ndarray) -> CountSummary:
    return CountSummary(
        mean=float(column.mean()),
        sd=float(column.std(ddof=1)) if len(column) > 1 else None,
        sd_population=float(column.std()),
        max=int(column.max()),
        share_zero=float((column == 0).mean()),
    )


def _pearson(first: np.ndarray, second: np.ndarray) -> float | None:
    if len(first) < 2 or first.min() == first.max() or second.min() == second.max():
        return None
    return float(np.corrcoef(first, second)[0, 1])
