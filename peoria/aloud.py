"""Standard error while a sweep runs: what libraries write there goes to a log, what we say does not, and is kept apart from what is drawn."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

WIDTH = 80  # characters of a line
_err: TextIO | None = None  # in place of sys.stderr, while that is diverted
_beside: Callable[[str, TextIO], None] | None = None  # prints beside what is drawn


def terminal_width(stream: TextIO) -> int:
    """Characters of a line: of a terminal its own, and at most `WIDTH`."""
    with contextlib.suppress(OSError, ValueError):
        if stream.isatty() and 0 < (columns := os.get_terminal_size(stream.fileno()).columns) < WIDTH:
            return max(columns, 20)
    return WIDTH


def err() -> TextIO:
    """Standard error of this process, wherever libraries' goes."""
    return _err or sys.stderr


def tell(text: str) -> None:
    """Prints on it."""
    if _beside is not None:
        _beside(text, err())
    else:
        print(text, file=err(), flush=True)


@contextmanager
def beside(draws: Callable[[str, TextIO], None]) -> Iterator[None]:
    """While something is drawn on the terminal: what is told is given to whoever draws."""
    global _beside
    _beside = draws
    try:
        yield
    finally:
        _beside = None


@contextmanager
def diverted(log: Path) -> Iterator[None]:
    """What libraries, and their compiled halves, write to standard error goes to ``log``; what is told does not."""
    global _err
    ours = sys.stderr
    try:
        number = ours.fileno()
    except (OSError, ValueError):  # a notebook's, or a test's
        number = -1
    if number != 2:
        yield
        return
    ours.flush()
    saved = os.dup(2)
    with log.open("ab") as file:
        os.dup2(file.fileno(), 2)
    with os.fdopen(saved, "w", encoding=ours.encoding, errors=ours.errors) as _err:
        try:
            yield
        finally:
            with contextlib.suppress(OSError, ValueError):
                ours.flush()
            os.dup2(saved, 2)
            _err = None


def mute() -> None:
    """Both outputs lead nowhere from here on; else Python ends with status 120 because of what it could not flush."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for fd in (1, 2, *(() if _err is None else (_err.fileno(),))):
        os.dup2(nowhere, fd)
    os.close(nowhere)
