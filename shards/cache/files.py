"""The files of a cache folder: what lies there, who uses it, and what may go to make room for another.

Who maps a file holds a shared flock on it; it may go when it can be locked exclusively. On a file system without such locks that never
succeeds, and nothing goes. Even where one did go too early nobody would read wrong bytes: on Linux and macOS a file that was removed stays
readable as long as it is mapped. When a file was last used is the time of its sidecar: the file itself is not touched once it is built.
"""

import fcntl
import json
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import DTypeLike

from shards.cache.proof import foreign, lock_shared
from shards.errors import NoRoomError
from shards.files import locked, open_plain, read_plain, remove_stale, told, write_atomic
from shards.manifest import SPLITS
from shards.words import counted

# Where no budget was given: what of a disk stays free for others is a tenth of it, and on a large one, where a tenth is far more than others
# could want before anybody looks, this.
KEPT_FREE, KEPT_FREE_BYTES = 0.1, 5_000_000_000
LOCK = ".room.lock"  # held while files come and go in the folder, not while one is filled
SIDECAR = ".json"
UNFINISHED = ".copy.tmp"
FETCHED = "shards"  # the folder, in that of the cache, of shards that came from a store
USE = ".{}.use"  # beside the folder of a split's fetched shards: who uses them holds a shared lock on it
ANOTHER = "name another folder with --cache"
LARGER = "name a folder on a larger disk with --cache, or allow more with --cache-gb"
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
    sha256: str = ""  # `shards.cache.proof.digest` of the file; "": built before there was one, or by a version that says more than this one knows

    @classmethod
    def of(cls, dtype: DTypeLike, shape: tuple[int, ...], what: str, source: str) -> "Sidecar":
        return cls(what, shape[0], int(np.prod(shape)) * np.dtype(dtype).itemsize, np.dtype(dtype).str, shape, source)

    @classmethod
    def read(cls, path: Path) -> "Sidecar | None":
        """Of the file ``path``; None where nothing is said of it, or nothing that can be read."""
        try:
            found = json.loads(read_plain(sidecar_path(path), 2**16))
            known = {field.name: found[field.name] for field in fields(cls) if field.name in found}
            read = cls(**{**known, "shape": tuple(found["shape"])})
        except (OSError, ValueError, TypeError, KeyError, RecursionError):  # a file of any kind may bear that name
            return None
        texts, numbers = (read.what, read.dtype, read.source, read.sha256), (read.num, read.bytes, *read.shape)
        if not (all(type(text) is str for text in texts) and all(type(number) is int for number in numbers)):
            return None
        return read if len(known) == len(found) else replace(read, sha256="")

    def write(self, path: Path) -> None:
        write_atomic(sidecar_path(path), json.dumps(asdict(self), sort_keys=True).encode(), mode=0o644)


@dataclass(frozen=True)
class CachedFile:
    """One file of a cache folder."""

    path: Path
    num_bytes: int
    last_used_s: float  # unix time of the last opening
    in_use: bool
    finished: bool
    sidecar: Sidecar | None
    fetched: bool = False  # the folder of a split's shards, which lie in a store too


def sidecar_path(path: Path) -> Path:
    return path.with_name(path.name + SIDECAR)


@dataclass(frozen=True)
class Opened:
    """A file of the cache, locked against removal until its last descriptor is closed, a map's own included; or why there is none to be used."""

    file: BinaryIO | None
    sha256: str = ""  # that its bytes should have
    alone: bool = False  # nobody else has it mapped
    why_not: str = ""  # "" where nothing is there


def open_shared(path: Path, about: Sidecar) -> Opened:
    """The file that ``about`` describes, whose bytes are still to be compared with the digest; marked as used now. Raises OSError."""
    try:
        file = open_plain(path)
    except FileNotFoundError:
        return Opened(None)
    except OSError as error:
        return Opened(None, why_not=str(error.strerror))
    alone = lock_shared(file.fileno())
    found = os.fstat(file.fileno())
    said, why_not = Sidecar.read(path), foreign(found)
    if found.st_nlink == 0:  # removed while we waited for the lock
        file.close()
        return Opened(None)
    if said is None or found.st_size != about.bytes or replace(said, sha256="") != about:
        why_not = why_not or "not what its sidecar says, or nothing is said of it"
    elif not said.sha256:
        why_not = why_not or "nothing proves its bytes: it is of another version"
    else:
        why_not = why_not or foreign(os.lstat(sidecar_path(path)))
    if said is None or why_not:
        file.close()
        return Opened(None, why_not=why_not)
    with suppress(OSError):  # of root, or on a disk that cannot be written to
        os.utime(sidecar_path(path))
    return Opened(file, said.sha256, alone)


def there(path: Path, about: Sidecar) -> bool:
    """Whether `open_shared` would give it; changes nothing."""
    try:
        found, of_sidecar = os.lstat(path), os.lstat(sidecar_path(path))
    except OSError:
        return False
    said = Sidecar.read(path)
    plain = stat.S_ISREG(found.st_mode) and found.st_size == about.bytes and not foreign(found) and not foreign(of_sidecar)
    return plain and said is not None and bool(said.sha256) and replace(said, sha256="") == about


def cached_files(folder: Path) -> list[CachedFile]:
    """All files of the folder that are ours, unfinished ones too: first the shards that came from a store, which is asked again where they are gone,
    then the rest, each kind the longest unused first. Files of other kinds are never named. Raises FileError where it cannot be read."""
    found = []
    with told(folder, "a folder that can be read", hint=ANOTHER):
        paths = list(folder.iterdir()) if os.path.isdir(folder) else []
    for path in paths:
        with suppress(FileNotFoundError):  # has just gone
            state = path.lstat()
            if not stat.S_ISREG(state.st_mode):
                continue
            sidecar, unfinished = Sidecar.read(path), path.name.startswith(".") and path.name.endswith(UNFINISHED)
            if sidecar or unfinished or _PICTURES.fullmatch(path.name):
                used_s = sidecar_path(path).lstat().st_mtime if sidecar else state.st_mtime
                found.append(CachedFile(path, state.st_size, used_s, _in_use(path), not unfinished, sidecar))
    with told(folder / FETCHED, "a folder that can be read", hint=ANOTHER):
        found += _fetched(folder / FETCHED)
    return sorted(found, key=lambda cached: (not cached.fetched, cached.last_used_s))


def _fetched(folder: Path) -> list[CachedFile]:
    found = []
    for root in folder.iterdir() if folder.is_dir() and not folder.is_symlink() else ():
        for split in SPLITS:
            use, names = root / USE.format(split), list[os.DirEntry[str]]()
            with suppress(FileNotFoundError, NotADirectoryError):
                if not (root / split).is_symlink():
                    names = [entry for entry in os.scandir(root / split) if entry.is_file(follow_symlinks=False)]
            num_bytes = 0
            for entry in names:
                with suppress(FileNotFoundError):  # has just got its name, or gone
                    num_bytes += entry.stat(follow_symlinks=False).st_size
            if names and use.exists():
                about = Sidecar(f"the fetched {split} shards", len(names), num_bytes, "", (), "")
                found.append(CachedFile(root / split, num_bytes, use.lstat().st_mtime, _in_use(use), True, about, fetched=True))
    return found


def _in_use(path: Path) -> bool:
    try:
        with open_plain(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # somebody holds it, or it cannot be locked
        return True
    return False


def remove(path: Path) -> bool:
    """Removes a file that nobody uses, or the folder of a split's fetched shards; False where somebody does, or removed it first. Raises OSError."""
    fetched = path.parent.parent.name == FETCHED and path.name in SPLITS
    try:
        file = open_plain(path.with_name(USE.format(path.name)) if fetched else path)
    except FileNotFoundError:
        return False
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        if fetched:
            shutil.rmtree(path)
            return True
        sidecar_path(path).unlink(missing_ok=True)
        path.unlink()
    return True


@contextmanager
def room_lock(folder: Path) -> Iterator[None]:
    """One process at a time adds files to the folder or removes some."""
    with locked(folder / LOCK, private=True):
        yield


def free_bytes(folder: Path, budget_bytes: int | None, found: list[CachedFile]) -> int:
    """What another file of the folder may take before anything is removed; negative where there is too much already."""
    while not os.path.exists(folder):
        folder = folder.parent
    disk = shutil.disk_usage(folder)
    if budget_bytes is None:
        return int(disk.free - min(KEPT_FREE * disk.total, KEPT_FREE_BYTES))
    return min(disk.free, budget_bytes - sum(cached.num_bytes for cached in found))


def make_room(path: Path, num_bytes: int, budget_bytes: int | None, *, what: str, cache: Path | None = None) -> None:
    """Removes what nobody uses, the longest unused first, until ``num_bytes`` fit; nothing where they cannot fit. To be called under `room_lock`.
    ``cache`` is the folder that ``path`` lies in, at any depth; None: its own.

    Raises:
        NoRoomError: they cannot.
    """
    folder = cache or path.parent
    remove_stale(folder, below=False, of=SIDECAR)
    found = cached_files(folder)
    for cached in found:
        if not cached.finished and not cached.in_use:  # left by a build that was killed
            remove(cached.path)
    found = cached_files(folder)
    free = free_bytes(folder, budget_bytes, found)
    idle = [cached for cached in found if not cached.in_use]
    if num_bytes <= free + sum(cached.num_bytes for cached in idle):
        for cached in idle:
            if num_bytes > free and remove(cached.path):
                free += cached.num_bytes
    if num_bytes > free:
        raise NoRoomError(path, num_bytes, free, what, hint=LARGER)


def clear(folder: Path) -> list[CachedFile]:
    """Removes all that nobody uses, and says what that was. Raises ShardsError where a file cannot be removed."""
    with told(folder, "a folder whose files can be removed", hint="ask whoever made them"):
        if not cached_files(folder):
            return []
        with room_lock(folder):
            remove_stale(folder, below=False, of=SIDECAR)
            return [cached for cached in cached_files(folder) if not cached.in_use and remove(cached.path)]


def render(folder: Path, found: list[CachedFile]) -> str:
    """A line a file, then the total and what the disk has left."""
    lines = []
    for cached in found:
        name, _, rest = (cached.path.parent if cached.fetched else cached.path).name.lstrip(".").partition("-")
        what = (f"decoded {rest.partition('.')[0]} pictures" if cached.sidecar is None else cached.sidecar.what).removeprefix("the ")
        num = "?" if cached.sidecar is None else f"{cached.sidecar.num:,}"
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(cached.last_used_s))
        state = ("in use" if cached.in_use else "not in use") if cached.finished else ("being built" if cached.in_use else "unfinished")
        lines.append(f"{what:<28} {name:<16} {num:>11} {cached.num_bytes / 1e9:>9.2f} GB  {used}  {state}")
    base = folder
    while not os.path.exists(base):
        base = base.parent
    disk = shutil.disk_usage(base)
    total = sum(cached.num_bytes for cached in found)
    lines.append(
        f"{counted(len(found), 'file')}, {total / 1e9:.2f} GB, in {folder}; {disk.free / 1e9:.1f} of {disk.total / 1e9:.1f} GB are free on its disk"
    )
    return "\n".join(lines)
