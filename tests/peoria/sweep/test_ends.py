"""How a run of a sweep ends: the last lines, the reason in the record, and a file that tells trials to stop though nobody asked."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from peoria.errors import Interrupted, StorageAwayError, SweepError
from peoria.records.folder import SweepFolder
from peoria.records.schema import RunState
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import end_as, how, run_sweep
from peoria.sweep.status import status
from tests.helpers.small import own_file, small_sweep
from tests.helpers.sweep_folder import WrittenSweep


def test_the_last_lines_say_that_the_hours_are_over_what_is_owed_and_what_goes_on(planted_shards: Path, tmp_path: Path) -> None:
    words = ["sweep", str(own_file(tmp_path)), "--shards", str(planted_shards), "--local", "--tracking", "off", "--home", str(tmp_path / "h h")]

    def given(*more: str) -> list[str]:
        command = [sys.executable, "-m", "peoria", *words, *more]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"COLUMNS": "80"})
        assert done.returncode == (3 if more else 0), done.stderr
        assert "()" not in done.stdout
        return done.stdout.splitlines()

    lines = given("--hours", "1e-9")
    assert lines[-4:] == [
        "  stopped: the 1e-09 h of --hours are over",
        "0 of 9 trials; no winner, for no trial finished",
        "not all trials are there; owed: 9 of the search",
        f"the same command goes on: {shlex.join(['peoria', *words, '--hours', '1e-9'])}",
    ]
    assert status(tmp_path / "h h", "own").splitlines()[-2].endswith(": the 1e-09 h of --hours are over")
    words += ["--trials", "1"]
    lines = given()  # the control: nothing is over
    assert lines[-1] == f"next: peoria report own --home {shlex.quote(str(tmp_path / 'h h'))}"
    assert "--hours" not in "\n".join(lines)


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (Interrupted(15), "interrupted", "SIGTERM"),
        (KeyboardInterrupt(), "interrupted", "Ctrl-C"),
        (StorageAwayError("storage s: refused", hint="later"), "interrupted", "storage s: refused"),
        (ZeroDivisionError("division\nby zero"), "failed", "ZeroDivisionError: division"),
        (SweepError("storage postgresql://ann:secret@h/d: gone"), "failed", "storage postgresql://h/d: gone"),
        (SweepError("of another \udcff encoding"), "failed", "of another \\udcff encoding"),
    ],
)
def test_a_record_says_in_a_line_why_a_run_ended(tmp_path: Path, error: BaseException, status: str, reason: str) -> None:
    folder = WrittenSweep(tmp_path / "small").folder
    end_as(folder, *how(error))
    state = RunState.read(folder.finished)
    assert (state.status, state.reason) == (status, reason)
    end_as(folder, "failed", "later", unless_said=True)
    assert RunState.read(folder.finished) == state  # what was said first stands


def test_a_run_that_its_trials_end_says_why(planted_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peoria.training.trial.train", lambda *given: [][0])
    result = run_sweep(small_sweep(planted_shards), RunOptions(home=tmp_path, local=True, tracking="off"), lambda line: None)
    state = RunState.read(result.folder.finished)
    assert (state.status, state.reason) == ("failed", "3 trials in a row failed; the last one: IndexError: list index out of range")
    assert state.reason in status(tmp_path, "small")


def test_a_stop_file_of_nobodys_is_removed_aloud(planted_shards: Path, tmp_path: Path) -> None:
    """Left over at the start, and made by hand in the middle: what it stopped goes on, without a strike."""
    folder, said = SweepFolder.of(tmp_path, "small"), list[str]()
    folder.path.mkdir(parents=True)
    folder.stopping.touch()

    def say(text: str) -> None:
        said.append(text)
        if re.search(r" [12] of 2$", text) and not folder.stopping.exists():
            folder.stopping.touch()

    result = run_sweep(small_sweep(planted_shards, trials=2), RunOptions(home=tmp_path, local=True, tracking="off"), say)
    assert result.complete
    removed = f"  {folder.stopping}: left over, or made by hand; removed (Ctrl-C stops a sweep)"
    assert said[0] == removed
    assert said.count(removed) == 2
    assert not [line for line in said if "it goes on" in line or "is owed" in line]
    assert not folder.stopping.exists()


def test_a_folder_of_that_name_is_told_in_a_line(planted_shards: Path, tmp_path: Path) -> None:
    folder = SweepFolder.of(tmp_path, "small")
    folder.stopping.mkdir(parents=True)
    with pytest.raises(SweepError, match=r"small/stopping: is a folder; no such file, for it tells every trial to stop"):
        run_sweep(small_sweep(planted_shards), RunOptions(home=tmp_path, local=True, tracking="off"), lambda line: None)
