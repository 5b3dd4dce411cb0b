"""At most so many queries an hour, whoever is killed and started again meanwhile: a token bucket with its state on disk."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from shards.files import open_plain, told

PER_HOUR = 3600  # queries, over the whole of a key
LEAST_PER_HOUR = 60
_WIDTH = 80  # bytes of the state


class Bucket:
    """In any hour at most ``per_hour`` tokens are taken, by the rule that an hour gives ``burst`` at once and the others evenly.

    The state is written before each query, so a kill loses a token and gives none; a state that is torn, missing or of a clock that went backwards
    gives none either. Whoever holds it holds the folder's lock.
    """

    def __init__(
        self,
        path: Path,
        per_hour: int = PER_HOUR,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._path, self._clock, self._sleep = path, clock, sleep
        self.burst = max(1, per_hour // 360)
        self.per_second = (per_hour - 2 * self.burst) / 3600  # a burst less than would do: queries do not arrive as evenly as they leave
        with told(path, "a file that can be written to"):
            self._file = open_plain(path, os.O_RDWR | os.O_CREAT, 0o644)
            self._tokens, self._at = self._read()

    def take(self) -> None:
        """Returns when a query may be made."""
        while True:
            now = self._clock()
            self._tokens = min(self.burst, self._tokens + max(0.0, now - self._at) * self.per_second)
            self._at = now
            if self._tokens >= 1:
                break
            self._sleep(max((1 - self._tokens) / self.per_second, 0.001))  # of a shorter one a clock may know nothing
        self._tokens -= 1
        state = json.dumps({"tokens": round(self._tokens, 6), "at": round(now, 6)}).ljust(_WIDTH).encode()
        with told(self._path, "a file that can be written to"):
            os.pwrite(self._file.fileno(), state, 0)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "Bucket":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def _read(self) -> tuple[float, float]:
        try:
            state = json.loads(os.pread(self._file.fileno(), _WIDTH, 0))
            tokens, at = float(state["tokens"]), float(state["at"])
        except (ValueError, TypeError, KeyError):
            return 0.0, self._clock()
        return (tokens, at) if 0 <= tokens <= self.burst and at <= self._clock() else (0.0, self._clock())
