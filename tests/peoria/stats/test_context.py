from collections.abc import Callable

import numpy as np
import pytest
from scipy.interpolate import BSpline
from scipy.stats import rankdata

from peoria.errors import PeoriaError
from peoria.stats import context as module
from peoria.stats.clusters import Clusters
from peoria.stats.columns import Columns
from peoria.stats.context import Context, bootstrap_given_context, correlations, residuals
from peoria.stats.estimates import Estimate
from peoria.stats.metrics import Floats, pearson, spearman
from tests.helpers.in_time import START, Owners

DAY = np.timedelta64(86_400, "s")


def given(score: Floats, views: Floats, context: Context, clusters: Clusters) -> float:
    return bootstrap_given_context({"s": score}, views, context, clusters, 1)["s"][0]


def without_context(values: Floats, context: Context, clusters: Clusters) -> Floats:
    return residuals(np.asarray(values, np.float64)[None], context, clusters)[0]


def of_time(owners: Owners, *parts: str) -> Context:
    """Without these parts of the context."""
    whole = owners.context()
    counts = {"age": 10, "season": 8, "hour": 8, "weekday": 6}
    assert whole.num_smooth == sum(counts.values())
    kept = np.repeat([name not in parts for name in counts], list(counts.values()))
    return Context(
        tuple(name for name in counts if name not in parts),
        Columns(whole.columns.dense[:, : whole.num_smooth][:, kept]),
        int(kept.sum()),
        whole.apart[: whole.num_smooth][kept],
    )


def hour_of_weekday(owners: Owners) -> Floats:
    """An effect of the hour that is another on each day of the week, 0 on average."""
    seconds = owners.uploaded_at.astype(np.int64)
    sign = np.array([1, -1, 1, -1, 0, 1, -1])[(seconds // 86_400) % 7]
    effect: Floats = 1.5 * sign * np.cos(2 * np.pi * owners.days)
    return effect


CAUSES: dict[str, tuple[Callable[[Owners], Floats], tuple[str, ...]]] = {
    "season": (lambda owners: 1.4 * np.sin(2 * np.pi * owners.uploaded_at.astype(np.int64) / (365.2425 * 86_400)), ("season", "age")),
    "hour": (lambda owners: owners.hour(), ("hour",)),
    "hour of weekday": (hour_of_weekday, ("products",)),
    "narrow age": (lambda owners: 4 * np.exp(-(((owners.age - 500) / 60) ** 2)), ("age", "season")),
    "bent age": (lambda owners: 3 * np.sqrt(owners.age / 400), ("age", "season")),
}


@pytest.mark.parametrize("name", CAUSES)
def test_nothing_is_left_of_what_is_known(name: str) -> None:
    cause, parts = CAUSES[name]
    found, without = [], []
    for seed in range(3):
        owners = Owners(np.random.default_rng(seed), num=300)
        score, views = owners.seen(cause(owners))
        found.append(given(score, np.exp(views), owners.context(), owners.clusters))
        without.append(given(score, np.exp(views), of_time(owners, *parts), owners.clusters))
    assert abs(np.mean(found)) < 3 / np.sqrt(3 * 3000)
    assert np.mean(without) > 5 / np.sqrt(3 * 3000)  # control: without that part, or without products, something is left


def test_a_narrow_age_is_taken_out_of_a_thousand_pictures() -> None:
    found, coarse = [], []
    for seed in range(6):
        owners = Owners(np.random.default_rng(seed), num=100)
        score, views = owners.seen(4 * np.exp(-(((owners.age - 500) / 60) ** 2)), noise=0.3)
        found.append(given(score, views, owners.context(), owners.clusters))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "FINE_ROWS", 5000)
            coarse.append(given(score, views, owners.context(), owners.clusters))
    assert abs(np.mean(found)) < 3 / np.sqrt(6000)
    assert np.mean(coarse) > 3 / np.sqrt(6000)  # control: three knots leave some


def test_what_begins_at_an_hour_of_some_days_is_taken_out_of_many_pictures() -> None:
    found, waves = [], []
    for seed in range(2):
        owners = Owners(np.random.default_rng(seed), num=800)
        days = np.asarray(owners.uploaded_at, "datetime64[s]").astype(np.int64) / 86_400
        nights = ((np.floor(days) % 7 < 5) & (days % 1 < 0.3)).astype(np.float64)
        score, views = owners.seen(4 * nights, noise=0.3)
        found.append(given(score, views, owners.context(), owners.clusters))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "SLOTS", ())
            waves.append(given(score, views, owners.context(), owners.clusters))
    assert abs(np.mean(found)) < 0.05
    assert np.mean(waves) > 3 * abs(np.mean(found))  # control: four waves a day leave much of the edges


def test_nothing_is_left_of_two_hundred_tags() -> None:
    rng = np.random.default_rng(0)
    num = 4000
    has = rng.random((num, 200)) < 0.03
    tags = [{f"t{k}" for k in np.flatnonzero(row)} for row in has]
    cause = has @ rng.normal(size=200) * 0.8
    score, views = cause + rng.normal(size=num), cause + rng.normal(size=num)
    clusters = Clusters.of(np.arange(num) // 10)
    context = Context.of(None, None, tags)
    assert context is not None
    assert (context.parts, context.columns.shape) == (("tags",), (num, 201))
    assert abs(given(score, views, context, clusters)) < 3 / np.sqrt(num)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MOST_TAGS", 20)
        few = Context.of(None, None, tags)
    assert few is not None
    assert few.columns.shape == (num, 21)
    assert given(score, views, few, clusters) > 0.4  # control
    assert spearman(score, views) > 0.5


def test_appeal_is_left_beside_all_that_is_known() -> None:
    owners = Owners(np.random.default_rng(0), num=300)
    score, views = owners.seen(owners.hour() + owners.age / 300 + 0.7 * owners.each_picture())
    value, samples = bootstrap_given_context({"s": score}, np.exp(views), owners.context(), owners.clusters, 300)["s"]
    assert value == pytest.approx(0.49 / 1.49, abs=0.05)
    assert Estimate(value, samples, 300).above(0.2)
    nothing = {"constant": np.ones(3000), "nan": np.where(np.arange(3000) == 5, np.nan, score)}
    constant = bootstrap_given_context(nothing, views, owners.context(), owners.clusters, 9)
    assert all(value == 0 and not samples.any() for value, samples in constant.values())
    assert given(score, np.ones(3000), owners.context(), owners.clusters) == 0


def test_intervals_hold_where_only_age_and_hour_are_shared() -> None:
    covers = 0
    for seed in range(60):
        owners = Owners(np.random.default_rng(seed), num=60)
        score, views = owners.seen(owners.age / 200 + owners.hour())
        value, samples = bootstrap_given_context({"s": score}, views, owners.context(), owners.clusters, 200, seed)["s"]
        found = Estimate(value, samples, 60).interval()
        covers += found.low <= 0 <= found.high
    assert covers >= 52


def test_a_score_that_is_age_leaves_nothing() -> None:
    owners = Owners(np.random.default_rng(0), num=300)
    views = np.exp(owners.age / 300 + 0.3 * owners.each_picture())
    for score in (owners.age, -np.exp(owners.age / 900)):
        assert abs(given(score, views, owners.context(), owners.clusters)) < 3 / np.sqrt(3000)
        assert abs(spearman(score, views)) > 0.9  # control


def test_residuals_are_by_regressions_on_other_owners() -> None:
    """They are those of plain least squares, fold by fold; an owner's own values do not move what is expected of him."""
    owners = Owners(np.random.default_rng(0), num=60)
    score, _ = owners.seen(owners.hour() + owners.age / 300)
    context, clusters = owners.context(), owners.clusters
    fold = np.random.default_rng(0).permutation(60)[clusters.units] % 5
    y = module.normal_scores(score, score)
    x = np.column_stack([np.ones(600), context.columns.dense[:, : context.num_smooth]])
    assert context.columns.shape[1] == context.num_smooth  # 600 pictures do not bear products
    expected = np.empty(600)
    for k in range(5):
        other, own = fold != k, fold == k
        root = np.sqrt(other.sum() * np.array([0.0, *[1e-3] * context.num_smooth]))  # the penalty as further rows
        slopes = np.linalg.lstsq(np.vstack([x[other], np.diag(root)]), np.append(y[other], np.zeros(len(root))), rcond=None)[0]
        expected[own] = y[own] - x[own] @ slopes
    np.testing.assert_allclose(without_context(score, context, clusters), expected - expected.mean(), atol=1e-9)
    mine = clusters.units == 0
    turned = score.copy()
    turned[mine] = np.roll(score[mine], 1)  # the values of one owner in another order: no other rank is touched
    expected_of = [module.normal_scores(values, values) - without_context(values, context, clusters) for values in (score, turned)]
    change, same_fold = expected_of[1] - expected_of[0], fold == fold[mine][0]
    assert np.ptp(change[same_fold]) < 1e-9  # one number for all, that of the mean that is taken off
    assert np.ptp(change[~same_fold]) > 1e-3  # control: in the other folds he is one of those that are fitted to


def test_one_owner_leaves_the_values_as_they_are() -> None:
    owners = Owners(np.random.default_rng(0), num=30)
    left = without_context(owners.age, owners.context(), Clusters.of(["a"] * 300))
    assert spearman(left, owners.age) == pytest.approx(1)


@pytest.mark.parametrize(("num", "further"), [(1_190, 0), (1_200, 48), (1_730, 48), (1_740, 84)])
def test_products_need_many_pictures(num: int, further: int) -> None:
    context = Owners(np.random.default_rng(0), num=num // 10).context()
    assert context.columns.shape[1] - context.num_smooth == further


def test_the_penalty_of_products_is_the_one_that_fits_other_owners(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = Owners(np.random.default_rng(0), num=300)
    context, clusters = owners.context(), owners.clusters
    plain, crossed = owners.each_picture(), hour_of_weekday(owners) + owners.each_picture()

    def squares(values: Floats) -> float:
        return float((without_context(values, context, clusters) ** 2).sum())

    chosen = [squares(values) for values in (plain, crossed)]
    single = []
    for penalty in module.PENALTIES:
        monkeypatch.setattr(module, "PENALTIES", (penalty,))
        single.append([squares(values) for values in (plain, crossed)])
    assert chosen == pytest.approx(np.min(single, axis=0))
    of_noise, of_products = np.argmin(single, axis=0)
    assert of_noise > of_products  # noise is shrunk, what is there is not


def test_columns_of_one_value_are_dropped() -> None:
    at_noon = START + np.arange(200) * DAY + np.timedelta64(12 * 3600, "s")
    found = Context.of(300 - np.arange(200.0), at_noon, None)
    assert found is not None
    assert found.parts == ("age", "season", "weekday")
    assert np.allclose(found.columns.dense.mean(axis=0), 0)
    assert np.allclose(found.columns.dense.std(axis=0), 1)
    assert not found.apart[: 6 + 8].any()
    assert found.apart[6 + 8 : found.num_smooth].all()
    assert Context.of(np.ones(200), np.full(200, START), None) is None  # all at one moment
    assert Context.of(np.ones(200), np.full(200, START), [set()] * 200) is None
    assert Context.of(None, None, [{"same"}] * 200) is None
    tagged = Context.of(np.ones(200), np.full(200, START), [{"x"} if k % 2 else set() for k in range(200)])
    assert tagged is not None
    assert tagged.parts == ("tags",)
    assert tagged.apart.all()


def test_without_enough_pictures_there_is_no_context() -> None:
    for num, known in ((0, False), (99, False), (100, True)):
        tags = [{"x"} if k % 2 else {"y", "z"} for k in range(num)]
        dates = START + np.arange(num) * DAY
        assert (Context.of(np.arange(float(num)), dates, tags) is not None) == known
        assert (Context.of(np.arange(float(num)), dates, None) is not None) == known
        assert (Context.of(None, None, tags) is not None) == known
        assert Context.of(None, None, None) is None


def test_a_tag_needs_five_pictures_and_a_column_six() -> None:
    tags = [{f"rare{k}"} | ({"five"} if k < 5 else set()) | ({"four"} if k < 4 else set()) | {f"often{k % 30}"} for k in range(150)]
    found = Context.of(None, None, tags)
    assert found is not None
    assert found.columns.shape == (150, 1 + 150 // 6)
    more = Context.of(None, None, tags * 2)
    assert more is not None
    assert more.columns.shape == (300, 1 + 32)  # often, five, four; of rare ones each has two


def test_dates_and_ages_are_two_things_where_counts_were_read_at_different_times() -> None:
    rng = np.random.default_rng(0)
    days = rng.uniform(0, 900, 600)
    dates = START + (days * 86_400).astype("timedelta64[s]")
    one, two = Context.of(1000 - days, dates, None), Context.of(rng.uniform(0, 900, 600), dates, None)
    assert one is not None
    assert two is not None
    assert two.num_smooth - one.num_smooth == 10


def test_ages_must_be_known() -> None:
    with pytest.raises(PeoriaError, match=r"age_days: a finite age for each of the 200 pictures"):
        Context.of(np.where(np.arange(200) == 3, np.nan, 1.0), np.full(200, START), None)


def test_placed_among_other_pictures() -> None:
    owners = Owners(np.random.default_rng(0), num=20)
    context = owners.context()
    rows = np.arange(0, 400, 2)
    placed = context.placed(rows, 400)
    assert (placed.columns[rows] == context.columns[slice(None)]).all()
    assert not placed.columns[1::2].any()
    assert (placed.columns.shape[1], placed.num_smooth, placed.parts) == (context.columns.shape[1], context.num_smooth, context.parts)
    assert context.placed(np.arange(200), 200) is context


def test_age_is_a_cubic_spline_of_its_rank() -> None:
    owners = Owners(np.random.default_rng(0), num=30)
    basis = BSpline.design_matrix((rankdata(owners.age) - 0.5) / 300, [0, 0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1], 3).toarray()
    age = np.column_stack([np.ones(300), owners.context().columns.dense[:, :6]])
    left = basis - age @ np.linalg.lstsq(age, basis, rcond=None)[0]
    assert np.abs(left).max() < 1e-9


def test_correlations_are_those_of_the_whole_and_of_the_written_out_resample() -> None:
    rng = np.random.default_rng(0)
    y, x = rng.normal(size=(2, 300))
    x += 0.5 * y
    y, x = y - y.mean(), x - x.mean()
    clusters = Clusters.of(rng.integers(0, 40, 300))
    found = correlations(y, {"x": x, "zero": np.zeros(300)}, clusters, 200, 0)
    assert found["x"][0] == pytest.approx(pearson(x, y))
    assert np.std(found["x"][1]) == pytest.approx((1 - 0.45**2) / np.sqrt(300), rel=0.3)
    assert found["zero"][0] == 0
    assert not found["zero"][1].any()
