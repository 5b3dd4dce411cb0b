"""What one trial more costs a sweep by Ray when the trial itself does nothing, and whether that grows with the sweep."""

import statistics
from collections.abc import Iterator

from benchmarks.figures import Figure, Measured, Setting
from benchmarks.rounds import Candidate, Process
from benchmarks.sets import packed

BARE = Figure("further_trial_s", "one trial more of an empty sweep", 0.10, 0.04, "s", lower_is_better=True)
TRACKED = Figure("further_trial_tracked_s", "… with MLflow in a SQLite file, until it has everything", 0.15, 0.07, "s", lower_is_better=True)
GROWTH = Figure("further_trial_growth", "time a trial around the 1,000th, against around the 100th", 1.2, 1.0, lower_is_better=True)
NUM, NUM_TRACKED, FIRST = 1000, 200, 20  # the first trials wait for Ray's workers
CONCURRENT, WINDOW = 2, 25


def further_trial(setting: Setting) -> Iterator[Measured]:
    root = packed(setting)
    of = {"root": str(root), "work": str(setting.work), "concurrent": CONCURRENT}
    with Process(Candidate("stub:empty_sweep", of | {"trials": NUM, "tracked": False}, pinned=False)) as process:
        told = process.round().told
    wall, cpu = told["wall"], told["cpu"]
    windows = {start: slope(wall, start, start + WINDOW) for start in range(FIRST, NUM - WINDOW, WINDOW)}
    detail = {"trials": NUM, "concurrent": CONCURRENT, "windows_s": {start: round(window, 4) for start, window in windows.items()}}
    yield Measured(BARE, statistics.median(windows.values()), detail=detail)
    early = statistics.median(window for start, window in windows.items() if start < 200)
    late = statistics.median(window for start, window in windows.items() if start >= NUM - 200)
    detail = {"around_100_s": round(early, 4), "around_1000_s": round(late, 4)}
    detail |= {"around_100_driver_cpu_s": round(slope(cpu, 20, 200), 4), "around_1000_driver_cpu_s": round(slope(cpu, NUM - 180, NUM - 1), 4)}
    yield Measured(GROWTH, late / early, detail=detail)
    with Process(Candidate("stub:empty_sweep", of | {"trials": NUM_TRACKED, "tracked": True}, pinned=False)) as process:
        told = process.round().told
    value = (told["wall"][-1] - told["wall"][FIRST] + told["closing_s"]) / (NUM_TRACKED - 1 - FIRST)
    yield Measured(TRACKED, value, detail={"trials": NUM_TRACKED, "concurrent": CONCURRENT, "last_delivery_s": round(told["closing_s"], 2)})


def slope(moments: list[float], start: int, stop: int) -> float:
    """Seconds a trial between the ends of two trials."""
    return (moments[stop] - moments[start]) / (stop - start)
