"""A sweep on a terminal, in a log, or for a program: the same lines and numbers, drawn, printed, or as JSON."""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from peoria.aloud import WIDTH, beside, diverted, terminal_width
from peoria.borders import folded, shown, terminal
from peoria.records.schema import TrialOutcome
from peoria.screen_text import beat, event_of, region
from peoria.sweep.board import Now, Screen
from peoria.sweep.outlook import Outlook, spoken

BEAT_S = 180.0  # of silence, before a line says that and how far it goes on
EVENT_S = 10.0  # between two events of progress
TICK_S = 1.0
ECHO = 4  # columns for the ^C or ^Z that a terminal writes behind the last line: on a row of its own it would stay there


def screen_for(*, plain: bool = False, as_json: bool = False) -> "Lines":
    """Drawn where standard output is a terminal that can be drawn on; plain lines elsewhere."""
    if as_json:
        return Events()
    drawn = not plain and sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")
    return Drawn() if drawn else Lines()


class Lines(Screen):
    """Plain lines of at most 80 characters, and after a long silence one that says how far it is. ``with`` it."""

    every_s = 15.0

    def __init__(self) -> None:
        self._out = sys.stdout  # from now on, whoever takes its place
        self._lock = threading.RLock()
        self._now: Now | None = None
        self._stage, self._stage_at = "", time.monotonic()
        self._said_at = time.monotonic()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._tick, name="screen", daemon=True)

    def __enter__(self) -> "Lines":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._closed.set()
        self.erase()

    def say(self, text: str) -> None:
        """What goes to a log and is of one line, as a node that is gone, stays one, so that it can be searched for."""
        if "\n" in text or self._out.isatty():
            self.say_folded(text)
        else:
            self._say_all(shown(text))

    def say_folded(self, text: str) -> None:
        self._say_all(folded(shown(text), terminal_width(self._out)))

    def _say_all(self, text: str) -> None:
        with self._lock:
            self._print(text)
            self._said_at = time.monotonic()

    def stage(self, text: str) -> None:
        self._stage, self._stage_at = text, time.monotonic()

    def show(self, now: Now) -> None:
        self._now = now

    def an_hour(self, outlook: Outlook) -> tuple[float, str, str] | None:
        from peoria.cluster.prices import an_hour

        return an_hour(outlook)

    @contextmanager
    def quiet(self, log: Path) -> Iterator[None]:
        ours = contextlib.nullcontext() if type(self) is Lines else contextlib.redirect_stdout(sys.stderr)  # what others print, too
        with diverted(log), beside(self._beside), ours:
            yield

    def erase(self) -> None:
        """Removes what is drawn beside the lines."""

    def _beside(self, text: str, err: Any) -> None:
        print(text, file=err, flush=True)

    def _print(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()

    def _tick(self) -> None:
        while not self._closed.wait(TICK_S):
            with self._lock:
                if not self._closed.is_set():
                    self._turn()

    def _turn(self) -> None:
        if time.monotonic() > self._said_at + BEAT_S and (text := self._beat()):
            self.say_folded(text)

    def _beat(self) -> str:
        if self._stage:
            return f"  {time.strftime('%H:%M')}  {self._stage}, for {spoken(time.monotonic() - self._stage_at)}"
        return f"  {time.strftime('%H:%M')}  {beat(self._now)}" if self._now is not None else ""


class Events(Lines):
    """Lines of JSON: docs/terminal.md has their fields."""

    every_s = EVENT_S

    def event(self, kind: str, **fields: Any) -> None:
        with self._lock:
            self._print(json.dumps({"event": kind, "at": round(time.time(), 3)} | fields, ensure_ascii=False))

    def say(self, text: str) -> None:
        self.event("said", text=text)

    def say_folded(self, text: str) -> None:
        self.say(text)

    def ended(self, key: str, outcome: TrialOutcome, line: str) -> None:
        error = None if outcome.error is None else outcome.error.strip().splitlines()[-1]
        self.event("trial", key=key, state=outcome.status, objective=outcome.objective, metrics=outcome.metrics, error=error)

    def show(self, now: Now) -> None:
        self.event("progress", **event_of(now))

    def _turn(self) -> None:
        """Nothing: progress is told as it comes."""


class Drawn(Lines):
    """Lines that stay, and below them some that are drawn anew each second. The cursor is never hidden: however the process ends, it is there."""

    every_s = TICK_S

    def __init__(self) -> None:
        from rich.console import Console

        class Calm(Console):
            def show_cursor(self, show: bool = True) -> bool:
                return False

        super().__init__()
        self._console = Calm(file=terminal(), highlight=False, emoji=False, markup=False)
        self._live: Any = None
        self._before: Any = None

    def __enter__(self) -> "Drawn":
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTSTP, self._suspend)
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        if self._before is not None:
            signal.signal(signal.SIGTSTP, self._before)

    def erase(self) -> None:
        if not self._lock.acquire(timeout=1.0):
            return  # the terminal has been stopped (Ctrl-S) by whoever sits there
        try:
            live, self._live = self._live, None
            if live is not None:
                live.stop()
        finally:
            self._lock.release()

    def _print(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text(text), soft_wrap=True)

    def _beside(self, text: str, err: Any) -> None:
        if err.isatty():
            self.erase()
        super()._beside(text, err)

    def _turn(self) -> None:
        if not self._foreground():
            return
        if self._live is None:
            from rich.live import Live

            self._live = Live(
                get_renderable=self._region,
                console=self._console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        self._live.refresh()

    def _region(self) -> Any:
        from rich.text import Text

        width, height = min(self._console.width, WIDTH) - ECHO, self._console.height
        if self._stage or self._now is None:
            lines = [f"{self._stage or 'the first trial begins'}, for {spoken(time.monotonic() - self._stage_at)}"]
        else:
            lines = region(self._now, width, height)
        return Text("\n".join(lines), no_wrap=True, overflow="ellipsis", style="dim" if self._stage else "")

    def _foreground(self) -> bool:
        """Whether the terminal is ours now, and not the shell's after Ctrl-Z and bg."""
        try:
            return os.tcgetpgrp(self._out.fileno()) == os.getpgrp()
        except (OSError, ValueError):
            return True

    def _suspend(self, number: int, frame: FrameType | None) -> None:
        """What is drawn goes before the shell comes; it is drawn anew, below what the shell wrote, once this process goes on."""
        self.erase()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._suspend)  # here again after SIGCONT
