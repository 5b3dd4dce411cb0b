"""A lease on a sweep in its database: of all homes and hosts that name the database, one process at a time runs the sweep.

The clock is the database's. The lease is renewed while its process lives, and free for others when it has run out.
"""

import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from peoria.databases import address, engine, opened, shown
from peoria.errors import SweepError

LEASE_S = 60.0
RENEW_S = 15.0
GIVE_BACK_S = 5.0
WAIT_S = 1.0  # between two looks whether a lease has run out
_NOW = {  # seconds since 1970
    "postgresql": "extract(epoch from clock_timestamp())",
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "mysql": "unix_timestamp(now(6))",
    "mariadb": "unix_timestamp(now(6))",
}
LEASES = sql.Table(
    "peoria_leases",
    sql.MetaData(),
    sql.Column("study", sql.String(255), primary_key=True),
    sql.Column("holder", sql.String(32), nullable=False),
    sql.Column("place", sql.String(255), nullable=False),
    sql.Column("pid", sql.BigInteger, nullable=False),
    sql.Column("host", sql.String(255), nullable=False),
    sql.Column("since", sql.Float(53), nullable=False),
    sql.Column("until", sql.Float(53), nullable=False),
)


class LeaseLostError(SweepError):
    """Another process took the sweep over while this one was away; nothing more may be written."""


class Lease:
    """The lease on one sweep, held by this process until `give_back`, or until it is found to be lost."""

    def __init__(self, url: str, study: str, folder: Path, say: Callable[[str], object] = print, *, wait: bool = False) -> None:
        """Takes the lease.

        Args:
            wait: for one that nobody renews to run out, as of a machine that is gone.
            folder: of the sweep, whose lock the caller holds: a lease that another process took for this folder is free, for that process is gone.

        Raises:
            SweepError: another process holds it, named with its host; or the database cannot be used.
        """
        self.url, self.study, self.place, self.lost = url, study, place_of(folder), False
        self._holder, self._ended = uuid.uuid4().hex, threading.Event()
        self._mine = (LEASES.c.study == study) & (LEASES.c.holder == self._holder)
        self._waited_for: float | None = None if wait else 0.0  # until when the lease held that was found first; 0: not waited for
        opened(url, lambda: self._open(say), say)
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        self._thread.start()

    def _open(self, say: Callable[[str], object]) -> None:
        self._engine = engine(address(self.url))
        kind = self._engine.dialect.name
        if kind not in _NOW:
            raise SweepError(f"storage {shown(self.url)}: a database of {kind}; one of {', '.join(_NOW)} is needed")
        self._now: Any = sql.literal_column(_NOW[kind])
        _make_table(self._engine)
        self._take(say)

    def _take(self, say: Callable[[str], object]) -> None:
        mine = {"holder": self._holder, "place": self.place, "pid": os.getpid(), "host": socket.gethostname()}
        times = {"since": self._now, "until": self._now + LEASE_S}
        row = LEASES.c.study == self.study
        while True:
            with self._engine.begin() as connection:
                before = connection.execute(sql.select(LEASES).where(row)).one_or_none()
                free = row & ((LEASES.c.until < self._now) | (LEASES.c.place == self.place))
                if connection.execute(sql.update(LEASES).where(free).values(**mine, **times)).rowcount == 1:
                    if before is not None and before.place != self.place:
                        say(f"  the sweep was held by {_named(before)}; that lease ran out at {_clock(before.until)} and is taken over")
                    return
            try:
                with self._engine.begin() as connection:
                    connection.execute(sql.insert(LEASES).values(study=self.study, **mine, **times))
                return
            except IntegrityError:
                with self._engine.begin() as connection:
                    held = connection.execute(sql.select(LEASES).where(row)).one_or_none()
            if held is not None and self._waited_for in (None, held.until):
                if self._waited_for is None:
                    say(f"  sweep {self.study}: held in {shown(self.url)} by {_named(held)}; taken over at {_clock(held.until)} unless it is there")
                self._waited_for = held.until
                time.sleep(WAIT_S)
                continue
            if held is not None:
                raise SweepError(
                    f"sweep {self.study}: held in {shown(self.url)} by {_named(held)}, until {_clock(held.until)} unless it goes on; "
                    "one process at a time runs a sweep",
                    hint="wait for it, or give the sweep another name",
                )

    def _renew(self) -> None:
        wait_s = RENEW_S
        while not (ended := self._ended.wait(wait_s)) and not self.lost:
            try:
                with self._engine.begin() as connection:
                    self.lost = connection.execute(sql.update(LEASES).where(self._mine).values(until=self._now + LEASE_S)).rowcount == 0
                wait_s = RENEW_S
            except SQLAlchemyError:  # away; whoever writes meanwhile waits for it and says so
                wait_s = RENEW_S / 5
        if ended:
            with suppress(SQLAlchemyError), self._engine.begin() as connection:  # where the database is away it runs out by itself
                connection.execute(sql.delete(LEASES).where(self._mine))
        self._engine.dispose()

    def refuse_if_lost(self) -> None:
        """
        Raises:
            LeaseLostError: it was found to be lost.
        """
        if self.lost:
            raise LeaseLostError(
                f"sweep {self.study}: this process was away from {shown(self.url)} for longer than its lease, and another took the sweep over; "
                "nothing more is written",
                hint="the other process goes on with it",
            )

    def guard(self, connection: Any) -> None:
        """Holds the lease until the transaction on ``connection`` ends, so that nobody takes it over before a commit.

        Raises:
            LeaseLostError: it is lost.
        """
        self.lost = self.lost or connection.execute(sql.select(LEASES.c.pid).where(self._mine).with_for_update(read=True)).one_or_none() is None
        self.refuse_if_lost()

    def give_back(self) -> None:
        """Ends it, without waiting long for a database that is away: there it runs out by itself."""
        self._ended.set()
        self._thread.join(GIVE_BACK_S)


@contextmanager
def leased(url: str, study: str, folder: Path, say: Callable[[str], object] = print, *, wait: bool = False) -> Iterator[Lease]:
    """``with leased(...)``: the lease, as `Lease`."""
    lease = Lease(url, study, folder, say, wait=wait)
    try:
        yield lease
    finally:
        lease.give_back()


def _make_table(database: sql.Engine) -> None:
    try:
        LEASES.create(database, checkfirst=True)
    except DBAPIError:  # another process was faster, or it may not be made at all
        if not sql.inspect(database).has_table(LEASES.name):
            raise


def _named(row: Any) -> str:
    return f"process {row.pid} on {row.host} since {_clock(row.since)}"


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def place_of(folder: Path) -> str:
    """Names a folder among all hosts: the running kernel, the file system and the inode."""
    boot, about = Path("/proc/sys/kernel/random/boot_id"), folder.stat()
    kernel = boot.read_text().strip() if boot.exists() else f"{uuid.getnode():x}"
    return f"{kernel}:{about.st_dev}:{about.st_ino}"
