"""The columns of a context, of which those that are one place of a week among many take the memory and the time of one."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from peoria.stats.metrics import Floats

NOWHERE = -1  # the place of a picture that is none of the context's


class Differences(NamedTuple):
    """Of P pairs of pictures, K columns [P, K]: D of them as they are, then those of the places, of which a pair has two at most."""

    dense: Floats  # [P, D]
    places: csr_array | None  # [P, S], what is not 0

    def gram(self) -> Floats:
        """Sums of products of any two columns: [K, K]."""
        of_dense = self.dense.T @ self.dense
        if self.places is None:
            return of_dense
        across = self.places.T @ self.dense
        return np.block([[of_dense, across.T], [across, (self.places.T @ self.places).toarray()]])

    def products(self, target: Floats) -> Floats:
        """Sums of products with each column of ``target`` [P, C]: [K, C]."""
        of_dense = self.dense.T @ target
        return of_dense if self.places is None else np.concatenate([of_dense, self.places.T @ target])

    def __matmul__(self, slopes: Floats) -> Floats:
        """[P, C], of slopes [K, C]."""
        num = self.dense.shape[1]
        found: Floats = self.dense @ slopes[:num]
        return found if self.places is None else found + self.places @ slopes[num:]


@dataclass(frozen=True, eq=False)
class Columns:
    """[N, K] of mean 0 and spread 1, float64: D as they are, then one for each of S places."""

    dense: Floats  # [N, D]
    places: NDArray[np.int64] | None = None  # [N], of S, or NOWHERE
    low: Floats | None = None  # [S], of a picture that is not at the place
    rise: Floats | None = None  # [S], more than that where it is

    @classmethod
    def at_places(cls, dense: Floats, places: NDArray[np.int64]) -> "Columns":
        """With an indicator of each of the ``places`` [N] that is taken; none where they are all one."""
        place, counted = np.unique(places, return_inverse=True, return_counts=True)[1:]
        if len(counted) < 2:
            return cls(dense)
        share = counted / len(places)
        spread = np.sqrt(share * (1 - share))
        return cls(dense, place, -share / spread, 1 / spread)

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.dense), self.dense.shape[1] + (0 if self.low is None else len(self.low))

    def __getitem__(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Floats:
        """Some rows, all columns: [R, K]."""
        dense = self.dense[rows]
        if self.places is None or self.low is None or self.rise is None:
            return dense
        places = self.places[rows]
        there = np.flatnonzero(places != NOWHERE)
        found = np.where((places != NOWHERE)[:, None], self.low, 0.0)
        found[there, places[there]] += self.rise[places[there]]
        return np.concatenate([dense, found], axis=1)

    def __matmul__(self, slopes: Floats) -> Floats:
        """[N, C], of slopes [K, C]."""
        num = self.dense.shape[1]
        found: Floats = self.dense @ slopes[:num]
        if self.places is None or self.low is None or self.rise is None:
            return found
        of_place = self.low @ slopes[num:] + self.rise[:, None] * slopes[num:]
        return found + np.where((self.places != NOWHERE)[:, None], of_place[self.places], 0.0)

    def placed(self, rows: NDArray[np.int64], num: int) -> "Columns":
        """Of ``num`` pictures, of which these are ``rows``; 0 for the others."""
        dense, places = np.zeros((num, self.dense.shape[1])), None
        dense[rows] = self.dense
        if self.places is not None:
            places = np.full(num, NOWHERE)
            places[rows] = self.places
        return Columns(dense, places, self.low, self.rise)

    def differences(self, a: NDArray[np.int64], b: NDArray[np.int64]) -> Differences:
        """Rows ``a`` [P] less rows ``b`` [P]. What a picture that is nowhere is compared with does not matter."""
        dense = self.dense[a] - self.dense[b]
        if self.places is None or self.rise is None:
            return Differences(dense, None)
        ends = np.stack([self.places[a], self.places[b]], axis=1)
        values = self.rise[ends] * np.array([1.0, -1.0])
        starts = np.arange(0, 2 * len(ends) + 1, 2)
        return Differences(dense, csr_array((values.ravel(), ends.ravel(), starts), shape=(len(ends), len(self.rise))))
