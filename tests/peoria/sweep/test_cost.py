"""What an event of a sweep costs the driver: counted, not timed, with few trials and with many."""

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from benchmarks.driver import REPORTS, fill, report_of, sweep_of, unsynced
from peoria.records.folder import SweepFolder
from peoria.sweep import sampler
from peoria.sweep.one_writer import OneWriter
from peoria.sweep.storage import Journal
from peoria.sweep.trial_store import Assignment, TrialStore
from tests.helpers.counted import counted

SIZES = [pytest.param((5, 40), (20, 150), id="few"), pytest.param((10, 1000), (100, 5000), id="many", marks=pytest.mark.slow)]


def opened(path: Path, ended: int, running: int) -> tuple[TrialStore, list[Assignment]]:
    """A store with so many trials that have ended and so many handed out."""
    folder, sweep = SweepFolder(path), sweep_of(100_000)
    with unsynced():
        fill(folder, sweep, ended, running=running)
        store = TrialStore(folder, sweep, concurrent=running + 1)
        found = [assignment for assignment in itertools.islice(iter(store.ask, None), running) if assignment is not None]
    assert len(found) == running
    return store, found


class Events:
    """What a suggestion, a report that decides nothing, one at a rung and an end cost."""

    def __init__(self, path: Path, ended: int, running: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, handed_out = opened(path, ended, running)
        read = OneWriter.get_all_trials

        def reading(self: OneWriter, study_id: int, deepcopy: bool = True, states: Any = None) -> list[Any]:
            found = read(self, study_id, deepcopy, states)
            seen["rows"] += sum(trial.state.is_finished() for trial in found)
            return found

        monkeypatch.setattr(OneWriter, "get_all_trials", reading)
        seen = Counter[str]()
        self.found: dict[str, Counter[str]] = {}
        self.store.ask()  # the first one reads what runs
        first = handed_out[0]
        for name, evaluation in (("first rung", 0), ("rung", 1), ("report", 3), ("end", REPORTS - 1)):
            with counted() as num:
                assert self.store.report(first.key, report_of(first.config, evaluation)) is (name != "end")
            self.found[name], seen = num | seen, Counter()
        with counted() as num:
            assert self.store.ask() is not None
        self.found["suggest"] = num | seen
        monkeypatch.setattr(OneWriter, "get_all_trials", read)

    def of(self, what: str) -> dict[str, int]:
        return {name: num[what] for name, num in self.found.items()}


@pytest.mark.parametrize(("running", "ended"), SIZES)
def test_no_event_grows_with_the_sweep(running: tuple[int, int], ended: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peoria.sweep.pruner.RungPruner.prune", _kept_by(monkeypatch))
    monkeypatch.setattr(sampler, "MOST", running[0])
    few = Events(tmp_path / "few", ended[0], running[0], monkeypatch)
    concurrent = Events(tmp_path / "concurrent", ended[0], running[1], monkeypatch)
    many = Events(tmp_path / "many", ended[1], running[0], monkeypatch)
    for what in ("open", "os.scandir", "os.listdir", "stat", "fsync", "rows"):
        assert few.of(what) == concurrent.of(what) == many.of(what), what
    assert few.of("points") == concurrent.of("points") == many.of("points")  # a draw looks at a fixed number of those that run
    assert few.of("points")["suggest"] == running[0]
    assert few.of("rows") == dict.fromkeys(few.of("rows"), 0)


def _kept_by(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The pruner's own work, but everybody is kept, so that each sweep's first trial goes all its way."""
    from peoria.sweep.pruner import RungPruner

    prune = RungPruner.prune

    def kept(self: RungPruner, study: Any, trial: Any) -> bool:
        prune(self, study, trial)
        return False

    return kept


def test_the_counters_see_what_was_done_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: with each index turned off, the same counts grow."""
    monkeypatch.setattr("peoria.sweep.pruner.RungPruner.prune", _kept_by(monkeypatch))
    whole = Events(tmp_path / "whole", 20, 5, monkeypatch)
    monkeypatch.setattr("peoria.sweep.pruner.RungPruner.remember", lambda self, trials: None)
    assert Events(tmp_path / "pruner", 60, 5, monkeypatch).of("rows")["rung"] >= 60
    monkeypatch.undo()

    monkeypatch.setattr("peoria.sweep.pruner.RungPruner.prune", _kept_by(monkeypatch))
    everybody = [Events(tmp_path / f"running-{running}", 20, running, monkeypatch).of("points")["suggest"] for running in (5, 40)]
    assert everybody == [5, 40]
    monkeypatch.undo()

    monkeypatch.setattr("peoria.sweep.pruner.RungPruner.prune", _kept_by(monkeypatch))
    monkeypatch.setattr(Journal, "read_logs", JournalFileBackend.read_logs)
    assert Events(tmp_path / "journal", 20, 5, monkeypatch).of("open")["suggest"] > whole.of("open")["suggest"] + 5


def test_how_often_a_trial_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """3 when it begins (the journal, its settings and their folder), at a rung its curve and the journal (and once the folder of the new curve), 4 at
    its end (curve, journal, outcome and folder), none for any other report."""
    monkeypatch.setattr("peoria.sweep.pruner.RungPruner.prune", _kept_by(monkeypatch))
    store, _ = opened(tmp_path / "held", 20, 2)
    with counted() as num:
        assignment = store.ask()
    assert assignment is not None
    waits = [num["fsync"]]
    for evaluation in range(REPORTS):
        with counted() as num:
            store.report(assignment.key, report_of(assignment.config, evaluation))
        waits.append(num["fsync"])
    assert waits == [3, 3, 2, 2, 0, 2, 0, 0, 0, 4]
    # The control: where values are not held back, each report waits for its curve and the journal.
    store._values.held = store._storage.hold_values = False
    with counted() as num:
        assignment = store.ask()
        assert assignment is not None
        for evaluation in range(REPORTS):
            store.report(assignment.key, report_of(assignment.config, evaluation))
    assert num["fsync"] > 20


def test_what_is_known_is_what_is_stored(tmp_path: Path) -> None:
    """Whatever is entered through it, another who opens the journal reads the same."""
    inner = optuna.storages.JournalStorage(Journal(tmp_path / "journal"))
    known = OneWriter(inner)
    study = optuna.create_study(study_name="s", storage=known, direction="maximize", sampler=optuna.samplers.RandomSampler(0))
    study.enqueue_trial({"x": 0.25, "kind": "b"}, user_attrs={"key": "first", "nested": {"a": [1, 2]}})
    study.enqueue_trial({})
    running = []
    for number in range(12):
        trial = study.ask()
        trial.suggest_float("x", 1e-3, 1.0, log=True)
        trial.suggest_categorical("kind", ["a", "b", None])
        trial.set_user_attr("config", {"number": number, "pair": (1, 2)})
        running.append(trial)
        for step in range(number % 4):
            trial.report(step / 7, step)
    for trial, state in zip(running[:9], itertools.cycle((TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)), strict=False):
        study.tell(trial, 0.5 if state == TrialState.COMPLETE else None, state=state)

    def facts(storage: optuna.storages.BaseStorage, states: Any = None) -> list[Any]:
        trials = storage.get_all_trials(storage.get_study_id_from_name("s"), states=states)
        return [(t.number, t.state, t.values, t.params, t.distributions, t.user_attrs, t.system_attrs, t.intermediate_values) for t in trials]

    anew = optuna.storages.JournalStorage(JournalFileBackend(str(tmp_path / "journal")))
    for states in (None, (TrialState.RUNNING,), (TrialState.WAITING,), (TrialState.COMPLETE, TrialState.FAIL), ()):
        assert facts(known, states) == facts(anew, states) == facts(OneWriter(anew), states)
    assert [t[0] for t in facts(known, (TrialState.RUNNING,))] == [9, 10, 11]
    # Held back, a value is known here and entered with the next thing of its trial.
    known.hold_values = True
    running[9].report(0.75, 99)
    assert facts(known)[9][-1][99] == 0.75
    assert 99 not in facts(optuna.storages.JournalStorage(JournalFileBackend(str(tmp_path / "journal"))))[9][-1]
    running[9].set_user_attr("more", 1)
    assert facts(known) == facts(optuna.storages.JournalStorage(JournalFileBackend(str(tmp_path / "journal"))))
