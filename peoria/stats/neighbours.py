"""Whether a picture's score tells its own views better than its neighbours in time do: the control for what changes within an owner.

An owner's fame, camera, subject and audience change, and with them looks and views; two pictures of one owner in one month do not hold that fixed.
What changes and stays for a while is shared by neighbours in time. So each picture is compared with the one before in its score and with the one
after in its views, and the other way round: the two differences have one picture in common, this one. A step, however large, lies on one side of
it, so one of the two differences is free of it; a drift moves them in opposite directions; what wanders without memory moves them independently.
Only what is of the picture alone moves both. The idea is that of a negative control (Lipsitch, Tchetgen Tchetgen & Cohen 2010, "Negative controls: a
tool for detecting confounding and bias in observational studies", Epidemiology 21:383-388).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from peoria.stats.clusters import Clusters
from peoria.stats.columns import Differences
from peoria.stats.context import DAY_S, Context, ratios, slopes_of_differences
from peoria.stats.metrics import Floats, normal_scores, rankable

DIFFERENCES_A_COLUMN = 5  # of neighbours, for each column that is taken out of them: with fewer the fit takes out what is the picture's
LASTING_LAG = 4
FARTHEST = 8  # pictures between which the control looks
CLIPPED = 4.0  # standard deviations, of values on a scale of their own
RIDGE = 1e-4  # for columns that are one another's sum


class Series(NamedTuple):
    """The N' pictures of known owner and date, by owner and then by time."""

    rows: NDArray[np.int64]  # [N'], of the split
    units: NDArray[np.int64]  # [N'], owners
    days: Floats  # [N']
    middle: NDArray[np.int64]  # [W], places in this order of pictures with a neighbour of the same owner on both sides
    owners: Clusters  # of those
    max_days: float

    def lagged(self, lag: int) -> NDArray[np.int64]:
        """Places of pictures whose ``lag``-th successor is the same owner's, at most ``max_days`` later."""
        same = self.units[lag:] == self.units[:-lag]
        return np.flatnonzero(same & (self.days[lag:] - self.days[:-lag] <= self.max_days))


def series(clusters: Clusters, uploaded_at: ArrayLike, max_days: float) -> Series:
    """
    Args:
        uploaded_at: datetime64 [N], NaT where unknown.
        max_days: between a picture and its neighbour.
    """
    uploaded = np.asarray(uploaded_at, "datetime64[s]")
    rows = np.flatnonzero(clusters.known & ~np.isnat(uploaded))
    seconds = uploaded.astype(np.int64)
    rows = rows[np.lexsort((seconds[rows], clusters.units[rows]))]
    units, days = clusters.units[rows], seconds[rows] / DAY_S
    near = np.zeros(max(len(rows) - 1, 0), bool)
    if len(rows) > 1:
        # of two pictures with one time, as where dates have no hour, it is not known which came first
        near = (units[1:] == units[:-1]) & (days[1:] - days[:-1] <= max_days) & (days[1:] > days[:-1])
    middle = np.flatnonzero(near[:-1] & near[1:]) + 1
    return Series(rows, units, days, middle, Clusters.of(units[middle]), max_days)


def enough_differences(of: Series, context: Context | None) -> bool:
    """Whether there are so many of neighbours that the context can be taken out of them."""
    return context is None or len(of.lagged(1)) >= DIFFERENCES_A_COLUMN * int(context.apart.sum())


class Neighbours(NamedTuple):
    """Of one score: correlations on normal scores of ranks, and on the values' own scale, each with its resamples [B]."""

    ranks: tuple[float, Floats]
    values: tuple[float, Floats]


def bootstrap_neighbours(
    scores: Mapping[str, ArrayLike], y: ArrayLike, of: Series, context: Context | None, num_resamples: int = 2000, seed: int = 0
) -> dict[str, Neighbours]:
    """The correlation of score and ``y`` that is of the picture alone, and the same over resampled owners, those with three pictures in a row; {}
    without any.

    For a picture at t: ½·[(s_t − s_{t−1})·(y_t − y_{t+1}) + (s_t − s_{t+1})·(y_t − y_{t−1})], over the spread of such differences. What of the
    context sets neighbours apart (hour, weekday, tags) is taken out first, by least squares on the differences of neighbours. A score that is a sum
    of parts on its own scale is none on the scale of ranks, nor the other way round, and what is no sum is not wholly taken out: so both are given.

    Args:
        scores: [N] each.
        y: [N], log views or 0 and 1.
        context: of the pictures of ``of.rows``, in their order.
    """
    if not of.owners.num:
        return {}
    columns = {name: np.asarray(score, np.float64)[of.rows] for name, score in scores.items()}
    own = np.asarray(y, np.float64)[of.rows]
    found = []
    for scale in (_by_rank, _by_value):
        stacked = np.stack([scale(own), *(scale(column) for column in columns.values())])
        left = stacked if context is None else without_differences(stacked, of, context)
        found.append(ratios(_own_terms(left, of.middle), of.owners, num_resamples, seed))
    return {name: Neighbours(ranks, values) for name, ranks, values in zip(columns, *found, strict=True)}


def bootstrap_control(
    scores: Mapping[str, ArrayLike], y: ArrayLike, of: Series, context: Context | None, num_resamples: int = 2000, seed: int = 0
) -> dict[str, tuple[float, Floats, Clusters]]:
    """The negative control: whether the scores of two pictures tell the views of two others between them, as nothing of a picture could.

    Correlation of s_t − s_{t+k} and y_{t+1} − y_{t+k−1} within owners, k from 3 to 8: 0 without anything that changes within owners and moves both.
    Name → (value, resamples [B], owners).
    """
    stacked = np.stack([_by_rank(np.asarray(column, np.float64)[of.rows]) for column in (y, *scores.values())])
    left = stacked if context is None else without_differences(stacked, of, context, lasting=True)
    terms, units = [], []
    for lag in range(3, FARTHEST + 1):
        t = of.lagged(lag)
        apart = left[:, t] - left[:, t + lag]
        of_y = left[0, t + 1] - left[0, t + lag - 1]
        terms.append(np.concatenate([(of_y**2)[None], apart[1:] * of_y, apart[1:] ** 2]))
        units.append(of.units[t])
    owners = Clusters.of(np.concatenate(units))
    if not owners.num:
        return {}
    found = ratios(np.concatenate(terms, axis=1), owners, num_resamples, seed)
    return {name: (value, samples, owners) for name, (value, samples) in zip(scores, found, strict=True)}


def explained_by_context(scores: Mapping[str, ArrayLike], y: ArrayLike, of: Series, context: Context) -> dict[str, float]:
    """√(R² of the score · R² of ``y``) of what sets neighbours apart, from their differences: what a known factor within owners amounts to."""
    stacked = np.stack([_by_rank(np.asarray(column, np.float64)[of.rows]) for column in (y, *scores.values())])
    left = without_differences(stacked, of, context)
    t, columns = of.lagged(1), int(context.apart.sum())
    if len(t) <= columns + 1:
        return dict.fromkeys(scores, 0.0)
    before, after = (((of_all[:, t + 1] - of_all[:, t]) ** 2).sum(axis=1) for of_all in (stacked, left))
    share = 1 - np.divide(after, before, out=np.ones_like(after), where=before > 0) * (len(t) - 1) / (len(t) - columns - 1)
    share = np.clip(share, 0.0, 1.0)
    return {name: float(np.sqrt(share[0] * of_score)) for name, of_score in zip(scores, share[1:], strict=True)}


def two_way(terms: Floats, owners: Clusters, groups: Clusters) -> float:
    """Variance of the sum of ``terms`` [W] of pictures that are alike within owners and within groups, over that of pictures alike within owners
    alone.

    Owners' and groups' less that of their intersection (Cameron, Gelbach & Miller 2011, "Robust inference with multiway clustering", Journal of
    Business & Economic Statistics 29:238-249); at least 1.
    """
    left = terms - terms.mean()
    both = np.unique(np.stack([owners.units, groups.units]), axis=1, return_inverse=True)[1].ravel()
    of_owners, of_groups, of_both = (float((np.bincount(units, weights=left) ** 2).sum()) for units in (owners.units, groups.units, both))
    return max(1.0, (of_owners + of_groups - of_both) / of_owners) if of_owners > 0 else 1.0


def without_differences(stacked: Floats, of: Series, context: Context, lasting: bool = False) -> Floats:
    """[C, N'] less a linear function of what of the context sets neighbours apart, fitted to their differences; with ``lasting`` of all of it.

    What lasts is otherwise left to the comparison itself: a trend that is taken out of a series with steps leaves its opposite between them.
    """
    x, lag = context.columns, LASTING_LAG if lasting else 1  # what lasts hardly differs between neighbours
    t = of.lagged(lag)
    if not len(t):
        return stacked
    kept = np.ones(x.shape[1], bool) if lasting else context.apart  # of places always: they are hours

    def apart(rows: slice) -> Differences:
        dense, places = x.differences(t[rows] + lag, t[rows])
        return Differences(dense * kept[: dense.shape[1]], places)

    slopes = slopes_of_differences(apart, stacked[:, t + lag] - stacked[:, t], RIDGE)
    return stacked - (x @ slopes).T


def contributions(score: ArrayLike, y: ArrayLike, of: Series, context: Context | None) -> Floats:
    """What each picture with neighbours brings to the correlation on ranks: [W]."""
    stacked = np.stack([_by_rank(np.asarray(column, np.float64)[of.rows]) for column in (y, score)])
    left = stacked if context is None else without_differences(stacked, of, context)
    return _products(left[1], left[0], of.middle)


def _products(x: Floats, y: Floats, middle: NDArray[np.int64]) -> Floats:
    before, after = middle - 1, middle + 1
    found: Floats = ((x[middle] - x[before]) * (y[middle] - y[after]) + (x[middle] - x[after]) * (y[middle] - y[before])) / 2
    return found


def _own_terms(left: Floats, middle: NDArray[np.int64]) -> Floats:
    """For `ratios`: of y, first of ``left`` [1 + C, N'], and C scores: [1 + 2C, W]."""
    squares = ((left[:, middle] - left[:, middle - 1]) ** 2 + (left[:, middle] - left[:, middle + 1]) ** 2) / 4
    products = [_products(column, left[0], middle) for column in left[1:]]
    return np.concatenate([squares[:1], np.stack(products), squares[1:]])


def _by_rank(column: Floats) -> Floats:
    return normal_scores(column, column) if rankable(column) else np.zeros(len(column))


def _by_value(column: Floats) -> Floats:
    """Of mean 0 and spread 1, the farthest values drawn in."""
    if not rankable(column):
        return np.zeros(len(column))
    column = column / np.abs(column).max()  # so that no square overflows
    middle = np.median(column)
    low, high = np.quantile(column, [0.01, 0.99])
    if low < high:
        farthest = CLIPPED * (high - low) / 4  # between the two are about 4 standard deviations
        column = np.clip(column, middle - farthest, middle + farthest)
    spread = column.std()
    return (column - column.mean()) / spread if spread > 0 else np.zeros(len(column))
