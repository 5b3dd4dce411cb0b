"""The most frequent words of a stream that is larger than memory, exactly."""

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO

from shards.files import told

IN_MEMORY = 1_000_000  # different words, about 250 MB while they are sorted

Count = tuple[bytes, int]


def most_frequent(groups: Iterable[Iterable[bytes]], num: int, folder: Path | None = None, in_memory: int = IN_MEMORY) -> list[Count]:
    """The ``num`` words that the most groups have, with their number of groups, most frequent first, ties by name.

    At most ``in_memory`` different words are counted at a time; then their counts go, sorted, to an unnamed file in ``folder`` (default: TMPDIR),
    and all such runs are merged at the end. Words have no tab and no end of line in them; a group has none twice.

    Raises FileError and NoRoomError, of ``folder``.
    """
    where = Path(tempfile.gettempdir()) if folder is None else folder
    counts: dict[bytes, int] = {}
    runs: list[BinaryIO] = []
    try:
        for words in groups:
            for word in words:
                counts[word] = counts.get(word, 0) + 1
            if len(counts) > in_memory:
                runs.append(_spilled(counts, where))
                counts = {}
        totals = _merged([*map(_read, runs), iter(sorted(counts.items()))]) if runs else iter(counts.items())
        return heapq.nsmallest(num, totals, key=lambda count: (-count[1], count[0]))
    finally:
        for run in runs:
            run.close()


def _spilled(counts: dict[bytes, int], folder: Path) -> BinaryIO:
    with told(folder, "a folder with room for counts of tags", what="counts of tags"):
        file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by who merges; it has no name, so a kill leaves nothing
        try:
            file.writelines(b"%s\t%d\n" % (word, counts[word]) for word in sorted(counts))
            file.flush()
        except BaseException:
            file.close()
            raise
    return file


def _read(run: BinaryIO) -> Iterator[Count]:
    run.seek(0)
    for line in run:
        word, _, count = line.rpartition(b"\t")
        yield word, int(count)


def _merged(runs: list[Iterator[Count]]) -> Iterator[Count]:
    for word, same in groupby(heapq.merge(*runs), itemgetter(0)):
        yield word, sum(count for _, count in same)
