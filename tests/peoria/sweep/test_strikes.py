"""What interrupts a trial, and what becomes of it: tried again after a wait, set aside, at half the batch, or owed to the next run."""

from pathlib import Path

import pytest

from peoria.config.sweep import Sweep
from peoria.records.folder import SweepFolder
from peoria.records.schema import TrialOutcome, TrialStart
from peoria.sweep.trial_store import Assignment, TrialStore
from peoria.training.messages import TrialReport
from tests.helpers.played import STEPS, message, run
from tests.helpers.small import small_sweep


@pytest.fixture
def sweep() -> Sweep:
    shared = small_sweep(Path("nowhere")).shared | {"pictures": STEPS[-1]}
    return small_sweep(Path("nowhere"), trials=12, paper=True, startup_per_task=2, shared=shared)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_trial_whose_worker_dies_is_the_same_trial_again(sweep: Sweep, tmp_path: Path) -> None:
    """However often, as long as it makes steps in between: no strike counts."""
    store = TrialStore(SweepFolder(tmp_path), sweep.model_copy(update={"paper": False, "trials": 1, "prune": False}), clock=Clock())
    handed = []
    for step in range(50, 1000, 50):
        assignment = store.ask()
        assert assignment is not None
        handed.append((assignment.key, assignment.config))
        assert store.ask() is None  # it is under way, nothing else remains
        store.report(assignment.key, message(assignment, STEPS[0]).model_copy(update={"points": [(step, {"train/loss": 1.0})]}))
        store.interrupted(assignment.key, "its worker died", "a node")
    assert len(handed) == 19
    assert len(set(handed)) == 1
    assert store.stop_reason is None
    assert store.counts()["failed"] == 0
    store.interrupted("0000", "its worker died", "a node")  # not under way: nothing changes
    assert store.ask() is not None


def test_strikes_back_off_and_end_the_run_not_the_trial(sweep: Sweep, tmp_path: Path) -> None:
    """Without a further step each try waits longer. Where nothing else goes on either, the run ends; the trial is owed, as it was drawn."""
    clock, said = Clock(), list[str]()
    few = sweep.model_copy(update={"paper": False, "trials": 1})
    store = TrialStore(SweepFolder(tmp_path), few, clock=clock, say=said.append)
    waits, first = [], None
    while (assignment := store.ask()) is not None:
        first = first or assignment
        assert assignment == first
        store.interrupted(assignment.key, "disk full", "a node")
        if store.waiting:
            waits.append(store.waiting)
            assert store.ask() is None  # it keeps its place, and nothing else is drawn meanwhile
            clock.now += store.waiting
    assert waits == [1, 2, 4, 8, 16]
    assert "0000: disk full" in str(store.stop_reason)
    assert said[2] == "  0000: disk full; it goes on in 4 s"
    assert not (tmp_path / "trials" / "0000" / "outcome.json").exists()
    assert store.counts()["remaining"] == 1
    assert TrialStore(SweepFolder(tmp_path), few).ask() == first


def test_a_nodes_strikes_count_together(sweep: Sweep, tmp_path: Path) -> None:
    """A trial that makes no step on three nodes is set aside while others go on, and stays owed."""
    clock, said = Clock(), list[str]()
    few = sweep.model_copy(update={"paper": False, "trials": 2, "prune": False})
    store = TrialStore(SweepFolder(tmp_path), few, clock=clock, say=said.append, concurrent=2)
    bad, good = store.ask(), store.ask()
    assert bad is not None
    assert good is not None
    for node in ("a", "a", "a", "b", "c"):
        store.interrupted(bad.key, "its worker died", node)
        clock.now += 60
        clock.now += 1
        store.report(good.key, TrialReport(step=1, status="running", points=[(int(clock.now) - 60, {"train/loss": 1.0})]))
        again = store.ask()
        assert (again == bad) is (node != "c"), node
    assert "0000: its worker died; set aside" in said[-1]
    for step in STEPS[1:]:
        store.report(good.key, message(good, step))
    assert store.ask() is None
    assert store.waiting is None
    assert store.owed() == {"0000": "its worker died"}
    assert store.counts()["remaining"] == 1
    assert store.stop_reason is None
    assert run(TrialStore(SweepFolder(tmp_path), few)) == ["0000"]


def test_pressure_by_others_is_no_strike(sweep: Sweep, tmp_path: Path) -> None:
    clock = Clock()
    store = TrialStore(SweepFolder(tmp_path), sweep.model_copy(update={"paper": False, "trials": 1}), clock=clock)
    for _ in range(20):
        assignment = store.ask()
        assert assignment is not None
        store.put_back(assignment.key, 30)
        assert store.ask() is None
        assert store.waiting == 30
        clock.now += 30
    assert store.stop_reason is None


@pytest.mark.parametrize("fits", [True, False])
def test_a_trial_that_outgrows_memory_is_tried_once_at_half_the_batch(sweep: Sweep, tmp_path: Path, fits: bool) -> None:
    store = TrialStore(SweepFolder(tmp_path), sweep.model_copy(update={"paper": False, "trials": 1, "prune": False}))
    whole = store.ask()
    assert whole is not None
    store.report(whole.key, message(whole, STEPS[0]))
    whole.folder.checkpoint.touch()
    assert store.report(whole.key, TrialReport(step=0, status="infeasible", error="memory: 1 TB")) is False
    assert not whole.folder.checkpoint.exists()
    assert not whole.folder.points.exists()
    half = store.ask()
    assert half is not None
    assert (half.key, half.config) == (whole.key, whole.config.model_copy(update={"batch_size": whole.config.batch_size // 2}))
    start = TrialStart.read(half.folder.start)
    assert start.half_batch
    assert start.label.endswith(", half the batch")
    if fits:
        assert run_one(store, half) == "done"
        assert TrialStore(SweepFolder(tmp_path), sweep.model_copy(update={"paper": False, "trials": 1})).ask() is None
        return
    store.report(half.key, TrialReport(step=0, status="infeasible", error="memory: 1 TB"))
    assert TrialOutcome.read(half.folder.outcome).status == "infeasible"
    another = store.ask()
    assert another is not None
    assert another.key == "0001"  # in its place


def test_follow_ups_are_queued_although_a_point_of_the_paper_waits(sweep: Sweep, tmp_path: Path) -> None:
    """A trial that waits to be tried again when the search ends must not take the winner's seeds with it."""
    clock = Clock()
    store = TrialStore(SweepFolder(tmp_path), sweep.model_copy(update={"trials": 1, "seeds": 3}), concurrent=4, clock=clock)
    first, second, searched = store.ask(), store.ask(), store.ask()
    assert first is not None
    assert second is not None
    assert searched is not None
    store.interrupted(first.key, "no room")
    for assignment in (second, searched):
        run_one(store, assignment)
    assert store.counts()["unsearched_remaining"] == 1 + 3
    clock.now += 60
    assert set(run(store)) == {first.key, "0000-seed-1", "0000-seed-2", "0000-seed-3"}
    assert store.counts()["unsearched_remaining"] == 0


def test_a_follow_up_that_outgrew_memory_is_tried_again_with_the_settings_of_its_folder(sweep: Sweep, tmp_path: Path) -> None:
    few = sweep.model_copy(update={"paper": False, "trials": 1, "seeds": 3})
    store = TrialStore(SweepFolder(tmp_path), few)
    searched = store.ask()
    assert searched is not None
    run_one(store, searched)
    for _ in range(2):  # whole, and at half the batch
        seed = store.ask()
        assert seed is not None
        assert seed.key == "0000-seed-1"
        store.report(seed.key, message(seed, STEPS[0]))
        store.report(seed.key, TrialReport(step=0, status="infeasible", error="memory: 1 TB"))
    assert run(store) == ["0000-seed-2", "0000-seed-3"]  # it is not tried again in this run
    again = TrialStore(SweepFolder(tmp_path), few)
    seed = again.ask()
    assert seed is not None
    assert seed.key == "0000-seed-1"
    assert seed.config == TrialStart.read(seed.folder.start).config
    assert run_one(again, seed) == "done"
    assert TrialStore(SweepFolder(tmp_path), few).ask() is None


def run_one(store: TrialStore, assignment: Assignment) -> str:
    for step in STEPS:
        store.report(assignment.key, message(assignment, step))
    return TrialOutcome.read(assignment.folder.outcome).status


def test_a_paper_point_that_failed_is_owed(sweep: Sweep, tmp_path: Path) -> None:
    """It fails once, is not tried again in that run, and is the same again in the next, and the sweep is not complete before."""
    store = TrialStore(SweepFolder(tmp_path), sweep.model_copy(update={"trials": 1}))
    first = store.ask()
    assert first is not None
    store.report(first.key, TrialReport(step=0, status="failed", error="Traceback\nValueError: once"))
    assert run(store) == ["paper-hybrid", "0000"]
    assert store.counts()["unsearched_remaining"] == 1
    assert store.owed() == {"paper-regression": "ValueError: once"}
    again = TrialStore(SweepFolder(tmp_path), sweep.model_copy(update={"trials": 1}))
    assert again.ask() == first
    assert not first.folder.outcome.exists()
    assert run_one(again, first) == "done"
    assert again.counts()["unsearched_remaining"] == 0
    assert run(TrialStore(SweepFolder(tmp_path), sweep.model_copy(update={"trials": 1}))) == []
