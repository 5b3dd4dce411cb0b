"""A stand-in for Flickr on loopback: the two methods that counts need, their documented answers and errors, the limit of a key, and the pictures."""

import json
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.helpers.yfcc_rows import Photo

KEY = "0123456789abcdef0123456789abcdef"
PER_HOUR = 3600
UNAVAILABLE = b"<html><body><h1>429 Too Many Requests</h1>You have sent too many requests in a given amount of time.</body></html>"
METHODS = {"flickr.photos.getInfo": "info", "flickr.photos.getFavorites": "favorites"}
Answer = tuple[int, dict[str, str], bytes]


class FlickrServer(ThreadingHTTPServer):
    """Answers questions about ``photos``, at most ``per_hour`` in any hour of ``clock``.

    ``faults`` has what comes instead of the next answers about an id, or about any id under "": a status, a code of the API, "html", "cut", "empty",
    "other" (another photo's answer), "no views", "redirect", "echo" (the key, in an error) or "drop" (no answer).
    """

    daemon_threads = True

    def __init__(self, photos: Iterable[Photo], clock: Callable[[], float] = time.time, per_hour: int = PER_HOUR) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.photos = {photo.id: photo for photo in photos}
        self.clock, self.per_hour = clock, per_hour
        self.faults: dict[str, deque[object]] = {}
        self.answered = Counter[tuple[str, str]]()  # (ask, id) that a good answer, or that the photo is gone, was given to
        self.queries: list[float] = []  # when, by the clock
        self.refused = 0  # above the limit
        self.paths: list[str] = []
        self.delay_s = 0.0
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def environment(self) -> dict[str, str]:
        return {"PEORIA_FLICKR_URL": self.url, "PEORIA_FLICKR_KEY": KEY}

    def fault(self, identity: str, *faults: object) -> None:
        self.faults.setdefault(identity, deque()).extend(faults)

    def answer(self, question: dict[str, str]) -> Answer | None:
        """Status, headers, body; None: the connection is closed."""
        with self.lock:
            now, identity = self.clock(), question.get("photo_id", "")
            self.queries.append(now)
            if sum(at > now - 3600 for at in self.queries[-self.per_hour - 1 :]) > self.per_hour:
                self.refused += 1
                return 429, {"Content-Type": "text/html"}, UNAVAILABLE
            fault = next((of.popleft() for of in (self.faults.get(identity), self.faults.get("")) if of), None)
            if fault == "drop":
                return None
            if question.get("api_key") != KEY:
                return _failed(100, "Invalid API Key (Key has invalid format)")
            ask = METHODS.get(question.get("method", ""))
            if ask is None:
                return _failed(112, f'Method "{question.get("method")}" not found')
            if fault is None or fault in (1, 2):
                self.answered[ask, identity] += 1
            return self._answer(ask, identity, fault)

    def _answer(self, ask: str, identity: str, fault: object) -> Answer:
        photo = self.photos.get(identity)
        if fault == "echo":
            return _failed(77, f"you said api_key={KEY}")
        if fault == "redirect":
            return 302, {"Location": f"{self.url}/elsewhere"}, b""
        if isinstance(fault, int) and fault > 300:
            return fault, {"Content-Type": "text/html", "Retry-After": "7"}, UNAVAILABLE
        if isinstance(fault, int):
            return _failed(fault, "as documented")
        if photo is None:
            return _failed(1, f'Photo "{identity}" not found (invalid ID)')
        if fault == "other":
            photo = next(other for other in self.photos.values() if other is not photo)
        told = _info(photo) if ask == "info" else _favorites(photo)
        if fault == "no views":
            told["photo"].pop("views", None)
            told["photo"].pop("total", None)
        body = json.dumps(told).encode()
        if fault in ("html", "cut", "empty"):
            body = {"html": UNAVAILABLE, "cut": body[: len(body) // 2], "empty": b""}[str(fault)]
        return 200, {"Content-Type": "application/json"}, body

    def picture(self, path: str) -> Answer:
        """At its address of today; at another, as Flickr does, a redirect to a picture that says it is gone."""
        name = path.rpartition("/")[2].partition(".")[0]
        photo = self.photos.get(name.partition("_")[0])
        if photo is None or photo.jpeg is None or path != f"/{photo.server}/{photo.id}_{photo.secret}.jpg":
            return 302, {"Location": f"{self.url}/images/photo_unavailable.png"}, b""
        return 200, {"Content-Type": "image/jpeg"}, photo.jpeg.read_bytes()


class _Handler(BaseHTTPRequestHandler):
    server: FlickrServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a header waits 40 ms for its body
    wbufsize = -1

    def do_POST(self) -> None:
        self._reply(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())

    def do_GET(self) -> None:
        self._reply(urlsplit(self.path).query)

    def _reply(self, query: str) -> None:
        self.server.paths.append(self.path)
        path = urlsplit(self.path).path
        time.sleep(self.server.delay_s)
        if path == "/services/rest/":
            answer = self.server.answer({name: values[0] for name, values in parse_qs(query).items()})
        else:
            answer = self.server.picture(path)
        if answer is None:
            self.close_connection = True
            return
        status, headers, body = answer
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Not on standard error."""


@contextmanager
def flickr_server(photos: Iterable[Photo], clock: Callable[[], float] = time.time, per_hour: int = PER_HOUR) -> Iterator[FlickrServer]:
    server = FlickrServer(photos, clock, per_hour)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _failed(code: int, message: str) -> Answer:
    return 200, {"Content-Type": "application/json"}, json.dumps({"stat": "fail", "code": code, "message": message}).encode()


def _info(photo: Photo) -> dict[str, Any]:
    """As documented of flickr.photos.getInfo, in JSON: attributes are text, an element's text is ``_content``."""
    return {
        "photo": {
            "id": photo.id,
            "secret": photo.secret,
            "server": photo.server,
            "farm": 8,
            "dateuploaded": str(photo.uploaded_at),
            "isfavorite": 0,
            "license": photo.licence,
            "rotation": 0,
            "owner": {"nsid": photo.owner, "username": "a nickname", "realname": "A Name", "location": "somewhere"},
            "title": {"_content": photo.title},
            "description": {"_content": photo.description},
            "visibility": {"ispublic": 1, "isfriend": 0, "isfamily": 0},
            "dates": {"posted": str(photo.uploaded_at), "taken": photo.taken_at[:19], "takengranularity": 0, "lastupdate": "1400000000"},
            "views": str(photo.views),
            "comments": {"_content": str(photo.comments)},
            "notes": {"note": []},
            "tags": {"tag": [{"id": "1", "author": photo.owner, "raw": tag, "_content": tag.lower().replace(" ", "")} for tag in photo.tags]},
            "urls": {"url": [{"type": "photopage", "_content": photo.page}]},
            "media": photo.media,
        },
        "stat": "ok",
    }


def _favorites(photo: Photo) -> dict[str, Any]:
    person = [{"nsid": "1@N00", "username": "somebody", "favedate": "1400000000"}] if photo.favorites else []
    return {
        "photo": {
            "person": person,
            "id": photo.id,
            "secret": photo.secret,
            "server": photo.server,
            "farm": 8,
            "page": 1,
            "pages": photo.favorites,
            "perpage": 1,
            "total": str(photo.favorites),
        },
        "stat": "ok",
    }
