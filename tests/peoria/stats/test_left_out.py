"""Whether pictures left out are like those that stay: what is claimed, and how often by luck."""

import os

import numpy as np
import pytest
from scipy.stats import beta, mannwhitneyu, norm, rankdata

from peoria.errors import PeoriaError
from peoria.stats.clusters import Clusters
from peoria.stats.estimates import Resampling
from peoria.stats.left_out import ALIKE, compare

FEW = Resampling(199, 0)


def test_the_difference_is_that_of_mean_places() -> None:
    random = np.random.default_rng(0)
    views, out = random.integers(0, 30, 500), random.random(500) < 0.3
    found = compare(out, {"views": views}, Clusters.of(np.arange(500) // 5), FEW)
    places = rankdata(views) / 500
    assert found.differences is not None
    difference = found.differences["views"].difference
    assert difference.value == pytest.approx(places[out].mean() - places[~out].mean())
    assert difference.value == pytest.approx(mannwhitneyu(views[out], views[~out]).statistic / out.sum() / (~out).sum() - 0.5)
    assert difference.low < difference.value < difference.high
    assert (found.num, found.share) == (int(out.sum()), pytest.approx(out.mean()))


def test_the_three_answers() -> None:
    random = np.random.default_rng(1)
    out = random.random(20_000) < 0.5
    clusters = Clusters.of(np.arange(20_000) // 4)
    numbers = {name: random.normal(size=20_000) + shift * out for name, shift in (("same", 0.0), ("up", 0.5), ("down", -0.5))}
    many = compare(out, numbers, clusters, FEW).differences
    assert many is not None
    assert {name: of.answer for name, of in many.items()} == {"same": "alike", "up": "higher", "down": "lower"}
    few = compare(out[:200], {"same": numbers["same"][:200]}, clusters.take(np.arange(200)), FEW).differences
    assert few is not None
    assert few["same"].answer == "not decided"


def test_too_few_owners_on_one_side_say_nothing() -> None:
    views, owners = np.random.default_rng(2).normal(size=1000), np.arange(1000) // 10
    clusters = Clusters.of(owners)
    assert compare(owners < 19, {"views": views}, clusters, FEW).differences is None
    assert compare(owners >= 19, {"views": views}, clusters, FEW).differences is None
    assert compare(owners < 20, {"views": views}, clusters, FEW).differences is not None
    assert compare(owners < 19, {"views": views}, clusters, FEW).num_owners == 19
    one_giant = np.where(np.arange(1000) < 900, 0, np.arange(1000))
    assert compare(np.arange(1000) < 950, {"views": views}, Clusters.of(one_giant), FEW).differences is None


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_some_are_left_out_and_not_all(share: float) -> None:
    with pytest.raises(PeoriaError, match="of 50 pictures; some, and not all"):
        compare(np.full(50, bool(share)), {"views": np.arange(50)}, Clusters.of(np.arange(50)), FEW)


def test_luck_is_claimed_as_rarely_as_said() -> None:
    """Owners of fame and of habits that have nothing to do with each other: "higher" or "lower" is said by luck in about one study of twenty; by an
    interval over pictures, the control, in many more."""
    studies = 1000 if os.environ.get("PEORIA_TEST_FULL") else 150
    claims = {"owners": 0, "pictures": 0}
    for seed in range(studies):
        random = np.random.default_rng(seed)
        owner = np.repeat(np.arange(80), 10)
        views = random.normal(size=80)[owner] + 0.5 * random.normal(size=800)
        out = random.random(800) < random.beta(0.5, 1.0, 80)[owner]
        for name, clusters in (("owners", Clusters.of(owner)), ("pictures", Clusters.of(np.arange(800)))):
            found = compare(out, {"views": views}, clusters, Resampling(199, seed)).differences
            assert found is not None
            claims[name] += not found["views"].difference.low <= 0 <= found["views"].difference.high
    low, high = (float(beta.ppf(q, claims["owners"] + a, studies - claims["owners"] + 1 - a)) for q, a in ((0.025, 0), (0.975, 1)))
    print(f"\nclaimed by luck: over owners {claims['owners']} of {studies} [{low:.3f}, {high:.3f}], over pictures {claims['pictures']}")
    assert low <= 0.05  # nothing speaks for more than was said
    assert claims["owners"] <= 0.09 * studies
    assert claims["pictures"] > 0.2 * studies


def test_alike_is_not_said_of_a_difference_of_five_places() -> None:
    """A true difference at the limit is called none in at most one study of forty; no difference at all in most."""
    studies = 400 if os.environ.get("PEORIA_TEST_FULL") else 40
    clusters = Clusters.of(np.arange(3000) // 3)
    at_limit = float(norm.ppf(0.5 + ALIKE) * np.sqrt(2))
    said = {0.0: 0, at_limit: 0}
    for seed in range(studies):
        random = np.random.default_rng(seed)
        out, luck = random.random(3000) < 0.3, random.normal(size=3000)
        found = compare(out, {str(shift): luck + shift * out for shift in said}, clusters, Resampling(199, seed)).differences
        assert found is not None
        for shift in said:
            said[shift] += found[str(shift)].answer == "alike"
    print(f"\nalike is said of no difference in {said[0.0]} of {studies}, of {ALIKE} in {said[at_limit]}")
    assert said[0.0] > 0.8 * studies
    assert said[at_limit] <= 4 * studies // 40
