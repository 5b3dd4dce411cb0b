"""MLflow away, refusing, silent, locked, or broken for a while: nothing lost, nothing twice, told within a minute, and no training step waits."""

import itertools
import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from peoria.records.folder import SweepFolder
from peoria.records.trials import read_trials
from peoria.sweep.trial_store import TrialStore
from peoria.tracking.projection import Tracker
from peoria.tracking.projector import Projector
from peoria.tracking.reader import read_sweep
from tests.helpers.mlflow_process import MlflowServer
from tests.helpers.mlflow_stub import silent, stub
from tests.helpers.played import STEPS
from tests.helpers.played import run as play
from tests.helpers.small import small_sweep
from tests.helpers.sweep_folder import WrittenSweep

FULL = bool(os.environ.get("PEORIA_TEST_FULL"))
NUM_TRIALS, NUM_POINTS, AWAY_S = (32, 1000, 30.0) if FULL else (6, 40, 3.0)
MOST_HELD_S = 1.0  # a step of the training


PLAIN = """
import select, sys, time
longest, began = 0.0, time.monotonic()
print("begun", flush=True)
while time.monotonic() < began + 1800:
    if select.select([sys.stdin], [], [], 0.002)[0]:
        break
    at = time.monotonic()
    with open(sys.argv[1], "a") as file:
        file.write("x" * 80)
    longest = max(longest, time.monotonic() - at)
print(longest)
"""


class Training:
    """Trials that write their curves as the driver does, and how long each write took; beside them a process that writes as much and knows of no
    MLflow, which tells how long this machine holds up anybody."""

    def __init__(self, folder: WrittenSweep) -> None:
        self.folder, self.longest_s = folder, 0.0
        for key in self.keys:
            folder.trial(key, pictures=NUM_POINTS * 100)
        command = [sys.executable, "-c", PLAIN, str(folder.folder.path / "plain.txt")]
        self._plain = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        until("begun", self._plain)

    @property
    def keys(self) -> list[str]:
        return [f"{number:04d}" for number in range(NUM_TRIALS)]

    def run(self, points: range, pause_s: float = 0.0) -> None:
        for point in points:
            for key in self.keys:
                began = time.monotonic()
                self.folder.point(key, 100 * (point + 1), train_loss=1 / (point + 1), val_rank_mean=point / 1000)
                self.longest_s = max(self.longest_s, time.monotonic() - began)
            time.sleep(pause_s)

    def end(self) -> None:
        for key in self.keys:
            self.folder.outcome(key)
        self.folder.finish()

    def held_s(self) -> float:
        """The longest that a step was held, less what this machine holds up anybody."""
        found = float(self._plain.communicate("over")[0])
        print(f"longest write {self.longest_s:.3f} s; of a process without MLflow {found:.3f} s")
        return self.longest_s - found


def until(words: str, process: "subprocess.Popen[str]") -> str:
    """What it prints up to the line with these words."""
    assert process.stdout is not None
    found = ""
    while words not in (line := process.stdout.readline()):
        assert line, found
        found += line
    return found + line


def rows(database: Path, folder: SweepFolder) -> list[tuple[str, str, int]]:
    """(run, metric, step) of every row that MLflow's own table holds of a sweep, doubled ones twice."""
    query = (
        "select runs.name, metrics.key, metrics.step from metrics join runs on runs.run_uuid = metrics.run_uuid join tags on "
        "tags.run_uuid = runs.run_uuid where tags.key = 'peoria.sweep' and tags.value = ? and runs.lifecycle_stage = 'active'"
    )
    with closing(sqlite3.connect(database)) as held:
        assert held.execute("pragma integrity_check").fetchone() == ("ok",)
        return sorted(held.execute(query, (folder.name,)))


def expected(folder: SweepFolder) -> list[tuple[str, str, int]]:
    found = [(run.name, key, point.step) for run in read_sweep(folder) for point in run.points for key in point.metrics]
    assert len(found) > NUM_TRIALS * min(NUM_POINTS, 400)
    return sorted(found)


def test_a_server_that_is_killed_and_comes_back(tmp_path: Path, mlflow_server_process: MlflowServer) -> None:
    server, said = mlflow_server_process, list[str]()
    training = Training(WrittenSweep(tmp_path / "killed"))
    folder = training.folder.folder
    projector = Projector(Tracker(server.uri, experiment="killed"), folder, say=said.append, period_s=0.1, longest_wait_s=1.0)
    training.run(range(NUM_POINTS // 2), pause_s=0.01)
    server.kill()
    gone = time.monotonic()
    training.run(range(NUM_POINTS // 2, NUM_POINTS - 1), pause_s=0.01)
    while time.monotonic() < gone + AWAY_S or not said:
        assert time.monotonic() < gone + 60, "not told within a minute"
        time.sleep(0.05)
    assert projector.error
    server.start()
    training.run(range(NUM_POINTS - 1, NUM_POINTS))
    training.end()
    deadline = time.monotonic() + 120
    while len(said) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert projector.close(timeout_s=300) == ""
    assert rows(server.database, folder) == expected(folder)
    assert [("answers again" in line, folder.path.name in line) for line in said] == [(False, True), (True, False)]
    assert f"MLflow at {server.uri}: " in said[0]
    assert "the sweep goes on" in said[0]
    assert training.held_s() < MOST_HELD_S


def bursts(number: int) -> str:
    """Of each 40 requests six are refused, and of six the server does what was asked and the answer is lost."""
    return "before" if number % 40 in range(8, 14) else "after" if number % 40 in range(22, 28) else ""


def test_bursts_of_500(tmp_path: Path, mlflow_server_process: MlflowServer) -> None:
    training = Training(WrittenSweep(tmp_path / "bursts"))
    folder = training.folder.folder
    with stub(mlflow_server_process.port, bursts) as between:
        projector = Projector(Tracker(between.uri, experiment="bursts"), folder, period_s=0.05, longest_wait_s=0.2)
        training.run(range(NUM_POINTS), pause_s=0.02)
        training.end()
        deadline = time.monotonic() + (900 if FULL else 240)
        while (text := projector.close(timeout_s=60)) and time.monotonic() < deadline:
            projector = Projector(Tracker(between.uri, experiment="bursts"), folder, period_s=0.05, longest_wait_s=0.2)  # the same command again
        assert text == ""
        assert between.num_failed >= 12
    assert rows(mlflow_server_process.database, folder) == expected(folder)
    assert training.held_s() < MOST_HELD_S


def test_control_a_step_that_delivers_by_itself_waits_for_a_slow_server(tmp_path: Path, mlflow_server_process: MlflowServer) -> None:
    written = WrittenSweep(tmp_path / "slow")
    written.trial("0000")
    with stub(mlflow_server_process.port, lambda number: "", delay_s=0.4) as between:
        began = time.monotonic()
        written.points("0000")
        Tracker(between.uri, experiment="slow").project(written.folder)
        assert time.monotonic() - began > MOST_HELD_S


@pytest.mark.parametrize("drip", [b"", b"x"], ids=["says nothing", "never ends"])
def test_a_server_that_never_answers_is_told_while_the_sweep_goes_on(drip: bytes, tmp_path: Path) -> None:
    written, said, told = WrittenSweep(tmp_path / "silent"), list[str](), threading.Event()
    written.trial("0000")
    with silent(drip) as uri:
        projector = Projector(Tracker(uri), written.folder, say=lambda line: (said.append(line), told.set())[0], period_s=0.05, no_answer_s=2.0)
        assert told.wait(60)
        assert f"MLflow at {uri}: no answer for 2 s; the sweep goes on, and all points are kept in {written.folder.path}" in said[0]
        assert projector.error == ""  # control: no error has been raised that could be told
        time.sleep(2.5)
        assert len(said) == 1  # once
        assert "not all was delivered" in projector.close(timeout_s=0.5)


def test_an_answer_of_something_else_is_told(tmp_path: Path) -> None:
    class Other(BaseHTTPRequestHandler):
        def any(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(b'[{"experiment": 3}]')

        do_GET = do_POST = any

        def log_message(self, format: str, *args: object) -> None:
            pass

    written, told = WrittenSweep(tmp_path / "other"), threading.Event()
    written.trial("0000")
    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_address[1]}"
        projector = Projector(Tracker(uri), written.folder, say=lambda line: told.set(), period_s=0.05)
        assert told.wait(60)
        assert "not all was delivered" in projector.close(30)
        server.shutdown()


LOCKED = """
import sys, threading, time
from pathlib import Path
import peoria.tracking.projection as projection
from peoria.records.folder import SweepFolder
from peoria.tracking.projector import Projector
database, folder, quiet = sys.argv[1:]
if quiet != "quiet":
    projection.quiet = lambda: None
told = threading.Event()
def say(line):
    print(line, flush=True)
    (again if "again" in line else told).set()
again = threading.Event()
projector = Projector(projection.Tracker("sqlite:///" + database), SweepFolder(Path(folder)), say=say, period_s=0.1)
while not projector.delivered.points:
    time.sleep(0.05)
print("begun", flush=True)
assert told.wait(100)
assert again.wait(100)
assert projector.close(60) == ""
"""


@pytest.mark.slow
def test_a_locked_database_is_told_in_one_line_and_stays_whole(tmp_path: Path, migrated_database: Path) -> None:
    """MLflow waits 20 s for a lock, and then logs a traceback; beside it the same without what keeps that off the terminal."""
    ran = {}
    for quiet in ("quiet", "as it is"):
        (tmp_path / quiet).mkdir()
        database = tmp_path / quiet / "mlflow.db"
        database.write_bytes(migrated_database.read_bytes())
        written = WrittenSweep(tmp_path / quiet / "locked")
        written.trial("0000")
        written.points("0000", 1)
        command = [sys.executable, "-c", LOCKED, str(database), str(written.folder.path), quiet]
        ran[quiet] = written, database, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    printed, locks = dict.fromkeys(ran, ""), {}
    for quiet, (written, database, process) in ran.items():
        printed[quiet] = until("begun", process)
        locks[quiet] = sqlite3.connect(database, isolation_level=None, timeout=60)
        locks[quiet].execute("begin exclusive")
        written.point("0000", 4000, train_loss=0.5)
    for quiet, (_, _, process) in ran.items():
        printed[quiet] += until("goes on", process)
        locks[quiet].close()
    for quiet, (written, database, process) in ran.items():
        printed[quiet] += process.communicate(timeout=200)[0]
        assert process.returncode == 0, printed[quiet]
        assert [step for _, key, step in rows(database, written.folder) if key == "train/loss"] == [2000, 4000]  # it is whole, and holds all
    lines = [line for line in printed["quiet"].splitlines() if line != "begun"]
    assert ["database is locked" in line for line in lines] == [True, False], lines
    assert "answers again" in lines[1]
    assert "Traceback" in printed["as it is"]  # control


def test_a_clock_that_is_set_back_changes_no_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = small_sweep(Path("nowhere")).shared | {"pictures": STEPS[-1]}
    sweep = small_sweep(Path("nowhere"), trials=8, startup_per_task=2, shared=shared)
    orders, real = {}, time.time
    for name in ("undisturbed", "set back"):
        store, num_calls = TrialStore(SweepFolder(tmp_path / name), sweep), itertools.count()
        if name == "set back":  # by an hour, each time it is asked
            monkeypatch.setattr(time, "time", lambda calls=num_calls: real() - 3600 * next(calls))
        ran = play(store)
        monkeypatch.setattr(time, "time", real)
        trials = read_trials(store.folder)
        orders[name] = [trial.key for trial in sorted(trials, key=lambda trial: (trial.ended_at, trial.key))]
        assert orders[name] == ran
        if name == "set back":
            assert [trial.key for trial in sorted(trials, key=lambda trial: trial.started_at)] != ran  # control: it was set back
    assert orders["set back"] == orders["undisturbed"]
