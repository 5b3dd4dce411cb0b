"""A power cut takes whatever no fsync has covered, of the journal and of every curve, at any moment: the sweep goes on as if nothing had been."""

import os
import random
from pathlib import Path
from typing import Any

import pytest

from peoria.config.sweep import Sweep
from peoria.records.folder import SweepFolder
from peoria.records.schema import Record, SweepRecord
from peoria.sweep.storage import Journal
from peoria.sweep.trial_files import Curves
from peoria.sweep.trial_store import TrialStore
from peoria.training.messages import TrialReport
from tests.helpers.dying import Dying, Killed
from tests.helpers.played import STEPS, message, run
from tests.helpers.small import small_sweep
from tests.helpers.sweep_folder import WrittenSweep


@pytest.fixture
def sweep() -> Sweep:
    shared = small_sweep(Path("nowhere")).shared | {"pictures": STEPS[-1]}
    return small_sweep(Path("nowhere"), trials=12, paper=True, startup_per_task=2, shared=shared)


def begun(path: Path, sweep: Sweep) -> SweepFolder:
    written = WrittenSweep(path, definition=sweep.definition()).folder
    record = SweepRecord.read(written.definition)
    record.model_copy(update={"objective": "rho_views", "name": sweep.name}).write(written.definition)
    return written


def facts(store: TrialStore) -> list[tuple[Any, ...]]:
    trials = [*store.searched.get_trials(), *store.unsearched.get_trials()]
    return [(t.number, t.state, t.value, t.params, t.intermediate_values, t.user_attrs) for t in trials]


class Disk:
    """Knows how much of each file an fsync has covered, by inode."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.safe: dict[int, int] = {}
        real = os.fsync

        def fsync(handle: int) -> None:
            real(handle)
            self.safe[os.fstat(handle).st_ino] = os.fstat(handle).st_size

        monkeypatch.setattr(os, "fsync", fsync)

    def cut(self, folder: SweepFolder) -> int:
        """Takes the rest away; how many bytes that were."""
        taken = 0
        for path in (folder.journal, *folder.path.glob("trials/*/points.jsonl")):
            about = path.stat()
            safe = self.safe.get(about.st_ino, 0)
            taken += about.st_size - safe
            if safe:
                os.truncate(path, safe)
            else:
                path.unlink()
        return taken


def as_resent(assignment: Any, last: int) -> TrialReport:
    """What a checkpoint sends again: its last report, with the whole curve."""
    sent = [message(assignment, step) for step in STEPS[: last + 1]]
    return sent[-1].model_copy(update={"points": [point for report in sent for point in report.points]})


def play(folder: SweepFolder, sweep: Sweep, disk: Disk, dice: random.Random, monkeypatch: pytest.MonkeyPatch, *, whole: bool) -> tuple[int, int]:
    """The sweep to its end, however often it is killed and the power cut. ``whole``: a checkpoint has the whole curve. (kills, bytes taken)"""
    dying, kills, taken = Dying(), 0, 0
    for kind, name in ((Journal, "append_logs"), (Journal, "sync"), (Record, "write"), (Curves, "append"), (Curves, "sync")):
        monkeypatch.setattr(kind, name, dying(getattr(kind, name)))
    reached: dict[str, int] = {}  # by key, the evaluation of the last checkpoint, which is on another disk
    for _ in range(400):
        dying.left = dice.randint(1, 40)
        try:
            store = TrialStore(folder, sweep)
            while (assignment := store.ask()) is not None:
                if (last := reached.get(assignment.key)) is not None:
                    sent = as_resent(assignment, last) if whole else message(assignment, STEPS[last])
                    if not store.report(assignment.key, sent):
                        continue
                for k in range(0 if last is None else last + 1, len(STEPS)):
                    reached[assignment.key] = k
                    if not store.report(assignment.key, message(assignment, STEPS[k])):
                        break
            break
        except Killed:
            kills += 1
            taken += disk.cut(folder)
    dying.left = None
    return kills, taken


def curves(folder: SweepFolder) -> dict[str, str]:
    return {path.parent.name: path.read_text() for path in folder.path.glob("trials/*/points.jsonl")}


@pytest.mark.parametrize("seed", range(3))
def test_at_any_moment(sweep: Sweep, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = TrialStore(begun(tmp_path / "undisturbed", sweep), sweep)
    run(undisturbed)
    folder = begun(tmp_path / "cut", sweep)
    with monkeypatch.context() as patched:
        kills, taken = play(folder, sweep, Disk(patched), random.Random(seed), patched, whole=True)
    assert kills > 10
    assert taken > 1000
    store = TrialStore(folder, sweep)
    assert store.ask() is None
    assert store._values.held
    assert facts(store) == facts(undisturbed)
    assert curves(folder) == curves(undisturbed.folder)


def test_a_checkpoint_without_the_curve_would_leave_holes(sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control."""
    undisturbed = TrialStore(begun(tmp_path / "undisturbed", sweep), sweep)
    run(undisturbed)
    folder = begun(tmp_path / "cut", sweep)
    with monkeypatch.context() as patched:
        play(folder, sweep, Disk(patched), random.Random(0), patched, whole=False)
    assert curves(folder) != curves(undisturbed.folder)
