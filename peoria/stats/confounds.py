"""How much of a rank correlation is left when a picture's age, or its owner, is held fixed.

Total views grow with age, and an owner who is followed is viewed whatever is shown; a score that tells either from the picture correlates with
views without any appeal of the picture. Two numbers hold them fixed: the correlation given upload age holds age; the share of pairs of one
owner, near in time, that the score puts in the right order, less what age puts right, holds both. Age has to be taken out of the pairs too:
where fame and age both show in the look, fame is left given age, and in 30 days something of age is left between the two of a pair.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from peoria.errors import PeoriaError
from peoria.stats.bootstrap import bootstrap_sums
from peoria.stats.clusters import Clusters
from peoria.stats.metrics import Floats, pearson, rankable

AGE_KNOTS = (0.25, 0.5, 0.75)  # of the rank of age; with cubic pieces 6 degrees of freedom beside the constant


def without_age(values: ArrayLike, age_days: ArrayLike) -> Floats:
    """Ranks of ``values`` [N] less a smooth function of the rank of ``age_days`` [N] (any unit, finite): residuals [N].

    The function is a cubic spline fitted by least squares. All zeros where the values rank nothing, or where age alone orders them.
    """
    from scipy.stats import rankdata

    values, age_days = np.asarray(values, np.float64), np.asarray(age_days, np.float64)
    if values.shape != age_days.shape or not np.isfinite(age_days).all():
        raise PeoriaError(f"age_days: shape {age_days.shape}; a finite age for each of the {len(values):,} pictures is needed")
    if not rankable(values):
        return np.zeros(len(values))
    ranks = rankdata(values)
    ranks -= ranks.mean()
    basis = _age_basis(age_days)
    residuals: Floats = ranks - basis @ np.linalg.lstsq(basis, ranks, rcond=None)[0]
    # Where nothing but rounding is left, its correlation would be noise taken for a finding.
    return residuals if residuals.std() > 1e-6 * ranks.std() else np.zeros(len(values))


def given_age(score: ArrayLike, views: ArrayLike, age_days: ArrayLike) -> float:
    """Partial rank correlation of ``score`` and ``views`` [N] given age: Pearson's of the two ``without_age`` residuals; 0.0 where undefined."""
    return pearson(without_age(score, age_days), without_age(views, age_days))


def bootstrap_given_age(
    scores: Mapping[str, ArrayLike], views: ArrayLike, age_days: ArrayLike, clusters: Clusters, num_resamples: int = 2000, seed: int = 0
) -> dict[str, Floats]:
    """``given_age`` of each score over resampled owners: name → [num_resamples].

    Ranks are those of the whole split; the function of age is fitted anew in each resample. Owners upload within a few weeks, so that a split
    of few owners knows little of age: with the fit held fixed, 95 % intervals over 60 owners held the truth in 93 % (simulated).
    """
    age_days = np.asarray(age_days, np.float64)
    left = [without_age(values, age_days) for values in (views, *scores.values())]
    columns = np.stack([column / (column.std() or 1.0) for column in left])  # [1 + S, N], views first; of unit size, so that no digits are lost
    basis = _age_basis(age_days).T
    k, c = len(basis), len(columns)
    terms = [basis[:, None] * basis, columns[:, None] * basis, columns[:, None] * columns[:1], columns[:, None] ** 2]
    totals = bootstrap_sums(np.concatenate([term.reshape(-1, len(age_days)) for term in terms]), clusters, num_resamples, seed)
    gram, cross, products, squares = np.split(totals, np.cumsum([k * k, c * k, c]), axis=1)
    cross = cross.reshape(-1, c, k)
    # a resample without pictures of some age leaves a piece of the spline empty
    explained = cross @ np.linalg.pinv(gram.reshape(-1, k, k), rcond=1e-10, hermitian=True)  # [B, 1 + S, k]
    products = products - np.einsum("bck,bk->bc", explained, cross[:, 0])
    unexplained = squares - np.einsum("bck,bck->bc", explained, cross)
    norm = unexplained[:, :1] * unexplained
    rho = np.divide(products, np.sqrt(np.maximum(norm, 0)), out=np.zeros_like(norm), where=norm > 1e-12 * squares[:, :1] * squares)
    return {name: rho[:, i] for i, name in enumerate(scores, start=1)}


class Pairs(NamedTuple):
    """Pairs of pictures of one owner with different views."""

    more: NDArray[np.int64]  # [P], index of the picture with more views
    fewer: NDArray[np.int64]  # [P]
    owners: Clusters  # of the pairs
    age: Floats  # [P, 8], what age may tell of the order: ±1 for which is older, and the difference of the spline's pieces; [P, 0] without dates


def within_owner_pairs(
    clusters: Clusters, uploaded_at: ArrayLike | None, views: ArrayLike, max_days: float = 30, age_days: ArrayLike | None = None
) -> Pairs:
    """All pairs of one known owner, at most ``max_days`` apart in upload, with different views.

    ``uploaded_at`` (datetime64 [N], NaT where unknown) may be ``None``: then all pairs of an owner, and age is not held fixed. A picture without
    owner, or without date in a set with dates, is in no pair. ``age_days`` [N] is the age when the counts were read; without it all
    were read at one time.
    """
    views = np.asarray(views)
    units = clusters.units  # an unknown owner has a cluster of one picture, and so no pair
    rows, seconds, basis = np.arange(len(views)), np.zeros(len(views), np.int64), np.empty((len(views), 0))
    ages = np.zeros(len(views))
    if uploaded_at is not None:
        uploaded = np.asarray(uploaded_at, "datetime64[s]")
        seconds = uploaded.astype(np.int64)
        ages = -seconds / 86_400 if age_days is None else np.asarray(age_days, np.float64)
        rows = np.flatnonzero(~np.isnat(uploaded) & np.isfinite(ages))
        basis = np.zeros((len(views), len(AGE_KNOTS) + 4))
        basis[rows] = _age_basis(ages[rows])
    rows = rows[np.lexsort((seconds[rows], units[rows]))]
    first, second = [], []
    for lag in range(1, len(rows)):
        a, b = rows[:-lag], rows[lag:]
        near = (units[a] == units[b]) & (seconds[b] - seconds[a] <= max_days * 86_400)
        if not near.any():  # sorted by time within owners: a longer lag only lies farther apart
            break
        first.append(a[near])
        second.append(b[near])
    i, j = (np.concatenate(side) if side else np.empty(0, np.int64) for side in (first, second))
    differ = views[i] != views[j]
    i, j = i[differ], j[differ]
    i_has_more = views[i] > views[j]
    more, fewer = np.where(i_has_more, i, j), np.where(i_has_more, j, i)
    age = basis[more] - basis[fewer]
    if uploaded_at is not None:
        age = np.column_stack([np.sign(ages[more] - ages[fewer]), age])
    return Pairs(more, fewer, Clusters.of(units[i]), age)  # drawn in the order of their numbers as text


def pair_accuracy(score: ArrayLike, pairs: Pairs) -> float | None:
    """Share of pairs in which the picture with more views has the higher score, ties half, less what age puts right; 0.5 at chance, ``None``
    without pairs.

    Of the sign of a pair's difference in score, and of that in views, what ``pairs.age`` tells is taken by least squares; ½ + ½·(the mean
    product of what is left). Where age tells nothing of either, that is the plain share. It is the linear model of paired comparisons with
    a fixed effect for each owner, which a difference within an owner leaves out, and with the same function of age for all.
    """
    return float(np.mean(_agreements({"score": score}, pairs)[0])) if len(pairs.more) else None


def bootstrap_pair_accuracy(scores: Mapping[str, ArrayLike], pairs: Pairs, num_resamples: int = 2000, seed: int = 0) -> dict[str, Floats] | None:
    """``pair_accuracy`` of each score over resampled owners (those with pairs): ratio of sums of agreeing and all pairs: name → [num_resamples].

    The function of age is fitted once, on the whole split, and held fixed.
    """
    if not len(pairs.more):
        return None
    terms = np.concatenate([np.ones((1, len(pairs.more))), _agreements(scores, pairs)])
    totals = bootstrap_sums(terms, pairs.owners, num_resamples, seed)
    return dict(zip(scores, (totals[:, 1:] / totals[:, :1]).T, strict=True))


def _agreements(scores: Mapping[str, ArrayLike], pairs: Pairs) -> Floats:
    """[scores, P], without age 1 for a pair in the right order, 0 in the wrong one, ½ for a tie or a score that ranks nothing."""
    columns = [np.asarray(score, np.float64) for score in scores.values()]
    signs = [np.sign(c[pairs.more] - c[pairs.fewer]) if rankable(c) else np.zeros(len(pairs.more)) for c in columns]
    left = np.stack([np.ones(len(pairs.more)), *signs], axis=1)  # the first: the picture with more views has more views
    if pairs.age.shape[1]:
        left -= pairs.age @ np.linalg.lstsq(pairs.age, left, rcond=None)[0]
    agreements: Floats = (1 + left[:, :1] * left[:, 1:]).T / 2
    return agreements


def _age_basis(age_days: Floats) -> Floats:
    """Cubic B-splines of the rank of age: [N, 7], summing to 1."""
    from scipy.interpolate import BSpline
    from scipy.stats import rankdata

    age = (rankdata(age_days) - 0.5) / len(age_days)
    basis: Floats = BSpline.design_matrix(age, np.concatenate([[0.0] * 4, AGE_KNOTS, [1.0] * 4]), 3).toarray()
    return basis
