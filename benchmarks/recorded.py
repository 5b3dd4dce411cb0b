"""A table of real trials, so that a search can be replayed in seconds: the demo's pictures, space and settings, on a grid, run once and kept.

    python -m benchmarks.recorded both      # or another world of peoria.data.synthetic; 480 trials, about 20 minutes on one core, goes on where it
    was

Train and val are the demo's 3,000 pictures of the world (seed 0). The test score is the finished network's on about 2,100 fresh pictures of the
same world (seed 1, the train split of a set of their own), so that no test split is opened. Each axis with a range is cut into parts of equal
width on a logarithmic axis and a trial was run at the middle of each: a uniform draw meets every run with the same probability, and the run that
stands for a drawn point is the nearest one. A run has its own seed, so the table has a sweep's luck of training in it.
"""

import argparse
import json
import os
import tempfile
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Self

import numpy as np

from benchmarks.rounds import ROOT
from peoria.config.space import LogUniform
from peoria.config.sweep import Sweep, load_sweep
from peoria.config.trial import TrialConfig
from peoria.data.dataset import Dataset, SplitData, open_dataset
from peoria.data.synthetic import EFFECT_WEIGHTS, plant
from peoria.errors import DivergedError
from peoria.records.folder import TrialFolder
from peoria.sweep.provenance import environment
from shards.pack.pack import pack

DATA = ROOT / "benchmarks" / "data"
PICTURES = 8000  # a trial; the demo's have 20,000
PARTS = {"learning_rate": 10, "head_multiplier": 4}
NUM_PICTURES, SEED, FRESH_SEED = 3000, 0, 1
AXES = ("task", "learning_rate", "head_multiplier", "outlier_sd")


@dataclass(frozen=True)
class Run:
    """One trial: its objective on val at each evaluation point until it ended, and on test where it was finished."""

    val: tuple[float, ...]
    test: float | None  # None: diverged at the evaluation point after the last of ``val``


@dataclass(frozen=True)
class Table:
    """``runs`` by the places on the axes, in the order of AXES."""

    sweep: Sweep  # whose space and settings were recorded
    axes: dict[str, tuple[Any, ...]]
    runs: dict[tuple[int, ...], Run]

    @classmethod
    def load(cls, path: Path) -> Self:
        found = json.loads(path.read_text())
        axes = {name: tuple(found["axes"][name]) for name in AXES}
        runs = {tuple(run["at"]): Run(tuple(run["val"]), run["test"]) for run in found["runs"]}
        return cls(Sweep.model_validate_json(json.dumps(found["sweep"])), axes, runs)

    def nearest(self, config: TrialConfig) -> Run:
        """The run that stands for ``config``: of its task and cut, and nearest on the logarithmic axes."""
        at = []
        for name, values in self.axes.items():
            value = getattr(config, name)
            at.append(int(np.abs(np.log(value) - np.log(values)).argmin()) if name in PARTS else values.index(value))
        return self.runs[tuple(at)]

    @cached_property
    def best_test(self) -> float:
        return max(run.test for run in self.runs.values() if run.test is not None)

    @cached_property
    def best_val(self) -> float:
        return max(run.val[-1] for run in self.runs.values() if run.test is not None)


def recorded_sweep() -> Sweep:
    """The demo's, shorter, and without the paper's points, which are outside its space."""
    demo = load_sweep(ROOT / "sweeps" / "demo.py")
    return demo.model_copy(update={"shared": demo.shared | {"pictures": PICTURES}, "paper": False, "seeds": 0, "questions": ()})


def axes_of(sweep: Sweep) -> dict[str, tuple[Any, ...]]:
    space = sweep.space

    def middles(name: str) -> tuple[float, ...]:
        span, num = getattr(space, name), PARTS[name]
        assert isinstance(span, LogUniform), "one range for all tasks"
        low, high = np.log(span.low), np.log(span.high)
        return tuple(float(f"{value:.6g}") for value in np.exp(low + (high - low) * (np.arange(num) + 0.5) / num))

    return {
        "task": space.task,
        "learning_rate": middles("learning_rate"),
        "head_multiplier": middles("head_multiplier"),
        "outlier_sd": space.outlier_sd,
    }


def run_trial(config: TrialConfig, dataset: Dataset, fresh: SplitData) -> Run:
    import torch

    from peoria.tasks import get_task
    from peoria.training.checkpoint import load_model
    from peoria.training.evaluate import forward_all, network_metrics, objective_name
    from peoria.training.loop import train

    with tempfile.TemporaryDirectory() as folder:
        val: list[float] = []
        try:
            for report in train(config, dataset, TrialFolder(Path(folder))):
                val.append(round(report.objective or 0.0, 5))
        except DivergedError:
            return Run(tuple(val), None)
        net, card = load_model(TrialFolder(Path(folder)))
    fitted = get_task(card.config.task).restore(card.task)
    outputs = forward_all(net, fresh.pixels, device=torch.device("cpu"), autocast=None)
    return Run(tuple(val), round(network_metrics(fitted, outputs, fresh.labels)[objective_name(fresh.labels)], 5))


def planted(world: str, seed: int, work: Path) -> Dataset:
    folder = work / f"recorded-{world}-{seed}"
    if not (folder / "pictures" / "metadata.csv").exists():  # written last
        plant(folder / "pictures", num_pictures=NUM_PICTURES, seed=seed, **EFFECT_WEIGHTS[world])
    pack(folder / "pictures" / "metadata.csv", folder / "shards")
    return open_dataset(folder / "shards", work / "cache")


def record(world: str, work: Path, out: Path) -> None:
    """Runs what ``work`` does not have yet, then writes the table to ``out``."""
    sweep = recorded_sweep()
    axes = axes_of(sweep)
    dataset, fresh = planted(world, SEED, work), planted(world, FRESH_SEED, work)
    lines = work / f"recorded-{world}.jsonl"
    done = {tuple(run["at"]): run for run in map(json.loads, lines.read_text().splitlines())} if lines.exists() else {}
    places = list(product(*(range(len(values)) for values in axes.values())))
    with lines.open("a") as file:
        for number in np.random.default_rng(0).permutation(len(places)).tolist():  # so that a part of the table is a fair sample of it
            at = places[number]
            if at in done:
                continue
            point = {name: values[place] for (name, values), place in zip(axes.items(), at, strict=True)}
            run = run_trial(sweep.trial(point, seed=number, threads=1), dataset, fresh.train)
            done[at] = {"at": list(at), "val": list(run.val), "test": run.test}
            file.write(json.dumps(done[at]) + "\n")
            file.flush()
            print(f"{len(done)} of {len(places)}: {point} {run.val[-1:]} {run.test}", flush=True)
    found = {
        "command": f"python -m benchmarks.recorded {world}",
        "world": {"name": world, **EFFECT_WEIGHTS[world], "num_pictures": NUM_PICTURES, "seed": SEED, "fresh_seed": FRESH_SEED},
        "identities": {"data": dataset.identity, "fresh": fresh.identity},
        "num_pictures": {"train": len(dataset.train), "val": len(dataset.val), "fresh": len(fresh.train)},
        "environment": environment().model_dump(),
        "sweep": sweep.model_dump(mode="json"),
        "axes": axes,
    }
    head = json.dumps(found, indent=1, allow_nan=False)[:-2]
    rows = ",\n".join(json.dumps(done[at], allow_nan=False) for at in places)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(f'{head},\n "runs": [\n{rows}\n]}}\n')


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recorded", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", choices=sorted(EFFECT_WEIGHTS))
    parser.add_argument("--work", type=Path, default=ROOT / "data" / "benchmarks")
    parser.add_argument("--out", type=Path, help="default: benchmarks/data/recorded-WORLD.json")
    given = parser.parse_args()
    os.nice(10)
    record(given.world, given.work.resolve(), given.out or DATA / f"recorded-{given.world}.json")
