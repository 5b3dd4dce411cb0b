import numpy as np
import pytest
from scipy.interpolate import BSpline
from scipy.stats import rankdata

from peoria.errors import PeoriaError
from peoria.stats.bootstrap import owner_weights
from peoria.stats.clusters import Clusters
from peoria.stats.confounds import Pairs, bootstrap_given_age, bootstrap_pair_accuracy, given_age, pair_accuracy, within_owner_pairs, without_age
from peoria.stats.estimates import expanded_percentiles
from peoria.stats.metrics import spearman

DAY = np.timedelta64(86_400, "s")
START = np.datetime64("2014-01-01T00:00:00", "s")


def world_of_age(seed: int, n: int = 4000, appeal: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(score, views, age): both are bent functions of age; ``appeal`` is what the picture itself adds to both."""
    rng = np.random.default_rng(seed)
    age = rng.gamma(2, 400, n)
    own = appeal * rng.normal(size=n)
    score = np.tanh(age / 500) + rng.normal(0, 0.15, n) + 0.3 * own
    views = np.exp(1.5 * np.sqrt(age / 400) + rng.normal(0, 0.5, n) + own)
    return score, views, age


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_nothing_is_left_of_a_world_of_age(seed: int) -> None:
    score, views, age = world_of_age(seed)
    assert abs(given_age(score, views, age)) < 0.05
    assert spearman(score, views) > 0.6  # control: pooled, age looks like skill


def test_appeal_is_left() -> None:
    score, views, age = world_of_age(0, appeal=0.5)
    assert given_age(score, views, age) > 0.25
    low, high = expanded_percentiles(bootstrap_given_age({"s": score}, views, age, Clusters.of([""] * len(age)), 300)["s"])
    assert 0.2 < low < given_age(score, views, age) < high


def test_intervals_given_age_hold_in_worlds_of_age() -> None:
    covers = 0
    for seed in range(100):
        score, views, age = world_of_age(seed, n=600)
        low, high = expanded_percentiles(bootstrap_given_age({"s": score}, views, age, Clusters.of([""] * 600), 200, seed)["s"])
        covers += low <= 0 <= high
    assert covers > 85


def test_age_is_fitted_anew_in_each_resample() -> None:
    """The value is the partial correlation, by plain least squares, of the resample written out picture by picture."""
    score, views, age = world_of_age(0, n=300, appeal=0.5)
    clusters = Clusters.of(np.random.default_rng(0).integers(0, 40, 300))
    knots = np.concatenate([[0.0] * 4, [0.25, 0.5, 0.75], [1.0] * 4])
    basis = BSpline.design_matrix((rankdata(age) - 0.5) / 300, knots, 3).toarray()
    columns = np.stack([rankdata(score), rankdata(views)], axis=1)
    samples = bootstrap_given_age({"constant": np.ones(300), "s": score}, views, age, clusters, 20, seed=3)
    for k, weights in enumerate(np.concatenate(list(owner_weights(clusters, 20, 3)))):
        rows = np.repeat(np.arange(300), weights)
        left = columns[rows] - basis[rows] @ np.linalg.lstsq(basis[rows], columns[rows], rcond=None)[0]
        assert samples["s"][k] == pytest.approx(np.corrcoef(left.T)[0, 1], abs=1e-9)
    assert (samples["constant"] == 0).all()


def test_a_resample_that_leaves_ages_out_is_still_a_number() -> None:
    score, views, age = world_of_age(0, n=200)
    owners = np.argsort(np.argsort(age)) // 40  # five owners, each of one span of ages
    samples = bootstrap_given_age({"s": score}, views, age, Clusters.of(owners), 200)["s"]
    assert np.isfinite(samples).all()
    assert (np.abs(samples) <= 1 + 1e-9).all()


def test_a_score_that_is_age_leaves_nothing_not_rounding() -> None:
    _, views, age = world_of_age(0)
    assert (without_age(age, age) == 0).all()
    assert (without_age(-np.exp(age / 900), age) == 0).all()
    assert given_age(age, views, age) == 0.0
    assert given_age(np.ones(len(age)), views, age) == 0.0


def test_one_age_for_all_leaves_the_correlation_as_it_is() -> None:
    score, views, age = world_of_age(0)
    assert given_age(score, views, np.ones(len(age))) == pytest.approx(spearman(score, views), abs=1e-9)


def test_ages_must_be_known() -> None:
    with pytest.raises(PeoriaError, match=r"age_days: .* a finite age for each of the 2 pictures"):
        given_age([1.0, 2.0], [1, 2], [1.0, np.nan])


def pairs_set(owners: list[str], days: list[float] | None, views: list[int], **how: float) -> set[tuple[int, int]]:
    dates = None if days is None else np.array([np.datetime64("NaT", "s") if np.isnan(d) else START + int(d * 86_400) for d in days])
    pairs = within_owner_pairs(Clusters.of(owners), dates, views, **how)
    return set(zip(pairs.more.tolist(), pairs.fewer.tolist(), strict=True))


def test_pairs_are_of_one_owner_near_in_time_and_different() -> None:
    owners = ["a", "b", "a", "a", "b", "", "", "a"]
    views = [5, 1, 9, 5, 2, 7, 8, 1]
    assert pairs_set(owners, None, views) == {(2, 0), (0, 7), (2, 3), (2, 7), (3, 7), (4, 1)}
    days = [0.0, 0.0, 20.0, 50.0, 31.0, 0.0, 0.0, 60.0]
    assert pairs_set(owners, days, views) == {(2, 0), (2, 3), (3, 7)}
    assert pairs_set(owners, days, views, max_days=31) == {(2, 0), (2, 3), (3, 7), (4, 1)}
    assert pairs_set(owners, [np.nan, *days[1:]], views) == {(2, 3), (3, 7)}


def test_no_pairs_without_owners() -> None:
    pairs = within_owner_pairs(Clusters.of([""] * 3), None, [1, 2, 3])
    assert pair_accuracy([1.0, 2.0, 3.0], pairs) is None
    assert bootstrap_pair_accuracy({"s": [1.0, 2.0, 3.0]}, pairs) is None


def test_pairs_are_all_those_a_plain_double_loop_finds() -> None:
    rng = np.random.default_rng(0)
    owners = rng.integers(0, 12, 150).astype(str)
    days, views = rng.uniform(0, 200, 150), rng.integers(0, 6, 150)
    expected = {
        (i, j) for i in range(150) for j in range(150)
        if owners[i] == owners[j] and views[i] > views[j] and abs(int(days[i] * 86_400) - int(days[j] * 86_400)) <= 30 * 86_400
    }  # fmt: skip
    assert pairs_set(list(owners), list(days), list(views)) == expected


def test_pair_accuracy() -> None:
    pairs = within_owner_pairs(Clusters.of(["a"] * 3), None, [1, 2, 3])
    assert pair_accuracy([1.0, 2.0, 3.0], pairs) == 1.0
    assert pair_accuracy([1.0, 1.0, 3.0], pairs) == pytest.approx(2.5 / 3)
    assert pair_accuracy([1.0, 1.0, 1.0], pairs) == 0.5
    assert pair_accuracy([1.0, np.nan, 3.0], pairs) == 0.5


def test_fame_of_owners_is_chance_within_owners() -> None:
    rng = np.random.default_rng(0)
    owner = np.repeat(np.arange(300), 8)
    fame = rng.normal(size=300)[owner]
    views = np.floor(np.exp(3 + fame + 0.5 * rng.normal(size=2400)))
    score = fame + 0.5 * rng.normal(size=2400)
    seen = 0.3 * np.log1p(views) + score
    pairs = within_owner_pairs(Clusters.of(owner), START + rng.integers(0, 60, 2400) * DAY, views)
    samples = bootstrap_pair_accuracy({"fame": score, "seen": seen}, pairs, 300)
    assert samples is not None
    low, high = expanded_percentiles(samples["fame"])
    assert low < 0.5 < high
    assert expanded_percentiles(samples["seen"])[0] > 0.55
    assert spearman(score, views) > 0.6  # control: pooled, fame looks like skill


def near_pairs(seed: int, **weights: float) -> tuple[np.ndarray, Pairs]:
    """(score, pairs) of 1,000 owners with 10 pictures each; the weights of fame, age and appeal in both."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(1000), 10)
    days = rng.uniform(0, 1000, 1000)[owner] + rng.uniform(0, 40, 10_000)
    both = weights["fame"] * rng.normal(size=1000)[owner] - weights["age"] * days / 300 + weights.get("appeal", 0) * rng.normal(size=10_000)
    score, views = both + 0.02 * rng.normal(size=10_000), np.floor(np.exp(6 + both + 0.1 * rng.normal(size=10_000)))
    dates = START + (days * 86_400).astype("timedelta64[s]")
    return score, within_owner_pairs(Clusters.of(owner), dates, views)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_pairs_near_in_time_are_not_ordered_by_age(seed: int) -> None:
    """Fame and age show in the look, almost without noise, and nothing else does."""
    score, pairs = near_pairs(seed, fame=0.5, age=0.5)
    samples = bootstrap_pair_accuracy({"s": score}, pairs, 300)
    assert samples is not None
    low, high = expanded_percentiles(samples["s"])
    assert low < 0.5 < high
    assert pair_accuracy(score, pairs) == pytest.approx(0.5, abs=0.01)
    assert pair_accuracy(score, pairs._replace(age=pairs.age[:, :0])) > 0.53  # control: 30 days are not near enough by themselves


def test_appeal_is_left_in_pairs() -> None:
    score, pairs = near_pairs(0, fame=0.5, age=0.5, appeal=0.2)
    assert pair_accuracy(score, pairs) > 0.8


def test_ages_of_pairs_may_be_read_at_different_times() -> None:
    """What is held fixed is the age when the counts were read, and a picture whose age is unknown is in no pair."""
    dates = START + np.arange(4) * DAY
    pairs = within_owner_pairs(Clusters.of(["a"] * 4), dates, [1, 2, 3, 4], age_days=[5.0, 5.0, 9.0, np.nan])
    assert sorted(zip(pairs.more.tolist(), pairs.fewer.tolist(), strict=True)) == [(1, 0), (2, 0), (2, 1)]
    assert sorted(pairs.age[:, 0].tolist()) == [0, 1, 1]
    assert sorted(within_owner_pairs(Clusters.of(["a"] * 4), dates, [1, 2, 3, 4]).age[:, 0].tolist()) == [-1] * 6
