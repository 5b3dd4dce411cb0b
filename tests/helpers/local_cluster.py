"""A Ray cluster of two nodes on this machine, in token mode: a head that runs no trials, and a worker with a pretended GPU."""

import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

OBJECT_STORE = 100_000_000  # bytes a node
BIN = Path(sys.executable).parent


def free_ports(num: int) -> list[int]:
    """Held all at once, so that they differ."""
    sockets = [socket.socket() for _ in range(num)]
    for held in sockets:
        held.bind(("127.0.0.1", 0))
    ports = [int(held.getsockname()[1]) for held in sockets]
    for held in sockets:
        held.close()
    return ports


def descendants(pid: int) -> list[int]:
    found, parents = [], dict[int, int]()
    for path in Path("/proc").iterdir():
        with suppress(OSError):
            if path.name.isdigit():
                parents[int(path.name)] = int((path / "stat").read_text().rpartition(") ")[2].split()[1])
    level = {pid}
    while level := {child for child, parent in parents.items() if parent in level}:
        found += sorted(level)
    return found


class LocalCluster:
    """Each node is a process group of its own and is ended by its id: ``ray stop`` would end every Ray on the machine."""

    def __init__(self, folder: Path, *, cpus: int = 2, gpus: int = 1, unshared: Path | None = None) -> None:
        """
        Args:
            unshared: a folder that is the worker's own, as on a machine of its own: it sees an empty one there. Takes root.
        """
        self.cpus, self.gpus, self.unshared = cpus, gpus, unshared
        self.token_path = folder / "token"
        self.token_path.touch(mode=0o600)
        self.token_path.write_text(secrets.token_hex(32))
        self.base = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # short: sockets' paths may have 107 characters
        self.temporary = self.base / "ray"  # where Ray looks for the cluster of a machine, with RAY_TMPDIR={base}
        self.log = folder / "ray.log"
        gcs, dashboard, client = free_ports(3)
        self.address = f"127.0.0.1:{gcs}"  # for ray.init
        self.jobs_address = f"http://127.0.0.1:{dashboard}"  # for ray job submit
        self._ports = (gcs, dashboard, client)
        self._nodes: list[subprocess.Popen[bytes]] = []
        # HOME of its own: neither the token of the person who runs the tests nor a file Ray leaves there plays a part
        self.bare_environment = {
            "HOME": str(folder),
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
            "PYTHONPATH": str(Path(__file__).parents[2]),  # the code under test, whatever is installed
        }
        self.environment = self.bare_environment | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token_path)}

    def start(self) -> None:
        gcs, dashboard, client = self._ports
        head = ["--head", f"--port={gcs}", "--num-cpus=0", "--num-gpus=0", f"--ray-client-server-port={client}"]
        head += ["--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", f"--temp-dir={self.temporary}"]
        self._start_node(*head)
        self._wait_for_jobs_api()
        # A folder of its own, as on a machine of its own: two nodes in one would unpack a job's working directory over each other.
        deadline = time.monotonic() + 60
        while not (self.temporary / "ray_current_cluster").exists():  # written last
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.1)
        self.add_worker("w", self.unshared)

    def add_worker(self, name: str, unshared: Path | None = None) -> None:
        worker = [f"--address={self.address}", f"--num-cpus={self.cpus}", f"--num-gpus={self.gpus}", f"--temp-dir={self.temporary / name}"]
        self._start_node(*worker, unshared=unshared)

    def add_node(self) -> int:
        """Starts another worker node; returns its index."""
        self.add_worker(f"w{len(self._nodes)}")
        return len(self._nodes) - 1

    def end_node(self, index: int, number: signal.Signals, *, whole: bool = False) -> None:
        """Sends a node a signal, as whoever deletes a pod; ``whole``: to each of its processes, as a machine that is gone."""
        for pid in self.processes_of(index) if whole else [self._nodes[index].pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def processes_of(self, index: int) -> list[int]:
        """Of one node."""
        return [self._nodes[index].pid, *descendants(self._nodes[index].pid)]

    def stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            for node in reversed(self._nodes):
                try:
                    os.killpg(node.pid, number)
                except ProcessLookupError:
                    continue
            deadline = time.monotonic() + 5
            while self.processes() and time.monotonic() < deadline:
                for node in self._nodes:
                    node.poll()
                time.sleep(0.1)
        for node in self._nodes:
            node.wait()
        for pid in self.processes():  # a worker that left its node's group
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.base, ignore_errors=True)

    def processes(self) -> list[int]:
        """Ids of all processes of this cluster, wherever they were started: those whose environment names its token."""
        mark = f"RAY_AUTH_TOKEN_PATH={self.token_path}".encode()
        found = []
        for folder in Path("/proc").iterdir():
            try:
                if folder.name.isdigit() and mark in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
            except OSError:
                continue  # it has ended, or is not ours
        return found

    def submit(
        self, working_dir: Path, *command: str, with_token: bool = True, timeout_s: float = 300, submission_id: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """``ray job submit``, waiting for the job's end; its output is in stdout. With a ``submission_id`` it is not waited for."""
        words = [str(BIN / "ray"), "job", "submit", "--address", self.jobs_address, "--working-dir", str(working_dir)]
        words += [] if submission_id is None else ["--no-wait", "--submission-id", submission_id]
        words += ["--", *command]
        environment = self.environment if with_token else self.bare_environment
        deadline = time.monotonic() + 60
        while True:
            ran = subprocess.run(words, env=environment, cwd=working_dir, capture_output=True, text=True, timeout=timeout_s)
            # The head answers before its agent, which starts the jobs, has come up.
            if "No available agent to submit job" not in ran.stdout + ran.stderr or time.monotonic() > deadline:
                return ran
            time.sleep(1)

    def node_ids(self) -> dict[str, bool]:
        """Of the nodes that run, and whether each is the head."""
        found = {}
        for pid in self.processes():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue  # it has just ended
            if words[0].endswith("/raylet"):
                given = dict(word.split("=", 1) for word in words if word.startswith("--") and "=" in word)
                found[given["--node_id"]] = "node:__internal_head__" in given["--static_resource_list"]
        return found

    def _start_node(self, *flags: str, unshared: Path | None = None) -> None:
        agent = f"--dashboard-agent-listen-port={free_ports(1)[0]}"  # its usual one is taken where another Ray runs, and then no job starts
        command = [str(BIN / "ray"), "start", "--block", "--node-ip-address=127.0.0.1", f"--object-store-memory={OBJECT_STORE}", agent, *flags]
        if unshared is not None:
            script = f"mount --make-rprivate / && mount -t tmpfs none {shlex.quote(str(unshared))} && exec {shlex.join(command)}"
            command = ["unshare", "-m", "sh", "-c", script]
        with self.log.open("ab") as log:
            self._nodes.append(subprocess.Popen(command, stdout=log, stderr=log, env=self.environment, start_new_session=True))

    def _wait_for_jobs_api(self) -> None:
        request = urllib.request.Request(f"{self.jobs_address}/api/jobs/", headers={"Authorization": f"Bearer {self.token_path.read_text()}"})
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and self._nodes[0].poll() is None:
            try:
                with urllib.request.urlopen(request, timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.5)
        raise AssertionError(self.log.read_text()[-3000:])
