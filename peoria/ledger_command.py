"""`peoria ledger`: its flags, and what it does given them."""

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peoria.arguments import address, whole
from peoria.borders import folded, shown
from shards.words import counted

if TYPE_CHECKING:
    from shards.inspection.ledger_lines import Line
    from shards.read.shard_set import ShardSet

WIDTH = 80


def add_ledger_command(commands: Any) -> None:
    ledger = commands.add_parser("ledger", help="what became of each row of a packed table, and why", description=ledger_command.__doc__)
    ledger.add_argument("shards", type=address, help="the folder, or the address, of the packed set")
    ledger.add_argument("--reason", metavar="R", help="the rows that have it, as in owner_cap; unreadable: kept ones without an optional value")
    ledger.add_argument("--status", choices=("kept", "rejected"), help="these rows alone")
    ledger.add_argument("--limit", type=whole, metavar="N", help="at most so many rows")
    how = ledger.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="a line of JSON for each row, and nothing else")
    how.add_argument("--csv", action="store_true", help="CSV with a header, and nothing else")
    ledger.set_defaults(run=ledger_command)


def ledger_command(arguments: argparse.Namespace) -> int:
    """Shows the ledger of a packed set: without --reason, --status or a format a table of reasons, how many rows have each, and the first of them."""
    from shards.cache.fetched import open_shards
    from shards.inspection.ledger_lines import COLUMNS, ledger_lines, refuse_reason

    with tempfile.TemporaryDirectory() as folder:  # for the table of a set in a store
        shard_set = open_shards(arguments.shards, Path(folder))
        if arguments.reason is not None:
            refuse_reason(shard_set, arguments.reason)
        lines = islice(ledger_lines(shard_set, arguments.reason, arguments.status), arguments.limit)
        if arguments.csv:
            writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)
        elif arguments.json:
            for line in lines:
                print(json.dumps(line, ensure_ascii=False))
        else:
            asked = (arguments.reason, arguments.status, arguments.limit) != (None, None, None)
            for text in _rows(lines) if asked else _table(shard_set):
                print(text)
    return 0


def _table(shard_set: "ShardSet") -> Iterator[str]:
    from shards.inspection.ledger_lines import UNREADABLE, reasons

    numbers, found = reasons(shard_set)
    yield f"{counted(sum(numbers.values()), 'row')}: {numbers['kept']:,} kept, {numbers['rejected']:,} left out"
    wide = max((len(f"{of.num:,}") for of in found.values()), default=0)
    for reason, of in found.items():
        name = "kept, with a value that could not be read (unreadable)" if reason == UNREADABLE else reason
        yield f"  {of.num:>{wide},}  {name}"
        yield _folded(f"first {_named(of.first)}{_detail(of.first)}", wide + 4)
    if found:
        yield f"next: peoria ledger {shard_set.address} --reason {next(iter(found))}"


def _rows(lines: "Iterable[Line]") -> Iterator[str]:
    for line in lines:
        where = f"kept in {line['split']} as {line['key']}" if line["status"] == "kept" else line["reason"]
        yield _folded(f"{_named(line)}: {where}", 0)
        if line["detail"]:
            yield _folded(line["detail"], 4)


def _named(line: "Line") -> str:
    return f"row {line['row']}" + (f", id {line['id']}" if line["id"] else "")


def _detail(line: "Line") -> str:
    return f": {line['detail']}" if line["detail"] else ""


def _folded(text: str, indent: int) -> str:
    return folded(" " * indent + shown(text, lines=False), WIDTH, indent + 2)
