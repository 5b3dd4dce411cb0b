"""Processes that were started for a sweep, and all that they started in turn, ended by their ids.

They are known by a mark in their environment, or by a file that they write in a folder of theirs: who changes his title, as Ray's agents do, writes
over his environment. Who only reads there, as a user who looks at a log, is none of them.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

MARK = "PEORIA_RAY_OF"
PATIENCE_S = 3.0


def marked(mark: str, folder: str = "") -> list[int]:
    """Ids of the running processes with this mark, or that write a file in ``folder``; none where there is no ``/proc``."""
    found, wanted = [], f"{MARK}={mark}".encode()
    with contextlib.suppress(OSError):
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) == os.getpid():
                continue
            with contextlib.suppress(OSError):  # it has ended, or is somebody else's
                if wanted in Path("/proc", name, "environ").read_bytes().split(b"\0") or (folder and _writes_in(f"/proc/{name}", folder)):
                    found.append(int(name))
    return found


def _writes_in(process: str, folder: str) -> bool:
    for file in os.listdir(f"{process}/fd"):
        with contextlib.suppress(OSError):  # just closed
            if os.readlink(f"{process}/fd/{file}").startswith(f"{folder}/"):
                flags = int(Path(process, "fdinfo", file).read_text().split("flags:")[1].split()[0], 8)
                if flags & os.O_ACCMODE != os.O_RDONLY:
                    return True
    return False


def end_marked(mark: str, folder: str = "") -> list[int]:
    """Kills them all but this process, and what they start meanwhile. Returns those that are still there after a while: in the kernel's hands."""
    deadline = time.monotonic() + PATIENCE_S
    while left := marked(mark, folder):
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return left
        time.sleep(0.05)
    return []


def end_from_outside(mark: str, folder: Path | None) -> "subprocess.Popen[bytes]":
    """Starts a process that ends all those with this mark, removes ``folder``, and then ends itself. It does not bear the mark."""
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    words = [sys.executable, "-I", __file__, mark, *([] if folder is None else [str(folder)])]
    return subprocess.Popen(words, env=environment, start_new_session=True, stdin=subprocess.DEVNULL)


def by_signal(code: int) -> str:
    """Of a process that ended with this return code, the signal that it ended by, in words; "" where it was none. Ray answers SIGTERM by leaving with
    the signal's number as status, after lines of its compiled half."""
    number = -code if code < 0 else code - 128 if code > 128 else code
    if code >= 0 and number != signal.SIGTERM:
        return ""
    try:
        return f"by {signal.Signals(number).name}"
    except ValueError:  # one of the real-time signals has no name
        return f"by signal {number}"


if __name__ == "__main__":
    end_marked(*sys.argv[1:3])
    for name in sys.argv[2:]:
        shutil.rmtree(name, ignore_errors=True)
