"""How well any score could do: the noise of counting, what copies of one picture earn, and whether the score tells a picture's upper end."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from peoria.errors import PeoriaError
from peoria.stats.bootstrap import bootstrap_spearman, owner_weights
from peoria.stats.clusters import Clusters
from peoria.stats.estimates import MIN_OWNERS, Estimate, Interval, Resampling, enough_owners
from peoria.stats.metrics import Floats, rankable, spearman, spearman_brown
from peoria.stats.strata import deciles

Shape = Literal["upper_end", "whole", "lower_end", "none", "unknown"]
MIN_PAIRS = 30
MOSTLY_ZERO = 0.5  # a larger share of zeros makes a correlation of halves say little, and a count above 0 a rare event
SOME_ZERO = 0.1  # from so many zeros on ties make the ceiling too high: 0.82 for 0.77 at 39 %
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MIN_IN_DECILE = 40  # pictures; of these the 5 % quantile is the second lowest
MIN_COUNT = 5  # below it the lower end has no room to fall, and its slope says nothing


@dataclass(frozen=True)
class CountNoise:
    """How far any score could get with these counts if counting them were Poisson: the most, for real counts vary more than that."""

    half: float  # ρ between random halves of the counts
    reliability: Interval | None  # ρ between two readings; None where most counts are 0 and halves do not correlate for sure, or of few owners
    ceiling: Interval | None  # the highest ρ that a score can reach, the root of the reliability; None likewise
    num_pictures: int
    num_thinnings: int  # random halvings that were averaged
    num_owners: int  # where most counts are 0 those with a picture that has another, else all, as they are resampled
    zero_share: float  # of the counts
    upper_bound_only: bool  # a tenth of the counts or more are 0, so that of Poisson counts too the truth may lie lower


@dataclass(frozen=True)
class PairCeiling:
    """ρ of counts between the two pictures of pairs, and the highest ρ that a score of what the two share could reach."""

    num_pairs: int
    num_units: int  # groups of owners that are resampled
    rho: Interval | None  # None below 30 pairs or 20 units
    ceiling: Interval | None  # likewise


@dataclass(frozen=True)
class ContentCeiling:
    """Pairs of nearly the same picture: by different owners they share their content, by one owner the owner too."""

    other_owner: PairCeiling
    same_owner: PairCeiling


@dataclass(frozen=True)
class Quantiles:
    """Of the counts of some pictures: the count that 5, 25, 50, 75 and 95 % of them do not pass."""

    q05: Interval
    q25: Interval
    q50: Interval
    q75: Interval
    q95: Interval


@dataclass(frozen=True)
class Slopes:
    """Of log(1 + quantile) over the deciles of a score, from the lowest to the highest, by quantile."""

    q05: Interval
    q50: Interval
    q95: Interval


@dataclass(frozen=True)
class Factors:
    """(1 + quantile) of the highest decile over that of the lowest, by quantile."""

    q05: Interval
    q95: Interval


@dataclass(frozen=True)
class DecileQuantiles:
    """Quantiles of the counts of one tenth of the pictures, by score."""

    decile: int  # 1, the lowest score, to 10
    num_pictures: int
    quantiles: Quantiles


@dataclass(frozen=True)
class UpperEnd:
    """Quantiles of the counts by decile of a score, and whether upper ones rise with it more than lower ones."""

    deciles: tuple[DecileQuantiles, ...]  # the lowest score first
    slopes: Slopes
    slope_difference: Interval  # q95 less q05
    top_to_bottom: Factors
    shape: Shape


def count_noise(counts: ArrayLike, clusters: Clusters, resampling: Resampling, num_thinnings: int = 5) -> CountNoise | None:
    """The highest ρ that a score could reach with these counts [N] if it knew each picture's true rate: what is lost to counting alone.

    Where counts are Poisson, halves v₁ ~ Binomial(v, ½) and v₂ = v − v₁ are independent given the rate. Their ρ, stepped up to whole
    counts (2ρ/(1 + ρ): Spearman 1910, Brown 1910), is the reliability: ρ between two readings of the counts. Its root is the highest
    correlation with the rate itself (Spearman 1904). Both are exact for variables without ties; of small counts the truth lies below.
    Views are hardly Poisson: a link from elsewhere brings many at once. One reading does not tell that from a picture's own rate, so that
    the ceiling is that of Poisson counting and no score need reach it: of rates times a gamma of shape 2 it gave 0.99 for 0.84.

    Where most counts are 0 the owners who have another carry it: their number is that of the interval, and from 20 on there is one.

    Returns:
        ``None`` where the counts rank nothing.
    """
    counts = np.asarray(counts, np.int64)
    if not rankable(counts.astype(np.float64)):
        return None
    rng = np.random.default_rng(resampling.seed)
    values, samples = [], np.zeros(resampling.num_resamples)
    for _ in range(num_thinnings):
        first = rng.binomial(counts, 0.5)
        values.append(spearman(first, counts - first))
        samples += bootstrap_spearman({"half": first}, counts - first, clusters, **resampling.draws)["half"] / num_thinnings
    half, zero_share = float(np.mean(values)), float((counts == 0).mean())
    rare = zero_share > MOSTLY_ZERO
    carriers = clusters.take(counts > 0) if rare else clusters
    reliability = Estimate(float(spearman_brown(half)), spearman_brown(samples), carriers.effective).interval()
    known = not rare or (reliability.low > 0 and enough_owners(carriers))
    return CountNoise(
        half=half,
        reliability=reliability if known else None,
        ceiling=reliability.mapped(math.sqrt) if known else None,
        num_pictures=len(counts),
        num_thinnings=num_thinnings,
        num_owners=carriers.num,
        zero_share=zero_share,
        upper_bound_only=zero_share >= SOME_ZERO,
    )


def content_ceiling(counts_a: ArrayLike, counts_b: ArrayLike, owners_a: ArrayLike, owners_b: ArrayLike, resampling: Resampling) -> ContentCeiling:
    """ρ of counts between the two pictures of P nearly identical pairs; a picture should be in one pair only.

    What two uploads of one picture share is the picture (``other_owner``), or the picture and its owner (``same_owner``). The root of their ρ
    is the most that a score of what they share could reach (Spearman 1904). Pairs are taken both ways round, as neither picture is the
    first. Pairs with an owner in common, also by way of further pairs, are resampled together. Copies are no random pictures: what is
    uploaded twice is said of such pictures only. Pairs with an unknown owner are in neither group.
    """
    a, b = np.asarray(counts_a, np.float64), np.asarray(counts_b, np.float64)
    of_a, of_b = np.asarray(owners_a).astype(str), np.asarray(owners_b).astype(str)
    if not len(a) == len(b) == len(of_a) == len(of_b):
        raise PeoriaError(f"pairs: {len(a):,}, {len(b):,}, {len(of_a):,} and {len(of_b):,} values; two counts and two owners a pair are needed")
    known = (of_a != "") & (of_b != "")
    other, same = (_pairs(a[at], b[at], of_a[at], of_b[at], resampling) for at in (known & (of_a != of_b), known & (of_a == of_b)))
    return ContentCeiling(other, same)


def upper_end(score: ArrayLike, counts: ArrayLike, clusters: Clusters, resampling: Resampling) -> UpperEnd | None:
    """Whether the score tells how far a picture may get, more than how far it gets: quantiles of the counts by decile of the score.

    The paper (section 6.3) holds it possible that images tell a *potential to become popular*. A potential shows as upper quantiles that
    rise with the score while lower ones do not; a score that multiplies all views raises both alike. Slopes are those of log(1 + quantile)
    over the deciles, from the lowest score to the highest. In each resample of owners the deciles are those of the whole split.

    Returns:
        ``shape``: ``upper_end`` (a potential), ``whole``, ``lower_end``, ``none`` or ``unknown``. ``None`` where a decile has fewer than 40
        pictures.
    """
    score, counts = np.asarray(score, np.float64), np.asarray(counts, np.float64)
    if not rankable(score):
        return None
    decile = deciles(score)
    sizes = np.bincount(decile, minlength=10)
    if sizes.min() < MIN_IN_DECILE:
        return None
    quantiles = _Quantiles.of(decile, counts)
    value = quantiles(np.ones((1, len(counts))))[0]
    samples = np.concatenate([quantiles(weights) for weights in owner_weights(clusters, **resampling.draws)])
    samples = samples[np.isfinite(samples).all(axis=(1, 2))]  # without those that drew nothing of a decile

    place = (np.arange(10) - 4.5) / 10
    slope, slopes = (np.einsum("...dq,d->...q", np.log1p(found), place) / (place @ place) for found in (value, samples))
    factor, factors = ((1 + found[..., 9, :]) / (1 + found[..., 0, :]) for found in (value, samples))

    def interval(value: float, samples: Floats) -> Interval:
        return Estimate(value, samples, clusters.effective).interval()

    q05, _, q50, _, q95 = range(len(QUANTILES))
    found_slopes = Slopes(*(interval(slope[q], slopes[:, q]) for q in (q05, q50, q95)))
    difference = interval(slope[q95] - slope[q05], slopes[:, q95] - slopes[:, q05])
    near_zero = int((value[:, q05] < MIN_COUNT).sum())
    return UpperEnd(
        deciles=tuple(
            DecileQuantiles(d + 1, int(sizes[d]), Quantiles(*(interval(value[d, q], samples[:, d, q]) for q in range(len(QUANTILES)))))
            for d in range(10)
        ),
        slopes=found_slopes,
        slope_difference=difference,
        top_to_bottom=Factors(*(interval(factor[q], factors[:, q]) for q in (q05, q95))),
        shape="unknown" if not enough_owners(clusters) or near_zero > 1 else _shape(found_slopes.q05, found_slopes.q95, difference),
    )


class _Quantiles(NamedTuple):
    """Counts in order within each decile, for quantiles under weights."""

    order: NDArray[np.intp]  # [N], by decile, then count
    ends: NDArray[np.intp]  # [10], where each decile ends
    counts: Floats  # [N], in that order

    @classmethod
    def of(cls, decile: NDArray[np.int64], counts: Floats) -> "_Quantiles":
        order = np.lexsort((counts, decile))
        return cls(order, np.cumsum(np.bincount(decile, minlength=10)), counts[order])

    def __call__(self, weights: ArrayLike) -> Floats:
        """The smallest count at which a share q of the weights [b, N] of its decile is reached: [b, 10, 5], NaN without weight."""
        passed = np.cumsum(np.asarray(weights)[:, self.order], axis=1)
        tops = passed[:, self.ends - 1].astype(np.float64)
        totals = np.diff(tops, axis=1, prepend=0.0)
        wanted = (tops - totals)[..., None] + totals[..., None] * np.array(QUANTILES) - 1e-6  # so that rounding does not pass by a whole share
        places = np.stack([np.searchsorted(row, at) for row, at in zip(passed, wanted, strict=True)])
        return np.where(totals[..., None] > 0, self.counts[np.minimum(places, len(self.counts) - 1)], np.nan)


def _pairs(a: Floats, b: Floats, of_a: NDArray[np.str_], of_b: NDArray[np.str_], resampling: Resampling) -> PairCeiling:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names, owner = np.unique(np.concatenate([of_a, of_b]), return_inverse=True)
    graph = coo_array((np.ones(len(a)), (owner[: len(a)], owner[len(a) :])), shape=(len(names), len(names)))
    unit = connected_components(graph, directed=False)[1][owner] if len(a) else owner
    clusters = Clusters.of(unit)
    if len(a) < MIN_PAIRS or clusters.num < MIN_OWNERS:
        return PairCeiling(len(a), clusters.num, None, None)
    one, other = np.concatenate([a, b]), np.concatenate([b, a])
    samples = bootstrap_spearman({"pair": one}, other, clusters, **resampling.draws)["pair"]
    rho = Estimate(spearman(one, other), samples, clusters.effective).interval()
    return PairCeiling(len(a), clusters.num, rho, rho.mapped(lambda value: math.sqrt(max(value, 0.0))))


def _shape(low: Interval, high: Interval, difference: Interval) -> Shape:
    if difference.low > 0 and high.low > 0:
        return "upper_end"
    if difference.high < 0 and low.low > 0:
        return "lower_end"
    return "whole" if low.low > 0 and high.low > 0 else "none"
