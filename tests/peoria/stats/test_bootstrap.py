import numpy as np
import pytest
from scipy.stats import spearmanr

from peoria.errors import PeoriaError
from peoria.stats import metrics
from peoria.stats.bootstrap import bootstrap_gini, bootstrap_spearman, bootstrap_sums, over_seeds, owner_weights, seed_variance
from peoria.stats.clusters import Clusters
from peoria.stats.estimates import expanded_percentiles

N, B = 300, 40
RNG = np.random.default_rng(5)
OWNERS = np.where(np.arange(N) % 7 == 0, "", RNG.integers(0, 60, N).astype(str))  # some unknown, the rest of several pictures
CLUSTERS = Clusters.of(OWNERS)
VIEWS = np.floor(np.exp(RNG.normal(2, 1, N)))  # ties
SCORES = {"smooth": VIEWS + RNG.normal(0, 9, N), "tied": np.round(RNG.normal(size=N), 1), "two": (VIEWS > 8).astype(float)}


def written_out(seed: int) -> list[np.ndarray]:
    weights = np.concatenate(list(owner_weights(CLUSTERS, B, seed)))
    return [np.repeat(np.arange(N), row) for row in weights]


def test_spearman_is_that_of_the_written_out_resample() -> None:
    samples = bootstrap_spearman(SCORES, VIEWS, CLUSTERS, B, seed=2)
    for name, score in SCORES.items():
        expected = [spearmanr(score[rows], VIEWS[rows]).statistic for rows in written_out(2)]
        np.testing.assert_allclose(samples[name], expected, rtol=0, atol=1e-9)


def test_gini_is_that_of_the_written_out_resample() -> None:
    positive = RNG.random(N) < 0.2
    samples = bootstrap_gini(SCORES, positive, CLUSTERS, B, seed=2)
    for name, score in SCORES.items():
        expected = [metrics.gini(score[rows], positive[rows]) for rows in written_out(2)]
        np.testing.assert_allclose(samples[name], expected, rtol=0, atol=1e-9)


def test_sums_are_those_of_the_written_out_resample() -> None:
    sums = bootstrap_sums(np.stack([VIEWS, SCORES["two"]]), CLUSTERS, B, seed=2)
    for k, rows in enumerate(written_out(2)):
        assert sums[k] == pytest.approx([VIEWS[rows].sum(), SCORES["two"][rows].sum()])


def test_owners_are_drawn_whole_and_unknown_ones_by_picture() -> None:
    weights = np.concatenate(list(owner_weights(CLUSTERS, B, 0)))
    assert weights.shape == (B, N)
    for owner in np.unique(OWNERS[OWNERS != ""]):
        assert (np.ptp(weights[:, owner == OWNERS], axis=1) == 0).all()
    assert (np.ptp(weights[:, OWNERS == ""], axis=1) > 0).all()
    by_one = np.concatenate(list(owner_weights(CLUSTERS, B, 0, chunk=1)))
    assert (weights == by_one).all()
    assert (np.concatenate(list(owner_weights(CLUSTERS, B, 1))) != weights).any()


def test_intervals_over_owners_cover_where_intervals_over_pictures_do_not() -> None:
    """No skill, one look and one fame an owner: the claim "above or below 0" should be wrong in about 5 % of worlds."""
    wrong = {"owners": 0, "pictures": 0}
    worlds = 200
    for world in range(worlds):
        rng = np.random.default_rng(world)
        owner = np.repeat(np.arange(80), 5)
        score, views = rng.normal(size=80)[owner], rng.normal(size=80)[owner]
        for unit, owners in (("owners", owner.astype(str)), ("pictures", np.full(400, ""))):
            low, high = expanded_percentiles(bootstrap_spearman({"s": score}, views, Clusters.of(owners), 100, world)["s"])
            wrong[unit] += not low <= 0 <= high
    assert wrong["owners"] / worlds < 0.12
    assert wrong["pictures"] / worlds > 0.2  # control


def test_what_ranks_nothing_is_zero() -> None:
    scores = {"constant": np.ones(N), "nan": np.where(np.arange(N) == 1, np.nan, VIEWS)}
    for samples in (
        bootstrap_spearman(scores, VIEWS, CLUSTERS, B),
        bootstrap_spearman(SCORES, np.ones(N), CLUSTERS, B),
        bootstrap_gini(scores, VIEWS > 9, CLUSTERS, B),
    ):
        assert all((sample == 0).all() for sample in samples.values())


def test_a_resample_without_one_of_the_values_is_zero() -> None:
    positive = np.array([True, False, False])
    samples = bootstrap_gini({"s": np.array([3.0, 2.0, 1.0])}, positive, Clusters.of([""] * 3), 200)["s"]
    drawn = np.concatenate(list(owner_weights(Clusters.of([""] * 3), 200, 0)))
    one_class = (drawn[:, 0] == 0) | (drawn[:, 0] == 3)
    assert one_class.any()
    assert (samples[one_class] == 0).all()
    assert (samples[~one_class] == 1).all()
    correlations = bootstrap_spearman({"s": np.array([3.0, 2.0, 1.0])}, [3, 2, 1], Clusters.of([""] * 3), 200)["s"]
    one_value = drawn.max(axis=1) == 3
    assert one_value.any()
    assert (correlations[one_value] == 0).all()
    np.testing.assert_allclose(correlations[~one_value], 1)


def test_the_order_of_pictures_does_not_matter_to_known_owners() -> None:
    owners = np.where(OWNERS == "", "x", OWNERS)
    turned = bootstrap_spearman({"s": SCORES["tied"][::-1]}, VIEWS[::-1], Clusters.of(owners[::-1]), B)["s"]
    np.testing.assert_allclose(turned, bootstrap_spearman({"s": SCORES["tied"]}, VIEWS, Clusters.of(owners), B)["s"], atol=1e-12)


def test_a_recipe_varies_with_owners_and_with_seeds() -> None:
    rng = np.random.default_rng(0)
    of_owners, of_seeds = rng.normal(0, 0.03, 20_000), rng.normal(0, 0.05, 5)
    samples = over_seeds(of_owners + of_seeds[:, None], seed=1)
    assert samples.mean() == pytest.approx(of_seeds.mean(), abs=1e-3)
    assert samples.var() == pytest.approx(0.03**2 + of_seeds.var(ddof=1) / 5, rel=0.03)
    assert (samples == over_seeds(of_owners + of_seeds[:, None], seed=1)).all()
    assert (samples != over_seeds(of_owners + of_seeds[:, None], seed=2)).any()
    assert (over_seeds(of_owners[None]) == of_owners).all()
    with pytest.raises(PeoriaError, match=r"samples: shape \(3,\); a row for each seed"):
        over_seeds([1.0, 2.0, 3.0])


def test_the_seeds_part_of_the_variance_of_a_recipe() -> None:
    rng = np.random.default_rng(0)
    of_owners, of_seeds = rng.normal(0, 0.03, 20_000), rng.normal(0, 0.05, 5)
    rows = of_owners + of_seeds[:, None]
    assert seed_variance(rows) == pytest.approx(of_seeds.var(ddof=1) / 5)
    assert over_seeds(rows).var() - of_owners.var() == pytest.approx(seed_variance(rows), rel=0.05)
    assert seed_variance(of_owners + np.zeros((5, 1))) == pytest.approx(0, abs=1e-15)  # control: owners' luck alone is none of the seeds'
    assert seed_variance(rows[:1]) == 0.0
    variances = [seed_variance(rng.normal(size=(4, 1)) + np.zeros((4, 3))) for _ in range(4000)]
    assert np.mean(variances) == pytest.approx(1 / 4, rel=0.05)  # of the mean of 4 seeds, without bias


def test_scores_must_fit() -> None:
    with pytest.raises(PeoriaError, match=r"(?s)a: shape \(2,\); one value for each of the 300.*b: shape \(3,\)"):
        bootstrap_spearman({"a": [1, 2], "b": [1, 2, 3]}, VIEWS, CLUSTERS)
