import numpy as np
import pytest

from peoria.stats.bootstrap import bootstrap_sums
from peoria.stats.clusters import Clusters
from peoria.stats.context import Context
from peoria.stats.estimates import Estimate
from peoria.stats.metrics import Floats, pearson
from peoria.stats.neighbours import (
    Series,
    bootstrap_control,
    bootstrap_neighbours,
    contributions,
    explained_by_context,
    series,
    two_way,
    without_differences,
)
from tests.helpers.in_time import START, Owners

DAY = np.timedelta64(86_400, "s")
SEEDS = range(20)


def in_time(owners: Owners) -> Series:
    return series(owners.clusters, owners.uploaded_at, 30)


def within_owner(owners: Owners, score: Floats, y: Floats) -> float:
    """What is told of pictures of one owner without regard to time."""
    score, y = (column - (np.bincount(owners.owner, column) / owners.each)[owners.owner] for column in (score, y))
    return pearson(score, y)


def over_worlds(cause: str, seeds: range = SEEDS) -> tuple[np.ndarray, np.ndarray]:
    """Means and their standard errors of (within owner, neighbours by rank, by value, negative control) of worlds of this cause."""
    found = []
    for seed in seeds:
        owners = Owners(np.random.default_rng(seed))
        score, y = owners.seen(getattr(owners, cause)())
        of = in_time(owners)
        both = bootstrap_neighbours({"s": score}, y, of, None, 1)["s"]
        found.append((within_owner(owners, score, y), both.ranks[0], both.values[0], bootstrap_control({"s": score}, y, of, None, 1)["s"][0]))
    rows = np.array(found)
    return rows.mean(axis=0), rows.std(axis=0, ddof=1) / np.sqrt(len(rows))


@pytest.mark.parametrize("cause", ["step", "walk"])
def test_what_changes_and_stays_is_nothing_to_neighbours_and_the_control_sees_it(cause: str) -> None:
    (within, ranks, values, control), errors = over_worlds(cause)
    assert abs(ranks) < 3 * errors[1]
    assert abs(values) < 3 * errors[2]
    assert errors[1:3].max() < 0.006  # control: they could have seen it
    assert within > 0.4  # control: without regard to time it is far above 0
    assert control > 0.2


def test_a_drift_is_never_above_0_to_neighbours() -> None:
    (within, ranks, values, control), errors = over_worlds("drift")
    assert ranks < -3 * errors[1]  # strong as it is here: it moves the two differences apart
    assert values < -3 * errors[2]
    assert min(within, control) > 0.4


def test_fame_is_nothing_to_neighbours_nor_to_the_control() -> None:
    means, errors = over_worlds("fame")
    assert (np.abs(means) < 3.5 * errors).all()
    owners = Owners(np.random.default_rng(0))
    assert pearson(*owners.seen(owners.fame())) > 0.4  # control: pooled


def test_a_picture_is_found_as_it_is_and_the_control_does_not_see_it() -> None:
    (within, ranks, values, control), errors = over_worlds("each_picture")
    assert (ranks, values) == pytest.approx((0.5, 0.5), abs=0.02)  # half of the variance of each
    assert abs(control) < 3 * errors[3]
    assert within == pytest.approx(0.5, abs=0.01)


def test_an_hour_is_nothing_once_it_is_taken_out_and_much_before() -> None:
    found, before = [], []
    for seed in range(8):
        owners = Owners(np.random.default_rng(seed))
        score, y = owners.seen(owners.hour() + owners.fame())
        of = in_time(owners)
        both = bootstrap_neighbours({"s": score}, y, of, owners.context(of.rows), 1)["s"]
        found.append((both.ranks[0], both.values[0]))
        before.append(bootstrap_neighbours({"s": score}, y, of, None, 1)["s"].values[0])
    errors = np.std(found, axis=0, ddof=1) / np.sqrt(8)
    assert (np.abs(np.mean(found, axis=0)) < 3 * errors + 0.002).all()  # on ranks an hour beside fame is no sum
    assert np.mean(before) > 0.3  # control


def test_a_picture_is_found_beside_hour_step_and_fame() -> None:
    owners = Owners(np.random.default_rng(0))
    score, y = owners.seen(owners.hour() + owners.step() + owners.fame() + 0.5 * owners.each_picture())
    of = in_time(owners)
    ranks, values = bootstrap_neighbours({"s": score}, y, of, owners.context(of.rows), 200)["s"]
    for value, samples in (ranks, values):
        assert Estimate(value, samples, of.owners.effective).above(0.05)


def test_intervals_hold_in_worlds_of_a_step() -> None:
    covered, above = 0, 0
    for seed in range(100):
        owners = Owners(np.random.default_rng(seed), num=60)
        score, y = owners.seen(owners.step())
        of = in_time(owners)
        value, samples = bootstrap_neighbours({"s": score}, y, of, None, 200, seed)["s"].values
        found = Estimate(value, samples, of.owners.effective)
        covered += found.interval().low <= 0 <= found.interval().high
        above += found.above(0.0)
    assert covered >= 88
    assert above <= 7


def test_the_number_is_that_of_a_plain_loop_and_of_the_written_out_resample() -> None:
    rng = np.random.default_rng(0)
    owner, days = rng.integers(0, 12, 150), rng.uniform(0, 150, 150)
    s, y = rng.normal(size=150), rng.normal(size=150)
    of = series(Clusters.of(owner), START + (days * 86_400).astype("timedelta64[s]"), 30)
    s, y = ((column - column.mean()) / column.std() for column in (s, y))
    product = square_s = square_y = 0.0
    for one in range(12):
        rows = np.flatnonzero(owner == one)[np.argsort(days[owner == one])]
        for a, t, b in zip(rows, rows[1:], rows[2:], strict=False):
            if days[t] - days[a] <= 30 and days[b] - days[t] <= 30:
                product += ((s[t] - s[a]) * (y[t] - y[b]) + (s[t] - s[b]) * (y[t] - y[a])) / 2
                square_s += ((s[t] - s[a]) ** 2 + (s[t] - s[b]) ** 2) / 4
                square_y += ((y[t] - y[a]) ** 2 + (y[t] - y[b]) ** 2) / 4
    value, samples = bootstrap_neighbours({"s": s}, y, of, None, 50)["s"].values
    assert value == pytest.approx(product / np.sqrt(square_s * square_y), abs=1e-9)
    assert 0.5 * value < np.mean(samples) < 2 * value or abs(np.mean(samples) - value) < 2 * np.std(samples)
    assert len(np.unique(samples)) == 50


def test_neighbours_are_of_one_known_owner_near_in_time_in_its_order() -> None:
    owners = ["b", "a", "a", "", "a", "b", "a", "a", "b"]
    days = [0, 3, 1, 2, 2, 40, 50, np.nan, 1]
    dates = np.array([np.datetime64("NaT", "s") if np.isnan(day) else START + int(day) * DAY for day in days])
    of = series(Clusters.of(owners), dates, 30)
    assert of.rows.tolist() == [2, 4, 1, 6, 0, 8, 5]
    assert of.rows[of.middle].tolist() == [4]  # 1 and 8 have a neighbour that is too far away
    assert series(Clusters.of(owners), dates, 60).middle.tolist() == [1, 2, 5]
    assert of.lagged(1).tolist() == [0, 1, 4]
    assert of.lagged(2).tolist() == [0]
    assert of.lagged(99).size == 0


@pytest.mark.parametrize("num", [0, 1, 2])
def test_too_few_pictures_give_nothing(num: int) -> None:
    of = series(Clusters.of(["a"] * num), START + np.arange(num) * DAY, 30)
    assert of.owners.num == 0
    assert of.owners.effective == 0.0
    assert bootstrap_neighbours({"s": np.arange(num)}, np.arange(num), of, None, 9) == {}
    assert bootstrap_control({"s": np.arange(num)}, np.arange(num), of, None, 9) == {}


def test_four_pictures_in_a_row_are_enough_for_the_control() -> None:
    for num, pairs in ((3, 0), (4, 1), (9, 6 + 5 + 4 + 3 + 2 + 1)):
        found = bootstrap_control({"s": np.arange(num)}, np.arange(num), series(Clusters.of(["a"] * num), START + np.arange(num) * DAY, 30), None, 9)
        assert sum(len(owners.units) for _, _, owners in found.values()) == pairs
        assert all(value == pytest.approx(1, abs=0.1) for value, _, _ in found.values())


@pytest.mark.parametrize("score", [np.ones(40), np.where(np.arange(40) == 3, np.nan, np.arange(40))])
def test_a_score_that_ranks_nothing_is_zero(score: np.ndarray) -> None:
    y = np.random.default_rng(0).normal(size=40)
    of = series(Clusters.of(np.repeat(["a", "b"], 20)), START + np.arange(40) * DAY, 30)
    both = bootstrap_neighbours({"s": score, "y": y}, y, of, None, 50)
    assert both["s"].ranks[0] == both["s"].values[0] == 0
    assert not both["s"].ranks[1].any()
    assert not both["s"].values[1].any()
    assert bootstrap_control({"s": score}, y, of, None, 50)["s"][0] == 0
    assert both["y"].values[0] == pytest.approx(bootstrap_neighbours({"s": y}, y, of, None, 50)["s"].values[0])
    constant = bootstrap_neighbours({"s": y}, np.zeros(40), of, None, 50)["s"]
    assert constant.ranks[0] == constant.values[0] == 0


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_the_scale_of_a_score_does_not_matter_nor_does_one_wild_value(scale: float) -> None:
    owners = Owners(np.random.default_rng(0), num=100)
    score, y = owners.seen(owners.each_picture())
    of = in_time(owners)
    plain = bootstrap_neighbours({"s": score}, y, of, None, 9)["s"]
    scaled = bootstrap_neighbours({"s": score * scale}, y, of, None, 9)["s"]
    assert scaled.values[0] == pytest.approx(plain.values[0])
    assert scaled.ranks[0] == pytest.approx(plain.ranks[0])
    wild = np.where(np.arange(1000) == 500, 1e6 * scale, score * scale)
    assert bootstrap_neighbours({"s": wild}, y, of, None, 9)["s"].values[0] == pytest.approx(plain.values[0], abs=0.02)
    clipped = np.where(np.arange(1000) == 500, 1e6, score)
    assert abs(pearson(clipped, y)) < 0.1  # control: one picture undoes a plain correlation


def test_of_the_context_only_what_sets_neighbours_apart_is_taken_out() -> None:
    owners = Owners(np.random.default_rng(0), num=200)
    of = in_time(owners)
    context = owners.context(of.rows)
    hour, trend = owners.hour()[of.rows], owners.age[of.rows] / 300
    left = without_differences(np.stack([hour, trend]), of, context)
    assert np.std(left[0]) < 0.01 * np.std(hour)
    assert np.std(left[1]) > 0.9 * np.std(trend)
    assert np.std(without_differences(trend[None], of, context, lasting=True)) < 0.2 * np.std(trend)
    alone = Context.of(None, None, [{"x"} if k % 2 else {"y"} for k in range(len(of.rows))])
    assert alone is not None
    few = series(Clusters.of(np.arange(len(owners.owner))), owners.uploaded_at, 30)  # nobody has two
    assert (without_differences(hour[None], few, alone) == hour).all()


def test_the_strength_of_what_is_known_is_that_of_the_hour() -> None:
    owners = Owners(np.random.default_rng(0))
    of = in_time(owners)
    context = owners.context(of.rows)
    hour = owners.hour() / owners.hour().std()
    scores = {"half": hour + owners.each_picture() + owners.fame(), "none": owners.each_picture(), "constant": np.ones(10_000)}
    found = explained_by_context(scores, hour + owners.each_picture(), of, context)
    assert found["half"] == pytest.approx(0.5, abs=0.06)
    assert found["none"] < 0.1  # control: an R² under 0.02
    assert found["constant"] == 0
    small = Owners(np.random.default_rng(1), num=20)
    few = series(small.clusters, small.uploaded_at, 0.001)
    assert explained_by_context({"s": small.hour()}, small.hour(), few, small.context(few.rows)) == {"s": 0.0}


def test_two_way_is_a_sum_over_pairs_that_share_an_owner_or_a_group() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        owner, group = rng.integers(0, 30, 200), rng.integers(0, 6, 200)
        terms = rng.normal(size=6)[group] + rng.normal(size=200)
        left = terms - terms.mean()
        alike = (owner[:, None] == owner) | (group[:, None] == group)
        expected = (left[:, None] * left * alike).sum() / (left[:, None] * left * (owner[:, None] == owner)).sum()
        assert two_way(terms, Clusters.of(owner), Clusters.of(group)) == pytest.approx(max(1.0, expected), rel=1e-9)
    assert two_way(terms, Clusters.of(owner), Clusters.of(owner)) == pytest.approx(1)
    assert two_way(terms, Clusters.of(owner), Clusters.of([""] * 200)) == pytest.approx(1)  # control: groups of one picture
    assert two_way(np.ones(200), Clusters.of(owner), Clusters.of(group)) == 1
    assert two_way(terms, Clusters.of(owner), Clusters.of(["x"] * 200)) == 1.0  # one group says nothing of its spread: never less than owners'


def test_two_way_widens_to_what_worlds_show() -> None:
    """Views alike on a day across owners, and scores alike on it by another draw: owners alone are too sure, owners and days are not."""
    found, owners_say, both_say = [], [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        owner, day = np.repeat(np.arange(100), 5), rng.integers(0, 20, 500)
        terms = rng.normal(size=20)[day] * rng.normal(size=20)[day] + 0.3 * rng.normal(size=500)
        found.append(terms.mean())
        by_owner = np.std(bootstrap_sums(terms[None], Clusters.of(owner), 100, seed)) / 500
        owners_say.append(by_owner)
        both_say.append(by_owner * np.sqrt(two_way(terms, Clusters.of(owner), Clusters.of(day))))
    assert np.mean(both_say) == pytest.approx(np.std(found), rel=0.25)
    assert np.mean(owners_say) < 0.4 * np.std(found)  # control


def test_contributions_add_up_to_the_number() -> None:
    owners = Owners(np.random.default_rng(0), num=100)
    score, y = owners.seen(owners.each_picture())
    of = in_time(owners)
    value = bootstrap_neighbours({"s": score}, y, of, owners.context(of.rows), 1)["s"].ranks[0]
    terms = contributions(score, y, of, owners.context(of.rows))
    assert terms.shape == of.middle.shape
    assert np.mean(terms) == pytest.approx(value, rel=0.35)  # normal scores: squares near 1
    assert np.sign(terms.sum()) == np.sign(value)
    assert not contributions(np.ones(1000), y, of, None).any()
