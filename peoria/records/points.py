"""A trial's curve as its folder keeps it: one line of JSON a point."""

import json
from pathlib import Path
from typing import Any


def read_points(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """The whole lines of a journal, steps ascending; a line torn by a kill, and a step that was written again after it, are left out."""
    found: list[tuple[int, dict[str, Any]]] = []
    for line in path.read_bytes().splitlines(keepends=True) if path.is_file() else []:
        try:
            point = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            continue
        if isinstance(point, dict) and (not found or point["step"] > found[-1][0]):
            found.append((int(point["step"]), point["metrics"]))
    return found


def point_line(step: int, values: dict[str, float]) -> str:
    return json.dumps({"step": step, "metrics": values}, sort_keys=True, allow_nan=False) + "\n"
