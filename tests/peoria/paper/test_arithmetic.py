"""The arithmetic behind docs/paper.md by another way than its own; test_page.py holds the page to it."""

import math

import numpy as np
import pytest
import torch

from peoria.paper import arithmetic, printed
from peoria.paper.claims_on_results import tied_losses
from peoria.stats.metrics import half_mse
from peoria.tasks import get_task


def test_the_constant_of_ten_bins() -> None:
    bins = np.arange(10).repeat(1000)
    assert arithmetic.bin_loss() == 4.125 == half_mse(np.full(len(bins), 4.5), bins)
    assert arithmetic.bin_loss_sd() == pytest.approx(np.std((bins - 4.5) ** 2 / 2))


def test_ties_fall_as_in_the_hybrid_task() -> None:
    counts = np.floor(np.exp(np.random.default_rng(1).normal(1.0, 1.2, 5000)))
    fitted = get_task("hybrid").fit(counts, counts, "raw", "views")
    bins = fitted.encode(counts)
    num, loss = arithmetic.tied_bins(np.bincount(counts.astype(int)).astype(float))
    assert num == len(np.unique(bins))
    assert loss == pytest.approx(half_mse(np.full(len(bins), bins.mean()), bins), rel=1e-5)
    assert arithmetic.tied_bins(np.ones(1000))[1] == pytest.approx(4.125)  # nothing ties over an edge: the paper's own number
    assert arithmetic.tied_bins(np.ones(1000), below=False)[1] == pytest.approx(4.125, rel=0.01)


def test_ties_move_the_constant_both_ways() -> None:
    views = np.floor(np.exp(np.random.default_rng(2).normal(*arithmetic.lognormal(146.37, 323.58), 1_000_000)))
    edges = np.quantile(views, np.arange(1, 10) / 10, method="inverted_cdf")
    found = sorted(float(np.searchsorted(edges, views, side=side).var() / 2) for side in ("left", "right"))  # type: ignore[call-overload]
    assert tied_losses()["all"] == pytest.approx(found, abs=0.02)
    assert tied_losses()["all"][0] < 4.125 < tied_losses()["all"][1]
    assert tied_losses()["all"][0] < tied_losses()["cut"][0]  # the bound of the page is that of the lowest of the four


def test_no_counts_have_a_smaller_sd_than_the_maximum_forces() -> None:
    row, num = printed.TABLE_1["views"], 5000
    least = arithmetic.forced_sd(row, num)
    rest = (row.mean * num - row.max) / (num - 1)
    values = np.append(np.full(num - 1, rest), row.max)
    assert values.mean() == pytest.approx(row.mean)
    assert values.std() == pytest.approx(least)
    random = np.random.default_rng(0)
    for spread in (0.1, 10, 100):
        moved = random.normal(0, spread, num - 1)
        assert np.append(values[:-1] + moved - moved.mean(), row.max).std() > least


def test_the_tables_sd_needs_more_pictures_than_there_are() -> None:
    for name in ("views", "favorites"):
        row = printed.TABLE_1[name]
        needed = arithmetic.needed_num(row)
        best = row._replace(mean=row.mean + 0.005)
        assert arithmetic.forced_sd(best, needed) <= row.sd + 0.005 < arithmetic.forced_sd(best, needed - 1)
        assert needed > printed.NUM_COLLECTED
    assert arithmetic.needed_num(printed.TABLE_1["comments"]) < printed.NUM_ANALYSED


@pytest.mark.parametrize(("mean", "top"), [(0.5, 33.56), (0.32, 13.58), (146.37, 2087.85)])
def test_no_counts_below_a_maximum_have_a_larger_sd(mean: float, top: float) -> None:
    random, largest = np.random.default_rng(0), []
    for _ in range(200):  # laws of eleven counts from 0 to the maximum, tilted to the mean
        counts, weights = np.append(np.sort(random.uniform(0, top, 9)), (0, top)), random.dirichlet(np.full(11, 0.3)) + 1e-12
        low, high = -80.0, 80.0
        for _ in range(100):
            tilt = (low + high) / 2
            held = weights * np.exp(tilt * (counts / top - 1))
            held /= held.sum()
            low, high = (tilt, high) if held @ counts < mean else (low, tilt)
        if abs(held @ counts - mean) < 1e-6:
            largest.append(math.sqrt(held @ (counts - mean) ** 2))
    assert len(largest) > 150
    assert 0.5 * arithmetic.most_sd(mean, top) < max(largest) < arithmetic.most_sd(mean, top) < 2 * max(largest)
    two = np.array([1 - mean / top, mean / top])  # the law that reaches it: nothing but the ends
    assert math.sqrt(two @ (np.array([0, top]) - mean) ** 2) == pytest.approx(arithmetic.most_sd(mean, top))


@pytest.mark.parametrize("name", ["favorites", "comments"])
def test_what_the_cut_pictures_of_table_1_need(name: str) -> None:
    """The kept maximum that the row needs, and the removed pictures that lift the limit to it; a step less of either does not do."""
    row = printed.TABLE_1[name]
    top, found = arithmetic.needed_top(row), arithmetic.uncut(row)
    corner = (row.mean + 0.005, row.sd - 0.005)
    assert arithmetic.most_sd(corner[0], top - 1) < corner[1] <= arithmetic.most_sd(corner[0], top)
    assert arithmetic.limit(row) < top  # so the limit was not made by these numbers
    kept, removed = printed.NUM_ANALYSED, printed.NUM_REMOVED

    def limit(counts: np.ndarray) -> float:
        m1 = (kept * (row.mean + 0.005) + counts.sum()) / (kept + removed)
        m2 = (kept * ((row.mean + 0.005) ** 2 + (row.sd + 0.005) ** 2) + (counts**2).sum()) / (kept + removed)
        return float(m1 + 6 * math.sqrt(m2 - m1**2))

    equal = np.full(removed, found.removed_rms)
    assert limit(equal) == pytest.approx(top)
    assert limit(0.99 * equal) < top
    random = np.random.default_rng(0)
    for spread in (0.1, 0.5, 2.0):
        spreading = random.lognormal(0, spread, removed)
        assert limit(spreading * found.removed_rms / math.sqrt((spreading**2).mean())) < top  # all equal is the best of this mean square
    assert (top - found.sd * 6) == pytest.approx((kept * (row.mean + 0.005) + equal.sum()) / (kept + removed))
    assert found.removed_rms < row.max  # narrow, and possible


def test_the_mean_before_the_removal() -> None:
    removed = arithmetic.removed_mean(200, 146.37, kept=3_000, removed=20)
    assert np.concatenate([np.full(3_000, 146.37), np.full(20, removed)]).mean() == pytest.approx(200)
    assert arithmetic.removed_mean(146.37, 146.37) == pytest.approx(146.37)


def test_the_largest_share_beyond_six_sd() -> None:
    share = arithmetic.cantelli(6)
    values = np.repeat([0.0, 1.0], [36, 1])  # the law that reaches it
    assert values.mean() + 6 * values.std() == pytest.approx(1.0)
    assert (values == 1).mean() == pytest.approx(share) == pytest.approx(1 / 37)


def test_a_lognormal_of_given_moments_and_its_cut() -> None:
    row = printed.TABLE_1["views"]
    mu, sigma = arithmetic.lognormal(row.mean, row.sd)
    assert math.exp(mu + sigma**2 / 2) == pytest.approx(row.mean)
    assert row.mean * math.sqrt(math.expm1(sigma**2)) == pytest.approx(row.sd)

    cut = arithmetic.cut_lognormal(row.mean, row.sd)
    assert (cut.mu, cut.sigma) == pytest.approx((3.76859, 1.65079), rel=1e-4)
    x = np.exp(np.random.default_rng(0).normal(3.76859, 1.65079, 2_000_000))
    uncut = math.exp(3.76859 + 1.65079**2 / 2)
    limit = uncut * (1 + 6 * math.sqrt(math.expm1(1.65079**2)))
    kept = x[x <= limit]
    assert cut.cut == pytest.approx(limit, rel=1e-4)
    assert 1 - len(kept) / len(x) == pytest.approx(cut.share_cut, rel=0.05)
    assert kept.mean() == pytest.approx(row.mean, rel=0.01)
    assert kept.std() == pytest.approx(row.sd, rel=0.01)
    losses = (kept - kept.mean()) ** 2 / 2
    assert losses.std() / math.sqrt(5000) == pytest.approx(arithmetic.se_half_mse(row.sd, cut.kurtosis, 5000), rel=0.02)


def test_the_power_law_of_the_papers_mean() -> None:
    exponent = arithmetic.zeta_exponent(2.0)  # of a mean whose sums end; that of 146.37 has no end in sight
    x = np.arange(1, 2_000_000, dtype=float)
    shares = x**-exponent / np.sum(x**-exponent)
    assert shares @ x == pytest.approx(2.0, rel=1e-3)
    assert shares[0] == pytest.approx(arithmetic.share_of_ones(exponent), rel=1e-5)
    exponent = arithmetic.zeta_exponent(146.37)
    assert arithmetic.tied_bins(x**-exponent)[0] < 6  # ten equal bins cannot be made of it
    assert arithmetic.tied_bins(arithmetic.whole_lognormal(*arithmetic.lognormal(146.37, 323.58)))[0] == 10


def test_a_power_law_that_ends() -> None:
    """Where it ends changes much of it, and never that more than a tenth is at one view."""
    for top, ones in ((2_088, 0.20), (321_528, 0.447)):
        exponent, share = arithmetic.ended_power_law(146.37, top)
        x = np.arange(1, top + 1, dtype=float)
        shares = x**-exponent / np.sum(x**-exponent)
        assert shares @ x == pytest.approx(146.37)
        assert shares[0] == pytest.approx(share) == pytest.approx(ones, abs=0.001)
        assert share > 1 / printed.NUM_BINS
        assert exponent < arithmetic.zeta_exponent(146.37)
    exponent, share = arithmetic.ended_power_law(2.0, 1_000_000)  # far enough out the end does not matter
    assert (exponent, share) == pytest.approx((arithmetic.zeta_exponent(2.0), arithmetic.share_of_ones(arithmetic.zeta_exponent(2.0))), rel=1e-3)


def test_a_straight_line_on_two_logarithmic_axes_is_no_power_law() -> None:
    x = np.exp(np.random.default_rng(0).normal(*arithmetic.lognormal(146.37, 323.58), 3_000_000))
    heights, edges = np.histogram(x, np.linspace(0, 2000, 101))
    fit = np.corrcoef(np.log((edges[:-1] + edges[1:]) / 2), np.log(heights))[0, 1] ** 2
    assert arithmetic.loglog_fit(146.37, 323.58) == pytest.approx(fit, abs=0.005)
    assert fit > 0.9


def test_table_2_as_a_matrix() -> None:
    assert arithmetic.eigenvalues().sum() == pytest.approx(3)
    assert (arithmetic.eigenvalues() > 0).all()
    x, y, z = np.random.default_rng(0).multivariate_normal([0] * 3, [[1, 0.12, 0.44], [0.12, 1, 0.44], [0.44, 0.44, 1]], 400_000).T
    rest = [a - np.polyval(np.polyfit(z, a, 1), z) for a in (x, y)]
    assert arithmetic.partial(0.12, 0.44, 0.44) == pytest.approx(np.corrcoef(*rest)[0, 1], abs=0.01)


def test_what_the_share_of_favourites_scores() -> None:
    p = printed.NUM_FAVORITED / printed.NUM_ANALYSED
    fitted = get_task("classification").fit(y := np.repeat([1.0, 0.0], [43_071, 350_620]), y, "raw", "favorites")
    prior = next(constant for constant in fitted.constants(len(y)) if constant.name == "prior")
    found = fitted.losses(prior.prediction, y)
    assert found == pytest.approx(
        {f"{name}_fav": value for name, value in arithmetic.prior_losses(p).items() if name != "average_precision"}, rel=1e-9
    )
    from sklearn.metrics import average_precision_score

    assert average_precision_score(y, prior.prediction) == pytest.approx(arithmetic.prior_losses(p)["average_precision"])


def test_accuracy_cannot_show_skill_at_this_share() -> None:
    p, random = 0.109, np.random.default_rng(0)
    positive = random.random(2_000_000) < p
    for auc, least in ((0.75, 0.0005), (0.95, 0.03)):
        from scipy.stats import norm

        score = random.standard_normal(len(positive)) + positive * math.sqrt(2) * norm.ppf(auc)
        order = np.argsort(-score)
        right = (np.cumsum(positive[order]) + (~positive).sum() - np.cumsum(~positive[order])) / len(positive)
        gain = arithmetic.accuracy_gain(auc, p)
        assert right.max() - (~positive).mean() == pytest.approx(gain, abs=3e-4)
        assert gain > least
    assert arithmetic.accuracy_gain(0.65, p) < 1e-5


def test_least_r_and_the_paired_comparison() -> None:
    random = np.random.default_rng(0)
    k = random.integers(0, 10, 1_000_000)
    r = 0.167
    guess = 4.5 + r * (r * (k - 4.5) + math.sqrt(8.25 * (1 - r * r)) * random.standard_normal(len(k)))  # the best line on a score with that r
    d2 = 1 - half_mse(guess, k) / arithmetic.bin_loss()
    assert np.corrcoef(guess, k)[0, 1] == pytest.approx(r, abs=0.003)
    assert arithmetic.least_r(d2) == pytest.approx(r, abs=0.003)
    stretched = 4.5 + 1.5 * (guess - 4.5)  # as good a ranking, and less of the loss removed: √d2 is only the least
    assert arithmetic.least_r(1 - half_mse(stretched, k) / arithmetic.bin_loss()) < r - 0.01
    difference = (k - 4.5) ** 2 / 2 - (k - guess) ** 2 / 2
    assert difference.std() == pytest.approx(arithmetic.paired_sd(r, arithmetic.bin_loss()), rel=0.04)  # the term that is left out


def test_the_readings_of_87_000() -> None:
    found = {reading.name: reading for reading in arithmetic.readings()}
    assert list(found) == ["A", "B", "C", "D"]
    assert found["A"].d2_train < 0 < found["B"].d2_val < found["B"].d2_train < 0.05 < 0.42 < found["C"].d2_val
    assert found["D"].sd == arithmetic.forced_sd(printed.TABLE_1["views"], printed.NUM_COLLECTED)  # the most pictures: the least sd
    assert found["D"].constant > 87_000  # and its double, the variance, more so
    for reading in found.values():
        assert reading.constant == pytest.approx(half_mse(np.array([reading.sd, -reading.sd]), np.zeros(2)))


def test_no_batch_fits_both_statements_on_length() -> None:
    for batch_size in range(1, 1000):
        planned, run = (arithmetic.passes(n, batch_size, printed.NUM_ANALYSED) for n in (20_000, 6_000))
        assert not (4 < planned < 4.5 and 1.4 < run < 1.6)
    assert arithmetic.passes(20_000, arithmetic.batch_for(4.1, 20_000, 393_691), 393_691) == pytest.approx(4.1)


@pytest.mark.parametrize(("padded", "stride_5"), [(True, 1), (True, 2), (False, 2)])
def test_the_side_of_the_last_map(padded: bool, stride_5: int) -> None:
    pad = int(padded)
    pools = [torch.nn.MaxPool2d(3, 2, ceil_mode=True) for _ in range(3)]
    convolutions = [(11, 4, 0), (5, 1, 2), (3, 1, pad), (3, 1, pad), (3, stride_5, pad)]
    layers: list[torch.nn.Module] = []
    for k, (kernel, stride, padding) in enumerate(convolutions):
        layers += [torch.nn.Conv2d(1, 1, kernel, stride, padding), *([pools[min(k, 2)]] if k in (0, 1, 4) else [])]
    assert torch.nn.Sequential(*layers)(torch.zeros(1, 1, 227, 227)).shape[-1] == arithmetic.side(padded=padded, stride_5=stride_5)


def test_a_rate_on_raw_views_and_on_standardised_ones() -> None:
    """Two layers under the squared loss: the trunk's rate scales with the variance, the head's does not scale at all."""
    sd, rate = printed.TABLE_1["views"].sd, 1e-8
    random = np.random.default_rng(0)
    x, t = random.standard_normal((64, 6)), random.standard_normal(64)
    trunk_start, head_start = random.standard_normal((6, 4)) * 0.3, random.standard_normal(4) * 0.3

    def run(target: np.ndarray, head: np.ndarray, trunk_rate: float, head_rate: float) -> np.ndarray:
        trunk, head = trunk_start.copy(), head.copy()
        for _ in range(200):
            hidden = x @ trunk
            error = (hidden @ head - target) / len(target)
            trunk, head = trunk - trunk_rate * x.T @ error[:, None] * head, head - head_rate * hidden.T @ error
        return trunk

    raw = run(sd * t, sd * head_start, rate, 20 * rate)
    np.testing.assert_allclose(run(t, head_start, arithmetic.trunk_rate(rate), 20 * rate), raw, rtol=1e-9)
    assert np.abs(run(t, head_start, rate, 20 * rate) - raw).max() > 1e-2  # without the scaling it is another run
