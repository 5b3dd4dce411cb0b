"""The way to the head of a cluster of `ray up`: its jobs API listens to the head alone, and Ray forwards a port over ssh."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from peoria.cluster.jobs import ClusterAwayError
from peoria.errors import ConfigError

UP_S = 120.0  # that ssh may take to reach the head
# Ends the forwarding with us, however we end: whoever holds the other end of standard input is gone then.
WITH_US = '("$@" < /dev/null; kill $$) & read -r _; trap "" TERM; kill 0'


@contextlib.contextmanager
def tunnel(cluster_file: Path) -> Iterator[str]:
    """The address here of the head's jobs API.

    Raises:
        ConfigError: there is no such file.
        ClusterAwayError: the head cannot be reached.
    """
    if not cluster_file.is_file():
        raise ConfigError(f"--cluster: {cluster_file}: no such file; the file that `ray up` was given")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    with tempfile.TemporaryFile() as output:
        words = [str(Path(sys.executable).parent / "ray"), "dashboard", str(cluster_file), "--port", str(port)]
        forwarding = subprocess.Popen(
            ["sh", "-c", WITH_US, "sh", *words], stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
        )
        try:
            deadline = time.monotonic() + UP_S
            while not _listens(port):
                if forwarding.poll() is not None or time.monotonic() > deadline:
                    output.seek(0)
                    said = [line for line in output.read().decode(errors="replace").splitlines() if line.strip()]
                    raise ClusterAwayError(
                        f"--cluster: {cluster_file}: {said[-1].strip() if said else 'no answer'}; the head of a running cluster",
                        hint=f"is the cluster up, and does `ray exec {cluster_file} uptime` work?",
                    )
                time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(forwarding.pid, signal.SIGTERM)
            assert forwarding.stdin is not None
            forwarding.stdin.close()
            forwarding.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True
