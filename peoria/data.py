"""The pictures and counts of a study in memory-mapped form, and the batches that training draws from them."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from shards.cache import decoded
from shards.labels import Labels
from shards.openings import TestOpening
from shards.read import ShardSet

STORED_PX = 256
CROP_PX = 227
CENTRE_PX = (STORED_PX - CROP_PX) // 2  # 14, as Caffe's test crop


@dataclass(frozen=True)
class SplitData:
    """One split: picture ``i`` and row ``i`` of its labels belong together."""

    pixels: np.ndarray  # uint8 [N, 256, 256, 3] RGB, memory-mapped
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


def open_split(shard_set: ShardSet, split: str, cache: Path, *, control: str | None, opening: TestOpening | None = None) -> SplitData:
    """One split from the node's decoded copy; with ``control="shuffle"`` its count triples are permuted among its pictures."""
    labels = shard_set.labels(split, opening)
    if control == "shuffle":
        labels = shuffle_counts(labels, f"{shard_set.manifest.identity}/{split}")
    return SplitData(decoded(shard_set, split, cache, opening), labels)


def open_dataset(root: Path, cache: Path, *, control: str | None = None) -> Dataset:
    shard_set = ShardSet(root)
    train, val = (open_split(shard_set, split, cache, control=control) for split in ("train", "val"))
    return Dataset(train, val, shard_set.manifest.identity, control)


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

    pixels: np.ndarray  # uint8 [N, 256, 256, 3]
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
        import cv2

        rows, augment = self.draw(start, start + self.batch_size)
        pixels = np.asarray(self.pixels)  # indexing a memmap itself costs more
        turned = np.empty((CROP_PX, CROP_PX, 3), np.uint8)  # small enough to stay in the cache of a core
        for i, (row, (y, x, flip)) in enumerate(zip(rows.tolist(), augment.tolist(), strict=True)):
            crop = pixels[row, y : y + CROP_PX, x : x + CROP_PX]
            if flip:
                crop = cv2.flip(crop, 1, dst=turned)  # numpy copies backwards pixel by pixel, ten times as slowly
            out[i] = crop
        return out[: len(rows)], self.encoded[rows]


def centre_crops(pixels: np.ndarray, batch_size: int) -> Iterator[np.ndarray]:
    """All pictures once, in order, cropped as for a test: uint8 [≤ batch_size, 227, 227, 3]."""
    inside = slice(CENTRE_PX, CENTRE_PX + CROP_PX)
    for start in range(0, len(pixels), batch_size):
        yield np.ascontiguousarray(pixels[start : start + batch_size, inside, inside])
