import math
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import rankdata, spearmanr, t
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from peoria.errors import PeoriaError
from peoria.stats import metrics
from peoria.stats.clusters import Clusters

RNG = np.random.default_rng(3)
SCORE = np.round(RNG.normal(size=400), 1)  # many ties
VIEWS = np.floor(np.exp(0.3 * SCORE + RNG.normal(size=400) + 2))


def test_spearman_is_scipys_with_ties_and_blind_to_monotone_scales() -> None:
    assert metrics.spearman(SCORE, VIEWS) == pytest.approx(spearmanr(SCORE, VIEWS).statistic, abs=1e-12)
    assert metrics.spearman(SCORE, VIEWS) == metrics.spearman(np.exp(SCORE), np.log1p(VIEWS))
    assert metrics.spearman(-SCORE, VIEWS) == pytest.approx(-metrics.spearman(SCORE, VIEWS), abs=1e-12)


@pytest.mark.parametrize("score", [np.full(400, 3.0), np.where(np.arange(400) == 7, np.nan, SCORE), np.where(np.arange(400) == 7, np.inf, SCORE)])
def test_a_score_that_ranks_nothing_counts_zero(score: np.ndarray) -> None:
    assert metrics.spearman(score, VIEWS) == 0.0
    assert metrics.gini(score, VIEWS > 9) == 0.0


def test_scipy_itself_gives_nan_for_a_constant() -> None:
    with pytest.warns(match="constant"):
        assert math.isnan(spearmanr(np.full(400, 3.0), VIEWS).statistic)


def test_ranks_are_scipys() -> None:
    for num in (0, 1, 2, 400):
        for values in (RNG.normal(size=num), np.floor(RNG.normal(size=num)), np.zeros(num)):
            np.testing.assert_array_equal(metrics.rankdata(values), rankdata(values))


def test_gini_is_twice_the_area_less_one() -> None:
    positive = RNG.random(400) < 0.1 + 0.3 * (SCORE > 0)
    assert metrics.gini(SCORE, positive) == pytest.approx(2 * roc_auc_score(positive, SCORE) - 1, abs=1e-12)
    assert metrics.gini([1, 2, 3], [0, 0, 1]) == 1.0
    assert metrics.gini([1, 1, 2, 2], [0, 1, 0, 1]) == 0.0  # ties count half


@pytest.mark.parametrize("positive", [np.zeros(4), np.ones(4)])
def test_gini_of_one_class_is_refused(positive: np.ndarray) -> None:
    with pytest.raises(PeoriaError, match=r"positive: [04] of 4 pictures are positive; at least one of each class"):
        metrics.gini([1.0, 2.0, 3.0, 4.0], positive)


def test_columns_must_fit() -> None:
    with pytest.raises(PeoriaError, match="y: 3 values; 2 are needed"):
        metrics.spearman([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(PeoriaError, match=r"score: shape \(0,\); .* at least one picture"):
        metrics.spearman([], [])
    with pytest.raises(PeoriaError, match=r"positive: shape \(3,\); the shape of the score"):
        metrics.gini([1.0, 2.0], [0, 1, 1])


def test_losses() -> None:
    y = np.array([0.0, 0.0, 1.0])
    assert metrics.mse([1.0, 0.0, 3.0], y) == pytest.approx(5 / 3)
    assert metrics.half_mse([1.0, 0.0, 3.0], y) == pytest.approx(5 / 6)
    probability = np.array([0.2, 0.5, 0.9])
    assert metrics.log_loss(probability, y) == pytest.approx(sklearn_log_loss(y, probability))
    assert metrics.brier(probability, y) == pytest.approx((0.04 + 0.25 + 0.01) / 3)
    assert metrics.accuracy(probability, y) == 1.0
    assert metrics.log_loss([0.0, 0.0, 0.0], y) == pytest.approx(-math.log(1e-12) / 3)  # certain and wrong, yet finite
    assert metrics.rank_mean(0.2, 0.4) == pytest.approx(0.3)


def test_the_papers_prior_and_bins() -> None:
    favourited = np.arange(393_691) < 43_071
    assert metrics.log_loss(np.full(393_691, 43_071 / 393_691), favourited) == pytest.approx(0.3453, abs=5e-5)
    assert metrics.half_mse(np.full(10, 4.5), np.arange(10)) == pytest.approx(4.125)


def test_d2() -> None:
    assert metrics.d2(4.125, 4.125) == 0.0
    assert metrics.d2(4.01, 4.125) == pytest.approx(0.0279, abs=1e-4)
    with pytest.raises(PeoriaError, match=r"loss_constant: 0\.0; a loss above 0"):
        metrics.d2(1.0, 0.0)


def test_standard_error_of_single_pictures() -> None:
    assert metrics.standard_error(VIEWS, Clusters.of([""] * 400)) == pytest.approx(1 / math.sqrt(399))
    assert metrics.standard_error(VIEWS, Clusters.of(np.arange(400))) == pytest.approx(1 / math.sqrt(399))


def test_standard_error_of_clusters_is_what_clustered_nulls_show() -> None:
    """Scores and views of one value an owner: 40 owners of 10 pictures are worth 40 pictures, not 400."""
    rng = np.random.default_rng(0)
    owners = np.repeat(np.arange(40), 10)
    clusters = Clusters.of(owners)
    nulls, claimed = [], []
    for _ in range(300):
        views = rng.normal(size=40)[owners] + 1e-6 * rng.normal(size=400)
        score = rng.normal(size=40)[owners] + 1e-6 * rng.normal(size=400)
        nulls.append(metrics.spearman(score, views))
        claimed.append(metrics.standard_error(views, clusters))
    assert np.std(nulls) == pytest.approx(np.mean(claimed), rel=0.15)
    assert np.std(nulls) > 2.5 / math.sqrt(399)  # control: the formula of single pictures is far too sure


def test_standard_error_needs_pictures_and_owners() -> None:
    with pytest.raises(PeoriaError, match="views: 2 pictures; at least 3"):
        metrics.standard_error([1, 2], Clusters.of(["a", "b"]))
    with pytest.raises(PeoriaError, match="owners: 2 values; one for each of the 3 pictures"):
        metrics.standard_error([1, 2, 3], Clusters.of(["a", "b"]))


def test_expected_best_of_known_values() -> None:
    assert metrics.expected_best_of(1, 0.1) == 0.0
    assert metrics.expected_best_of(2, 1.0) == pytest.approx(1 / math.sqrt(math.pi), abs=1e-9)
    assert metrics.expected_best_of(3, 1.0) == pytest.approx(1.5 / math.sqrt(math.pi), abs=1e-9)
    assert metrics.expected_best_of(100, 1.0) == pytest.approx(2.50759364, abs=1e-7)
    assert metrics.expected_best_of(500, 1.0) == pytest.approx(3.0367, abs=1e-4)
    with pytest.raises(PeoriaError, match="n: 0; at least 1 trial"):
        metrics.expected_best_of(0, 1.0)


def test_detectable_has_four_fifths_power() -> None:
    rng = np.random.default_rng(1)
    effect = metrics.detectable(0.05)
    assert np.mean(np.abs(rng.normal(effect, 0.05, 100_000)) > 1.96 * 0.05) == pytest.approx(0.8, abs=0.01)
    drawn = rng.normal(size=(100_000, 10)) * 0.05 * math.sqrt(10)
    se = drawn.std(axis=1, ddof=1) / math.sqrt(10)
    for effect, seen in ((metrics.detectable(0.05, 9), 0.8), (metrics.detectable(0.05), 0.71)):  # control: by the normal
        assert np.mean(drawn.mean(axis=1) + effect > 2.262 * se) == pytest.approx(seen, abs=0.015)


def test_detectable_of_few_units_is_by_student() -> None:
    """The estimate's error is normal, its standard error known from 12 values only: power is that of Student's test."""
    rng = np.random.default_rng(1)
    effect = metrics.detectable(0.05, 11)
    se = 0.05 * np.sqrt(rng.chisquare(11, 100_000) / 11)
    for claimed, power in ((effect, 0.8), (metrics.detectable(0.05), 0.72)):  # the second as control
        assert np.mean(rng.normal(claimed, 0.05, 100_000) > t.ppf(0.975, 11) * se) == pytest.approx(power, abs=0.015)
    assert metrics.detectable(0.05) == pytest.approx(2.8016 * 0.05, abs=1e-5)
    assert metrics.detectable(0.05, 1e9) == pytest.approx(metrics.detectable(0.05))
    assert metrics.detectable(0.05, 0.5) == metrics.detectable(0.05, 1) < math.inf
    assert metrics.detectable(0.0, 11) == 0


def test_nothing_ranks_nothing() -> None:
    assert not metrics.rankable(np.empty(0))
    assert not metrics.rankable(np.ones(1))
    assert metrics.rankable(np.arange(2.0))


def test_expected_best_is_the_mean_over_all_subsets() -> None:
    values = np.array([0.1, -1.0, 0.3, 0.3, 0.7, 0.05])
    expected = [np.mean([max(chosen) for chosen in combinations(values, n)]) for n in range(1, 7)]
    np.testing.assert_allclose(metrics.expected_best_of_curve(values), expected, atol=1e-12)


def test_expected_best_of_many_trials_neither_overflows_nor_falls() -> None:
    values = np.random.default_rng(0).normal(size=3000)
    curve = metrics.expected_best_of_curve(values)
    assert curve[0] == pytest.approx(values.mean())
    assert curve[-1] == values.max()
    assert (np.diff(curve) >= -1e-12).all()
    assert curve[99] == pytest.approx(metrics.expected_best_of(100, values.std()), abs=0.15)
    with pytest.raises(PeoriaError, match="values: not all are finite"):
        metrics.expected_best_of_curve([1.0, np.nan])


def test_expected_best_has_no_bias_where_drawing_with_replacement_has() -> None:
    """The best of 20 uniform numbers is 20 / 21 on average."""
    rng = np.random.default_rng(0)
    ours, with_replacement = [], []
    for _ in range(2000):
        values = np.sort(rng.uniform(size=20))
        shares = np.arange(21) / 20
        ours.append(metrics.expected_best_of_curve(values)[-1])
        with_replacement.append(values @ np.diff(shares**20))  # Dodge et al. 2019
    assert np.mean(ours) == pytest.approx(20 / 21, abs=0.004)
    assert np.mean(with_replacement) < 20 / 21 - 0.02


def test_spearman_brown() -> None:
    assert metrics.spearman_brown(0.0) == 0.0
    assert metrics.spearman_brown(0.5) == pytest.approx(2 / 3)
    rng = np.random.default_rng(0)
    truth = rng.normal(size=100_000)
    halves = truth + rng.normal(size=(2, 100_000))
    wholes = truth + rng.normal(size=(4, 100_000)).reshape(2, 2, -1).mean(axis=1)
    assert metrics.spearman_brown(np.corrcoef(halves)[0, 1]) == pytest.approx(np.corrcoef(wholes)[0, 1], abs=0.01)
    assert metrics.spearman_brown(np.array([-0.5, 1.0])).tolist() == [0.0, 1.0]
