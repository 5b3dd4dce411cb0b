"""How a number gets its interval, in one place: from which resamples of owners, and at which level."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from peoria.errors import PeoriaError
from peoria.stats import metrics
from peoria.stats.clusters import Clusters
from peoria.stats.metrics import Floats

LEVEL = 0.95  # of every interval
MIN_OWNERS = 20  # with fewer, intervals were not shown to hold
MIN_EFFECTIVE = 5.0  # likewise, of `Clusters.effective`: 20 owners of whom one has nearly all pictures are one


def enough_owners(clusters: Clusters) -> bool:
    """Whether there are owners enough for a claim: 20, worth 5 of equal size."""
    return clusters.num >= MIN_OWNERS and clusters.effective >= MIN_EFFECTIVE


@dataclass(frozen=True)
class Interval:
    """A number and its confidence interval, in the number's own unit."""

    value: float
    low: float
    high: float

    def mapped(self, rising: Callable[[float], float]) -> "Interval":
        """Of a function of the number that never falls: it keeps the order, and so the quantiles."""
        return Interval(rising(self.value), rising(self.low), rising(self.high))


class Estimate(NamedTuple):
    """A number, its bootstrap samples [B], and how many owners they are worth (`Clusters.effective`).

    Of a recipe the samples hold the luck of its seeds too (`bootstrap.over_seeds`), which few seeds tell badly.
    """

    value: float
    samples: Floats
    effective: float
    seed_variance: float = 0.0
    """Of the mean over seeds: the part of the samples' variance that is of seeds."""
    num_seeds: int = 0
    """Seeds that ``seed_variance`` is from; 0: the samples know of owners only."""

    def __sub__(self, other: "Estimate") -> "Estimate":
        """The difference; paired over owners where both were drawn with one `Resampling` of the same pictures. Seeds are other ones."""
        return Estimate(self.value - other.value, self.samples - other.samples, self.effective, *_seeds_of_both(self, other))

    @property
    def df(self) -> float:
        """Degrees of freedom (Satterthwaite 1946, Biometrics Bulletin 2:110-114): those of owners, fewer where the luck of few seeds counts."""
        owners = self.effective - 1
        if self.num_seeds < 2 or not self.seed_variance > 0:
            return owners
        of_owners = max(float(np.var(self.samples)) - self.seed_variance, 0.0)
        spread = of_owners**2 / owners if owners > 0 else 0.0
        return (of_owners + self.seed_variance) ** 2 / (spread + self.seed_variance**2 / (self.num_seeds - 1))

    def interval(self, level: float = LEVEL) -> Interval:
        """Expanded percentiles; where the luck of few seeds counts, stretched about the value by the ratio of Student's quantiles.

        To read them farther out instead would not do: S seeds drawn with replacement hardly reach beyond their farthest.
        """
        from scipy.stats import t

        low, high = expanded_percentiles(self.samples, level, self.effective)
        if not self.df < self.effective - 1:
            return Interval(float(self.value), low, high)
        tail = (1 - level) / 2
        stretch = float(t.ppf(tail, self.df) / t.ppf(tail, self.effective - 1))
        return Interval(float(self.value), *(float(self.value + stretch * (end - self.value)) for end in (low, high)))

    def widened(self, factor: float) -> "Estimate":
        """With ``factor`` times the spread about the number."""
        return self._replace(samples=self.value + factor * (self.samples - self.value), seed_variance=factor**2 * self.seed_variance)

    def above(self, chance: float, level: float = LEVEL) -> bool:
        return self.interval(level).low > chance

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided, of ``null``: 1 less the level of the widest `interval` without it; at least that of 1 sample in B + 1."""
        from scipy.stats import norm, t

        samples = _samples(self.samples)
        if self.effective <= 1:
            return 1.0
        below = np.sum(samples < null) + np.sum(samples == null) / 2 + 0.5
        z = abs(float(norm.ppf(np.clip(below, 1, len(samples)) / (len(samples) + 1))))
        if not math.isinf(self.effective):
            z *= math.sqrt((self.effective - 1) / self.effective)
        owners, df = self.effective - 1, self.df
        return float(2 * norm.sf(z) if math.isinf(df) else 2 * t.sf(z, min(df, owners)))

    def p_is_floor(self, null: float = 0.0) -> bool:
        """Whether all samples lie on one side of ``null``, so that more of them might show a smaller `p_value`."""
        samples = _samples(self.samples)
        below = np.sum(samples < null) + np.sum(samples == null) / 2 + 0.5
        return bool(self.effective > 1 and not 1 < below < len(samples))

    @property
    def detectable(self) -> float:
        """The smallest true effect that this split shows in 4 cases of 5, from the standard error of this very number."""
        owners = max(self.effective - 1, 1.0)
        return metrics.detectable(float(self.samples.std()) * math.sqrt(1 + 1 / owners), max(self.df, 1.0))


@dataclass(frozen=True)
class Resampling:
    """Two statistics of the same pictures with the same ``Resampling`` see the same resamples, so that their difference is paired."""

    num_resamples: int = 2000
    seed: int = 0

    @property
    def draws(self) -> dict[str, int]:
        """The arguments of the functions in `peoria.stats.bootstrap`."""
        return {"num_resamples": self.num_resamples, "seed": self.seed}


def expanded_percentiles(samples: ArrayLike, level: float = LEVEL, num_units: float = math.inf) -> tuple[float, float]:
    """The expanded percentile interval of bootstrap samples [B]: (low, high).

    Percentiles are too narrow where few owners were drawn. They are taken farther out, at Φ(∓√(n/(n−1))·t), t the quantile of Student's
    distribution with n − 1 degrees of freedom (Hesterberg 2015, "What Teachers Should Know About the Bootstrap", The American Statistician
    69:371-386). n is ``num_units``, for owners `Clusters.effective`; infinite, it gives plain percentiles. The p-quantile of B samples
    is the p·(B + 1)-th, so that few resamples do not make the interval narrower. Down to 1 unit it is all that was drawn.
    """
    samples = _samples(samples)
    if not 0 < level < 1:
        raise PeoriaError(f"level: {level}; a value between 0 and 1 is needed")
    outer = _expanded((1 - level) / 2, num_units)
    low, high = np.quantile(samples, [outer, 1 - outer], method="weibull")
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979) of p-values, in their order: the family-wise error rate holds whatever ties them together."""
    found = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable").tolist()):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        found[place] = largest
    return found


def _seeds_of_both(one: Estimate, other: Estimate) -> tuple[float, int]:
    """(variance, number) of seeds that are worth those of both: variances add up, degrees of freedom by Satterthwaite, rounded down."""
    parts = [part for part in (one, other) if part.num_seeds > 1 and part.seed_variance > 0]
    variance = sum(part.seed_variance for part in parts)
    if not variance > 0:
        return 0.0, max(one.num_seeds, other.num_seeds)
    return variance, 1 + math.floor(variance**2 / sum(part.seed_variance**2 / (part.num_seeds - 1) for part in parts) + 1e-9)


def _expanded(tail: float, num_units: float) -> float:
    """The percentile to be read so that ``tail`` of the true values lie beyond it."""
    from scipy.stats import norm, t

    if num_units <= 1:
        return 0.0
    df = num_units - 1
    return tail if math.isinf(df) else float(norm.cdf(math.sqrt(num_units / df) * t.ppf(tail, df)))


def _samples(samples: ArrayLike) -> Floats:
    found: Floats = np.asarray(samples, np.float64)
    if found.size == 0:
        raise PeoriaError("num_resamples: 0; at least 1 is needed for an interval")
    return found
