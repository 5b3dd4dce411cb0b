"""The owners of a split as the clusters that its pictures come in."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class Clusters:
    """Who owns the N pictures of a split, worked out once. A picture of an unknown owner is a cluster of its own."""

    units: NDArray[np.int64]  # [N], the number of each picture's cluster
    sizes: NDArray[np.float64]  # [U], pictures of each cluster
    names: NDArray[np.str_]  # [K ≤ U], the known owners in order, who are clusters 0 to K − 1

    @classmethod
    def of(cls, owners: ArrayLike) -> "Clusters":
        """Of the owner of each picture [N], compared as text; ``""`` is unknown."""
        owners = np.asarray(owners).astype(str)
        names, units = _numbered(owners, owners != "")
        return cls(units, _sizes(units), names)

    @property
    def num(self) -> int:
        """How many clusters there are."""
        return len(self.sizes)

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether each picture's owner is known: [N]."""
        return self.units < len(self.names)

    @cached_property
    def effective(self) -> float:
        """How many clusters of equal size would say as much about the spread of an estimate: (Σm²)² / Σm⁴ of clusters of m pictures (or pairs).

        The effective number of clusters of Carter, Schnepel & Steigerwald (2017, "Asymptotic Behavior of a t-Test Robust to Cluster
        Heterogeneity", Review of Economics and Statistics 99:698-709), 1 / Σγ² of the shares γ of the variance, with a share taken as m²: of
        owners whose pictures are alike. That is on the safe side.
        """
        squares = self.sizes**2
        if not self.num:
            return 0.0
        return float(squares.sum() ** 2 / (squares @ squares))

    def take(self, rows: ArrayLike) -> "Clusters":
        """Of some of the pictures, by index or by mask [N]; as `of` their owners."""
        units = self.units[np.asarray(rows)]
        kept, units = _numbered(units, units < len(self.names))
        return Clusters(units, _sizes(units), self.names[kept])


def _numbered(values: NDArray, known: NDArray[np.bool_]) -> tuple[NDArray, NDArray[np.int64]]:
    """(the different known values [K] in order, a number for each value [N]); unknown ones are counted on from K."""
    different, place = np.unique(values[known], return_inverse=True)
    numbers = np.empty(len(values), np.int64)
    numbers[known] = place
    numbers[~known] = len(different) + np.arange(int((~known).sum()))
    return different, numbers


def _sizes(units: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.bincount(units).astype(np.float64)
