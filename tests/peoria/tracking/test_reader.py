"""Only what has changed is read, whoever tells it, and what comes of it is what reading everything anew gives."""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from peoria.records.folder import SweepFolder
from peoria.tracking.changes import Changes
from peoria.tracking.projection import Tracker
from peoria.tracking.reader import SweepReader, read_sweep
from peoria.tracking.runs import TrackedRun
from tests.helpers.counted import counted
from tests.helpers.mlflow_held import everything
from tests.helpers.sweep_folder import STARTED, WrittenSweep, whole_sweep


class Played:
    """A sweep that goes on by a step at a time, as a driver writes it."""

    def __init__(self, path: Path, seed: int) -> None:
        self.written, self.dice, self.steps = WrittenSweep(path), random.Random(seed), dict[str, int]()
        self.written.baseline()
        self.ended = 0

    def step(self) -> str:
        """Returns the key of the trial that was written to; "" where it was something else."""
        move, written = self.dice.random(), self.written
        if move < 0.1:
            self.dice.choice((written.finish, written.report, written.baseline, lambda: written.folder.finished.unlink(missing_ok=True)))()
            return ""
        if move < 0.4 or not self.steps:
            number = len(self.steps) + self.ended
            key, pictures = f"{number:04d}", self.dice.choice((8000, 16_000))
            if number % 3 == 2:  # with a fresh seed
                written.trial(key := f"0000-seed-{number // 3 + 1}", purpose="reseed", of="0000", pictures=pictures)
            else:
                written.trial(key, pictures=pictures)
            self.steps[key] = 0
            return key
        key = self.dice.choice(sorted(self.steps))
        if move < 0.8:
            self.steps[key] += 2000
            written.point(key, self.steps[key], train_loss=self.dice.random(), val_rank_mean=self.dice.random())
        else:
            del self.steps[key]
            self.ended += 1
            # Now and then a clock that was set back.
            at = STARTED + 100 + self.ended - (50 if self.dice.random() < 0.1 else 0)
            status = self.dice.choice(("done", "done", "diverged") if "seed" in key else ("done", "done", "pruned", "failed"))
            reached = None if status in ("failed", "diverged") else round(self.dice.random(), 1)
            written.outcome(key, status, reached, "it broke", ended_at=at)  # type: ignore[arg-type]
        return key


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_piece_by_piece_it_is_the_whole(seed: int, told: bool, tmp_path: Path) -> None:
    played, changes = Played(tmp_path / "demo", seed), Changes()
    reader = SweepReader(played.written.folder, changes if told else None)
    held: dict[tuple[str, str], TrackedRun] = {}
    for number in range(151):
        key = played.step()
        if key:
            changes.add(key)
        if number % 3:
            continue
        if reader.look():
            held |= {(run.kind, run.key): run for run in reader.read()}
        assert held == {(run.kind, run.key): run for run in read_sweep(played.written.folder)}
    assert not reader.look()
    assert {kind for kind, _ in held} == {"sweep", "trial", "baseline", "mean"}


def test_what_was_read_and_could_not_be_used_comes_again(tmp_path: Path) -> None:
    folder = whole_sweep(tmp_path / "demo").folder
    reader = SweepReader(folder, Changes())
    assert reader.look()
    whole = reader.read()
    reader.again(["0003"], around=False)
    assert reader.look()
    assert [run.key for run in reader.read()] == ["", "0003"]
    reader.all_again()
    assert reader.read() == whole == read_sweep(folder)


class Silent(Tracker):
    """Takes everything; what MLflow itself does is not counted."""

    num = 0

    def _connect(self, folder: SweepFolder) -> tuple[Any, str]:
        names = ("log_batch", "log_inputs", "set_terminated", "update_run", "log_artifact", "set_tag", "set_experiment_tag")
        nothing = {name: lambda *args, **named: None for name in names}
        return SimpleNamespace(create_run=self.create, get_experiment=lambda experiment: SimpleNamespace(tags={}), **nothing), "0"

    def create(self, *arguments: Any, **named: Any) -> Any:
        self.num += 1
        return SimpleNamespace(info=SimpleNamespace(run_id=str(self.num)))

    def _ask(self, client: Any, experiment: str) -> None:
        self._ask_all, self._doubt = False, {}


def passes(path: Path, num: int, *, told: bool) -> dict[str, dict[str, int]]:
    """How many files an idle pass looks at and opens, and one after a report."""
    written, changes = WrittenSweep(path), Changes()
    for number in range(num):
        written.trial(key := f"{number:04d}")
        written.points(key, 1)
    tracker, found = Silent("silent", changes=changes if told else None), {}
    tracker.project(written.folder)
    assert tracker.num == num + 1
    tracker.project(written.folder)  # asks once more about the runs that were made
    with counted() as idle:
        assert not tracker.project(written.folder).points
    written.point("0003", 4000, val_rank_mean=0.5)
    changes.add("0003")
    with counted() as busy:
        assert tracker.project(written.folder).points == 1
    for name, counts in (("idle", idle), ("busy", busy)):
        found[name] = {what: counts[what] for what in ("open", "os.scandir", "os.listdir", "stat")}
    return found


@pytest.mark.parametrize("num", [(10, 100), pytest.param((100, 5000), marks=pytest.mark.slow)])
def test_a_pass_costs_what_has_changed(num: tuple[int, int], tmp_path: Path) -> None:
    few, many = (passes(tmp_path / f"told-{n}", n, told=True) for n in num)
    assert few == many
    assert many["idle"]["open"] == 0
    # The control: where nobody tells, every trial is looked at; and yet only what has changed is opened.
    untold = passes(tmp_path / "untold", num[1], told=False)
    assert untold["idle"]["os.listdir"] >= num[1]
    assert untold["busy"]["open"] == many["busy"]["open"]


def test_what_is_told_reaches_mlflow_and_what_is_not_waits(tmp_path: Path, mlflow_sqlite: str) -> None:
    folder, changes = whole_sweep(tmp_path / "demo"), Changes()
    tracker = Tracker(mlflow_sqlite, changes=changes)
    tracker.project(folder.folder)
    tracker.project(folder.folder)
    folder.point("0005", 4000, train_loss=0.5)
    assert tracker.project(folder.folder).points == 0  # the control: nobody has told
    changes.add("0005")
    assert tracker.project(folder.folder).points == 1
    folder.trial("0006")
    folder.points("0006", 2)
    changes.add("0006")
    assert (delivered := tracker.project(folder.folder)).runs == 1
    assert delivered.points == 2
    tracker.forget()
    tracker.project(folder.folder)
    anew = Tracker(mlflow_sqlite, experiment="anew")
    anew.project(folder.folder)
    assert everything(mlflow_sqlite, "peoria") == everything(mlflow_sqlite, "anew")
