"""How a number gets its interval, in one place: how many resamples of owners, from which seed, at which level."""

from dataclasses import dataclass

from numpy.typing import ArrayLike

from peoria.stats import bootstrap
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
