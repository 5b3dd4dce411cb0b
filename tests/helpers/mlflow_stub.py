"""What stands in the way of an MLflow server, or in its place: answers of 500, slow ones, none."""

import http.client
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Stub(ThreadingHTTPServer):
    """Stands in front of an MLflow server; ``fails`` says of the n-th request whether it is answered 500, before or after it was passed on."""

    daemon_threads = True

    def __init__(self, port: int, fails: Callable[[int], str], delay_s: float = 0.0) -> None:
        self.to, self.fails, self.delay_s, self.numbers, self.num_failed = port, fails, delay_s, itertools.count(), 0
        super().__init__(("127.0.0.1", 0), Passing)
        self.uri = f"http://127.0.0.1:{self.server_address[1]}"


class Passing(BaseHTTPRequestHandler):
    server: Stub

    def any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        how = self.server.fails(next(self.server.numbers))
        time.sleep(self.server.delay_s)
        status, kind, data = 500, "text/html", b"<h1>500</h1>"
        if how != "before":
            names = {name: value for name, value in self.headers.items() if name.lower() in ("content-type", "accept")}
            with closing(http.client.HTTPConnection("127.0.0.1", self.server.to, timeout=60)) as connection:
                connection.request(self.command, self.path, body, names)
                answer = connection.getresponse()
                passed = answer.status, answer.getheader("Content-Type", "text/plain"), answer.read()
            if not how:
                status, kind, data = passed
        self.server.num_failed += bool(how)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = any

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def stub(port: int, fails: Callable[[int], str], delay_s: float = 0.0) -> Iterator[Stub]:
    with Stub(port, fails, delay_s) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def silent(drip: bytes) -> Iterator[str]:
    """A server that takes every connection and never ends an answer; with ``drip``, a byte of one every half second."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve(connection: socket.socket) -> None:
            with connection:
                try:
                    if drip:
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                    while not over.wait(0.5):
                        connection.sendall(drip)
                except OSError:
                    pass

        def accept() -> None:
            while not over.is_set():
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)
