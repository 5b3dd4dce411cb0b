"""A cluster of this machine for a rehearsal: a head without CPUs under Ray's own autoscaler (v2), in token mode, on loopback, and the end of it all.

Nothing outlives the block, however it ends: a keeper waits at the other end of a pipe, and when this process is gone it ends everything that bears
the rehearsal's mark or writes in its folder.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from peoria.errors import SweepError
from peoria.sweep import processes
from peoria.sweep.processes import MARK, end_marked
from peoria.sweep.ray_process import LOOPBACK_ENV
from peoria.sweep.ray_setup import private_folder

HEAD, WORKER = "head", "gpu"  # node types
HEAD_NAME = "head0"
OBJECT_STORE_BYTES = 100_000_000  # of a node; nothing of ours lies in it
NODES = "peoria.cluster.rehearsal_nodes"
RECORDS = ("PEORIA_STORAGE", "MLFLOW_TRACKING_URI")  # of the sweep in earnest
UP_S = 120.0  # for the head, on a busy machine
KEEPER = 'cat > /dev/null; exec "$@"'  # the end of its input is the end of who started it


class RehearsalCluster:
    """``with RehearsalCluster(...) as cluster``: the head is up and has no workers yet."""

    def __init__(self, logs: Path, *, most_nodes: int, cpus_per_node: int, idle_s: float) -> None:
        """
        Args:
            logs: a folder for what the nodes print.
            idle_s: after so long without work a node is taken down.
        """
        self.logs, self._mark = logs, secrets.token_hex(8)
        self.temporary = Path(private_folder())
        self._most_nodes, self._cpus, self._idle_s = most_nodes, cpus_per_node, idle_s
        self._head: subprocess.Popen[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def __enter__(self) -> "RehearsalCluster":
        environment = {name: value for name, value in os.environ.items() if name != MARK}
        ending = ["sh", "-c", KEEPER, "sh", sys.executable, "-I", processes.__file__, self._mark, str(self.temporary)]
        self._keeper = subprocess.Popen(ending, env=environment, stdin=subprocess.PIPE, start_new_session=True)
        try:
            self._start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end()

    def end(self) -> None:
        """Ends every node, and whoever else was started with `environment`; removes their files."""
        if self._keeper.stdin is not None and not self._keeper.stdin.closed:
            self._keeper.stdin.close()
        for process in (self._keeper, self._head, self._watch):
            if process is not None:
                process.wait()
        if self._watch is not None and self._watch.stdout is not None:
            self._watch.stdout.close()

    def _start(self) -> None:
        token = self.temporary / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        base = {name: value for name, value in os.environ.items() if not name.startswith("RAY_") and name not in RECORDS}
        self.environment = base | {
            MARK: self._mark,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_memory_monitor_refresh_ms": "0",  # one machine's memory is not that of so many nodes
            "PEORIA_PRETEND_GPU": "1",
            **LOOPBACK_ENV,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),  # Ray's monitor imports the provider
        }
        config = self.temporary / "cluster.json"  # which is YAML too
        config.write_text(json.dumps(self._config()))
        words = [*ray_start(self.temporary / "h"), "--head", f"--port={port}", "--num-cpus=0", "--num-gpus=0", f"--autoscaling-config={config}"]
        words += ["--dashboard-host=127.0.0.1", f"--dashboard-port={free_port()}", f"--ray-client-server-port={free_port()}"]
        environment = self.environment | {
            "RAY_enable_autoscaler_v2": "1",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "RAY_CLOUD_INSTANCE_ID": HEAD_NAME,
            "RAY_NODE_TYPE_NAME": HEAD,
        }
        with (self.logs / "head.log").open("ab") as log:
            self._head = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self._wait_for_head()

    def _config(self) -> dict[str, Any]:
        """As Ray wants it, with every field that it would ask for."""
        provider = {"type": "external", "module": f"{NODES}.RehearsalNodes", "gcs": self.address}
        provider |= {"folder": str(self.temporary), "logs": str(self.logs.resolve())}
        empty: dict[str, Any] = {name: [] for name in ("initialization_commands", "setup_commands", "head_setup_commands", "worker_setup_commands")}
        empty |= {
            name: [] for name in ("head_start_ray_commands", "worker_start_ray_commands", "cluster_synced_files", "rsync_exclude", "rsync_filter")
        }
        return empty | {
            "cluster_name": "rehearsal",
            "max_workers": self._most_nodes,
            "upscaling_speed": 1.0,
            "idle_timeout_minutes": self._idle_s / 60,
            "provider": provider | {"disable_node_updaters": True, "disable_launch_config_check": True, "use_internal_ips": True},
            "available_node_types": {
                HEAD: {"resources": {"CPU": 0, "GPU": 0}, "node_config": {}, "max_workers": 0},
                WORKER: {"resources": {"CPU": self._cpus, "GPU": 1}, "node_config": {}, "min_workers": 0, "max_workers": self._most_nodes},
            },
            "head_node_type": HEAD,
            "auth": {"ssh_user": "nobody"},
            "docker": {},
            "file_mounts": {},
            "file_mounts_sync_continuously": False,
        }

    def _wait_for_head(self) -> None:
        assert self._head is not None
        deadline = time.monotonic() + UP_S
        while time.monotonic() < deadline and self._head.poll() is None:
            if self.sample(timeout_s=1.0) is not None:
                return
        said = (self.logs / "head.log").read_text(errors="replace").strip().splitlines()[-1:]
        raise SweepError(f"Ray: no head within {UP_S:.0f} s{f' ({said[0][:200]})' if said else ''}; one that starts", hint=f"{self.logs} has more")

    # -- what is seen of it, and done to it

    def sample(self, timeout_s: float) -> dict[str, Any] | None:
        """What Ray says next of its nodes (`rehearsal_nodes.watch`); None where it says nothing in time. Who asks Ray is started again if need be."""
        import selectors

        if self._watch is None or self._watch.poll() is not None:
            self._unread = b""
            with (self.logs / "watch.log").open("ab") as log:
                self._watch = subprocess.Popen(
                    [sys.executable, "-m", NODES, self.address],
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,
                )
        assert self._watch.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._watch.stdout, selectors.EVENT_READ)
            if b"\n" not in self._unread and selector.select(timeout_s):
                self._unread += os.read(self._watch.stdout.fileno(), 1 << 16)
        line, newline, rest = self._unread.partition(b"\n")
        if not newline:
            time.sleep(0.05)
            return None
        self._unread = rest
        found: dict[str, Any] = json.loads(line)
        return found

    def kill(self, name: str) -> None:
        """SIGKILL to all processes of a node at once, as a machine that is taken away."""
        folder = self.temporary / name
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int((folder / "pid").read_text()), signal.SIGKILL)
        end_marked(f"none of {self._mark}", str(folder))  # workers leave their node's group

    def keep_logs(self) -> None:
        """What Ray's autoscaler wrote, for the reader of the rehearsal."""
        for log in (self.temporary / "h").glob("session_*/logs/monitor.*"):
            if not log.parent.parent.is_symlink():
                shutil.copy(log, self.logs / log.name)

    def processes(self) -> Iterator[int]:
        yield from processes.marked(self._mark, str(self.temporary))


def ray_start(temporary: Path) -> list[str]:
    """The words that every node is started with: on loopback, with a folder and a port of its own."""
    own = [f"--temp-dir={temporary}", f"--dashboard-agent-listen-port={free_port()}", f"--object-store-memory={OBJECT_STORE_BYTES}"]
    return [sys.executable, "-m", NODES, "start", "--block", "--disable-usage-stats", *own]


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
