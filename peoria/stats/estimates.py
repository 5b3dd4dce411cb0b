"""How a number gets its interval, in one place: how many resamples of owners, from which seed, at which level."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from peoria.stats import bootstrap, metrics
from peoria.stats.metrics import Floats, owner_units

MIN_OWNERS = 20  # with fewer, intervals were not shown to hold
MIN_EFFECTIVE = 5.0  # likewise, of `metrics.effective_owners`: 20 owners of whom one has nearly all pictures are one


@dataclass(frozen=True)
class Resampling:
    """Two statistics of the same pictures with the same ``Resampling`` see the same resamples, so that their difference is paired."""

    num_resamples: int = 2000
    seed: int = 0
    level: float = 0.95

    @property
    def draws(self) -> dict[str, int]:
        """The arguments of the functions in `peoria.stats.bootstrap`."""
        return {"num_resamples": self.num_resamples, "seed": self.seed}

    def estimate(self, value: float, samples: Floats, effective: float) -> dict[str, float]:
        """``{"value", "low", "high"}`` from bootstrap samples [B] over so many owners, as `metrics.effective_owners` counts them."""
        low, high = bootstrap.interval(samples, self.level, effective)
        return {"value": float(value), "low": low, "high": high}


def num_units(owners: ArrayLike) -> int:
    """How many owners are resampled; an unknown owner (``""``) counts by picture."""
    return len(owner_units(owners)[1])


LEVEL = 0.95


class Estimate(NamedTuple):
    """A number, its bootstrap samples [B], and how many owners they are worth (`metrics.effective_owners`)."""

    value: float
    samples: Floats
    effective: float

    def __sub__(self, other: "Estimate") -> "Estimate":
        return Estimate(self.value - other.value, self.samples - other.samples, self.effective)

    def plain(self) -> dict[str, float]:
        low, high = bootstrap.interval(self.samples, LEVEL, num_units=self.effective)
        return {"value": self.value, "low": low, "high": high}

    def above(self, chance: float, level: float = LEVEL) -> bool:
        return bootstrap.interval(self.samples, level, num_units=self.effective)[0] > chance

    @property
    def detectable(self) -> float:
        """The smallest true effect that this split shows in 4 cases of 5, from the standard error of this very number."""
        return metrics.detectable(float(self.samples.std()))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979) of p-values, in their order: the family-wise error rate holds whatever ties them together."""
    found = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable").tolist()):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        found[place] = largest
    return found
