"""Pictures of a split decoded whenever they are asked for, for a disk without room for the decoded copy."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import local

import numpy as np

from shards.read.openings import TestOpening
from shards.read.shard_set import TASK_PICTURES, ShardSet, decode_picture, raise_problems, refuse_left, take_rows
from shards.read.tar_index import shard_path

Use = Callable[[int, np.ndarray], None]


class ShardReader:
    """Row ``i`` is the picture of row ``i`` of ``shard_set.labels(split)``, the same bytes as in the decoded copy.

    All shards are compared with their digests at opening and stay mapped, without a descriptor each. ``threads`` decode, 1 in the caller's own
    thread. Raises TestSplitClosedError and DamagedShardError.
    """

    def __init__(self, shard_set: ShardSet, split: str, threads: int, opening: TestOpening | None = None) -> None:
        assert threads >= 1, threads
        keys = shard_set.labels(split, opening).keys
        self.side_px = shard_set.side_px
        self._shards = shard_set.manifest.of_split([split])
        self._root = shard_set.root
        self._keys = keys
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, "decode") if threads > 1 else None
        self._own = local()  # a picture for each thread: a fresh one each time costs page faults
        self._shard = np.empty(len(keys), np.int32)
        self._offset = np.empty(len(keys), np.int64)
        self._size = np.empty(len(keys), np.int64)
        self._data: list[memoryview] = []
        places = {key: place for place, key in enumerate(keys.tolist())}
        sealed = shard_set.sealed(split, opening)
        run = map if self._pool is None else self._pool.map
        self._held = shard_set.held(split)
        for number, mapped in enumerate(run(shard_set.mapped, self._shards)):
            names, rows = take_rows(shard_path(self._root, mapped.shard), list(mapped.places), places, sealed)
            self._data.append(mapped.data)
            self._shard[rows] = number
            self._offset[rows], self._size[rows] = np.array([mapped.places[name]["jpg"] for name in names], np.int64).reshape(-1, 2).T
        refuse_left(self._root, split, places)

    def __len__(self) -> int:
        return len(self._keys)

    def visit(self, rows: np.ndarray, use: Use) -> None:
        """Calls ``use(i, picture)`` once for each of ``rows`` (int [n], in any order, repeated or not), in the thread that decoded it; the picture is
        that thread's own and lives until ``use`` returns. Where only a part is wanted, this saves writing the whole."""
        rows = np.asarray(rows)
        shards, begins = self._shard[rows].tolist(), self._offset[rows].tolist()  # at once: a number from an array costs more than one from a list
        ends = (self._offset[rows] + self._size[rows]).tolist()

        def one(i: int) -> str:
            if not hasattr(self._own, "picture"):
                self._own.picture = np.empty((self.side_px, self.side_px, 3), np.uint8)
            problem = decode_picture(self._data[shards[i]][begins[i] : ends[i]], self._own.picture)
            if not problem:
                use(i, self._own.picture)
            return problem

        def part(start: int, stop: int) -> list[tuple[int, str]]:
            return [(i, problem) for i in range(start, min(stop, len(rows))) if (problem := one(i))]

        if self._pool is None:
            problems = part(0, len(rows))
        else:
            size = min(TASK_PICTURES, -(-len(rows) // self._threads)) or 1  # a small batch is shared by all threads
            starts = range(0, len(rows), size)
            problems = [found for some in self._pool.map(part, starts, [start + size for start in starts]) for found in some]
        for i, problem in problems:
            raise_problems(shard_path(self._root, self._shards[shards[i]]), [(str(self._keys[rows[i]]), problem)])
