"""`peoria flickr`: from YFCC100M's metadata to a table of pictures with counts."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peoria.arguments import local_path, whole
from peoria.borders import complain, folded, shown, terminal

if TYPE_CHECKING:
    pass

EVERY_S = 60.0  # a line, where there is no terminal


def add_flickr_commands(commands: Any) -> None:
    flickr = commands.add_parser("flickr", help="pictures of YFCC100M, and their counts from the Flickr API")
    own = flickr.add_subparsers(title="commands", metavar="COMMAND", required=True)
    sample = own.add_parser("sample", help="a table of photos from YFCC100M's metadata", description=sample_command.__doc__)
    sample.add_argument("metadata", type=local_path, nargs="+", help="files of 23 or 25 columns, plain, .bz2 or .gz, or a folder of them")
    sample.add_argument("--out", type=local_path, required=True, metavar="TABLE", help="the table to write, .parquet")
    sample.add_argument("--top-tags", type=whole, metavar="N", help="only photos that have one of the N most frequent tags (the paper: 100)")
    sample.add_argument("--sample", type=whole, metavar="N", help="so many of them, drawn uniformly (default: all)")
    sample.add_argument("--seed", type=int, default=0, help="another sample (default: %(default)s)")
    sample.set_defaults(run=sample_command, then="begins anew")

    counts = own.add_parser("counts", help="views, favourites and comments of a table's pictures", description=counts_command.__doc__)
    counts.add_argument("table", type=local_path, help="with Flickr's ids in a column id, as `peoria flickr sample` writes it")
    counts.add_argument("--out", type=local_path, metavar="TABLE", help="the table to write, .parquet (default: counts.parquet beside the table)")
    counts.add_argument(
        "--answers",
        type=local_path,
        default=Path("data/flickr"),
        metavar="DIR",
        help="what was answered, so that nothing is asked twice (default: %(default)s)",
    )
    counts.add_argument(
        "--queries-per-hour", type=whole, default=3600, metavar="N", help="fewer, where others use the key too (default: %(default)s)"
    )
    counts.add_argument("--dry-run", action="store_true", help="say how many queries that will be, and how long; ask nothing")
    counts.set_defaults(run=counts_command)


def sample_command(arguments: argparse.Namespace) -> int:
    """Writes a table of photos from YFCC100M's metadata: their ids, owners, dates, tags, pages, licences and addresses. Videos are left out. It holds
    no counts yet: `peoria flickr counts` asks for them."""
    from shards.sources.written import check_out
    from shards.sources.yfcc import Yfcc, write_sample

    check_out(arguments.out)
    with _bar() as show:
        source = Yfcc(arguments.metadata, arguments.top_tags, arguments.sample, arguments.seed, progress=show, scratch=arguments.out.parent)
        text = write_sample(source, arguments.out)
    print(folded(text))
    return 0


def counts_command(arguments: argparse.Namespace) -> int:
    """Asks the Flickr API for views, favourites and comments, two queries a picture, and writes the table that `peoria pack` reads. The key comes
    from PEORIA_FLICKR_KEY in the environment. Interrupted and started again it goes on; what was answered is not asked again."""
    from shards.sources.flickr_api import FlickrError, elsewhere, key_of
    from shards.sources.flickr_bucket import LEAST_PER_HOUR, PER_HOUR
    from shards.sources.flickr_counts import count, plan
    from shards.sources.opened import open_source
    from shards.sources.written import check_out

    url, per_hour = elsewhere(os.environ), arguments.queries_per_hour
    if per_hour < LEAST_PER_HOUR or (per_hour > PER_HOUR and url is None):
        raise FlickrError(f"--queries-per-hour: {per_hour:,}; {LEAST_PER_HOUR} to {PER_HOUR:,}, which is Flickr's limit for a key")
    source = open_source(str(arguments.table), "table")
    if arguments.dry_run:
        print(folded(plan(source, arguments.answers, per_hour).text()))
        return 0
    out = arguments.out or arguments.table.with_name("counts.parquet")
    if out.resolve() == arguments.table.resolve():
        raise FlickrError(f"--out: {out}, the table itself; another name")
    check_out(out)
    key = key_of(os.environ)
    with _told() as show:
        found = count(source, out, arguments.answers, key, per_hour=per_hour, url=url, progress=show)
    print(folded(found.text()))
    return 0


class _Lines:
    """How far it is and how long it will take: a line a minute on standard error, and one whenever it begins to wait for something else."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._began, self._at, self._waits = clock, (0.0, -1), clock(), ""

    def __call__(self, done: int, total: int, waits: str) -> None:
        from peoria.sweep.outlook import spoken

        now, why = self._clock(), waits.partition(";")[0]
        if self._began[1] < 0:
            self._began = (now, done)
        if now < self._at + EVERY_S and (not why or why == self._waits):
            return
        self._at, self._waits = now, why
        before, had = self._began
        left = f", about {spoken((now - before) / (done - had) * (total - done))} left" if done > had else ""
        complain(f"{done:,} of {total:,} pictures{left}{f': {waits}' if waits else ''}")


@contextmanager
def _told() -> Iterator[Callable[[int, int, str], None]]:
    if not sys.stdout.isatty():
        yield _Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("pictures"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    with Progress(*columns, console=Console(file=terminal()), transient=True, speed_estimate_period=600) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, waits: bar.update(task, completed=done, total=total, description=shown(waits))


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    """Of bytes read."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(file=terminal()), transient=True, disable=not sys.stdout.isatty()) as bar:
        tasks: dict[str, Any] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        yield show
