"""Optuna's storage: a journal file beside the sweep, or a database."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.storages.journal._file import get_lock_file

from shards.files import write_atomic


class Journal(optuna.storages.journal.JournalFileBackend):
    """Optuna's journal file. An entry outlives a kill at once, and a power cut from the next ``sync`` on: Optuna's own waits for the disk at each
    entry, ten times a trial. What a power cut takes is the end of the file, as if the kill had come earlier."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        with get_lock_file(self._lock), open(self._file_path, "ab") as file:
            file.write("".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode())

    def sync(self) -> None:
        with open(self._file_path, "rb") as file:
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
    backend = Journal(str(journal), lock_obj=optuna.storages.journal.JournalFileOpenLock(str(journal)))
    return optuna.storages.JournalStorage(backend), backend.sync
