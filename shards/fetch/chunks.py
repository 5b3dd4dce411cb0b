"""Chunks of rows with addresses, fetched while others are made ready."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from pathlib import Path

from shards.fetch.rules import Account, FetchRules
from shards.files import told

Chunk = tuple[Path, Sequence[tuple[int, str]]]
"""The file of its log, and its rows with their addresses."""
ROWS_AHEAD = 1000  # that are asked for and not there: one slow row a chunk does not hold up the others
CHUNKS_AHEAD = 32  # whose logs lie on the disk, at most
TICK_SECONDS = 0.25


def fetched_chunks(
    chunks: Iterator[Chunk], rules: FetchRules, account: Account | None = None, progress: Callable[[int], None] | None = None
) -> Iterator[Path]:
    """The log of each chunk, in any order, once every row of it is a picture or a reason there; what the log held before is not fetched again.

    ``chunks`` is asked for the next ones in the caller's thread, when it takes a log; others are fetched meanwhile. ``progress`` is called there too,
    with the number of rows that are done.

    Raises FileError and NoRoomError for the log's disk, and where this machine is at its limits, which is no word about a picture.
    """
    account = Account() if account is None else account
    first = next(chunks, None)
    if first is None:
        return
    from shards.fetch.fetcher import Fetcher  # asyncio, and aiohttp in its thread

    with told(first[0].parent, "a folder that can be written to"):
        first[0].parent.mkdir(parents=True, exist_ok=True)
    started, begun = account.num + account.num_before, 0
    with Fetcher(rules, first[0].parent, account) as fetcher:
        going: set[Future[Path]] = set()
        waiting: Chunk | None = first
        while True:
            while waiting is not None and len(going) < CHUNKS_AHEAD and (not going or begun - _done(account, started) < ROWS_AHEAD):
                going.add(fetcher.chunk(*waiting))
                begun += len(waiting[1])
                waiting = next(chunks, None)
            if not going:
                return
            done, going = wait(going, TICK_SECONDS, FIRST_COMPLETED)
            if progress is not None:
                progress(_done(account, started))
            for future in done:
                yield future.result()


def _done(account: Account, started: int) -> int:
    return account.num + account.num_before - started
