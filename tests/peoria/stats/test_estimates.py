import numpy as np
import pytest
from scipy.stats import t

from peoria.errors import PeoriaError
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
