"""Is the tail of view counts a power law, as the paper's section 4.1 has it, or a lognormal?

Both laws are fitted to the same counts by maximum likelihood and compared by Vuong's test, as Clauset, Shalizi & Newman 2009 ("Power-law
distributions in empirical data", SIAM Review 51) recommend; a straight stretch in a histogram tells the two apart in neither direction.
"""

import math
from dataclasses import dataclass

import numpy as np

from peoria.errors import PeoriaError

MIN_NUM = 50  # counts in a tail (Clauset et al. 2009, section 3: below, estimates are not to be trusted)
MAX_CANDIDATES = 150  # for xmin; of more, some evenly spaced on a logarithmic scale
LEVEL = 0.05
MAX_EXPONENT = 20.0
SIGMAS = (0.02, 20.0)


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
    exponent = _exponent(x, num, low)
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


def _exponent(x: np.ndarray, num: np.ndarray, xmin: float) -> float:
    """α of the greatest likelihood (Clauset et al. 2009, equation 3.5, without its approximation)."""
    from scipy.optimize import minimize_scalar
    from scipy.special import zeta

    mean_log = float(num @ np.log(x)) / float(num.sum())
    return float(minimize_scalar(lambda a: a * mean_log + math.log(zeta(a, xmin)), bounds=(1 + 1e-6, MAX_EXPONENT), method="bounded").x)


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
    edge = minimize_scalar(lambda s: cost(0.0, s), bounds=log_sigmas, method="bounded")
    options = {"xatol": 1e-6, "fatol": 1e-6, "maxiter": 2000}
    starts = ([mean, math.log(max(sd, 0.05))], [mean / 2, float(edge.x)])
    inner = (
        minimize(lambda t: cost(t[0], t[1]), start, method="Nelder-Mead", bounds=[(0, logs[-1]), log_sigmas], options=options) for start in starts
    )
    found = [(float(fit.fun), float(fit.x[0]), float(fit.x[1])) for fit in inner] + [(float(edge.fun), 0.0, float(edge.x))]
    _, mu, log_sigma = min(found)
    return mu, math.exp(log_sigma)
