"""`--on-end COMMAND`: a command of the user's, run when a sweep has ended, however it did. It changes nothing of the sweep, its status included."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from peoria.borders import complain, exit_code
from peoria.borders import told as told_of
from peoria.errors import ConfigError, interruption
from peoria.redact import scrub_text

LIMIT_S = 60.0
KILL_S = 2.0
State = Literal["finished", "interrupted", "failed"]
_running: "list[subprocess.Popen[bytes]]" = []
BY_CODE: dict[int, State] = {0: "finished", 3: "interrupted"}


@dataclass
class End:
    """How a run of a sweep ended, as far as is known."""

    sweep: str = ""
    """Its name; "" where the sweep file could not be read."""
    folder: Path | None = None
    state: State = "failed"
    code: int = 1
    """Exit status of the command."""
    why: str = ""


def refuse_unknown(words: Sequence[str]) -> None:
    """
    Raises:
        ConfigError: no such program is here: that is said before hours of training, and not after them.
    """
    if shutil.which(words[0]) is None:
        raise ConfigError(
            f"--on-end: {words[0]!r}; a program that is here and can be run",
            hint="no shell runs it; where one is wanted: --on-end \"sh -c '…'\"",
        )


@contextmanager
def ending(words: Sequence[str] | None, told: Callable[[End], object] = lambda end: None) -> Iterator[End]:
    """``with ending(words) as end``: runs the command after the block, whose last word on ``end`` holds, or the error that ended it.

    Args:
        words: of the command; None: there is none.
        told: is told the end too, before the command runs.
    """
    from peoria.sweep.signals import before_death, more_time

    end, once = End(), threading.Lock()

    def run() -> None:
        if once.acquire(blocking=False):  # by whoever is first: the block's end, or a signal's
            told(end)
            if words is not None:
                run_on_end(words, end)

    def killed(number: int) -> None:
        end.state, end.code, end.why = "interrupted", 128 + number, signal.Signals(number).name
        run()
        for process in list(_running):  # begun by the block's end, and a second signal hurries it
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    with before_death(killed):
        try:
            yield end
            end.state = BY_CODE.get(end.code, "failed")
        except BaseException as error:
            end.code = exit_code(error) if isinstance(error, Exception | KeyboardInterrupt) else 1
            end.state = "interrupted" if interruption(error) is not None or end.code == 3 else "failed"
            end.why = scrub_text((told_of(error) if isinstance(error, Exception) else None) or str(error)).partition("\n")[0]
            raise
        finally:
            if words is not None:
                more_time(LIMIT_S + KILL_S)
            run()


def run_on_end(words: Sequence[str], end: End, limit_s: float = LIMIT_S) -> None:
    """Runs it and waits, at most ``limit_s``. What goes wrong with it is told on standard error; what it prints goes there too."""
    environment = os.environ | {
        "PEORIA_SWEEP": end.sweep,
        "PEORIA_STATE": end.state,
        "PEORIA_EXIT_CODE": str(end.code),
        "PEORIA_FOLDER": "" if end.folder is None else str(end.folder.absolute()),
        "PEORIA_WHY": end.why,
    }
    stays = "the sweep and its status are as they are"
    sys.stderr.flush()
    try:
        process = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=2, start_new_session=True)
    except (OSError, ValueError) as error:
        complain(f"--on-end: {words[0]}: {getattr(error, 'strerror', None) or error}; {stays}")
        return
    _running.append(process)
    try:
        status = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        complain(f"--on-end: {words[0]}: not over after {limit_s:.0f} s, so it was ended; {stays}")
        _kill(process)
        return
    except BaseException:  # a signal: it ends us, and so the command
        _kill(process)
        raise
    finally:
        _running.remove(process)
    if status:
        by = f"status {status}" if status > 0 else f"ended by {_name(-status)}"
        complain(f"--on-end: {words[0]}: {by}; {stays}")


def _name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """With all that it started in its session."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(KILL_S)
            if number == signal.SIGKILL:
                return
