"""Which trials were written to: told by the process that writes them, so that nobody has to look at all of them again and again."""

import threading


class Changes:
    """Keys of trials, added by one thread and taken by another."""

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._lock = threading.Lock()

    def add(self, key: str) -> None:
        with self._lock:
            self._keys.add(key)

    def take(self) -> set[str]:
        """All since the last call."""
        with self._lock:
            taken, self._keys = self._keys, set()
        return taken
