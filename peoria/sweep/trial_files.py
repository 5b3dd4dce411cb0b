"""What the trial store writes into the folders of trials: curves, and a trial that begins again at half the batch."""

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from peoria.config.trial import TrialConfig, trial_label
from peoria.records.folder import SweepFolder, TrialFolder
from peoria.records.points import Curve, point_lines, read_points
from peoria.records.schema import Purpose, TrialOutcome, TrialStart
from peoria.sweep.taken import lay_down
from shards.files import sync_folder, told, write_atomic

HALF_BATCH = ", half the batch"  # behind a trial's label


class Curves:
    """The curves of a sweep's trials, each by the trial's key. What `append` has written outlives a kill, and a power cut from `sync` on: the trial's
    checkpoint has the whole curve, and sends it again.
    """

    def __init__(self, folder: SweepFolder) -> None:
        self._folder = folder
        self._last: dict[str, int] = {}
        self._open: set[str] = set()
        self._unsynced: dict[str, bool] = {}  # by key, whether the file is new

    def reached(self, key: str) -> int:
        """The last step; -1 of a trial without a curve."""
        if key not in self._last:
            whole = read_points(self._path(key))
            self._last[key] = whole[-1][0] if whole else -1
        return self._last[key]

    def is_open(self, key: str) -> bool:
        """Whether it has been written to since it was last forgotten."""
        return key in self._open

    def append(self, key: str, points: Curve, settings_sha256: str) -> int:
        """Adds the points that the curve does not have yet, and says how many those are."""
        path, first = self._path(key), key not in self._open
        if first and path.exists():  # written whole once: a torn last line would swallow the next one
            before = read_points(path)
            write_atomic(path, point_lines(whole := merged(before, points), settings_sha256).encode())
            self._open.add(key)
            self._last[key] = whole[-1][0] if whole else -1
            return len(whole) - len(before)
        new = [(step, values) for step, values in points if step > self.reached(key)]
        if first or new:
            data = point_lines(new, settings_sha256 if first else None).encode()
            with told(path, "a curve that can be written to", num_bytes=len(data), what="points of a curve"):
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("ab") as file:
                    file.write(data)
            self._open.add(key)
            self._unsynced[key] = first or self._unsynced.get(key, False)
            self._last[key] = new[-1][0] if new else -1
        return len(new)

    def sync(self, key: str) -> None:
        """Makes a curve outlast a power cut; before anything that follows from it does."""
        if key not in self._unsynced:
            return
        path = self._path(key)
        with told(path, "a curve that can be written to"), path.open("rb") as file:
            os.fsync(file.fileno())
        if self._unsynced.pop(key):
            sync_folder(path.parent)

    def forget(self, key: str) -> None:
        """The curve has been removed, or its trial is over."""
        self._last.pop(key, None)
        self._unsynced.pop(key, None)
        self._open.discard(key)

    def _path(self, key: str) -> Path:
        return self._folder.trial(key).points


def merged(there: Curve, sent: Curve) -> Curve:
    """A curve with what was sent of it; where the two know a step, what is there stays."""
    return sorted((dict(sent) | dict(there)).items())


def drop_checkpoints(folder: TrialFolder, *, last_too: bool) -> list[str]:
    """Of a trial that has ended; the last one of a finished trial holds its last report alone. Returns the names."""
    folder.seen.unlink(missing_ok=True)  # its worker may have been ended with Ray
    return _drop(folder.checkpoint_before, *((folder.checkpoint,) if last_too else ()))


def drop_model(folder: TrialFolder) -> list[str]:
    """The weights of a trial that are kept no longer, and their card. Returns the names."""
    return _drop(folder.model, folder.model_card)


def _drop(*files: Path) -> list[str]:
    for file in files:
        file.unlink(missing_ok=True)
    return [file.name for file in files]


def halved(start: TrialStart) -> TrialStart | None:
    """The same trial with half its batch, under a label that says so; None of one that has been halved before, or has no half."""
    if start.half_batch or start.config.batch_size < 2:
        return None
    config = start.config.model_copy(update={"batch_size": start.config.batch_size // 2})
    return start.model_copy(update={"config": config, "half_batch": True, "label": start.label + HALF_BATCH})


def begin(folder: TrialFolder, config: TrialConfig, queued: Mapping[str, Any], *, searched: bool) -> None:
    """Writes a trial's settings, before anything of it runs.

    Args:
        queued: what it was queued with; {} of one that was drawn.
    """
    purpose: Purpose = "search" if searched else queued.get("purpose", "paper")
    label = queued.get("label") or trial_label(folder.key, config)
    given = {name: queued[name] for name in ("of", "origin") if name in queued}
    if "taken" in queued:
        lay_down(folder, queued["taken"])
    TrialStart(config=config, purpose=purpose, label=label, started_at=time.time(), **given).write(folder.start)


def begin_again(folder: TrialFolder, start: TrialStart) -> None:
    """With other settings: what the trial left under the former ones goes first."""
    for file in (folder.points, folder.checkpoint, folder.checkpoint_before):
        file.unlink(missing_ok=True)
    start.write(folder.start)


def val_metrics(folder: TrialFolder, step: int) -> dict[str, float]:
    """What the curve has of val at a step, keys with the split."""
    return {name: value for name, value in dict(read_points(folder.points)).get(step, {}).items() if name.startswith("val/")}


def why_failed(folder: SweepFolder, keys: Iterable[str]) -> dict[str, str]:
    """By key, the last line of what ended it; of those that have ended."""
    outcomes = {key: TrialOutcome.read_if_there(folder.trial(key).outcome) for key in sorted(keys)}
    return {key: (outcome.error or outcome.status).strip().splitlines()[-1] for key, outcome in outcomes.items() if outcome is not None}
