"""The record of who opened the test split: a test set that was looked at often is no longer one."""

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from shards.errors import ShardsError
from shards.manifest import Manifest

OPENINGS = "openings.jsonl"


@dataclass(frozen=True)
class TestOpening:
    """One line of openings.jsonl; only `open_test` makes one that the reader accepts."""

    __test__ = False  # not a test class, whatever pytest makes of its name

    number: int  # counted from 1: "opening 3 of this test set"
    identity: str  # of the data
    sweep: str
    purpose: str
    opened_at: float  # unix seconds


def open_test(root: Path, *, sweep: str, purpose: str) -> TestOpening:
    """Puts an opening on record, on disk before it returns. Raises ShardsError where that cannot be done."""
    from filelock import FileLock

    problems = [f"{name}: empty; what the opening is for" for name, value in (("sweep", sweep), ("purpose", purpose)) if not value.strip()]
    if problems:
        raise ShardsError(*problems)
    identity = Manifest.load(root).identity
    path = root / OPENINGS
    try:
        with FileLock(root / f".{OPENINGS}.lock"):  # else two at once would both be number 1
            data = path.read_bytes() if path.exists() else b""
            opening = TestOpening(len(data.splitlines()) + 1, identity, sweep, purpose, time.time())
            line = json.dumps(asdict(opening), sort_keys=True, allow_nan=False).encode() + b"\n"
            _append(path, line if not data or data.endswith(b"\n") else b"\n" + line)
    except OSError as error:
        raise ShardsError(
            f"{path}: {error.strerror}; a file that can be appended to",
            hint="each opening of the test split goes on record first, so the folder must be writable",
        ) from None
    return opening


def openings(root: Path) -> list[TestOpening]:
    """All on record, oldest first. A line torn by a crash keeps its number and is left out: that opening was never handed out."""
    path = root / OPENINGS
    found = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            found.append(TestOpening(**json.loads(line)))
        except (ValueError, TypeError):  # not JSON, or not these fields
            continue
    return found


def _append(path: Path, line: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        if os.write(handle, line) < len(line):
            raise OSError(28, "the disk is full")
        os.fsync(handle)
    finally:
        os.close(handle)
