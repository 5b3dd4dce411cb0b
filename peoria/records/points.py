"""A trial's curve as its folder keeps it: a line that names the trial's settings, then one line of JSON a point."""

import json
from collections.abc import Iterable
from pathlib import Path

from peoria.errors import RecordError

Curve = list[tuple[int, dict[str, float]]]  # (pictures seen, value by metric), steps ascending
_SETTINGS = "settings_sha256"


def read_points(path: Path) -> Curve:
    """The whole lines of a curve's file; a line torn by a kill, and a step that was written again after it, are left out.

    Raises:
        RecordError: there is something of that name that is no file, or that cannot be read.
    """
    found: Curve = []
    for point in _lines(path):
        step, metrics = point.get("step"), point.get("metrics")
        if isinstance(step, int) and isinstance(metrics, dict) and (not found or step > found[-1][0]):
            found.append((step, metrics))
    return found


def last_val_metrics(path: Path) -> dict[str, float]:
    """Of the last evaluation that the curve has, keys with the split; {} where there is none. Raises as `read_points`."""
    of_val = ({name: value for name, value in values.items() if name.startswith("val/")} for _, values in reversed(read_points(path)))
    return next(filter(None, of_val), {})


def points_settings(path: Path) -> str | None:
    """`TrialConfig.sha256` of the trial whose curve this is; None where it does not say. Raises as `read_points`."""
    return next((str(line[_SETTINGS]) for line in _lines(path) if _SETTINGS in line), None)


def point_lines(points: Iterable[tuple[int, dict[str, float]]], settings_sha256: str | None = None) -> str:
    """As they stand in the file, the first line of a file included where its settings are given; raises ValueError for NaN and infinity."""
    first = "" if settings_sha256 is None else json.dumps({_SETTINGS: settings_sha256}) + "\n"
    return first + "".join(json.dumps({"step": step, "metrics": values}, sort_keys=True, allow_nan=False) + "\n" for step, values in points)


def _lines(path: Path) -> list[dict[str, object]]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}; the curve of a trial") from None
    found = []
    for line in data.splitlines(keepends=True):
        try:
            value = json.loads(line) if line.endswith(b"\n") else None
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found
