"""Batches of training pictures, any of which can be computed from the seed and its position in the stream."""

from dataclasses import dataclass, field

import numpy as np

from peoria.data.images import CROP_PX, STORED_PX, Pictures
from peoria.data.streams import TrialStream, generator


@dataclass(frozen=True)
class Batches:
    """An endless, seeded stream of training pictures: a full permutation of the kept rows for each pass, a random crop and flip for each draw.

    Any position can be computed from (seed, position) alone, so a trial that is resumed draws what it would have drawn.
    """

    pixels: Pictures
    encoded: np.ndarray  # [N], what the loss compares with
    rows: np.ndarray  # int64 [n], the rows that the outlier cut kept, ascending
    batch_size: int
    seed: int
    fixed_order: bool = False  # every pass in the order of the first, as Caffe's data layers read; crops and flips are drawn anew all the same
    _orders: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False, compare=False)

    def draw(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows at stream positions ``start <= p < stop`` and their (y, x, flip), int64 [stop − start] and [stop − start, 3]."""
        rows = self.rows_at(start, stop)
        random = generator(self.seed, TrialStream.AUGMENTATION, start)
        augment = random.integers(0, (STORED_PX - CROP_PX + 1, STORED_PX - CROP_PX + 1, 2), size=(len(rows), 3))
        return rows, augment

    def rows_at(self, start: int, stop: int) -> np.ndarray:
        """Those rows alone."""
        num = len(self.rows)
        parts = []
        for epoch in range(start // num, (stop - 1) // num + 1):
            order = self._permutation(epoch)
            parts.append(order[max(start - epoch * num, 0) : min(stop - epoch * num, num)])
        return np.concatenate(parts)

    def _permutation(self, epoch: int) -> np.ndarray:
        epoch = 0 if self.fixed_order else epoch
        order = self._orders.get(epoch)
        if order is None:  # the last one is kept: shuffling a million rows for each batch takes longer than the batch
            order = self.rows[generator(self.seed, TrialStream.ORDER, epoch).permutation(len(self.rows))]
            self._orders.clear()
            self._orders[epoch] = order
        return order  # never looked up again: another thread may be at the next pass

    def fill(self, start: int, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The batch at stream position ``start`` into ``out`` (uint8 [≥ B, 227, 227, 3], reused between batches).

        Returns:
            The filled part of ``out`` and the encoded targets, both of length ``batch_size``.
        """
        rows, augment = self.draw(start, start + self.batch_size)
        self.pixels.crops(rows, augment, out)
        return out[: len(rows)], self.encoded[rows]
