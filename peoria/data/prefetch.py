"""Batches on the device that computes. For a GPU they are made ahead by a thread and uploaded beside the computing, in buffers used again and again.

What a batch holds is decided by its position alone, so that being ahead changes no bit.
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor

SLOTS = 3  # one computed on, one uploaded, one filled


class Lane(Protocol):
    """How buffers get to a device while it computes; an event says that all that was asked for before it is done."""

    def buffers(self, array: np.ndarray) -> tuple[Tensor, Tensor]:
        """Shaped as ``array``: on the host, and on the device."""

    def upload(self, pairs: Sequence[tuple[Tensor, Tensor]], num_rows: int, after: Any) -> Any:
        """Begins to copy the first rows from host to device as soon as event ``after`` has happened; the event of its end."""

    def mark(self) -> Any:
        """The event after all that the device was given to compute so far."""

    def hold(self, event: Any) -> None:
        """What the device is given from now on waits for ``event``; the caller does not."""


class CudaLane:
    """Page-locked buffers, and a stream for uploads beside the one that computes."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def buffers(self, array: np.ndarray) -> tuple[Tensor, Tensor]:
        host = torch.empty_like(torch.from_numpy(array), pin_memory=True)
        on_device = torch.empty_like(host, device=self._device)
        on_device.record_stream(self._stream)  # given up while an upload is under way, its memory stays until that is over
        return host, on_device

    def upload(self, pairs: Sequence[tuple[Tensor, Tensor]], num_rows: int, after: Any) -> Any:
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(after)
            for host, on_device in pairs:
                on_device[:num_rows].copy_(host[:num_rows], non_blocking=True)
            return self._stream.record_event(torch.cuda.Event(blocking=True))  # blocking: who waits for it sleeps

    def mark(self) -> Any:
        return torch.cuda.current_stream(self._device).record_event()

    def hold(self, event: Any) -> None:
        torch.cuda.current_stream(self._device).wait_event(event)


@dataclass
class _Slot:
    """Buffers of one batch, on the host and on the device."""

    pairs: list[tuple[Tensor, Tensor]]
    used: Any  # the device is through with what was here before
    uploaded: Any = None
    arrays: list[np.ndarray] = field(init=False)

    def __post_init__(self) -> None:
        self.arrays = [host.numpy() for host, _ in self.pairs]


class Prefetcher:
    """The batches of a stream, in order; a jump is allowed and costs what was made ahead. A batch is valid until the next one is asked for.

    Args:
        fill: writes the batch at a position into numpy buffers, from the first row on, and returns the number of rows. On a GPU a thread of
            the feeder's own calls it, and no other.
        buffers: shape and dtype of each, for the largest batch.
        step: from the position of a batch to the next one's.
        stop: nothing from here on is made ahead.
        lane: to the device; None: the only one there is, or on a CPU none. There a batch is made when it is asked for: with all the trial's
            threads at work in the net a further one gains nothing.
    """

    def __init__(
        self,
        fill: Callable[..., int],
        buffers: Sequence[tuple[tuple[int, ...], DTypeLike]],
        device: torch.device,
        *,
        step: int,
        stop: int,
        lane: Lane | None = None,
    ) -> None:
        self._fill, self._step, self._stop = fill, step, stop
        arrays = [np.empty(shape, dtype) for shape, dtype in buffers]
        self._lane = CudaLane(device) if lane is None and device.type == "cuda" else lane
        if self._lane is None:
            self._arrays = arrays
            self._tensors = [torch.from_numpy(array) for array in arrays]
            return
        pairs = [[self._lane.buffers(array) for array in arrays] for _ in range(SLOTS)]
        began = self._lane.mark()  # whoever had this memory before may still be computing on it
        self._slots = deque(_Slot(of_slot, began) for of_slot in pairs)
        self._ahead: deque[tuple[int, Future[int], _Slot]] = deque()
        self._lent: _Slot | None = None
        self._pool = ThreadPoolExecutor(1, "feeder")  # ends with the feeder

    def batch(self, position: int) -> tuple[Tensor, ...]:
        """The buffers on the device, each cut to the rows of the batch at ``position``."""
        if self._lane is None:
            num_rows = self._fill(position, *self._arrays)
            return tuple(tensor[:num_rows] for tensor in self._tensors)
        if self._lent is not None:
            self._lent.used = self._lane.mark()
            self._slots.append(self._lent)
        if self._ahead and self._ahead[0][0] != position:
            self._slots.extend(slot for _, _, slot in self._ahead)  # the thread is through with them before it comes to what is asked for now
            self._ahead.clear()
        coming = self._ahead[-1][0] + self._step if self._ahead else position
        while self._slots and (coming < self._stop or not self._ahead):
            slot = self._slots.popleft()
            self._ahead.append((coming, self._pool.submit(self._make, coming, slot), slot))
            coming += self._step
        _, making, self._lent = self._ahead.popleft()
        num_rows = making.result()
        self._lane.hold(self._lent.uploaded)
        return tuple(on_device[:num_rows] for _, on_device in self._lent.pairs)

    def _make(self, position: int, slot: _Slot) -> int:
        assert self._lane is not None
        if slot.uploaded is not None:
            slot.uploaded.synchronize()  # the host's buffer is read until then
        num_rows = self._fill(position, *slot.arrays)
        slot.uploaded = self._lane.upload(slot.pairs, num_rows, slot.used)
        return num_rows
