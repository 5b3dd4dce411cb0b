import numpy as np
import pytest
from scipy.stats import norm, t

from peoria.errors import PeoriaError
from peoria.stats import metrics
from peoria.stats.bootstrap import over_seeds, seed_variance
from peoria.stats.estimates import LEVEL, Estimate, Interval, expanded_percentiles


def test_interval() -> None:
    low, high = expanded_percentiles(np.arange(1001))
    assert (low, high) == pytest.approx((24.05, 975.95))  # of 1,001 samples the p-quantile is the p·1,002nd
    assert expanded_percentiles(np.arange(1001), level=0.8) == pytest.approx((99.2, 900.8))
    with pytest.raises(PeoriaError, match="level: 95; a value between 0 and 1"):
        expanded_percentiles([1.0], level=95)
    with pytest.raises(PeoriaError, match="num_resamples: 0; at least 1"):
        expanded_percentiles([])


def test_an_expanded_interval_of_few_units_is_students_where_percentiles_are_narrow() -> None:
    num_units = 8
    rng = np.random.default_rng(0)
    covered = {"expanded": 0, "percentiles": 0}
    for _ in range(1000):
        values = rng.normal(size=num_units)
        samples = values[rng.integers(0, num_units, (999, num_units))].mean(axis=1)
        for name, (low, high) in (("expanded", expanded_percentiles(samples, num_units=num_units)), ("percentiles", expanded_percentiles(samples))):
            covered[name] += low <= 0 <= high
    assert covered["expanded"] > 930
    assert covered["percentiles"] < 920
    normal = np.random.default_rng(1).normal(size=200_000)
    expected = t.ppf(0.975, num_units - 1) * np.sqrt(num_units / (num_units - 1))
    assert expanded_percentiles(normal, num_units=num_units)[1] == pytest.approx(expected, abs=0.05)


def test_an_interval_of_one_unit_is_all_that_was_drawn() -> None:
    assert expanded_percentiles(np.arange(1001), num_units=1) == (0.0, 1000.0)
    assert Estimate(1.0, np.ones(1000), 1).p_value() == 1.0


def test_p_values_are_those_of_the_interval() -> None:
    samples = np.random.default_rng(0).normal(1.9, 1, 9_999)
    for num_units in (8, np.inf):
        found = Estimate(1.9, samples, num_units)
        p = found.p_value()
        assert found.interval(1 - 0.9 * p).low < 0 < found.interval(1 - 1.1 * p).low
        assert Estimate(-1.9, -samples, num_units).p_value() == pytest.approx(p)
    assert Estimate(1.9, samples, 8).p_value() > Estimate(1.9, samples, np.inf).p_value() > 0.04
    assert Estimate(1.9, samples, np.inf).p_value(1.9) > 0.9
    assert Estimate(1.0, np.ones(999), np.inf).p_value() == pytest.approx(2 / 1000)  # never 0
    assert Estimate(0.0, np.zeros(999), np.inf).p_value() == pytest.approx(1)


def test_an_estimate_has_the_interval_of_its_samples() -> None:
    samples = np.arange(1001.0)
    found = Estimate(500, samples, 8)
    assert found.interval() == Interval(500.0, *expanded_percentiles(samples, LEVEL, 8))
    assert found.interval(0.8).low > found.interval().low
    assert found.above(found.interval().low - 1)
    assert not found.above(found.interval().low)  # control
    assert found.interval().mapped(np.sqrt).value == pytest.approx(np.sqrt(500))


def test_the_difference_of_estimates_is_paired() -> None:
    rng = np.random.default_rng(0)
    common, own = rng.normal(size=2000), 0.1 * rng.normal(size=(2, 2000))
    one, other = (Estimate(k, k + common + own[k], np.inf) for k in (0, 1))
    paired, apart = (other - one).interval(), Estimate(1, one.samples + rng.permutation(other.samples), np.inf).interval()
    assert paired.value == 1
    assert 4 * (paired.high - paired.low) < apart.high - apart.low  # control: of samples that were not drawn together


NORMAL = norm.ppf((np.arange(999) + 0.5) / 999)  # as 999 resamples without luck of their own
NORMAL /= NORMAL.std()


def of_recipe(rng: np.random.Generator, num_seeds: int, ratio: float, num_owners: int = 200) -> Estimate:
    """Of a true 0: the owners' standard error is 1, that of the seeds' mean ``ratio``; each is known from its own spread alone."""
    seeds = rng.normal(0, ratio * np.sqrt(num_seeds), num_seeds)
    of_owners, of_seeds = rng.chisquare(num_owners - 1) / (num_owners - 1), seeds.var(ddof=1) / num_seeds
    value = seeds.mean() + rng.normal()
    shown = of_owners * (num_owners - 1) / num_owners + of_seeds  # a bootstrap divides by n
    return Estimate(value, value + np.sqrt(shown) * NORMAL, num_owners, of_seeds, num_seeds)


@pytest.mark.parametrize(("num_seeds", "ratio", "least"), [(3, 0.5, 0.92), (3, 4, 0.895), (5, 1, 0.92), (5, 4, 0.915), (10, 2, 0.92)])
def test_intervals_of_few_seeds_hold(num_seeds: int, ratio: float, least: float) -> None:
    rng = np.random.default_rng(0)
    covered = by_owners_alone = 0
    for _ in range(600):
        found = of_recipe(rng, num_seeds, ratio)
        covered += found.interval().low <= 0 <= found.interval().high
        plain = found._replace(num_seeds=0).interval()
        by_owners_alone += plain.low <= 0 <= plain.high
    assert covered / 600 > least
    if ratio == 4:
        assert by_owners_alone < covered - 15  # control: owners' degrees of freedom are too many


def test_df_lie_between_those_of_seeds_and_of_owners() -> None:
    samples = 2 * NORMAL  # of variance 4
    for seeds_part, expected in ((0.0, 199), (2.0, 16 / (4 / 199 + 4 / 4)), (4.0, 4), (9.0, 4)):
        assert Estimate(0, samples, 200, seeds_part, 5).df == pytest.approx(expected)
    assert Estimate(0, samples, 200, 2.0, 1).df == 199  # one seed says nothing of its spread
    assert Estimate(0, samples, 200).df == 199
    assert Estimate(0, samples, np.inf).df == np.inf
    assert Estimate(0, samples, np.inf, 2.0, 5).df == pytest.approx(16)
    assert Estimate(0, np.zeros(9), 200, 2.0, 5).df == 4
    assert Estimate(0, samples, 1, 2.0, 5).interval() == Interval(0.0, samples.min(), samples.max())


def test_a_recipe_drawn_over_owners_and_seeds_has_them() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(0, 0.01, 2000) + rng.normal(0, 0.05, 5)[:, None]
    found = Estimate(rows.mean(), over_seeds(rows), 200, seed_variance(rows), 5)
    assert 4 < found.df < 7  # nearly all of it is the seeds'
    assert found.interval().high - found.interval().low > 1.15 * np.ptp(expanded_percentiles(found.samples, LEVEL, 200))


def test_the_difference_to_a_baseline_keeps_the_luck_of_the_seeds() -> None:
    recipe, baseline = Estimate(1, 1 + 2 * NORMAL, 200, 3.0, 5), Estimate(0.5, 0.5 + 0.1 * NORMAL, 200)
    for found in (recipe - baseline, baseline - recipe):
        assert (found.seed_variance, found.num_seeds, found.effective) == (3.0, 5, 200)
        assert found.df < 10
    other = Estimate(0, NORMAL[::-1], 200, 0.5, 3)
    assert ((recipe - other).seed_variance, (recipe - other).num_seeds) == (3.5, 6)  # 1 + (3.5² / (3²/4 + 0.5²/2)), rounded down
    assert (baseline - baseline).num_seeds == 0
    assert (baseline - baseline).df == 199  # control


@pytest.mark.parametrize("units", [8.0, 200.0, np.inf])
def test_p_values_of_few_seeds_are_those_of_the_interval(units: float) -> None:
    samples = np.random.default_rng(0).normal(2.2, 1, 9_999)
    found = Estimate(2.2, samples, units, 0.8, 5)
    p = found.p_value()
    assert found.interval(1 - 0.9 * p).low < 0 < found.interval(1 - 1.1 * p).low
    assert p > 1.05 * found._replace(num_seeds=0).p_value()  # control


def test_a_widened_estimate_has_its_spread_and_its_df() -> None:
    found = Estimate(1, 1 + NORMAL, 200, 0.5, 5)
    wide = found.widened(1.5)
    assert wide.value == 1
    assert wide.interval().high - 1 == pytest.approx(1.5 * (found.interval().high - 1))
    assert wide.df == pytest.approx(found.df)
    assert wide.detectable == pytest.approx(1.5 * found.detectable)
    assert found.widened(1.0).interval() == found.interval()


def test_what_is_detectable_is_seen_in_four_cases_of_five() -> None:
    for num_owners, num_seeds, ratio in ((22, 0, 0.0), (200, 5, 2.0)):
        rng = np.random.default_rng(0)
        seen = normal = 0
        se = np.sqrt(1 + ratio**2)
        effect = Estimate(0, se * np.sqrt((num_owners - 1) / num_owners) * NORMAL, num_owners, ratio**2, num_seeds).detectable
        for _ in range(800):
            found = of_recipe(rng, num_seeds, ratio, num_owners) if num_seeds else of_owners_alone(rng, num_owners)
            low = found.interval().low
            seen += low + effect > 0
            normal += low + 2.8 * se > 0
        assert seen / 800 == pytest.approx(0.8, abs=0.045)
        assert normal < seen  # control: 2.8 standard errors are too few
    assert Estimate(0, NORMAL, np.inf).detectable == pytest.approx(2.8, abs=0.01)
    assert metrics.detectable(1.0, 10) > metrics.detectable(1.0, 100) > metrics.detectable(1.0)


def of_owners_alone(rng: np.random.Generator, num_owners: int) -> Estimate:
    value, spread = rng.normal(), np.sqrt(rng.chisquare(num_owners - 1) / num_owners)
    return Estimate(value, value + spread * NORMAL, num_owners)
