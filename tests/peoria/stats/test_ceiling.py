import numpy as np
import pytest
from scipy.stats import spearmanr

from peoria.errors import PeoriaError
from peoria.stats import ceiling
from peoria.stats.ceiling import content_ceiling, count_noise, upper_end
from peoria.stats.clusters import Clusters
from peoria.stats.estimates import Resampling

FEW = Resampling(num_resamples=100)


def of_the_paper(rng: np.random.Generator, n: int) -> np.ndarray:
    """Rates of views, lognormal with the moments of the paper's Table 1 (mean 146.37, sd 323.58)."""
    variance = np.log(1 + (323.58 / 146.37) ** 2)
    return np.exp(rng.normal(np.log(146.37) - variance / 2, np.sqrt(variance), n))


def test_counting_noise_of_views_is_small_and_the_ceiling_is_what_a_knower_of_the_rates_reaches() -> None:
    rng = np.random.default_rng(0)
    rate = of_the_paper(rng, 20_000)
    views = rng.poisson(rate)
    found = count_noise(views, Clusters.of(np.arange(20_000) // 10), FEW)
    assert found is not None
    assert found.half == pytest.approx(0.972, abs=0.004)
    assert found.reliability.value == pytest.approx(0.986, abs=0.003)
    assert found.reliability.value == pytest.approx(spearmanr(views, rng.poisson(rate))[0], abs=0.003)  # a second reading
    assert found.ceiling.value == pytest.approx(spearmanr(rate, views)[0], abs=0.003)
    assert found.ceiling.low < found.ceiling.value < found.ceiling.high
    assert not found.upper_bound_only


def test_from_a_tenth_of_zeros_on_it_is_an_upper_bound() -> None:
    """The halves of Poisson counts, 39 % of them 0, promise more than a knower of the rates reaches."""
    rng = np.random.default_rng(0)
    rate = np.exp(rng.normal(0.2, 1.2, 40_000))
    counts, owners = rng.poisson(rate), Clusters.of(np.arange(40_000) // 10)
    found = count_noise(counts, owners, FEW)
    assert found is not None
    assert found.zero_share == pytest.approx(0.37, abs=0.04)
    assert found.ceiling.low > spearmanr(rate, counts)[0] + 0.02
    assert found.upper_bound_only
    small = rng.poisson(rate + 3)  # no zeros, but ties enough: why "at most" is said always
    tied = count_noise(small, owners, FEW)
    assert tied is not None
    assert not tied.upper_bound_only
    assert tied.ceiling.low > spearmanr(rate, small)[0] + 0.02


def test_of_counts_beyond_poisson_it_is_more_than_can_be_reached() -> None:
    """Why no sentence gives it as what a score can reach."""
    rng = np.random.default_rng(0)
    rate = of_the_paper(rng, 20_000)
    found = count_noise(rng.poisson(rate * rng.gamma(2.0, 0.5, 20_000)), Clusters.of(np.arange(20_000) // 10), FEW)
    assert found is not None
    assert found.ceiling.low > 0.98
    assert spearmanr(rate, rng.poisson(rate * rng.gamma(2.0, 0.5, 20_000)))[0] < 0.87


def test_a_rare_count_needs_owners_who_have_one() -> None:
    """A thousand owners, of whom a few have all the favourites."""
    rng = np.random.default_rng(0)
    owners = np.arange(10_000) // 10
    for famous, known in ((19, False), (60, True)):
        counts = np.where(owners < famous, rng.poisson(np.exp(rng.normal(1.0, 1.0, 10_000))), 0)
        found = count_noise(counts, Clusters.of(owners), FEW)
        assert found is not None
        assert found.num_owners == famous
        assert (found.ceiling is not None) == known


def test_of_favourites_that_are_mostly_zero_it_is_an_upper_bound() -> None:
    rng = np.random.default_rng(0)
    rate = np.exp(rng.normal(-4.5, 2, 20_000))
    favorites = rng.poisson(rate)
    found = count_noise(favorites, Clusters.of(np.arange(20_000) // 10), FEW)
    assert found is not None
    assert found.zero_share > 0.9
    assert found.upper_bound_only
    assert spearmanr(rate, favorites)[0] + 0.1 < found.ceiling.low  # far from exact: why it is said
    assert count_noise(np.zeros(50, np.int64), Clusters.of(np.arange(50)), FEW) is None


def pairs(seed: int, num: int, content: float, owner: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Half of the pairs are of one owner; log views = content + owner + luck of variance 1."""
    rng = np.random.default_rng(seed)
    of_a = np.arange(num)
    of_b = np.where(of_a % 2, of_a, of_a + num)
    fame, shared = rng.normal(size=2 * num) * owner, rng.normal(size=num) * content
    a, b = (np.exp(3 + shared + fame[of] + rng.normal(size=num)) for of in (of_a, of_b))
    return a, b, of_a.astype(str), of_b.astype(str)


def test_copies_by_different_owners_share_their_content_those_of_one_owner_the_owner_too() -> None:
    found = content_ceiling(*pairs(0, 4000, content=1.0, owner=1.0), FEW)
    other, same = found.other_owner, found.same_owner
    assert (other.num_pairs, same.num_pairs) == (2000, 2000)
    # Variances: a third is content, a third owner, a third luck. Spearman's of a normal pair: 6/π·asin(r/2).
    for part, shared in ((other, 1 / 3), (same, 2 / 3)):
        assert part.rho.low < 6 / np.pi * np.arcsin(shared / 2) < part.rho.high
    assert other.ceiling.value == pytest.approx(np.sqrt(other.rho.value))
    assert same.rho.low > other.rho.high


def test_content_ceiling_is_what_a_score_of_the_content_reaches() -> None:
    rng = np.random.default_rng(1)
    content = rng.normal(size=5000)
    a, b = (np.exp(content + rng.normal(size=5000)) for _ in range(2))
    owners = np.arange(10_000).astype(str)
    found = content_ceiling(a, b, owners[:5000], owners[5000:], FEW).other_owner
    assert found.ceiling.value == pytest.approx(spearmanr(content, a)[0], abs=0.02)


def test_which_picture_of_a_pair_comes_first_changes_nothing() -> None:
    a, b, of_a, of_b = pairs(0, 200, 1.0, 1.0)
    turned = np.arange(200) % 3 == 0
    again = [np.where(turned, other, one) for one, other in ((a, b), (b, a), (of_a, of_b), (of_b, of_a))]
    assert spearmanr(again[0], again[1])[0] != pytest.approx(spearmanr(a, b)[0])  # control: of pairs as they lie
    turned_round, straight = (content_ceiling(*columns, FEW).other_owner.rho for columns in (again, (a, b, of_a, of_b)))
    assert turned_round.value == pytest.approx(straight.value)


def test_few_pairs_or_owners_that_hang_together_say_nothing() -> None:
    few = content_ceiling(*pairs(0, 58, 1.0, 1.0), FEW).other_owner
    assert (few.num_pairs, few.rho, few.ceiling) == (29, None, None)
    assert content_ceiling(*pairs(0, 60, 1.0, 1.0), FEW).other_owner.rho is not None  # control: one pair more
    a, b, of_a, of_b = pairs(0, 400, 1.0, 1.0)
    hub = content_ceiling(a, b, of_a, np.full(400, "everybody's copy"), FEW).other_owner
    assert (hub.num_pairs, hub.num_units, hub.rho) == (400, 1, None)
    unknown = content_ceiling(a, b, of_a, np.full(400, ""), FEW)
    assert unknown.other_owner.num_pairs == unknown.same_owner.num_pairs == 0
    with pytest.raises(PeoriaError, match="pairs: 400, 399"):
        content_ceiling(a, b[1:], of_a, of_b, FEW)


def potential_world(seed: int, kind: str, base: float = 5.0) -> tuple[np.ndarray, np.ndarray, Clusters]:
    rng = np.random.default_rng(seed)
    score, owners = rng.normal(size=4000), np.arange(4000) // 4
    if kind == "potential":  # luck says how much of the room above a common bottom is used
        logs = base + 0.2 * rng.normal(size=4000) + np.exp(0.5 * score) * rng.uniform(size=4000) ** 2
    elif kind == "factor":
        logs = base + 0.5 * score + rng.normal(size=4000)
    elif kind == "bottom":
        logs = base - np.exp(-0.5 * score) * rng.uniform(size=4000) ** 2 + 0.2 * rng.normal(size=4000)
    else:
        logs = base + rng.normal(size=4000)
    return score, np.floor(np.exp(logs)), Clusters.of(owners)


@pytest.mark.parametrize(("kind", "shape"), [("potential", "upper_end"), ("factor", "whole"), ("bottom", "lower_end"), ("useless", "none")])
def test_the_shape_is_told(kind: str, shape: str) -> None:
    found = upper_end(*potential_world(0, kind), FEW)
    assert found is not None
    assert found.shape == shape
    if kind == "potential":
        assert found.top_to_bottom.q95.low > 3 > 1.3 > found.top_to_bottom.q05.high


def test_a_factor_is_not_often_taken_for_a_potential() -> None:
    shapes = [upper_end(*potential_world(seed, "factor"), FEW) for seed in range(40)]
    assert sum(found is not None and found.shape == "upper_end" for found in shapes) <= 4  # 2.5 % of 40 is 1


def test_a_lower_end_at_zero_is_no_potential(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts near zero cannot fall: a mere factor looks like a potential. Without the guard it would be called one."""
    world = potential_world(0, "factor", base=0.5)
    found = upper_end(*world, FEW)
    assert found is not None
    assert found.shape == "unknown"
    monkeypatch.setattr(ceiling, "MIN_COUNT", 0)
    unguarded = upper_end(*world, FEW)
    assert unguarded is not None
    assert unguarded.shape == "upper_end"


def test_quantiles_by_decile_are_those_of_the_pictures_in_it() -> None:
    score, counts, owners = potential_world(0, "factor")
    found = upper_end(score, counts, owners, FEW)
    assert found is not None
    order = np.argsort(score)
    for k, row in enumerate(found.deciles):
        inside = counts[order[400 * k : 400 * (k + 1)]]
        assert row.num_pictures == 400
        quantiles = row.quantiles
        for share, estimate in {0.05: quantiles.q05, 0.25: quantiles.q25, 0.5: quantiles.q50, 0.75: quantiles.q75, 0.95: quantiles.q95}.items():
            assert estimate.value == np.quantile(inside, share, method="inverted_cdf")
            assert estimate.low <= estimate.value <= estimate.high


def test_resampled_quantiles_are_those_of_the_resample_written_out() -> None:
    rng = np.random.default_rng(3)
    decile, counts = np.repeat(np.arange(10), 50), rng.integers(0, 30, 500).astype(np.float64)
    weights = rng.poisson(1.0, (3, 500))
    weights[2, :50] = 0
    found = ceiling._Quantiles.of(decile, counts)(weights)
    assert np.isnan(found[2, 0]).all()
    for b, d in [(0, 0), (1, 4), (2, 9)]:
        inside = decile == d
        written_out = np.repeat(counts[inside], weights[b, inside])
        np.testing.assert_array_equal(found[b, d], np.quantile(written_out, ceiling.QUANTILES, method="inverted_cdf"))


def test_too_few_pictures_or_owners_claim_nothing() -> None:
    score, counts, owners = potential_world(0, "potential")
    assert upper_end(score[:390], counts[:390], owners.take(np.arange(390)), FEW) is None
    assert upper_end(np.ones(4000), counts, owners, FEW) is None
    found = upper_end(score, counts, Clusters.of(np.arange(4000) % 19), FEW)
    assert found is not None
    assert found.shape == "unknown"
