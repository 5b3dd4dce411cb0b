"""What the process that Ray is used in is started with: its settings, its environment, its folder."""

import os
import socket
import tempfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from peoria.errors import SweepError
from peoria.sweep.preflight import Probe

TRIAL_ACTOR = "peoria.sweep.ray_executor:TrialActor"
SOCKET_PATH = len("/r/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")
LONGEST_PATH = 103  # of a socket: 107 on Linux, 103 on macOS

# Freed multi-megabyte buffers go back to the process, not to the kernel: up to 1.2 × faster training on a CPU. WDS_SECURE: a second belt.
WORKER_ENV = {
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "WDS_SECURE": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # a trial that was given no GPU sees none
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # paths in a sweep file start where the command was given
}
# Read by Ray when it is imported. Only the JSON logger is needed: without any logger Tune cannot build its result.
TUNE_ENV = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "RAY_AIR_NEW_OUTPUT": "0",
}


class Setup(BaseModel):
    """What Ray's process needs to know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str | None
    """Of a cluster; None: a Ray of our own."""
    num_cpus: int
    num_gpus: int | None
    """Of a Ray of our own, as own_gpus counts them."""
    concurrent: int
    cpus: int
    """Of each trial."""
    gpus: float
    """Of each trial."""
    scratch: Path
    """For Tune's own files; emptied first."""
    temporary: str = ""
    """For the session of a Ray of our own: its sockets, its logs."""
    probe: Probe | None = None
    """What every node of a cluster is asked before a trial trains there."""
    worker_env: dict[str, str] = WORKER_ENV
    actor: str = TRIAL_ACTOR
    """Who runs a trial in a worker, as ``module:class``."""

    @property
    def probe_text(self) -> str:
        """What a node is asked once more when something begins there."""
        return (self.probe or Probe(gpus=self.gpus)).model_dump_json()


def private_folder() -> str:
    """A new folder that only this user may enter, with a path that leaves room for the names of Ray's sockets. Ray opens its own, in it, to all."""
    tried = [os.environ.get("RAY_TMPDIR"), tempfile.gettempdir(), "/tmp", "/dev/shm"]
    for base in tried:
        if base and len(os.fsencode(base)) + len("/peoria-12345678") + SOCKET_PATH <= LONGEST_PATH:
            try:
                return tempfile.mkdtemp(prefix="peoria-", dir=base)
            except OSError:
                continue
    raise SweepError(
        f"TMPDIR: {', '.join(base for base in dict.fromkeys(tried) if base)}; a folder that can be written, of at most "
        f"{LONGEST_PATH - SOCKET_PATH - len('/peoria-12345678')} characters, is needed for Ray's sockets",
        hint="RAY_TMPDIR=/some/short/folder, or --local without Ray",
    )


def first_line(connection: socket.socket) -> bytes:
    found = bytearray()
    while not found.endswith(b"\n"):
        if not (byte := connection.recv(1)):
            os._exit(1)  # whoever started this one is gone
        found += byte
    return bytes(found)
