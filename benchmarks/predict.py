"""How much of the time of `peoria predict` is not the work itself: in turns with bare loops on the same pictures and threads.

``python -m benchmarks.predict HOME NAME FOLDER``: a home, a sweep of it, a folder of pictures. Prints ratios of medians of three turns, by the
clock and by the CPU time of all threads, which a machine that others use disturbs less.
"""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch

from peoria.serving.inputs import BATCH, Input, _decode, decoded, expand
from peoria.serving.predict import Model, load_models, predictions
from shards.cpus import usable_cpus

TURNS = 3


def forward(model: Model, squares: np.ndarray) -> None:
    """What a loop of a few lines would do: crop, preprocess, net."""
    net = model.winner.net
    with torch.inference_mode():
        for start in range(0, len(squares), BATCH):
            net(net.preprocess(torch.from_numpy(np.ascontiguousarray(squares[start : start + BATCH, 14:241, 14:241]))))


def bare(model: Model, names: list[Input]) -> None:
    """Decode by the same rule and threads, then the net, batch by batch."""
    with ThreadPoolExecutor(usable_cpus()) as pool:
        for start in range(0, len(names), BATCH):
            made = list(pool.map(lambda one: _decode(one, model.rule, None), names[start : start + BATCH]))
            forward(model, np.stack([found[0] for found in made if not isinstance(found, str)]))


def seconds(do: Callable[[], object]) -> np.ndarray:
    """By the clock, and of CPU."""
    start = np.array([time.perf_counter(), time.process_time()])
    do()
    return np.array([time.perf_counter(), time.process_time()]) - start


def main(home: str, name: str, folder: str) -> None:
    models = load_models(Path(home), name, "views", seeds=False, unlike=True, say=lambda text: None)
    plain = load_models(Path(home), name, "views", seeds=False, unlike=False, say=lambda text: None)
    names = list(expand([folder]))
    squares = np.concatenate([batch.squares for batch in decoded(names[: 4 * BATCH], models[0].rule)])
    asked: dict[str, Callable[[], object]] = {
        "predict --no-seeds": lambda: sum(1 for _ in predictions(models, [folder])),
        "predict --no-seeds --no-unlike": lambda: sum(1 for _ in predictions(plain, [folder])),
        "decode and forward, bare": lambda: bare(models[0], names),
        "forward alone, of squares in memory": lambda: forward(models[0], squares),
    }
    found: dict[str, list[np.ndarray]] = {what: [] for what in asked}
    for _ in range(TURNS):
        for what, do in asked.items():
            found[what].append(seconds(do) / (len(squares) if "memory" in what else len(names)))
    rates = {what: 1 / np.median(of, axis=0) for what, of in found.items()}
    for what, (clock, cpu) in rates.items():
        bare_clock, bare_cpu = rates["decode and forward, bare"]
        print(f"{clock:8,.0f} pictures/s {clock / bare_clock:5.2f} x bare; {cpu:8,.0f} /CPU-s {cpu / bare_cpu:5.2f} x bare  {what}")


if __name__ == "__main__":
    main(*sys.argv[1:])
