"""The files of a packed set, a cache or a record: written whole or not at all, whatever kills the writer; read and locked only where they are plain
files; and every error of the system told in one line that names the file."""

import errno
import fcntl
import os
import re
import resource
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from shards.errors import DamagedShardError, FileError, NoRoomError

MOST_BYTES = 2**31  # of a file that is read at once
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_WRITABLE = "a folder that can be written to"
_NOT_PLAIN = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENXIO, errno.EINVAL)  # nothing there, or no plain file
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-z_]{8}\.tmp")
_SAFE = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a link is not followed, a pipe not waited for


def write_atomic(path: Path, data: bytes, *, mode: int = 0o666) -> None:
    """Writes ``data`` so that a reader sees the old file or the new one, never a part: room asked for, temporary name, fsync, rename, fsync of the
    folder. The umask takes from ``mode`` what it takes. A link of that name is replaced, not followed.

    Raises:
        NoRoomError: the disk, the quota or the limit of a file is too small; nothing is left.
        FileError: the system refuses it; nothing is left.
    """
    write_blocks(path, (data,), len(data), mode=mode)


def write_blocks(path: Path, blocks: Iterable[bytes | memoryview], num_bytes: int = 0, *, mode: int = 0o666) -> None:
    """As `write_atomic`, of what comes in ``blocks``, together ``num_bytes`` (0: unknown); an error that they raise leaves what was there before."""
    written = 0

    def counted() -> Iterator[bytes | memoryview]:
        nonlocal written
        for block in blocks:
            written += len(block)
            yield block

    with told(path.parent, _WRITABLE):
        path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with told(path, _WRITABLE, num_bytes=num_bytes), replacing(path, mode=mode) as file:
            reserve(file.fileno(), num_bytes)
            file.writelines(counted())
    except NoRoomError as error:
        if num_bytes or not error.errno:
            raise
        raise no_room(OSError(error.errno, ""), path, written, "the file, or more,") from None


@contextmanager
def replacing(path: Path, *, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A file that takes the place of ``path`` once all inside has ended well, and else leaves nothing. Raises OSError."""
    handle, temporary = open_temporary(path, mode=mode)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(handle)
            os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    sync_folder(path.parent)


def open_temporary(path: Path, suffix: str = ".tmp", mode: int = 0o666) -> tuple[int, str]:
    """A new file beside ``path``, open for reading and writing, and its name. It is locked while its writer lives: `remove_stale`."""
    while True:
        name = os.fsencode(path.name)[:200].decode(errors="ignore")  # a name has at most 255 bytes
        temporary = str(path.with_name(f".{name}.{secrets.token_hex(4)}{suffix}"))
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | _SAFE, mode)
        try:
            with suppress(OSError):  # without locks nothing is taken for stale either
                fcntl.flock(handle, fcntl.LOCK_SH)
            if os.fstat(handle).st_nlink:  # else taken for stale between its making and its lock
                return handle, temporary
        except BaseException:
            os.close(handle)
            os.unlink(temporary)
            raise
        os.close(handle)


def remove_stale(folder: Path, *, below: bool = True, of: str = "") -> list[Path]:
    """Removes the temporary files of `write_atomic` in ``folder``, and ``below`` it, whose writers are dead, and says which; those alone of files
    whose names end in ``of``. A living writer holds a lock on its file; where files cannot be locked or removed they stay."""
    gone = []
    for parent, folders, names in os.walk(folder):
        if not below:
            folders.clear()
        for name in names:
            if (match := _TEMPORARY.fullmatch(name)) is None or not match[1].endswith(of):
                continue
            path = Path(parent, name)
            with suppress(OSError):  # somebody's, or gone meanwhile
                handle = os.open(path, os.O_RDWR | _SAFE)
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                    gone.append(path)
                finally:
                    os.close(handle)
    return gone


def is_temporary(name: str) -> bool:
    """Whether a file of that name is one of `write_atomic` that is not finished."""
    return _TEMPORARY.fullmatch(name) is not None


def reserve(handle: int, num_bytes: int) -> None:
    """Takes the room of a new file at once. Raises OSError where it is not there, before a byte is written."""
    if not num_bytes:
        return
    try:
        os.posix_fallocate(handle, 0, num_bytes)
    except AttributeError:  # macOS
        os.truncate(handle, num_bytes)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        os.truncate(handle, num_bytes)  # a file system that cannot say


def sync_folder(folder: Path) -> None:
    """Makes a rename in ``folder`` outlast a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_plain(path: Path, flags: int = os.O_RDONLY, mode: int = 0o666) -> BinaryIO:
    """The file, open. Raises OSError; also for a link, a pipe, a folder or a device, none of which is followed, waited for or read. With flags that
    write, a file that has another name too is refused: it would be changed there as well."""
    try:
        handle = os.open(path, flags | _SAFE, mode)
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink():
            raise OSError(errno.ELOOP, "a link") from None
        raise
    try:
        found, writes = os.fstat(handle), flags & (os.O_WRONLY | os.O_RDWR)
        if stat.S_ISDIR(found.st_mode):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "a pipe or a device")
        if writes and found.st_nlink > 1:
            raise OSError(errno.EMLINK, f"a file of {found.st_nlink} names")
        return os.fdopen(handle, "r+b" if flags & os.O_RDWR else "wb" if writes else "rb", buffering=0 if writes else -1)
    except BaseException:
        os.close(handle)
        raise


def read_plain(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """All bytes of a plain file. Raises OSError as `open_plain`, and where there are more than ``most_bytes``."""
    with open_plain(path) as file:
        data = file.read(most_bytes + 1) if os.fstat(file.fileno()).st_size <= most_bytes else None
    if data is None or len(data) > most_bytes:
        raise OSError(errno.EINVAL, f"more than {most_bytes:,} bytes")
    return data


@contextmanager
def locked(path: Path, *, wait: bool = True, private: bool = False) -> Iterator[BinaryIO]:
    """One holder at a time, of all processes and threads; the lock file is made where there is none, and stays. Gives the file, open for what its
    holder wants to note there. Raises OSError as `open_plain`, of a ``private`` lock also where it is another user's, who could hold it for ever, and
    BlockingIOError where another holds it and nobody is to ``wait``."""
    with open_plain(path, os.O_RDWR | os.O_CREAT, 0o644) as file:
        owner = os.fstat(file.fileno()).st_uid
        if private and owner not in (0, os.geteuid()):
            raise OSError(errno.EPERM, f"a lock of user {owner}")
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield file


@contextmanager
def told(path: Path, accepted: str, *, num_bytes: int = 0, what: str = "the file", hint: str = "") -> Iterator[None]:
    """Turns what the system says inside into FileError or NoRoomError: ``path: <found>; <accepted>``."""
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        if error.errno in NO_ROOM:
            raise no_room(error, path, num_bytes, what, hint) from None
        raise FileError(f"{path}: {_found(error)}; {accepted}", hint=hint, code=error.errno, said=_found(error)) from None


def no_room(error: OSError, path: Path, num_bytes: int, what: str, hint: str = "") -> NoRoomError:
    limit = "the quota of this user is used up" if error.errno == errno.EDQUOT else ""
    free = free_on_disk(path.parent)
    if error.errno == errno.ENOSPC and free > num_bytes and not os.statvfs(_there(path.parent)).f_favail:
        limit = "the disk has no room for another file (its inodes are used up)"
    if error.errno == errno.EFBIG:
        most = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        limit = "a file of this disk cannot be as large" if most == resource.RLIM_INFINITY else f"a file may have {most:,} bytes (ulimit -f)"
    return NoRoomError(path, num_bytes, free, what, limit=limit, hint=hint, code=error.errno or 0)


def not_as_packed(error: OSError, path: Path, accepted: str, hint: str = "fetch it again, or pack again") -> FileError | DamagedShardError:
    """What to raise where a file of a packed set cannot be read: damage where no plain file is there, else what the system says."""
    text = f"{path}: {_found(error)}; {accepted}"
    if error.errno in _NOT_PLAIN:
        return DamagedShardError(text, hint=hint)
    return FileError(text, code=error.errno, said=_found(error))


def free_on_disk(folder: Path) -> int:
    """Bytes that the disk of ``folder``, or of the nearest folder above it that exists, has left for this user."""
    return int(shutil.disk_usage(_there(folder)).free)


def _there(folder: Path) -> Path:
    while not os.path.exists(folder) and folder != folder.parent:
        folder = folder.parent
    return folder


def _found(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
