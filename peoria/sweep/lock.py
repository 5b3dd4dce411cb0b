"""One process at a time runs a sweep; whoever comes second is told who holds it."""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from peoria.errors import RecordError, SweepError
from peoria.records.folder import SweepFolder
from peoria.records.schema import Holder
from shards.errors import FileError

if TYPE_CHECKING:
    from peoria.sweep.lease import Lease

_WHERE = "name a folder that this user can write to with --home, on a disk with room"
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # what file systems answer that have none


@contextmanager
def sweep_lock(
    folder: SweepFolder, storage: str | None = None, say: Callable[[str], object] = print, *, wait: bool = False
) -> Iterator["Lease | None"]:
    """Holds the sweep: its folder by a lock, which is free when its process is gone, and its database, where one is named, by a lease.

    Args:
        wait: for a lease in the database that nobody renews.

    Returns:
        The lease, which whoever writes to the database has to keep to.

    Raises:
        SweepError: another process holds it, named; or it cannot be held here.
    """
    lock = FileLock(folder.lock)
    try:
        folder.path.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
        Holder(pid=os.getpid(), host=socket.gethostname(), since=time.strftime("%Y-%m-%d %H:%M:%S")).write(folder.holder)
    except Timeout:
        raise SweepError(
            f"sweep {folder.name}: held by {_who(folder)}; one process at a time runs a sweep", hint=f"peoria status {folder.name}"
        ) from None
    except FileError as error:
        lock.release()
        raise SweepError(*error.problems, hint=_WHERE) from None
    except (OSError, NotImplementedError) as error:
        lock.release()
        raise _cannot(folder, error) from None
    try:
        if storage is None:
            yield None
            return
        from peoria.sweep.lease import leased

        with leased(storage, folder.name, folder.path, say, wait=wait) as lease:
            yield lease
    finally:
        lock.release()


def holder(folder: SweepFolder) -> Holder | None:
    """Who runs the sweep now, or None where nobody does.

    Raises:
        SweepError: that cannot be seen here.
        RecordError: somebody does, and ``holder.json`` is damaged.
    """
    if not folder.holder.exists() or not folder.lock.exists():
        return None
    try:
        with folder.lock.open("rb") as file:  # for a moment, and without writing: a record may lie where only its owner may write
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return Holder.read(folder.holder)
    except OSError as error:
        raise _cannot(folder, error) from None
    return None


def _who(folder: SweepFolder) -> str:
    try:
        held = Holder.read_if_there(folder.holder)
    except RecordError as error:
        return f"another process ({error.problems[0]})"
    # none in the instant between taking the lock and writing this
    return "another process" if held is None else f"process {held.pid} on {held.host} since {held.since}"


def _cannot(folder: SweepFolder, error: OSError | NotImplementedError) -> SweepError:
    where = getattr(error, "filename2", None) or getattr(error, "filename", None) or folder.lock  # of a rename its goal
    number = getattr(error, "errno", None)
    if isinstance(error, NotImplementedError) or number in _NO_LOCKS:
        return SweepError(
            f"{folder.lock}: its file system has no locks ({error}); a sweep is held by one process at a time",
            hint="name a --home on a file system with flock: a local disk, or NFS version 4",
        )
    if isinstance(error, (IsADirectoryError, FileExistsError, NotADirectoryError)):
        return SweepError(f"{where}: {_reason(error)}; the lock and the record of a sweep are files in a folder of its own", hint="move it away")
    return SweepError(
        f"{where}: {_reason(error)}; a sweep writes into its folder",
        hint=_WHERE,
    )


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
