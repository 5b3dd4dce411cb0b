"""A trial's files in a bucket, as its worker puts them: each try of a trial under a name of its own, so that a worker that was given up, and still
writes somewhere, overwrites nothing of the one that came after it."""

import shutil
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from peoria.records.folder import TrialFolder
from peoria.training.messages import RemotePlace, TrialReport
from shards.errors import MissingObjectError, StoreAwayError, StoreError
from shards.files import write_blocks
from shards.store import open_store

STOP_CHECK_S = 3.0
PATIENCE_S = 300.0  # with a store that is away, before the try is over
Found = TypeVar("Found")


def stopping(generation: int) -> str:
    """The object that is there while the holder of this generation stops the sweep."""
    return f"stopping-{generation:06}"


def attempt_name(generation: int, attempt: int) -> str:
    """Of the sweep's lease, and of the trial under it."""
    return f"{generation:06}-{attempt:04}"


def _version(path: Path) -> tuple[int, int] | None:
    """Of a file that is replaced and never changed; None where it is not there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


class RemoteTrial:
    """One try of a trial. The folder is scratch: emptied before and after, for what counts is in the bucket."""

    def __init__(self, place: RemotePlace, folder: TrialFolder, settings_sha256: str, stop: Callable[[], bool] = lambda: False) -> None:
        self._folder, self._asked = folder, stop
        self._settings = f"-{settings_sha256[:12]}"  # ends the name of a try: one of other settings is none to go on from
        self._try, self._stop_object = f"trials/{folder.key}/{place.attempt}{self._settings}", stopping(int(place.attempt[:6]))
        self._store = open_store(place.sweep)
        self._stopping = threading.Event()
        self._left = threading.Event()
        self._there: tuple[int, int] | None = None  # the checkpoint that the bucket has of this try

    def begin(self) -> None:
        """Brings the checkpoints of the tries before; the try begins at the last of them.

        Raises:
            StoreError: the store cannot be used.
        """
        self._empty()
        threading.Thread(target=self._watch, name="stop-watch", daemon=True).start()
        there = self._wait_for(lambda: self._store.names(f"trials/{self._folder.key}"))
        found = sorted((name for name in there if name.endswith(f"{self._settings}/{self._folder.checkpoint.name}")), reverse=True)
        for name, path in zip(found, (self._folder.checkpoint, self._folder.checkpoint_before), strict=False):
            self._wait_for(partial(self._bring, name, path, there[name]))
        self.put(self._folder.worker.name)

    def stop(self) -> bool:
        """Whether the sweep is being stopped."""
        return self._stopping.is_set() or self._asked()

    def report(self, report: TrialReport) -> None:
        """Puts what the report stands on, before it is told."""
        if report.status == "done":
            self.put(self._folder.val_scores.name, self._folder.model_card.name, self._folder.model.name)
        if (found := _version(self._folder.checkpoint)) != self._there:
            self.put(self._folder.checkpoint.name)
            self._there = found

    def put(self, *names: str) -> None:
        for name in names:
            path = self._folder.path / name
            if path.exists():  # of a trial that was done before, the last report alone is brought here
                self._wait_for(partial(self._store.put, f"{self._try}/{name}", path))

    def _bring(self, name: str, path: Path, num_bytes: int) -> None:
        write_blocks(path, self._store.stream(name), num_bytes)

    def leave(self) -> None:
        self._left.set()
        self._empty()

    def _empty(self) -> None:
        for path in self._folder.path.iterdir():
            if path == self._folder.lock or (path == self._folder.worker and not self._left.is_set()):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _watch(self) -> None:
        while not self._left.wait(STOP_CHECK_S):
            try:
                self._store.get(self._stop_object)
            except MissingObjectError:
                continue
            except StoreError:
                continue  # away; what it says then is not needed before it is back
            self._stopping.set()
            return

    def _wait_for(self, call: Callable[[], Found]) -> Found:
        away_since = 0.0
        while True:
            try:
                return call()
            except StoreAwayError:
                away_since = away_since or time.monotonic()
                if time.monotonic() > away_since + PATIENCE_S or self.stop():
                    raise
                time.sleep(1.0)
