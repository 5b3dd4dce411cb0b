"""When a trial writes its checkpoints, and who waits for that."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from peoria.records.folder import TrialFolder
from peoria.training.checkpoint import Partial, held, save_checkpoint
from peoria.training.messages import TrialReport

if TYPE_CHECKING:
    import torch

EVERY_S = 180.0  # what a kill may cost a trial on a GPU


class Saver:
    """The checkpoints of one trial.

    On a CPU each evaluation's is on the disk before its report goes out. A GPU trains from one evaluation to the next in seconds, and writing half a
    gigabyte takes two: there one is begun every `EVERY_S`, copied to page-locked memory behind the steps that were asked for, and written by a
    thread, while the report goes out and training goes on. A kill then costs what was trained since the last one; its reports come once more. Where a
    trial stops or ends, what it leaves is on the disk before it is told, on any device.
    """

    def __init__(
        self,
        folder: TrialFolder,
        settings: Mapping[str, Any],
        trained: "torch.nn.Module",
        optimizer: "torch.optim.Optimizer",
        *,
        behind: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            settings: as `save_checkpoint`.
            behind: whether a thread writes, by time.
        """
        self._folder, self._settings, self._trained, self._optimizer = folder, dict(settings), trained, optimizer
        self._clock, self._next_s, self._ended = clock, clock() + EVERY_S, False
        self._pool = ThreadPoolExecutor(1, "checkpoint") if behind else None
        self._writing: Future[None] | None = None

    def evaluated(self, report: TrialReport) -> None:
        """An evaluation's, with the whole curve. Raises what writing it, or behind the steps the one before, raised."""
        if self._pool is None:
            self._save(report, self._state())
        elif self._writing is None or self._writing.done():
            self._written()
            if self._clock() >= self._next_s:
                self._next_s = self._clock() + EVERY_S
                self._writing = self._pool.submit(self._save, report, held(self._state()))

    def stopped(self, report: TrialReport | None, partial: Partial) -> None:
        """Between two evaluations; on the disk when this returns."""
        self._written()
        self._save(report, self._state(), partial)
        self._ended = True

    def done(self, report: TrialReport) -> None:
        """The last report alone; on the disk when this returns."""
        self._written()
        self._save(report, None)
        self._ended = True

    def close(self) -> None:
        """Nothing is written after this. A trial whose end was entered meanwhile, as of one that was pruned, keeps no checkpoint."""
        if self._pool is not None:
            self._pool.shutdown()
            if not self._ended and self._folder.outcome.exists():
                self._folder.checkpoint.unlink(missing_ok=True)
                self._folder.checkpoint_before.unlink(missing_ok=True)

    def _state(self) -> dict[str, Any]:
        return {"net": self._trained.state_dict(), "optimizer": self._optimizer.state_dict()}

    def _save(self, report: TrialReport | None, state: Any, partial: Partial | None = None) -> None:
        state = state() if callable(state) else state
        save_checkpoint(self._folder, settings=self._settings, report=report, state=state, partial=partial)

    def _written(self) -> None:
        if self._writing is not None:
            self._writing.result()
