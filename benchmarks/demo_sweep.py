"""The demo's sweep, against the same trials as processes of their own with a naive loader; equal pictures, as many at once as there are CPUs.

Both sides are measured on fewer trials, the naive one on fewer pictures too, and extended to the demo's numbers in proportion. Neither is tracked.
"""

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.figures import Figure, Measured, Setting
from benchmarks.rounds import Candidate, Process
from benchmarks.sets import packed
from shards.cpus import usable_cpus

WITH = Figure("demo_sweep_with_startup", "the demo's 17 trials, against separate processes with a naive loader", 4.0, 8.0)
WITHOUT = Figure("demo_sweep_without_startup", "… one trial in the midst of the sweep, start-up of processes left out", 2.5, 4.0)
TRIALS, PICTURES, EVALUATIONS = 17, 20_000, 8  # of sweeps/demo.py
MEASURED_TRIALS, MEASURED_PICTURES = 6, 2000


def demo_sweep(setting: Setting) -> Iterator[Measured]:
    """The two sides take turns; the shortest of each counts, for these are wall times, and whatever else the machine does only adds."""
    root = packed(setting)
    at_once = usable_cpus()
    turns = [(naive(str(root), at_once), sweep(setting, str(root), at_once)) for _ in range(min(setting.rounds, 3))]
    naive_s, startup_s = (min(seconds) for seconds in zip(*[turn[0] for turn in turns], strict=True))
    later_s, sweep_s = (min(seconds) for seconds in zip(*[turn[1] for turn in turns], strict=True))
    ours = sweep_s + (TRIALS - MEASURED_TRIALS) * later_s / at_once
    theirs = TRIALS * (startup_s + naive_s) / at_once
    detail = {"peoria_s": ours, "naive_s": theirs, "peoria_measured_s": sweep_s, "peoria_trial_s": later_s}
    detail |= {"naive_trial_s": naive_s, "naive_startup_s": startup_s}
    told = {name: round(value, 1) for name, value in detail.items()} | {"at_once": at_once}
    told |= {"measured": f"{MEASURED_TRIALS} trials; naive: {at_once} of {MEASURED_PICTURES} pictures and one evaluation, extended"}
    yield Measured(WITH, theirs / ours, detail=told)
    yield Measured(WITHOUT, naive_s / later_s, detail=told)


def sweep(setting: Setting, root: str, at_once: int) -> tuple[float, float]:
    """Seconds of a trial in the midst of peoria's sweep, and of all of it with the start of its process."""
    start = time.monotonic()
    of = {"root": root, "work": str(setting.work), "trials": MEASURED_TRIALS, "pictures": PICTURES}
    with Process(Candidate("naive_trial:sweep_trials", of, pinned=False)) as process:
        seconds = process.round().told["trial_s"]
    return statistics.median(seconds[at_once:]), time.monotonic() - start  # the first ones wait for their workers


def naive(root: str, at_once: int) -> tuple[float, float]:
    """Seconds of a whole naive trial, and of its process until it can begin, with ``at_once`` of them side by side."""
    start = time.monotonic()
    candidate = Candidate("naive_trial:naive_trial", {"root": root, "pictures": MEASURED_PICTURES}, pinned=False)
    with ExitStack() as stack:
        starting = [Process(candidate) for _ in range(at_once)]
        for process in starting:
            process.launch()
        processes = [stack.enter_context(process) for process in starting]
        startup_s = time.monotonic() - start
        for process in processes:
            process.start()
        rounds = [process.finish() for process in processes]
    train_s = statistics.mean(r.told["train_s"] * PICTURES / r.num for r in rounds)
    return train_s + EVALUATIONS * statistics.mean(r.told["evaluation_s"] for r in rounds), startup_s
