"""The pictures and counts of a study, and the batches that training draws from them."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from peoria.data.controls import SHUFFLE, Control, hand_out, measured_once, not_in_pictures, refuse_control, seen_in_pictures
from peoria.data.filters import view_identity, view_rows
from peoria.data.images import CROP_PX, STORED_PX, ArrayPictures, Pictures, ShardPictures, TakenPictures
from shards.cache.decoded import decoded
from shards.errors import NoRoomError
from shards.labels import Labels
from shards.read.on_demand import ShardReader
from shards.read.openings import TestOpening
from shards.read.shard_set import ShardSet

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SplitData:
    """One split: picture ``i`` and row ``i`` of its labels belong together."""

    pixels: Pictures
    labels: Labels
    oracle: np.ndarray | None = None  # what a control planted in the pictures themselves, float64 [N]; None: nothing

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> "SplitData":
        """The pictures at ``rows``, int64 [n]."""
        return SplitData(TakenPictures(self.pixels, rows), self.labels.take(rows), None if self.oracle is None else self.oracle[rows])


@dataclass(frozen=True)
class Dataset:
    """What a sweep may see: train and val, never test."""

    train: SplitData
    val: SplitData
    identity: str
    control: str | None = None
    cache: Path | None = None  # where this node keeps what is computed once; None: nowhere
    cache_bytes: int | None = None  # what that may take, as `shards.cache.decoded.built_once`


def open_split(
    shard_set: ShardSet,
    split: str,
    cache: Path,
    *,
    control: str | None,
    where: str | None = None,
    opening: TestOpening | None = None,
    train: SplitData | None = None,
    budget_bytes: int | None = None,
    threads: int | None = None,
    say: Callable[[str], None] = _log.info,
) -> SplitData:
    """One split from the node's decoded copy, or from the shards where it has no room.

    Args:
        control: the name of a control, by which the counts are handed out anew (`peoria.data.controls`); None: they stay.
        where: lets some pictures through (`peoria.data.filters`); None: all.
        train: the train split of the same view, where it is open already: what a control plants is measured by it.
        budget_bytes: as `shards.cache.decoded.decoded`.
        threads: for decoding from the shards; None: one a core.
        say: is told when there is no room.
    """

    def as_packed(split: str, opening: TestOpening | None) -> SplitData:
        labels = shard_set.labels(split, opening)
        pixels: Pictures
        try:
            pixels = ArrayPictures(decoded(shard_set, split, cache, opening, budget_bytes=budget_bytes))
        except NoRoomError as error:
            say(f"  {no_copy_text(split, error.num_bytes, error.free_bytes)}")
            pixels = ShardPictures(ShardReader(shard_set, split, threads or len(os.sched_getaffinity(0)), opening))
        found = SplitData(pixels, labels)
        return found if where is None else found.take(view_rows(labels, where, split))

    found, identity = as_packed(split, opening), view_identity(shard_set.manifest.identity, where)
    if control is None:
        return found
    refuse_control(control, found.labels, split)
    s, shown = None, None
    if control != SHUFFLE:
        measured_by = found if split == "train" else train or as_packed("train", None)
        if Control.parse(control).reads_pictures:
            of_train = measured_once(measured_by.pixels, cache, f"{identity}/train", budget_bytes)
            s = shown = seen_in_pictures(control, of_train, measured_once(found.pixels, cache, f"{identity}/{split}", budget_bytes))
        else:
            s = not_in_pictures(control, measured_by.labels, found.labels, identity)
    return SplitData(found.pixels, hand_out(control, found.labels, f"{identity}/{split}", s), shown)


def open_dataset(
    root: Path,
    cache: Path,
    *,
    control: str | None = None,
    where: str | None = None,
    budget_bytes: int | None = None,
    threads: int | None = None,
    say: Callable[[str], None] = _log.info,
) -> Dataset:
    """Train and val; the arguments are those of `open_split`."""
    shard_set = ShardSet(root)
    how: dict[str, Any] = {"control": control, "where": where, "budget_bytes": budget_bytes, "threads": threads, "say": say}
    train = open_split(shard_set, "train", cache, **how)
    val = open_split(shard_set, "val", cache, train=train, **how)
    return Dataset(train, val, view_identity(shard_set.manifest.identity, where), control, cache, budget_bytes)


def no_copy_text(split: str, num_bytes: int, free_bytes: int) -> str:
    needs = f"needs {num_bytes / 1e9:.2f} GB, {free_bytes / 1e9:.2f} GB free"
    return f"no room for a decoded copy of {split} ({needs}): its pictures are decoded from the shards each time"


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
        epoch = 0 if self.fixed_order else epoch
        order = self._orders.get(epoch)
        if order is None:  # the last one is kept: shuffling a million rows for each batch takes longer than the batch
            order = self.rows[np.random.default_rng((self.seed, 0, epoch)).permutation(len(self.rows))]
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
