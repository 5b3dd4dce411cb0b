"""A pack of a hundred thousand rows and of a million, whole: how much memory it takes over what imports take, and whether a row costs the same.

The pictures are hard links of a thousand, small and smooth, so that none is taken for the copy of another.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.figures import Figure, Measured, Setting
from benchmarks.rounds import ROOT

ROWS = (100_000, 1_000_000)
NUM_PICTURES = 1000
MEMORY = Figure("packing_million_memory", "memory of the process that packs a million rows, over imports", 1024, 700, "MiB", lower_is_better=True)
TIME = Figure("packing_million_time", "CPU time a row at a million rows, against a hundred thousand", 1.3, 1.1, lower_is_better=True)
_PACK = """
import json, resource, sys, time
from pathlib import Path
import pyarrow.compute, pyarrow.parquet
from shards.images import square
from shards.pack.pack import pack
def peak_kib():  # ru_maxrss begins with the parent's
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
before = peak_kib()
start, seconds, last = time.perf_counter(), {}, ["table"]
def show(what, done, total):
    if what != last[0]:
        seconds[last[0]] = round(time.perf_counter() - start - sum(seconds.values()), 1)
        last[0] = what
result = pack(Path(sys.argv[1]), Path(sys.argv[2]), progress=show)
seconds["tables"] = round(time.perf_counter() - start - sum(seconds.values()), 1)
here, workers = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(json.dumps({
    "kept": result.manifest.num_kept,
    "imports_mib": round(before / 1024),
    "peak_mib": round(peak_kib() / 1024),
    "worker_mib": round(workers.ru_maxrss / 1024),
    "cpu_s": round(sum(who.ru_utime + who.ru_stime for who in (here, workers)), 1),
    "own_cpu_s": round(here.ru_utime + here.ru_stime, 1),
    "wall_s": round(time.perf_counter() - start, 1),
    "until_s": seconds,
}))
"""


def packing_scale(setting: Setting, sizes: Sequence[int] = ROWS) -> Iterator[Measured]:
    found = {num: packed(setting.work / "scale", num) for num in sizes}
    few, many = (found[num] for num in sizes)
    detail = {f"{num}": what for num, what in found.items()}
    yield Measured(MEMORY, many["peak_mib"] - many["imports_mib"], detail=detail)
    yield Measured(TIME, (many["cpu_s"] / sizes[1]) / (few["cpu_s"] / sizes[0]), detail=detail)


def packed(folder: Path, num: int) -> dict[str, float]:
    """Packs so many rows in a process of its own; what it took. The pictures go afterwards."""
    table = write_table(folder / f"{num}", num)
    try:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        words = [sys.executable, "-c", _PACK, str(table), str(folder / f"{num}" / "set")]
        ran = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
        found: dict[str, float] = json.loads(ran.stdout)
        return found
    finally:
        shutil.rmtree(folder / f"{num}")


def write_table(folder: Path, num: int) -> Path:
    import simplejpeg

    random = np.random.default_rng(0)
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "made").mkdir(parents=True)
    across, down = np.linspace(0, 1, 320)[None, :, None], np.linspace(0, 1, 240)[:, None, None]
    for number in range(NUM_PICTURES):
        base, right, below = random.integers(40, 120, (3, 3))
        pixels = np.ascontiguousarray((base + right * across + below * down).clip(0, 255).astype(np.uint8))
        (folder / "made" / f"{number}.jpg").write_bytes(simplejpeg.encode_jpeg(pixels, quality=90))
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "path", "views", "favorites", "owner", "uploaded_at", "tags"])
        for row in range(num):
            if row % 10_000 == 0:
                (folder / f"{row // 10_000}").mkdir()
            path = f"{row // 10_000}/{row}.jpg"
            os.link(folder / "made" / f"{row % NUM_PICTURES}.jpg", folder / path)
            writer.writerow([row, path, row % 9973, row % 97, f"owner{row // 30}", 1_388_534_400 + row, "beach,sea,sun"])
    return folder / "table.csv"
