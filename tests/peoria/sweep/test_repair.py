"""A trial at half the batch stays one when its config.json is written again, and no other becomes one."""

from pathlib import Path

import pytest

from peoria.config.sweep import Sweep
from peoria.records.folder import SweepFolder
from peoria.records.schema import TrialOutcome, TrialStart
from peoria.sweep.repair import check
from peoria.sweep.trial_store import Assignment, TrialStore
from peoria.training.messages import TrialReport
from tests.helpers.damage import define
from tests.helpers.played import STEPS, leave_model, message
from tests.helpers.small import small_sweep

TOO_MUCH = TrialReport(step=0, status="infeasible", error="memory: 1 TB")
HALVED = {"0000", "0001", "0001-seed-1", "paper-hybrid"}


@pytest.fixture
def sweep() -> Sweep:
    shared = small_sweep(Path("nowhere")).shared | {"pictures": STEPS[-1], "batch_size": 64, "curve_points": 8}  # the paper's is less, 50
    return small_sweep(Path("nowhere"), trials=2, seeds=3, questions=(), paper=True, prune=False, shared=shared)


@pytest.fixture
def folder(sweep: Sweep, tmp_path: Path) -> SweepFolder:
    made = SweepFolder.of(tmp_path, sweep.name)
    define(made, sweep)
    return made


def ask(store: TrialStore) -> Assignment:
    assignment = store.ask()
    assert assignment is not None
    return assignment


def starts(folder: SweepFolder) -> dict[str, TrialStart]:
    return {trial.key: TrialStart.read(trial.start).model_copy(update={"started_at": 0.0}) for trial in folder.trials()}


@pytest.mark.parametrize("rebuilt", [False, True])
def test_every_trial_is_what_it_was_begun_as(sweep: Sweep, folder: SweepFolder, tmp_path: Path, rebuilt: bool) -> None:
    store, tried = TrialStore(folder, sweep), set[str]()
    while (assignment := store.ask()) is not None:
        if assignment.key in HALVED - tried:
            tried.add(assignment.key)
            store.report(assignment.key, TOO_MUCH)
            continue
        leave_model(assignment)
        for step in STEPS:
            store.report(assignment.key, message(assignment, step))
    before = starts(folder)
    assert {key: (start.half_batch, start.config.batch_size) for key, start in before.items()} == {
        "0000": (True, 32), "0001": (True, 32), "0001-seed-1": (True, 16), "0001-seed-2": (False, 32), "0001-seed-3": (False, 32),
        "0000-seed-1": (False, 32), "0000-seed-2": (False, 32),
        "paper-hybrid": (True, 25), "paper-regression": (False, 50),
    }  # fmt: skip
    if rebuilt:  # the study from the folders, before the folders are mended from it
        folder.journal.unlink()
        check(tmp_path, sweep.name, repair=True, say=lambda line: None)
    for trial in folder.trials():
        trial.start.unlink()
    assert check(tmp_path, sweep.name, repair=True, say=lambda line: None) == []
    assert starts(folder) == before


@pytest.mark.parametrize("kept", [True, False])
def test_what_did_not_fit_at_half_the_batch_is_not_halved_again(sweep: Sweep, folder: SweepFolder, tmp_path: Path, kept: bool) -> None:
    """Control: of one that lost its mark it is tried at a quarter."""
    few = sweep.model_copy(update={"paper": False, "seeds": 0})
    define(folder, few)
    store = TrialStore(folder, few)
    store.report(ask(store).key, TOO_MUCH)
    half = ask(store)
    half.folder.start.unlink()
    check(tmp_path, few.name, repair=True, say=lambda line: None)
    if not kept:
        TrialStart.read(half.folder.start).model_copy(update={"half_batch": False}).write(half.folder.start)
    store = TrialStore(folder, few)
    assert ask(store) == half
    store.report(half.key, TOO_MUCH)
    if kept:
        assert TrialOutcome.read(half.folder.outcome).status == "infeasible"
    else:
        assert ask(store).config.batch_size == 64 // 4
