"""Where the study meets the machine: what others raise as one line that says what to do, and a terminal that takes every text.

An error of ours has no line here: it keeps its traceback.
"""

import codecs
import contextlib
import errno
import io
import json
import os
import re
import shutil
import sys
import textwrap
import traceback
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from peoria import aloud
from peoria.aloud import WIDTH, terminal_width
from peoria.errors import Interrupted, interruption
from peoria.redact import scrub_text
from shards.errors import UserError

WHOLE = "PEORIA_TRACEBACK"  # in the environment, it shows the traceback of what is told in a line
EXIT_BUG = 1
EXIT_USER_ERROR = 2
EXIT_HUNG_UP = 129
EXIT_INTERRUPTED = 130
_NAMED = re.compile(r" {2}\w[\w ]{0,10}? {2,}(?=\S)")  # as in `  disk        7 MB`
_AGAIN = "the same command goes on from here"
_LETTERS = {"ρ": "rho", "×": "x", "−": "-", "–": "-", "—": "-", "…": "...", "’": "'", "≥": ">=", "≤": "<=", "→": "->", "≈": "~", "·": ".", "²": "2"}

# what was found, and what is accepted or to be done
_OF_THE_SYSTEM = {
    errno.EACCES: ("no permission", "a place that this user may read and write"),
    errno.EPERM: ("not permitted", "a place that this user may read and write"),
    errno.EROFS: ("a file system that is read-only", "a place that can be written"),
    errno.EISDIR: ("a folder", "a file"),
    errno.ENOTDIR: ("a part of this path is no folder", "folders all the way"),
    errno.EEXIST: ("there already", "a folder, or nothing"),
    errno.ENOTEMPTY: ("a folder that is not empty", "a file, or nothing"),
    errno.ENOENT: ("no such file or folder", "one that is there"),
    errno.ENAMETOOLONG: ("a longer name than the file system takes", "a shorter path"),
    errno.ELOOP: ("links that lead to one another", "a file or a folder"),
    errno.EMFILE: ("too many open files of this process", "more with `ulimit -n`"),
    errno.ENFILE: ("too many open files on this machine", "a machine with room for more"),
    errno.EIO: ("the disk or the network failed in reading or writing", "a disk that is whole"),
    errno.ESTALE: ("the network's folder was changed under it", "a folder that is there"),
    errno.EBUSY: ("in use by another program", "a place of its own"),
    errno.ENODEV: ("no such device", "a file or a folder"),
    errno.ENXIO: ("no such device", "a file or a folder"),
    errno.EINVAL: ("not accepted by the file system", "a name that it takes"),
    errno.EXDEV: ("on another disk than the file that belongs there", "one disk"),
    errno.ENOSYS: ("the file system cannot do this", "another disk"),
    errno.EOPNOTSUPP: ("the file system cannot do this", "another disk"),
    errno.ENOLCK: ("no locks to be had on this file system", "a disk that has them"),
    errno.ENOMEM: ("no memory left", "fewer trials at a time (--concurrent), or more memory"),
    errno.EAGAIN: ("no more processes or memory for now", "fewer at a time (--concurrent, --processes)"),
    errno.ECHILD: ("a process that is gone", _AGAIN),
    errno.EADDRINUSE: ("the address is in use", "a free port"),
    errno.ECONNREFUSED: ("nobody answers at this address", "a server that runs"),
    errno.ECONNRESET: ("the other side ended the connection", "a server that runs"),
    errno.ETIMEDOUT: ("no answer in time", "a server that runs"),
    errno.EHOSTUNREACH: ("no way to this host", "a server that can be reached"),
    errno.ENETUNREACH: ("no network", "a server that can be reached"),
}
_PLAIN_KINDS = (Exception, RuntimeError, ValueError)  # of which Ray raises some, and which say nothing of whose fault it is
_FULL = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up"}


def told(error: BaseException) -> str | None:
    """What a user or the world caused, as ``<what>: <found>; <accepted>`` and a hint; None for an error of ours, whose traceback is wanted."""
    if isinstance(error, UserError):
        return str(error)
    kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(error).__mro__}
    found = None
    if any(kind.startswith("ray.") for kind in kinds) or (type(error) in _PLAIN_KINDS and _raised_in(error) == "ray"):
        found = _of_ray(error, kinds)
    elif any(kind.startswith(("sqlalchemy.", "optuna.", "psycopg.", "psycopg2.", "pymysql.", "sqlite3.", "alembic.")) for kind in kinds):
        found = _of_a_database(error, kinds)
    elif any(kind.startswith("mlflow.") for kind in kinds):
        found = f"MLflow: {_first_line(error)}; a server or a database that takes what it is sent"
    elif isinstance(error, ImportError) and _raised_in(error, anywhere=("sqlalchemy", "optuna")):
        found = f"database: {_first_line(error)}; the driver of this kind of database\nhint: pip install 'peoria[postgresql]' has that of PostgreSQL"
    elif "filelock.Timeout" in kinds:
        found = f"{getattr(error, 'lock_file', 'a lock')}: held by another process; one at a time"
    elif isinstance(error, OSError):
        found = _of_the_system(error)
    elif isinstance(error, MemoryError):
        found = "memory: used up; more of it, or fewer trials at a time\nhint: --concurrent, --processes, or a smaller batch_size"
    elif isinstance(error, UnicodeError) or ("pydantic_core.PydanticSerializationError" in kinds and "surrogates" in str(error)):
        what = _subject(error) or "a text"
        found = f"{what}: {_first_line(error)}; text in UTF-8" + "\nhint: LC_ALL=C.UTF-8 in the environment, where a name of a file is meant"
    elif isinstance(error, json.JSONDecodeError):
        found = f"{_subject(error) or 'a file'}: not JSON ({_first_line(error)}); it is written whole by peoria"
    elif isinstance(error, RecursionError) and _reads_json(error):
        found = f"{_subject(error) or 'a file'}: nested deeper than can be read; it is written whole by peoria"
    elif isinstance(error, ValueError) and "embedded null" in str(error):
        found = f"{_subject(error) or 'a path'}: a zero byte in a path; a path without"
    return None if found is None else scrub_text(found)


def exit_code(error: BaseException) -> int:
    """Of a command that this error ended."""
    if (came := interruption(error)) is not None:
        return came.exit_code if isinstance(came, Interrupted) else EXIT_INTERRUPTED
    if isinstance(error, OSError) and error.errno == errno.EIO and not Path(error.filename or "").exists():
        return EXIT_HUNG_UP  # the terminal was closed
    return EXIT_BUG if told(error) is None or os.environ.get(WHOLE) else int(getattr(error, "exit_code", EXIT_USER_ERROR))


def _raised_in(error: BaseException, anywhere: tuple[str, ...] = ()) -> str | bool:
    """The package whose code raised it, or whether it came through one of those named."""
    names = [frame.f_globals.get("__name__", "").partition(".")[0] for frame, _ in traceback.walk_tb(error.__traceback__)]
    return any(name in anywhere for name in names) if anywhere else names[-1] if names else ""


def _of_the_system(error: OSError) -> str:
    path, what = _subject(error), None if error.errno is None else error.errno
    name = str(path) if path is not None else "the system"
    if what in _FULL:
        return f"{name}: {_FULL[what]}, {_free(path)}; room for what is to be written\nhint: make room, or name another disk; {_AGAIN}"
    if what == errno.EFBIG:
        import resource

        most = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        return f"{name}: larger than a file may be here ({most:,} bytes); room for what is to be written\nhint: ulimit -f unlimited; {_AGAIN}"
    if what == errno.EINVAL and "AF_UNIX" in str(error):
        what = None
    if what in _OF_THE_SYSTEM:
        found, accepted = _OF_THE_SYSTEM[what]
        return f"{name}: {found}; {accepted}"
    if "AF_UNIX path" in str(error):
        return f"TMPDIR: {_first_line(error)}; a socket's path has at most 107 bytes\nhint: set TMPDIR (or RAY_TMPDIR) to a short folder, as /tmp"
    said = error.strerror or _first_line(error)
    kind = "" if error.strerror else f"{type(error).__name__}: "
    return f"{name}: {kind}{said}; {_AGAIN} once that is mended"


def _free(path: Path | None) -> str:
    folder = Path.cwd() if path is None else path.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return f"{shutil.disk_usage(folder).free:,} bytes free"
    except OSError:
        return "0 bytes free"


def _of_ray(error: BaseException, kinds: set[str]) -> str | None:
    cause = getattr(error, "cause", None)
    if "ray.RayTaskError" in kinds and isinstance(cause, BaseException):  # of what ran in a worker: its own error decides
        return told(cause)
    return f"Ray: {type(error).__name__}: {_first_line(error)}; a Ray that runs\nhint: {_AGAIN}"


def _of_a_database(error: BaseException, kinds: set[str]) -> str | None:
    name, line, hint = type(error).__name__, _first_line(error), f"{_AGAIN} once the database answers"
    if any(kind.startswith("optuna.") for kind in kinds) and "optuna.StorageInternalError" not in kinds:
        return None  # its other errors tell of a call that is wrong
    cause = getattr(error, "orig", None) or error.__cause__
    if cause is not None and cause is not error:
        line = _first_line(cause)
    if name in ("NoSuchModuleError", "ArgumentError"):
        line, hint = _first_line(error), "as in postgresql+psycopg://USER:PASSWORD@HOST/DATABASE, or sqlite:////PATH/study.db"
    elif name in ("ProgrammingError", "StatementError", "InvalidRequestError", "CompileError") and not _is_of_the_server(line):
        return None  # a statement of ours that is wrong
    return f"database: {name}: {line}; one that answers, at an address that is right\nhint: {hint}"


def _is_of_the_server(line: str) -> bool:
    words = ("does not exist", "permission", "access", "denied", "no such table", "read-only", "readonly", "closed")
    return any(word in line.lower() for word in words)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= 300 else f"{text[:297]}..."


def _subject(error: BaseException) -> Path | None:
    """The file that an error is about: as it says, or else what was open or named where it was raised, for a write names none."""
    if isinstance(error, OSError) and error.filename is not None and not isinstance(error.filename, int):
        return Path(os.fsdecode(error.filename))
    for frame in reversed(list(_frames(error))):
        for value in frame.values():  # a strange object's own attributes are not asked for: that may raise anything
            name = getattr(value, "name", None) if isinstance(value, io.IOBase) else value
            if isinstance(name, Path) or (isinstance(value, io.IOBase) and isinstance(name, str) and not name.startswith("<")):
                return Path(name)
    return None


def _frames(error: BaseException) -> Iterator[dict[str, Any]]:
    for frame, _ in traceback.walk_tb(error.__traceback__):
        yield dict(frame.f_locals)


def _reads_json(error: BaseException) -> bool:
    return any(frame.f_globals.get("__name__", "").startswith("json") for frame, _ in traceback.walk_tb(error.__traceback__))


def folded(text: str, width: int = WIDTH, hang: int | None = None) -> str:
    """Each line in as many as it takes, parted at blanks; a longer word, as a path, stays whole.

    Args:
        hang: blanks before what goes on; None: as many as bring it below the text of a named line, else some to the right.
    """
    lines = list[str]()
    for line in text.splitlines():
        named = _NAMED.match(line)
        further = " " * (hang if hang is not None else named.end() if named is not None else len(line) - len(line.lstrip()) + 4)
        lines += textwrap.wrap(line, width, subsequent_indent=further, break_long_words=False, break_on_hyphens=False) or [line]
    return "\n".join(lines)


def shown(text: str, *, lines: bool = True) -> str:
    """``text`` as a terminal may have it: what would move its cursor, change its colours or turn its direction is written out (``\\x1b``).

    Args:
        lines: whether line ends and tabs stay as they are; of the name of a file they do not.
    """
    if text.isprintable():
        return text
    stays = "\n\t" if lines else ""
    return "".join(letter if letter.isprintable() or letter in stays or not _moves(letter) else _written_out(letter) for letter in text)


def _moves(letter: str) -> bool:
    return unicodedata.category(letter) in ("Cc", "Zl", "Zp") or "\u202a" <= letter <= "\u202e" or "\u2066" <= letter <= "\u2069"


def _written_out(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")


def _legible(error: UnicodeError) -> tuple[str, int]:
    """An error handler of codecs: Greek and signs as people write them in ASCII, bytes of a name that is no UTF-8 and the rest written out."""
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    return "".join(_in_ascii(letter) for letter in text), error.end


def _in_ascii(letter: str) -> str:
    if letter in _LETTERS:
        return _LETTERS[letter]
    if "\udc80" <= letter <= "\udcff":
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("ascii", "backslashreplace").decode("ascii")


codecs.register_error("peoria.legible", _legible)


class Output:
    """Standard output for people: legible in any encoding, without control codes from outside; and that nobody can read it any more ends no work.

    The first error of writing is kept in ``lost``, and nothing is written from then on.
    """

    def __init__(self, stream: TextIO, lost: "list[OSError] | None" = None, *, codes: bool = False) -> None:
        self._stream, self.lost, self._codes = stream, [] if lost is None else lost, codes

    def with_codes(self) -> "Output":
        """The same for what is made here with colours of its own, as a table; it has to show what comes from outside by itself."""
        return Output(self._stream, self.lost, codes=True)

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text if self._codes else shown(text)))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, do: Any) -> None:
        if self.lost:
            return
        try:
            do()
        except OSError as error:
            self.lost.append(error)
        except ValueError as error:  # closed
            self.lost.append(OSError(errno.EBADF, str(error)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def terminal() -> TextIO:
    """Standard output for what is made here with colours of its own."""
    found: Any = sys.stdout.with_codes() if isinstance(sys.stdout, Output) else sys.stdout
    return found


def complain(text: str) -> None:
    """Says it on standard error, if anybody reads that: a terminal gets lines that fit it, a log what can be searched."""
    err = aloud.err()
    with contextlib.suppress(OSError, ValueError):
        aloud.tell(folded(shown(text), terminal_width(err)) if err.isatty() else shown(text))


def legible_streams() -> None:
    """Makes standard output and error take every text. One that is closed is sent nowhere, or the next file to be opened would take its place."""
    for number, name in ((0, "stdin"), (1, "stdout"), (2, "stderr")):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, os.O_RDWR)
            if nowhere != number:
                os.dup2(nowhere, number, inheritable=True)
                os.close(nowhere)
            else:
                os.set_inheritable(number, True)
            if getattr(sys, name) is None:
                setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="peoria.legible")
