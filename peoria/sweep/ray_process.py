"""Ray in a process of its own, as the process that holds the record sees it: started, served, watched, started again, ended.

Ray ends the process that uses it where its server is gone, and lets it wait for ever where its local half is; it answers SIGTERM by aborting. None of
this may happen to the process that holds the record. So Ray's side of a sweep (`ray_executor`) is another process, which has nothing to lose: it
asks for trials and tells what they report, a line of JSON each, over a socket.
"""

import contextlib
import json
import os
import re
import secrets
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from peoria.errors import SweepError
from peoria.sweep.cluster import HERE
from peoria.sweep.dispatch import Dispatch
from peoria.sweep.errand import Errand
from peoria.sweep.outlook import Outlook, Watcher
from peoria.sweep.processes import MARK, by_signal, end_marked, marked
from peoria.sweep.progress import ProgressFile
from peoria.sweep.ray_setup import TUNE_ENV, WORKER_ENV, Setup, private_folder
from peoria.sweep.resources import Say
from peoria.sweep.signals import GRACE_S, Signals
from peoria.training.messages import TrialReport

STARTS = 3
IMPORT_S = 180.0  # on a busy machine
UP_S = 60.0  # from then until trials can be placed
SILENT_S = 40.0  # without a sign of Ray
STUCK_S = 50.0  # without a turn of Tune's loop
SIGNAL_S = 0.5  # until a signal that Ray's process had is here too
LEAVE_S = 2.0  # for leaving a cluster in order
HOURS_GRACE_S = 60.0  # that running trials have after --hours
EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception)\b")  # the last line of a traceback

LOOPBACK_ENV = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # so it takes the address of loopback for this node's, and listens nowhere else
CODE = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from peoria.sweep.ray_executor import serve; serve(int(sys.argv[2]))"


class RayLost(Exception):
    """Ray is gone or silent; the text says what was seen of it."""


class RayProcess:
    """``with RayProcess(...) as ray_aside``: Ray starts beside whatever else the sweep has to do, and is gone after the block, with all its processes
    and files."""

    def __init__(self, setup: Setup, log: Path, say: Say) -> None:
        """
        Args:
            log: of the sweep's folder, for all that Ray says.
        """
        self._setup, self._log, self._say = setup, log, say
        self._process: subprocess.Popen[bytes] | None = None
        self._outlook: Outlook | None = None
        self._was_up = False  # at any time
        self._errand: Errand | None = None
        self._start()

    def __enter__(self) -> "RayProcess":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end()

    def _start(self) -> None:
        self._mark, self._ready, self._up, self._over, self._received = secrets.token_hex(8), 0.0, False, False, b""
        environment = os.environ | TUNE_ENV | WORKER_ENV | {MARK: self._mark}
        self._temporary = ""
        if self._setup.address is None:
            environment.pop("RAY_ADDRESS", None)
            # A token of this run's own: left to itself, Ray writes one into the home directory, readable by all.
            environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
            environment |= LOOPBACK_ENV
            self._temporary = private_folder()
        ours, theirs = socket.socketpair()
        with theirs, self._log.open("ab") as log:
            self._log_begins = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", CODE, json.dumps([part for part in sys.path if isinstance(part, str)]), str(theirs.fileno())],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # a terminal's Ctrl-C is for us alone
            )
        self._line = ours
        self._tell(json.loads(self._setup.model_copy(update={"temporary": self._temporary and f"{self._temporary}/r"}).model_dump_json()))

    def end(self) -> None:
        """Ends Ray with all its processes, and removes its files. May be called at any time, by any thread, twice."""
        process = self._process
        if process is None:
            return
        if self._setup.address is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)  # it leaves the cluster, which ends what it had there
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LEAVE_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        end_marked(self._mark, self._temporary)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LEAVE_S)
        self._line.close()
        shutil.rmtree(self._temporary or os.devnull, ignore_errors=True)
        shutil.rmtree(self._setup.scratch, ignore_errors=True)
        self._process = None

    def join(self, signals: Signals) -> Outlook | None:
        """Waits until Ray is there; returns what the cluster is, None of a Ray of our own.

        Raises:
            RayLost: it was lost for the third time.
            SweepError: there is no cluster at the address that was named.
        """
        self._try(self._until_up, signals)
        return self._outlook

    def look(self, signals: Signals, watcher: Watcher, progress: ProgressFile, num: int) -> None:
        """Looks at the first node that has room for a trial, waiting for one as long as it takes, before anything is trained.

        Raises:
            RayLost: it was lost for the third time.
            SweepError: the node is not what the sweep needs; everything that is wrong with it.
        """
        self._try(lambda: self._until_looked(watcher, progress, num), signals)

    def do(self, errand: Errand, signals: Signals, watcher: Watcher) -> None:
        """Has an errand done, and waits for it, or for a signal: see its ``result``, and ``lost``. Raises as `run`."""
        self._errand = errand
        self._try(lambda: self._until_done(errand, watcher, signals), signals)

    def run(self, dispatch: Dispatch, errand: Errand | None = None) -> None:
        """Runs all that the store owes, and an errand beside it; returns when it is done, the time is over, or a signal has come. A Ray that is lost
        meanwhile is started again, twice, and what it ran is owed again.

        Raises:
            RayLost: it was lost for the third time.
            SweepError: there is no cluster at the address that was named, or the errand cannot be done.
        """
        self._errand = errand
        self._try(lambda: self._serve(dispatch), dispatch.signals, dispatch)

    def _try(self, step: Callable[[], None], signals: Signals, dispatch: Dispatch | None = None) -> None:
        for left in reversed(range(STARTS)):
            try:
                if self._process is None:
                    self._start()
                step()
                return
            except RayLost as lost:
                was_up = self._up
                self.end()
                if dispatch is None:
                    # whoever stops a job sends the signal to all its processes, and Ray's is the first to go
                    time.sleep(SIGNAL_S)
                    signals.check()
                else:
                    dispatch.put_all_back()
                    if dispatch.stopping:
                        return
                if not left:
                    raise RayLost(f"Ray: {lost}; started {STARTS} times, no more; what it says is in {self._log}") from None
                self._say(f"  Ray: {lost}; {'started again, the sweep goes on' if was_up else 'tried again'} ({STARTS - left} of {STARTS - 1})")

    def _until_up(self) -> None:
        began = time.monotonic()
        while not self._up:
            for message in self._messages(0.1):
                self._hear(message)
            self._refuse_silence(began)

    def _refuse_silence(self, began: float) -> None:
        limit, what = (UP_S, "it did not start") if self._ready else (IMPORT_S, "its process did not start")
        if time.monotonic() > max(began, self._ready) + limit:
            raise RayLost(f"{what} within {limit:.0f} s")

    def _until_looked(self, watcher: Watcher, progress: ProgressFile, num: int) -> None:
        self._until_up()
        self._tell({"look": True})
        began = sign = time.monotonic()
        while True:
            for message in self._messages(0.1):
                sign = time.monotonic()
                self._hear(message)
                if "looked" in message:
                    if message["looked"]:
                        raise SweepError(*message["looked"], hint="nothing was trained; " + HERE)
                    if message["remark"]:
                        self._say(f"  {message['remark']}")
                    watcher.waits(0, None)
                    return
            if time.monotonic() > sign + SILENT_S:
                raise RayLost(f"it has not answered for {SILENT_S:.0f} s")
            watcher.outlook = self._outlook
            watcher.waits(num, began)
            progress.write([], watcher.text)

    def _send_errand(self) -> None:
        if self._errand is not None and not self._errand.over:
            self._tell(self._errand.message())

    def _until_done(self, errand: Errand, watcher: Watcher, signals: Signals) -> None:
        self._until_up()
        self._send_errand()
        began = sign = time.monotonic()
        while not errand.over and signals.number is None:
            for message in self._messages(0.1):
                sign = time.monotonic()
                self._hear(message)
            if time.monotonic() > sign + SILENT_S:
                raise RayLost(f"it has not answered for {SILENT_S:.0f} s")
            watcher.outlook = self._outlook
            watcher.waits(1, None if errand.begun else began)

    def _serve(self, dispatch: Dispatch) -> None:
        began = sign = turned = lap = time.monotonic()
        turns, told, ended, stopping_since = -1, False, False, 0.0
        killed: dict[str, float] = {}
        while True:
            for message in self._messages(0.1):
                sign = time.monotonic()
                if "turns" in message and message["turns"] != turns:
                    turns, turned = message["turns"], sign
                if "end" in message:
                    if dispatch.running:
                        raise RayLost("Tune ended before its trials")
                    dispatch.tell_left(at_once=True)
                    ended = True
                    continue
                self._hear(message)
                self._answer(message, dispatch)
            if (ended or (self._over and not dispatch.running)) and (self._errand is None or self._errand.over):
                return
            now = time.monotonic()
            if now > lap + 5.0:  # no silence of Ray's: a database was waited for, or this process itself stood still, as after Ctrl-Z
                sign = turned = now
            lap = now
            if not self._up:
                self._refuse_silence(began)
            elif not told:
                self._send_errand()  # first, so that it has not to wait for the trials
                self._tell({"begin": True})
                told, sign, turned = True, now, now
            elif now > sign + SILENT_S:
                raise RayLost(f"it has not answered for {SILENT_S:.0f} s")
            elif not ended and now > turned + STUCK_S:
                raise RayLost(f"Tune has stood still for {STUCK_S:.0f} s")
            dispatch.watch(self._outlook)
            if dispatch.stopping:
                stopping_since = stopping_since or now
                grace = 0.0 if dispatch.signals.again else GRACE_S if dispatch.signals.number is not None else HOURS_GRACE_S
                if not dispatch.running or now > stopping_since + grace:
                    return
            dispatch.tell_left()
            for key in dispatch.all_overdue():
                killed[key] = now
                self._tell({"kill": key})
                dispatch.fail_overdue(key)
            for key in [key for key, since in killed.items() if now > since + 2]:
                del killed[key]
                self._kill_worker(dispatch, key)

    def _hear(self, message: dict[str, Any]) -> None:
        """What is told of Ray itself."""
        if message.get("outlook"):
            self._outlook = Outlook.model_validate_json(message["outlook"])
        if "errand" in message and self._errand is not None:
            self._errand.hear(message)
        elif "starting" in message:
            self._ready = time.monotonic()
        elif "up" in message:
            self._up = self._was_up = True
        elif "lost" in message:
            raise RayLost(message["lost"])
        elif "error" in message:
            address, text = self._setup.address, message["error"]
            if not self._was_up and address is not None and (message["kind"] in ("ConnectionError", "ValueError") or "ersion mismatch" in text):
                raise SweepError(f"RAY_ADDRESS: {address}: {text}; the head of a running cluster is needed there")
            raise RayLost(text)

    def _answer(self, message: dict[str, Any], dispatch: Dispatch) -> None:
        if "ask" in message:
            spec = dispatch.ask()
            if spec is not None:
                self._tell({"key": spec.key, "spec": spec.model_dump_json()})
            else:
                self._over = self._setup.address is None and dispatch.wait_s is None  # how Tune itself ends is of no interest
                self._tell({"more": dispatch.wait_s is not None})
        elif "report" in message:
            self._tell({"more": dispatch.report(message["key"], TrialReport.model_validate(message["report"]))})
        elif "started" in message:
            dispatch.started(message["started"])
        elif "died" in message:
            dispatch.died(message["key"], message["died"])
        elif "refused" in message:
            dispatch.refused(message["key"], **message["refused"])
        elif "memory" in message:
            dispatch.out_of_memory(message["key"], message["memory"])

    def _kill_worker(self, dispatch: Dispatch, key: str) -> None:
        """The worker of a trial that was ended, where Ray has not ended it and it is of this Ray."""
        worker = dispatch.store.tries.worker(key)
        if worker is not None and worker.host == socket.gethostname() and worker.pid in marked(self._mark, self._temporary):
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)

    def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # it has ended; reading tells
            self._line.sendall(json.dumps(message).encode() + b"\n")

    def _messages(self, timeout_s: float) -> Iterator[dict[str, Any]]:
        """What has come by now, waiting a moment where nothing has."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._line, selectors.EVENT_READ)
            if not selector.select(timeout_s):
                return
        try:
            received = self._line.recv(1 << 20)
        except OSError:
            received = b""
        if not received:
            assert self._process is not None
            try:
                code = self._process.wait(5)
            except subprocess.TimeoutExpired:
                raise RayLost("its process has closed its line") from None
            raise RayLost(f"its process ended {by_signal(code) or f'with status {code}{self._last_word()}'}")
        *lines, self._received = (self._received + received).split(b"\n")
        for line in lines:
            yield json.loads(line)

    def _last_word(self) -> str:
        """Of Python, as of a package that is not there: what Ray's compiled half says of its end (addresses, names of modules) stays in the log."""
        with self._log.open("rb") as log:
            log.seek(max(self._log_begins, self._log.stat().st_size - 4096))
            lines = [line for line in log.read().decode(errors="replace").splitlines() if EXCEPTION.match(line)]
        return f" ({lines[-1].strip()[:200]})" if lines else ""
