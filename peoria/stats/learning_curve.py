"""Would more data help, and what does a split that ignores owners flatter by: rank correlation against the size of train, and the leak."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from peoria.errors import PeoriaError
from peoria.stats.bootstrap import bootstrap_spearman
from peoria.stats.clusters import Clusters
from peoria.stats.estimates import MIN_OWNERS, Estimate, Interval, Resampling
from peoria.stats.metrics import Floats, spearman

EXPONENTS = np.geomspace(0.05, 2.0, 40)  # of the power law; published curves lie between 0.07 and 0.5 (Hestness et al. 2017)
FURTHER = (2, 10)  # times the data
MIN_POINTS = 3  # the power law has three numbers


@dataclass(frozen=True)
class LearningCurvePoint:
    """The same recipe trained on a nested share of train's owners (`peoria.data.subsets`), judged on the same pictures as every other point."""

    fraction: float
    num_owners: int
    num_pictures: int
    value: float  # ρ
    samples: Floats  # [B], the same resamples at each point


@dataclass(frozen=True)
class HeldOut:
    """Pictures that were not trained on."""

    score: ArrayLike  # [N]
    views: ArrayLike  # [N]
    clusters: Clusters


@dataclass(frozen=True)
class MeasuredSize:
    """ρ of the recipe trained on a share of train's owners."""

    fraction: float
    num_owners: int
    num_pictures: int
    rho: Interval


@dataclass(frozen=True)
class PowerLaw:
    """ρ(n) = a − b·n^(−c), n in pictures of train."""

    a: float
    b: float
    c: float
    sse: float  # sum of squared errors
    curve: tuple[tuple[float, float], ...]  # (n, ρ), from the smallest size to ten times the largest


@dataclass(frozen=True)
class Extrapolation:
    """ρ by the power law."""

    times: int  # the pictures of all of train
    num_pictures: int
    rho: Interval


@dataclass(frozen=True)
class LearningCurve:
    """ρ against the size of train."""

    points: tuple[MeasuredSize, ...]  # the smallest first
    last_doubling: Interval | None  # ρ of all owners less ρ of half of them; None without these two points
    still_rising: bool | None  # of enough owners, and that is above 0 for sure; None likewise
    fit: PowerLaw | None  # None with fewer than 3 points
    further: tuple[Extrapolation, ...]  # empty likewise


@dataclass(frozen=True)
class HeldOutRho:
    """ρ on pictures that were not trained on."""

    num_pictures: int
    num_owners: int  # as they are resampled
    rho: Interval


@dataclass(frozen=True)
class Leak:
    """ρ on held-out pictures of train's owners, and on pictures of other owners."""

    random: HeldOutRho
    owner: HeldOutRho
    difference: Interval  # random less owner, not paired
    leaks: bool  # of enough owners, and the difference is above 0 for sure


@dataclass(frozen=True)
class TimeSplit:
    """Spearman's ρ on pictures from a cutoff date on."""

    cutoff: str  # "2014-06-01"
    num_pictures: int
    num_owners: int  # as they are resampled
    past: Interval  # trained on pictures from before the cutoff only
    all: Interval  # the same recipe, trained on all of train
    difference: Interval  # past less all


def learning_curve(points: Sequence[LearningCurvePoint], clusters: Clusters, *, most: float = 1.0) -> LearningCurve:
    """ρ(n) = a − b·n^(−c) through the points, b ≥ 0, a ≤ ``most``, by least squares on the values and again on each resample (power law:
    Hestness et al. 2017; the usual choice among curves: Viering and Loog 2022).

    Intervals hold the luck of the evaluated owners. They hold neither that of the training runs nor that the law may be another one.

    Args:
        clusters: of the pictures on which all points were judged.
        most: a ceiling known from elsewhere, as that of counting noise.
    """
    ordered = sorted(points, key=lambda point: point.num_pictures)
    if not ordered or len({point.num_pictures for point in ordered}) < len(ordered) or len({len(point.samples) for point in ordered}) > 1:
        raise PeoriaError(f"points: {[point.num_pictures for point in ordered]} pictures; at least one point, of different sizes, same resamples")
    rho = [Estimate(point.value, point.samples, clusters.effective) for point in ordered]
    of = dict(zip((point.fraction for point in ordered), rho, strict=True))
    doubling = (of[1.0] - of[0.5]).interval() if {0.5, 1.0} <= of.keys() else None
    fit, further = None, []
    if len(ordered) >= MIN_POINTS:
        sizes = np.array([point.num_pictures for point in ordered], np.float64)
        a, b, c, sse = (float(column[0]) for column in fit_power_law(sizes, np.array([[point.value for point in ordered]]), most))
        a_s, b_s, c_s, _ = fit_power_law(sizes, np.stack([point.samples for point in ordered], axis=1), most)
        for times in FURTHER:
            n = times * sizes[-1]
            further.append(Extrapolation(times, int(n), Estimate(a - b * n**-c, a_s - b_s * n**-c_s, clusters.effective).interval()))
        grid = np.geomspace(sizes[0], FURTHER[-1] * sizes[-1], 40)
        fit = PowerLaw(a, b, c, sse, tuple((float(n), float(a - b * n**-c)) for n in grid))
    return LearningCurve(
        points=tuple(MeasuredSize(p.fraction, p.num_owners, p.num_pictures, found.interval()) for p, found in zip(ordered, rho, strict=True)),
        last_doubling=doubling,
        still_rising=None if doubling is None else clusters.num >= MIN_OWNERS and doubling.low > 0,
        fit=fit,
        further=tuple(further),
    )


def fit_power_law(sizes: Floats, values: Floats, most: float = 1.0) -> tuple[Floats, Floats, Floats, Floats]:
    """(a, b, c, sum of squared errors), [B] each, of ``values`` [B, P] at ``sizes`` [P]; the bounds are those of `learning_curve`.

    For one c the rest is linear, so that c is tried on a grid of 40 and a and b are exact.
    """
    best = np.full(len(values), np.inf)
    a, b, c = (np.zeros(len(values)) for _ in range(3))
    for exponent in EXPONENTS:
        x = sizes**-exponent
        centred = x - x.mean()
        slope = np.maximum(-(values @ centred) / (centred @ centred), 0.0)
        level = values.mean(axis=1) + slope * x.mean()
        over = level > most  # the best on that edge has its own b
        slope = np.where(over, np.maximum((most - values) @ x / (x @ x), 0.0), slope)
        level = np.minimum(level, most)
        sse = ((values - level[:, None] + slope[:, None] * x) ** 2).sum(axis=1)
        better = sse < best
        best[better], a[better], b[better], c[better] = sse[better], level[better], slope[better], exponent
    return a, b, c, best


def leak(random_split: HeldOut, owner_split: HeldOut, resampling: Resampling) -> Leak:
    """What a split that ignores owners flatters by: ρ on held-out pictures of train's owners less ρ on pictures of other owners.

    The two sets have no owner in common, so owners of each are resampled on their own, and the difference is not paired.
    """
    if both := set(random_split.clusters.names.tolist()) & set(owner_split.clusters.names.tolist()):
        raise PeoriaError(f"owners: {len(both):,} are in both sets, first {min(both)!r}; those of the owner split must not be train's")
    random, owner = _rho(random_split, resampling), _rho(owner_split, replace(resampling, seed=resampling.seed + 1))
    difference = Estimate(random.value - owner.value, random.samples - owner.samples, min(random.effective, owner.effective)).interval()
    units = [part.clusters.num for part in (random_split, owner_split)]
    return Leak(
        random=HeldOutRho(len(np.asarray(random_split.score)), units[0], random.interval()),
        owner=HeldOutRho(len(np.asarray(owner_split.score)), units[1], owner.interval()),
        difference=difference,
        leaks=min(units) >= MIN_OWNERS and difference.low > 0,
    )


def _rho(part: HeldOut, resampling: Resampling) -> Estimate:
    samples = bootstrap_spearman({"part": part.score}, part.views, part.clusters, **resampling.draws)["part"]
    return Estimate(spearman(part.score, part.views), samples, part.clusters.effective)
