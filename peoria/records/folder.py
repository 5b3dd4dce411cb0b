"""Where each file of a sweep's folder lies."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from peoria.errors import ReportError
from shards.files import write_atomic

JOURNAL = "study.journal"
POINTS = "points.jsonl"
OUTCOME = "outcome.json"
CONFIG = "config.json"


def write_json(path: Path, value: Any) -> None:
    write_atomic(path, (json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n").encode())


FINISHED = "finished.json"


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


def is_finished(folder: Path) -> bool:
    """Whether the sweep has all its trials."""
    path = folder / "finished.json"
    return path.exists() and json.loads(path.read_text())["status"] == "finished"


def rounded(value: Any) -> Any:
    """Floats to 6 decimals, so that the last bits of another processor do not show; −0.0 as 0.0."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    return round(float(value), 6) + 0.0 if isinstance(value, (float, np.floating)) else value
