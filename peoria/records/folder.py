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
    def journal(self) -> Path:
        """Optuna's storage, where no database was named."""
        return self.path / "study.journal"

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
    def tune(self) -> Path:
        """Ray Tune's own files, emptied before and after."""
        return self.path / "tune"

    @property
    def baselines_done(self) -> Path:
        """`BaselineNames`."""
        return self.path / "baselines" / "done.json"

    @property
    def test_scores(self) -> Path:
        """What the one opening of test found, see `verdict.scores`."""
        return self.path / "report" / "test_scores.npz"

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
