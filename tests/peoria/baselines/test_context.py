from dataclasses import replace

import numpy as np
import pytest

from peoria.baselines.context import _parts, context_baseline, time_of_upload
from peoria.data.dataset import Dataset, SplitData
from peoria.data.images import ArrayPictures
from shards.labels import Labels

READ = np.datetime64("2016-01-01T00:00:00", "s")
TASKS = ("regression", "classification", "hybrid")


def split(
    seed: int,
    n: int = 600,
    *,
    age: float = 0.0,
    hour: float = 0.0,
    weekend: float = 0.0,
    tag: float = 0.0,
    num_tags: float = 0.0,
    fame: float = 0.0,
    names: str = "",
) -> SplitData:
    """A split without a pixel whose views are made of what is known; owners named alike are alike in fame, whatever the seed."""
    rng = np.random.default_rng(seed)
    owner = rng.integers(0, 150, n)
    hours = rng.integers(0, 700 * 24, n)
    tagged = rng.integers(0, 5, n)
    beach = rng.random(n) < 0.3
    tags = np.array([",".join(["beach"] * bool(b) + [f"rare+{rng.integers(0, 9999)}" for _ in range(k)]) for b, k in zip(beach, tagged, strict=True)])
    uploaded = READ - hours * np.timedelta64(3600, "s")
    of_day = (uploaded - uploaded.astype("datetime64[D]")) / np.timedelta64(1, "h")
    is_weekend = np.isin((uploaded.astype("datetime64[D]").astype(int) + 3) % 7, (5, 6))
    owners = np.random.default_rng(7).normal(size=150)[owner]
    logs = 4 + age * hours / 5000 + hour * np.cos((of_day - 20) / 24 * 2 * np.pi) + weekend * is_weekend + tag * beach + num_tags * tagged
    logs = logs + fame * owners + 0.5 * rng.normal(size=n)
    labels = Labels(
        keys=np.arange(n).astype(str),
        ids=np.arange(n).astype(str),
        owners=np.array([f"{names or seed}-{k}" for k in owner]),
        views=np.floor(np.exp(logs)).astype(np.int64),
        favorites=(logs + rng.normal(size=n) > 5).astype(np.int64),
        uploaded_at=uploaded,
        observed_at=np.full(n, READ),
        tags=tags,
    )
    return SplitData(ArrayPictures(np.zeros((n, 0, 0, 3), np.uint8)), labels)


def dataset(**world: object) -> Dataset:
    return Dataset(split(0, **world), split(1, **world), "made here")  # type: ignore[arg-type]


def without(data: Dataset, **columns: object) -> Dataset:
    parts = [SplitData(part.pixels, replace(part.labels, **columns)) for part in (data.train, data.val)]  # type: ignore[arg-type]
    return replace(data, train=parts[0], val=parts[1])


def rho(data: Dataset) -> float:
    found = context_baseline(data, TASKS)
    assert found is not None
    return found.predict(data.val).metrics(data.val.labels)["rho_views"]


@pytest.mark.parametrize("what", [{"age": 1.0}, {"hour": 0.7}, {"weekend": 1.0}, {"tag": 1.5}, {"num_tags": 0.5}])
def test_each_part_is_seen(what: dict[str, float]) -> None:
    assert rho(dataset(**what)) > 0.35


def test_where_nothing_of_it_matters_nothing_is_ranked() -> None:
    assert abs(rho(dataset())) < 0.12  # 3 standard errors


def test_it_is_a_baseline_of_its_own_kind_with_the_losses_of_the_tasks() -> None:
    data = dataset(age=1.0, tag=1.0)
    found = context_baseline(data, TASKS)
    assert found is not None
    assert (found.name, found.kind, found.label) == ("context", "context", "context (age, time of upload, tags)")
    assert {"half_mse_views", "half_mse_bin", "log_loss_fav", "gini_fav"} <= found.predict(data.val).metrics(data.val.labels).keys()


def test_parts_that_are_not_known_are_left_out() -> None:
    data = dataset(age=1.0, tag=1.0)
    assert list(_parts(data)) == ["age", "time of upload", "tags"]
    assert list(_parts(without(data, uploaded_at=None, observed_at=None))) == ["tags"]
    undated = np.full(600, np.datetime64("NaT"), "datetime64[s]")
    assert list(_parts(without(data, uploaded_at=undated))) == ["tags"]
    assert list(_parts(without(data, tags=None))) == ["age", "time of upload"]
    assert context_baseline(without(data, tags=np.full(600, "  "), uploaded_at=None, observed_at=None), TASKS) is None


def test_a_picture_without_date_or_tags_has_a_score() -> None:
    data = dataset(age=1.0, tag=1.0)
    bare = SplitData(
        data.val.pixels, replace(data.val.labels, tags=np.full(600, ""), uploaded_at=np.full(600, np.datetime64("NaT"), "datetime64[s]"))
    )
    found = context_baseline(data, ("regression",))
    assert found is not None
    scores = found.predict(bare).views
    assert scores is not None
    assert np.isfinite(scores).all()
    assert (time_of_upload(bare) == 0).all()


def test_hour_and_weekday_lie_on_a_circle() -> None:
    """A minute before midnight on Sunday is next to a minute after it, and noon is opposite."""
    times = np.array(["2014-03-02T23:59:00", "2014-03-03T00:01:00", "2014-03-03T12:00:00"], "datetime64[s]")
    labels = split(0, 3).labels
    found = time_of_upload(SplitData(ArrayPictures(np.zeros((3, 0, 0, 3), np.uint8)), replace(labels, uploaded_at=times)))
    assert np.linalg.norm(found[0] - found[1]) < 0.02
    assert np.linalg.norm(found[1, :2] - found[2, :2]) > 1.99


def test_owner_history_only_where_owners_come_back() -> None:
    apart, shared = dataset(fame=1.5), dataset(fame=1.5, names="same")
    assert list(_parts(apart)) == ["age", "time of upload", "tags"]
    assert "owner history" in _parts(shared)
    assert rho(shared) > 0.6
    assert abs(rho(apart)) < 0.2  # control: fame is all there is, and is not seen
    unknown = without(shared, owners=np.full(600, ""))
    assert "owner history" not in _parts(unknown)


def test_owner_history_leaves_the_picture_itself_out() -> None:
    """With one picture an owner, a mean that held the picture's own views would be its views: a perfect fit to train and no skill at all."""
    from peoria.baselines.context import _owner_history

    data = dataset(names="same")
    data = without(data, owners=np.arange(600).astype(str))
    features = _owner_history(data)
    assert np.ptp(features(data.train)[:, 0]) == 0
    np.testing.assert_allclose(features(data.val)[:, 0], np.log1p(data.train.labels.views))
    pair = without(data, owners=np.arange(600).astype(str).repeat(2)[:600])
    np.testing.assert_allclose(_owner_history(pair)(pair.train)[[0, 1], 0], np.log1p(pair.train.labels.views[[1, 0]]))
