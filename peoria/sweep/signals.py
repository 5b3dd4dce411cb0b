"""INT, TERM and HUP: one handler for all. Whoever has to end is told once, and never in the middle of what has to be whole.

The main thread gets an exception where it may be interrupted anywhere (reading, decoding, fitting), and a word that it asks for where it holds a
record (searching, closing). It may be deep in compiled code and hear neither; so a thread listens too, which ends the process in time.
"""

import atexit
import contextlib
import errno
import functools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from peoria.aloud import mute
from peoria.borders import complain
from peoria.errors import Interrupted

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_S = 6.0  # that running trials have to write where they are
END_S = 9.0  # from the signal to the end of this process, whatever the main thread does
AGAIN_S = 3.0  # the same from a second signal on
TWICE_S = 1.0  # a terminal that closes, and some who start us, send their signal twice at once: that is one

_active: "Signals | None" = None
_before_death: list[Callable[[int], object]] = []


class Signals:
    """What was asked of this process by signals. One that was never installed is never asked for anything."""

    def __init__(self, for_good: bool = False) -> None:
        """``for_good``: as in `handled`."""
        self._for_good, self._over = for_good, threading.Event()
        self.number: int | None = None
        self.again = False  # a second one came: nothing is waited for any more
        self._first_at = 0.0  # monotonic
        self.more_s = 0.0  # that the end may take beyond `END_S`
        self._held = self._raised = False
        self._stop_file: Path | None = None
        self._last_words: list[Callable[[], object]] = []
        self._first_words: list[Callable[[], object]] = []
        self._lock = threading.RLock()  # the handler may meet itself
        self._hurry = threading.Event()

    # -- for those who have to end

    def check(self) -> None:
        """
        Raises:
            Interrupted: a signal has come.
        """
        if self.number is not None:
            raise Interrupted(self.number)

    @property
    def name(self) -> str:
        """Of the signal that came; "" where none did."""
        return "" if self.number is None else signal.Signals(self.number).name

    def hold(self) -> None:
        """From here to the end of the outermost or sweep's block no signal raises anything; whoever loops asks ``number``."""
        self._held = True

    def at_the_end(self, say: Callable[[], object]) -> None:
        """One more of a sweep's last words."""
        self._last_words.append(say)

    def left_s(self, otherwise: float) -> float:
        """Seconds that are left for closing what is open; ``otherwise`` where no signal has come."""
        if self.number is None:
            return otherwise
        return max(0.5, min(otherwise, self._first_at + END_S - 1 - time.monotonic()))

    @contextmanager
    def sweep(self, stop_file: Path, *last_words: Callable[[], object]) -> Iterator[None]:
        """While a sweep runs: a signal makes the ``stop_file``, which running trials look for. ``last_words`` are said, in this order, when it comes,
        for there may be no time for more (`ray job stop` kills after 3 s), and again where the main thread does not come to its own end in time."""
        stop_file.unlink(missing_ok=True)
        self._last_words, self._first_words = list(last_words), list(last_words)
        self._stop_file = stop_file
        if self.number is not None:
            self._touch()
        try:
            yield
        finally:
            self._stop_file, self._last_words, self._first_words, self._held = None, [], [], False
            with contextlib.suppress(OSError):
                stop_file.unlink(missing_ok=True)

    # -- what comes

    def _came(self, number: int) -> None:
        with self._lock:
            if self.number is not None:
                return
            self.number, self._first_at = number, time.monotonic()
            self._touch()
            threading.Thread(target=self._end_in_time, name="end-in-time", daemon=True).start()

    def _touch(self) -> None:
        if self._stop_file is not None:
            with contextlib.suppress(OSError):  # a full disk: then the trials are ended without it
                self._stop_file.touch()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._came(number)
        if not self._held and not self._raised:
            self._raised = True
            raise Interrupted(number)

    def _listen(self, fd: int) -> None:
        """Hears a signal when it comes, while the main thread may be in compiled code."""
        while byte := os.read(fd, 1):
            if byte[0] in HANDLED:
                if self.number is not None and time.monotonic() > self._first_at + TWICE_S:
                    self.again = True
                    self._hurry.set()
                self._came(byte[0])
        os.close(fd)

    def _end_in_time(self) -> None:
        assert self.number is not None
        _say_all(self._first_words)
        hurried = False
        while not hurried and (left_s := self._first_at + END_S - 2 + self.more_s - time.monotonic()) > 0:
            hurried = self._hurry.wait(min(left_s, 1.0))  # there may be more time by then
        if hurried:
            time.sleep(AGAIN_S - 1)
        _say_all(self._last_words)
        time.sleep(1 if hurried else 2)  # the projector of MLflow makes a pass meanwhile
        if self._stop_file is not None:
            with contextlib.suppress(OSError):
                self._stop_file.unlink(missing_ok=True)
        if self._over.is_set() or (self.number == signal.SIGINT and not self._for_good):
            return  # a notebook's process outlives what was interrupted in it
        say_last(f"interrupted by {self.name}; the same command goes on from here")
        _say_all([functools.partial(say, self.number) for say in _before_death])
        os._exit(128 + self.number)


def _say_all(words: list[Callable[[], object]]) -> None:
    for say in words:
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            say()


@contextmanager
def before_death(say: Callable[[int], object]) -> Iterator[None]:
    """While this block lasts: where the process has to be ended by force after a signal, ``say`` is told its number first."""
    _before_death.append(say)
    try:
        yield
    finally:
        _before_death.remove(say)


def more_time(seconds: float) -> None:
    """After a signal the end may take so much longer: what is done is bounded by itself."""
    if _active is not None:
        _active.more_s += seconds


@contextmanager
def handled(*, for_good: bool = False) -> Iterator[Signals]:
    """``with handled() as signals``: INT, TERM and HUP are ours in this block. Inside another such block it is that one. One that whoever started us
    had ignored (``nohup``) stays ignored; outside the main thread nothing can be handled. A Ctrl-C ends the block, and the process with it only
    ``for_good``: whoever called us from a notebook goes on.

    Args:
        for_good: the process ends after the block: a signal then ends it at once, with its own status.
    """
    global _active
    if _active is not None:
        yield _active
        return
    signals = Signals(for_good)
    if threading.current_thread() is not threading.main_thread():
        yield signals
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = {number: signal.getsignal(number) for number in HANDLED}
    ours = [number for number in HANDLED if before[number] is not signal.SIG_IGN]
    woken_before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=signals._listen, args=(reading,), name="signals", daemon=True).start()
    for number in ours:
        signal.signal(number, signals._handle)
    if for_good:  # last of all, when Python takes its own handlers down: then the work is done and its status decided
        atexit.register(lambda: [signal.signal(number, signal.SIG_IGN) for number in ours])
    _active = signals
    try:
        yield signals
    finally:
        _active = None
        if not for_good:
            signals._over.set()
        for number in ours:
            signal.signal(number, (lambda came, _: os._exit(128 + came)) if for_good else before[number])
        signal.set_wakeup_fd(woken_before)
        os.close(writing)


def say_last(text: str) -> None:
    """A line to stderr, as far as there is still somebody to read it."""
    complain(text)


def surviving(say: Callable[[str], object]) -> Callable[[str], None]:
    """``say``, but a terminal that has been closed (EIO) is no error: from then on nothing is said."""

    def said(text: str) -> None:
        try:
            say(text)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            mute()

    return said
