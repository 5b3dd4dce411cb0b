"""What finished trials say of settings that were not tried: Gaussian processes over the searched space.

A setting is a row of four numbers: the index of its task, that of its outlier cut, and where its learning rate and its head multiplier lie on the
logarithmic axes of their ranges, 0 to 1. A few hundred val pictures tell good settings apart hardly at all, so what is modelled is a slow trend: long
length scales, and three times as much noise as signal. Shorter scales, and scales chosen by the likelihood, follow the luck of single trials
(docs/log.md).
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.special import ndtr

# Of a signal with variance 1.
NOISE = 3.0
OTHER_TASK, OTHER_CUT = 0.6, 0.9  # correlation of two tasks, of two cuts, everything else equal
MULTIPLIER_SCALE = 2.0  # length scale along the multiplier over that along the rate

# Of the labels 1 (ended with finite weights) and -1 (diverged), whose edge is sharp.
EDGE_SCALE, EDGE_NOISE, EDGE_MEAN, EDGE_SD = 0.2, 0.05, 0.5, 0.4
JITTER = 1e-4


class Kernel(NamedTuple):
    """Matérn with ν = 5/2 (Rasmussen and Williams 2006, eq. 4.17) along both axes, times a correlation of tasks and one of cuts."""

    rate: float  # length scales
    multiplier: float

    def __call__(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """Covariances of settings, float64 [N, 4] and [M, 4] → [N, M]."""
        task, cut, rate, multiplier = (a[:, None, i] - b[None, :, i] for i in range(4))
        r = np.sqrt(5 * ((rate / self.rate) ** 2 + (multiplier / self.multiplier) ** 2))
        found: np.ndarray = np.where(task == 0, 1.0, OTHER_TASK) * np.where(cut == 0, 1.0, OTHER_CUT) * (1 + r + r * r / 3) * np.exp(-r)
        return found


class Trend:
    """The posterior of what candidates are worth."""

    def __init__(self, points: np.ndarray, values: np.ndarray, running: np.ndarray, candidates: np.ndarray, rate_scale: float) -> None:
        """
        Args:
            points: of finished trials, float64 [N, 4], N ≥ 1.
            values: how good these were, with variance about 1, float64 [N].
            running: of trials under way, [R, 4]: their values are taken to be as expected, so that they move no mean and narrow what is unknown.
            candidates: [M, 4].
        """
        self._kernel, self._candidates = Kernel(rate_scale, MULTIPLIER_SCALE * rate_scale), candidates
        num, known = len(points), np.vstack([points, running])
        among = self._kernel(known, known)
        among.flat[:: len(known) + 1] += NOISE
        of_candidates = self._kernel(known, candidates)
        factor = np.linalg.cholesky(among)  # its corner is that of the finished ones
        self.mean: np.ndarray = of_candidates[:num].T @ cho_solve((factor[:num, :num], True), values)  # float64 [M]
        self._explained: np.ndarray = solve_triangular(factor, of_candidates, lower=True)
        self.sd: np.ndarray = np.sqrt(np.maximum(1 - (self._explained**2).sum(axis=0), 0))  # float64 [M]

    def sample(self, chosen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One function of the posterior at these of the candidates, given by their places."""
        at, explained = self._candidates[chosen], self._explained[:, chosen]
        covariance = self._kernel(at, at) - explained.T @ explained
        covariance.flat[:: len(at) + 1] += JITTER
        found: np.ndarray = self.mean[chosen] + np.linalg.cholesky(covariance) @ rng.standard_normal(len(at))
        return found


def stays_finite(at: np.ndarray, finite: np.ndarray, diverged: np.ndarray) -> np.ndarray:
    """How likely settings train to finite weights, 0 to 1, by those [N, 4] that did and those [D, 4] that did not; 1 where none diverged."""
    if not len(diverged):
        return np.ones(len(at))
    kernel, points = Kernel(EDGE_SCALE, 1.5 * EDGE_SCALE), np.vstack([finite, diverged])
    labels = np.repeat([1.0, -1.0], [len(finite), len(diverged)])
    weights = cho_solve(cho_factor(kernel(points, points) + EDGE_NOISE * np.eye(len(points))), labels - EDGE_MEAN)
    found: np.ndarray = ndtr((EDGE_MEAN + kernel(at, points) @ weights) / EDGE_SD)
    return found
