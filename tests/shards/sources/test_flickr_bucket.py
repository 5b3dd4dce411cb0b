"""Never more than the limit in any hour, however often a process is killed and started again, and whatever the clock does."""

from pathlib import Path

import numpy as np
import pytest

from shards.errors import FileError
from shards.sources.flickr_bucket import Bucket
from tests.helpers.manual_clock import ManualClock

TORN = (b"", b'{"tokens": 9.', b"[]", b'{"tokens": 1e9, "at": 0}', b'{"tokens": null, "at": 1}')


def most_in_an_hour(at: list[float]) -> int:
    times = np.array(at)
    return int((np.searchsorted(times, times + 3600) - np.arange(len(times))).max())


@pytest.mark.parametrize(("per_hour", "num"), [(3600, 12_000), (600, 2500), (60, 250)])
def test_no_hour_has_more_than_the_limit_across_kills(tmp_path: Path, per_hour: int, num: int) -> None:
    rng, clock, at = np.random.default_rng(per_hour), ManualClock(), list[float]()
    while len(at) < num:
        with Bucket(tmp_path / "queries.json", per_hour, clock, clock.sleep) as bucket:  # nothing is written at its end: as after a kill
            for _ in range(rng.integers(1, 300)):
                bucket.take()
                at.append(clock.now)
                clock.now += rng.exponential(0.2)
        clock.now += rng.choice([0.0, 1.0, 30.0, 4000.0], p=[0.5, 0.3, 0.15, 0.05])
        if rng.random() < 0.2:
            (tmp_path / "queries.json").write_bytes(TORN[rng.integers(len(TORN))])
    assert per_hour * 0.8 < most_in_an_hour(at) <= per_hour
    busy = at[-1] - at[0] - sum(np.diff(at)[np.diff(at) > 3000])
    assert len(at) / busy > 0.9 * per_hour / 3600  # and it is not slower than it has to be


def test_a_clock_that_goes_back_gives_nothing_and_one_that_leaps_gives_a_burst(tmp_path: Path) -> None:
    clock, path = ManualClock(), tmp_path / "queries.json"
    with Bucket(path, 3600, clock, clock.sleep) as bucket:
        clock.now += 100_000
        for _ in range(bucket.burst):
            bucket.take()
        assert clock.slept == []
        clock.now -= 50_000
        bucket.take()
        assert len(clock.slept) == 1
    clock.now -= 50_000
    clock.slept.clear()
    with Bucket(path, 3600, clock, clock.sleep) as bucket:
        bucket.take()
    assert len(clock.slept) == 1


def test_control_a_bucket_that_forgets_would_not_hold(tmp_path: Path) -> None:
    """As if each start began with a full bucket."""
    clock, at = ManualClock(), list[float]()
    for _ in range(500):
        with Bucket(tmp_path / "queries.json", 3600, clock, clock.sleep) as bucket:
            bucket._tokens = bucket.burst
            for _ in range(bucket.burst):
                bucket.take()
                at.append(clock.now)
                clock.now += 0.1
    assert most_in_an_hour(at) > 3600


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "queries.json").mkdir()
    with pytest.raises(FileError, match=r"queries\.json"):
        Bucket(tmp_path / "queries.json")
