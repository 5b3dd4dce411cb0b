"""What an attacker puts in the place of a file, so that whoever opens it reads, writes or waits for another one."""

import os
from pathlib import Path

PRECIOUS = b"precious\n"  # what the victim holds
REFUSED = {"link": "a link", "second name": "a file of 2 names", "pipe": "a pipe or a device"}  # how each is told


def put(kind: str, path: Path, victim: Path) -> None:
    """Puts a ``link`` or a ``second name`` of the victim at the path, a ``dangling`` link to a file beside it, or a ``pipe``; what was there is
    removed."""
    path.unlink(missing_ok=True)
    match kind:
        case "link":
            path.symlink_to(victim)
        case "dangling":
            path.symlink_to(victim.parent / "made")
        case "second name":
            os.link(victim, path)
        case "pipe":
            os.mkfifo(path)
        case _:
            raise ValueError(kind)
