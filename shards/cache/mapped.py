"""An array in a file, built once on a node and mapped by every process that asks for it."""

import errno
import logging
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import DTypeLike

from shards.cache.files import ANOTHER, UNFINISHED, Sidecar, make_room, open_shared, room_lock, sidecar_path
from shards.cache.proof import damage, digest, lock_shared, remember
from shards.errors import FileError
from shards.files import locked, open_temporary, reserve, sync_folder, told

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

    Before a file is mapped its bytes are compared with the digest in its sidecar (`shards.cache.proof`). One that differs, or that another user may
    have written, is removed, said so aloud, and built again. While the array or a view of it lives, the file is locked against removal.

    Raises:
        NoRoomError: the disk, or the budget, is too small.
        FileError: the folder cannot be written to, or what lies there cannot be removed.
    """
    if 0 in shape:
        return np.empty(shape, dtype)  # an empty file cannot be mapped
    about = Sidecar.of(dtype, shape, what, source)
    with told(path, "a folder that can be written to", num_bytes=about.bytes, what=what, hint=ANOTHER), ExitStack() as stack:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            note = stack.enter_context(locked(path.with_name(f"{path.name}.lock"), private=True))
        except OSError as error:
            file = _good(path, about, None) if error.errno in (errno.EACCES, errno.EROFS) else None  # made by root for all
            if file is None:
                raise
        else:
            file = _good(path, about, note) or _build(path, dtype, shape, fill, about, budget_bytes, note)
    with file:  # the map keeps a descriptor of its own, and with it the lock
        return np.memmap(file, dtype=dtype, mode="r", shape=shape)


def _good(path: Path, about: Sidecar, note: BinaryIO | None) -> BinaryIO | None:
    """The file, open and locked against removal, its bytes compared; None where there is none to be used, and then nothing has that name any more."""
    opened = open_shared(path, about)
    why_not = opened.why_not
    if opened.file is not None:
        try:
            why_not = damage(path, opened.file, opened.sha256, note, alone=opened.alone)
        except OSError as error:
            why_not = f"{error.strerror}; {opened.sha256[:16]}… was built"
        except BaseException:
            opened.file.close()
            raise
        if not why_not:
            return opened.file
        opened.file.close()
    if why_not:
        try:
            sidecar_path(path).unlink(missing_ok=True)
            path.unlink(missing_ok=True)  # who has it mapped keeps it
        except OSError as error:
            text = f"{path}: {why_not}, which cannot be removed ({error.strerror}); this user's own, or none"
            raise FileError(text, hint=ANOTHER, code=error.errno) from None
        _log.warning("%s: %s: removed, and built again", path, why_not)
    return None


def _build(
    path: Path,
    dtype: DTypeLike,
    shape: tuple[int, ...],
    fill: Callable[[np.ndarray], None],
    about: Sidecar,
    budget_bytes: int | None,
    note: BinaryIO,
) -> BinaryIO:
    """The new file, open and locked against removal."""
    num_bytes = about.bytes
    with room_lock(path.parent):
        make_room(path, num_bytes, budget_bytes, what=about.what)
        handle, temporary = open_temporary(path, UNFINISHED, 0o644)  # that others cannot write to, whatever the umask
        file = os.fdopen(handle, "r+b", buffering=0)
        lock_shared(handle)
        try:
            reserve(handle, num_bytes)  # before another process counts what is free; a disk that fills up later would kill who writes to the map
        except BaseException:
            _give_up(file, temporary)
            raise
    try:
        _log.info("building %s: %s, %d of them, %.1f MB", path, about.what, about.num, num_bytes / 1e6)
        out = np.memmap(temporary, dtype=dtype, mode="r+", shape=shape)
        fill(out)
        out.flush()
        del out
        sha256 = digest(file, num_bytes)  # of pages that are still in memory
        os.fsync(handle)
        with room_lock(path.parent):
            replace(about, sha256=sha256).write(path)
            os.replace(temporary, path)
    except BaseException:
        _give_up(file, temporary)
        raise
    sync_folder(path.parent)
    remember(path, file, sha256, note)
    return file


def _give_up(file: BinaryIO, temporary: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    file.close()
