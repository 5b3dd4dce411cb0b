"""`peoria pack`: its flags, and what it does given them."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from peoria.arguments import add_fetching, address, fetch_rules, positive, whole
from peoria.borders import complain, folded, terminal


def add_pack_command(commands: Any) -> None:
    pack = commands.add_parser("pack", help="a table of pictures and counts into shards", description=pack_command.__doc__)
    pack.add_argument(
        "table",
        type=address,
        help="CSV, TSV, Parquet, JSON or JSON lines, packed or not, or - for standard input, one row a picture; or a folder of pictures, of tars or "
        "of Parquet files with pictures",
    )
    pack.add_argument("--as", dest="kind", metavar="KIND", help="table, folder, tars, parquet, unsplash or yfcc (default: found by what is there)")
    pack.add_argument(
        "--out", type=address, help="the folder, or s3://BUCKET/PREFIX, of the packed set (default: data/shards/ and the table's folder)"
    )
    pack.add_argument("--column", action="append", default=[], metavar="FIELD=COLUMN", help="where a field is in the table, as in views=num_views")
    pack.add_argument("--keep", action="append", default=[], metavar="COLUMN", help="keep this column of the table too")
    pack.add_argument("--drop", action="append", default=[], metavar="FIELD", help="leave this field of ours unread, as favorites")
    pack.add_argument("--path", dest="path_pattern", metavar="PATTERN", help="make the paths of other columns, as in 'img/{id}.jpg'")
    pack.add_argument("--encoding", metavar="NAME", help="of the table's text, as cp1252 (default: UTF-8, or what its first bytes say)")
    pack.add_argument("--format", choices=("csv", "tsv", "jsonl", "json", "parquet"), help="of the table (default: by its suffix)")
    pack.add_argument(
        "--pictures", type=address, metavar="DIR|URL", help="the folder, or s3://BUCKET/PREFIX, that paths start from (default: the table's)"
    )
    pack.add_argument("--processes", type=whole, help="how many prepare pictures at once (default: one a core)")
    pack.add_argument("--shard-size", type=whole, default=1000, metavar="N", help="pictures a shard (default: %(default)s)")
    pack.add_argument(
        "--hash-owners", action="store_true", help="a keyed hash in the place of each owner's name (docs/data.md: what is kept of people)"
    )
    add_fetching(pack)
    pack.add_argument("--fetch-rate", type=positive, metavar="N", help="requests a second to one host (default: as many as it answers, 8 at once)")
    pack.add_argument("--fetch-contact", default="", metavar="TEXT", help="who fetches, as a mail address, told to servers in the user agent")
    pack.add_argument("--ray", metavar="auto|ADDRESS", help="prepare pictures on the nodes of this Ray cluster (default: on this machine)")
    pack.add_argument("--accept-losses", action="store_true", help="leave out rows whose views cannot be read, however many they are")
    pack.add_argument("--retry", action="store_true", help="try rows again that failed for a reason that can heal, of a finished set too")
    pack.set_defaults(run=pack_command)


def pack_command(arguments: argparse.Namespace) -> int:
    """Packs pictures and counts into verified shards; interrupted and started again it goes on."""
    from peoria import api

    columns = mapping(arguments.column)
    with bar() as show:
        reading = ("keep", "drop", "path_pattern", "encoding", "format", "pictures", "kind")
        names = (*reading, "processes", "shard_size", "ray", "accept_losses", "retry", "hash_owners")
        how: dict[str, Any] = {name: getattr(arguments, name) for name in names}
        result = api.pack(arguments.table, arguments.out, columns=columns, fetch=fetch_rules(arguments), progress=show, **how)
    print(folded(result.text()))
    if arguments.hash_owners and "page" in result.manifest.source.columns:
        complain("warning: page addresses are kept, and often name the owners whose names are hashed; a table without that column keeps none")
    return 0


@contextmanager
def bar() -> Iterator[Callable[[str, int, int], None]]:
    """On a terminal; what it gives is told what is being done, how much of it is done, and how much there is."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(file=terminal()), transient=True, disable=not sys.stdout.isatty()) as drawn:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = drawn.add_task(what, total=total)
            drawn.update(tasks[what], completed=done)

        yield show


def mapping(words: list[str]) -> dict[str, str]:
    """Of ``FIELD=COLUMN``. Raises TableError."""
    from shards.errors import TableError

    columns = {}
    for word in words:
        field, equals, column = word.partition("=")
        if not equals or not field or not column:
            raise TableError(f"--column: {word!r}; FIELD=COLUMN is needed, as in views=num_views")
        columns[field] = column
    return columns
