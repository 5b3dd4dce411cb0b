"""What the data of one trial more on a node cost in memory: proportional set size, which counts a page shared by eight as an eighth."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Measured, Setting, not_run
from benchmarks.rounds import Candidate, Process
from benchmarks.sets import cache, packed

MEMORY = Figure("data_memory_mb", "memory of the data of a trial, for each beyond the first of 8 on one node", 50.0, 20.0, "MB", lower_is_better=True)
NUM = 8


def data_memory(setting: Setting) -> Iterator[Measured]:
    if not Path("/proc/self/smaps").exists():
        yield from not_run([MEMORY], "no /proc/PID/smaps on this system")
        return
    root = packed(setting)
    candidate = Candidate("memory:reader", {"root": str(root), "cache": str(cache(setting, root))}, pinned=False)
    one, of_labels = gained(candidate, 1)
    eight, _ = gained(candidate, NUM)
    detail = {"first_mb": round(one, 1), "all_mb": round(eight, 1), "labels_bytes_a_picture": of_labels}
    yield Measured(MEMORY, (eight - one) / (NUM - 1), detail=detail)


def gained(candidate: Candidate, num: int) -> tuple[float, int]:
    """MB that ``num`` processes together gain by reading all of train once, and bytes of labels a picture."""
    with ExitStack() as stack:
        processes = [stack.enter_context(Process(candidate)) for _ in range(num)]
        before = sum(process.round().told["pss_mb"] for process in processes)
        for process in processes:
            process.round()  # opens and reads
        rounds = [process.round() for process in processes]
        return sum(r.told["pss_mb"] for r in rounds) - before, rounds[0].told["labels_bytes"]


def reader(root: str, cache: str) -> Callable[[], tuple[int, dict[str, Any]]]:
    """The first round tells the memory before, the second reads every picture as training does, the third tells the memory after."""
    import cv2  # noqa: F401 - libraries are there before the first round: their memory is not the data's
    import numpy as np
    import pandas  # noqa: F401
    import pyarrow.compute
    import pyarrow.dataset
    import pyarrow.parquet  # noqa: F401

    from peoria.data.batches import Batches
    from peoria.data.dataset import open_dataset
    from peoria.data.images import CROP_PX

    held: list[Any] = []
    rounds = iter(("before", "read", "after"))

    def run() -> tuple[int, dict[str, Any]]:
        if next(rounds) == "read":
            dataset = open_dataset(Path(root), Path(cache))
            num = len(dataset.train)
            batches = Batches(dataset.train.pixels, np.zeros(num), np.arange(num), 32, seed=os.getpid())
            buffer = np.empty((32, CROP_PX, CROP_PX, 3), np.uint8)
            for start in range(0, num, 32):
                batches.fill(start, buffer)
            held.extend((dataset, batches, buffer))
        labels = sum(value.nbytes for value in vars(held[0].train.labels).values() if isinstance(value, np.ndarray)) if held else 0
        return 1, {"pss_mb": pss_mb(), "labels_bytes": round(labels / len(held[0].train)) if held else 0}

    return run


def pss_mb() -> float:
    with open("/proc/self/smaps") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024
