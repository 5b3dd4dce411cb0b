"""One process at a time runs a sweep; whoever comes second is told who holds it."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from peoria.errors import SweepError
from peoria.records.folder import SweepFolder
from peoria.records.schema import Holder


@contextmanager
def sweep_lock(folder: SweepFolder) -> Iterator[None]:
    """Holds the sweep; a lock of a process that is gone is free, however it went.

    Raises:
        SweepError: another process holds it; names that process.
    """
    folder.path.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        held = Holder.read_if_there(folder.holder)  # none in the instant between taking the lock and writing this
        who = "another process" if held is None else f"process {held.pid} on {held.host} since {held.since}"
        raise SweepError(f"sweep {folder.name}: held by {who}; one process at a time runs a sweep", hint=f"peoria status {folder.name}") from None
    try:
        Holder(pid=os.getpid(), host=socket.gethostname(), since=time.strftime("%Y-%m-%d %H:%M:%S")).write(folder.holder)
        yield
    finally:
        lock.release()


def holder(folder: SweepFolder) -> Holder | None:
    """Who runs the sweep now, or None where nobody does."""
    if not folder.holder.exists():
        return None
    lock = FileLock(folder.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return Holder.read(folder.holder)
    lock.release()
    return None
