"""Being ahead changes no bit: buffers are refilled and overwritten only when nobody reads them any more."""

import functools
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from peoria.data.dataset import Dataset
from peoria.data.prefetch import SLOTS, Prefetcher
from peoria.records.folder import TrialFolder
from peoria.training.loop import train
from tests.helpers.frozen import frozen_config
from tests.helpers.slow_device import SlowDevice
from tests.helpers.small import trial_config

CPU = torch.device("cpu")


def fill(position: int, numbers: np.ndarray, twice: np.ndarray) -> int:
    num_rows = min(4, 78 - position)
    numbers[:num_rows] = np.arange(position, position + num_rows)
    twice[:num_rows, 0] = 2 * numbers[:num_rows]
    return num_rows


def feeder(lane: SlowDevice | None, **changes: object) -> Prefetcher:
    return Prefetcher(fill, [((4,), np.float32), ((4, 1), np.int64)], CPU, **{"step": 4, "stop": 78, "lane": lane, **changes})  # type: ignore[arg-type]


def read_by(device: SlowDevice, positions: list[int]) -> list[int]:
    """What a device that computes late sees of the batches."""
    seen: list[int] = []
    of = feeder(device)
    for position in positions:
        numbers, twice = of.batch(position)
        device.put("compute", lambda numbers=numbers, twice=twice: seen.extend(numbers.int().tolist() + twice[:, 0].tolist()))
    device.run(device.mark())
    return seen


def expected(positions: list[int]) -> list[int]:
    rows = [list(range(position, min(position + 4, 78))) for position in positions]
    return [number for row in rows for number in row + [2 * n for n in row]]


STREAM = list(range(0, 78, 4))


def test_a_device_that_lags_sees_every_batch() -> None:
    assert read_by(SlowDevice(), STREAM) == expected(STREAM)


@pytest.mark.parametrize("forgotten", ["synchronize", "used", "uploaded"])
def test_without_one_of_the_waits_it_sees_others(forgotten: str) -> None:
    """Control, for each: a host buffer refilled during its upload, a batch overwritten while it is read, one read before it is there."""
    assert read_by(SlowDevice(forgets=forgotten), STREAM) != expected(STREAM)


def test_jumps() -> None:
    jumps = [40, 44, 0, 4, 72, 76, 76, 8]
    assert read_by(SlowDevice(), jumps) == expected(jumps)


def test_without_a_lane_the_batch_is_made_when_asked_for() -> None:
    plain = feeder(None)
    seen: list[int] = []
    for position in STREAM:
        numbers, twice = plain.batch(position)
        seen += numbers.int().tolist() + twice[:, 0].tolist()
    assert seen == expected(STREAM)


def test_what_is_made_ahead_and_by_whom() -> None:
    made: list[tuple[int, bool]] = []

    def noting(position: int, *buffers: np.ndarray) -> int:
        made.append((position, threading.current_thread() is threading.main_thread()))
        return 4

    ahead = Prefetcher(noting, [((4,), np.float32)], CPU, step=4, stop=24, lane=SlowDevice(eager=True))
    for position in (0, 4):
        ahead.batch(position)
    ahead._pool.shutdown()
    assert made == [(position, False) for position in range(0, 4 * (SLOTS + 1), 4)]
    made.clear()
    last = Prefetcher(noting, [((4,), np.float32)], CPU, step=4, stop=24, lane=SlowDevice(eager=True))
    last.batch(20)
    last._pool.shutdown()
    assert made == [(20, False)]  # nothing after the end
    made.clear()
    Prefetcher(noting, [((4,), np.float32)], CPU, step=4, stop=24).batch(0)
    assert made == [(0, True)]


def test_what_goes_wrong_while_filling_is_raised_where_the_batch_is_wanted() -> None:
    def broken(position: int, out: np.ndarray) -> int:
        raise OSError(f"at {position}")

    with pytest.raises(OSError, match="at 8"):
        Prefetcher(broken, [((4,), np.float32)], CPU, step=4, stop=24, lane=SlowDevice()).batch(8)


@pytest.mark.parametrize("trunk", ["trained", "frozen"])
def test_a_trial_ends_with_the_same_bits_ahead_or_not(
    here: Dataset, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trunk: str
) -> None:
    """Training, evaluation, and going on in the middle."""
    config = trial_config() if trunk == "trained" else frozen_config(weights)
    plain = list(train(config, here, TrialFolder(tmp_path / "plain")))
    ahead = functools.partial(Prefetcher, lane=SlowDevice(eager=True))
    monkeypatch.setattr("peoria.training.steps.Prefetcher", ahead)
    monkeypatch.setattr("peoria.data.prefetch.Prefetcher", ahead)  # evaluation's
    running = train(config, here, TrialFolder(tmp_path / "ahead"))
    assert [next(running), next(running)] == plain[:2]
    running.close()  # type: ignore[attr-defined]
    again, *rest = train(config, here, TrialFolder(tmp_path / "ahead"))
    whole = [point for report in plain[:2] for point in report.points]  # what a checkpoint sends again has all of the curve
    assert [again, *rest] == [plain[1].model_copy(update={"points": whole}), *plain[2:]]
    assert TrialFolder(tmp_path / "ahead").model.read_bytes() == TrialFolder(tmp_path / "plain").model.read_bytes()
