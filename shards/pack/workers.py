"""Processes that work for a pack, each a Python of its own in which nothing of the caller's main module runs.

`multiprocessing` runs that module once more in each process that it spawns: a script without a main guard would begin to pack again in each of them.
"""

import contextlib
import ctypes
import json
import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, Pipe
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Protocol

CODE = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "  # Ctrl-C is for who packs
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from shards.pack.workers import serve; serve(int(sys.argv[2]))"
)


class WorkerDiedError(Exception):
    """A worker is gone: a picture was too much for it, it was killed, or memory ran out."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code  # as of `subprocess.Popen.returncode`: -N is signal N


class Units(Protocol):
    """Where chunks of pictures are made ready: on this machine or on others."""

    shares_disk: bool
    """Whether a unit sees the folder that the caller writes to."""

    def each(self, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """Calls a function of a module with each job; gives the job and what came of it as they are done, a `WorkerDiedError` where its worker has
        gone. Jobs are taken as they can be worked at, a few ahead. Raises what the function raises."""


class Workers:
    """``with Workers(3) as workers``: three processes, gone after the block, and gone with this process however it ends."""

    shares_disk = True

    def __init__(self, num: int) -> None:
        self._threads = ThreadPoolExecutor(num, thread_name_prefix="pack")
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        self._all: list[_Worker] = []
        self._num = num
        self._lock = threading.Lock()
        self._ended = False

    def __enter__(self) -> "Workers":
        try:
            for _ in range(self._num):
                self._idle.put(self._started())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def each(self, function: Callable[[Any], Any], jobs: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        """As `Units.each`; a worker that has gone is replaced."""
        waiting: dict[Future[Any], Any] = {}
        jobs = iter(jobs)
        while True:
            for job in islice(jobs, 2 * self._num - len(waiting)):
                waiting[self._threads.submit(self._do, function, job)] = job
            if not waiting:
                return
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(future), future.result()

    def _do(self, function: Callable[[Any], Any], job: Any) -> Any:
        worker = self._idle.get()
        try:
            worker.connection.send((function, job))
            raised, result = worker.connection.recv()
        except (EOFError, OSError):
            worker.process.kill()
            code = worker.process.wait()
            with self._lock:
                if not self._ended:
                    self._all.remove(worker)
                    worker.connection.close()
                    worker = self._started()
            return WorkerDiedError(code)
        finally:
            self._idle.put(worker)
        if raised is not None:
            raise raised
        return result

    def _started(self) -> "_Worker":
        self._all.append(_start())
        return self._all[-1]

    def _end(self) -> None:
        """What they write they write whole or not at all, so that they may be ended at any moment."""
        with self._lock:
            self._ended = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._all:
            worker.process.kill()
        for worker in self._all:
            worker.process.wait()
        self._threads.shutdown()
        for worker in self._all:
            worker.connection.close()


@dataclass(frozen=True, eq=False)
class _Worker:
    process: "subprocess.Popen[bytes]"
    connection: "Connection"


def _start() -> _Worker:
    ours, theirs = Pipe()
    with theirs:
        path = json.dumps([folder for folder in sys.path if isinstance(folder, str)])  # Python passes over others too
        words = [sys.executable, "-P", "-c", CODE, path, str(theirs.fileno())]
        return _Worker(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=(theirs.fileno(),)), ours)


def serve(fd: int) -> None:
    """In a worker: does what comes, and ends with the process that started it."""
    connection, jobs = Connection(fd), SimpleQueue[tuple[Callable[[Any], Any], Any]]()

    def hear() -> None:  # beside the work, or a worker would end only after it
        with contextlib.suppress(EOFError, OSError):
            while True:
                jobs.put(connection.recv())
        os._exit(1)

    _keep_buffers()
    threading.Thread(target=hear, daemon=True).start()
    while True:
        function, job = jobs.get()
        raised: Exception | None = None
        result = None
        try:
            result = function(job)
        except Exception as error:  # noqa: BLE001 - it is raised again where the job came from
            error.add_note(traceback.format_exc())
            raised = error
        try:
            connection.send((raised, result))
        except (pickle.PicklingError, TypeError, AttributeError, ValueError):  # an error that cannot be sent
            connection.send((RuntimeError("".join(getattr(raised, "__notes__", [repr(raised)]))), None))


def _keep_buffers() -> None:
    """Of decoded pictures, instead of giving them back each time."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:  # glibc: page faults on fresh megabytes cost a third of the time
        mallopt(-3, 32 * 2**20)  # M_MMAP_THRESHOLD, its largest
        mallopt(-1, 512 * 2**20)  # M_TRIM_THRESHOLD
