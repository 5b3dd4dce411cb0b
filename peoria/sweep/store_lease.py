"""A lease on a sweep in its bucket: of all hosts that name the bucket, one process at a time runs the sweep.

No clock is compared with another: whoever finds a lease that is not given back waits for as long as it holds, and takes it over only if it was
not renewed meanwhile. Each taking has a generation of its own, under which everything is written: what an earlier holder still writes is of an
earlier one, and nobody follows it.
"""

import json
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from peoria.errors import SweepError
from peoria.records.schema import Holder
from peoria.sweep.lease import LeaseLostError, place_of
from shards.errors import MissingObjectError, ShardsError
from shards.store import Store

LEASE_S = 60.0
RENEW_S = 10.0
GIVE_BACK_S = 5.0
NAME = "lease.json"
RECORD = "record"  # the prefix of the chains of steps, GENERATION-NONCE/STEP
_FIELDS = {"holder": str, "place": str, "pid": int, "host": str, "since": str, "generation": int, "renewed": int, "released": bool}


class StoreLease:
    """Held by this process until `give_back`, or until it is found to be lost."""

    def __init__(self, store: Store, sweep: str, folder: Path, say: Callable[[str], object] = print, *, lease_s: float = 0.0) -> None:
        """Takes the lease; waits up to ``lease_s`` for one that nobody gave back.

        Args:
            store: of the sweep.
            lease_s: how long it holds without being renewed; 0: `LEASE_S`.
            folder: of the sweep on this machine, whose lock the caller holds: a lease that was taken for it is free, for that process is gone.

        Raises:
            SweepError: another process holds it, named with its host.
            StoreError: the store cannot be used.
        """
        self._store, self._sweep, self._place, self._lease_s, self.lost = store, sweep, place_of(folder), lease_s or LEASE_S, False
        self._body: dict[str, Any] = {"holder": uuid.uuid4().hex, "place": self._place, "pid": os.getpid(), "host": socket.gethostname()}
        self._body |= {"since": time.strftime("%Y-%m-%d %H:%M:%S"), "renewed": 0, "released": False}
        self._version = self._take(say)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="store-lease", daemon=True)
        self._thread.start()

    @property
    def generation(self) -> int:
        """1 of the first holder, one more of each that came after."""
        return int(self._body["generation"])

    def _take(self, say: Callable[[str], object]) -> str:
        waited_for, until = "", 0.0
        while True:
            try:
                data, version = self._store.read_versioned(NAME)
            except MissingObjectError:  # the first holder, or somebody removed it: never a generation that was there before
                self._body["generation"] = 1 + max([0, *map(generation_of, self._store.names(RECORD))])
                if taken := self._store.put_if_absent(NAME, self._bytes()):
                    return taken
                continue
            held = _parsed(data, self._store)
            if held["released"] or held["place"] == self._place or (version == waited_for and time.monotonic() > until):
                self._body["generation"] = held["generation"] + 1
                if taken := self._store.replace(NAME, self._bytes(), version):
                    return taken
                continue
            if version != waited_for:
                who = f"process {held['pid']} on {held['host']} since {held['since']}"
                if waited_for:
                    raise SweepError(
                        f"sweep {self._sweep}: held in {self._store.address()} by {who}, which goes on; one process at a time runs a sweep",
                        hint="wait for it, or give the sweep another name",
                    )
                say(f"  {self._store.address(NAME)}: held by {who}; taken over in {self._lease_s:.0f} s unless that process is there")
                waited_for, until = version, time.monotonic() + self._lease_s
            time.sleep(min(1.0, self._lease_s / 10))

    def _bytes(self) -> bytes:
        return json.dumps(self._body, sort_keys=True).encode()

    def _renew(self) -> None:
        wait_s = min(RENEW_S, self._lease_s / 6)
        while not self._ended.wait(wait_s) and not self.lost:
            with suppress(ShardsError):  # away; whoever writes meanwhile waits for it and says so
                self._write()
        if not self.lost:
            self._body["released"] = True
            with suppress(ShardsError):  # where the store is away it runs out by itself
                self._write()

    def _write(self) -> None:
        self._body["renewed"] += 1
        if (version := self._store.replace(NAME, self._bytes(), self._version)) is not None:
            self._version = version
            return
        try:
            data, version = self._store.read_versioned(NAME)
        except MissingObjectError:  # somebody removed it, and nobody has taken it since
            self._version = self._store.put_if_absent(NAME, self._bytes()) or self._version
            return
        if self._is_ours(data):  # its answer was lost
            self._version = version
        else:
            self.lost = True

    def _is_ours(self, data: bytes) -> bool:
        try:
            return bool(_parsed(data, self._store)["holder"] == self._body["holder"])
        except SweepError:
            return False  # whatever it is, it says no more that this process holds the sweep

    def confirm(self) -> None:
        """Asks the store.

        Raises:
            LeaseLostError: it is lost.
            StoreError: the store cannot be asked.
        """
        with suppress(MissingObjectError):  # removed by somebody; taken by nobody
            self.lost = self.lost or not self._is_ours(self._store.get(NAME))
        self.refuse_if_lost()

    def refuse_if_lost(self) -> None:
        """
        Raises:
            LeaseLostError: it was found to be lost.
        """
        if self.lost:
            raise LeaseLostError(
                f"sweep {self._sweep}: this process was away from {self._store.address()} for longer than its lease, and another took the sweep "
                "over; nothing more is written",
                hint="the other process goes on with it",
            )

    def give_back(self) -> None:
        """Ends it, without waiting long for a store that is away."""
        self._ended.set()
        self._thread.join(GIVE_BACK_S)


def generation_of(name: str) -> int:
    """Of an object of a chain; 0 of another."""
    match = re.fullmatch(r"record/(\d{6})-[0-9a-f]{12}/\d{8}", name)
    return int(match[1]) if match else 0


def held(store: Store) -> Holder | None:
    """Who holds the sweep, or held it and never gave it back; None where nobody does.

    Raises:
        SweepError: the lease is damaged.
        StoreError: the store cannot be used.
    """
    try:
        found = _parsed(store.get(NAME), store)
    except MissingObjectError:
        return None
    return None if found["released"] else Holder(pid=found["pid"], host=found["host"], since=found["since"])


def _parsed(data: bytes, store: Store) -> dict[str, Any]:
    try:
        found = json.loads(data)
        if not isinstance(found, dict) or any(type(found.get(name)) is not kind for name, kind in _FIELDS.items()):
            raise ValueError("other fields")
    except (ValueError, RecursionError) as error:
        raise SweepError(
            f"{store.address(NAME)}: no lease ({str(error)[:100]}); what a process of peoria wrote",
            hint="remove it once no process runs this sweep",
        ) from None
    return found
