from dataclasses import replace

import numpy as np
import pytest

from peoria.stats.bootstrap import owner_weights
from peoria.stats.clusters import Clusters
from peoria.stats.columns import Columns
from peoria.stats.context import Context
from peoria.stats.estimates import Estimate
from peoria.stats.metrics import Floats, spearman
from peoria.stats.pairs import Pairs, PairShares, bootstrap_pairs, within_owner_pairs
from tests.helpers.in_time import START, Owners

DAY = np.timedelta64(86_400, "s")


def shares(score: Floats, pairs: Pairs, context: Context | None = None, num_resamples: int = 1) -> PairShares:
    return bootstrap_pairs({"s": score}, pairs, context, num_resamples)["s"]


def above(found: tuple[float, Floats], pairs: Pairs, chance: float) -> bool:
    return Estimate(*found, pairs.owners.effective).above(chance)


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
    for num in (0, 3):
        pairs = within_owner_pairs(Clusters.of([""] * num), None, np.arange(num))
        assert pairs.owners.num == len(pairs.more) == 0
        assert bootstrap_pairs({"s": np.arange(num)}, pairs, None) == {}
    assert bootstrap_pairs({"s": [1.0, 2.0]}, within_owner_pairs(Clusters.of(["a", "a"]), None, [3, 3]), None) == {}


def test_pairs_are_all_those_a_plain_double_loop_finds() -> None:
    rng = np.random.default_rng(0)
    owners = rng.integers(0, 12, 150).astype(str)
    days, views = rng.uniform(0, 200, 150), rng.integers(0, 6, 150)
    expected = {
        (i, j) for i in range(150) for j in range(150)
        if owners[i] == owners[j] and views[i] > views[j] and abs(int(days[i] * 86_400) - int(days[j] * 86_400)) <= 30 * 86_400
    }  # fmt: skip
    assert pairs_set(list(owners), list(days), list(views)) == expected


def test_which_of_a_pair_is_later_is_told() -> None:
    dates = START + np.array([0, 5, 5, 9]) * DAY
    pairs = within_owner_pairs(Clusters.of(["a"] * 4), dates, [4, 2, 3, 1])
    found = dict(zip(zip(pairs.more.tolist(), pairs.fewer.tolist(), strict=True), pairs.order.tolist(), strict=True))
    assert found == {(0, 1): -1, (0, 2): -1, (0, 3): -1, (2, 1): 0, (1, 3): -1, (2, 3): -1}
    assert not within_owner_pairs(Clusters.of(["a"] * 4), None, [1, 2, 3, 4]).order.any()


def test_the_plain_share_counts_ties_half() -> None:
    pairs = within_owner_pairs(Clusters.of(["a"] * 3), None, [1, 2, 3])
    for score, expected in (([1, 2, 3], 1.0), ([3, 2, 1], 0.0), ([1, 1, 3], 2.5 / 3), ([1, 1, 1], 0.5), ([1, np.nan, 3], 0.5)):
        found = shares(np.array(score, np.float64), pairs)
        assert found.plain[0] == found.adjusted[0] == pytest.approx(expected)


def test_without_context_both_are_the_plain_share_of_the_written_out_resample() -> None:
    rng = np.random.default_rng(0)
    owners = rng.integers(0, 20, 200)
    views, score = rng.integers(0, 9, 200), np.round(rng.normal(size=200), 1)
    pairs = within_owner_pairs(Clusters.of(owners), None, views)
    plain, adjusted = shares(score, pairs, None, 30)
    right = (1 + np.sign(score[pairs.more] - score[pairs.fewer])) / 2
    assert (right == 0.5).any()
    assert plain[0] == adjusted[0] == pytest.approx(right.mean())
    for k, weights in enumerate(np.concatenate(list(owner_weights(pairs.owners, 30, 0)))):
        assert plain[1][k] == pytest.approx(np.average(right, weights=weights))
    np.testing.assert_allclose(plain[1], adjusted[1], atol=1e-12)


def test_fame_of_owners_is_chance_within_owners() -> None:
    owners = Owners(np.random.default_rng(0), num=300)
    score, log_views = owners.seen(owners.fame(), noise=0.5)
    views = np.floor(np.exp(3 + log_views))
    pairs = within_owner_pairs(owners.clusters, owners.uploaded_at, views)
    context = owners.context()
    fame, seen = shares(score, pairs, context, 300), shares(0.3 * np.log1p(views) + score, pairs, context, 300)
    for of_fame, of_seen in zip(fame, seen, strict=True):
        low, high = np.quantile(of_fame[1], [0.025, 0.975])
        assert low < 0.5 < high
        assert above(of_seen, pairs, 0.55)
    assert spearman(score, views) > 0.6  # control: pooled, fame looks like skill


def near_pairs(seed: int, **weights: float) -> tuple[Floats, Pairs, Context]:
    """(score, pairs, context) of 600 owners with 10 pictures each; the weights of fame, age, hour and appeal in both, almost without noise."""
    owners = Owners(np.random.default_rng(seed), num=600)
    both = weights.get("fame", 0) * owners.fame() + weights.get("age", 0) * owners.age / 300
    both = both + weights.get("hour", 0) * owners.hour() + weights.get("appeal", 0) * owners.each_picture()
    score, views = both + 0.02 * owners.each_picture(), np.floor(np.exp(6 + both + 0.1 * owners.each_picture()))
    return score, within_owner_pairs(owners.clusters, owners.uploaded_at, views), owners.context()


def test_pairs_near_in_time_are_not_ordered_by_age_once_it_is_taken_out() -> None:
    """Fame and age show in the look, and nothing else does."""
    found = [shares(*near_pairs(seed, fame=0.5, age=0.5), 50) for seed in range(4)]
    errors = [np.std(of.adjusted[1]) for of in found]
    assert abs(np.mean([of.adjusted[0] for of in found]) - 0.5) < 3 * np.mean(errors) / 2
    assert np.mean(errors) < 0.006
    assert np.mean([of.plain[0] for of in found]) > 0.52  # control: 30 days are not near enough by themselves


def test_pairs_are_not_ordered_by_the_hour_once_it_is_taken_out() -> None:
    noise = np.random.default_rng(5).normal(size=6_000)
    score, pairs, context = near_pairs(0, fame=0.5, hour=0.1)
    plain, adjusted = shares(score + 0.2 * noise, pairs, context)
    assert adjusted[0] == pytest.approx(0.5, abs=0.02)
    assert plain[0] > 0.55  # control
    columns = Columns(context.columns.dense[:, : 10 + 8])  # age and season alone
    assert shares(score + 0.2 * noise, pairs, replace(context, columns=columns)).adjusted[0] > 0.55  # control: without the hour among the columns


def test_appeal_is_left_in_pairs() -> None:
    score, pairs, context = near_pairs(0, fame=0.5, age=0.5, appeal=0.2)
    found = shares(score, pairs, context)
    assert found.adjusted[0] > 0.8
    assert found.plain[0] > 0.8


def test_appeal_alone_is_the_same_with_and_without_context() -> None:
    """What is left is taken over its own spread, so that a column that tells nothing costs nothing."""
    noise = np.random.default_rng(5).normal(size=6_000)
    score, pairs, context = near_pairs(0, appeal=0.2)
    found = shares(score + 0.3 * noise, pairs, context)
    assert found.adjusted[0] == pytest.approx(found.plain[0], abs=0.005)
    assert found.plain[0] > 0.6


def test_a_score_that_is_time_itself_is_chance_not_rounding() -> None:
    _, pairs, context = near_pairs(0, fame=0.5, age=0.5, appeal=0.2)
    owners = Owners(np.random.default_rng(0), num=600)
    for score in (owners.days, -owners.days, np.ones(6_000)):
        assert shares(score, pairs, context).adjusted[0] == pytest.approx(0.5, abs=1e-3)
    assert shares(-owners.days, pairs, context).plain[0] > 0.52  # control


def test_differences_by_chunks_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = Owners(np.random.default_rng(0), num=60)
    score, views = owners.seen(owners.hour() + 0.5 * owners.each_picture())
    pairs = within_owner_pairs(owners.clusters, owners.uploaded_at, views)
    whole = shares(score, pairs, owners.context(), 20)
    monkeypatch.setattr("peoria.stats.context.CHUNK", 7)
    by_chunks = shares(score, pairs, owners.context(), 20)
    assert whole.adjusted[0] == pytest.approx(by_chunks.adjusted[0], abs=1e-9)
    np.testing.assert_allclose(whole.adjusted[1], by_chunks.adjusted[1], atol=1e-9)
    assert whole.adjusted[0] != whole.plain[0]  # control: the context does something


def test_what_is_taken_out_is_a_plain_least_squares_fit() -> None:
    owners = Owners(np.random.default_rng(0), num=60)
    score, views = owners.seen(owners.hour() + owners.age / 20)
    pairs, context = within_owner_pairs(owners.clusters, owners.uploaded_at, views), owners.context()
    x = np.column_stack([pairs.order, context.columns[pairs.more] - context.columns[pairs.fewer]])
    signs = np.stack([np.ones(len(pairs.more)), np.sign(score[pairs.more] - score[pairs.fewer])], axis=1)
    left = signs - x @ np.linalg.lstsq(x, signs, rcond=None)[0]
    expected = (1 + (left[:, 0] * left[:, 1]).mean() / np.sqrt((left**2).mean(axis=0).prod())) / 2
    assert shares(score, pairs, context).adjusted[0] == pytest.approx(expected, abs=1e-4)


def test_a_context_that_is_the_same_for_both_of_each_pair_changes_nothing() -> None:
    tags = [{"x"} if owner % 2 else {"y", "z"} for owner in np.repeat(np.arange(40), 5)]
    context = Context.of(None, None, tags)
    rng = np.random.default_rng(0)
    pairs = within_owner_pairs(Clusters.of(np.repeat(np.arange(40), 5)), None, rng.normal(size=200))
    found = shares(rng.normal(size=200), pairs, context)
    assert found.adjusted[0] == pytest.approx(found.plain[0], abs=1e-12)
