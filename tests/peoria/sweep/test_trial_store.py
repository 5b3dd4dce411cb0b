"""The record of a sweep: remaining trials exactly, decisions that outlive a kill, a searcher that never sees the paper's points."""

import json
import os
import random
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from peoria.config.space import LogUniform
from peoria.config.sweep import Point, Sweep
from peoria.errors import SweepError
from peoria.records.folder import SweepFolder
from peoria.records.schema import Record, TrialOutcome
from peoria.records.selection import choice_in, left_of_search
from peoria.records.trials import read_trials
from peoria.sweep.pruner import RungPruner, sweep_rungs
from peoria.sweep.storage import Journal
from peoria.sweep.trial_files import Curves
from peoria.sweep.trial_store import TrialStore
from peoria.training.messages import TrialReport
from tests.helpers.dying import Dying, Killed
from tests.helpers.played import ALL_STEPS, RUNGS, STEPS, message, run
from tests.helpers.small import small_sweep
from tests.helpers.sweep_folder import WrittenSweep


@pytest.fixture
def sweep() -> Sweep:
    shared = small_sweep(Path("nowhere")).shared | {"pictures": STEPS[-1]}
    return small_sweep(Path("nowhere"), trials=12, paper=True, startup_per_task=2, shared=shared)


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
    run(store, steps=ALL_STEPS)
    assert store.counts()["pruned"] > 0
    assert store.rungs == RUNGS
    reached: dict[int, list[float]] = {step: [] for step in store.rungs}
    for trial in store.searched.get_trials():  # one after another, so the values at each decision are those of earlier numbers
        for step, decision in trial.user_attrs.get("rungs", {}).items():
            seen = reached[int(step)]
            seen.append(trial.intermediate_values[int(step)])
            few = len(seen) < sweep.reduction_factor
            bad = not few and seen[-1] < sorted(seen, reverse=True)[len(seen) // sweep.reduction_factor - 1]
            assert decision == ("pruned" if bad else "kept")


@pytest.mark.parametrize(
    ("shared", "rungs"),
    [
        ({"evaluations": 8, "curve_points": 40}, (400, 1000, 2000, 4000)),
        ({"evaluations": 4, "curve_points": 40}, (400, 1000, 2000, 4000)),
        ({"evaluations": 2, "curve_points": 4}, (2000, 4000)),  # no earlier point of the curve
        ({"evaluations": 1, "curve_points": 1}, ()),
        ({"evaluations": 1, "curve_points": 2, "rungs": ()}, ()),
    ],
)
def test_rungs_are_evaluations(sweep: Sweep, shared: dict[str, Any], rungs: tuple[int, ...]) -> None:
    """At the first point of the curve at or after each share; beside the even ones, so that no evaluation and no checkpoint is lost."""
    shared = dict(shared)
    prune = shared.pop("rungs", None) is None
    found = sweep.model_copy(update={"shared": sweep.shared | {"pictures": 8000} | shared, "prune": prune})
    assert sweep_rungs(found) == rungs
    points = found.trial({"task": "hybrid", "learning_rate": 1e-3}, seed=0, threads=1).evaluation_points()
    assert points == tuple(sorted({*rungs, *(8000 * k // shared["evaluations"] for k in range(1, shared["evaluations"] + 1))}))


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
    journal what was not synced; the other files are on the disk once they are written. Were more of it taken, the sweep would be another, and is
    refused."""
    run(undisturbed := TrialStore(SweepFolder(tmp_path / "undisturbed"), sweep), steps=ALL_STEPS)
    dice = random.Random(seed)
    dying = Dying()
    journal, synced = tmp_path / "killed" / "study.journal", [0, 0]  # its size at the last two syncs

    def sync(self: Journal) -> None:
        synced[:] = [synced[1], journal.stat().st_size]

    monkeypatch.setattr(Journal, "append_logs", dying(Journal.append_logs))
    monkeypatch.setattr(Journal, "sync", dying(sync))
    monkeypatch.setattr(Record, "write", dying(Record.write))
    monkeypatch.setattr(Curves, "append", dying(Curves.append))
    kills, lost, steps, refused = 0, 0, {}, ""
    for _ in range(200):
        dying.left = dice.randint(1, 40)
        try:
            store = TrialStore(SweepFolder(tmp_path / "killed"), sweep)
            # A trial that is resumed sends its last report again, then goes on.
            while (assignment := store.ask()) is not None:
                first = steps.get(assignment.key, 0)
                for k in range(max(0, first - 1), len(ALL_STEPS)):
                    steps[assignment.key] = k + 1
                    if not store.report(assignment.key, message(assignment, ALL_STEPS[k], ALL_STEPS)):
                        break
            dying.left = None
            break
        except SweepError as error:
            refused = str(error)
            break
        except Killed:
            kills += 1
            if cut != "nothing" and journal.exists():
                size = synced[cut == "unsynced"]
                lost += journal.stat().st_size > size
                os.truncate(journal, size)
                synced[:] = [size, size]
    assert kills > 10 or refused
    if cut == "too much":
        assert lost > 0
        assert refused
        return
    assert not refused
    assert (lost > 3) is (cut != "nothing")
    store = TrialStore(SweepFolder(tmp_path / "killed"), sweep)
    assert store.ask() is None
    assert facts(store) == facts(undisturbed)
    for key in (f"{n:04d}" for n in range(12)):
        curves = [(root / "trials" / key / "points.jsonl").read_text() for root in (tmp_path / "killed", tmp_path / "undisturbed")]
        assert curves[0] == curves[1]


def spent(store: TrialStore) -> int:
    return sum(TrialOutcome.read(path).pictures for path in store.folder.path.glob("trials/0*/outcome.json"))


def test_no_trial_is_begun_once_the_pictures_are_spent(sweep: Sweep, tmp_path: Path) -> None:
    budget = sweep.model_copy(update={"paper": False, "trials": 60, "pictures": 2500})
    store = TrialStore(SweepFolder(tmp_path / "s"), budget)
    ran = run(store, steps=ALL_STEPS)
    assert 1 < len(ran) < 60
    last = TrialOutcome.read(store.folder.trial(ran[-1]).outcome).pictures
    assert spent(store) - last < 2500 <= spent(store)
    assert store.counts()["remaining"] == 0
    assert store.choice.over
    ended = store.searched.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    assert spent(store) == sum(max(trial.intermediate_values) for trial in ended)
    about = WrittenSweep(tmp_path / "said", definition=budget.definition(), trials=60, pictures=2500).folder.read_definition()
    assert choice_in(about, read_trials(store.folder)).over
    assert left_of_search(read_trials(store.folder), 60, 2500) == 0
    assert left_of_search(read_trials(store.folder), 60, None) == 60 - len(ran)  # control
    assert run(TrialStore(store.folder, budget), steps=ALL_STEPS) == []
    more = run(TrialStore(store.folder, budget.model_copy(update={"pictures": 4000})), steps=ALL_STEPS)
    assert more[0] == f"{len(ran):04d}"


def test_a_trial_under_way_when_the_pictures_are_spent_is_ended(sweep: Sweep, tmp_path: Path) -> None:
    budget = sweep.model_copy(update={"paper": False, "trials": 60, "pictures": 1000, "prune": False})
    store = TrialStore(SweepFolder(tmp_path), budget, concurrent=2)
    first, second = store.ask(), store.ask()
    assert first is not None
    assert second is not None
    store.report(first.key, message(first, STEPS[-1]))
    assert store.ask() is None
    assert (store.counts()["remaining"], store.choice.over) == (1, False)
    store.report(second.key, TrialReport(step=600, status="diverged", error="nan"))
    assert (store.counts()["remaining"], spent(store)) == (0, 1600)  # where it diverged, between two evaluations


@pytest.mark.parametrize("budget", [None, 3000])
def test_killed_a_sweep_with_what_is_typical_draws_the_same(
    sweep: Sweep, tmp_path: Path, budget: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = sweep.space.model_copy(update={"learning_rate": LogUniform(1e-5, 1e-1, typical=1e-3), "head_multiplier": LogUniform(1, 100, typical=20)})
    typical = sweep.model_copy(update={"space": space, "paper": False, "startup_per_task": 3, "pictures": budget})
    run(undisturbed := TrialStore(SweepFolder(tmp_path / "undisturbed"), typical), steps=ALL_STEPS)
    dying, dice, kills = Dying(), random.Random(0), 0
    monkeypatch.setattr(Journal, "append_logs", dying(Journal.append_logs))
    monkeypatch.setattr(Record, "write", dying(Record.write))
    while True:
        dying.left = dice.randint(1, 30)
        try:
            run(TrialStore(SweepFolder(tmp_path / "killed"), typical), steps=ALL_STEPS)
            break
        except Killed:
            kills += 1
    dying.left = None
    assert kills > 5
    assert facts(TrialStore(SweepFolder(tmp_path / "killed"), typical)) == facts(undisturbed)
    ended = len(undisturbed.searched.get_trials())
    assert ended == 12 if budget is None else 1 < ended < 12


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


def test_what_fails_every_trial_ends_the_run(sweep: Sweep, tmp_path: Path) -> None:
    store = TrialStore(SweepFolder(tmp_path), sweep)
    ran = []
    while (assignment := store.ask()) is not None:
        ran.append(assignment.key)
        store.report(assignment.key, TrialReport(step=0, status="failed", objective=None, error="no such weights"))
    assert len(ran) == 3
    assert store.stop_reason == "3 trials in a row failed; the last one:\nno such weights"
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
