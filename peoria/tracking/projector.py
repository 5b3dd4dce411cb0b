"""The thread that keeps MLflow up to date while a sweep runs, and never holds the sweep up."""

import threading
import time
from collections.abc import Callable

from peoria.records.folder import SweepFolder
from peoria.tracking.projection import Delivered, Tracker
from peoria.tracking.redact import scrub_text


class Projector:
    """Calls ``tracker.project(folder)`` every ``period_s``, from now on until ``close``.

    An error is kept in ``error`` and tried again, each time after twice the wait, up to ``longest_wait_s``; the points lie in the sweep folder
    meanwhile.
    """

    def __init__(self, tracker: Tracker, folder: SweepFolder, *, period_s: float = 2.0, longest_wait_s: float = 60.0) -> None:
        self.tracker, self.folder = tracker, folder
        self.period_s, self.longest_wait_s = period_s, longest_wait_s
        self.error = ""  # of the last pass; "" if it went well
        self.delivered = Delivered()
        self._closing = threading.Event()
        self._finished = False
        self._thread = threading.Thread(target=self._run, name="mlflow-projector", daemon=True)  # a server that hangs must not keep the process
        self._thread.start()

    def close(self, timeout_s: float = 30.0) -> str:
        """Does a last pass, at most ``timeout_s`` long. Returns what could not be delivered and why, or ""."""
        self._closing.set()
        self._thread.join(timeout_s)
        if self._finished and not self.error:
            return ""
        if self._thread.is_alive():
            reason = self.error or f"no answer within {timeout_s:g} s"
        else:
            reason = self.error or "the projector ended by an error of its own (printed above)"
        found = f"MLflow at {scrub_text(self.tracker.uri)}: {reason}; not all was delivered"
        return f"{found}\nhint: all points are kept in {self.folder.path}; the same command again delivers them"

    def _run(self) -> None:
        wait_s = self.period_s
        while not self._closing.wait(wait_s):
            wait_s = self.period_s if self._pass() else min(2 * wait_s, self.longest_wait_s)
        self.tracker.forget()  # the last word on what is there is MLflow's
        self._pass()
        self._finished = True

    def _pass(self) -> bool:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            self.delivered += self.tracker.project(self.folder)
        except (MlflowException, SQLAlchemyError, OSError, ValueError) as error:  # requests' errors are OSErrors, ours ValueErrors
            self.error = f"{time.strftime('%H:%M:%S')} {type(error).__name__}: {scrub_text(str(error))[:300]}"
            return False
        self.error = ""
        return True


class Following:
    """``with Following(...)``: MLflow follows the sweep's folder meanwhile, and gets the rest at the end."""

    def __init__(self, folder: SweepFolder, uri: str | None, say: Callable[[str], None]) -> None:
        """
        Args:
            uri: where MLflow is; None: nowhere.
        """
        self.undelivered: str | None = None  # what MLflow has not got yet, once the block has ended
        self._say = say
        self._projector = None if uri is None else Projector(Tracker(uri), folder)

    def __enter__(self) -> "Following":
        return self

    def __exit__(self, *error: object) -> None:
        if self._projector is not None:
            self.undelivered = self._projector.close()
            if self.undelivered:
                self._say(f"  MLflow has not got everything yet: {self.undelivered}")
