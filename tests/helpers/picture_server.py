"""A server on loopback that has pictures, and everything that can go wrong with them: the address says which, ``/KIND/NUMBER``."""

import asyncio
import gzip
import io
import random
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

from PIL import Image

KEPT = "kept"
KINDS = {  # what each has to come to
    "ok": KEPT,
    "chunked": KEPT,
    "http10": KEPT,
    "gzip": KEPT,
    "cookie": KEPT,
    "as-text": KEPT,  # a picture, said to be text
    "other-bot": KEPT,
    "busy-once": KEPT,
    "busy-until-date": KEPT,
    "failing-once": KEPT,
    "reset-once": KEPT,
    "to-ok": KEPT,
    "to-ok-relative": KEPT,
    "hops-5": KEPT,
    "missing": "not_found",
    "gone": "not_found",
    "to-stand-in": "not_found",
    "unauthorized": "refused_by_server",
    "forbidden": "refused_by_server",
    "legal": "refused_by_server",
    "teapot": "refused_by_server",
    "no-content": "refused_by_server",
    "no-ai": "opted_out",
    "no-index-for-all": "opted_out",
    "tdm": "opted_out",
    "page": "not_a_picture",
    "page-as-jpeg": "not_a_picture",
    "video": "not_a_picture",
    "empty": "not_a_picture",
    "endless": "too_many_bytes",
    "said-to-be-huge": "too_many_bytes",
    "bomb": "too_many_bytes",
    "brotli": "bad_answer",
    "no-gzip": "bad_answer",
    "many-headers": "bad_answer",
    "long-header": "bad_answer",
    "garbage": "bad_answer",
    "hops-6": "bad_answer",
    "ring": "bad_answer",
    "to-nowhere": "bad_answer",
    "busy": "fetch_unavailable",
    "failing": "fetch_unavailable",
    "reset": "fetch_unavailable",
    "cut-short": "fetch_unavailable",
    "chunks-without-end": "fetch_unavailable",
    "hangs-up": "fetch_unavailable",
    "to-other-port": "forbidden_address",
    "to-metadata": "forbidden_address",
    "to-localhost": "forbidden_address",
    "to-six": "forbidden_address",
    "to-mapped": "forbidden_address",
    "to-decimal": "forbidden_address",
    "to-any": "forbidden_address",
    "to-user": "forbidden_address",
    "to-file": "forbidden_address",
    "to-data": "forbidden_address",
    "to-same-scheme": "forbidden_address",
}
SLOW = {"drip": "fetch_timeout", "silent": "fetch_timeout", "chunks-that-stop": "fetch_timeout"}  # each takes as long as a limit of time
EITHER = {"too-short-length": (KEPT, "bad_answer")}  # as the bytes beyond the stated length come with the others, or after them
STATUSES = {"missing": 404, "gone": 410, "unauthorized": 401, "forbidden": 403, "legal": 451, "teapot": 418, "no-content": 204, "failing": 500}
_REASONS = {200: "OK", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}


@cache
def _jpeg() -> bytes:
    sink = io.BytesIO()
    Image.effect_noise((96, 80), 60).convert("RGB").save(sink, "JPEG")
    return sink.getvalue()


def picture(number: int) -> bytes:
    """A JPEG, each of other bytes: what follows its end no decoder reads."""
    return _jpeg() + b"%d" % number


class PictureServer:
    """``address(kind, number)``; ``hits`` of each path since it began, and the ``requests`` as they came."""

    def __init__(self, other_port: int = 9) -> None:
        self.hits: Counter[str] = Counter()
        self.requests: list[bytes] = []
        self.times: dict[str, list[float]] = {}  # of each path's hits
        self.num_open = self.most_open = 0  # connections
        self._other = other_port  # of a server that nothing may reach
        self.port = 0

    def address(self, kind: str, number: int = 0) -> str:
        return f"http://127.0.0.1:{self.port}/{kind}/{number}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.num_open += 1
        self.most_open = max(self.most_open, self.num_open)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ValueError):
            while await self._answer(await reader.readuntil(b"\r\n\r\n"), writer):
                await writer.drain()
        self.num_open -= 1
        writer.close()

    async def _answer(self, request: bytes, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays."""
        path = request.split(b" ", 2)[1].decode()
        self.hits[path] += 1
        self.requests.append(request)
        self.times.setdefault(path, []).append(time.monotonic())
        _, kind, number = path.split("?")[0].split("/")[:3]
        first = self.hits[path] % 2 == 1
        data = picture(int(number))

        def send(status: int, body: bytes = b"", **headers: object) -> bool:
            said = {
                "Content-Type": "image/jpeg",
                "Content-Length": len(body),
                **{name.replace("_", "-"): str(value) for name, value in headers.items()},
            }
            lines = [f"HTTP/1.1 {status} {_REASONS.get(status, 'Other')}", *[f"{name}: {value}" for name, value in said.items()]]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            return True

        def to(where: str) -> bool:
            return send(302, Location=where)

        if kind in self._redirects(number):
            return to(self._redirects(number)[kind])
        statuses = {
            "missing": 404,
            "gone": 410,
            "unauthorized": 401,
            "forbidden": 403,
            "legal": 451,
            "teapot": 418,
            "no-content": 204,
            "failing": 500,
        }
        if kind in statuses:
            return send(statuses[kind], b"no" if kind != "no-content" else b"")
        match kind:
            case "ok" | "photo_unavailable.png":
                return send(200, data)
            case "cookie":
                return send(200, data, Set_Cookie="id=1; Path=/")
            case "as-text":
                return send(200, data, Content_Type="text/plain")
            case "other-bot":
                return send(200, data, X_Robots_Tag="otherbot: noindex, noai")
            case "no-ai":
                return send(200, data, X_Robots_Tag="noai")
            case "no-index-for-all":
                return send(200, data, X_Robots_Tag="max-image-preview: large, NoIndex")
            case "tdm":
                return send(200, data, tdm_reservation="1")
            case "chunked":
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))
                return True
            case "http10":
                writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + data)
                return False
            case "gzip":
                return send(200, gzip.compress(data), Content_Encoding="gzip")
            case "too-short-length":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + data)
                return False
            case "busy":
                return send(429, b"slow down", Retry_After="0")
            case "busy-for-ever":
                return send(429, b"slow down", Retry_After="1000000000")
            case "busy-once":
                return send(429, b"slow down", Retry_After="0") if first else send(200, data)
            case "busy-until-date":
                return send(429, b"later", Retry_After="Wed, 21 Oct 2015 07:28:00 GMT") if first else send(200, data)
            case "failing-once":
                return send(500, b"no") if first else send(200, data)
            case "page":
                return send(200, b"<p>gone</p>", Content_Type="text/html; charset=utf-8")
            case "page-as-jpeg":
                return send(200, b"\n <!DOCTYPE html><title>gone</title>")
            case "video":
                return send(200, b"\0\0\0\x01 frames", Content_Type="video/mpeg")
            case "empty":
                return send(200)
            case "said-to-be-huge":
                return send(200, b"", Content_Length=10**12) and False
            case "bomb":
                return send(200, _bomb(), Content_Encoding="gzip")
            case "brotli":
                return send(200, data, Content_Encoding="br")
            case "no-gzip":
                return send(200, data, Content_Encoding="gzip")
            case "garbage":
                writer.write(b"220 mail.example ESMTP\r\n\r\n")
                return False
            case "hangs-up":
                return False
            case "mutant":
                writer.write(mutated(int(number)))
                return False
        return await self._by_and_by(kind, data, first, writer)

    async def _by_and_by(self, kind: str, data: bytes, first: bool, writer: asyncio.StreamWriter) -> bool:
        """Answers that need time, or a connection that ends in some way."""
        start = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
        whole = b"Content-Length: %d\r\n\r\n" % len(data)
        transport: Any = writer.transport
        match kind:
            case "reset" | "reset-once":
                if kind == "reset-once" and not first:
                    writer.write(start + whole + data)
                    return True
                writer.write(start + whole + data[:500])
                await writer.drain()
                transport.abort()
            case "cut-short":
                writer.write(start + whole + data[:-1])
            case "chunks-without-end":
                writer.write(start + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(data), data))
            case "chunks-that-stop":
                writer.write(start + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(data), data))
                await asyncio.sleep(3600)
            case "many-headers":
                writer.write(start + b"".join(b"X-%d: 1\r\n" % i for i in range(1000)) + whole + data)
            case "long-header":
                writer.write(start + b"X: " + b"x" * 100_000 + b"\r\n" + whole + data)
            case "endless":
                writer.write(start + b"\r\n" + data)
                while not transport.is_closing():
                    writer.write(bytes(2**16))
                    await writer.drain()
                    await asyncio.sleep(0)
            case "drip":
                writer.write(start + whole)
                for at in range(len(data)):
                    if transport.is_closing():
                        break
                    writer.write(data[at : at + 1])
                    await asyncio.sleep(0.1)
            case "silent":
                await asyncio.sleep(3600)
            case _:
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                return True
        return False

    def _redirects(self, number: str) -> dict[str, str]:
        here, there = f"http://127.0.0.1:{self.port}", self._other
        return {
            "to-ok": f"{here}/ok/{number}",
            "to-ok-relative": f"../ok/{number}",
            **{f"hops-{left}": f"/hops-{left - 1}/{number}" if left > 1 else f"/ok/{number}" for left in range(1, 7)},
            "ring": f"/ring/{number}",
            "to-nowhere": "",
            "to-stand-in": f"{here}/photo_unavailable.png/{number}",
            "to-other-port": f"http://127.0.0.1:{there}/secret/{number}",
            "to-metadata": "http://169.254.169.254/latest/meta-data/",
            "to-localhost": f"http://localhost:{there}/secret/{number}",
            "to-six": f"http://[::1]:{there}/secret/{number}",
            "to-mapped": f"http://[::ffff:127.0.0.1]:{there}/secret/{number}",
            "to-decimal": f"http://2130706433:{there}/secret/{number}",
            "to-any": f"http://0.0.0.0:{there}/secret/{number}",
            "to-user": f"http://user:secret@127.0.0.1:{there}/secret/{number}",
            "to-file": "file:///etc/passwd",
            "to-data": "data:image/png;base64,AAAA",
            "to-same-scheme": f"//127.0.0.1:{there}/secret/{number}",
        }


def mutated(number: int) -> bytes:
    """A plain, a chunked or a redirecting answer of which some bytes are others, gone or twice."""
    draw = random.Random(number)
    small = b"\xff\xd8\xff" + bytes(50)
    heads = [b"Content-Length: %d\r\nSet-Cookie: a=b; Max-Age=1\r\n\r\n" % len(small) + small]
    heads += [
        b"Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(packed := gzip.compress(small, mtime=0)), packed)
    ]
    heads += [b"Location: http://example.invalid/a?b\r\nContent-Length: 0\r\nRetry-After: 1\r\nX-Robots-Tag: all\r\n\r\n"]
    which = draw.randrange(3)
    data = bytearray(b"HTTP/1.1 %d OK\r\nContent-Type: image/jpeg\r\n" % (200, 200, 302)[which] + heads[which])
    for _ in range(draw.randrange(4)):
        at = draw.randrange(len(data))
        data[at : at + draw.randrange(3)] = draw.choice([b"", bytes([draw.randrange(256)]), data[at : at + 9], b"9" * 30, b"\r\n"])
    return bytes(data)


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(2**26))


@contextmanager
def picture_server(other_port: int = 9, tls: ssl.SSLContext | None = None) -> Iterator[PictureServer]:
    """In a thread of its own."""
    server, loop = PictureServer(other_port), asyncio.new_event_loop()
    began, ended = threading.Event(), asyncio.Event()

    async def serve() -> None:
        listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, limit=2**16, backlog=512, ssl=tls)
        server.port = listener.sockets[0].getsockname()[1]
        began.set()
        await ended.wait()
        listener.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert began.wait(30)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
