"""One MLflow for all of this folder, filled by `Tracker` with sweeps whose curves were drawn, and shown by `peoria ui`."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from peoria.records.folder import SweepFolder
from peoria.tracking.database import sqlite_address
from peoria.tracking.projection import Tracker
from tests.helpers.browser import CHROMIUM, started
from tests.helpers.written_study import written_study

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SWEEPS = {"small": 20, "other": 12, "large": 200}  # trials


@dataclass(frozen=True)
class Shown:
    """What `peoria ui small` shows."""

    link: str
    uri: str  # of the server
    database: str
    home: Path


@pytest.fixture(scope="session")
def browser() -> "Iterator[Browser]":
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with started() as found:
        yield found


@pytest.fixture(scope="session")
def shown(browser: "Browser", migrated_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    home = tmp_path_factory.mktemp("shown")
    shutil.copy(migrated_database, home / "mlflow.db")
    database = sqlite_address(home / "mlflow.db")
    for name, num_trials in SWEEPS.items():
        tracker = Tracker(database)
        tracker.project(
            SweepFolder(written_study(home / "sweeps" / name, num_trials, seed=num_trials, ceiling=0.4 if name == "other" else 0.63).folder.path)
        )
        assert not tracker.no_view
    words = [sys.executable, "-m", "peoria", "ui", "small", "--home", str(home), "--no-open"]
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    assert process.stdout is not None
    said = [process.stdout.readline(), process.stdout.readline()]
    link = said[-1].strip()
    assert link.startswith("http://"), said
    yield Shown(link, re.sub(r"/#.*", "", link), database, home)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0
    process.stdout.close()
