"""The same command, disturbed again and again: its processes, what it left, and whether that is what an undisturbed run leaves."""

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from peoria.records.folder import SweepFolder
from peoria.records.trials import read_trials

FULL = os.environ.get("PEORIA_TEST_FULL") == "1"
SWEEP = """
import peoria
from peoria import LogUniform, Space, Sweep

SWEEP = Sweep(
    name="faults", shards="named by the flag", trials=4, startup_per_task=1,
    space=Space(task=("regression", "hybrid"), learning_rate=LogUniform(1e-4, 1e-2), head_multiplier=LogUniform(1.0, 10.0), outlier_sd=(None, 3.0)),
    shared={"net": "tiny", "target_scale": "log1p", "pictures": 4000, "batch_size": 32, "curve_points": 40, "schedule": "cosine"},
    seeds=3, questions=(),
)

if __name__ == "__main__":
    peoria.main(SWEEP)
"""


# Shown once, by hand, and again where somebody asks for it: what every change is tried with has to end within the hour.
long_count = pytest.mark.skipif(not FULL, reason="one of the long counts, which PEORIA_TEST_FULL=1 runs")


def sample(full: int, few: int) -> int:
    """How often: the long count where PEORIA_TEST_FULL=1, else a few times."""
    return full if FULL else few


class Command:
    """``peoria sweep`` of one small sweep, one trial at a time. Every process that it leaves is known by a mark in its environment."""

    def __init__(self, folder: Path, shards: Path, *flags: str, tracking: str = "off", before: str = "", **environment: str) -> None:
        """
        Args:
            before: Python that is run in the command's process before anything else.
        """
        folder.mkdir(exist_ok=True, parents=True)
        self.home, self.log, self.mark = folder / "home", folder / "log", uuid.uuid4().hex
        (folder / "faults.py").write_text(SWEEP)
        words = ["sweep", str(folder / "faults.py"), "--home", str(self.home), "--shards", str(shards), "--tracking", tracking]
        self.words = [sys.executable, "-c", f"{before}\nfrom peoria.cli import main\nmain()", *words, "--concurrent", "1", *flags]
        self.environment = os.environ | environment | {"PEORIA_TEST_MARK": self.mark}
        self.folder = SweepFolder.of(self.home, "faults")

    def start(self, **popen: object) -> "subprocess.Popen[bytes]":
        self.log.touch()
        self._log_begins = self.log.stat().st_size
        with self.log.open("ab") as log:
            given = {"start_new_session": True, "stdin": subprocess.DEVNULL, "stdout": log, "stderr": log} | popen
            return subprocess.Popen(self.words, env=self.environment, **given)  # type: ignore[call-overload, no-any-return]

    def until(self, moment: Callable[[], object], process: "subprocess.Popen[bytes]") -> bool:
        """Waits for a moment of the run; False where the run has ended well before."""
        while not moment() and process.poll() is None:
            time.sleep(0.02)
        if process.poll() is None:
            return True
        assert process.returncode == 0, self.said()[-3000:]
        return False

    def finish(self, timeout_s: float = 900) -> None:
        assert self.start().wait(timeout=timeout_s) == 0, self.said()[-3000:]

    def said(self) -> str:
        """By the command that was started last."""
        return self.log.read_bytes()[self._log_begins :].decode()

    def processes(self, words: str = "") -> list[int]:
        """Ids of those whose command line has the words."""
        found = []
        for folder in Path("/proc").iterdir():
            try:
                ours = folder.name.isdigit() and f"PEORIA_TEST_MARK={self.mark}".encode() in (folder / "environ").read_bytes()
                if ours and words in (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                    found.append(int(folder.name))
            except OSError:
                continue
        return found

    def training(self) -> list[int]:
        """Workers in the middle of a report."""
        return self.processes(".train")

    def gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.processes():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def num_reports(self) -> int:
        """Lines of all curves."""
        return sum(path.read_bytes().count(b"\n") for path in self.folder.path.glob("trials/*/points.jsonl"))

    def num_ended(self) -> int:
        return len(list(self.folder.path.glob("trials/*/outcome.json")))

    def status(self) -> str:
        """As finished.json has it; "" where there is none."""
        try:
            return str(json.loads(self.folder.finished.read_bytes())["status"])
        except FileNotFoundError:
            return ""

    def wait_until(self, done: Callable[[], object], process: "subprocess.Popen[bytes]", timeout_s: float = 600) -> None:
        deadline = time.monotonic() + timeout_s
        while not done():
            assert process.poll() is None, self.said()[-3000:]
            assert time.monotonic() < deadline, self.said()[-3000:]
            time.sleep(0.02)

    def empty(self) -> None:
        """Removes what the sweep left, so that it begins anew."""
        shutil.rmtree(self.folder.path)

    def clean(self) -> None:
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)


def digests(folder: SweepFolder) -> dict[str, tuple[object, ...]]:
    """What each trial is, by key: settings, status, objective, and digests of its curve and its weights. No step stands twice in a curve."""
    found = {}
    for trial in read_trials(folder):
        steps = [step for step, _ in trial.points()]
        assert steps == sorted(set(steps)), trial.key
        model = trial.folder.model
        weights = hashlib.sha256(model.read_bytes()).hexdigest() if model.exists() else None
        found[trial.key] = (trial.config, trial.status, trial.objective, json.dumps(trial.points()), weights)
    return found


def tracked(database: Path) -> dict[str, int]:
    """How many runs MLflow has, by status."""
    connection = sqlite3.connect(database)
    try:
        return dict(connection.execute("select status, count(*) from runs group by status"))
    finally:
        connection.close()
