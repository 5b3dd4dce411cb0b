"""Journal and folder of a sweep: what was lost or changed of either is refused by name, and never makes another search."""

import re
import shutil
from pathlib import Path

import pytest
from optuna.trial import TrialState

from peoria.config.sweep import Sweep
from peoria.errors import RecordError, SweepError
from peoria.records.folder import SweepFolder
from peoria.records.points import read_points
from peoria.records.schema import RunState, TrialOutcome
from peoria.sweep.check import problems_of
from peoria.sweep.repair import check
from peoria.sweep.trial_store import TrialStore
from tests.helpers import played
from tests.helpers.damage import DAMAGE, Damage, define, ends, lines
from tests.helpers.played import STEPS, message, run, with_model
from tests.helpers.small import small_sweep

TWICE = re.compile(r"(\S+/\S+): (?:.*\s)?\1(?=[:;,\s]|$)")


@pytest.fixture(scope="module")
def sweep() -> Sweep:
    shared = small_sweep(Path("nowhere")).shared | {"pictures": STEPS[-1]}
    rungs = {"rungs": (0.25, 0.5), "reduction_factor": 3}  # by which 0001 is done, and the last one begun goes on
    return small_sweep(Path("nowhere"), trials=12, paper=True, startup_per_task=2, shared=shared, **rungs)


@pytest.fixture(scope="module")
def half(sweep: Sweep, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep killed in the middle: some trials have ended, one is under way."""
    folder = tmp_path_factory.mktemp("half") / "sweeps" / sweep.name
    define(SweepFolder(folder), sweep)
    store = TrialStore(SweepFolder(folder), sweep)
    for _ in range(8):
        assignment = store.ask()
        assert assignment is not None
        for step in STEPS:
            with_model(assignment, step)
            if not store.report(assignment.key, message(assignment, step)):
                break
    last = store.ask()
    assert last is not None
    store.report(last.key, message(last, STEPS[0]))
    return folder


@pytest.fixture
def folder(half: Path, tmp_path: Path) -> SweepFolder:
    shutil.copytree(half, tmp_path / "sweeps" / half.name)
    return SweepFolder(tmp_path / "sweeps" / half.name)


@pytest.mark.parametrize(("damage", "text"), DAMAGE, ids=range(len(DAMAGE)))
def test_what_was_changed_is_refused_by_name_and_left_as_it_is(folder: SweepFolder, sweep: Sweep, damage: Damage, text: str) -> None:
    damage(folder, "0001")
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with pytest.raises((SweepError, RecordError), match=text) as caught:
        TrialStore(folder, sweep)
    assert "Traceback" not in str(caught.value)
    after = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    after.pop(folder.journal, None)
    before.pop(folder.journal, None)
    assert after == before


@pytest.fixture(scope="module")
def whole(sweep: Sweep, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What the sweep comes to when nothing happens to it."""
    folder = SweepFolder(tmp_path_factory.mktemp("whole"))
    run(TrialStore(folder, sweep), with_model)
    return ends(folder)


def test_a_sweep_that_was_left_alone_goes_on(folder: SweepFolder, sweep: Sweep, whole: dict[str, object]) -> None:
    assert check(folder.path.parents[1], sweep.name) == []
    assert run(TrialStore(folder, sweep), with_model)[-1] == "0011"
    assert ends(folder) == whole


@pytest.mark.parametrize("damage", [damage for damage, _ in DAMAGE], ids=range(len(DAMAGE)))
def test_a_repair_says_what_it_does_and_the_search_is_the_same(folder: SweepFolder, sweep: Sweep, whole: dict[str, object], damage: Damage) -> None:
    before = {path.relative_to(folder.path): path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    damage(folder, "0001")
    assert check(folder.path.parents[1], sweep.name) != []
    said: list[str] = []
    assert check(folder.path.parents[1], sweep.name, repair=True, say=said.append) == []
    assert said
    assert not [line for line in said if TWICE.search(line)]
    assert check(folder.path.parents[1], sweep.name, repair=True, say=said.append) == []
    run(TrialStore(folder, sweep), with_model)
    found = ends(folder)
    for key, of in whole.items():
        assert found[key] == of, (key, said)
    kept = {path.name.split(".")[0] for path in folder.damaged.rglob("*") if path.is_file()} if folder.damaged.exists() else set()
    there = {path.relative_to(folder.path) for path in folder.path.rglob("*") if path.is_file()}
    assert {path.name.split(".")[0] for path in before if path not in there} <= kept | {"0001"}


def test_a_definition_that_is_torn_is_moved_aside(folder: SweepFolder, sweep: Sweep) -> None:
    folder.definition.write_text('{"na')
    assert "not JSON" in problems_of(folder, None)[0]
    said: list[str] = []
    assert "written it again" in check(folder.path.parents[1], sweep.name, repair=True, say=said.append)[-1]
    assert f"{folder.definition} is gone: the command that ran the sweep writes it again" in said
    assert said[0].startswith(f"{folder.definition}: not JSON (")


@pytest.mark.parametrize("content", ['{"na', "{}", '{"format_version": 2, "mood": 1}'])
def test_a_path_stands_once_in_what_is_said_of_it(folder: SweepFolder, sweep: Sweep, content: str) -> None:
    """Every record of a folder, damaged in every way that reading refuses."""
    trial = folder.trial("0001")
    records = (folder.finished, folder.holder, folder.baselines_done, folder.baseline("age-only").record, trial.start, trial.outcome)
    for path in records:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    with pytest.raises(RecordError) as refused:
        RunState.read(folder.finished)
    assert TWICE.search(f"{folder.finished}: {refused.value.problems[0]}")  # the control: what is refused begins with the path
    said: list[str] = []
    check(folder.path.parents[1], sweep.name, repair=True, say=said.append)
    moved = [line.partition(": ")[0] for line in said if "; moved to " in line]
    assert {str(path) for path in records} - set(moved) <= {str(folder.holder)}  # which the repair itself wrote, as it began
    assert not [line for line in said if TWICE.search(line)]


def test_another_storage_than_the_sweeps_is_refused(folder: SweepFolder, sweep: Sweep, tmp_path: Path) -> None:
    with pytest.raises(SweepError, match=r"sweep small: its trials are in the storage journal, not in sqlite:///.*/other\.db"):
        check(folder.path.parents[1], sweep.name, storage=f"sqlite:///{tmp_path}/other.db")
    assert not (tmp_path / "other.db").exists()


def test_a_pruned_trial_keeps_its_value_whichever_lines_a_journal_has_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each line that a copy of the journal may end at: where it is taken up at all, Optuna is told the value that the outcome has."""
    shared = small_sweep(Path("nowhere")).shared | {"pictures": STEPS[-1]}
    sweep = small_sweep(Path("nowhere"), trials=8, shared=shared, rungs=(0.25, 0.5))
    folder = SweepFolder(tmp_path / "sweeps" / sweep.name)
    define(folder, sweep)
    first = played.value  # the best at the first rung are the worst from there on
    monkeypatch.setattr(played, "value", lambda assignment, step: first(assignment, step) * (1 if step == STEPS[0] else -1))
    run(TrialStore(folder, sweep), with_model)
    pruned = {trial.key: outcome for trial in folder.trials() if (outcome := TrialOutcome.read(trial.outcome)).status == "pruned"}
    assert any(len(read_points(folder.trial(key).points)) > 5 for key in pruned)  # one that has more than the first rung's value
    journal, told = lines(folder), 0
    for num in range(1, len(journal)):
        copy = SweepFolder(tmp_path / str(num) / sweep.name)
        shutil.copytree(folder.path, copy.path)
        copy.journal.write_bytes(b"".join(journal[:num]))
        try:
            store = TrialStore(copy, sweep)
        except (SweepError, RecordError):
            continue
        values = {f"{trial.number:04}": trial.value for trial in store.searched.get_trials() if trial.state == TrialState.PRUNED}
        told += len(values)
        assert values == {key: pruned[key].objective for key in values}, num
        shutil.rmtree(copy.path)
    assert told > len(pruned)
