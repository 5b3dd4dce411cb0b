"""What train's size, owners and dates do: rank correlation against the size of train, the leak of a split by picture, and a model of the past."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from peoria.errors import PeoriaError
from peoria.stats.bootstrap import bootstrap_spearman
from peoria.stats.clusters import Clusters
from peoria.stats.estimates import Estimate, Interval, Resampling, enough_owners
from peoria.stats.metrics import Floats, spearman
from peoria.stats.trainings import MIN_SEEDS, NEGLIGIBLE, of_trainings

Growth = Literal["rising", "falling", "negligible", "undecided", "too few owners", "too few trainings"]
Later = Literal["worse", "negligible", "undecided", "too few owners", "too few trainings"]

EXPONENTS = np.geomspace(0.05, 2.0, 40)  # of the power law; published curves lie between 0.07 and 0.5 (Hestness et al. 2017)
FURTHER = (2, 10)  # times the data
MIN_POINTS = 3  # the power law has three numbers


@dataclass(frozen=True)
class LearningCurvePoint:
    """The same recipe trained on a nested share of train's owners (`peoria.data.subsets`), judged on the same pictures as every other point."""

    fraction: float
    num_owners: int
    num_pictures: int
    rho: Estimate  # mean of its trainings, on the same resamples as at each point


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
    num_trainings: int
    rho: Interval  # holds the luck of training where there are several


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
    answer: Growth | None  # of last_doubling; None likewise
    detectable: float | None  # the smallest last_doubling that is seen in 4 cases of 5; None likewise
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
    detectable: float  # the smallest difference that is seen in 4 cases of 5


@dataclass(frozen=True)
class TimeSplit:
    """Spearman's ρ on pictures from a cutoff date on."""

    cutoff: str  # "2014-06-01"
    num_pictures: int
    num_owners: int  # as they are resampled
    num_trainings: int  # of the past, and as many of the control or more
    past: Interval  # trained on pictures from before the cutoff only
    control: Interval  # trained on as many pictures of any time, of owners taken by chance
    all: Interval  # trained on all of train
    difference: Interval  # past less control
    answer: Later
    detectable: float  # the smallest difference that is seen in 4 cases of 5


def learning_curve(points: Sequence[LearningCurvePoint], clusters: Clusters, *, most: float = 1.0) -> LearningCurve:
    """ρ(n) = a − b·n^(−c) through the points, b ≥ 0, a ≤ ``most``, by least squares on the values and again on each resample (power law:
    Hestness et al. 2017; the usual choice among curves: Viering and Loog 2022).

    Intervals hold the luck of the evaluated owners, and that of training where a point has several trainings. Of a doubling something is said only
    where half and whole both have three. The law may be another one, and points of one training may be lucky: no interval holds that.

    Args:
        clusters: of the pictures on which all points were judged.
        most: a ceiling known from elsewhere, as that of counting noise.
    """
    ordered = sorted(points, key=lambda point: point.num_pictures)
    if not ordered or len({point.num_pictures for point in ordered}) < len(ordered) or len({len(point.rho.samples) for point in ordered}) > 1:
        raise PeoriaError(f"points: {[point.num_pictures for point in ordered]} pictures; at least one point, of different sizes, same resamples")
    of = {point.fraction: point.rho for point in ordered}
    doubling = of[1.0] - of[0.5] if {0.5, 1.0} <= of.keys() else None
    fit, further = None, []
    if len(ordered) >= MIN_POINTS:
        sizes = np.array([point.num_pictures for point in ordered], np.float64)
        a, b, c, sse = (float(column[0]) for column in fit_power_law(sizes, np.array([[point.rho.value for point in ordered]]), most))
        a_s, b_s, c_s, _ = fit_power_law(sizes, np.stack([point.rho.samples for point in ordered], axis=1), most)
        for times in FURTHER:
            n = times * sizes[-1]
            further.append(Extrapolation(times, int(n), Estimate(a - b * n**-c, a_s - b_s * n**-c_s, clusters.effective).interval()))
        grid = np.geomspace(sizes[0], FURTHER[-1] * sizes[-1], 40)
        fit = PowerLaw(a, b, c, sse, tuple((float(n), float(a - b * n**-c)) for n in grid))
    return LearningCurve(
        points=tuple(MeasuredSize(p.fraction, p.num_owners, p.num_pictures, max(p.rho.num_seeds, 1), p.rho.interval()) for p in ordered),
        last_doubling=None if doubling is None else doubling.interval(),
        answer=None if doubling is None else _growth(doubling.interval(), min(of[0.5].num_seeds, of[1.0].num_seeds), clusters),
        detectable=None if doubling is None else doubling.detectable,
        fit=fit,
        further=tuple(further),
    )


def _growth(doubling: Interval, num_trainings: int, clusters: Clusters) -> Growth:
    if not enough_owners(clusters):
        return "too few owners"
    if num_trainings < MIN_SEEDS:
        return "too few trainings"
    if doubling.low > 0:
        return "rising"
    return "falling" if doubling.high < 0 else "negligible" if doubling.high < NEGLIGIBLE else "undecided"


def time_split(
    past: ArrayLike, control: ArrayLike, whole: ArrayLike, views: ArrayLike, clusters: Clusters, cutoff: str, resampling: Resampling
) -> TimeSplit:
    """Whether a model of the past does worse on N pictures from a cutoff on than one of as many pictures of any time.

    Whatever is trained on less ranks worse, drift or none; so the past is not compared with all of train. What is left between it and its
    control is that nothing in it is of the later time, beside which owners fell into the two.

    Args:
        past: scores [S, N] of trainings on the pictures from before the cutoff.
        control: likewise, on as many pictures, of owners taken by chance, drawn anew for each training.
        whole: likewise, on all of train.
    """
    rho = of_trainings({"past": past, "control": control, "all": whole}, views, clusters, resampling)
    difference, num_trainings = rho["past"] - rho["control"], min(rho[side].num_seeds for side in ("past", "control"))
    found = difference.interval()
    if not enough_owners(clusters):
        answer: Later = "too few owners"
    elif num_trainings < MIN_SEEDS:
        answer = "too few trainings"
    else:
        answer = "worse" if found.high < 0 else "negligible" if found.low > -NEGLIGIBLE else "undecided"
    return TimeSplit(
        cutoff=cutoff,
        num_pictures=len(np.asarray(views)),
        num_owners=clusters.num,
        num_trainings=num_trainings,
        past=rho["past"].interval(),
        control=rho["control"].interval(),
        all=rho["all"].interval(),
        difference=found,
        answer=answer,
        detectable=difference.detectable,
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

    The two sets have no owner in common, so owners of each are resampled on their own, and the difference is not paired. Both are scored by one
    training: its luck is in both, and where owners do not matter no training tells the two sets apart. Where the recipe was chosen on the
    owners' set, ρ there is flattered and the leak understated, so that a small one does not show that there is none.
    """
    if both := set(random_split.clusters.names.tolist()) & set(owner_split.clusters.names.tolist()):
        raise PeoriaError(f"owners: {len(both):,} are in both sets, first {min(both)!r}; those of the owner split must not be train's")
    random, owner = _rho(random_split, resampling), _rho(owner_split, replace(resampling, seed=resampling.seed + 1))
    difference = Estimate(random.value - owner.value, random.samples - owner.samples, min(random.effective, owner.effective))
    units = [part.clusters.num for part in (random_split, owner_split)]
    return Leak(
        random=HeldOutRho(len(np.asarray(random_split.score)), units[0], random.interval()),
        owner=HeldOutRho(len(np.asarray(owner_split.score)), units[1], owner.interval()),
        difference=difference.interval(),
        leaks=all(enough_owners(part.clusters) for part in (random_split, owner_split)) and difference.above(0.0),
        detectable=difference.detectable,
    )


def _rho(part: HeldOut, resampling: Resampling) -> Estimate:
    samples = bootstrap_spearman({"part": part.score}, part.views, part.clusters, **resampling.draws)["part"]
    return Estimate(spearman(part.score, part.views), samples, part.clusters.effective)
