"""A device that does everything as late as it may: what was not waited for has not happened yet."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Event:
    device: "SlowDevice"
    stream: str
    index: int  # how many things of the stream it stands for

    def synchronize(self) -> None:
        if self.device.forgets != "synchronize":
            self.device.run(self)


class SlowDevice:
    """A lane for a Prefetcher, with two streams. ``forgets`` leaves out one of the waits; ``eager``: computes at once, as a CPU does."""

    def __init__(self, *, forgets: str = "", eager: bool = False) -> None:
        self.forgets, self.eager = forgets, eager
        self._lock = threading.RLock()
        self._todo: dict[str, list[Callable[[], None] | Event]] = {"compute": [], "upload": []}
        self._done = {"compute": 0, "upload": 0}

    def put(self, stream: str, *things: Callable[[], None] | Event) -> Event:
        with self._lock:
            self._todo[stream] += things
            return Event(self, stream, len(self._todo[stream]))

    def run(self, event: Event) -> None:
        with self._lock:
            while self._done[event.stream] < event.index:
                thing = self._todo[event.stream][self._done[event.stream]]
                self._done[event.stream] += 1
                if isinstance(thing, Event):
                    self.run(thing)
                else:
                    thing()

    def buffers(self, array: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.from_numpy(array.copy()), torch.from_numpy(array.copy())

    def upload(self, pairs: Sequence[tuple[torch.Tensor, torch.Tensor]], num_rows: int, after: Any) -> Event:
        def copy() -> None:
            for host, on_device in pairs:
                on_device[:num_rows].copy_(host[:num_rows])

        return self.put("upload", *([] if self.forgets == "used" else [after]), copy)

    def mark(self) -> Event:
        return self.put("compute")

    def hold(self, event: Event) -> None:
        if self.forgets != "uploaded":
            self.put("compute", event)
        if self.eager:
            self.run(event)
