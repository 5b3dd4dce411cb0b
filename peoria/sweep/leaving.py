"""Whether the node that this worker runs on is being taken away: a signal, Ray's own word, the cloud's notice, or the raylet gone.

What Ray 2.60 does. SIGTERM to ``ray start --block`` (a pod that is deleted) marks the node as draining, which no worker is told, and ends all after
`RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S`, 30 s. A raylet that gets SIGTERM itself (a machine that shuts down, ``ray stop``) sends it on to its workers'
process groups, kills those a thousandth of a second later, and each worker by its id within a tenth. Of a raylet that is killed, the workers learn
within `RAY_raylet_death_check_interval_milliseconds`, a second, and end.
"""

import os
import signal
import stat
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from peoria.sweep.spot_notice import find_notice

WATCHED = "PEORIA_WATCH_NODE"  # "1" in workers of a cluster: a laptop is not asked
# So long may a worker outlive its raylet, to write where it is; left to itself, that is one second.
CLUSTER_ENV = {WATCHED: "1", "RAY_raylet_death_check_interval_milliseconds": "30000"}
POLL_S = 5.0
Found = TypeVar("Found")
LOOK_S = 0.5  # between two looks for what another worker of the node was told


class Leaving:
    """``leaving()``: whether this node is being taken away, asked at each batch's end. One a process, made in its main thread."""

    def __init__(self, folder: Path, draining: Callable[[], bool], announce: Callable[[str], None]) -> None:
        """
        Args:
            folder: of the node, for all its workers; it need not be there.
            draining: Ray's word on this node.
            announce: is told the cloud's notice by the one worker that asks for it.
        """
        self._folder, self._draining, self._announce = folder, draining, announce
        self._told, self._raylet, self._training = threading.Event(), os.getppid(), False
        self._before: Any = None
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._signalled)
        # Out of the process group that a raylet kills as it ends, into its own: what is sent to the whole node still arrives.
        with suppress(PermissionError):  # of another session: then the worker dies with its raylet, as it would without us
            os.setpgid(0, os.getpgid(self._raylet))
        threading.Thread(target=self._watch, name="node-watch", daemon=True).start()

    def __call__(self) -> bool:
        return self._told.is_set() or self.alone

    @property
    def alone(self) -> bool:
        """Whether the raylet is gone: nobody hears this worker any more."""
        return os.getppid() != self._raylet

    def within(self, step: Callable[[], Found]) -> Found:
        """Runs a step of a trial: meanwhile SIGTERM ends the batch and not the process. Without a raylet the process then ends: nobody would hear."""
        self._training = True
        try:
            found = step()
        finally:
            self._training = False
        if self.alone:
            os._exit(1)
        return found

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._told.set()
        if not self._training and callable(self._before):
            self._before(number, frame)

    def _watch(self) -> None:
        if not private(self._folder):
            return  # it is somebody else's: he could stop our trials
        mark, lock = self._folder / "leaving", FileLock(self._folder / "lock", thread_local=False)
        while not self._told.wait(LOOK_S) and not mark.exists():
            try:
                lock.acquire(timeout=0)
            except Timeout:
                continue  # another worker asks; this one looks for what he was told
            self._ask(mark)
        self._told.set()

    def _ask(self, mark: Path) -> None:
        notice = find_notice()
        while not self._told.is_set() and not mark.exists():
            if self._draining():
                mark.touch()
                return
            if notice is not None and (said := notice()):
                mark.touch()
                self._told.set()
                self._announce(said)
                return
            self._told.wait(POLL_S)


def node_folder(node_id: str) -> Path:
    """Of one node, in this user's own folder."""
    return Path(tempfile.gettempdir()) / f"peoria-nodes-{os.getuid()}" / node_id


def private(folder: Path) -> bool:
    """Makes the folder; tells whether it, and the one that it is in, are this user's and nobody else may write there."""
    for path in (folder.parent, folder):
        try:
            path.mkdir(mode=0o700, exist_ok=True)
            found = path.lstat()
        except OSError:
            return False
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
            return False
    return True
