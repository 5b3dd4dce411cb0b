"""The score among pictures that are alike in something: rank correlation within months of upload, and the truth by decile of the score."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from peoria.errors import PeoriaError
from peoria.stats.bootstrap import bootstrap_sums, owner_weights
from peoria.stats.clusters import Clusters
from peoria.stats.estimates import Estimate, Interval, Resampling
from peoria.stats.metrics import Floats, rankable, spearman

MIN_PICTURES = 30  # of a month, for a correlation within it


@dataclass(frozen=True)
class Month:
    """Spearman's ρ of score and views among the pictures uploaded in one month."""

    month: str  # "2014-03", UTC
    num_pictures: int
    num_owners: int  # as they are resampled
    rho: Interval


@dataclass(frozen=True)
class WithinMonths:
    """Spearman's ρ of score and views within months of upload."""

    rho: Interval  # the mean over months, weighted by pictures
    num_months: int
    num_pictures: int
    num_left_out: int  # pictures undated, or of a smaller month
    months: tuple[Month, ...]  # in order of time


@dataclass(frozen=True)
class DecileTruth:
    """The truth of one tenth of the pictures, by score."""

    decile: int  # 1, the lowest score, to 10
    num_pictures: int
    score: float  # its mean
    truth: Interval  # the mean of what the score should follow


@dataclass(frozen=True)
class Calibration:
    """The mean truth by decile of a score."""

    deciles: tuple[DecileTruth, ...]  # the lowest score first
    mean: float  # of the truth
    slope: Interval | None  # of truth on score; None where they have no unit in common


def deciles(score: ArrayLike, num_bins: int = 10) -> NDArray[np.int64]:
    """The tenth of the ranking in which each picture's score [N] lies, 0 the lowest; ties, at their average rank, lie in one."""
    from scipy.stats import rankdata

    share = (rankdata(np.asarray(score, np.float64)) - 0.5) / len(np.asarray(score))
    return np.minimum((share * num_bins).astype(np.int64), num_bins - 1)


def within_months(
    score: ArrayLike, views: ArrayLike, uploaded_at: ArrayLike, clusters: Clusters, resampling: Resampling, min_pictures: int = MIN_PICTURES
) -> WithinMonths | None:
    """Spearman's ρ of score and views [N] among pictures uploaded in the same month (UTC), and the mean over months, weighted by pictures.

    Where counts are read at one moment a month holds age fixed without a curve being fitted. A resample of owners is ranked anew, month by
    month, and weights the months by its own pictures.

    Returns:
        ``None`` where no month has ``min_pictures``.
    """
    score, views = np.asarray(score, np.float64), np.asarray(views, np.float64)
    uploaded = np.asarray(uploaded_at, "datetime64[s]")
    if not len(score) == len(views) == len(uploaded) == len(clusters.units):
        raise PeoriaError(f"uploaded_at: {len(uploaded):,} values; one for each of the {len(score):,} scores, views and owners is needed")
    if not np.isfinite(score).all():
        score = np.zeros(len(score))  # it ranks nothing, not even the months without the broken pictures
    month = uploaded.astype("datetime64[M]")
    names, sizes = np.unique(month[~np.isnat(month)], return_counts=True)
    names = names[sizes >= min_pictures]
    used = np.flatnonzero(np.isin(month, names))
    if not len(used):
        return None
    rows = used[np.argsort(month[used], kind="stable")]
    stratum = np.searchsorted(names, month[rows])
    score, views, clusters = score[rows], views[rows], clusters.take(rows)
    parts = [slice(*np.searchsorted(stratum, [k, k + 1])) for k in range(len(names))]
    values = np.array([spearman(score[part], views[part]) for part in parts])
    rho, weight = _bootstrap_within(score, views, stratum, clusters, resampling)
    months = tuple(
        Month(
            month=str(name),
            num_pictures=int(part.stop - part.start),
            num_owners=inside.num,
            rho=Estimate(values[k], rho[:, k], inside.effective).interval(),
        )
        for k, (name, part) in enumerate(zip(names, parts, strict=True))
        for inside in [clusters.take(np.arange(part.start, part.stop))]
    )
    mean = float(np.average(values, weights=[part.stop - part.start for part in parts]))
    return WithinMonths(
        rho=Estimate(mean, (rho * weight).sum(axis=1) / weight.sum(axis=1), clusters.effective).interval(),
        num_months=len(names),
        num_pictures=len(rows),
        num_left_out=len(month) - len(rows),
        months=months,
    )


def calibration(score: ArrayLike, truth: ArrayLike, clusters: Clusters, resampling: Resampling, *, same_scale: bool = False) -> Calibration | None:
    """The mean truth of the pictures in each decile of the score: whether what is promised is kept, on average.

    Args:
        truth: what the score should follow [N]: the bin for a predicted bin, log views, the share of the rank.
        same_scale: the score is in the unit of the truth. Then the slope of truth on score is given too: 1 where differences are promised
            in their true size, below 1 where they are exaggerated (Cox 1958).

    Returns:
        ``None`` where the score ranks nothing.
    """
    score, truth = np.asarray(score, np.float64), np.asarray(truth, np.float64)
    if score.shape != truth.shape or not np.isfinite(truth).all():
        raise PeoriaError(f"truth: shape {truth.shape}; a finite value for each of the {len(score):,} pictures is needed")
    if not rankable(score):
        return None
    decile, effective = deciles(score), clusters.effective
    present = np.unique(decile)
    inside = (decile == present[:, None]).astype(np.float64)
    drawn, sums = np.split(bootstrap_sums(np.concatenate([inside, inside * truth]), clusters, **resampling.draws), 2, axis=1)
    found = []
    for k, at in enumerate(inside > 0):
        some = drawn[:, k] > 0
        mean = Estimate(truth[at].mean(), sums[some, k] / drawn[some, k], effective).interval()
        found.append(DecileTruth(int(present[k]) + 1, int(at.sum()), float(score[at].mean()), mean))
    slope = None
    if same_scale:
        x, y = score - score.mean(), truth - truth.mean()
        n, sx, sy, xx, xy = bootstrap_sums(np.stack([np.ones(len(x)), x, y, x * x, x * y]), clusters, **resampling.draws).T
        spread = xx - sx * sx / n
        slopes = np.divide(xy - sx * sy / n, spread, out=np.zeros_like(spread), where=spread > 0)
        slope = Estimate(float(x @ y / (x @ x)), slopes, effective).interval()
    return Calibration(tuple(found), float(truth.mean()), slope)


class _Ranking(NamedTuple):
    """A column [N] of pictures that lie stratum by stratum, sorted once within them."""

    order: NDArray[np.intp]  # [N]
    starts: NDArray[np.intp]  # [G], where each group of ties in a stratum starts
    first: NDArray[np.intp]  # [M], the first group of each stratum

    @classmethod
    def of(cls, column: Floats, stratum: NDArray[np.int64]) -> "_Ranking":
        order = np.lexsort((column, stratum))
        value, inside = column[order], stratum[order]
        new_stratum = np.concatenate([[True], inside[1:] != inside[:-1]])
        starts = np.flatnonzero(new_stratum | np.concatenate([[True], value[1:] != value[:-1]]))
        return cls(order, starts, np.flatnonzero(new_stratum[starts]))

    def centred_ranks(self, weights: Floats) -> Floats:
        """Average rank less the stratum's mean rank [b, N] in the resamples that these weights [b, N] write out."""
        groups = np.add.reduceat(weights[:, self.order], self.starts, axis=1)
        totals = np.add.reduceat(groups, self.first, axis=1)
        middles = np.cumsum(totals, axis=1) - totals / 2
        num_groups = np.diff(self.first, append=len(self.starts))
        ranks = np.cumsum(groups, axis=1) - groups / 2 - np.repeat(middles, num_groups, axis=1)
        centred = np.empty_like(weights)
        centred[:, self.order] = np.repeat(ranks, np.diff(self.starts, append=len(self.order)), axis=1)
        return centred


def _bootstrap_within(score: Floats, views: Floats, stratum: NDArray[np.int64], clusters: Clusters, resampling: Resampling) -> tuple[Floats, Floats]:
    """Spearman's ρ in each stratum of each resample, 0.0 where undefined, and the pictures drawn there, [B, M] both; pictures by stratum."""
    of_score, of_views = _Ranking.of(score, stratum), _Ranking.of(views, stratum)
    edges = np.searchsorted(stratum, np.arange(int(stratum[-1]) + 1))
    rhos, drawn = [], []
    for draws in owner_weights(clusters, **resampling.draws):
        weights = draws.astype(np.float64)
        x, y = of_score.centred_ranks(weights), of_views.centred_ranks(weights)
        xx, yy, xy = (np.add.reduceat(weights * product, edges, axis=1) for product in (x * x, y * y, x * y))
        norm = xx * yy
        rhos.append(np.divide(xy, np.sqrt(norm), out=np.zeros_like(norm), where=norm > 0))
        drawn.append(np.add.reduceat(weights, edges, axis=1))
    return np.concatenate(rhos), np.concatenate(drawn)
