"""An array in a file, built once on a node and mapped by every process that asks for it."""

import errno
import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import DTypeLike

from shards.cache.files import UNFINISHED, Sidecar, lock_shared, make_room, open_shared, room_lock
from shards.errors import NoRoomError, ShardsError
from shards.files import sync_folder

_log = logging.getLogger(__name__)


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
    about = Sidecar.of(dtype, shape, what, source)
    try:
        file = open_shared(path, about)
        if file is None:
            from filelock import FileLock

            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock"):
                file = open_shared(path, about) or _build(path, dtype, shape, fill, about, budget_bytes)  # another process may just have built it
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise NoRoomError(path, about.bytes, shutil.disk_usage(path.parent).free, what) from None
        raise ShardsError(f"{path}: {error.strerror}; a folder that can be written to", hint="name another folder for the cache") from None
    with file:  # the map keeps a descriptor of its own, and with it the lock
        return np.memmap(file, dtype=dtype, mode="r", shape=shape)


def _build(
    path: Path, dtype: DTypeLike, shape: tuple[int, ...], fill: Callable[[np.ndarray], None], about: Sidecar, budget_bytes: int | None
) -> BinaryIO:
    """The new file, open and locked against removal."""
    num_bytes = about.bytes
    with room_lock(path.parent):
        make_room(path, num_bytes, budget_bytes, what=about.what)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=UNFINISHED)
        file = os.fdopen(handle, "r+b")
        lock_shared(handle)
        try:
            _reserve(handle, num_bytes)  # before another process counts what is free
        except BaseException:
            _give_up(file, temporary)
            raise
    try:
        _log.info("building %s: %s, %d of them, %.1f MB", path, about.what, about.num, num_bytes / 1e6)
        out = np.memmap(temporary, dtype=dtype, mode="r+", shape=shape)
        fill(out)
        out.flush()
        del out
        os.utime(handle)
        os.fsync(handle)
        os.chmod(temporary, 0o644)
        with room_lock(path.parent):
            about.write(path)
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
