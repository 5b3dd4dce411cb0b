"""The decoded pictures of a split in one file, mapped by every process of a node: built once, then read at the speed of memory."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shards.cache.files import Sidecar, cached_files, free_bytes, there
from shards.cache.mapped import built_once
from shards.manifest import SPLITS
from shards.read.openings import TestOpening
from shards.read.shard_set import ShardSet


def decoded(shard_set: ShardSet, split: str, folder: Path, opening: TestOpening | None = None, *, budget_bytes: int | None = None) -> np.ndarray:
    """The pictures of a split, uint8 RGB [N, side, side, 3], read-only, row i beside row i of ``shard_set.labels(split)``.

    Maps ``folder/DIGEST-SPLIT.u8``; the first process builds it from verified shards while the others wait. Its bytes are compared with their digest
    before they are mapped (`shards.cache.proof`).

    Args:
        budget_bytes: what the files of the folder may take together; None: what leaves a tenth of the disk, or 5 GB, free. Files that no process uses
            are removed to keep to it, the longest unused first.

    Raises:
        TestSplitClosedError, DamagedShardError: as `ShardSet.decode`.
        NoRoomError: it does not fit; `shards.read.on_demand.ShardReader` needs no room.
        FileError: the folder cannot be written to, or holds another user's file of that name.
    """
    num, part = shard_set.num_pictures(split), ""
    if split == "test":
        num = len(shard_set.labels(split, opening))
        assert opening is not None
        part = shard_set.part(opening)

    def decode(out: np.ndarray) -> None:
        shard_set.decode(split, out, opening)

    path, about = _copy_of(shard_set, split, folder, num, part)
    held = None if there(path, about) else shard_set.held(split)  # fetched before room is taken for the copy, and kept until it is made
    made = built_once(path, np.uint8, _shape(shard_set, num), decode, what=about.what, source=about.source, budget_bytes=budget_bytes)
    del held
    return made


@dataclass(frozen=True)
class CacheForecast:
    """Whether a split's decoded copy is there or could be."""

    split: str
    num_bytes: int
    there: bool
    free_bytes: int  # that it could have, with everything removed that nobody uses

    @property
    def fits(self) -> bool:
        return self.there or self.num_bytes <= self.free_bytes


def forecast(shard_set: ShardSet, splits: Iterable[str], folder: Path, budget_bytes: int | None = None) -> list[CacheForecast]:
    """What `decoded` would find for one split after another; changes nothing."""
    wanted = [(split, *_copy_of(shard_set, split, folder, shard_set.num_pictures(split))) for split in splits]
    kept = {path for _, path, about in wanted if there(path, about)}
    found = cached_files(folder)
    free = free_bytes(folder, budget_bytes, found) + sum(cached.num_bytes for cached in found if not cached.in_use and cached.path not in kept)
    result = []
    for split, path, about in wanted:
        is_there = about.bytes == 0 or path in kept
        result.append(CacheForecast(split, about.bytes, is_there, max(free, 0)))
        if result[-1].fits and not is_there:
            free -= about.bytes
    return result


def copies(shard_set: ShardSet, folder: Path) -> set[Path]:
    """Where decoded pictures of the set would lie in a cache: of each split, and of each part of test that an opening can show."""
    last = shard_set.vaults.num
    parts = ["", *(f"vaults {a} to {b}" for a in range(1, last + 1) for b in range(a, last + 1))]
    return {_copy_of(shard_set, split, folder, 1, part)[0] for split in SPLITS for part in (parts if split == "test" else [""])}


def _shape(shard_set: ShardSet, num: int) -> tuple[int, ...]:
    return (num, shard_set.side_px, shard_set.side_px, 3)


def _copy_of(shard_set: ShardSet, split: str, folder: Path, num: int, part: str = "") -> tuple[Path, Sidecar]:
    """Where ``num`` decoded pictures of a split lie, or of a ``part`` of it, and what their sidecar says. Named by the digests of the split's own
    shards: the same pictures split in another way are another file."""
    shards = [" ".join((shard.sha256, *shard.removed)) for shard in shard_set.manifest.of_split([split])]
    digests = "\n".join(shards + [part] * bool(part))
    source = hashlib.sha256(digests.encode()).hexdigest()
    return folder / f"{source[:16]}-{split}.u8", Sidecar.of(np.uint8, _shape(shard_set, num), f"the decoded {split} pictures", source)
