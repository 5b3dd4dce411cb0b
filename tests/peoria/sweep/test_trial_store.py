"""The record of a sweep: remaining trials exactly, decisions that outlive a kill, a searcher that never sees the paper's points."""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from peoria.config.sweep import Point, Sweep
from peoria.records.folder import SweepFolder
from peoria.records.schema import Record
from peoria.sweep.pruner import RungPruner, rungs
from peoria.sweep.storage import Journal
from peoria.sweep.trial_store import TrialStore
from peoria.training.messages import TrialReport
from tests.helpers.played import STEPS, message, run
from tests.helpers.small import small_sweep, trial_config


@pytest.fixture
def sweep() -> Sweep:
    shared = small_sweep(Path("nowhere")).shared | {"pictures": STEPS[-1]}
    return small_sweep(Path("nowhere"), trials=12, paper=True, startup_per_task=2, shared=shared)


class Killed(BaseException):
    """As SIGKILL: nothing of ours may handle it."""


def facts(store: TrialStore) -> list[tuple[Any, ...]]:
    """All that a sweep is, but for times."""
    trials = [*store.searched.get_trials(), *store.unsearched.get_trials()]
    return [(t.number, t.state, t.value, t.params, t.intermediate_values, t.user_attrs) for t in trials]


def test_exactly_what_is_owed(sweep: Sweep, tmp_path: Path) -> None:
    store = TrialStore(SweepFolder(tmp_path), sweep)
    ran = run(store)
    assert ran == ["paper-regression", "paper-hybrid", *(f"{n:04d}" for n in range(12))]
    assert store.counts()["remaining"] == 0
    again = TrialStore(SweepFolder(tmp_path), sweep)
    assert run(again) == []
    more = TrialStore(SweepFolder(tmp_path), sweep.model_copy(update={"trials": 14}))
    assert run(more) == ["0012", "0013"]


def test_start_up_is_fair_and_the_queue_goes_first(sweep: Sweep, tmp_path: Path) -> None:
    point = Point(task="hybrid", learning_rate=2e-3, outlier_sd=None)
    store = TrialStore(SweepFolder(tmp_path), sweep.model_copy(update={"queue": (point,)}))
    run(store)
    trials = store.searched.get_trials()
    assert trials[0].params["hybrid/learning_rate"] == 2e-3
    assert trials[0].params["outlier_sd"] is None
    assert [t.params["task"] for t in trials[1:5]] == ["regression", "hybrid"] * 2


def test_a_point_that_is_queued_later_goes_next(sweep: Sweep, tmp_path: Path) -> None:
    few = sweep.model_copy(update={"paper": False, "trials": 1})
    run(TrialStore(SweepFolder(tmp_path), few))
    point = Point(task="hybrid", learning_rate=2e-3)
    store = TrialStore(SweepFolder(tmp_path), few.model_copy(update={"trials": 3, "queue": (point, point)}))
    run(store)
    assert store.searched.get_trials()[1].params["hybrid/learning_rate"] == 2e-3
    assert [t.user_attrs["origin"] for t in store.searched.get_trials()][2] == "start-up hybrid 0"  # the same point twice is one


def test_the_papers_points_are_kept_from_the_searcher(sweep: Sweep, tmp_path: Path) -> None:
    store = TrialStore(SweepFolder(tmp_path), sweep)
    run(store)
    assert {t.user_attrs["key"] for t in store.unsearched.get_trials()} == {"paper-regression", "paper-hybrid"}
    assert all("key" not in t.user_attrs for t in store.searched.get_trials())
    config = json.loads((tmp_path / "trials" / "paper-regression" / "config.json").read_text())["config"]
    assert (config["learning_rate"], config["head_multiplier"], config["target_scale"], config["outlier_sd"]) == (1e-8, 20.0, "raw", 6.0)
    assert config["learning_rate"] < sweep.space.learning_rate.low  # type: ignore[union-attr]


def test_parameters_of_tasks_are_searched_apart(sweep: Sweep, tmp_path: Path) -> None:
    store = TrialStore(SweepFolder(tmp_path), sweep)
    run(store)
    for trial in store.searched.get_trials():
        assert set(trial.params) == {"task", "outlier_sd", f"{trial.params['task']}/learning_rate", f"{trial.params['task']}/head_multiplier"}


def test_pruning_is_a_function_of_the_stored_values(sweep: Sweep, tmp_path: Path) -> None:
    store = TrialStore(SweepFolder(tmp_path), sweep)
    run(store)
    assert store.counts()["pruned"] > 0
    reached: dict[int, list[float]] = {step: [] for step in store.rungs}
    for trial in store.searched.get_trials():  # one after another, so the values at each decision are those of earlier numbers
        for step, decision in trial.user_attrs.get("rungs", {}).items():
            seen = reached[int(step)]
            seen.append(trial.intermediate_values[int(step)])
            few = len(seen) < sweep.reduction_factor
            bad = not few and seen[-1] < sorted(seen, reverse=True)[len(seen) // sweep.reduction_factor - 1]
            assert decision == ("pruned" if bad else "kept")


def test_rungs_lie_on_evaluations() -> None:
    config = trial_config(pictures=8000, evaluations=8, curve_points=40)
    assert rungs(config, 3) == (1000, 3000)
    assert rungs(config, 2) == (1000, 2000, 4000)


def test_optunas_own_pruner_forgets_a_decision(tmp_path: Path) -> None:
    """Why ours is a pure function: asked twice about one step, as after a kill in between, Optuna's lets the bad trial go on."""
    for pruner, second in ((optuna.pruners.SuccessiveHalvingPruner(1, 3, 0), False), (RungPruner((1,), 3), True)):
        study = optuna.create_study(direction="maximize", pruner=pruner)
        for found in (0.9, 0.8, 0.7):
            study.add_trial(optuna.trial.create_trial(value=found, intermediate_values={1: found}, system_attrs={"completed_rung_0": found}))
        trial = study.ask()
        trial.report(0.1, 1)
        assert trial.should_prune()
        assert trial.should_prune() is second


@pytest.mark.parametrize("cut", ["nothing", "unsynced", "too much"])
@pytest.mark.parametrize("seed", range(3))
def test_killed_between_any_two_entries(sweep: Sweep, tmp_path: Path, seed: int, cut: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every write of the store is a place to die. One after another, the sweep ends as if it had been left alone. A power cut also takes from the
    journal what was not synced; the other files are on the disk once they are written. Were more of it taken, the sweep would be another."""
    run(undisturbed := TrialStore(SweepFolder(tmp_path / "undisturbed"), sweep))
    dice = random.Random(seed)
    countdown = 0

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal countdown
            countdown -= 1
            if countdown == 0:
                raise Killed
            found = function(*arguments, **named)
            countdown -= 1
            if countdown == 0:
                raise Killed
            return found

        return call

    journal, synced = tmp_path / "killed" / "study.journal", [0, 0]  # its size at the last two syncs

    def sync(self: Journal) -> None:
        synced[:] = [synced[1], journal.stat().st_size]

    monkeypatch.setattr(Journal, "append_logs", dying(Journal.append_logs))
    monkeypatch.setattr(Journal, "sync", dying(sync))
    monkeypatch.setattr(Record, "write", dying(Record.write))
    monkeypatch.setattr(TrialStore, "_append", dying(TrialStore._append))
    kills, lost, steps = 0, 0, {}
    for _ in range(200):
        countdown = dice.randint(1, 40)
        try:
            store = TrialStore(SweepFolder(tmp_path / "killed"), sweep)
            # A trial that is resumed sends its last report again, then goes on.
            while (assignment := store.ask()) is not None:
                first = steps.get(assignment.key, 0)
                for k in range(max(0, first - 1), len(STEPS)):
                    steps[assignment.key] = k + 1
                    if not store.report(assignment.key, message(assignment, STEPS[k])):
                        break
            countdown = -1
            break
        except Killed:
            kills += 1
            if cut != "nothing" and journal.exists():
                size = synced[cut == "unsynced"]
                lost += journal.stat().st_size > size
                os.truncate(journal, size)
                synced[:] = [size, size]
    assert kills > 10
    assert (lost > 3) is (cut != "nothing")
    store = TrialStore(SweepFolder(tmp_path / "killed"), sweep)
    assert store.ask() is None
    assert (facts(store) == facts(undisturbed)) is (cut != "too much")
    for key in (f"{n:04d}" for n in range(12 * (cut != "too much"))):
        curves = [(root / "trials" / key / "points.jsonl").read_text() for root in (tmp_path / "killed", tmp_path / "undisturbed")]
        assert curves[0] == curves[1]


def test_a_torn_journal_and_a_dead_lock(sweep: Sweep, tmp_path: Path) -> None:
    run(TrialStore(SweepFolder(tmp_path), sweep))
    journal = tmp_path / "study.journal"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code": 4, "wor')
    (tmp_path / "study.journal.lock").touch()
    assert run(TrialStore(SweepFolder(tmp_path), sweep)) == []
    assert journal.read_bytes()[: len(whole)] == whole
    # Without the repair, the next entry is written behind the torn one, and the whole record is unreadable.
    journal.write_bytes(whole + b'{"op_code": 4, "wor')
    backend = optuna.storages.journal.JournalFileBackend(str(journal))
    backend.append_logs([{"op_code": 99}])
    backend.append_logs([{"op_code": 99}])
    with pytest.raises(ValueError, match=r"Expecting|Extra|Invalid|Unterminated"):
        list(backend.read_logs(0))


def test_diverged_and_failed(sweep: Sweep, tmp_path: Path) -> None:
    store = TrialStore(SweepFolder(tmp_path), sweep.model_copy(update={"paper": False, "trials": 3}))
    ends = iter([("diverged", "loss was nan"), ("failed", "Traceback ..."), ("done", None), ("done", None), ("done", None)])
    while (assignment := store.ask()) is not None:
        status, error = next(ends)
        objective = 0.3 if status == "done" else None
        store.report(assignment.key, TrialReport(step=1000, status=status, objective=objective, error=error))
    trials = store.searched.get_trials()
    assert [t.state for t in trials] == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert trials[0].value == -1.0
    assert sorted(store.standings.by_objective) == ["0002", "0003"]  # never the diverged one
    assert store.counts()["remaining"] == 0  # the failed one was made up for
    assert json.loads((tmp_path / "trials" / "0001" / "outcome.json").read_text())["error"] == "Traceback ..."


def test_a_lost_worker_costs_nothing_three_times(sweep: Sweep, tmp_path: Path) -> None:
    store = TrialStore(SweepFolder(tmp_path), sweep.model_copy(update={"paper": False, "trials": 1}))
    handed = []
    for death in range(4):
        assignment = store.ask()
        assert assignment is not None
        handed.append((assignment.key, assignment.config))
        assert store.ask() is None  # it is under way, nothing else remains
        assert store.under_way == 1
        store.report(assignment.key, message(assignment, STEPS[0]))
        assert store.worker_died(assignment.key) is (death == 3)
    assert len(set(handed)) == 1  # the same trial with the same settings
    assert store.searched.get_trials()[0].state == TrialState.FAIL
    outcome = json.loads((tmp_path / "trials" / "0000" / "outcome.json").read_text())
    assert outcome["error"] == "its worker died 4 times; see the Ray log of the node"
    assert store.worker_died("0000") is False  # a worker that dies after its trial ended changes nothing
    made_up = store.ask()
    assert made_up is not None
    assert made_up.key == "0001"


def test_what_fails_every_trial_ends_the_run(sweep: Sweep, tmp_path: Path) -> None:
    store = TrialStore(SweepFolder(tmp_path), sweep)
    ran = []
    while (assignment := store.ask()) is not None:
        ran.append(assignment.key)
        store.report(assignment.key, TrialReport(step=0, status="failed", objective=None, error="no such weights"))
    assert len(ran) == 3
    assert store.stop_reason == "no such weights"
    assert TrialStore(SweepFolder(tmp_path), sweep).ask() is not None  # started again, it tries again


def test_the_best_is_the_last_objective_of_a_finished_trial(sweep: Sweep, tmp_path: Path) -> None:
    store = TrialStore(SweepFolder(tmp_path), sweep.model_copy(update={"paper": False, "trials": 2, "prune": False}))
    curves = {0: (0.9, 0.1), 1: (0.2, 0.2)}  # the first shone for a moment
    while (assignment := store.ask()) is not None:
        for step, found in zip((500, 1000), curves[int(assignment.key)], strict=True):
            store.report(assignment.key, message(assignment, step).model_copy(update={"objective": found}))
    assert store.standings.by_objective == ["0001", "0000"]


def test_only_the_top_three_keep_weights(sweep: Sweep, tmp_path: Path) -> None:
    store = TrialStore(SweepFolder(tmp_path), sweep.model_copy(update={"prune": False, "trials": 6}))
    while (assignment := store.ask()) is not None:
        assignment.folder.model.touch()
        store.report(assignment.key, message(assignment, STEPS[-1]))
    kept = {path.parent.name for path in tmp_path.glob("trials/*/model.safetensors")}
    assert kept == set(store.standings.by_objective[:3]) | {"paper-regression", "paper-hybrid"}
