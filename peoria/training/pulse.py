"""How far a trial is between two evaluations, left in its folder for whoever asks meanwhile. Nothing is decided by it."""

import contextlib
import time
from pathlib import Path

from peoria.records.schema import TrialSeen
from shards.errors import FileError

EVERY_S = 5.0


class Pulse:
    """Counts the batches of one trial, and writes `TrialSeen` into ``path`` every `EVERY_S`."""

    def __init__(self, path: Path, batch_size: int) -> None:
        self._path, self._batch_size, self._seen = path, batch_size, 0
        self._next_s = time.monotonic() + EVERY_S

    def at(self, step: int) -> None:
        """An evaluation has told so many pictures seen."""
        self._seen = -(-step // self._batch_size) * self._batch_size

    def batch(self) -> None:
        """One more batch is about to be trained on."""
        if (now := time.monotonic()) > self._next_s:
            with contextlib.suppress(FileError):  # a full disk ends no trial for the sake of what is shown of it
                TrialSeen(step=self._seen).write(self._path)
            self._next_s = now + EVERY_S
        self._seen += self._batch_size

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
