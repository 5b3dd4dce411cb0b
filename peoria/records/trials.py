"""A sweep's folder, read: what was defined and what became of each trial. Needs neither Optuna nor Ray."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peoria.records.points import read_points


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
