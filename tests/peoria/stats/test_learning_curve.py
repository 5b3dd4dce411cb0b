from dataclasses import replace

import numpy as np
import pytest

from peoria.errors import PeoriaError
from peoria.stats.clusters import Clusters
from peoria.stats.estimates import Resampling
from peoria.stats.learning_curve import HeldOut, LearningCurvePoint, fit_power_law, leak, learning_curve, time_split
from peoria.stats.trainings import of_trainings

FEW = Resampling(num_resamples=200)
OWNERS = Clusters.of(np.arange(3000) // 3)
SIZES = {0.125: 1000, 0.25: 2000, 0.5: 4000, 1.0: 8000}


def points(skills: dict[float, float], seed: int = 0, num_trainings: int = 3, luck: float = 0.0) -> list[LearningCurvePoint]:
    """One test split of 3,000 pictures; the scores of a run have the given correlation with log views, and the luck of its seed."""
    rng = np.random.default_rng(seed)
    y, common = rng.normal(size=3000), rng.normal(size=3000)

    def run(skill: float) -> np.ndarray:
        skill += luck * rng.normal()
        noise = np.sqrt(0.9) * common + np.sqrt(0.1) * rng.normal(size=3000)  # runs of one recipe err alike
        return np.asarray(skill * y + np.sqrt(1 - skill**2) * noise)

    sides = {str(fraction): np.stack([run(skill) for _ in range(num_trainings)]) for fraction, skill in skills.items()}
    rho = of_trainings(sides, y, OWNERS, FEW)
    return [LearningCurvePoint(fraction, SIZES[fraction] // 10, SIZES[fraction], rho[str(fraction)]) for fraction in skills]


def test_the_power_law_is_found_again() -> None:
    sizes = np.array([1000.0, 2000, 4000, 8000])
    truth = np.array([[0.4, 3.0, 0.5], [0.6, 1.2, 0.15], [0.3, 0.0, 1.0]])
    values = np.stack([a - b * sizes**-c for a, b, c in truth])
    a, b, c, sse = fit_power_law(sizes, values)
    fitted = a[:, None] - b[:, None] * (10 * sizes[-1]) ** -c[:, None]
    expected = [[t[0] - t[1] * (10 * sizes[-1]) ** -t[2]] for t in truth]
    np.testing.assert_allclose(fitted, expected, atol=0.003)  # the grid of c
    assert (sse < 1e-6).all()
    assert b[2] == pytest.approx(0, abs=1e-12)


def test_the_bounds_hold_and_are_the_best_on_the_edge() -> None:
    sizes = np.array([1000.0, 2000, 4000, 8000])
    falling = np.array([[0.4, 0.3, 0.2, 0.1]])
    a, b, _, _ = fit_power_law(sizes, falling)
    assert (a[0], b[0]) == (pytest.approx(0.25), 0.0)
    straight = np.array([[0.1, 0.2, 0.3, 0.4]])  # of log n: goes on for ever, without a bound
    free, _, _, sse_free = fit_power_law(sizes, straight, most=9.0)
    bound, b, c, sse = fit_power_law(sizes, straight, most=0.3)
    assert free[0] > 1
    assert bound[0] == 0.3
    assert sse_free[0] < sse[0]
    grid = b[0] * np.linspace(0, 2, 2001)[:, None] * sizes ** -c[0]
    assert sse[0] <= ((straight[0] - 0.3 + grid) ** 2).sum(axis=1).min() + 1e-9
    assert b[0] > 0


def test_a_rising_curve_is_still_rising_and_goes_on() -> None:
    found = learning_curve(points({0.125: 0.1, 0.25: 0.18, 0.5: 0.25, 1.0: 0.31}), OWNERS)
    assert found.answer == "rising"
    twice, ten = found.further
    assert (twice.num_pictures, ten.num_pictures) == (16_000, 80_000)
    assert found.points[-1].rho.value < twice.rho.value < ten.rho.value <= found.fit.a
    assert ten.rho.high - ten.rho.low > twice.rho.high - twice.rho.low  # farther is less sure
    assert found.fit.curve[-1][1] == pytest.approx(ten.rho.value)


def test_a_flat_curve_is_not() -> None:
    found = learning_curve(points({0.125: 0.3, 0.25: 0.3, 0.5: 0.3, 1.0: 0.3}), OWNERS)
    assert found.answer in ("negligible", "undecided")
    assert found.further[0].rho.value == pytest.approx(found.points[-1].rho.value, abs=0.02)


def test_flat_curves_are_seldom_called_rising() -> None:
    assert sum(learning_curve(points({0.5: 0.3, 1.0: 0.3}, seed), OWNERS).answer == "rising" for seed in range(40)) <= 4


def test_the_difference_is_paired() -> None:
    """The step from half to all is smaller than what either number's own interval leaves open."""
    found = learning_curve(points({0.5: 0.27, 1.0: 0.31}), OWNERS)
    half, whole = (point.rho for point in found.points)
    assert half.high > whole.low
    assert found.answer == "rising"


def test_two_points_are_not_drawn_out() -> None:
    found = learning_curve(points({0.5: 0.25, 1.0: 0.31}), OWNERS)
    assert (found.fit, found.further) == (None, ())
    three = learning_curve(points({0.25: 0.18, 0.5: 0.25, 1.0: 0.31}), OWNERS)
    assert len(three.further) == 2  # control
    alone = learning_curve(points({1.0: 0.3}), OWNERS)
    assert (alone.last_doubling, alone.answer, alone.detectable) == (None, None, None)
    with pytest.raises(PeoriaError, match="points"):
        learning_curve([], OWNERS)


def test_few_owners_claim_nothing() -> None:
    few = learning_curve(points({0.25: 0.1, 0.5: 0.2, 1.0: 0.4}), Clusters.of(np.arange(3000) % 19))
    assert few.answer == "too few owners"


def test_few_trainings_claim_nothing() -> None:
    steep = {0.5: 0.1, 1.0: 0.4}
    assert learning_curve(points(steep, num_trainings=3), OWNERS).answer == "rising"  # control
    two = learning_curve(points(steep, num_trainings=2), OWNERS)
    assert two.answer == "too few trainings"
    assert two.last_doubling.low > 0  # whatever the numbers say
    assert {point.num_trainings for point in two.points} == {2}


def test_the_luck_of_training_is_in_the_interval() -> None:
    calm, lucky = (learning_curve(points({0.5: 0.3, 1.0: 0.3}, luck=luck), OWNERS) for luck in (0.0, 0.05))
    widths = [found.last_doubling.high - found.last_doubling.low for found in (calm, lucky)]
    assert widths[1] > 3 * widths[0]
    assert lucky.detectable > 2 * calm.detectable


def test_three_answers_to_more_data() -> None:
    """A rise that is not shown is either shown to be negligible, or not decided."""
    skills = {0.5: 0.3, 1.0: 0.3}
    assert learning_curve(points(skills), OWNERS).answer == "negligible"
    assert learning_curve(points(skills, luck=0.05), OWNERS).answer == "undecided"
    assert learning_curve(points({0.5: 0.4, 1.0: 0.3}), OWNERS).answer == "falling"


def models(skills: dict[str, float], seed: int = 0, num: int = 3) -> tuple[list[np.ndarray], np.ndarray]:
    """Scores [num, 3,000] of each side, and views."""
    rng = np.random.default_rng(seed)
    y, common = rng.normal(size=3000), rng.normal(size=3000)
    return [
        np.stack([skill * y + np.sqrt(1 - skill**2) * (np.sqrt(0.9) * common + np.sqrt(0.1) * rng.normal(size=3000)) for _ in range(num)])
        for skill in skills.values()
    ], np.exp(y)


def test_the_past_is_compared_with_as_many_pictures_of_any_time() -> None:
    """All of train is better than either: that is its size, and no sign of drift."""
    sides, views = models({"past": 0.3, "control": 0.3, "all": 0.4})
    found = time_split(*sides, views, OWNERS, "2014-05-01", FEW)
    assert found.answer == "negligible"
    assert found.all.low > found.past.high
    against_all = time_split(sides[0], sides[2], sides[2], views, OWNERS, "2014-05-01", FEW)
    assert against_all.answer == "worse"  # control: what was compared before
    assert found.difference.value == pytest.approx(found.past.value - found.control.value)
    drifted, views = models({"past": 0.2, "control": 0.3, "all": 0.4})
    assert time_split(*drifted, views, OWNERS, "2014-05-01", FEW).answer == "worse"
    assert time_split(*(side[:2] for side in drifted), views, OWNERS, "2014-05-01", FEW).answer == "too few trainings"
    assert time_split(*drifted, views, Clusters.of(np.arange(3000) % 19), "2014-05-01", FEW).answer == "too few owners"


def held_out(seed: int, name: str, skill: float) -> HeldOut:
    rng = np.random.default_rng(seed)
    owner = np.arange(1500) // 5
    fame = rng.normal(size=300)[owner]
    score = skill * fame + rng.normal(size=1500)
    return HeldOut(score, np.exp(fame + rng.normal(size=1500)), Clusters.of([f"{name}{k}" for k in owner]))


def test_a_leak_is_seen_with_its_size() -> None:
    found = leak(held_out(0, "train", 1.0), held_out(1, "val", 0.0), FEW)
    assert found.leaks
    assert found.difference.value == pytest.approx(found.random.rho.value - found.owner.rho.value)
    # independent sets: the variance of the difference is the sum
    width = found.difference.high - found.difference.low
    widths = [side.rho.high - side.rho.low for side in (found.random, found.owner)]
    assert width == pytest.approx(np.hypot(*widths), rel=0.3)


def test_without_a_leak_none_is_claimed() -> None:
    claims = [leak(held_out(seed, "train", 0.7), held_out(1000 + seed, "val", 0.7), FEW).leaks for seed in range(40)]
    assert sum(claims) <= 4


def test_sets_of_different_owners_are_resampled_apart() -> None:
    """Two sets with the same numbers in them: were the same places drawn from both, their difference would seem certain."""
    one = held_out(0, "train", 1.0)
    found = leak(one, replace(one, clusters=held_out(0, "other", 1.0).clusters), FEW)
    assert found.difference.value == 0
    assert found.difference.low < -0.02 < 0.02 < found.difference.high


def test_a_leak_needs_two_sets_of_enough_owners() -> None:
    one, other = held_out(0, "train", 1.0), held_out(1, "val", 0.0)
    with pytest.raises(PeoriaError, match="owners: 300 are in both sets"):
        leak(one, replace(other, clusters=one.clusters), FEW)
    few = leak(one, replace(other, clusters=Clusters.of(np.arange(1500) % 19)), FEW)
    assert not few.leaks
