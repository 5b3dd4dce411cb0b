"""The decoded pictures of a split in one file, mapped by every process of a node: built once, then read at the speed of memory."""

import errno
import hashlib
import logging
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from shards.errors import ShardsError
from shards.manifest import sync_folder
from shards.openings import TestOpening
from shards.read import ShardSet

_log = logging.getLogger(__name__)


def decoded(shard_set: ShardSet, split: str, folder: Path, opening: TestOpening | None = None) -> np.ndarray:
    """The pictures of a split, uint8 RGB [N, side, side, 3], read-only, row i beside row i of ``shard_set.labels(split)``.

    Maps ``folder/DIGEST-SPLIT.u8``; the first process builds it from verified shards while the others wait. Raises TestSplitClosedError,
    DamagedShardError, and ShardsError where the disk is too small.
    """
    shard_set.check_open(split, opening)
    shape = (shard_set.num_pictures(split), shard_set.side_px, shard_set.side_px, 3)
    path = cache_path(shard_set, split, folder)
    if shape[0] == 0:
        return np.empty(shape, np.uint8)  # an empty file cannot be mapped
    if not _whole(path, shape):
        from filelock import FileLock

        try:
            folder.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock"):
                if not _whole(path, shape):  # else another process has just built it
                    _build(shard_set, split, path, shape, opening)
        except OSError as error:
            raise ShardsError(f"{path}: {error.strerror}; a folder that can be written to", hint="name another folder for the cache") from None
    return np.memmap(path, dtype=np.uint8, mode="r", shape=shape)


def cache_path(shard_set: ShardSet, split: str, folder: Path) -> Path:
    """Named by the digests of the split's own shards: the same pictures split in another way are another file."""
    digests = "\n".join(shard.sha256 for shard in shard_set.manifest.of_split([split]))
    return folder / f"{hashlib.sha256(digests.encode()).hexdigest()[:16]}-{split}.u8"


def _whole(path: Path, shape: tuple[int, ...]) -> bool:
    try:
        return path.stat().st_size == int(np.prod(shape))
    except (FileNotFoundError, NotADirectoryError):
        return False


def _build(shard_set: ShardSet, split: str, path: Path, shape: tuple[int, ...], opening: TestOpening | None) -> None:
    """Under the lock: so a temporary file that lies here was left by a build that was killed."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        left.unlink()
    num_bytes, free = int(np.prod(shape)), shutil.disk_usage(path.parent).free
    too_small = ShardsError(
        f"{path}: {num_bytes:,} bytes are needed for the decoded {split} pictures; {free:,} bytes are free",
        hint="name a folder on a larger disk with --cache",
    )
    if num_bytes > free:
        raise too_small
    _log.info("building %s: %d decoded pictures, %.1f MB", path, shape[0], num_bytes / 1e6)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        _reserve(handle, num_bytes)
        pictures = np.memmap(temporary, dtype=np.uint8, mode="r+", shape=shape)
        shard_set.decode(split, pictures, opening)
        pictures.flush()
        del pictures
        os.fsync(handle)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        os.unlink(temporary)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise too_small from None
        raise
    finally:
        os.close(handle)
    sync_folder(path.parent)


def _reserve(handle: int, num_bytes: int) -> None:
    """Takes the room at once: a disk that fills up later kills whoever writes to the mapped file, without an error to catch."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(handle, 0, num_bytes)
    else:
        os.truncate(handle, num_bytes)
