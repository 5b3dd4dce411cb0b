"""A trial's curve as its folder keeps it: one line of JSON a point."""

import json
from collections.abc import Iterable
from pathlib import Path

Curve = list[tuple[int, dict[str, float]]]  # (pictures seen, value by metric), steps ascending


def read_points(path: Path) -> Curve:
    """The whole lines of a curve's file; a line torn by a kill, and a step that was written again after it, are left out."""
    found: Curve = []
    for line in path.read_bytes().splitlines(keepends=True) if path.is_file() else []:
        try:
            point = json.loads(line) if line.endswith(b"\n") else None
        except (ValueError, RecursionError):
            continue
        step, metrics = (point.get("step"), point.get("metrics")) if isinstance(point, dict) else (None, None)
        if isinstance(step, int) and isinstance(metrics, dict) and (not found or step > found[-1][0]):
            found.append((step, metrics))
    return found


def point_lines(points: Iterable[tuple[int, dict[str, float]]]) -> str:
    """As they stand in the file; raises ValueError for NaN and infinity."""
    return "".join(json.dumps({"step": step, "metrics": values}, sort_keys=True, allow_nan=False) + "\n" for step, values in points)
