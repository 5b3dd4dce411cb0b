"""The decoded pictures of a split in one file, mapped by every process of a node: built once, then read at the speed of memory."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shards.cache.files import Sidecar, cached_files, free_bytes
from shards.cache.mapped import built_once
from shards.read.openings import TestOpening
from shards.read.shard_set import ShardSet


def decoded(shard_set: ShardSet, split: str, folder: Path, opening: TestOpening | None = None, *, budget_bytes: int | None = None) -> np.ndarray:
    """The pictures of a split, uint8 RGB [N, side, side, 3], read-only, row i beside row i of ``shard_set.labels(split)``.

    Maps ``folder/DIGEST-SPLIT.u8``; the first process builds it from verified shards while the others wait.

    Args:
        budget_bytes: what the files of the folder may take together; None: what leaves a tenth of the disk free. Files that no process uses
            are removed to keep to it, the longest unused first.

    Raises:
        TestSplitClosedError, DamagedShardError: as `ShardSet.decode`.
        NoRoomError: it does not fit; `shards.read.on_demand.ShardReader` needs no room.
        ShardsError: the folder cannot be written to.
    """
    shard_set.check_open(split, opening)

    def decode(out: np.ndarray) -> None:
        shard_set.decode(split, out, opening)

    path, about = _copy_of(shard_set, split, folder)
    return built_once(path, np.uint8, _shape(shard_set, split), decode, what=about.what, source=about.source, budget_bytes=budget_bytes)


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
    wanted = [(split, *_copy_of(shard_set, split, folder)) for split in splits]
    paths = {path for _, path, _ in wanted}
    found = cached_files(folder)
    free = free_bytes(folder, budget_bytes, found) + sum(cached.num_bytes for cached in found if not cached.in_use and cached.path not in paths)
    result = []
    for split, path, about in wanted:
        there = about.bytes == 0 or (path.is_file() and path.stat().st_size == about.bytes and Sidecar.read(path) == about)
        result.append(CacheForecast(split, about.bytes, there, max(free, 0)))
        if result[-1].fits and not there:
            free -= about.bytes
    return result


def _shape(shard_set: ShardSet, split: str) -> tuple[int, ...]:
    return (shard_set.num_pictures(split), shard_set.side_px, shard_set.side_px, 3)


def _copy_of(shard_set: ShardSet, split: str, folder: Path) -> tuple[Path, Sidecar]:
    """Where a split's decoded pictures lie and what its sidecar says. Named by the digests of the split's own shards: the same pictures split in
    another way are another file."""
    digests = "\n".join(shard.sha256 for shard in shard_set.manifest.of_split([split]))
    source = hashlib.sha256(digests.encode()).hexdigest()
    return folder / f"{source[:16]}-{split}.u8", Sidecar.of(np.uint8, _shape(shard_set, split), f"the decoded {split} pictures", source)
