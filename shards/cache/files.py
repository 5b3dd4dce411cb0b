"""The files of a cache folder: what lies there, who uses it, and what may go to make room for another.

Who maps a file holds a shared flock on it; it may go when it can be locked exclusively. On a file system without such locks that never
succeeds, and nothing goes. Even where one did go too early nobody would read wrong bytes: on Linux and macOS a file that was removed stays
readable as long as it is mapped.
"""

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import DTypeLike

from shards.errors import NoRoomError, ShardsError
from shards.files import write_atomic

KEPT_FREE = 0.1  # of a disk, where no budget was given
LOCK = ".room.lock"  # held while files come and go in the folder, not while one is filled
SIDECAR = ".json"
UNFINISHED = ".copy.tmp"
_PICTURES = re.compile(r"[0-9a-f]{16}-(train|val|test)\.u8")


@dataclass(frozen=True)
class Sidecar:
    """What is said of a cached array beside it; a file whose sidecar says anything else is built again."""

    what: str  # for people
    num: int  # rows
    bytes: int
    dtype: str  # numpy's
    shape: tuple[int, ...]
    source: str  # all that the numbers depend on and the file's name does not tell in full; "": the name tells it

    @classmethod
    def of(cls, dtype: DTypeLike, shape: tuple[int, ...], what: str, source: str) -> "Sidecar":
        return cls(what, shape[0], int(np.prod(shape)) * np.dtype(dtype).itemsize, np.dtype(dtype).str, shape, source)

    @classmethod
    def read(cls, path: Path) -> "Sidecar | None":
        """Of the file ``path``; None where nothing is said of it, or nothing that can be read."""
        try:
            found = json.loads(sidecar_path(path).read_bytes())
            read = cls(**{**found, "shape": tuple(found["shape"])})
        except (OSError, ValueError, TypeError, KeyError, RecursionError):  # a file of any kind may bear that name
            return None
        texts, numbers = (read.what, read.dtype, read.source), (read.num, read.bytes, *read.shape)
        return read if all(type(text) is str for text in texts) and all(type(number) is int for number in numbers) else None

    def write(self, path: Path) -> None:
        write_atomic(sidecar_path(path), json.dumps(asdict(self), sort_keys=True).encode())


@dataclass(frozen=True)
class CachedFile:
    """One file of a cache folder."""

    path: Path
    num_bytes: int
    last_used_s: float  # unix time of the last opening
    in_use: bool
    finished: bool
    sidecar: Sidecar | None


def sidecar_path(path: Path) -> Path:
    return path.with_name(path.name + SIDECAR)


def open_shared(path: Path, about: Sidecar) -> BinaryIO | None:
    """The file, open and locked against removal until the last descriptor of it is closed, a map's own included, and marked as used now;
    ``None`` where it is not there, or not the one that ``about`` describes."""
    try:
        file = path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        return None
    lock_shared(file.fileno())
    found = os.fstat(file.fileno())
    if found.st_nlink == 0 or found.st_size != about.bytes or Sidecar.read(path) != about:  # no link: removed while we waited for the lock
        file.close()
        return None
    with suppress(OSError):  # of another user, or on a disk that cannot be written to
        os.utime(file.fileno())
    return file


def lock_shared(handle: int) -> None:
    """Locks against removal; without locks nothing is removed anyway."""
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_SH)


def cached_files(folder: Path) -> list[CachedFile]:
    """All files of the folder that are ours, unfinished ones too, the longest unused first; files of other kinds are never named."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        sidecar, unfinished = Sidecar.read(path), path.name.startswith(".") and path.name.endswith(UNFINISHED)
        if sidecar or unfinished or _PICTURES.fullmatch(path.name):
            with suppress(FileNotFoundError):  # has just gone
                state = path.stat()
                found.append(CachedFile(path, state.st_size, state.st_mtime, _in_use(path), not unfinished, sidecar))
    return sorted(found, key=lambda cached: cached.last_used_s)


def _in_use(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # somebody holds it, or it cannot be locked
        return True
    return False


def remove(path: Path) -> bool:
    """Removes a file that nobody uses; False where somebody does."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        sidecar_path(path).unlink(missing_ok=True)
        path.unlink()
    return True


@contextmanager
def room_lock(folder: Path) -> Iterator[None]:
    """One process at a time adds files to the folder or removes some."""
    from filelock import FileLock

    with FileLock(folder / LOCK):
        yield


def free_bytes(folder: Path, budget_bytes: int | None, found: list[CachedFile]) -> int:
    """What another file of the folder may take before anything is removed; negative where there is too much already."""
    while not folder.exists():
        folder = folder.parent
    disk = shutil.disk_usage(folder)
    if budget_bytes is None:
        return int(disk.free - KEPT_FREE * disk.total)
    return min(disk.free, budget_bytes - sum(cached.num_bytes for cached in found))


def make_room(path: Path, num_bytes: int, budget_bytes: int | None, *, what: str) -> None:
    """Removes what nobody uses, the longest unused first, until ``num_bytes`` fit; nothing where they cannot fit. To be called under `room_lock`.

    Raises:
        NoRoomError: they cannot.
    """
    found = cached_files(path.parent)
    for cached in found:
        if not cached.finished and not cached.in_use:  # left by a build that was killed
            remove(cached.path)
    found = cached_files(path.parent)
    free = free_bytes(path.parent, budget_bytes, found)
    idle = [cached for cached in found if not cached.in_use]
    if num_bytes <= free + sum(cached.num_bytes for cached in idle):
        for cached in idle:
            if num_bytes > free and remove(cached.path):
                free += cached.num_bytes
    if num_bytes > free:
        raise NoRoomError(path, num_bytes, free, what)


def clear(folder: Path) -> list[CachedFile]:
    """Removes all that nobody uses, and says what that was. Raises ShardsError where a file cannot be removed."""
    found = cached_files(folder)
    if not found:
        return []
    try:
        with room_lock(folder):
            return [cached for cached in cached_files(folder) if not cached.in_use and remove(cached.path)]
    except OSError as error:
        raise ShardsError(f"{folder}: {error.strerror}; a folder whose files can be removed", hint="ask whoever made them") from None


def render(folder: Path, found: list[CachedFile]) -> str:
    """A line a file, then the total and what the disk has left."""
    lines = []
    for cached in found:
        name, _, rest = cached.path.name.lstrip(".").partition("-")
        what = (f"decoded {rest.partition('.')[0]} pictures" if cached.sidecar is None else cached.sidecar.what).removeprefix("the ")
        num = "?" if cached.sidecar is None else f"{cached.sidecar.num:,}"
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(cached.last_used_s))
        state = ("in use" if cached.in_use else "not in use") if cached.finished else ("being built" if cached.in_use else "unfinished")
        lines.append(f"{what:<28} {name:<16} {num:>11} {cached.num_bytes / 1e9:>9.2f} GB  {used}  {state}")
    base = folder
    while not base.exists():
        base = base.parent
    disk = shutil.disk_usage(base)
    total = sum(cached.num_bytes for cached in found)
    lines.append(f"{len(found)} files, {total / 1e9:.2f} GB, in {folder}; {disk.free / 1e9:.1f} of {disk.total / 1e9:.1f} GB are free on its disk")
    return "\n".join(lines)
