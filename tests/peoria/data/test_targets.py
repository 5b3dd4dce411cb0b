"""The outlier filter touches train alone and in the paper's way; scales come back to where they started."""

from collections.abc import Callable

import numpy as np
import pytest

from peoria.data.targets import Scale, counts, is_known, kept_by_outlier_filter, known_counts
from peoria.errors import ConfigError
from shards.labels import Labels

MakeLabels = Callable[..., Labels]


def test_the_cut_is_one_sided_and_by_any_count(make_labels: MakeLabels) -> None:
    views = np.zeros(1000, dtype=np.int64)
    views[0], favorites = 10_000, np.zeros(1000, dtype=np.int64)
    favorites[1] = 50
    labels = make_labels(views, favorites)
    assert np.flatnonzero(~kept_by_outlier_filter(labels, 6.0)).tolist() == [0, 1]
    assert kept_by_outlier_filter(labels, None).all()
    low = make_labels(np.where(views > 0, 0, 10_000))
    assert kept_by_outlier_filter(low, 1.0).all()  # far below the mean stays


def test_the_cut_is_made_once(make_labels: MakeLabels) -> None:
    """Cut again with the statistics of what was kept, and more would go: the paper removed once."""
    views = np.random.default_rng(0).lognormal(3, 1.5, 5000).astype(np.int64)
    keep = kept_by_outlier_filter(make_labels(views), 3.0)
    assert (views[keep] > views[keep].mean() + 3 * views[keep].std()).any()


@pytest.mark.parametrize("kind", ["raw", "standard", "log1p"])
def test_scales_come_back(kind: str) -> None:
    y = np.array([0.0, 1.0, 20.0, 321_528.0])
    scale = Scale.fit(kind, y)  # type: ignore[arg-type]
    np.testing.assert_allclose(scale.inverse(scale.forward(y)), y, rtol=1e-9, atol=1e-9)
    if kind != "raw":
        assert abs(scale.forward(y).mean()) < 1e-12
        assert scale.forward(y).std() == pytest.approx(1)


def test_a_wild_output_stays_finite() -> None:
    assert np.isfinite(Scale("log1p", 5.0, 2.0).inverse(np.array([1e9, -1e9]))).all()


def test_views_per_day(make_labels: MakeLabels) -> None:
    day = np.datetime64("2014-01-01", "s")
    labels = make_labels(np.array([100, 100]), uploaded_at=np.array([day, day]), observed_at=day + np.array([10, 0]) * np.timedelta64(86_400, "s"))
    assert counts(labels, "views_per_day").tolist() == [10.0, 100.0]  # never less than a day
    undated = make_labels(labels.views, uploaded_at=np.array([day, np.datetime64("NaT")]), observed_at=labels.observed_at)
    rows, y = known_counts(undated, "views_per_day")
    assert (rows.tolist(), y.tolist()) == ([0], [10.0])
    assert is_known(undated, "views_per_day")
    unread = make_labels(labels.views, uploaded_at=undated.uploaded_at, observed_at=undated.uploaded_at[::-1].copy())
    assert not is_known(unread, "views_per_day")
    with pytest.raises(ConfigError, match="target: views_per_day; no picture has both uploaded_at and observed_at"):
        known_counts(unread, "views_per_day")


def test_columns_that_are_not_there(make_labels: MakeLabels) -> None:
    labels = make_labels(np.array([1, 2]))
    with pytest.raises(ConfigError, match="target: favorites; the packed set has no such column"):
        counts(labels, "favorites")
    with pytest.raises(ConfigError, match="target: views_per_day; it needs the columns uploaded_at and observed_at"):
        counts(labels, "views_per_day")
