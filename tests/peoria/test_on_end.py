"""`--on-end`: a command of the user's runs at every end of a sweep, in bounded time, and changes no status."""

import os
import shlex
import sys
import time
from pathlib import Path

import pytest

from peoria.cli import main
from peoria.on_end import End, ending, run_on_end
from tests.helpers.small import own_file

TOLD = ["sh", "-c", 'echo "$PEORIA_SWEEP|$PEORIA_STATE|$PEORIA_EXIT_CODE|$PEORIA_WHY" >> "$TOLD"']


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOLD", str(tmp_path / "told"))
    return tmp_path / "told"


@pytest.mark.parametrize(("code", "state"), [(0, "finished"), (3, "interrupted"), (4, "failed")])
def test_it_is_told_how_the_sweep_ended(code: int, state: str, told: Path) -> None:
    with ending(TOLD) as end:
        end.sweep, end.code = "demo", code
    assert told.read_text() == f"demo|{state}|{code}|\n"


def test_a_refused_sweep_and_one_that_was_interrupted_are_ends_too(told: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv=["sweep", str(own_file(tmp_path)), "--home", str(tmp_path), "--local", "--tracking", "off", "--on-end", shlex.join(TOLD)])
    assert ended.value.code == 2
    assert told.read_text().startswith("own|failed|2|nowhere: no manifest.json")
    told.unlink()
    with pytest.raises(KeyboardInterrupt), ending(TOLD):
        raise KeyboardInterrupt
    assert told.read_text() == "|interrupted|130|\n"
    told.unlink()
    with pytest.raises(ZeroDivisionError), ending(TOLD):
        _ = 1 / 0
    assert told.read_text() == "|failed|1|division by zero\n"
    capfd.readouterr()


def test_one_that_fails_or_hangs_is_told_and_over_in_time(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    end = End(sweep="demo", state="finished", code=0)
    run_on_end(["sh", "-c", "echo heard; exit 7"], end)
    printed = capfd.readouterr()
    assert printed.out == ""  # where JSON may stand
    assert printed.err == "heard\n--on-end: sh: status 7; the sweep and its status are as they are\n"
    run_on_end(["true"], end)
    assert capfd.readouterr().err == ""
    pids, began = tmp_path / "pids", time.monotonic()
    run_on_end(["sh", "-c", f"trap '' TERM; sleep 300 & echo $! > {pids}; wait; wait"], end, limit_s=1.0)
    assert time.monotonic() < began + 60
    assert "not over after 1 s, so it was ended" in capfd.readouterr().err
    child = int(pids.read_text())
    deadline = time.monotonic() + 10
    while os.path.exists(f"/proc/{child}") and Path(f"/proc/{child}/stat").read_text().split()[2] != "Z":  # with all that it started
        assert time.monotonic() < deadline
        time.sleep(0.05)
    run_on_end(["sh", "-c", "kill -9 $$"], end)
    assert "ended by SIGKILL" in capfd.readouterr().err
    run_on_end([str(tmp_path)], end)  # no program
    assert "ermission denied" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("command", "said"), [("no-such-program x", "--on-end: 'no-such-program'"), ("'open", "No closing quotation"), ("", "no command")]
)
def test_one_that_cannot_be_run_is_refused_before_the_sweep(command: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv=["sweep", str(own_file(tmp_path)), "--home", str(tmp_path), "--on-end", command])
    assert ended.value.code == 2
    assert said.lower() in capsys.readouterr().err.lower()


def test_no_shell_runs_it(capfd: pytest.CaptureFixture[str]) -> None:
    run_on_end([sys.executable, "-c", "import sys; print(sys.argv[1])", "$HOME;*"], End())
    assert capfd.readouterr().err == "$HOME;*\n"
