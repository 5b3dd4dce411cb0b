"""Checkpoints written by time, behind the steps: what was told as written is on the disk, and a trial goes on from it to the same bits."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from peoria.data.dataset import Dataset
from peoria.records.folder import TrialFolder
from peoria.training import loop, saving
from peoria.training.checkpoint import Partial, load_checkpoint, save_checkpoint
from peoria.training.loop import train
from peoria.training.messages import TrialReport
from peoria.training.saving import EVERY_S, Saver
from tests.helpers.small import trial_config


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def parts() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    net = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    net(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return net, optimizer


def report(step: int) -> TrialReport:
    return TrialReport(step=step, status="running")


def stored(folder: TrialFolder) -> Any:
    return load_checkpoint(folder, {"a": 1}, print)


def test_it_is_written_each_time_or_by_the_clock(tmp_path: Path, parts: Any) -> None:
    """What a thread writes is the state as it was when that was asked for, whatever training made of it meanwhile."""
    time, folder = Time(), TrialFolder(tmp_path / "behind")
    saver = Saver(folder, {"a": 1}, *parts, behind=True, clock=time)
    saver.evaluated(report(1))
    saver.close()
    assert not folder.checkpoint.exists()
    saver = Saver(folder, {"a": 1}, *parts, behind=True, clock=time)
    time.now = EVERY_S
    weight = parts[0].weight.detach().clone()
    saver.evaluated(report(2))
    with torch.no_grad():
        parts[0].weight.zero_()
    saver.close()
    found = stored(folder)
    assert (found.report.step, torch.equal(found.state["net"]["weight"], weight)) == (2, True)
    at_once = TrialFolder(tmp_path / "at once")
    Saver(at_once, {"a": 1}, *parts, behind=False, clock=time).evaluated(report(3))
    assert stored(at_once).report.step == 3


@pytest.fixture
def slowly(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """A disk that has begun, and waits to be let go on."""
    begun, go_on = threading.Event(), threading.Event()

    def write(*arguments: Any, **named: Any) -> None:
        begun.set()
        assert go_on.wait(60)
        save_checkpoint(*arguments, **named)

    monkeypatch.setattr(saving, "save_checkpoint", write)
    yield begun, go_on
    go_on.set()


@pytest.mark.parametrize("end", ["stopped", "done"])
def test_what_is_told_is_on_the_disk(tmp_path: Path, parts: Any, slowly: tuple[threading.Event, threading.Event], end: str) -> None:
    """An evaluation waits for no slow disk, and asks for no second file meanwhile; a stop and an end wait for theirs, the last one."""
    begun, go_on = slowly
    time, folder = Time(), TrialFolder(tmp_path)
    saver = Saver(folder, {"a": 1}, *parts, behind=True, clock=time)
    for step in (1, 2):
        time.now += EVERY_S
        saver.evaluated(report(step))
    assert begun.wait(60)
    assert not folder.checkpoint.exists()  # the report of step 1 is out
    threading.Timer(0.2, go_on.set).start()
    if end == "done":
        saver.done(report(3))
    else:
        saver.stopped(report(2), Partial(40, torch.tensor(1.0), 2, []))
    found = stored(folder)
    assert found.report.step == (3 if end == "done" else 2)
    assert (found.state is None, found.partial is None) == ((True, True) if end == "done" else (False, False))
    saver.close()


def test_a_disk_that_is_full_is_told_at_the_next_evaluation(tmp_path: Path, parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "save_checkpoint", full)
    time = Time()
    saver = Saver(TrialFolder(tmp_path), {"a": 1}, *parts, behind=True, clock=time)
    time.now = EVERY_S
    saver.evaluated(report(1))
    assert saver._writing is not None
    saver._writing.exception(60)
    with pytest.raises(OSError, match="No space left"):
        saver.evaluated(report(2))


@pytest.mark.parametrize("pruned", [True, False])
def test_a_trial_that_was_ended_meanwhile_leaves_none(
    tmp_path: Path, parts: Any, slowly: tuple[threading.Event, threading.Event], pruned: bool
) -> None:
    """Its checkpoints were removed before the thread had written this one. Without an outcome it is one to go on from."""
    time, folder = Time(), TrialFolder(tmp_path)
    saver = Saver(folder, {"a": 1}, *parts, behind=True, clock=time)
    time.now = EVERY_S
    saver.evaluated(report(1))
    if pruned:
        folder.outcome.write_text("{}")
    slowly[1].set()
    saver.close()
    assert folder.checkpoint.exists() is not pruned


@pytest.mark.parametrize("every_s", [0.0, 1e9])
def test_a_trial_goes_on_from_the_last_one_to_the_same_bits(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_s: float
) -> None:
    """On a CPU, which stands in: with a file at each evaluation, and with none at all, when it begins again and its reports come once more."""
    whole = list(train(trial_config(), dataset, alone := TrialFolder(tmp_path / "alone")))
    monkeypatch.setattr(saving, "EVERY_S", every_s)
    monkeypatch.setattr(loop, "Saver", lambda *arguments, behind: Saver(*arguments, behind=True))
    folder = TrialFolder(tmp_path / "killed")
    running: Any = train(trial_config(), dataset, folder)
    told = [next(running) for _ in range(3)]
    running.close()  # waits for the thread, as a kill would not
    rest = list(train(trial_config(), dataset, folder))
    assert rest[0].step == (told[0].step if every_s else rest[0].step)
    assert [one.metrics for one in told + rest if one.step == whole[-1].step] == [whole[-1].metrics]
    assert {one.step: one.metrics for one in told + rest} == {one.step: one.metrics for one in whole}
    assert folder.model.read_bytes() == alone.model.read_bytes()
