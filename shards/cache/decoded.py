"""The decoded pictures of a split in one file, mapped by every process of a node: built once, then read at the speed of memory."""

import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike

from shards.cache.files import UNFINISHED, copies, free_bytes, hold, make_room, read_sidecar, room_lock, share, sidecar_path
from shards.errors import NoRoomError, ShardsError
from shards.manifest import sync_folder, write_atomic
from shards.read.openings import TestOpening
from shards.read.shard_set import ShardSet

_log = logging.getLogger(__name__)


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
    return built_once(path, np.uint8, _shape(shard_set, split), decode, what=about["what"], source=about["source"], budget_bytes=budget_bytes)


def built_once(
    path: Path,
    dtype: DTypeLike,
    shape: tuple[int, ...],
    fill: Callable[[np.ndarray], None],
    *,
    what: str,
    source: str = "",
    budget_bytes: int | None = None,
) -> np.ndarray:
    """The array in the file ``path``, mapped read-only. Where there is none that its sidecar describes so, the first process lets ``fill`` write
    it, whole or not at all, while the others wait; ``path`` has to name all that the numbers depend on, and ``source`` may do so in full.

    While the array or a view of it lives, the file is locked against removal. Raises NoRoomError, and ShardsError where the folder cannot be
    written to.
    """
    if 0 in shape:
        return np.empty(shape, dtype)  # an empty file cannot be mapped
    about = describe(dtype, shape, what, source)
    try:
        file = hold(path, about)
        if file is None:
            from filelock import FileLock

            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock"):
                file = hold(path, about) or _build(path, dtype, shape, fill, about, budget_bytes)  # another process may just have built it
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise NoRoomError(path, about["bytes"], shutil.disk_usage(path.parent).free, what) from None
        raise ShardsError(f"{path}: {error.strerror}; a folder that can be written to", hint="name another folder for the cache") from None
    with file:  # the map keeps a descriptor of its own, and with it the lock
        return np.memmap(file, dtype=dtype, mode="r", shape=shape)


def describe(dtype: DTypeLike, shape: tuple[int, ...], what: str, source: str) -> dict[str, Any]:
    """What the sidecar of a file says; a file whose sidecar says anything else is built again."""
    num_bytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return {"what": what, "num": shape[0], "bytes": num_bytes, "dtype": np.dtype(dtype).str, "shape": list(shape), "source": source}


def cache_path(shard_set: ShardSet, split: str, folder: Path) -> Path:
    """Named by the digests of the split's own shards: the same pictures split in another way are another file."""
    return _copy_of(shard_set, split, folder)[0]


@dataclass(frozen=True)
class Outlook:
    """Whether a split's decoded copy is there or could be."""

    split: str
    num_bytes: int
    there: bool
    free_bytes: int  # that it could have, with everything removed that nobody uses

    @property
    def fits(self) -> bool:
        return self.there or self.num_bytes <= self.free_bytes


def outlook(shard_set: ShardSet, splits: Iterable[str], folder: Path, budget_bytes: int | None = None) -> list[Outlook]:
    """What `decoded` would find for one split after another; changes nothing."""
    wanted = [(split, *_copy_of(shard_set, split, folder)) for split in splits]
    paths = {path for _, path, _ in wanted}
    found = copies(folder)
    free = free_bytes(folder, budget_bytes, found) + sum(copy.num_bytes for copy in found if not copy.in_use and copy.path not in paths)
    result = []
    for split, path, about in wanted:
        there = about["bytes"] == 0 or (path.is_file() and path.stat().st_size == about["bytes"] and read_sidecar(path) == about)
        result.append(Outlook(split, about["bytes"], there, max(free, 0)))
        if result[-1].fits and not there:
            free -= about["bytes"]
    return result


def _shape(shard_set: ShardSet, split: str) -> tuple[int, ...]:
    return (shard_set.num_pictures(split), shard_set.side_px, shard_set.side_px, 3)


def _copy_of(shard_set: ShardSet, split: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    digests = "\n".join(shard.sha256 for shard in shard_set.manifest.of_split([split]))
    source = hashlib.sha256(digests.encode()).hexdigest()
    return folder / f"{source[:16]}-{split}.u8", describe(np.uint8, _shape(shard_set, split), f"the decoded {split} pictures", source)


def _build(
    path: Path, dtype: DTypeLike, shape: tuple[int, ...], fill: Callable[[np.ndarray], None], about: dict[str, Any], budget_bytes: int | None
) -> BinaryIO:
    """The new file, open and locked against removal."""
    num_bytes = about["bytes"]
    with room_lock(path.parent):
        make_room(path, num_bytes, budget_bytes, what=about["what"])
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=UNFINISHED)
        file = os.fdopen(handle, "r+b")
        share(handle)
        try:
            _reserve(handle, num_bytes)  # before another process counts what is free
        except BaseException:
            _give_up(file, temporary)
            raise
    try:
        _log.info("building %s: %s, %d of them, %.1f MB", path, about["what"], about["num"], num_bytes / 1e6)
        out = np.memmap(temporary, dtype=dtype, mode="r+", shape=shape)
        fill(out)
        out.flush()
        del out
        os.utime(handle)
        os.fsync(handle)
        os.chmod(temporary, 0o644)
        with room_lock(path.parent):
            write_atomic(sidecar_path(path), json.dumps(about, sort_keys=True).encode())
            os.replace(temporary, path)
    except BaseException:
        _give_up(file, temporary)
        raise
    sync_folder(path.parent)
    return file


def _give_up(file: BinaryIO, temporary: str) -> None:
    os.unlink(temporary)
    file.close()


def _reserve(handle: int, num_bytes: int) -> None:
    """Takes the room at once: a disk that fills up later kills whoever writes to the mapped file, without an error to catch."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, num_bytes)
    else:
        os.truncate(handle, num_bytes)
