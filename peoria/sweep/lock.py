"""One process at a time runs a sweep; whoever comes second is told who holds it."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from peoria.errors import SweepError
from shards.files import write_atomic

HOLDER = "holder.json"


@contextmanager
def sweep_lock(folder: Path, name: str) -> Iterator[None]:
    """Holds the sweep; a lock of a process that is gone is free, however it went.

    Raises:
        SweepError: another process holds it; names that process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        held = holder(folder) or {}
        raise SweepError(
            f"sweep {name}: held by process {held.get('pid', '?')} on {held.get('host', '?')} since {held.get('since', '?')}; "
            "one process at a time runs a sweep",
            hint=f"peoria status {name}",
        ) from None
    try:
        who = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        write_atomic(folder / HOLDER, json.dumps(who).encode())
        yield
    finally:
        lock.release()


def holder(folder: Path) -> dict[str, Any] | None:
    """Who runs the sweep now, or None where nobody does."""
    if not (folder / HOLDER).exists():
        return None
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        found: dict[str, Any] = json.loads((folder / HOLDER).read_text())
        return found
    lock.release()
    return None
