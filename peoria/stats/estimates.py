"""How a number gets its interval, in one place: from which resamples of owners, and at which level."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from peoria.errors import PeoriaError
from peoria.stats import metrics
from peoria.stats.metrics import Floats

LEVEL = 0.95  # of every interval
MIN_OWNERS = 20  # with fewer, intervals were not shown to hold
MIN_EFFECTIVE = 5.0  # likewise, of `Clusters.effective`: 20 owners of whom one has nearly all pictures are one


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
    """A number, its bootstrap samples [B], and how many owners they are worth (`Clusters.effective`)."""

    value: float
    samples: Floats
    effective: float

    def __sub__(self, other: "Estimate") -> "Estimate":
        """The difference; paired where both were drawn with one `Resampling` of the same pictures."""
        return Estimate(self.value - other.value, self.samples - other.samples, self.effective)

    def interval(self, level: float = LEVEL) -> Interval:
        return Interval(float(self.value), *expanded_percentiles(self.samples, level, self.effective))

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
        df = self.effective - 1
        return float(2 * norm.sf(z) if math.isinf(df) else 2 * t.sf(z * math.sqrt(df / self.effective), df))

    @property
    def detectable(self) -> float:
        """The smallest true effect that this split shows in 4 cases of 5, from the standard error of this very number."""
        return metrics.detectable(float(self.samples.std()))


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
