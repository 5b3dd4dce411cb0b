import numpy as np
import pytest
from scipy.stats import spearmanr

from peoria.errors import PeoriaError
from peoria.stats import strata
from peoria.stats.bootstrap import owner_weights
from peoria.stats.clusters import Clusters
from peoria.stats.estimates import Interval, Resampling
from peoria.stats.metrics import spearman
from peoria.stats.strata import calibration, deciles, within_months

FEW = Resampling(num_resamples=100)
START = np.datetime64("2013-01-01T00:00:00", "s")


def world_of_months(seed: int, appeal: float, n: int = 2400) -> tuple[np.ndarray, np.ndarray, np.ndarray, Clusters]:
    """(score, views, uploaded_at, owners): older pictures have more views and look older."""
    rng = np.random.default_rng(seed)
    owner = np.arange(n) // 4
    days = np.clip(rng.integers(0, 700, n // 4)[owner] + rng.integers(0, 30, n), 0, 729)
    own, looks = rng.normal(size=n), 0.7 * rng.normal(size=n // 4)[owner]
    score = -days / 200 + own + looks + 0.5 * rng.normal(size=n)
    views = np.floor(np.exp(4 - days / 300 + appeal * own + 0.5 * rng.normal(size=n // 4)[owner] + 0.7 * rng.normal(size=n)))
    return score, views, START + days * np.timedelta64(86_400, "s"), Clusters.of(owner)


def test_a_score_that_tells_the_month_ranks_nothing_within_one() -> None:
    score, views, uploaded, owners = world_of_months(0, appeal=0.0)
    found = within_months(score, views, uploaded, owners, FEW)
    assert found is not None
    assert found.rho.low < 0 < found.rho.high
    assert spearman(score, views) > 0.3  # control: pooled, the month looks like skill


def test_appeal_is_left_within_months() -> None:
    found = within_months(*world_of_months(0, appeal=0.7), FEW)
    assert found is not None
    assert found.rho.low > 0.3
    assert found.num_months == 24
    assert [row.month for row in found.months] == [str(np.datetime64("2013-01") + k) for k in range(24)]


def test_intervals_hold() -> None:
    """A useless score that is alike within owners, as views are: over pictures the interval would be too narrow."""
    covers = narrow = 0
    owner = np.arange(1200) // 12
    for seed in range(60):
        rng = np.random.default_rng(900 + seed)
        score, views, uploaded, _ = world_of_months(seed, appeal=0.0, n=1200)
        score, views = score + 6 * rng.normal(size=100)[owner], views * np.exp(3 * rng.normal(size=100)[owner])
        by_owner, by_picture = (within_months(score, views, uploaded, Clusters.of(who), FEW) for who in (owner, np.arange(1200)))
        assert by_owner is not None
        assert by_picture is not None
        covers += by_owner.rho.low <= 0 <= by_owner.rho.high
        narrow += by_picture.rho.low <= 0 <= by_picture.rho.high
    assert covers >= 50
    assert narrow < 40  # control


def test_months_are_weighted_by_their_pictures_and_small_or_unknown_ones_left_out() -> None:
    score, views, uploaded, owners = world_of_months(0, appeal=0.5)
    uploaded = uploaded.copy()
    uploaded[:100] = np.datetime64("NaT")
    month = uploaded.astype("datetime64[M]")
    keep = np.isin(month, np.unique(month[100:])[:2]) | (np.arange(2400) < 100)
    keep[np.flatnonzero(month == month[100:].min())[29:]] = False  # 29 of the first month
    found = within_months(score[keep], views[keep], uploaded[keep], owners.take(keep), FEW)
    assert found is not None
    second = month == np.unique(month[100:])[1]
    assert found.num_months == 1
    assert found.num_left_out == 129
    assert found.rho.value == pytest.approx(spearmanr(score[second], views[second])[0])
    with_both = within_months(score[keep], views[keep], uploaded[keep], owners.take(keep), FEW, min_pictures=29)
    assert with_both is not None
    first, second_row = with_both.months
    sizes = first.num_pictures, second_row.num_pictures
    assert with_both.rho.value == pytest.approx(np.average([first.rho.value, second_row.rho.value], weights=sizes))
    first_100 = owners.take(np.arange(100))
    assert within_months(score[:100], views[:100], uploaded[:100], first_100, FEW) is None
    with pytest.raises(PeoriaError, match="uploaded_at: 99 values"):
        within_months(score[:100], views[:100], uploaded[:99], first_100, FEW)


def test_a_resample_is_ranked_as_if_written_out() -> None:
    rng = np.random.default_rng(0)
    stratum = np.sort(rng.integers(0, 4, 300))
    score, views = rng.integers(0, 40, 300).astype(np.float64), rng.integers(0, 20, 300).astype(np.float64)
    owners = Clusters.of(rng.integers(0, 60, 300))
    few = Resampling(num_resamples=20, seed=3)
    rho, drawn = strata._bootstrap_within(score, views, stratum, owners, few)
    weights = np.concatenate(list(owner_weights(owners, 20, 3)))
    for b in range(20):
        for k in range(4):
            times = weights[b, stratum == k]
            assert drawn[b, k] == times.sum()
            expected = spearmanr(np.repeat(score[stratum == k], times), np.repeat(views[stratum == k], times))[0]
            assert rho[b, k] == pytest.approx(expected)


def test_a_score_that_is_no_number_ranks_nothing() -> None:
    score, views, uploaded, owners = world_of_months(0, appeal=0.5)
    score[7] = np.nan
    found = within_months(score, views, uploaded, owners, FEW)
    assert found is not None
    assert found.rho == Interval(0, 0, 0)  # though it ranks 23 of 24 months
    assert calibration(score, views, owners, FEW) is None


def test_deciles_are_equal_and_ties_lie_in_one() -> None:
    rng = np.random.default_rng(0)
    assert np.bincount(deciles(rng.normal(size=1000))).tolist() == [100] * 10
    tied = deciles(np.array([0.0] * 500 + list(range(1, 501))))
    assert set(tied[:500]) == {2}
    assert tied.max() == 9


def test_calibration_shows_what_is_promised_and_what_comes() -> None:
    rng = np.random.default_rng(0)
    owners, promised = Clusters.of(np.arange(3000) // 3), rng.uniform(0, 9, 3000)
    kept = calibration(promised, promised + rng.normal(size=3000), owners, FEW, same_scale=True)
    exaggerated = calibration(promised, 4.5 + 0.3 * (promised - 4.5) + rng.normal(size=3000), owners, FEW, same_scale=True)
    assert kept is not None
    assert exaggerated is not None
    assert kept.slope.low < 1 < kept.slope.high
    assert exaggerated.slope.low < 0.3 < exaggerated.slope.high < 0.5
    assert all(row.truth.low - 0.1 < row.score < row.truth.high + 0.1 for row in kept.deciles)
    assert exaggerated.deciles[9].truth.high < exaggerated.deciles[9].score
    assert [row.num_pictures for row in kept.deciles] == [300] * 10
    on_ranks = calibration(promised, promised, owners, FEW)
    assert on_ranks is not None
    assert on_ranks.slope is None
    with pytest.raises(PeoriaError, match="truth"):
        calibration(promised, np.full(3000, np.nan), owners, FEW)
