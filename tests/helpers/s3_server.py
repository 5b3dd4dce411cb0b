"""moto's S3 server in a process of its own on loopback, and a gate before it that counts, cuts and slows what passes."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BUCKET = "peoria-test"
STARTED_WITHIN_S = 60


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class S3Server:
    """A running server; its log has a line a request."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self.port = free_port()
        self.url = f"http://{host}:{self.port}"
        self.log = folder / f"moto-{self.port}.log"
        code = f"from moto.server import main; main(['-H', '{host}', '-p', '{self.port}'])"
        env = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | {"PYTHONWARNINGS": "ignore"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, "-c", code], stdout=log, stderr=log, env=env, start_new_session=True)
        deadline = time.monotonic() + STARTED_WITHIN_S
        while True:
            try:
                self.request("PUT", f"/{BUCKET}")
                return
            except OSError:
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.1)

    def request(self, method: str, path: str, data: bytes | None = None) -> bytes:
        """Without obstore, so that tests look at what is there by another way."""
        authorization = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request"
        asked = urllib.request.Request(
            self.url + path, data, {"Authorization": authorization, "Content-Type": "application/octet-stream"}, method=method
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return bytes(answer.read())

    def environment(self, url: str = "") -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": url or self.url,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }

    def requests(self, method: str, ending: str) -> list[str]:
        """Paths of the requests so far, of one method, that end in ``ending`` (a pattern)."""
        lines = re.findall(rf'"{method} ([^ "]+) HTTP', self.log.read_text())
        return [path for path in lines if re.search(f"{ending}$", path.partition("?")[0])]

    def put_folder(self, root: Path, prefix: str) -> str:
        """Puts a packed set, and gives its address."""
        for path in sorted(root.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                self.request("PUT", f"/{BUCKET}/{prefix}/{path.relative_to(root).as_posix()}", path.read_bytes())
        return f"s3://{BUCKET}/{prefix}"

    def demand_credentials(self, demanded: bool) -> None:
        self.request("POST", "/moto-api/reset-auth", b"0" if demanded else b"inf")

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    server = S3Server(folder)
    try:
        yield server
    finally:
        server.stop()


class Gate:
    """A TCP proxy before a server: it breaks, for good or until `mend`, once so many bytes have come back through it; or nothing passes any more once
    so many have gone through it."""

    def __init__(self, port: int, break_after: int | None = None, stall_after: int | None = None, host: str = "127.0.0.1") -> None:
        self.host, self.port, self._to = host, free_port(), port
        self._left, self._going, self._open = break_after, stall_after, list[socket.socket]()
        self.stalled, self._gone = threading.Event(), threading.Event()
        self._lock, self.broken, self.times_broken = threading.Lock(), threading.Event(), 0
        self._listener: socket.socket | None = None
        self.mend()

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def mend(self) -> None:
        """Open, for the first time or again; nothing breaks it any more after the first time."""
        if self.broken.is_set():
            self._left = None
            self.broken.clear()
        self._listener = socket.create_server((self.host, self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        """Refuses connections, and ends those there are in their midst."""
        self.broken.set()
        self._gone.set()
        if self._listener is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()
            self._open.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client = listener.accept()[0]
                server = socket.create_connection(("127.0.0.1", self._to))
                with self._lock:
                    self._open += [client, server]
                for source, target, counts in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._pass, args=(source, target, counts), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                if not counts and self._going is not None:
                    self._going -= len(data)
                    if self._going <= 0:
                        self.stalled.set()
                        self._gone.wait()
                target.sendall(data)
                if counts and self._left is not None:
                    self._left -= len(data)
                    if self._left <= 0 and not self.broken.is_set():
                        self.times_broken += 1
                        self.close()
            target.shutdown(socket.SHUT_WR)
