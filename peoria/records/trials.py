"""A sweep's folder, read: what was defined and what became of each trial. Needs neither Optuna nor Ray."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peoria.errors import ReportError
from peoria.sweep.follow_ups import winners
from peoria.tracking.curves import read_points


@dataclass(frozen=True)
class TrialRecord:
    """One trial as its folder tells it."""

    key: str
    label: str
    fixed: bool  # outside the searched space: of the paper, or a probe
    of: str | None  # of a probe: the searched trial whose settings it has
    config: dict[str, Any]
    status: str  # running, done, pruned, diverged or failed
    objective: float | None
    metrics: dict[str, float]  # of the last evaluation
    started_at: float  # unix seconds
    ended_at: float | None
    folder: Path

    @property
    def is_paper(self) -> bool:
        return self.fixed and self.of is None

    def points(self) -> list[tuple[int, dict[str, float]]]:
        return read_points(self.folder / "points.jsonl")


def sweep_folder(home: Path, name: str) -> Path:
    """Where a sweep is kept."""
    return home / "sweeps" / name


def read_definition(folder: Path) -> dict[str, Any]:
    """
    Raises:
        ReportError: there is no such sweep; lists those there are.
    """
    path = folder / "sweep.json"
    if not path.exists():
        there = sorted(other.parent.name for other in folder.parent.glob("*/sweep.json"))
        raise ReportError(f"sweep {folder.name}: none in {folder.parent}; there {'are' if there else 'is'} {', '.join(there) or 'none at all'}")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def read_trials(folder: Path) -> list[TrialRecord]:
    """All trials, by key."""
    found = []
    for path in sorted(folder.glob("trials/*/config.json")):
        described = json.loads(path.read_text())
        ended = path.parent / "outcome.json"
        outcome = json.loads(ended.read_text()) if ended.exists() else {"status": "running", "objective": None, "metrics": {}, "ended_at": None}
        found.append(
            TrialRecord(
                key=path.parent.name,
                label=described["label"],
                fixed=described["fixed"],
                of=described.get("of"),
                config=described["config"],
                status=outcome["status"],
                objective=outcome["objective"],
                metrics=outcome["metrics"],
                started_at=described["started_at"],
                ended_at=outcome["ended_at"],
                folder=path.parent,
            )
        )
    return found


def winners_of(trials: list[TrialRecord]) -> dict[str, TrialRecord]:
    """For ``views`` and, where known, ``favorites`` the finished searched trial that did best on val: `probes.winners`."""
    done = {trial.key: trial for trial in trials if trial.status == "done" and not trial.fixed}
    return {target: done[key] for target, key in winners({key: trial.metrics for key, trial in done.items()}).items()}


def best_of(trials: list[TrialRecord]) -> TrialRecord | None:
    """The winner for views, whose model is used and exported: the highest last value on val among finished searched trials, never a curve's
    maximum, never a pruned one."""
    return winners_of(trials).get("views")


def is_finished(folder: Path) -> bool:
    """Whether the sweep has all its trials."""
    path = folder / "finished.json"
    return path.exists() and json.loads(path.read_text())["status"] == "finished"
