"""The storage of a sweep's trials: a journal file beside the sweep, or a database."""

import errno
import json
import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages.journal import JournalFileBackend

from peoria.errors import SweepError
from peoria.sweep.chain import last_link, linked
from shards.files import told, write_atomic

if TYPE_CHECKING:
    from peoria.sweep.lease import Lease


class Journal(JournalFileBackend):
    """The journal of a sweep: Optuna's file of one JSON line an entry, written by one process, which holds the sweep's lock.

    An entry outlives a kill at once, and a power cut from the next ``sync`` on: Optuna's own waits for the disk at each entry, ten times a trial.
    What a power cut takes is the end of the file, as if the kill had come earlier. What this process wrote it reads from memory.
    """

    def __init__(self, path: Path, last_link: str = "") -> None:
        super().__init__(str(path))  # with Optuna's own lock, which is never taken
        self._path, self._last_link = path, last_link
        self._first, self._new = path.read_bytes().count(b"\n"), list[dict[str, Any]]()  # entries from number _first on, in memory
        self._synced = False

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        entries, link = [], self._last_link
        for log in logs:
            entries.append(linked(log, link))
            link = entries[-1]["link"]
        lines = "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries).encode()
        with (
            told(self._path, "a journal that can be written to", num_bytes=len(lines), what="an entry"),
            self._path.open("ab", buffering=0) as file,
        ):
            size = file.seek(0, os.SEEK_END)
            self._synced = False
            try:
                if file.write(lines) < len(lines):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                file.truncate(size)  # a part of an entry would swallow the next one
                raise
        self._last_link = link
        self._new += entries

    def read_logs(self, log_number_from: int) -> Generator[dict[str, Any], None, None]:
        if log_number_from < self._first:
            yield from super().read_logs(log_number_from)
            return
        del self._new[: log_number_from - self._first]  # read before
        self._first = log_number_from
        yield from list(self._new)

    def sync(self) -> None:
        if self._synced:
            return
        with self._path.open("rb") as file:
            os.fsync(file.fileno())
        self._synced = True


def open_storage(
    journal: Path, url: str | None, lease: "Lease | None" = None, say: Callable[[str], object] = print
) -> tuple[optuna.storages.BaseStorage, Callable[[], None]]:
    """The journal file beside the sweep, or a database for clusters; and what makes all that was entered outlast a power cut.

    A kill can leave a part of a line at the journal's end and its lock behind; the caller holds the sweep's lock, so both are dead.

    Args:
        lease: on the sweep in that database; nothing is entered without it.
        say: is told when the database is away, and when it is back.

    Raises:
        SweepError: the database cannot be used.
    """
    if url is not None:
        from peoria.sweep.database_storage import DatabaseStorage

        return DatabaseStorage(url, lease, say), lambda: None  # it commits each entry
    if journal.is_dir():
        raise SweepError(f"{journal}: a folder; the journal of this sweep")
    if journal.exists():
        data = journal.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            write_atomic(journal, whole)
    Path(f"{journal}.lock").unlink(missing_ok=True)
    backend = Journal(journal, last_link(journal) if journal.exists() else "")
    return optuna.storages.JournalStorage(backend), backend.sync
