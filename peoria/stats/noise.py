"""Where pictures of white noise rank among pictures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Places:
    """Quantiles of places in a split, each place the share of the split's pictures that score lower."""

    q05: float
    q50: float
    q95: float


@dataclass(frozen=True)
class NoisePlaces:
    """Where pictures of white noise rank among the pictures of a split."""

    num: int
    places: Places


def noise_places(of_noise: ArrayLike, of_split: ArrayLike) -> NoisePlaces:
    """Of the scores of noise [K] and of a split [N] (the paper, section 1: "very few images of noise are widely popular")."""
    of_noise, of_split = np.asarray(of_noise), np.asarray(of_split)
    places = np.searchsorted(np.sort(of_split), of_noise) / len(of_split)
    return NoisePlaces(len(of_noise), Places(*np.quantile(places, [0.05, 0.5, 0.95]).tolist()))
