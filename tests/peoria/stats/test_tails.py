"""Lognormal against power law: each wins on its own draws, and neither where the counts cannot tell."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy import integrate, stats

from peoria.errors import PeoriaError
from peoria.stats import tails
from peoria.stats.tails import compare


def lognormal(num: int, mu: float = 4.1, sigma: float = 1.33, seed: int = 0) -> np.ndarray:
    return np.floor(np.exp(np.random.default_rng(seed).normal(mu, sigma, num))).astype(np.int64)


def power_law(num: int, exponent: float, xmin: int = 1, seed: int = 0) -> np.ndarray:
    """Exact draws from x^−α, x ≥ xmin: those of Zipf's law that are large enough."""
    random = np.random.default_rng(seed)
    drawn = np.empty(0, np.int64)
    while len(drawn) < num:
        more = random.zipf(exponent, 20 * num)
        drawn = np.concatenate([drawn, more[more >= xmin]])
    return drawn[:num]


def test_a_lognormal_wins_on_its_own_counts() -> None:
    found = compare(lognormal(20_000), 1)
    assert found.better == "lognormal"
    assert (found.mu, found.sigma) == pytest.approx((4.1, 1.33), rel=0.02)
    assert found.z > 50
    assert found.p < 0.001
    assert compare(power_law(20_000, 2.5), 1).better == "power law"  # the same test on the other law


def test_a_power_law_wins_on_its_own_counts() -> None:
    for found in (compare(power_law(20_000, 2.5), 1), compare(power_law(20_000, 2.2, xmin=8), 8)):
        assert found.better == "power law"
        assert found.z < -5
        assert found.mu_at_bound  # as near to a power law as a lognormal may come
    assert found.exponent == pytest.approx(2.2, abs=0.03)
    assert compare(lognormal(20_000, 3.0, 1.0), 8).better == "lognormal"


@pytest.mark.parametrize("xmin", [1, 30])
def test_exponents_are_those_of_the_draws(xmin: int) -> None:
    estimates = [compare(power_law(2000, 2.5, xmin, seed), xmin).exponent for seed in range(8)]
    assert np.mean(estimates) == pytest.approx(2.5, abs=4 * 1.5 / np.sqrt(8 * 2000))  # its sd is (α − 1)/√n (Clauset et al. 2009, equation 3.6)


def test_xmin_is_where_the_power_law_begins() -> None:
    random = np.random.default_rng(2)
    counts = np.concatenate([random.integers(1, 40, 12_000), power_law(8_000, 2.5, 40)])
    found = compare(counts)
    assert found.xmin_chosen
    assert 30 <= found.xmin <= 60
    assert found.exponent == pytest.approx(2.5, abs=0.08)
    assert found.ks < compare(counts, 1).ks / 10


def test_few_counts_of_a_far_tail_tell_nothing() -> None:
    found = compare(lognormal(1000), 450)
    assert found.num < 100
    assert found.better is None
    assert found.p > 0.05
    assert compare(lognormal(1000), 1).better == "lognormal"  # all of them do


def test_the_wrong_law_is_rarely_preferred() -> None:
    """At a level of 5 % two-sided, on counts so few that the laws are hard to tell apart."""
    of_power_law = [compare(power_law(400, 2.5, 20, seed), 20).better for seed in range(60)]
    of_lognormal = [compare(lognormal(600, seed=seed), 60).better for seed in range(60)]
    assert of_power_law.count("lognormal") <= 4
    assert of_lognormal.count("power law") <= 4
    assert of_lognormal.count("lognormal") > 30  # it can speak


@pytest.mark.parametrize("xmin", [1, 7, 400])
def test_both_laws_sum_to_one(xmin: int) -> None:
    x = np.arange(xmin, 3_000_000, dtype=float)
    assert np.exp(tails._log_power(x, xmin, 2.7)).sum() == pytest.approx(1, abs=1e-4)
    assert np.exp(tails._log_lognormal(x, xmin, 3.0, 1.2)).sum() == pytest.approx(1, abs=1e-9)


def test_the_lognormal_of_whole_numbers() -> None:
    density = stats.lognorm(1.2, scale=np.exp(3.0))
    for x in (1, 20, 100_000, 10_000_000):
        inside, _ = integrate.quad(density.pdf, x, x + 1, epsabs=0)
        assert tails._log_lognormal(np.array([float(x)]), 1, 3.0, 1.2)[0] == pytest.approx(np.log(inside / density.sf(1)), rel=1e-6)


@pytest.mark.parametrize(("counts", "xmin"), [(lognormal(20_000), 1), (lognormal(1000), 277), (power_law(20_000, 2.5), 1)])
def test_the_fit_does_not_depend_on_where_its_search_stopped(counts: np.ndarray, xmin: int) -> None:
    """A simplex stops where the last bits of the CPU lead it; Newton's method goes on to one place."""
    x, num = (part.astype(np.float64) for part in np.unique(counts[counts >= xmin], return_counts=True))
    mu, sigma = tails._lognormal(x, num, xmin)

    def mean_log_likelihood(mu: float, log_sigma: float) -> float:
        return float(num @ tails._log_lognormal(x, xmin, mu, np.exp(log_sigma))) / num.sum()

    def slopes(mu: float, log_sigma: float) -> np.ndarray:
        return tails._slopes(x, num, xmin, mu, np.exp(log_sigma))

    at = np.array([mu, np.log(sigma)])
    for place in (at, at + np.array([0.3, -0.2])):
        expected = [(mean_log_likelihood(*(place + step)) - mean_log_likelihood(*(place - step))) / 2e-4 for step in 1e-4 * np.eye(2)]
        assert slopes(*place) == pytest.approx(expected, rel=1e-5, abs=1e-7)
    inner = mu > 0
    found = [tails._settled(lambda t: slopes(*t) if inner else slopes(0.0, t[0])[1:], (at + start)[not inner :]) for start in (0.0, 3e-6, -1e-5)]
    assert all(place == pytest.approx(found[0], abs=1e-9) for place in found)
    assert slopes(*at)[not inner :] == pytest.approx(0, abs=1e-12)
    assert abs(slopes(*(at + 1e-6))).max() > 1e-9  # control: a place as far away as a simplex stops is told apart


def test_no_fit_where_there_is_no_maximum() -> None:
    assert tails._settled(lambda t: t, [0.1]) is None  # a minimum
    assert tails._settled(lambda t: t * np.nan, [0.1]) is None


def test_the_distribution_functions_that_are_drawn() -> None:
    counts = lognormal(20_000)
    found = compare(counts, 5)
    x = np.array([5.0, 50.0, 300.0])
    power, fitted = found.ccdf(x)
    np.testing.assert_allclose(fitted, [(counts >= at).mean() for at in x], atol=0.01)
    assert [power[0], fitted[0]] == pytest.approx([(counts >= 5).mean()] * 2)
    assert abs(power[1] - (counts >= 50).mean()) > 0.1  # the law that does not fit


def test_400_000_counts_and_plain_values() -> None:
    found = compare(lognormal(400_000))
    assert found.better == "lognormal"
    assert found.num_counts == 400_000
    assert json.loads(json.dumps(asdict(found), allow_nan=False)) == asdict(found)
    order = np.random.default_rng(0).permutation(400_000)
    assert compare(lognormal(400_000)[order]) == found


def test_zeros_are_no_part_of_a_tail() -> None:
    counts = lognormal(5000)
    counts = counts[counts > 0]
    with_none = compare(np.concatenate([counts, np.zeros(500, np.int64)]), 1)
    without = compare(counts, 1)
    assert (with_none.z, with_none.num) == (without.z, without.num)
    assert with_none.num_counts == without.num_counts + 500


def test_too_few_counts_are_refused() -> None:
    with pytest.raises(PeoriaError, match=r"counts: 49 of at least 1, 49 different; at least 50 are needed, not all equal, to fit a tail"):
        compare(np.arange(1, 50))
    with pytest.raises(PeoriaError, match=r"counts: 900 of at least 3, 1 different"):
        compare(np.full(900, 7), 3)
    assert compare(np.arange(1, 51)).num <= 50
