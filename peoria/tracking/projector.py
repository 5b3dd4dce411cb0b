"""The thread that keeps MLflow up to date while a sweep runs, and never holds the sweep up."""

import threading
import time
from collections.abc import Callable

from peoria.records.folder import SweepFolder
from peoria.redact import scrub_text
from peoria.tracking.changes import Changes
from peoria.tracking.projection import Delivered, Tracker
from shards.errors import UserError

NO_ANSWER_S = 40.0  # to one call, after which it is told
SLOW_FAILURE_S = 10.0  # a pass that failed after so long is told at once; another, if the next one fails too

CLOSE_S = 30.0


class Projector:
    """Calls ``tracker.project(folder)`` every ``period_s``, from now on until ``close``.

    An error is kept in ``error`` and tried again, each time after twice the wait, up to ``longest_wait_s``; the points lie in the sweep folder
    meanwhile. Within a minute ``say`` is told, once, that MLflow refuses or does not answer, and once that it is back.
    """

    def __init__(
        self,
        tracker: Tracker,
        folder: SweepFolder,
        *,
        say: Callable[[str], None] | None = None,
        period_s: float = 2.0,
        longest_wait_s: float = 60.0,
        no_answer_s: float = NO_ANSWER_S,
    ) -> None:
        self.tracker, self.folder = tracker, folder
        self.period_s, self.longest_wait_s, self.no_answer_s = period_s, longest_wait_s, no_answer_s
        self.error = ""  # of the last pass; "" if it went well
        self.delivered = Delivered()
        self._say, self._told, self._telling = say, False, threading.Lock()
        self._told_of_view = False
        self._closing = threading.Event()
        self._finished = False
        self._thread = threading.Thread(target=self._run, name="mlflow-projector", daemon=True)  # a server that hangs must not keep the process
        self._thread.start()
        if say is not None:
            threading.Thread(target=self._watch, name="mlflow-watch", daemon=True).start()

    def close(self, timeout_s: float = CLOSE_S) -> str:
        """Does a last pass, at most ``timeout_s`` long. Returns what could not be delivered and why, or ""."""
        self._closing.set()
        self._thread.join(timeout_s)
        if self._finished and not self.error:
            return ""
        if self._thread.is_alive():
            reason = self.error or f"no answer within {timeout_s:g} s"
        else:
            reason = self.error or "the projector ended by an error of its own (printed above, or in libraries.log)"
        found = f"MLflow at {scrub_text(self.tracker.uri)}: {reason}; not all was delivered"
        return f"{found}\nhint: all points are kept in {self.folder.path}; the same command again delivers them"

    def _run(self) -> None:
        wait_s, num_failed = self.period_s, 0
        while not self._closing.wait(wait_s):
            began = time.monotonic()
            if self._pass():
                wait_s, num_failed = self.period_s, 0
                self._tell("")
                continue
            wait_s, num_failed = min(2 * wait_s, self.longest_wait_s), num_failed + 1
            if num_failed > 1 or time.monotonic() - began > SLOW_FAILURE_S:
                self._tell(self.error)
        self.tracker.forget()  # the last word on what is there is MLflow's
        self._pass()
        self._finished = True

    def _watch(self) -> None:
        """A call that is not answered is told while it lasts: some servers never end it."""
        while not self._closing.wait(min(1.0, self.no_answer_s / 4)):
            asked_at = self.tracker.asked_at
            if asked_at is not None and time.monotonic() - asked_at > self.no_answer_s:
                self._tell(f"no answer for {self.no_answer_s:g} s")

    def _tell(self, problem: str) -> None:
        """Says that MLflow is away, if that was not said yet, or that it is back, if it was."""
        with self._telling:
            if self._say is None or self._closing.is_set() or self._told == bool(problem):
                return
            self._told = bool(problem)
            where = f"  MLflow at {scrub_text(self.tracker.uri)}"
            if problem:
                self._say(f"{where}: {problem}; the sweep goes on, and all points are kept in {self.folder.path} until it answers")
            else:
                self._say(f"{where} answers again, and has got what it missed")

    def _pass(self) -> bool:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            self.delivered += self.tracker.project(self.folder)
        except (MlflowException, SQLAlchemyError, OSError, ValueError) as error:  # requests' errors are OSErrors, ours ValueErrors
            line = next((line for line in str(error).splitlines() if line.strip()), "")
            if isinstance(error, UserError) and error.hint:
                line += f" (hint: {error.hint})"
            self.error = f"{time.strftime('%H:%M:%S')} {type(error).__name__}: {scrub_text(line)[:300]}"
            return False
        self.error = ""
        if self.tracker.no_view and not self._told_of_view and self._say is not None:
            self._told_of_view = True
            why = scrub_text(self.tracker.no_view.splitlines()[0])[:300]
            self._say(f"  MLflow has all runs, but not the saved view of them: {why}; `peoria ui {self.folder.name}` writes it")
        return True


class Following:
    """``with Following(...)``: MLflow follows the sweep's folder meanwhile, and gets the rest at the end."""

    def __init__(
        self,
        folder: SweepFolder,
        uri: str | None,
        say: Callable[[str], None],
        *,
        changes: Changes | None = None,
        patience: Callable[[float], float] = lambda usual: usual,
    ) -> None:
        """
        Args:
            uri: where MLflow is; None: nowhere.
            changes: told of each trial that this process writes to; None: another process writes.
            patience: is asked at the end how long the last pass may take, instead of so many seconds.
        """
        self._patience = patience
        self.undelivered: str | None = None  # what MLflow has not got yet, once the block has ended
        self._say = say
        self._projector = None if uri is None else Projector(Tracker(uri, changes=changes), folder, say=say)

    def __enter__(self) -> "Following":
        return self

    def __exit__(self, *error: object) -> None:
        if self._projector is not None:
            self.undelivered = self._projector.close(self._patience(CLOSE_S))
            if self.undelivered:
                self._say(f"  MLflow has not got everything yet: {self.undelivered}")
