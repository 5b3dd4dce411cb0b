"""That a cached file holds the bytes that were built, and that nobody else put them there.

A copy is hashed when it is first mapped: by each process that finds it unused, once; while somebody has it mapped the others of that node trust his
note, which holds for this very file, unchanged, until the next boot. So a damaged disk, an edit or another user's file is found before a picture of
it is used; what happens to memory that is mapped already is not.
"""

import fcntl
import hashlib
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from shards.cpus import usable_cpus

BLOCK_BYTES = 2**23
MAX_THREADS = 8  # more outrun every disk
TICK_S = 0.02  # two changes further apart than this have different times, whatever the kernel's clock
_State = list[str | int]
_checked: dict[Path, _State] = {}  # by this process


def digest(file: BinaryIO, num_bytes: int) -> str:
    """sha256, hex, over the sha256 of each 8 MiB of the first ``num_bytes``.

    By blocks, so that several cores hash side by side (hashlib lets the others run): 1.9 GB/s a core with the CPU's own instructions, which blake2b,
    1.3 GB/s, does not have. Read, not mapped: an error of the disk is an OSError, and no signal that ends the process. Raises OSError.
    """

    def block(start: int) -> bytes:
        data = os.pread(file.fileno(), min(BLOCK_BYTES, num_bytes - start), start)
        while len(data) < min(BLOCK_BYTES, num_bytes - start):  # a read may give less
            more = os.pread(file.fileno(), min(BLOCK_BYTES, num_bytes - start) - len(data), start + len(data))
            if not more:
                raise OSError(5, f"{start + len(data):,} bytes; {num_bytes:,}")
            data += more
        return hashlib.sha256(data).digest()

    total = hashlib.sha256()
    with ThreadPoolExecutor(min(usable_cpus(), MAX_THREADS)) as pool:
        for found in pool.map(block, range(0, num_bytes, BLOCK_BYTES)):
            total.update(found)
    return total.hexdigest()


def foreign(found: os.stat_result) -> str:
    """Who else may have written a file, "" for nobody but this user and root."""
    if found.st_uid not in (0, os.geteuid()):
        return f"a file of user {found.st_uid}"
    return f"a file that others can write to (mode {found.st_mode & 0o777:03o})" if found.st_mode & 0o022 else ""


def damage(path: Path, file: BinaryIO, sha256: str, note: BinaryIO | None, *, alone: bool) -> str:
    """What is wrong with the bytes of ``file``, which is ``path``'s, "" for nothing. ``alone``: nobody else has it mapped. What was checked is kept
    in ``note``, which is open and locked. Raises OSError."""
    state = _state(file, sha256)
    if _checked.get(path) == state or (not alone and note is not None and _read(note) == state):
        _checked[path] = state
        return ""
    _settle(state)
    found = digest(file, os.fstat(file.fileno()).st_size)
    if found != sha256:
        return f"sha256 {found[:16]}…; {sha256[:16]}… was built"
    if _state(file, sha256) != state:
        return "changed while it was read; the one that was built"
    remember(path, file, sha256, note)
    return ""


def remember(path: Path, file: BinaryIO, sha256: str, note: BinaryIO | None) -> None:
    """Notes that ``file`` as it is now is known to be good."""
    state = _state(file, sha256)
    _settle(state)
    if int(state[-1]) % 10**9 == 0:  # a clock of whole seconds cannot tell what happens next
        return
    _checked[path] = state
    if note is not None:
        with suppress(OSError):  # a full disk: the next one hashes again
            note.seek(0)
            note.truncate()
            note.write(json.dumps(state).encode())


def lock_shared(handle: int) -> bool:
    """Locks against removal, and says whether nobody else had it locked; without locks nothing is removed anyway."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone = True
    except OSError:
        alone = False
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_SH)
    return alone


def _state(file: BinaryIO, sha256: str) -> _State:
    """What any change of the file would change: nobody can set the last, the time of the last change of anything."""
    found = os.fstat(file.fileno())
    return [_boot(), sha256, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _settle(state: _State) -> None:
    """Waits until another change would have another time."""
    if 0 <= time.time() - int(state[-1]) / 1e9 < TICK_S:
        time.sleep(TICK_S)


def _read(note: BinaryIO) -> object:
    if foreign(os.fstat(note.fileno())):
        return None
    note.seek(0)
    try:
        return json.loads(note.read(4096))
    except (ValueError, RecursionError):  # empty, or torn by a kill
        return None


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:  # no Linux
        return ""
