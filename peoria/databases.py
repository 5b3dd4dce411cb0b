"""Databases: their addresses, how long one may take to answer, and what its errors mean to who runs a sweep."""

import functools
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from peoria.errors import PeoriaError, SweepError

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

Opened = TypeVar("Opened")
EXTRA = "pip install 'peoria[postgresql]'"
AWAY_S = 60.0  # a database that is away for longer ends the run
ANSWER_S = 20  # a statement that takes longer is given up with its connection: ours take milliseconds
_PSYCOPG = {  # of libpq, where the address says nothing else: a host that is gone is noticed by the kernel
    "connect_timeout": "10",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": str(ANSWER_S * 1000),
}
# SQLSTATEs of what passes by itself: shut down or starting, no connection or memory left, deadlock, a lock or limit of time, read-only for a while.
_PASSING = {"57P01", "57P02", "57P03", "57P05", "53200", "53300", "40001", "40P01", "55P03", "57014", "25006"}


def address(url: str) -> str:
    """``url`` as SQLAlchemy takes it: ``postgresql://…`` is spoken to by psycopg, with its time limits. Anything else stays as it is."""
    scheme, mark, rest = url.partition("://")
    if mark and scheme.lower() in ("postgres", "postgresql"):
        url = f"postgresql+psycopg://{rest}"
    if not url.startswith("postgresql+psycopg://"):
        return url
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return url  # who opens it says what is wrong
    return parsed.update_query_dict({name: value for name, value in _PSYCOPG.items() if name not in parsed.query}).render_as_string(
        hide_password=False
    )


def is_database(url: str) -> bool:
    """Whether it is the address of a database, and not of an MLflow server."""
    return url.partition("://")[0].partition("+")[0].lower() in ("postgresql", "postgres", "mysql", "mssql", "sqlite")


def shown(url: str) -> str:
    """The address for messages: without its user, password and query."""
    scheme, mark, rest = url.partition("://")
    if not mark:
        scheme, rest = "", url
    if not rest.startswith("/"):
        rest = rest.rpartition("@")[2]
    return re.sub(r"(pass\w*\s*=\s*)\S+", r"\1***", f"{scheme}{mark}{rest}".partition("?")[0], flags=re.IGNORECASE) or "(empty)"


def engine_options(url: str) -> dict[str, Any]:
    """The arguments of ``create_engine`` for an `address`: connections are tried before use, and given up when they do not answer.

    Raises:
        ImportError: there is no driver for it.
        sqlalchemy.exc.ArgumentError: it is no address.
    """
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return {}
    if parsed.drivername != "postgresql+psycopg":
        return {"pool_pre_ping": True}
    return {"pool_pre_ping": True, "creator": _connector(parsed)}


def _connector(url: "URL") -> Callable[[], Any]:
    words, options = url.get_dialect()().create_connect_args(url)
    return lambda: _bounded_connection().connect(*words, **options)


@functools.cache
def _bounded_connection() -> Any:
    import psycopg

    class BoundedConnection(psycopg.Connection[Any]):
        """A connection that ends with an error where the server is there but does not answer, as one that is stopped or swapped out."""

        def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
            try:
                return super().wait(gen, interval, timeout=ANSWER_S if timeout is None else timeout)
            except psycopg.OperationalError as error:
                if self.pgconn.transaction_status == psycopg.pq.TransactionStatus.ACTIVE:  # in the midst of a statement: of no more use
                    self.close()
                    raise psycopg.OperationalError(f"no answer within {ANSWER_S} s") from error
                raise

        def __del__(self, *words: Any) -> None:
            self.close()  # SQLAlchemy's pool leaves its connections to be collected

    return BoundedConnection


def engine(url: str) -> "Engine":
    """An engine for an `address`; raises as `engine_options`."""
    from sqlalchemy import create_engine

    return create_engine(url, **engine_options(url))


def refuse_unreachable(url: str) -> None:
    """
    Raises:
        PeoriaError: no connection to the database can be made, for want of a driver, a server or a right.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        database = engine(address(url))
        database.connect().close()
        database.dispose()
    except (SQLAlchemyError, ImportError, ValueError) as error:
        about = trouble(error)
        raise PeoriaError(f"{shown(url)}: {about.found}", hint=about.hint) from None


@dataclass(frozen=True)
class Trouble:
    """What an error of a database means."""

    found: str  # one line, in the words of the database
    passes: bool  # whether the same may succeed a little later
    hint: str = ""
    dropped: bool = False  # whether the database was there, but for this moment


def trouble(error: BaseException) -> Trouble:
    """What an error means that SQLAlchemy raised, or another that was raised from one."""
    from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
    from sqlalchemy.exc import TimeoutError as PoolTimeout

    while not isinstance(error, (DBAPIError, PoolTimeout, ImportError)) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, ImportError):
        return Trouble(f"no driver for it is installed ({error})", False, f"{EXTRA}, and an address postgresql://USER:PASSWORD@HOST:PORT/NAME")
    if isinstance(error, NoSuchModuleError):
        return Trouble("no such kind of database is known", False, "postgresql://USER:PASSWORD@HOST:PORT/NAME, or sqlite:///FILE")
    if isinstance(error, PoolTimeout):
        return Trouble(_line(str(error)), True)
    if isinstance(error, (ArgumentError, ValueError, TypeError)):  # its text may repeat the password
        return Trouble("not the address of a database", False, "postgresql://USER:PASSWORD@HOST:PORT/NAME, or sqlite:///FILE")
    if not isinstance(error, DBAPIError):
        return Trouble(_line(str(error)), False)
    found = _line(str(error.orig))
    hint = next((hint for words, hint in _HINTS if re.search(words, found, re.IGNORECASE)), "")
    code = str(getattr(error.orig, "sqlstate", None) or "")
    dropped = bool(error.connection_invalidated) or code[:2] in ("08", "40", "57") or bool(re.search(_SOON, found))
    return Trouble(found, _passes(error, found), hint, dropped)


def opened(url: str, make: Callable[[], Opened], say: Callable[[str], object] = print) -> Opened:
    """``make()``, which opens the database at ``url`` for a sweep and makes what tables it lacks; again where it was there but for a moment.

    Raises:
        SweepError: there is no driver, the address is wrong, the server away, or its user may not do what is needed; one line and a hint.
    """
    from sqlalchemy.exc import SQLAlchemyError

    deadline, turns, there = time.monotonic() + AWAY_S, 0, False
    while True:
        try:
            return make()
        except PeoriaError:
            raise
        except (SQLAlchemyError, ImportError, ValueError, TypeError) as error:  # a port of letters is a ValueError, an unknown option a TypeError
            about, turns = trouble(error), turns + 1
            there = there or about.dropped
            if there and about.passes and time.monotonic() < deadline:
                if turns == 2:
                    say(f"  storage {shown(url)}: {about.found}; trying again for {AWAY_S:g} s")
                time.sleep(0.5)
            elif not re.search(_MADE_BY_ANOTHER, about.found) or turns >= 3:
                raise SweepError(f"storage {shown(url)}: {about.found}", hint=about.hint or "name another database, or one of its own") from None


def _passes(error: Any, found: str) -> bool:
    code = getattr(error.orig, "sqlstate", None)
    if code is not None:
        return code in _PASSING or code.startswith("08")
    if type(error.orig).__module__ == "sqlite3":
        return "locked" in found
    kinds = {kind.__name__ for kind in type(error.orig).__mro__}
    return bool(error.connection_invalidated) or bool(kinds & {"OperationalError", "InterfaceError"})


def _line(text: str) -> str:
    """The line of a driver's message that says why: what follows the last FATAL or ERROR of the server, else the first line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["no reason given"]
    said = [line.partition("FATAL:")[2].strip() for line in lines if "FATAL:" in line]
    return (said or lines)[0][:300]


_SOON = r"starting up|shutting down|not yet accepting|in recovery mode|locked"  # servers say the former before they let anybody in
_MADE_BY_ANOTHER = r"already exists|duplicate key|UNIQUE constraint failed"  # a table, by a sweep that was started at the same moment
_HINTS = (
    (r"password|authentication|role .* does not exist|pg_hba", "the address is postgresql://USER:PASSWORD@HOST:PORT/NAME"),
    (r"database .* does not exist", "make it with `createdb NAME`, or name one that is there"),
    (
        r"refused|could not translate|resolve|name or service|timeout expired|no answer|no route|unreachable",
        "is the server up, and are host and port right?",
    ),
    (r"permission denied", "its user must be allowed to make tables: GRANT CREATE ON SCHEMA public TO USER"),
    (r"read-only|readonly", "a database that can be written to is needed"),
    (r"unable to open database file", "its folder must be there and writable"),
    (r"not a database", "name another file; this one holds something else"),
    (r"locked", "another program holds it; close that program"),
    (r"(disk|device).*full|no space left", "make room on the disk of the database"),
)
