"""The ledger of a packed set, line by line."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from shards.errors import ShardsError
from shards.labels import packed_batches
from shards.manifest import LEDGER
from shards.read.shard_set import ShardSet

STATUSES = ("kept", "rejected")
COLUMNS = ("row", "id", "status", "reason", "detail", "split", "key")
UNREADABLE = "unreadable"  # of kept rows: an optional value is unknown for that
Line = dict[str, Any]


@dataclass
class Reason:
    """How many lines bear a reason, and the first of them."""

    num: int
    first: Line


def ledger_lines(shard_set: ShardSet, reason: str | None = None, status: str | None = None) -> Iterator[Line]:
    """Lines of the ledger in the order of rows, `COLUMNS` each; ``reason`` and ``status`` choose. Raises DamagedShardError."""
    for line in _lines(shard_set):
        named = line["reason"] or (UNREADABLE if line["detail"] is not None else None)
        if reason in (None, named) and status in (None, line["status"]):
            yield line


def reasons(shard_set: ShardSet) -> tuple[dict[str, int], dict[str, Reason]]:
    """The number of lines by status; and of those that were left out by reason, most frequent first, and after them, by the reason ``unreadable``,
    kept ones with a value that could not be read. Raises DamagedShardError."""
    numbers, found = dict.fromkeys(STATUSES, 0), dict[str, Reason]()
    unread: Reason | None = None
    for line in _lines(shard_set):
        numbers[line["status"]] += 1
        if line["reason"] is not None:
            found.setdefault(line["reason"], Reason(0, line)).num += 1
        elif line["detail"] is not None:
            unread = unread or Reason(0, line)
            unread.num += 1
    ordered = dict(sorted(found.items(), key=lambda item: (-item[1].num, item[0])))
    return numbers, ordered | ({} if unread is None else {UNREADABLE: unread})


def refuse_reason(shard_set: ShardSet, reason: str) -> None:
    """Raises ShardsError where no line bears the reason."""
    there = list(reasons(shard_set)[1])
    if reason not in there:
        raise ShardsError(f"reason: {reason!r}; {', '.join(there) or f'none: every row of {shard_set.address} was kept'}")


def _lines(shard_set: ShardSet) -> Iterator[Line]:
    if shard_set.source is not None:
        shard_set.source.fetch_table(shard_set.manifest.file_of(LEDGER))
    for batch in packed_batches(shard_set.root, LEDGER, shard_set.manifest):
        for line in batch:
            yield {name: line.get(name) for name in COLUMNS}
