"""The cluster bootstrap, for the rank metrics of several predictors at once.

Owners, not pictures, are drawn with replacement, each with all its pictures (Field & Welsh 2007, "Bootstrapping clustered data", Journal of the
Royal Statistical Society B 69:369-390): pictures of one owner are alike in looks and in fame, so that an interval over pictures
would be too narrow. A resample is kept as a weight for each picture (how often its owner was drawn); ranks come from cumulative sums of
weights over an order sorted once. The same seed gives every statistic and every predictor the same resamples, so that differences are paired.
"""

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from peoria.errors import PeoriaError
from peoria.stats.clusters import Clusters
from peoria.stats.metrics import Floats, rankable, two_classes

CHUNK = 16  # resamples held at once: 16 · 80,000 pictures · 4 bytes = 5 MB
SEEDS_STREAM = 1  # keeps the draws of seeds apart from those of owners


def owner_weights(clusters: Clusters, num_resamples: int, seed: int, chunk: int = CHUNK) -> Iterator[NDArray[np.int32]]:
    """Yields int32 [b, N], b ≤ ``chunk``: how often picture ``i``'s owner was drawn in each of ``num_resamples`` resamples.

    As many clusters are drawn as there are. The draws do not depend on ``chunk``.
    """
    for drawn in _draws(clusters.num, num_resamples, seed, chunk):
        yield drawn[:, clusters.units]


def bootstrap_spearman(
    scores: Mapping[str, ArrayLike], y: ArrayLike, clusters: Clusters, num_resamples: int = 2000, seed: int = 0
) -> dict[str, Floats]:
    """``metrics.spearman`` of each score [N] with ``y`` [N] in each resample: name → [num_resamples].

    The value is that of the resample written out picture by picture, ties at their average rank; 0.0 where the score is constant or not
    finite, and in a resample that leaves one value only.
    """
    y = np.asarray(y, np.float64)
    columns = _columns(scores, y)
    result = {name: np.zeros(num_resamples) for name in columns}
    if not rankable(y):
        return result
    of_y = _Order.of(y)
    # All pictures are put in the order of y once, so that y itself needs no gather in the loop.
    orders = {name: _Order.of(column[of_y.order]) for name, column in columns.items() if rankable(column)}
    units = clusters.units[of_y.order]
    done = 0
    for drawn in _draws(clusters.num, num_resamples, seed):
        weights = drawn[:, units]
        for k, row in enumerate(weights.astype(np.float64), start=done):
            tie_weights = of_y.merge(row)
            tie_ranks = _centred_ranks(tie_weights)
            norm_y = _dot(tie_weights, tie_ranks * tie_ranks)
            weighted_ranks = row * of_y.spread(tie_ranks)
            for name, order in orders.items():
                merged = order.merge(row[order.order])
                ranks = _centred_ranks(merged)
                norm = norm_y * _dot(merged, ranks * ranks)
                if norm > 0:
                    result[name][k] = _dot(order.merge(weighted_ranks[order.order]), ranks) / np.sqrt(norm)
        done += len(weights)
    return result


def bootstrap_gini(
    scores: Mapping[str, ArrayLike], positive: ArrayLike, clusters: Clusters, num_resamples: int = 2000, seed: int = 0
) -> dict[str, Floats]:
    """``metrics.gini`` of each score [N] for the boolean ``positive`` [N] in each resample: name → [num_resamples].

    0.0 where the score is constant or not finite, and in a resample without one of the classes.
    """
    is_positive = np.asarray(positive).astype(bool).astype(np.float64)
    two_classes(is_positive, is_positive)
    columns = _columns(scores, is_positive)
    orders = {name: _Order.of(column) for name, column in columns.items() if rankable(column)}
    result = {name: np.zeros(num_resamples) for name in columns}
    done = 0
    for weights in owner_weights(clusters, num_resamples, seed):
        for k, row in enumerate(weights.astype(np.float64), start=done):
            of_positive = row * is_positive
            num_positive = of_positive.sum()
            num_pairs = num_positive * (row.sum() - num_positive)
            for name, order in orders.items():
                if num_pairs > 0:
                    positives = order.merge(of_positive[order.order])
                    negatives = order.merge(row[order.order]) - positives
                    below = np.cumsum(negatives) - negatives / 2  # negatives under each tie group, and half of those in it
                    result[name][k] = 2 * _dot(positives, below) / num_pairs - 1
        done += len(weights)
    return result


def bootstrap_sums(terms: Floats, clusters: Clusters, num_resamples: int, seed: int) -> Floats:
    """Sums over the pictures of each resample of ``terms`` [C, N]: [num_resamples, C]."""
    of_units = np.stack([np.bincount(clusters.units, weights=term) for term in terms])
    drawn = _draws(clusters.num, num_resamples, seed)
    totals: Floats = np.concatenate([np.einsum("bu,cu->bc", weights.astype(np.float64), of_units) for weights in drawn])
    return totals


def over_seeds(samples: ArrayLike, seed: int = 0) -> Floats:
    """The mean over seeds of one recipe, luck of the seeds included: samples [S, B] of S trainings, on the same owners → [B].

    To the mean over seeds in each resample of owners comes what S seeds drawn with replacement differ by from all S, taken from the means [S]
    over resamples. A mean of S draws varies by (S − 1)/S too little (Davison & Hinkley 1997, "Bootstrap Methods and their Application"), much
    where S is 5, so that difference is stretched by √(S / (S − 1)). To draw the rows of ``samples`` themselves, the
    pigeonhole bootstrap (Owen 2007, Annals of Applied Statistics 1:386-411), counts three times what a seed gains on some owners and loses on
    others; here it counts twice, still on the safe side. The draws are a stream of their own, other than that of the owners under the same
    ``seed``. One seed says nothing about luck: it is returned as it is.
    """
    samples = np.asarray(samples, np.float64)
    if samples.ndim != 2 or samples.size == 0:
        raise PeoriaError(f"samples: shape {samples.shape}; a row for each seed and a column for each resample are needed")
    num_seeds, num_resamples = samples.shape
    of_owners: Floats = samples.mean(axis=0)
    if num_seeds == 1:
        return of_owners
    drawn = np.random.default_rng([seed, SEEDS_STREAM]).multinomial(num_seeds, [1 / num_seeds] * num_seeds, num_resamples)  # [B, S]
    deviations = samples.mean(axis=1) - samples.mean()
    of_seeds: Floats = math.sqrt(num_seeds / (num_seeds - 1)) * np.einsum("bs,s->b", drawn / num_seeds, deviations)
    return of_owners + of_seeds


def seed_variance(samples: ArrayLike) -> float:
    """The part of the variance of `over_seeds` that is the luck of the seeds, of samples [S, B]: that of their means over resamples, by S."""
    samples = np.asarray(samples, np.float64)
    return float(samples.mean(axis=1).var(ddof=1) / len(samples)) if len(samples) > 1 else 0.0


def _draws(num_units: int, num_resamples: int, seed: int, chunk: int = CHUNK) -> Iterator[NDArray[np.int32]]:
    """Yields int32 [b, U]: how often each unit is among ``num_units`` units drawn with replacement."""
    rng = np.random.default_rng(seed)
    for start in range(0, num_resamples, chunk):
        num = min(chunk, num_resamples - start)
        drawn = [np.bincount(rng.integers(0, num_units, num_units), minlength=num_units) for _ in range(num)]
        yield np.array(drawn, np.int32)


class _Order(NamedTuple):
    """One column sorted once: its order [N], and where each group of tied values starts in it [G]."""

    order: NDArray[np.intp]
    starts: NDArray[np.intp]
    counts: NDArray[np.intp]

    @classmethod
    def of(cls, column: Floats) -> "_Order":
        order = np.argsort(column, kind="stable")
        sorted_column = column[order]
        starts = np.flatnonzero(np.concatenate([[True], sorted_column[1:] != sorted_column[:-1]]))
        return cls(order, starts, np.diff(starts, append=len(column)))

    def merge(self, in_order: Floats) -> Floats:
        """Sums [G] over tied pictures of values [N] that are already in this order."""
        if len(self.starts) == len(self.order):
            return in_order
        merged: Floats = np.add.reduceat(in_order, self.starts)
        return merged

    def spread(self, of_groups: Floats) -> Floats:
        """The value of its group for each picture [N], in this order."""
        spread: Floats = np.repeat(of_groups, self.counts)
        return spread


def _centred_ranks(weights: Floats) -> Floats:
    """Average rank less the mean rank [G], of tie groups with these weights [G] in the written-out resample."""
    ends: Floats = np.cumsum(weights)
    centred: Floats = ends - weights / 2 - ends[-1] / 2
    return centred


def _dot(a: Floats, b: Floats) -> float:
    """Σab, not by BLAS: its threads wait for one another at every short product, tenfold slower on a busy machine, and change the last bits."""
    return float(np.einsum("i,i", a, b))


def _columns(scores: Mapping[str, ArrayLike], like: Floats) -> dict[str, Floats]:
    columns = {name: np.asarray(score, np.float64) for name, score in scores.items()}
    problems = [f"{name}: shape {column.shape}; one value for each of the {len(like):,} pictures is needed"
                for name, column in columns.items() if column.shape != like.shape]  # fmt: skip
    if problems:
        raise PeoriaError(*problems)
    return columns
