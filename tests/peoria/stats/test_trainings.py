"""Settings trained several times: the mean of their trainings, with the luck of owners and of few seeds."""

import math

import numpy as np
import pytest

from peoria.stats.bootstrap import over_seeds
from peoria.stats.clusters import Clusters
from peoria.stats.estimates import Estimate, Resampling, enough_owners
from peoria.stats.metrics import spearman
from peoria.stats.trainings import of_trainings

FEW = Resampling(num_resamples=200)
OWNERS = Clusters.of(np.arange(1500) // 3)


def of_seeds(rng: np.random.Generator, num_seeds: int, luck: float, owners: float = 200.0) -> Estimate:
    """A number whose truth is 0: owners' luck has variance 1, that of the mean over seeds ``luck``²."""
    seeds = rng.normal(0, luck * math.sqrt(num_seeds), num_seeds)
    value, spread = rng.normal() + seeds.mean(), math.sqrt(rng.chisquare(owners - 1) / owners)
    samples = value + spread * rng.normal(size=299) + (seeds - seeds.mean())[:, None]
    return Estimate(value, over_seeds(samples, int(rng.integers(1 << 30))), owners, seeds.var(ddof=1) / num_seeds, num_seeds)


@pytest.mark.parametrize(("num_seeds", "luck", "covered"), [(3, 1.0, 0.92), (3, 4.0, 0.89), (5, 1.0, 0.93), (5, 4.0, 0.925)])
def test_intervals_of_few_seeds_cover(num_seeds: int, luck: float, covered: float) -> None:
    rng = np.random.default_rng(0)
    found = [of_seeds(rng, num_seeds, luck) for _ in range(1000)]
    hits = np.mean([one.interval().low <= 0 <= one.interval().high for one in found])
    of_owners = [one._replace(num_seeds=0, seed_variance=0.0).interval() for one in found]  # control: with the owners' degrees of freedom
    assert hits > covered
    if luck > 1:
        assert np.mean([one.low <= 0 <= one.high for one in of_owners]) < covered


def test_degrees_of_freedom_lie_between_those_of_seeds_and_of_owners() -> None:
    rng = np.random.default_rng(0)
    assert of_seeds(rng, 5, 0.0).df == 199
    assert of_seeds(rng, 5, 100.0).df == pytest.approx(4, rel=0.2)
    both = np.mean([of_seeds(rng, 5, 1.0).df for _ in range(200)])
    assert 8 < both < 60
    no_seeds = Estimate(0.0, rng.normal(size=500), 20)
    assert no_seeds.df == 19


def test_the_luck_of_two_sides_adds_up() -> None:
    samples = np.random.default_rng(0).normal(size=999)
    one, other = Estimate(1.0, samples, 50, 0.02, 3), Estimate(0.5, samples, 50, 0.02, 3)
    difference = one - other
    assert difference.seed_variance == pytest.approx(0.04)
    assert difference.num_seeds == 5  # four degrees of freedom
    assert (one - Estimate(0.5, samples, 50, 0.0002, 3)).num_seeds == 3  # nearly all is of one side
    assert (one - Estimate(0.5, samples, 50)).seed_variance == 0.02  # a baseline has no seeds
    assert (Estimate(1.0, samples, 50) - Estimate(0.5, samples, 50)).num_seeds == 0


def test_the_least_that_can_be_seen_grows_where_little_is_known() -> None:
    samples = np.random.default_rng(0).normal(size=99_999)
    many, few = Estimate(0.0, samples, np.inf).detectable, Estimate(0.0, samples, 20).detectable
    assert many == pytest.approx(2.80, abs=0.02)
    assert few == pytest.approx(math.sqrt(20 / 19) * (2.093 + 0.861), abs=0.03)
    assert Estimate(0.0, samples, 20, 0.9, 3).detectable > 1.5 * few
    assert math.isfinite(Estimate(0.0, samples, 1.0).detectable)


def trainings(num: int, luck: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    views = rng.normal(size=1500)
    skills = 0.3 + luck * rng.normal(size=num)
    return np.stack([skill * views + rng.normal(size=1500) for skill in skills]), views


def test_a_side_is_the_mean_of_its_trainings() -> None:
    scores, views = trainings(3, 0.1)
    found = of_trainings({"three": scores, "one": scores[0]}, views, OWNERS, FEW)
    values = [spearman(row, views) for row in scores]
    assert found["three"].value == pytest.approx(np.mean(values))
    assert found["three"].seed_variance == pytest.approx(np.var(values, ddof=1) / 3, rel=0.2)
    assert (found["three"].num_seeds, found["one"].num_seeds) == (3, 1)
    assert found["one"].value == values[0]
    assert found["one"].seed_variance == 0


def test_two_sides_have_seeds_of_their_own_and_owners_in_common() -> None:
    """Were the same places of seeds drawn on both sides, the luck of both would cancel in the difference of equals."""
    scores, views = trainings(4, 0.3)
    found = of_trainings({"one": scores, "other": scores.copy()}, views, OWNERS, FEW)
    apart = (found["one"] - found["other"]).samples
    assert apart.std() == pytest.approx(math.sqrt(2 * found["one"].seed_variance), rel=0.2)  # no luck of owners, all of the seeds
    together = over_seeds(np.stack([found["one"].samples] * 2)) - over_seeds(np.stack([found["one"].samples] * 2))
    assert together.std() == 0  # control


def test_a_claim_needs_owners_who_are_worth_five() -> None:
    assert enough_owners(Clusters.of(np.arange(200) // 10))
    assert not enough_owners(Clusters.of(np.arange(190) // 10))
    assert not enough_owners(Clusters.of(np.concatenate([np.arange(40), np.full(400, 40)])))
