"""Rows of a picture server, and a process of its own that fetches them: ``python -m tests.helpers.fetching FOLDER PORT NUM [MAX_OPEN_FILES]``."""

import random
import resource
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from shards.errors import FileError, PictureError
from shards.fetch import Account, FetchRules, fetched_chunks, read_fetched
from tests.helpers.picture_server import KINDS, SLOW

CHUNK_ROWS = 50
Row = tuple[int, str]


def kinds_of(num: int) -> list[str]:
    """Of each of ``num`` rows: 7 in 10 plain ones, all others alike; of 400 and more also some slow ones."""
    others = [kind for kind in KINDS if kind != "ok"]
    slow = [kind for kind in SLOW for _ in range(num // 400)]
    odd = [others[i % len(others)] for i in range(max(len(others), 3 * num // 10 - len(slow)))]
    kinds = [*slow, *odd, *["ok"] * (num - len(slow) - len(odd))][:num]
    random.Random(0).shuffle(kinds)
    return kinds


def rows_of(port: int, num: int) -> list[Row]:
    return [(row, f"http://127.0.0.1:{port}/{kind}/{row}") for row, kind in enumerate(kinds_of(num))]


def rules_of(*hosts: str, **changes: object) -> FetchRules:
    """Impatient ones."""
    short = {"attempts": 2, "stall_seconds": 1.5, "request_seconds": 20.0, "backoff_seconds": 0.02, "max_bytes": 2**21, "connections_per_host": 32}
    return FetchRules(hosts=hosts, **(short | changes))  # type: ignore[arg-type]


def chunks_of(folder: Path, rows: Sequence[Row]) -> Iterator[tuple[Path, Sequence[Row]]]:
    for start in range(0, len(rows), CHUNK_ROWS):
        yield folder / f"{start // CHUNK_ROWS:05d}.fetched", rows[start : start + CHUNK_ROWS]


def fetched(folder: Path, rows: Sequence[Row], rules: FetchRules, account: Account | None = None) -> dict[int, bytes | PictureError]:
    """All rows, by way of their logs."""
    found: dict[int, bytes | PictureError] = {}
    for log in fetched_chunks(chunks_of(folder, rows), rules, account):
        found |= read_fetched(log)
    return found


def told(found: bytes | PictureError) -> bytes | tuple[str, str]:
    """What can be compared."""
    return (found.reason, found.detail) if isinstance(found, PictureError) else found


def main(folder: str, port: str, num: str, max_open: str = "") -> None:
    if max_open:
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(max_open), int(max_open)))
    try:
        for log in fetched_chunks(chunks_of(Path(folder), rows_of(int(port), int(num))), rules_of(f"127.0.0.1:{port}")):
            print(log, flush=True)
    except FileError as error:
        print(error, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
