"""How much of a rank correlation is left when a picture's age, or its owner, is held fixed.

Total views grow with age, and an owner who is followed is viewed whatever is shown; a score that tells either from the picture correlates with
views without any appeal of the picture. Two numbers hold them fixed: the correlation given upload age, and the share of pairs of one owner,
near in time, that the score puts in the right order.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from peoria.bootstrap import bootstrap_pearson, bootstrap_sums
from peoria.errors import PeoriaError
from peoria.metrics import Floats, owner_units, pearson, rankable

AGE_KNOTS = (0.25, 0.5, 0.75)  # of the rank of age; with cubic pieces 6 degrees of freedom beside the constant


def without_age(values: ArrayLike, age_days: ArrayLike) -> Floats:
    """Ranks of ``values`` [N] less a smooth function of the rank of ``age_days`` [N] (any unit, finite): residuals [N].

    The function is a cubic spline fitted by least squares. All zeros where the values rank nothing, or where age alone orders them.
    """
    from scipy.interpolate import BSpline
    from scipy.stats import rankdata

    values, age_days = np.asarray(values, np.float64), np.asarray(age_days, np.float64)
    if values.shape != age_days.shape or not np.isfinite(age_days).all():
        raise PeoriaError(f"age_days: shape {age_days.shape}; a finite age for each of the {len(values):,} pictures is needed")
    if not rankable(values):
        return np.zeros(len(values))
    ranks = rankdata(values)
    ranks -= ranks.mean()
    age = (rankdata(age_days) - 0.5) / len(values)
    knots = np.concatenate([[0.0] * 4, AGE_KNOTS, [1.0] * 4])
    basis = BSpline.design_matrix(age, knots, 3).toarray()
    residuals: Floats = ranks - basis @ np.linalg.lstsq(basis, ranks, rcond=None)[0]
    # Where nothing but rounding is left, its correlation would be noise taken for a finding.
    return residuals if residuals.std() > 1e-6 * ranks.std() else np.zeros(len(values))


def given_age(score: ArrayLike, views: ArrayLike, age_days: ArrayLike) -> float:
    """Partial rank correlation of ``score`` and ``views`` [N] given age: Pearson's of the two ``without_age`` residuals; 0.0 where undefined."""
    return pearson(without_age(score, age_days), without_age(views, age_days))


def bootstrap_given_age(
    scores: Mapping[str, ArrayLike], views: ArrayLike, age_days: ArrayLike, owners: ArrayLike, num_resamples: int = 2000, seed: int = 0
) -> dict[str, Floats]:
    """``given_age`` of each score over resampled owners: name → [num_resamples].

    Ranks and spline are fitted once, on the whole split, and the residuals held fixed: a fit of 7 numbers to a split of thousands adds
    nothing that can be seen to the interval.
    """
    residuals = {name: without_age(score, age_days) for name, score in scores.items()}
    return bootstrap_pearson(residuals, without_age(views, age_days), owners, num_resamples, seed)


class Pairs(NamedTuple):
    """Pairs of pictures of one owner with different views."""

    more: NDArray[np.int64]  # [P], index of the picture with more views
    fewer: NDArray[np.int64]  # [P]
    owner: NDArray[np.int64]  # [P], a number for each owner


def within_owner_pairs(owners: ArrayLike, uploaded_at: ArrayLike | None, views: ArrayLike, max_days: float = 30) -> Pairs:
    """All pairs of one known owner, at most ``max_days`` apart in upload, with different views.

    ``uploaded_at`` (datetime64 [N], NaT where unknown) may be ``None``: then all pairs of an owner. A picture without owner, or without
    date in a set with dates, is in no pair.
    """
    views = np.asarray(views)
    units, _ = owner_units(owners)  # an unknown owner is a unit of one picture, and so in no pair
    rows, seconds = np.arange(len(views)), np.zeros(len(views), np.int64)
    if uploaded_at is not None:
        uploaded = np.asarray(uploaded_at, "datetime64[s]")
        rows, seconds = np.flatnonzero(~np.isnat(uploaded)), uploaded.astype(np.int64)
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
    return Pairs(more=np.where(i_has_more, i, j), fewer=np.where(i_has_more, j, i), owner=units[i])


def pair_accuracy(score: ArrayLike, pairs: Pairs) -> float | None:
    """Share of pairs in which the picture with more views has the higher score, ties half; 0.5 at chance, ``None`` without pairs."""
    return float(np.mean(_agreement(score, pairs))) if len(pairs.more) else None


def bootstrap_pair_accuracy(scores: Mapping[str, ArrayLike], pairs: Pairs, num_resamples: int = 2000, seed: int = 0) -> dict[str, Floats] | None:
    """``pair_accuracy`` of each score over resampled owners (those with pairs): ratio of sums of agreeing and all pairs: name → [num_resamples]."""
    if not len(pairs.more):
        return None
    terms = np.stack([np.ones(len(pairs.more)), *(_agreement(score, pairs) for score in scores.values())])
    totals = bootstrap_sums(terms, pairs.owner, num_resamples, seed)
    return dict(zip(scores, (totals[:, 1:] / totals[:, :1]).T, strict=True))


def _agreement(score: ArrayLike, pairs: Pairs) -> Floats:
    """1 for a pair in the right order, 0 in the wrong one, ½ for a tie or a score that ranks nothing: [P]."""
    score = np.asarray(score, np.float64)
    if not rankable(score):
        return np.full(len(pairs.more), 0.5)
    agreement: Floats = (np.sign(score[pairs.more] - score[pairs.fewer]) + 1) / 2
    return agreement
