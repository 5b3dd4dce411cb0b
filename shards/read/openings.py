"""The record of who opened which vaults of the test split (`shards.read.vaults`): a test set that was looked at often is no longer one.

In a folder it is a file, a line an opening, appended to under a lock. A store of objects can neither append nor lock: there it is an object an
opening, which may be put once.
"""

import errno
import json
import os
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shards.errors import MissingObjectError, ShardsError, StoreError
from shards.files import locked, open_plain, read_plain, told
from shards.manifest import Manifest
from shards.store import Store, refuse_unfit

OPENINGS = "openings.jsonl"
PREFIX = "openings"  # of the objects in a store
MOST_RETRIES = 20
_NUMBERED = re.compile(r"openings/(\d{5,})\.json")
MAX_BYTES = 2**24
_ACCEPTED = "a file that can be appended to"
_HINT = "each opening of the test split goes on record first, so the folder must be writable"


@dataclass(frozen=True)
class TestOpening:
    """One opening on record; only `open_test` makes one that the reader accepts."""

    __test__ = False  # not a test class, whatever pytest makes of its name

    number: int  # counted from 1: "opening 3 of this test set"
    identity: str  # of the data
    sweep: str
    purpose: str
    opened_at: float  # unix seconds
    token: str = ""  # drawn by who opened it: tells this opening from any other of the same sweep
    vault: int = 0  # the first that it shows; 0: all of test
    last_vault: int = 0
    control: str = ""  # that reassigned the counts; "": they are the pictures' own


@dataclass(frozen=True)
class StoredSet:
    """A packed set in a store, and whose data it holds."""

    store: Store
    identity: str


Entries = Sequence[TestOpening | None]  # of the record, oldest first; None for one that cannot be read
Choose = Callable[[Entries], tuple[int, int]]  # the first and the last vault to be opened, by the entries before


def all_of_test(_: Entries) -> tuple[int, int]:
    """Chooses the whole split, whatever was opened."""
    return 0, 0


def open_test(
    at: Path | StoredSet, *, sweep: str, purpose: str, token: str = "", control: str = "", choose: Choose = all_of_test
) -> TestOpening:  # fmt: skip
    """Puts an opening on record, on disk before it returns.

    Args:
        control: that reassigned the counts.
        choose: is asked with the entries before this one, as often as another was faster: two at once never open one vault. What it raises stops
            the opening.

    Raises:
        ShardsError: that cannot be done. The record is followed nowhere, for a set may come from elsewhere, and a link of that name would add a line
            to any file of the reader's.
    """
    problems = [f"{name}: empty; what the opening is for" for name, value in (("sweep", sweep), ("purpose", purpose)) if not value.strip()]
    if problems:
        raise ShardsError(*problems)
    if isinstance(at, StoredSet):
        return _put(at, sweep, purpose, token, control, choose)
    root, identity = at, Manifest.load(at).identity
    path = root / OPENINGS
    with told(path, _ACCEPTED, num_bytes=1000, what="an opening", hint=_HINT), locked(root / f".{OPENINGS}.lock"):  # else two at once were number 1
        data = _read(path)
        before = [_parsed(line) for line in data.splitlines()]
        opening = TestOpening(len(before) + 1, identity, sweep, purpose, time.time(), token, *choose(before), control)
        line = json.dumps(_said(opening), sort_keys=True, allow_nan=False).encode() + b"\n"
        _append(path, line if not data or data.endswith(b"\n") else b"\n" + line)
    return opening


def openings(at: Path | StoredSet) -> list[TestOpening]:
    """All on record, oldest first. A line torn by a crash keeps its number and is left out: that opening was never handed out. Raises ShardsError
    where the record is no plain file."""
    return [opening for opening in entries(at) if opening is not None]


def entries(at: Path | StoredSet) -> list[TestOpening | None]:
    """As `openings`, with None for each that cannot be read."""
    if isinstance(at, StoredSet):
        return [opening for name, opening in _stored(at.store) if _NUMBERED.fullmatch(name)]
    path = at / OPENINGS
    with told(path, _ACCEPTED):
        lines = _read(path).splitlines()
    return [_parsed(line) for line in lines]


def torn_objects(store: Store) -> list[str]:
    """Names of the objects among the openings that cannot be read. Raises StoreError."""
    return [name for name, opening in _stored(store) if opening is None]


def torn_lines(root: Path) -> list[int]:
    """Numbers of the lines, from 1, that cannot be read. Raises ShardsError as `openings`."""
    path = root / OPENINGS
    with told(path, _ACCEPTED):
        lines = _read(path).splitlines()
    return [number for number, line in enumerate(lines, 1) if (opening := _parsed(line)) is None or opening.number != number]


def _parsed(line: bytes) -> TestOpening | None:
    try:
        fields = json.loads(line)
        opening = TestOpening(**{name: value for name, value in fields.items() if name != "nonce"})
    except (ValueError, TypeError, AttributeError, RecursionError):  # not JSON, or not these fields
        return None
    texts = (opening.identity, opening.sweep, opening.purpose, opening.token, opening.control)
    whole = (opening.number, opening.vault, opening.last_vault)
    fits = all(type(text) is str for text in texts) and type(opening.opened_at) in (int, float) and all(type(number) is int for number in whole)
    return opening if fits and 0 <= min(opening.vault, 1) <= opening.vault <= opening.last_vault else None


def _said(opening: TestOpening) -> dict[str, Any]:
    """Its fields, without those that say nothing."""
    return {name: value for name, value in asdict(opening).items() if value or name not in ("token", "vault", "last_vault", "control")}


def _put(at: StoredSet, sweep: str, purpose: str, token: str, control: str, choose: Choose) -> TestOpening:
    """As `open_test`: the first number that is free, taken by putting its object, which succeeds for one opener alone."""
    store = at.store
    refuse_unfit(store)
    there = {int(match[1]): opening for name, opening in _stored(store) if (match := _NUMBERED.fullmatch(name)) is not None}
    number, before = max(there, default=0) + 1, list(there.values())
    nonce, retries = secrets.token_hex(8), 0
    while True:
        opening = TestOpening(number, at.identity, sweep, purpose, time.time(), token, *choose(before), control)
        data = json.dumps(_said(opening) | {"nonce": nonce}, sort_keys=True, allow_nan=False).encode() + b"\n"
        name = f"{PREFIX}/{number:05d}.json"
        if store.put_if_absent(name, data) is not None:
            return opening
        try:
            found = store.get(name)
        except MissingObjectError:  # two at once, and the store let neither through
            retries += 1
            if retries > MOST_RETRIES:
                raise StoreError(f"{store.address(name)}: cannot be put, and is not there; a store with conditional writes") from None
            continue
        if nonce.encode() in found and (own := _parsed(found)) is not None:  # ours: the answer was lost on its way
            return own
        before.append(_parsed(found))
        number += 1


def _stored(store: Store) -> list[tuple[str, TestOpening | None]]:
    """The names of the objects and what they say, None for what cannot be read, oldest first."""
    found = []
    for name in store.names(PREFIX):
        match = _NUMBERED.fullmatch(name)
        opening = _parsed(store.get(name)) if match is not None else None
        found.append((name, opening if match is not None and opening is not None and opening.number == int(match[1]) else None))
    return found


def _read(path: Path) -> bytes:
    try:
        return read_plain(path, MAX_BYTES)
    except FileNotFoundError:
        return b""


def _append(path: Path, line: bytes) -> None:
    with open_plain(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT) as file:
        start = os.fstat(file.fileno()).st_size
        try:
            if file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(file.fileno())
        except OSError:
            os.ftruncate(file.fileno(), start)  # an opening that was not handed out is not on record either
            raise
