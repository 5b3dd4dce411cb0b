"""A winner's seed that met a full disk, and two sweeps of one name in one database: nothing is lost behind an exit 0, nothing is mixed."""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peoria.config.space import LogUniform, Space
from peoria.config.sweep import Sweep
from peoria.errors import ReportError, SweepError
from peoria.records.folder import SweepFolder, TrialFolder
from peoria.records.schema import RunState, TrialOutcome, TrialStart
from peoria.records.selection import seed_key, winners_of
from peoria.records.trials import read_trials
from peoria.report.build import report
from peoria.serving.export import export
from peoria.sweep import strikes
from peoria.sweep.lock import sweep_lock
from peoria.sweep.repair import check
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import SweepResult, run_sweep
from peoria.training import saving
from shards.errors import DamagedShardError, NoRoomError
from shards.read.openings import openings
from tests.helpers.small import small_sweep
from tests.helpers.small_disk import small_disk
from tests.helpers.sweep_folder import WrittenSweep


def sweep_of(shards: Path, **changes: object) -> Sweep:
    return small_sweep(shards, **{"name": "owed", "trials": 2, "seeds": 3} | changes)


def run(sweep: Sweep, home: Path, cache: Path, said: Callable[[str], object] = lambda line: None, **options: Any) -> tuple[int, dict[str, int]]:
    result = run_sweep(sweep, RunOptions(home=home, local=True, tracking="off", cache_dir=cache, **options), said)
    return result.exit_code, result.counts


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of a thousandth of what they are."""
    monkeypatch.setattr(strikes, "LONGEST_WAIT_S", 0.001)


@pytest.fixture(scope="module")
def undisturbed(planted_shards: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert run(sweep_of(planted_shards), folder, home / "cache")[0] == 0
    return SweepFolder.of(folder, "owed")


def seed_of(folder: SweepFolder) -> str:
    return seed_key(winners_of(folder.read_definition(), read_trials(folder))["views"].key, 1)


def facts(folder: SweepFolder) -> dict[str, Any]:
    """All that a sweep is, but for times."""
    return {
        trial.key: (
            trial.config,
            trial.status,
            trial.objective,
            trial.folder.points.read_text(),
            trial.folder.model.read_bytes() if trial.folder.model.exists() else b"",
        )
        for trial in read_trials(folder)
    }


@pytest.mark.slow
def test_a_seed_that_met_a_full_disk_is_trained_again(
    planted_shards: Path, home: Path, tmp_path: Path, undisturbed: SweepFolder, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    """While the disk is full the run ends incomplete, and `report` opens nothing; with room the same command ends the sweep that it always was."""
    real = saving.save_checkpoint

    def full(folder: TrialFolder, **named: Any) -> None:
        if "seed" in folder.key:
            raise OSError(errno.ENOSPC, "No space left on device", str(folder.checkpoint))
        real(folder, **named)

    monkeypatch.setattr(saving, "save_checkpoint", full)
    said: list[str] = []
    code, counts = run(sweep_of(planted_shards), tmp_path, home / "cache", said.append)
    assert code == 3
    assert counts["unsearched_remaining"] > 0
    assert counts["failed"] == 0
    folder = SweepFolder.of(tmp_path, "owed")
    assert RunState.read(folder.finished).status != "finished"
    assert any("stopped: 000" in line and "No space left on device" in line for line in said)
    before = openings(planted_shards)
    with pytest.raises(ReportError, match="not finished"):
        report(tmp_path, "owed", tracking="off", cache=home / "cache", say=said.append)
    assert openings(planted_shards) == before

    monkeypatch.setattr(saving, "save_checkpoint", real)
    code, counts = run(sweep_of(planted_shards), tmp_path, home / "cache")
    assert (code, counts["unsearched_remaining"]) == (0, 0)
    assert facts(folder) == facts(undisturbed)


def test_report_checks_all_that_it_needs_before_it_opens_test(
    planted_shards: Path, home: Path, tmp_path: Path, undisturbed: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = openings(planted_shards)
    again = SweepFolder.of(tmp_path, "owed")
    seed = seed_of(undisturbed)

    def of_another(trial: TrialFolder) -> None:
        for name in (trial.model.name, trial.model_card.name):
            shutil.copy(again.trial(seed.rpartition("-seed-")[0]).path / name, trial.path / name)

    def edited(trial: TrialFolder) -> None:
        outcome = TrialOutcome.read(trial.outcome)
        outcome.model_copy(update={"metrics": outcome.metrics | {"val/rho_views": 0.99}}).write(trial.outcome)

    def flipped(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))

    for damage, text in (
        (lambda: again.trial(seed).model.unlink(), rf"{seed}/model\.safetensors: No such file"),
        (lambda: flipped(again.trial(seed).model), rf"{seed}/model\.safetensors: sha256 "),
        (lambda: again.trial(seed).model_card.write_text("{"), rf"{seed}/model\.json: not JSON"),
        (lambda: again.trial(seed).val_scores.write_bytes(b""), rf"{seed}/val_scores\.npz: "),
        (lambda: shutil.rmtree(again.trial(seed).path), rf"{seed}: not there; (a candidate|the winner)'s settings with each fresh seed"),
        (lambda: again.baseline("colour-ridge").record.write_text(""), r"colour-ridge/baseline\.json: not JSON"),
        (lambda: again.baseline("colour-ridge").val_scores.unlink(), r"colour-ridge/val_scores\.npz: No such file"),
        (lambda: of_another(again.trial(seed)), rf"{seed}/model\.json: a model of other settings than those in config\.json"),
        (lambda: edited(again.trial("0000")), r"0000/outcome\.json: of other settings than config\.json, or of another curve"),
    ):
        shutil.rmtree(tmp_path / "sweeps", ignore_errors=True)
        shutil.copytree(undisturbed.path, again.path)
        damage()
        with pytest.raises(ReportError, match=text):
            report(tmp_path, "owed", tracking="off", cache=home / "cache", say=lambda line: None)
        assert openings(planted_shards) == before
    monkeypatch.setattr("peoria.verdict.ready.REPORT_BYTES", shutil.disk_usage(tmp_path).free + (1 << 33))
    shutil.rmtree(tmp_path / "sweeps")
    shutil.copytree(undisturbed.path, again.path)
    with pytest.raises(NoRoomError, match=r"report: [0-9,]+ bytes are needed for the report; [0-9,]+ bytes are free"):
        report(tmp_path, "owed", tracking="off", cache=home / "cache", say=lambda line: None)
    assert openings(planted_shards) == before


@pytest.mark.parametrize("table", ["near_duplicates.parquet", "ledger.parquet"])
def test_report_reads_every_table_before_it_opens_test(
    planted_shards: Path, home: Path, tmp_path: Path, undisturbed: SweepFolder, table: str
) -> None:
    shutil.copytree(undisturbed.path, SweepFolder.of(tmp_path, "owed").path)
    before, whole = openings(planted_shards), (planted_shards / table).read_bytes()
    try:
        (planted_shards / table).write_bytes(whole[:-1])
        with pytest.raises(DamagedShardError, match=table):
            report(tmp_path, "owed", tracking="off", cache=home / "cache", say=lambda line: None)
    finally:
        (planted_shards / table).write_bytes(whole)
    assert openings(planted_shards) == before


def test_report_opens_nothing_while_another_process_holds_the_sweep(
    planted_shards: Path, home: Path, tmp_path: Path, undisturbed: SweepFolder
) -> None:
    """Two reports at once opened test twice."""
    folder = SweepFolder.of(tmp_path, "owed")
    shutil.copytree(undisturbed.path, folder.path)
    before = openings(planted_shards)
    with sweep_lock(folder), pytest.raises(SweepError, match="one process at a time"):
        report(tmp_path, "owed", tracking="off", cache=home / "cache", say=lambda line: None)
    assert openings(planted_shards) == before


def test_repair_leaves_nothing_that_no_command_mends(planted_shards: Path, home: Path, tmp_path: Path, undisturbed: SweepFolder) -> None:
    folder = SweepFolder.of(tmp_path, "owed")
    seed = seed_of(undisturbed)

    def a_folder(path: Path) -> None:
        path.unlink()
        path.mkdir()

    def edited() -> None:
        outcome = TrialOutcome.read(folder.trial("0000").outcome)
        outcome.model_copy(update={"metrics": outcome.metrics | {"val/rho_views": 0.99}}).write(folder.trial("0000").outcome)

    def of_the_paper() -> None:
        start = TrialStart.read(folder.trial("0000").start)
        start.model_copy(update={"purpose": "paper"}).write(folder.trial("0000").start)

    for damage in (
        lambda: folder.trial(seed).val_scores.unlink(),
        lambda: folder.trial(seed).val_scores.write_bytes(b""),
        lambda: a_folder(folder.trial(seed).points),
        lambda: a_folder(folder.journal),
        lambda: folder.baselines_done.write_text("{"),
        lambda: folder.baseline("colour-ridge").record.write_text("{"),
        lambda: folder.baseline("colour-ridge").val_scores.unlink(),
        edited,
        of_the_paper,
    ):
        shutil.rmtree(tmp_path / "sweeps", ignore_errors=True)
        shutil.copytree(undisturbed.path, folder.path)
        (folder.path / "trials" / "notes.txt").write_text("a stray file")
        damage()
        assert check(tmp_path, "owed") != []
        check(tmp_path, "owed", repair=True, say=lambda line: None)
        assert run(sweep_of(planted_shards), tmp_path, home / "cache")[0] == 0
        assert check(tmp_path, "owed") == []
        assert facts(folder) == facts(undisturbed)


def test_a_repair_that_is_killed_in_the_middle_loses_no_model(
    planted_shards: Path, home: Path, tmp_path: Path, undisturbed: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SweepFolder.of(tmp_path, "owed")
    seed = seed_of(undisturbed)
    real = os.replace
    for moves in range(1, 7):
        shutil.rmtree(tmp_path / "sweeps", ignore_errors=True)
        shutil.copytree(undisturbed.path, folder.path)
        folder.trial(seed).model.unlink()
        left = [moves]

        def dies(source: Path, target: Path, left: list[int] = left) -> None:
            if "damaged" in str(target):
                left[0] -= 1
                if left[0] == 0:
                    raise Killed
            real(source, target)

        monkeypatch.setattr(os, "replace", dies)
        with contextlib.suppress(Killed):
            check(tmp_path, "owed", repair=True, say=lambda line: None)
        monkeypatch.setattr(os, "replace", real)
        check(tmp_path, "owed", repair=True, say=lambda line: None)
        assert run(sweep_of(planted_shards), tmp_path, home / "cache")[0] == 0
        assert check(tmp_path, "owed") == []
        assert facts(folder) == facts(undisturbed)


def test_check_asks_for_the_storage_that_the_sweep_ran_with(planted_shards: Path, home: Path, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    assert run(sweep_of(planted_shards, seeds=0), tmp_path, home / "cache", storage=storage)[0] == 0
    with pytest.raises(SweepError, match="its trials are in the storage sqlite:"):
        check(tmp_path, "owed", repair=True)
    assert RunState.read(SweepFolder.of(tmp_path, "owed").finished).status == "finished"
    assert check(tmp_path, "owed", storage=storage) == []


@pytest.mark.parametrize("name", ["../x", "", "none"])
def test_check_of_a_name_that_is_none_writes_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "sweeps" / "none").mkdir(parents=True)
    (tmp_path / "x").mkdir()
    with pytest.raises(ReportError):
        check(tmp_path, name)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_export_to_a_full_disk_leaves_no_part_of_a_model(tmp_path: Path, undisturbed: SweepFolder) -> None:
    with small_disk(tmp_path / "disk", 100_000) as disk:
        with pytest.raises(NoRoomError, match=rf"{disk}/model/model\.safetensors: [0-9,]+ bytes are needed"):
            export(undisturbed.path.parents[1], "owed", disk / "model")
        assert list((disk / "model").iterdir()) == []


def test_a_run_that_is_not_complete_says_what_is_left(tmp_path: Path) -> None:
    definition = {"name": "left", "space": {"task": ["hybrid"]}, "paper": True, "seeds": 3, "questions": ["leak"]}
    folder = WrittenSweep(tmp_path / "left", definition=definition).folder
    result = SweepResult(folder, {"remaining": 6, "unsearched_remaining": 1}, {}, None)
    assert result.left == "not all trials are there; owed: 6 of the search, 1 of the paper's settings"
    assert result.exit_code == 3


def test_a_lost_model_is_trained_again_by_repair(planted_shards: Path, home: Path, tmp_path: Path, undisturbed: SweepFolder) -> None:
    folder = SweepFolder.of(tmp_path, "owed")
    shutil.copytree(undisturbed.path, folder.path)
    lost = next(trial.folder for trial in read_trials(folder) if trial.purpose == "reseed")
    lost.model.unlink()
    assert f"{lost.model}: No such file or directory; the weights of a finished trial" in check(tmp_path, "owed")
    said: list[str] = []
    assert check(tmp_path, "owed", repair=True, say=said.append) == []
    assert any(line.startswith(f"{lost.key}: ") and "it begins again" in line for line in said)
    assert run(sweep_of(planted_shards), tmp_path, home / "cache")[0] == 0
    assert facts(folder) == facts(undisturbed)


class Killed(BaseException):
    """As SIGKILL: nothing of ours may handle it."""


@pytest.fixture
def killing(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    real = saving.save_checkpoint

    def kill(*arguments: Any, **named: Any) -> None:
        real(*arguments, **named)
        raise Killed

    return lambda on: monkeypatch.setattr(saving, "save_checkpoint", kill if on else real)


@pytest.mark.slow
@pytest.mark.parametrize("order", ["while it waits", "once it ended"])
def test_two_homes_and_one_database(planted_shards: Path, home: Path, tmp_path: Path, killing: Callable[[bool], None], order: str) -> None:
    """The second sweep of a name is refused by the first one's place, and the first goes on as if nothing had been."""
    storage = f"sqlite:///{tmp_path}/shared.db"
    first = sweep_of(planted_shards, seeds=0)
    space = Space(task=("regression", "hybrid"), learning_rate=LogUniform(1e-6, 1e-5), head_multiplier=LogUniform(1, 2), outlier_sd=(1.0,))
    second = sweep_of(planted_shards, seeds=0, seed=7, space=space)
    if order == "while it waits":
        killing(True)
        with pytest.raises(Killed):
            run(first, tmp_path / "first", home / "cache", storage=storage)
        killing(False)
    else:
        assert run(first, tmp_path / "first", home / "cache", storage=storage)[0] == 0
    with pytest.raises(SweepError, match=rf"sweep owed: the storage has a study of this name, of the sweep that was begun in {tmp_path}/first/"):
        run(second, tmp_path / "second", home / "cache", storage=storage)
    assert not list((tmp_path / "second").glob("sweeps/*/trials/*"))
    assert run(first, tmp_path / "first", home / "cache", storage=storage)[0] == 0
    assert run(first, tmp_path / "alone", home / "cache")[0] == 0
    assert facts(SweepFolder.of(tmp_path / "first", "owed")) == facts(SweepFolder.of(tmp_path / "alone", "owed"))


def test_a_definition_that_is_gone_is_written_again_or_refused(planted_shards: Path, home: Path, tmp_path: Path, undisturbed: SweepFolder) -> None:
    folder = SweepFolder.of(tmp_path, "owed")
    shutil.copytree(undisturbed.path, folder.path)
    folder.definition.unlink()
    other = sweep_of(planted_shards, space=Space(task=("regression",)))
    with pytest.raises(SweepError, match=r"sweep\.json: not there, and the trials beside it are of another definition"):
        run(other, tmp_path, home / "cache")
    said: list[str] = []
    assert run(sweep_of(planted_shards), tmp_path, home / "cache", said.append)[0] == 0
    assert any("sweep.json was gone; the trials are of this sweep, so it is written again" in line for line in said)
    assert facts(folder) == facts(undisturbed)


def test_a_baseline_that_is_gone_is_fitted_again(planted_shards: Path, home: Path, tmp_path: Path, undisturbed: SweepFolder) -> None:
    folder = SweepFolder.of(tmp_path, "owed")
    shutil.copytree(undisturbed.path, folder.path)
    record = folder.baseline("colour-ridge").record
    before = record.read_bytes()
    os.unlink(record)
    assert check(tmp_path, "owed") == [f"{record}: not there; a baseline of the sweep"]
    assert run(sweep_of(planted_shards), tmp_path, home / "cache")[0] == 0
    assert record.read_bytes() == before
