"""Is the tail of view counts a power law, as the paper's section 4.1 has it, or a lognormal?

Both laws are fitted to the same counts by maximum likelihood and compared by Vuong's test, as Clauset, Shalizi & Newman 2009 ("Power-law
distributions in empirical data", SIAM Review 51) recommend; a straight stretch in a histogram tells the two apart in neither direction.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from peoria.errors import PeoriaError

MIN_NUM = 50  # counts in a tail (Clauset et al. 2009, section 3: below, estimates are not to be trusted)
MAX_CANDIDATES = 150  # for xmin; of more, some evenly spaced on a logarithmic scale
LEVEL = 0.05
MAX_EXPONENT = 20.0
SIGMAS = (0.02, 20.0)
STEP = 1e-4  # of derivatives by central differences
ROUNDS = 6  # of Newton's method from a place within 1e-5; it doubles the digits each time


@dataclass(frozen=True)
class Tail:
    """Two laws for the counts from ``xmin`` on, and which of them fits better."""

    num_counts: int  # all that were given
    xmin: int
    xmin_chosen: bool  # by the smallest KS distance, not given
    num: int  # counts of at least xmin
    exponent: float  # α of the power law, p(x) ∝ x^−α
    ks: float  # largest distance between its distribution function and the counts'
    mu: float  # of the lognormal: mean and sd of log(views)
    sigma: float
    mu_at_bound: bool  # the fit would have a median below one view; what is left is as near as it may come to a power law
    ratio: float  # log-likelihood of the lognormal minus that of the power law
    z: float  # Vuong's statistic, above 0 where the lognormal fits better
    p: float  # two-sided
    better: str | None  # "lognormal", "power law", or None: cannot be told apart

    def ccdf(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """P(count ≥ x) among all counts by the power law and by the lognormal, float64 [N] each, for whole ``x`` [N] ≥ xmin."""
        from scipy.special import log_ndtr, zeta

        share = self.num / self.num_counts
        start = -(math.log(self.xmin) - self.mu) / self.sigma
        power = zeta(self.exponent, x) / zeta(self.exponent, self.xmin)
        lognormal = np.exp(log_ndtr(-(np.log(x) - self.mu) / self.sigma) - log_ndtr(start))
        return share * power, share * lognormal


def compare(counts: np.ndarray, xmin: int | None = None) -> Tail:
    """Fits both laws to the ``counts`` (int [N]) of at least ``xmin`` (≥ 1); where none is given, that of the smallest KS distance of the power law.

    Vuong 1989 ("Likelihood ratio tests for model selection and non-nested hypotheses", Econometrica 57): z = Σ lᵢ / (√n · sd(l)), with lᵢ the
    difference of log-likelihoods of count i.

    Raises:
        PeoriaError: fewer than 50 such counts, or all of them equal.
    """
    num_counts, viewed = len(counts), np.asarray(counts)
    viewed = viewed[viewed >= (xmin or 1)]
    if len(viewed) < MIN_NUM or viewed.min() == viewed.max():
        found = f"{len(viewed):,} of at least {xmin or 1}, {len(np.unique(viewed)):,} different"
        raise PeoriaError(f"counts: {found}; at least {MIN_NUM} are needed, not all equal, to fit a tail")
    x, num = np.unique(viewed, return_counts=True)
    x, num = x.astype(np.float64), num.astype(np.float64)
    start = 0 if xmin is not None else _smallest_ks(x, num)
    x, num = x[start:], num[start:]
    low, n = float(xmin or x[0]), float(num.sum())
    exponent = _exponent(x, num, low, settled=True)
    mu, sigma = _lognormal(x, num, low)
    differences = _log_lognormal(x, low, mu, sigma) - _log_power(x, low, exponent)
    mean = float(num @ differences) / n
    sd = math.sqrt(float(num @ (differences - mean) ** 2) / n)
    z = math.sqrt(n) * mean / sd if sd > 0 else 0.0
    p = math.erfc(abs(z) / math.sqrt(2))
    better = None if p >= LEVEL else "lognormal" if z > 0 else "power law"
    return Tail(
        num_counts=num_counts, xmin=int(low), xmin_chosen=xmin is None, num=int(n), exponent=exponent, ks=_ks(x, num, low, exponent), mu=mu,
        sigma=sigma, mu_at_bound=mu < 1e-6, ratio=n * mean, z=z, p=p, better=better,
    )  # fmt: skip


def _log_power(x: np.ndarray, xmin: float, exponent: float) -> np.ndarray:
    """log of p(x) = x^−α / ζ(α, xmin), ζ Hurwitz's (Clauset et al. 2009, equation 2.5)."""
    from scipy.special import zeta

    return -exponent * np.log(x) - math.log(zeta(exponent, xmin))


def _exponent(x: np.ndarray, num: np.ndarray, xmin: float, settled: bool = False) -> float:
    """α of the greatest likelihood (Clauset et al. 2009, equation 3.5, without its approximation); within 1e-5 of it, or ``settled``."""
    from scipy.optimize import minimize_scalar
    from scipy.special import zeta

    mean_log = float(num @ np.log(x)) / float(num.sum())
    found = float(minimize_scalar(lambda a: a * mean_log + math.log(zeta(a, xmin)), bounds=(1 + 1e-6, MAX_EXPONENT), method="bounded").x)
    if not settled:
        return found

    def slope(at: np.ndarray) -> np.ndarray:
        return -mean_log - (np.log(zeta(at + STEP, xmin)) - np.log(zeta(at - STEP, xmin))) / (2 * STEP)

    best = _settled(slope, [found]) if found > 1 + 3 * STEP else None
    return found if best is None or not 1 < best[0] < MAX_EXPONENT else best[0]


def _ks(x: np.ndarray, num: np.ndarray, xmin: float, exponent: float) -> float:
    """Kolmogorov and Smirnov's distance over all whole numbers: where the counts' function steps, and just before it does."""
    from scipy.special import zeta

    share = np.cumsum(num) / num.sum()
    at = 1 - zeta(exponent, x + 1) / zeta(exponent, xmin)
    before = 1 - zeta(exponent, x) / zeta(exponent, xmin)
    return float(max(np.abs(share - at).max(), np.abs(np.append(0.0, share[:-1]) - before).max()))


def _smallest_ks(x: np.ndarray, num: np.ndarray) -> int:
    """Index in ``x`` of the xmin from which the power law fits the counts best (Clauset et al. 2009, section 3.3)."""
    beyond = np.cumsum(num[::-1])[::-1]
    last = min(int((beyond >= MIN_NUM).sum()), len(x) - 1)  # at least two different counts
    spaced = np.searchsorted(x[:last], np.geomspace(x[0], x[last - 1], MAX_CANDIDATES)) if last > MAX_CANDIDATES else np.arange(last)
    candidates = np.unique(np.minimum(spaced, last - 1))
    return int(min(candidates, key=lambda i: _ks(x[i:], num[i:], float(x[i]), _exponent(x[i:], num[i:], float(x[i])))))


def _log_lognormal(x: np.ndarray, xmin: float, mu: float, sigma: float) -> np.ndarray:
    """log-probability of whole counts x ≥ xmin where a count is the whole part of a lognormal: P(x ≤ X < x + 1) / P(X ≥ xmin).

    By upper tails, which keep their digits where a count is far out.
    """
    from scipy.special import log_ndtr

    above, after = log_ndtr(-(np.log(x) - mu) / sigma), log_ndtr(-(np.log1p(x) - mu) / sigma)
    with np.errstate(divide="ignore"):
        inside = np.log(-np.expm1(after - above))
    return above + inside - log_ndtr(-(math.log(xmin) - mu) / sigma)


def _lognormal(x: np.ndarray, num: np.ndarray, xmin: float) -> tuple[float, float]:
    """(mu, sigma) of the greatest likelihood, with a median of at least one view (mu ≥ 0).

    Without that bound a lognormal with mu → −∞ and sigma → ∞ is the power law itself, and nothing could ever speak for the latter; the
    package ``powerlaw`` (Alstott, Bullmore & Plenz 2014) calls the bounded one ``lognormal_positive``.
    """
    from scipy.optimize import minimize, minimize_scalar

    logs = np.log(x)
    mean = float(num @ logs) / float(num.sum())
    sd = math.sqrt(float(num @ (logs - mean) ** 2) / float(num.sum()))

    def cost(mu: float, log_sigma: float) -> float:
        value = -float(num @ _log_lognormal(x, xmin, mu, math.exp(log_sigma)))
        return value if math.isfinite(value) else 1e300

    log_sigmas = (math.log(SIGMAS[0]), math.log(SIGMAS[1]))
    edge = float(minimize_scalar(lambda s: cost(0.0, s), bounds=log_sigmas, method="bounded").x)
    options = {"xatol": 1e-6, "fatol": 1e-6, "maxiter": 2000}
    starts = ([mean, math.log(max(sd, 0.05))], [mean / 2, edge])
    bounds = [(0, logs[-1]), log_sigmas]
    inner = (minimize(lambda t: cost(t[0], t[1]), start, method="Nelder-Mead", bounds=bounds, options=options) for start in starts)
    _, mu, log_sigma = min([(float(fit.fun), float(fit.x[0]), float(fit.x[1])) for fit in inner] + [(cost(0.0, edge), 0.0, edge)])
    inside = _settled(lambda at: _slopes(x, num, xmin, at[0], math.exp(at[1])), [mu, log_sigma])
    if inside is None or inside[0] <= 0:
        on_edge = _settled(lambda at: _slopes(x, num, xmin, 0.0, math.exp(at[0]))[1:], [edge])
        inside = [mu, log_sigma] if on_edge is None else [0.0, *on_edge]
    return inside[0], math.exp(min(max(inside[1], log_sigmas[0]), log_sigmas[1]))


def _slopes(x: np.ndarray, num: np.ndarray, xmin: float, mu: float, sigma: float) -> np.ndarray:
    """Derivatives of the mean log-likelihood of the lognormal by mu and by log(sigma), float64 [2]."""
    from scipy.special import log_ndtr

    start, at, gap = (math.log(xmin) - mu) / sigma, (np.log(x) - mu) / sigma, np.log1p(1 / x) / sigma
    beyond = log_ndtr(-start)
    inside = _log_lognormal(x, xmin, mu, sigma) + beyond  # log P(x ≤ X < x + 1)
    of_start = math.exp(-(start**2) / 2 - beyond) / math.sqrt(2 * math.pi)
    density = np.exp(-(at**2) / 2 - inside) / math.sqrt(2 * math.pi)
    change = np.expm1(-gap * (at + gap / 2))  # of the density over the count, in shares of it: far out, the difference of two would have no digits
    by_mu = -density * change / sigma - of_start / sigma
    by_log_sigma = -density * (at * change + gap * (1 + change)) - start * of_start
    found: np.ndarray = np.array([num @ by_mu, num @ by_log_sigma]) / num.sum()
    return found


def _settled(slopes: Callable[[np.ndarray], np.ndarray], at: Sequence[float]) -> list[float] | None:
    """The place near ``at`` where the ``slopes`` [D] are 0, by Newton's method; None where it is not found or no maximum.

    A simplex or a golden section stops within 1e-6 of it, wherever the last bits of this CPU led; here 6 decimals are those of any CPU.
    """
    place = np.asarray(at, np.float64)
    for _ in range(ROUNDS):
        bend = np.stack([(slopes(place + step) - slopes(place - step)) / (2 * STEP) for step in STEP * np.eye(len(place))])
        if not np.isfinite(bend).all() or np.linalg.eigvalsh(bend + bend.T).max() >= 0:
            return None
        place = place - np.linalg.solve(bend.T, slopes(place))
    found: list[float] = place.tolist()
    return found
