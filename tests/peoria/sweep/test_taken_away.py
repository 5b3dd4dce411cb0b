"""Nodes that are taken away under their trials: no strike, ever; and a trial that ends its own node by node is given up."""

from pathlib import Path
from typing import Any

import pytest

import peoria.sweep.dispatch as dispatch_module
from peoria.records.folder import SweepFolder
from peoria.records.schema import TrialWorker
from peoria.sweep.deaths import TAKEN_AWAY, why_of
from peoria.sweep.dispatch import Dispatch
from peoria.sweep.signals import Signals
from peoria.sweep.trial_store import Assignment, TrialStore
from peoria.training.messages import TrialReport
from tests.helpers.small import small_sweep

FOUR = ["0000", "0001", "0002", "0003"]


class Played:
    """Four trials at a time, handed out and ended by hand."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dispatch_module, "TOGETHER_S", 0.0)
        self.said, self.now = list[str](), 0.0
        sweep = small_sweep(Path("nowhere"), prune=False)
        self.store = TrialStore(SweepFolder(folder), sweep, concurrent=4, clock=lambda: self.now, say=self.said.append)
        self.given: dict[str, Assignment] = {}
        self.dispatch = Dispatch(self.store, self.spec, self.said.append, self.said.append, Signals())

    def spec(self, assignment: Assignment) -> Any:
        self.given[assignment.key] = assignment
        return assignment

    def hand_out(self, node: str) -> None:
        self.now += 100
        while self.dispatch.ask() is not None:
            pass
        for assignment in self.given.values():
            assignment.folder.path.mkdir(parents=True, exist_ok=True)
            self.worker(node).write(assignment.folder.worker)

    def worker(self, node: str, left_at: int | None = None) -> TrialWorker:
        return TrialWorker(pid=1, host="h", node=node, started_at=0.0, rss_bytes=0, available_bytes=0, left_at=left_at)


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Played:
    return Played(tmp_path, monkeypatch)


def test_preemptions_are_no_strikes_however_often(played: Played) -> None:
    """Without a step in between too: on ten nodes one after another."""
    for turn in range(10):
        played.hand_out(f"n{turn}")
        assert sorted(played.given) == FOUR
        for key in FOUR[:3]:
            assert not played.dispatch.report(key, TrialReport(step=60_000, status="interrupted", error="x", preempted=True, stopped=True))
        played.dispatch.died(FOUR[3], TAKEN_AWAY)
        assert played.dispatch.running == 0
    assert played.store.stop_reason is None
    assert played.store.owed() == {}
    played.dispatch.tell_left()
    assert played.said[-1] == "  node n9 is being taken away: trials 0000, 0001, 0002 and 0003 go on from 0 and 60,000 pictures elsewhere"


def test_a_node_with_four_trials_dies_ten_times_with_steps_between(played: Played) -> None:
    """As told by a curve, or by what a worker left that could no longer tell it."""
    for turn in range(10):
        played.hand_out(f"n{turn}")
        for key in FOUR:
            if turn % 2:
                played.worker(f"n{turn}", left_at=turn * 100).write(played.given[key].folder.worker)
            else:
                points = [(turn * 100, {"train/loss": 1.0})]
                assert played.dispatch.report(key, TrialReport(step=turn * 100, status="running", points=points))
        for key in FOUR:
            played.dispatch.died(key, "its node is gone")
    assert played.store.stop_reason is None
    assert played.store.owed() == {}
    assert played.store.counts()["running"] == 4


def test_control_without_steps_the_same_is_given_up(played: Played) -> None:
    for turn in range(3):
        played.hand_out(f"n{turn}")
        for key in FOUR:
            played.dispatch.died(key, "its node is gone")
    assert "made no step in so many tries" in str(played.store.stop_reason)


def test_one_that_was_left_long_ago_is_no_step(played: Played) -> None:
    """Where a worker left off counts once: the next one that comes no further has a strike."""
    played.hand_out("n0")
    played.worker("n0", left_at=500).write(played.given["0000"].folder.worker)
    played.dispatch.died("0000", "its node is gone")
    for turn in range(1, 4):
        played.hand_out(f"n{turn}")
        played.dispatch.died("0000", "its node is gone")
    assert "0000" in str(played.store.stop_reason) + str(played.store.owed())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("because its node has died. Node Id: e\n\tthe actor's node was terminated expectedly: received SIGTERM", TAKEN_AWAY),
        ("because its node has died. Node Id: e\n\tthe actor's node was preempted: a notice", TAKEN_AWAY),
        ("because its node has died. Node Id: e\n\tthe actor's node was terminated unexpectedly: health check failed", "its node is gone"),
        ("The actor is dead because its worker process has died.", "its worker died"),
    ],
)
def test_what_ray_says_of_an_end(text: str, why: str) -> None:
    assert why_of(text) == why
