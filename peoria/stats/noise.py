"""Where pictures of white noise rank among pictures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class NoisePlaces:
    """Places of pictures of white noise among the pictures of a split, as the share of these that scores lower."""

    num: int
    places: dict[str, float]  # quantiles: "0.05", "0.5", "0.95"


def noise_places(of_noise: ArrayLike, of_split: ArrayLike) -> NoisePlaces:
    """Of the scores of noise [K] and of a split [N] (the paper, section 1: "very few images of noise are widely popular")."""
    of_noise, of_split = np.asarray(of_noise), np.asarray(of_split)
    places = np.searchsorted(np.sort(of_split), of_noise) / len(of_split)
    return NoisePlaces(len(of_noise), {str(q): float(np.quantile(places, q)) for q in (0.05, 0.5, 0.95)})
