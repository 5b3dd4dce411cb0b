"""The pictures and counts of a study, and the batches that training draws from them."""

import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from peoria.crops import CROP_PX as CROP_PX
from peoria.crops import STORED_PX, ArrayPictures, Pictures, ShardPictures
from peoria.crops import centre_crops as centre_crops
from shards.cache import decoded
from shards.errors import NoRoomError
from shards.labels import Labels
from shards.openings import TestOpening
from shards.read import ShardSet
from shards.reader import ShardReader

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SplitData:
    """One split: picture ``i`` and row ``i`` of its labels belong together."""

    pixels: Pictures
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """What a sweep may see: train and val, never test."""

    train: SplitData
    val: SplitData
    identity: str
    control: str | None = None
    cache: Path | None = None  # where this node keeps what is computed once; None: nowhere
    cache_bytes: int | None = None  # what that may take, as `shards.cache.built_once`


def open_split(
    shard_set: ShardSet,
    split: str,
    cache: Path,
    *,
    control: str | None,
    opening: TestOpening | None = None,
    budget_bytes: int | None = None,
    threads: int | None = None,
    say: Callable[[str], None] = _log.info,
) -> SplitData:
    """One split from the node's decoded copy, or from the shards where it has no room; with ``control="shuffle"`` its count triples are
    permuted among its pictures.

    Args:
        budget_bytes: as `shards.cache.decoded`.
        threads: for decoding from the shards; None: one a core.
        say: is told when there is no room.
    """
    labels = shard_set.labels(split, opening)
    if control == "shuffle":
        labels = shuffle_counts(labels, f"{shard_set.manifest.identity}/{split}")
    pixels: Pictures
    try:
        pixels = ArrayPictures(decoded(shard_set, split, cache, opening, budget_bytes=budget_bytes))
    except NoRoomError as error:
        say(f"  {no_copy_text(split, error.num_bytes, error.free_bytes)}")
        pixels = ShardPictures(ShardReader(shard_set, split, threads or len(os.sched_getaffinity(0)), opening))
    return SplitData(pixels, labels)


def open_dataset(
    root: Path,
    cache: Path,
    *,
    control: str | None = None,
    budget_bytes: int | None = None,
    threads: int | None = None,
    say: Callable[[str], None] = _log.info,
) -> Dataset:
    """Train and val; the arguments are those of `open_split`."""
    shard_set = ShardSet(root)
    train, val = (
        open_split(shard_set, split, cache, control=control, budget_bytes=budget_bytes, threads=threads, say=say) for split in ("train", "val")
    )
    return Dataset(train, val, shard_set.manifest.identity, control, cache, budget_bytes)


def no_copy_text(split: str, num_bytes: int, free_bytes: int) -> str:
    needs = f"needs {num_bytes / 1e9:.2f} GB, {free_bytes / 1e9:.2f} GB free"
    return f"no room for a decoded copy of {split} ({needs}): its pictures are decoded from the shards each time"


def shuffle_counts(labels: Labels, seed: str) -> Labels:
    """The control world in which no picture has anything to do with its counts: the (views, favorites, comments) triples change places.

    Every split is shuffled in itself, test included: shuffling train alone leaves what all splits share and claims skill far too often.
    """
    order = np.random.default_rng(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big")).permutation(len(labels))
    return replace(
        labels,
        views=labels.views[order],
        favorites=None if labels.favorites is None else labels.favorites[order],
        comments=None if labels.comments is None else labels.comments[order],
    )


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
    _orders: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False, compare=False)

    def draw(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows at stream positions ``start <= p < stop`` and their (y, x, flip), int64 [stop − start] and [stop − start, 3]."""
        num = len(self.rows)
        parts = []
        for epoch in range(start // num, (stop - 1) // num + 1):
            order = self._permutation(epoch)
            parts.append(order[max(start - epoch * num, 0) : min(stop - epoch * num, num)])
        rows = np.concatenate(parts)
        random = np.random.default_rng((self.seed, 1, start))
        augment = random.integers(0, (STORED_PX - CROP_PX + 1, STORED_PX - CROP_PX + 1, 2), size=(len(rows), 3))
        return rows, augment

    def _permutation(self, epoch: int) -> np.ndarray:
        if epoch not in self._orders:  # the last one is kept: shuffling a million rows for each batch takes longer than the batch
            self._orders.clear()
            self._orders[epoch] = self.rows[np.random.default_rng((self.seed, 0, epoch)).permutation(len(self.rows))]
        return self._orders[epoch]

    def fill(self, start: int, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The batch at stream position ``start`` into ``out`` (uint8 [≥ B, 227, 227, 3], reused between batches).

        Returns:
            The filled part of ``out`` and the encoded targets, both of length ``batch_size``.
        """
        rows, augment = self.draw(start, start + self.batch_size)
        self.pixels.crops(rows, augment, out)
        return out[: len(rows)], self.encoded[rows]
