"""What a process has of the machine's memory, what was left, and whose fault it is when that was not enough."""

import os
import re
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
_TRIED = re.compile(r"tried to allocate (\d+) bytes")  # what torch says of its CPU allocator


def rss_bytes() -> int:
    """Of this process, resident now; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def available_bytes() -> int:
    """Of the machine, or of the container around this process; 0 where the system does not say."""
    found = []
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    except (OSError, ValueError, KeyError, IndexError):
        return 0
    for limit, used in (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")):  # cgroup 2 and 1
        try:
            numbers = [int((CGROUP / name).read_text()) for name in (limit, used)]
        except (OSError, ValueError):  # another version, or "max"
            continue
        found.append(max(0, numbers[0] - numbers[1]))
    return min(found)


def outgrew(need_bytes: int, room_bytes: int) -> bool:
    """Whether a trial that ran out of memory did so by itself: it took, or asked for, more than half of what was there when it began. One that did
    not was short of what others took."""
    return room_bytes <= 0 or need_bytes > room_bytes / 2


def asked_bytes(error: BaseException) -> int:
    """What the request that failed was for; 0 where the error does not say."""
    shape, dtype = getattr(error, "shape", None), getattr(error, "dtype", None)  # numpy's own MemoryError
    if shape is not None and dtype is not None:
        size = int(dtype.itemsize)
        for length in shape:
            size *= int(length)
        return size
    match = _TRIED.search(str(error))
    return int(match[1]) if match else 0
