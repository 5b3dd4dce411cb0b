"""What Flickr has answered, a line an answer, kept so that nothing is asked twice: whatever kills the writer, a line is there whole or not at all."""

import json
import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from shards.errors import FileError
from shards.files import locked, open_plain, sync_folder, told

ANSWERS, QUERIES, LOCK = "answers.jsonl", "queries.json", "lock"
ASKS = ("info", "favorites")
_WRITABLE = "a folder that can be written to"


class Answers:
    """The answers in a folder, which one process holds at a time. In memory is where each lies, about 0.2 kB a picture.

    An answer is a line of ``answers.jsonl``: ``id``, ``ask`` (one of `ASKS`), ``observed_at``, and what was answered, or ``gone`` and why.

    Raises:
        FileError: another process holds the folder; it cannot be written; a line in the midst of the file is none of ours.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.path = folder / ANSWERS
        self._at: dict[str, dict[str, int]] = {ask: {} for ask in ASKS}
        self._ended: set[str] = set()  # of which nothing more is asked: gone, or a video
        self._held = ExitStack()
        try:
            if read_only:
                if not self.path.exists():
                    return
                self._size = self._index()
                self._open_reader()
                return
            with told(folder, _WRITABLE):
                folder.mkdir(parents=True, exist_ok=True)
                try:
                    self._held.enter_context(locked(folder / LOCK, wait=False))
                except BlockingIOError:
                    raise FileError(f"{folder}: another `peoria flickr counts` asks and writes there; one at a time") from None
            with told(self.path, _WRITABLE):
                self._file = self._held.enter_context(open_plain(self.path, os.O_RDWR | os.O_CREAT, 0o644))
                self._size = self._index()
                os.truncate(self._file.fileno(), self._size)  # a line that a kill cut off
                sync_folder(folder)
            self._open_reader()  # anew: what was read of a cut line is in no buffer
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Answers":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._held.close()

    def next_ask(self, identity: str) -> str | None:
        """What is still to be asked of a picture; None where all is answered, or it is gone, or a video."""
        if identity in self._ended:
            return None
        return next((ask for ask in ASKS if identity not in self._at[ask]), None)

    def get(self, identity: str, ask: str) -> dict[str, Any] | None:
        """An answer, read from the file."""
        if (at := self._at[ask].get(identity)) is None:
            return None
        with told(self.path, "a file of answers"):
            self._reader.seek(at)
            line = self._reader.readline()
        found: dict[str, Any] = json.loads(line)
        return found

    def put(self, identity: str, ask: str, observed_at: str, answer: dict[str, Any]) -> None:
        """Returns when it is on the disk."""
        line = json.dumps({"id": identity, "ask": ask, "observed_at": observed_at, **answer}, ensure_ascii=True).encode() + b"\n"
        with told(self.path, _WRITABLE, num_bytes=len(line), what="an answer"):
            done = 0
            while done < len(line):
                done += os.pwrite(self._file.fileno(), line[done:], self._size + done)
            os.fsync(self._file.fileno())
        self._enter(identity, ask, self._size, answer)
        self._size += len(line)

    def _enter(self, identity: str, ask: str, at: int, answer: dict[str, Any]) -> None:
        self._at[ask][identity] = at
        if "gone" in answer or answer.get("media") == "video":
            self._ended.add(identity)

    def _open_reader(self) -> None:
        with told(self.path, "a file of answers"):
            self._reader = self._held.enter_context(open_plain(self.path))

    def _index(self) -> int:
        """Enters all whole lines; returns where they end."""
        at = 0
        with told(self.path, "a file of answers"), open_plain(self.path) as file:
            size = os.fstat(file.fileno()).st_size
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    return at
                try:
                    found = json.loads(line)
                    identity, ask = str(found["id"]), str(found["ask"])
                    if ask not in ASKS:
                        raise ValueError(ask)
                except (ValueError, KeyError, TypeError, RecursionError):
                    if at + len(line) == size:
                        return at  # the last: a power cut may leave a line's room without its bytes
                    raise FileError(
                        f"{self.path}: line {number} is no answer; lines as `peoria flickr counts` writes them",
                        hint="remove that line, and its picture is asked again",
                    ) from None
                self._enter(identity, ask, at, found)
                at += len(line)
        return at
