"""The processes of a Ray of our own are found whatever they do to their environment, and nobody else is."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from peoria.sweep.processes import MARK, end_from_outside, end_marked, marked

WAIT = "import sys, time; held = sys.argv[1:] and open(sys.argv[1], sys.argv[2]); print(flush=True); time.sleep(300)"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """One that bears the mark, one that lost it and writes a log, and a user's own that reads that log."""
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "log").touch()
    bare = {name: value for name, value in os.environ.items() if name != MARK}
    given: dict[str, tuple[dict[str, str], list[str]]] = {
        "marked": (bare | {MARK: "abc"}, []),
        "writer": (bare, [str(tmp_path / "ray" / "log"), "a"]),
        "reader": (bare, [str(tmp_path / "ray" / "log"), "r"]),
    }
    found = {}
    for name, (environment, words) in given.items():
        found[name] = subprocess.Popen([sys.executable, "-c", WAIT, *words], env=environment, stdout=subprocess.PIPE, text=True)
        assert found[name].stdout is not None
        found[name].stdout.readline()
    yield found
    for process in found.values():
        process.kill()
        process.communicate()


def test_who_writes_in_the_folder_is_ended_and_who_reads_is_not(started: dict[str, subprocess.Popen[str]], tmp_path: Path) -> None:
    pids = {name: process.pid for name, process in started.items()}
    assert marked("abc") == [pids["marked"]]  # control: by the mark alone the writer would live on
    assert set(marked("abc", str(tmp_path / "ray"))) == {pids["marked"], pids["writer"]}
    for name in ("marked", "writer"):
        started[name].poll()
    end_marked("abc", str(tmp_path / "ray"))
    assert [started[name].wait(30) for name in ("marked", "writer")] == [-9, -9]
    assert started["reader"].poll() is None


def test_from_outside(started: dict[str, subprocess.Popen[str]], tmp_path: Path) -> None:
    end_from_outside("abc", tmp_path / "ray").wait(30)
    assert [started[name].wait(30) for name in ("marked", "writer")] == [-9, -9]
    assert started["reader"].poll() is None
    assert not (tmp_path / "ray").exists()
