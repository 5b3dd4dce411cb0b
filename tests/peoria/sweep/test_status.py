"""What `peoria status` says of a sweep: who runs it or how it ended, which trials run, and what is owed; and that the store owes the same."""

import os
import socket
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from peoria.records.folder import SweepFolder
from peoria.records.schema import RunState, SweepRecord, TrialWorker
from peoria.records.selection import choice_in
from peoria.records.trials import read_trials
from peoria.sweep.lock import sweep_lock
from peoria.sweep.owed import Owed, so_far
from peoria.sweep.run import SweepResult
from peoria.sweep.status import status
from peoria.sweep.trial_store import TrialStore
from peoria.training.messages import TrialReport
from tests.helpers.damage import define
from tests.helpers.played import STEPS, message, run, with_model
from tests.helpers.small import small_sweep
from tests.helpers.sweep_folder import WrittenSweep, whole_sweep

SHARED = small_sweep(Path("nowhere")).shared | {"pictures": STEPS[-1]}
SWEEP = small_sweep(Path("nowhere"), trials=5, paper=True, seeds=3, questions=("learning-curve", "leak", "time"), shared=SHARED)
CUTOFF = "2014-07-11"


@pytest.fixture
def written(tmp_path: Path) -> WrittenSweep:
    return whole_sweep(tmp_path / "sweeps" / "demo")


def begun(folder: SweepFolder, key: str, started_at: float, host: str = "") -> None:
    worker = TrialWorker(pid=1, host=host or socket.gethostname(), node="here", started_at=started_at, rss_bytes=1, available_bytes=1)
    worker.write(folder.trial(key).worker)


def test_trials_of_a_sweep_that_nobody_runs_are_interrupted_and_owed(written: WrittenSweep, tmp_path: Path) -> None:
    lines = status(tmp_path, "demo").splitlines()
    assert lines[0] == "sweep demo: 4 of 6 trials (2 done, 1 pruned, 1 diverged, 1 failed, 1 interrupted)"
    assert lines[1:7] == [
        "  the paper's settings: paper-regression interrupted",
        "  owed: 2 of the search",
        "  owed: 1 of the paper's settings",  # though this definition asks for none: it was begun
        "  then: the best 3 of each target 2 times with fresh seeds",
        "  then: each winner, chosen by them, 3 times more",
        "  then: that for views on parts of train (learning-curve, leak, time)",
    ]
    assert lines[-1] == "  run by nobody; the same command goes on"
    assert "running" not in "\n".join(lines)
    assert max(len(line) for line in lines[1:] if "best by" not in line) <= 80


def test_of_a_sweep_that_is_run_those_that_a_worker_is_at_are_running(written: WrittenSweep, tmp_path: Path) -> None:
    begun(written.folder, "0005", time.time() - 3600)
    with sweep_lock(written.folder):
        lines = status(tmp_path, "demo").splitlines()
        assert "1 interrupted" in lines[0]  # by a run before this one
        assert lines[1] == "  the paper's settings: paper-regression running"  # about to begin
        assert lines[-1].startswith(f"  run by process {os.getpid()} on ")
        begun(written.folder, "0005", time.time() + 1)
        assert "1 running" in status(tmp_path, "demo").splitlines()[0]
        begun(written.folder, "0005", 0.0, host="another")  # its clock is its own
        assert "1 running" in status(tmp_path, "demo").splitlines()[0]


def test_more_trials_than_are_wanted_by_now(written: WrittenSweep, tmp_path: Path) -> None:
    about = SweepRecord.read(written.folder.definition)
    about.model_copy(update={"trials": 1}).write(written.folder.definition)
    lines = status(tmp_path, "demo").splitlines()
    assert lines[0].startswith("sweep demo: 4 trials, 1 wanted (2 done, ")
    assert "  owed: 1 of the search" in lines  # which was begun
    assert [so_far(num, 3, " trials") for num in (0, 3, 4)] == ["0 of 3 trials", "3 of 3 trials", "4 trials, 3 wanted"]


def test_a_budget_of_pictures_ends_the_search(tmp_path: Path) -> None:
    written = WrittenSweep(tmp_path / "sweeps" / "demo", pictures=3000)
    for number, lines in enumerate(
        (
            ["  1,600 of 3,000 pictures of the search seen", "  owed: 5 of the search"],
            ["  3,200 of 3,000 pictures of the search seen: no further trial is begun", "  owed: 4 with fresh seeds"],
        )
    ):
        written.trial(key := f"000{number}")
        written.outcome(key, pictures=1600)
        assert status(tmp_path, "demo").splitlines()[1:3] == lines


def test_the_long_name_of_a_control_is_no_damage(tmp_path: Path) -> None:
    """The names of controls and filters have letters, and a length, that a sweep file's may not have."""
    name = "demo-tag-beach-bird-city-family-flower-garden-lake-plant-arrangement-0.45"
    whole_sweep(tmp_path / "sweeps" / name)
    assert status(tmp_path, name).startswith(f"sweep {name}: 4 of 6 trials")


def test_how_the_last_run_ended(written: WrittenSweep, tmp_path: Path) -> None:
    assert "  last run: no word of its end: killed, or mended since by peoria check --repair" in status(tmp_path, "demo").splitlines()
    RunState(status="failed", ended_at=time.mktime((2026, 3, 4, 5, 6, 7, 0, 0, -1)), reason="3 trials in a row failed").write(written.folder.finished)
    assert status(tmp_path, "demo").splitlines()[-2:] == [
        "  last run: failed 2026-03-04 05:06:07: 3 trials in a row failed",
        "  run by nobody; the same command goes on",
    ]
    written.finish("interrupted")  # by a version that gave no reason
    assert ": interrupted 2023-11-" in status(tmp_path, "demo")
    written.finish()
    assert status(tmp_path, "demo").splitlines()[-1] == f"  finished; report: {written.folder.page}"  # it is there already
    written.folder.verdict.unlink()
    assert status(tmp_path, "demo").splitlines()[-1] == f"  finished; next: peoria report demo --home {tmp_path}"
    assert "last run" not in status(tmp_path, "demo")


def test_what_is_owed_is_what_the_store_owes_at_every_step(tmp_path: Path) -> None:
    """Whether it was killed there, and whether fewer or more are wanted then."""
    folder = SweepFolder(tmp_path / "sweeps" / "small")
    define(folder, SWEEP)
    SweepRecord.read(folder.definition).model_copy(update={"time_cutoff": CUTOFF}).write(folder.definition)

    def check(store: TrialStore) -> int:
        counts = store.counts()
        about = SweepRecord.read(folder.definition).model_copy(update={"trials": store.sweep.trials})
        owed = Owed.of(about, read_trials(folder))
        assert owed.search == counts["remaining"]
        assert owed.paper + owed.seeds + owed.subsets == counts["unsearched_remaining"]
        assert bool(owed.later) == (owed.search > 0 or bool(store.choice.waits_for))
        assert choice_in(about, read_trials(folder)) == store.choice
        result = SweepResult(folder, counts, {}, None)
        assert result.complete is (owed.counted == [])
        return owed.search + owed.paper + owed.seeds + owed.subsets

    store, seen, turn = TrialStore(folder, SWEEP, cutoff=lambda: CUTOFF), [], 0
    seen.append(check(store))
    while (assignment := store.ask()) is not None:
        turn += 1
        if turn % 3 == 0:
            seen.append(check(store))
            store = TrialStore(folder, SWEEP, cutoff=lambda: CUTOFF)  # killed in the middle of it
            for trials in (1, 9, SWEEP.trials):
                store = TrialStore(folder, SWEEP.model_copy(update={"trials": trials}), cutoff=lambda: CUTOFF)
                check(store)
            continue
        if turn == 7:
            store.fail(assignment.key, "a bug")
            check(store)
            continue
        for step in STEPS:
            with_model(assignment, step)
            if not store.report(assignment.key, message(assignment, step)):
                break
            check(store)
        seen.append(check(store))
    assert seen[0] == 7  # 5 of the search, 2 of the paper
    assert max(seen) >= 7
    assert seen[-1] == 0
    assert turn > 5 + 2 + 6 + 1 + 5 - 4


def test_fewer_trials_than_were_begun_end_with_the_winners_trained_again(tmp_path: Path) -> None:
    """A trial under way is ended first: a sweep without its follow-ups is not complete, and its report would be refused."""
    folder = SweepFolder(tmp_path / "sweeps" / "small")
    define(folder, SWEEP)
    many = TrialStore(folder, SWEEP.model_copy(update={"paper": False}))
    for _ in range(2):
        assignment = many.ask()
        assert assignment is not None
        for step in STEPS:
            with_model(assignment, step)
            many.report(assignment.key, message(assignment, step))
    under_way = many.ask()
    assert under_way is not None
    assert many.report(under_way.key, message(under_way, STEPS[0]))
    few = TrialStore(folder, SWEEP.model_copy(update={"paper": False, "trials": 1}))
    assert few.counts()["remaining"] == 1
    ran = run(few, with_model)
    assert ran[0] == under_way.key
    assert sum("-seed-" in key for key in ran) == 3 * 2 + 1
    assert few.counts()["remaining"] == few.counts()["unsearched_remaining"] == 0


def test_a_trial_that_was_told_to_stop_has_no_strike(tmp_path: Path) -> None:
    from peoria.sweep.dispatch import Dispatch
    from peoria.sweep.signals import Signals

    clock, said = SimpleNamespace(now=0.0), list[str]()
    folder = SweepFolder(tmp_path / "sweeps" / "small")
    define(folder, SWEEP)
    store = TrialStore(folder, SWEEP, clock=lambda: clock.now)
    dispatch = Dispatch(store, lambda assignment: assignment, lambda key: None, said.append, Signals())  # type: ignore[arg-type, return-value]

    def stopped(times: int, by_a_file: bool) -> None:
        for _ in range(times):
            clock.now += 100
            given = dispatch.ask()
            if given is None:
                break
            folder.stopping.touch()
            dispatch.report(given.key, TrialReport(step=0, status="interrupted", error="the sweep is being stopped", stopped=by_a_file))

    stopped(10, True)
    assert store.stop_reason is None
    assert not folder.stopping.exists()
    assert said == [f"  {folder.stopping}: left over, or made by hand; removed (Ctrl-C stops a sweep)"] * 10
    stopped(10, False)  # the control: any other interruption counts
    assert store.stop_reason is not None
