"""The storage of a sweep's trials: a journal file beside the sweep, or a database."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from shards.files import write_atomic


class Journal(JournalFileBackend):
    """The journal of a sweep: Optuna's file of one JSON line an entry.

    An entry outlives a kill at once, and a power cut from the next ``sync`` on: Optuna's own waits for the disk at each entry, ten times a trial.
    What a power cut takes is the end of the file, as if the kill had come earlier.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._in_turn = path, JournalFileOpenLock(str(path))
        super().__init__(str(path), lock_obj=self._in_turn)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        self._in_turn.acquire()
        try:
            with self._path.open("ab") as file:
                file.write(lines)
        finally:
            self._in_turn.release()

    def sync(self) -> None:
        with self._path.open("rb") as file:
            os.fsync(file.fileno())


def open_storage(journal: Path, url: str | None) -> tuple[optuna.storages.BaseStorage, Callable[[], None]]:
    """The journal file beside the sweep, or a database for clusters; and what makes all that was entered outlast a power cut.

    A kill can leave a part of a line at the journal's end and its lock behind; the caller holds the sweep's lock, so both are dead.
    """
    if url is not None:
        return optuna.storages.RDBStorage(url), lambda: None  # it commits each entry
    if journal.exists():
        data = journal.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            write_atomic(journal, whole)
    Path(f"{journal}.lock").unlink(missing_ok=True)
    backend = Journal(journal)
    return optuna.storages.JournalStorage(backend), backend.sync
