"""Where each file of a sweep's folder lies: every name once."""

import os
from dataclasses import dataclass
from pathlib import Path

from peoria.errors import RecordError, ReportError
from peoria.records.schema import BaselineRecord, RunState, SweepRecord


@dataclass(frozen=True)
class TrialFolder:
    """``trials/KEY``: one trial's own files."""

    path: Path

    @property
    def key(self) -> str:
        return self.path.name

    @property
    def start(self) -> Path:
        """`TrialStart`."""
        return self.path / "config.json"

    @property
    def outcome(self) -> Path:
        """`TrialOutcome`."""
        return self.path / "outcome.json"

    @property
    def points(self) -> Path:
        """The curve, see `records.points`."""
        return self.path / "points.jsonl"

    @property
    def val_scores(self) -> Path:
        """The score of every val picture at the last evaluation, see `records.val_scores`."""
        return self.path / "val_scores.npz"

    @property
    def checkpoint(self) -> Path:
        """The state to go on from, see `training.checkpoint`."""
        return self.path / "checkpoint.pt"

    @property
    def checkpoint_before(self) -> Path:
        """The one before, for where the last is damaged."""
        return self.path / "checkpoint.before.pt"

    @property
    def rungs(self) -> Path:
        """`TrialRungs`."""
        return self.path / "rungs.json"

    @property
    def worker(self) -> Path:
        """`TrialWorker`."""
        return self.path / "worker.json"

    @property
    def seen(self) -> Path:
        """`TrialSeen`."""
        return self.path / ".seen.json"

    @property
    def model(self) -> Path:
        """The finished weights."""
        return self.path / "model.safetensors"

    @property
    def model_card(self) -> Path:
        """`ModelCard`."""
        return self.path / "model.json"

    @property
    def lock(self) -> Path:
        """Held by the process that trains in it."""
        return self.path / ".lock"


@dataclass(frozen=True)
class BaselineFolder:
    """``baselines/NAME``: one baseline's own files."""

    path: Path

    @property
    def record(self) -> Path:
        """`BaselineRecord`."""
        return self.path / "baseline.json"

    @property
    def val_scores(self) -> Path:
        """The scores of every val picture for views and for favourites; none of a constant."""
        return self.path / "val_scores.npz"


@dataclass(frozen=True)
class SweepFolder:
    """``HOME/sweeps/NAME``: the record of a sweep."""

    path: Path

    @classmethod
    def of(cls, home: Path, name: str) -> "SweepFolder":
        return cls(home / "sweeps" / name)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def definition(self) -> Path:
        """`SweepRecord`."""
        return self.path / "sweep.json"

    @property
    def plan(self) -> Path:
        """`PlannedWork`."""
        return self.path / "plan.json"

    @property
    def journal(self) -> Path:
        """Optuna's storage, where no database was named."""
        return self.path / "study.journal"

    @property
    def taken(self) -> Path:
        """`TakenPoints`."""
        return self.path / "from.json"

    @property
    def taken_trials(self) -> Path:
        """What finished trials of another sweep left, by their keys there, of those that are taken over."""
        return self.path / "from"

    @property
    def finished(self) -> Path:
        """`RunState`."""
        return self.path / "finished.json"

    @property
    def holder(self) -> Path:
        """`Holder`."""
        return self.path / "holder.json"

    @property
    def lock(self) -> Path:
        """Held by the process that runs the sweep."""
        return self.path / ".lock"

    @property
    def stopping(self) -> Path:
        """There while the sweep is being stopped: trials under way write what they have, and end."""
        return self.path / "stopping"

    @property
    def progress(self) -> Path:
        """`Progress`."""
        return self.path / ".progress.json"  # hidden from what is projected: it changes all the time

    @property
    def damaged(self) -> Path:
        """What `peoria check --repair` moved aside."""
        return self.path / "damaged"

    @property
    def tune(self) -> Path:
        """Ray Tune's own files, emptied before and after."""
        return self.path / "tune"

    @property
    def ray_log(self) -> Path:
        """What Ray itself has to say: its warnings and tracebacks."""
        return self.path / "ray.log"

    @property
    def library_log(self) -> Path:
        """What MLflow, torch and others had to say in the process of the sweep."""
        return self.path / "libraries.log"

    @property
    def baselines_done(self) -> Path:
        """`BaselineNames`."""
        return self.path / "baselines" / "done.json"

    @property
    def test_scores(self) -> Path:
        """What the one opening of test found, see `verdict.scores`."""
        return self.path / "report" / "test_scores.npz"

    @property
    def opening(self) -> Path:
        """`OpeningIntent`."""
        return self.path / "report" / "opening.json"

    @property
    def verdict(self) -> Path:
        """The verdict, see `verdict.schema`."""
        return self.path / "report" / "verdict.json"

    @property
    def page(self) -> Path:
        """The report for people."""
        return self.path / "report" / "report.html"

    @property
    def report_run(self) -> Path:
        """`ReportRun`."""
        return self.path / "report" / "run.json"

    @property
    def predictions(self) -> Path:
        """A table of the test pictures that were opened, each with its counts and its score."""
        return self.path / "report" / "predictions.csv"

    @property
    def contact_sheet(self) -> Path:
        """The report's contact sheets as one picture."""
        return self.path / "report" / "contact_sheet.jpg"

    @property
    def report_files(self) -> tuple[Path, ...]:
        """What a report leaves for people and other programs."""
        return (self.verdict, self.page, self.report_run, self.predictions, self.contact_sheet)

    def trial(self, key: str) -> TrialFolder:
        return TrialFolder(self.path / "trials" / key)

    def trials(self) -> list[TrialFolder]:
        """Those that were begun, by key.

        Raises:
            RecordError: a folder that cannot be looked into, or one that has an outcome and no settings.
        """
        try:
            found = [TrialFolder(Path(entry.path)) for entry in os.scandir(self.path / "trials") if entry.is_dir()]
            names = {trial: set(os.listdir(trial.path)) for trial in found}
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RecordError(f"{error.filename}: {error.strerror}; a folder of a sweep") from None
        for trial in found:
            if trial.outcome.name in names[trial] and trial.start.name not in names[trial]:
                raise RecordError(f"{trial.start}: no such file, beside the trial's outcome; a trial has both")
        return sorted((trial for trial in found if trial.start.name in names[trial]), key=lambda trial: trial.key)

    def baseline(self, name: str) -> BaselineFolder:
        return BaselineFolder(self.path / "baselines" / name)

    def baselines(self) -> list[BaselineFolder]:
        """Those that were fitted, by name."""
        return [BaselineFolder(path.parent) for path in sorted(self.path.glob(f"baselines/*/{BaselineFolder(self.path).record.name}"))]

    def read_definition(self) -> SweepRecord:
        """
        Raises:
            ReportError: there is no such sweep; lists those there are.
            RecordError: it is of another format, or damaged.
        """
        if not self.definition.exists():
            there = sorted(other.parent.name for other in self.path.parent.glob(f"*/{self.definition.name}"))
            raise ReportError(f"sweep {self.name}: none in {self.path.parent}; there {'are' if there else 'is'} {', '.join(there) or 'none at all'}")
        return SweepRecord.read(self.definition)

    def read_baselines(self) -> list[BaselineRecord]:
        """By name."""
        return [BaselineRecord.read(baseline.record) for baseline in self.baselines()]

    def is_finished(self) -> bool:
        """Whether the sweep has all its trials."""
        state = RunState.read_if_there(self.finished)
        return state is not None and state.status == "finished"
