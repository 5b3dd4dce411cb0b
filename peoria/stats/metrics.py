"""Numbers that say how well a score ranks pictures, and how sure one split can be of them.

Every trial and every baseline, whatever its task, is read by the same two rank metrics on the same pictures; the native losses stand beside
them and rank nothing, for their scales differ from task to task.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from peoria.errors import PeoriaError
from peoria.stats.clusters import Clusters

Floats = NDArray[np.float64]


def spearman(score: ArrayLike, y: ArrayLike) -> float:
    """Spearman's rank correlation of two [N] arrays, ties at their average rank.

    0.0 where ``score`` is constant or holds a value that is not finite, and where ``y`` is constant: nothing was ranked, and a NaN would be
    taken for a trial that failed.
    """
    score = _column("score", score)
    y = _column("y", y, len_like=score)
    if not rankable(score) or not rankable(y):
        return 0.0
    return pearson(rankdata(score), rankdata(y))


def gini(score: ArrayLike, positive: ArrayLike) -> float:
    """2·AUC − 1 of ``score`` [N] for the boolean ``positive`` [N]; ties count half. Somers' D: 0 at chance, 1 perfect, like ρ.

    0.0 where ``score`` is constant or holds a value that is not finite.

    Raises:
        PeoriaError: ``positive`` holds one class only.
    """
    score = _column("score", score)
    positive = two_classes(positive, score)
    if not rankable(score):
        return 0.0
    num_positive = int(positive.sum())
    num_negative = len(positive) - num_positive
    wins = rankdata(score)[positive].sum() - num_positive * (num_positive + 1) / 2  # Mann-Whitney's U
    return float(2 * wins / (num_positive * num_negative) - 1)


def rank_mean(rho_views: float, gini_fav: float) -> float:
    """What a sweep over tasks maximises: some tasks train on views and some on favourites, and both metrics are 0 at chance and 1 at best."""
    return (rho_views + gini_fav) / 2


def rankdata(values: Floats) -> Floats:
    """Ranks from 1 on of [N] numbers, ties at their average rank: those of `scipy.stats.rankdata`, whose import takes a worker longer than a short
    trial."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(values)])
    ends = np.append(first[1:], len(values))
    ranks = np.empty(len(values))
    ranks[order] = np.repeat(0.5 * (first + ends + 1), ends - first)
    return ranks


def rankable(score: Floats) -> bool:
    """Whether ``score`` [N] orders anything: finite throughout, and not all one value."""
    return bool(score.size and np.isfinite(score).all() and score.min() < score.max())


def two_classes(positive: ArrayLike, score: Floats) -> NDArray[np.bool_]:
    """``positive`` as booleans [N], or a PeoriaError where one class is missing."""
    positive = np.asarray(positive).astype(bool)
    if positive.shape != score.shape:
        raise PeoriaError(f"positive: shape {positive.shape}; the shape of the score, {score.shape}, is needed")
    num_positive = int(positive.sum())
    if num_positive in (0, len(positive)):
        raise PeoriaError(
            f"positive: {num_positive:,} of {len(positive):,} pictures are positive; at least one of each class is needed",
            hint="leave favourites out of what this split is judged by",
        )
    return positive


def pearson(x: Floats, y: Floats) -> float:
    """Pearson's correlation of two [N] arrays; 0.0 where either is constant."""
    x, y = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(x @ x) * float(y @ y))
    return float(np.clip(x @ y / scale, -1, 1)) if scale > 0 else 0.0


# Native losses: plain means over [N], in the unit of the target.


def mse(prediction: ArrayLike, y: ArrayLike) -> float:
    """Mean squared error, in squared units of ``y``."""
    prediction = _column("prediction", prediction)
    return float(np.mean((prediction - _column("y", y, len_like=prediction)) ** 2))


def half_mse(prediction: ArrayLike, y: ArrayLike) -> float:
    """1/(2n)·Σ(prediction − y)², the loss of the paper (section 4.1) and of Caffe's EuclideanLossLayer."""
    return mse(prediction, y) / 2


def log_loss(probability: ArrayLike, positive: ArrayLike) -> float:
    """Cross-entropy in nats; probabilities are clipped to [1e-12, 1 − 1e-12], so that one wrong certainty is not infinite."""
    probability = np.clip(_column("probability", probability), 1e-12, 1 - 1e-12)
    positive = _column("positive", positive, len_like=probability)
    return float(-np.mean(positive * np.log(probability) + (1 - positive) * np.log1p(-probability)))


def brier(probability: ArrayLike, positive: ArrayLike) -> float:
    """Mean squared error of a probability."""
    return mse(probability, positive)


def accuracy(probability: ArrayLike, positive: ArrayLike) -> float:
    """Share of pictures on the right side of one half; one half itself is "no"."""
    probability = _column("probability", probability)
    return float(np.mean((probability > 0.5) == (_column("positive", positive, len_like=probability) > 0)))


def d2(loss: float, loss_constant: float) -> float:
    """1 − loss / loss_constant: the share of the loss of train's best constant, on the same pictures, that was removed. Below 0 is worse than it."""
    if not loss_constant > 0:
        raise PeoriaError(f"loss_constant: {loss_constant}; a loss above 0 is needed, or there is nothing to remove")
    return 1 - loss / loss_constant


# How sure one split can be.


def standard_error(views: ArrayLike, clusters: Clusters) -> float:
    """Standard error of ``spearman`` on this split where the score has no skill.

    Closed form 1/√(n−1) · √(1 + (m̃−1)·ICC): ICC is the intraclass correlation of rank(views) within owners (one-way analysis of variance,
    cut to [0, 1]), m̃ = Σm²/Σm the number of pictures of the average picture's owner (Kish 1965). On the safe side, as it takes the score
    to be one value for all pictures of an owner.
    """
    ranks = rankdata(_column("views", views))
    units, sizes = clusters.units, clusters.sizes
    n, num_units = len(ranks), clusters.num
    if n != len(units):
        raise PeoriaError(f"owners: {len(units):,} values; one for each of the {n:,} pictures is needed")
    if n < 3:
        raise PeoriaError(f"views: {n} pictures; at least 3 are needed to say how sure a correlation is")
    effect = 1.0
    if 1 < num_units < n:
        means = np.bincount(units, weights=ranks) / sizes
        between = float(sizes @ (means - ranks.mean()) ** 2) / (num_units - 1)
        within = float(((ranks - means[units]) ** 2).sum()) / (n - num_units)
        mean_size = (n - float(sizes @ sizes) / n) / (num_units - 1)  # the m₀ of unequal groups
        spread = between + (mean_size - 1) * within
        icc = float(np.clip((between - within) / spread, 0, 1)) if spread > 0 else 0.0
        effect = 1 + (float(sizes @ sizes) / n - 1) * icc
    return math.sqrt(effect / (n - 1))


def expected_best_of(n: int, se: float) -> float:
    """What the best of ``n`` trials without skill is expected to show: ``se`` times the mean of the largest of ``n`` standard normals.

    ∫ x·n·φ(x)·Φ(x)ⁿ⁻¹ dx, numerically. Trials are taken as independent, which errs on the high side.
    """
    from scipy.integrate import quad
    from scipy.stats import norm

    if n < 1:
        raise PeoriaError(f"n: {n}; at least 1 trial is needed")
    if n == 1:
        return 0.0
    value, _ = quad(lambda x: x * n * math.exp(norm.logpdf(x) + (n - 1) * norm.logcdf(x)), -12, 12, points=[0, 3], limit=200)
    return float(se * value)


def expected_best_of_curve(values: ArrayLike) -> Floats:
    """Expected best of n of these N trials, for n = 1 … N: [N], of values [N] of which more is better.

    The mean over all subsets of n, which has no bias for n trials of the same search: Σᵢ C(i−1, n−1) / C(N, n)·x₍ᵢ₎, x₍ᵢ₎ the i-th smallest
    (Tang et al. 2020, "Showing Your Work Doesn't Always Work", ACL). The estimate of Dodge et al. (2019), with replacement,
    falls short.
    """
    ordered = np.sort(_column("values", values))[::-1]  # the largest first
    if not np.isfinite(ordered).all():
        raise PeoriaError("values: not all are finite; a trial that diverged counts as the lowest value of its metric")
    num = len(ordered)
    rank = np.arange(num, 1, -1)  # i = N … 2
    curve = np.empty(num)
    for n in range(1, num + 1):
        # from one weight to the next by a factor (i − n) / (i − 1) ≤ 1: no binomial overflows
        weights = np.cumprod(np.concatenate([[n / num], np.maximum(rank - n, 0) / (rank - 1)]))
        curve[n - 1] = weights @ ordered
    return curve


def spearman_brown(half: ArrayLike) -> Floats:
    """Reliability of a whole from the correlation of its two halves, elementwise: 2r / (1 + r) (Spearman 1910; Brown 1910); below 0 it is 0."""
    half = np.clip(np.asarray(half, np.float64), 0.0, 1.0)
    return np.asarray(2 * half / (1 + half))


def detectable(se: float, df: float = math.inf) -> float:
    """Smallest true effect that a split with standard error ``se`` shows in 80 % of cases at 5 % two-sided: (t₀.₉₇₅ + t₀.₈)·se.

    Student's t with ``df`` degrees of freedom, as intervals have it; infinite, it is the normal's 1.96 + 0.84.
    """
    from scipy.stats import norm, t

    quantiles = norm.ppf([0.975, 0.8]) if math.isinf(df) else t.ppf([0.975, 0.8], max(df, 1.0))
    return float(quantiles.sum() * se)


def _column(name: str, values: ArrayLike, len_like: Floats | None = None) -> Floats:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1 or column.size == 0:
        raise PeoriaError(f"{name}: shape {column.shape}; one value a picture and at least one picture are needed")
    if len_like is not None and column.shape != len_like.shape:
        raise PeoriaError(f"{name}: {len(column):,} values; {len(len_like):,} are needed, one a picture")
    return column


def normal_scores(train: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Φ⁻¹ of the place of each value among those of train, float64 [N]: standard normal in train, whatever the values are."""
    from scipy.special import ndtri

    known = np.sort(train)
    place = (np.searchsorted(known, values, "left") + np.searchsorted(known, values, "right")) / 2
    found: np.ndarray = ndtri(np.clip(place, 0.5, len(known) - 0.5) / len(known))
    return found
