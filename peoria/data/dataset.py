"""The pictures and counts of a study, and the batches that training draws from them."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from peoria.data.control_signals import measured_once, seen_in_pictures
from peoria.data.controls import SHUFFLE, Control, not_in_pictures, reassign, refuse_control
from peoria.data.filters import filter_rows, filtered_identity
from peoria.data.images import ArrayPictures, Pictures, ShardPictures, TakenPictures
from peoria.errors import SweepError
from shards.cache.decoded import decoded
from shards.cache.fetched import open_shards
from shards.cpus import usable_cpus
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
    cache_bytes: int | None = None  # what that may take, as `shards.cache.mapped.built_once`


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
        control: the name of a control, by which the counts are reassigned (`peoria.data.controls`); None: they stay.
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
            pixels = ShardPictures(ShardReader(shard_set, split, threads or usable_cpus(), opening))
        found = SplitData(pixels, labels)
        return found if where is None else found.take(filter_rows(labels, where, split))

    found, identity = as_packed(split, opening), filtered_identity(shard_set.manifest.identity, where)
    if control is None:
        return found
    refuse_control(control, found.labels, split)
    s, shown = None, None
    if control != SHUFFLE:
        measured_by = found if split == "train" else train or as_packed("train", None)
        if Control.parse(control).reads_pictures:
            of_train = measured_once(measured_by.pixels, cache, f"{identity}/train", budget_bytes)
            about = "/".join((identity, split, *([] if opening is None else [part] if (part := shard_set.part(opening)) else [])))
            s = shown = seen_in_pictures(control, of_train, measured_once(found.pixels, cache, about, budget_bytes))
        else:
            s = not_in_pictures(control, measured_by.labels, found.labels, identity)
    return SplitData(found.pixels, reassign(control, found.labels, f"{identity}/{split}", s), shown)


def open_dataset(
    shards: str | Path,
    cache: Path,
    *,
    control: str | None = None,
    where: str | None = None,
    budget_bytes: int | None = None,
    threads: int | None = None,
    say: Callable[[str], None] = _log.info,
    identity: str = "",
) -> Dataset:
    """Train and val of the packed set at a path or a URL; the other arguments are those of `open_split`.

    Args:
        identity: of the data that a sweep began on; "": any.

    Raises:
        SweepError: the set was changed since then, and what is trained now could not be compared with what was.
    """
    shard_set = open_shards(shards, cache, budget_bytes)
    found = filtered_identity(shard_set.manifest.identity, where)
    if identity not in ("", found):
        raise SweepError(
            f"{shards}: data {found[:12]} now; the sweep began on {identity[:12]}", hint="a sweep of another name asks of the set as it is now"
        )
    opened = partial(
        open_split, shard_set, cache=cache, control=control, where=where, budget_bytes=budget_bytes, threads=threads, say=say
    )  # fmt: skip
    train = opened("train")
    val = opened("val", train=train)
    return Dataset(train, val, found, control, cache, budget_bytes)


def no_copy_text(split: str, num_bytes: int, free_bytes: int) -> str:
    needs = f"needs {num_bytes / 1e9:.2f} GB, {free_bytes / 1e9:.2f} GB free"
    return f"no room for a decoded copy of {split} ({needs}): its pictures are decoded from the shards each time"
