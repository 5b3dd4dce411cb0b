"""Arithmetic on the numbers that the paper prints: what follows from them, and what they exclude. No data, no network.

What is printed stands in `peoria.paper.printed`; `peoria.paper.claims` puts the two beside each other.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from peoria.paper.printed import NUM_ANALYSED, NUM_BINS, NUM_COLLECTED, NUM_REMOVED, OUTLIER_SD, REGRESSION, TABLE_1, TABLE_2, Row
from peoria.stats import metrics

HALF_DIGIT = 0.005  # what rounding to two digits may hide in Table 1

# -- Table 1


def forced_sd(row: Row, num: int) -> float:
    """The least standard deviation that ``num`` values with this mean and this maximum can have: all others equal, (max − mean) / √(num − 1)."""
    return (row.max - row.mean) / math.sqrt(num - 1)


def needed_num(row: Row) -> int:
    """The fewest values that can have this mean, sd and maximum, mean and sd rounded to two digits in the table's favour."""
    return math.ceil(((row.max - row.mean - HALF_DIGIT) / (row.sd + HALF_DIGIT)) ** 2) + 1


def limit(row: Row) -> float:
    """Above which the paper removed a picture, if its mean and sd are those of the row: mean + 6 sd."""
    return row.mean + OUTLIER_SD * row.sd


def most_sd(mean: float, top: float) -> float:
    """The largest sd that values from 0 to ``top`` with this mean can have: √((top − mean) · mean) (Bhatia and Davis 2000)."""
    return math.sqrt((top - mean) * mean)


def needed_top(row: Row) -> int:
    """The least maximum that counts with this mean and sd can have, by the same bound, mean and sd rounded in the table's favour."""
    mean, sd = row.mean + HALF_DIGIT, row.sd - HALF_DIGIT
    return math.ceil(sd**2 / mean + mean)


class Uncut(NamedTuple):
    """What the pictures before the removal must have had, if a row's mean and sd are of those that stayed."""

    sd: float  # at least, of all
    removed_rms: float  # at least, of the removed: the root of their mean square


def uncut(row: Row, kept: int = NUM_ANALYSED, removed: int = NUM_REMOVED) -> Uncut:
    """The least that lifts the limit, mean + 6 sd of all pictures, to the maximum that the kept ones need (`needed_top`).

    The limit rises with the mean and the mean square of the removed, and at a given mean square their mean is largest where all are equal: both
    bounds are reached there.
    """
    from scipy.optimize import brentq

    mean, sd, top = row.mean + HALF_DIGIT, row.sd + HALF_DIGIT, needed_top(row)

    def of_all(count: float) -> tuple[float, float]:
        share = removed / (kept + removed)
        m1 = (1 - share) * mean + share * count
        m2 = (1 - share) * (mean**2 + sd**2) + share * count**2
        return m1, math.sqrt(m2 - m1**2)

    def below_top(count: float) -> float:
        m1, s = of_all(count)
        return m1 + OUTLIER_SD * s - top

    count = float(brentq(below_top, mean, row.max))
    return Uncut(of_all(count)[1], count)


def removed_mean(mean: float, of_kept: float, kept: int = NUM_ANALYSED, removed: int = NUM_REMOVED) -> float:
    """The mean of the removed pictures that makes the mean of all ``mean``."""
    return (mean * (kept + removed) - of_kept * kept) / removed


def cantelli(k: float) -> float:
    """The largest share that can lie more than ``k`` standard deviations above the mean, whatever the law: 1 / (1 + k²) (Cantelli 1928)."""
    return 1 / (1 + k * k)


def lognormal(mean: float, sd: float) -> tuple[float, float]:
    """(mu, sigma) of the lognormal of this mean and sd."""
    variance = math.log1p((sd / mean) ** 2)
    return math.log(mean) - variance / 2, math.sqrt(variance)


def share_above(value: float, mu: float, sigma: float) -> float:
    """The share of a lognormal above ``value``."""
    from scipy.stats import norm

    return float(norm.sf((math.log(value) - mu) / sigma))


def zeta_exponent(mean: float) -> float:
    """α of the power law p(x) = x^−α / ζ(α) over 1, 2, 3, … with this mean, ζ(α − 1) / ζ(α)."""
    from scipy.optimize import brentq
    from scipy.special import zeta

    return float(brentq(lambda a: zeta(a - 1) / zeta(a) - mean, 2 + 1e-6, 10))


def share_of_ones(exponent: float) -> float:
    """The share of pictures with exactly one view under that power law."""
    from scipy.special import zeta

    return float(1 / zeta(exponent))


def ended_power_law(mean: float, top: int) -> tuple[float, float]:
    """(α, share of ones) of the power law over 1, 2, …, ``top`` with this mean."""
    from scipy.optimize import brentq

    logs = np.log(np.arange(1, top + 1))

    def weights(exponent: float) -> np.ndarray:
        held = np.exp(-exponent * logs)
        return held / held.sum()

    exponent = float(brentq(lambda a: weights(a) @ np.exp(logs) - mean, 0, 10))
    return exponent, float(weights(exponent)[0])


def loglog_fit(mean: float, sd: float, top: int = 2_000, num_bins: int = 100) -> float:
    """R² of a straight line through the histogram of a lognormal up to ``top``, both axes logarithmic."""
    from scipy.stats import norm

    mu, sigma = lognormal(mean, sd)
    edges = np.linspace(0, top, num_bins + 1)
    with np.errstate(divide="ignore"):
        heights = np.diff(norm.cdf((np.log(edges) - mu) / sigma))
    return metrics.pearson(np.log((edges[:-1] + edges[1:]) / 2), np.log(heights)) ** 2


def eigenvalues() -> np.ndarray:
    """Of Table 2 as a matrix of correlations, ascending; all ≥ 0 where such a matrix can exist."""
    vf, vc, fc = TABLE_2.values()
    return np.linalg.eigvalsh([[1, vf, vc], [vf, 1, fc], [vc, fc, 1]])


def partial(xy: float, xz: float, yz: float) -> float:
    """Correlation of x and y with z held fixed."""
    return (xy - xz * yz) / math.sqrt((1 - xz * xz) * (1 - yz * yz))


# -- bins


def bin_loss(num_bins: int = NUM_BINS) -> float:
    """Half the variance of 0, 1, …, num_bins − 1, all as frequent: (num_bins² − 1) / 24."""
    return (num_bins**2 - 1) / 24


def bin_loss_sd(num_bins: int = NUM_BINS) -> float:
    """Standard deviation of ½(k − mean)² over those bins."""
    losses = (np.arange(num_bins) - (num_bins - 1) / 2) ** 2 / 2
    return float(losses.std())


def tied_bins(shares: np.ndarray, num_bins: int = NUM_BINS, *, below: bool = True) -> tuple[int, float]:
    """(bins, half the variance of the bin index) where equal counts stay together: ``shares`` [X] of the counts 0, 1, …, ascending.

    A count on an edge belongs to the bin below it (as in `peoria.tasks.hybrid`), or, with ``below=False``, to the one above.
    """
    cumulative = np.cumsum(shares) / np.sum(shares)
    edges = np.unique(np.searchsorted(cumulative, np.arange(1, num_bins) / num_bins))
    bins = np.searchsorted(edges, np.arange(len(shares)), side="left" if below else "right")
    _, bins = np.unique(bins[shares > 0], return_inverse=True)
    held = shares[shares > 0] / np.sum(shares)
    return int(bins.max()) + 1, float(held @ (bins - held @ bins) ** 2) / 2


def whole_lognormal(mu: float, sigma: float, top: int = 1_000_000) -> np.ndarray:
    """Shares [top] of the counts 0, 1, …, top − 1, where a count is the whole part of a lognormal; they add up to what lies below ``top``."""
    from scipy.stats import norm

    return np.diff(norm.cdf((np.log(np.arange(1, top + 1)) - mu) / sigma), prepend=0.0)


def least_r(d2: float) -> float:
    """The least |correlation| of prediction and target that removes the share ``d2`` of the squared loss: √d2, reached by the best line."""
    return math.sqrt(d2)


def paired_sd(r: float, loss: float) -> float:
    """Standard deviation of (loss of the mean bin − loss of the best line) on one picture, for a small correlation ``r``: the variance times r.

    The variance is twice ``loss``, the mean bin's.

    With e the line's deviation from the mean bin, the difference is (k − mean)·e − e²/2, and e has the sd r·σ; the last term is left
    out (2 to 3 % at r = 0.17).
    """
    return 2 * loss * r


# -- classes


def prior_losses(p: float) -> dict[str, float]:
    """What the constant probability ``p`` scores where a share ``p`` is positive."""
    return {"log_loss": -p * math.log(p) - (1 - p) * math.log1p(-p), "brier": p * (1 - p), "accuracy": max(p, 1 - p), "average_precision": p}


def accuracy_gain(auc: float, p: float) -> float:
    """What the best threshold on a score of that AUC adds to the accuracy of the more frequent class; both classes normal, of one variance."""
    from scipy.stats import norm

    apart = math.sqrt(2) * norm.ppf(auc)
    threshold = apart / 2 + math.log((1 - p) / p) / apart
    return float(p * norm.sf(threshold - apart) - (1 - p) * norm.sf(threshold))


# -- samples


def se_of_mean(sd: float, num: float) -> float:
    return sd / math.sqrt(num)


class CutLognormal(NamedTuple):
    """The lognormal that has a given mean and sd after the cut at its own mean + 6 sd."""

    mu: float
    sigma: float
    cut: float
    share_cut: float
    kurtosis: float  # after the cut


@functools.cache
def cut_lognormal(mean: float, sd: float, k: float = OUTLIER_SD) -> CutLognormal:
    """Moments in closed form: E[X^j; X ≤ c] = exp(jμ + j²σ²/2) · Φ((log c − μ − jσ²) / σ)."""
    from scipy.optimize import fsolve
    from scipy.stats import norm

    def moments(mu: float, sigma: float) -> tuple[float, list[float]]:
        uncut = math.exp(mu + sigma**2 / 2)
        cut = uncut * (1 + k * math.sqrt(math.expm1(sigma**2)))
        return cut, [math.exp(j * mu + (j * sigma) ** 2 / 2) * norm.cdf((math.log(cut) - mu - j * sigma**2) / sigma) for j in range(5)]

    def misses(t: np.ndarray) -> list[float]:
        _, (m0, m1, m2, *_) = moments(t[0], t[1])
        return [m1 / m0 / mean - 1, (m2 / m0 - (m1 / m0) ** 2) / sd**2 - 1]

    mu, sigma = fsolve(misses, lognormal(mean, sd))
    cut, (m0, m1, m2, m3, m4) = moments(mu, sigma)
    m1, m2, m3, m4 = m1 / m0, m2 / m0, m3 / m0, m4 / m0
    fourth = m4 - 4 * m3 * m1 + 6 * m2 * m1**2 - 3 * m1**4
    return CutLognormal(float(mu), float(sigma), cut, float(1 - m0), fourth / (m2 - m1**2) ** 2)


def se_half_mse(sd: float, kurtosis: float, num: int) -> float:
    """Standard error of the mean of ½(x − mean)² over ``num`` values: σ²/2 · √((kurtosis − 1) / num)."""
    return sd**2 / 2 * math.sqrt((kurtosis - 1) / num)


# -- the regression's constant


class Reading(NamedTuple):
    """One way to understand "the expected error of approximately 87,000"."""

    name: str
    text: str
    sd: float
    constant: float  # half-MSE of the mean
    d2_train: float
    d2_val: float


def readings() -> list[Reading]:
    """Whatever 87,000 is, the loss that a network has to beat is half the variance of the views."""
    expected = REGRESSION["expected"]
    sds = {
        "A": ("87,000 is a variance, not halved as the network's loss is", math.sqrt(expected)),
        "B": ("the sd of Table 1 is that of the pictures trained on", TABLE_1["views"].sd),
        "C": ("87,000 is halved already", math.sqrt(2 * expected)),
        "D": ("before the removal, the picture of 321,528 views still in, among 400,000", forced_sd(TABLE_1["views"], NUM_COLLECTED)),
    }
    return [
        Reading(name, text, sd, sd**2 / 2, metrics.d2(REGRESSION["train"], sd**2 / 2), metrics.d2(REGRESSION["val"], sd**2 / 2))
        for name, (text, sd) in sds.items()
    ]


def trunk_rate(rate: float) -> float:
    """The rate on standardised views that moves the trunk as ``rate`` does on raw ones under the squared loss: rate · sd². The last layer's stays.

    With y = sd·t the error and the last layer's weights are sd times as large, so the gradient of what lies below is sd² times as large, that of
    the last layer sd times, as are its weights.
    """
    return rate * TABLE_1["views"].sd ** 2


# -- length


def passes(iterations: int, batch_size: float, num: float) -> float:
    return iterations * batch_size / num


def batch_for(num_passes: float, iterations: int, num: float) -> float:
    return num_passes * num / iterations


def side(*, padded: bool, stride_5: int) -> int:
    """Side of the last pooled map of the paper's listing for a 227-pixel input, in Caffe's rounding: convolutions down, pools up.

    Args:
        padded: layers 3 to 5 padded by one as in CaffeNet, or not at all, as listed.
        stride_5: of layer 5; CaffeNet's is 1, the listing's 2.
    """

    def conv(size: int, kernel: int, stride: int = 1, pad: int = 0) -> int:
        return (size + 2 * pad - kernel) // stride + 1

    def pool(size: int) -> int:
        return math.ceil((size - 3) / 2) + 1

    pad = int(padded)
    size = pool(conv(pool(conv(227, 11, 4)), 5, pad=2))
    return pool(conv(conv(conv(size, 3, pad=pad), 3, pad=pad), 3, stride_5, pad))
