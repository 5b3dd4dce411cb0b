"""The lines of a journal as a chain: each bears a digest of itself and of the line before, so that one that was edited, lost or inserted is found."""

import hashlib
import json
from pathlib import Path
from typing import Any

from peoria.errors import SweepError

_LINK = "link"
_FIRST = ""  # before the first line


def linked(log: dict[str, Any], before: str) -> dict[str, Any]:
    """An entry with its link; Optuna reads past it."""
    written = json.loads(json.dumps(log))  # as it will be read: numbers as keys are texts there, which sort in another order
    return {**written, _LINK: _digest(written, before)}


def last_link(path: Path) -> str:
    """Of a journal whose every line is as it was written.

    Raises:
        SweepError: a line is not; names it.
    """
    link = _FIRST
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            log = json.loads(line)
            whole = isinstance(log, dict) and log.pop(_LINK, None) == (link := _digest(log, link))
        except (ValueError, RecursionError):
            whole = False
        if not whole:
            raise SweepError(
                f"{path}: line {number} is not as it was written, or one before it is gone; the journal of this sweep",
                hint=f"peoria check {path.parent.name} tells what is wrong, --repair makes it again from the trials' folders; nothing was changed",
            )
    return link


def _digest(log: dict[str, Any], before: str) -> str:
    return hashlib.sha256(f"{before}{json.dumps(log, sort_keys=True)}".encode()).hexdigest()[:16]
