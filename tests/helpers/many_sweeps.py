"""Whole sweeps on planted pictures, one call each, for processes of their own: planted, packed, swept and reported."""

import contextlib
import csv
import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from peoria.config.space import LogUniform, Space
from peoria.config.sweep import Sweep
from peoria.data.images import ArrayPictures
from peoria.data.synthetic import Weights, plant
from peoria.records.folder import SweepFolder
from peoria.records.trials import read_trials
from peoria.report.build import report
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from peoria.verdict.judged import Judged
from peoria.verdict.predictors import network_score
from peoria.verdict.schema import Verdict
from shards.images.square import decode_square
from shards.manifest import PictureRule
from shards.pack.pack import pack
from tests.helpers.studies import sampled

# An oracle of ρ = 0.45: what can be seen is 22 % of the variance of the log views, as (6/π)·asin(√0.22 / 2) = 0.45.
WEIGHTS: Weights = {"colour": 0.43, "arrangement": 0.43, "owner": 0.55, "age": 0.3, "noise": 0.965}
NUM_PICTURES, NUM_FRESH, MOST_OF_OWNER = 3000, sampled(20_000, 8_000), 20
SHARED: dict[str, Any] = {
    "net": "tiny",
    "target_scale": "log1p",
    "pictures": 12_000,
    "batch_size": 32,
    "evaluations": 4,
    "curve_points": 40,
    "schedule": "cosine",
}
SPACE = Space(task=("regression", "hybrid"), learning_rate=LogUniform(3e-3, 2e-2), head_multiplier=LogUniform(1.0, 10.0), outlier_sd=(None, 6.0, 3.0))


def shards(home: Path, seed: int) -> Path:
    """A packed set of its own pictures."""
    root = home / f"world-{seed}"
    if not root.exists():
        folder = home / f"pictures-{seed}"
        plant(folder, num_pictures=NUM_PICTURES, seed=seed, **WEIGHTS)
        pack(folder / "metadata.csv", root, keep=("oracle",), processes=1)
        shutil.rmtree(folder)
    return root


def judged(home: Path, seed: int, control: str | None) -> Verdict:
    """The verdict of one sweep; the same seed for the pictures, the search and the networks."""
    import torch

    torch.set_num_threads(1)
    sweep = Sweep(
        name=f"sweep-{seed}", shards=str(shards(home, seed)), trials=5, space=SPACE, shared=SHARED, startup_per_task=1, seed=seed, questions=()
    )
    own = home / f"{seed}-{control}"
    result = run_sweep(sweep, RunOptions(home=own, local=True, tracking="off", control=control), say=lambda line: None)
    assert result.complete
    with contextlib.redirect_stdout(io.StringIO()):
        verdict = report(own, result.folder.name, tracking="off", say=lambda line: None)
    shutil.rmtree(own / "cache")
    return verdict


def fresh_pictures(home: Path, part: int, num_parts: int) -> tuple[Path, np.ndarray]:
    """A part of the fresh pictures of the same generator, a file of uint8 [n, 256, 256, 3], and their views; as in packing at most 20 of an owner."""
    folder = home / f"fresh-{part}"
    made = plant(folder, num_pictures=NUM_FRESH // num_parts, seed=10_000 + part, **WEIGHTS)
    of_owner: dict[str, int] = {}
    pixels, views = [], []
    with made.table.open() as file:
        for row in csv.DictReader(file):
            of_owner[row["owner"]] = of_owner.get(row["owner"], 0) + 1
            if of_owner[row["owner"]] <= MOST_OF_OWNER:
                pixels.append(decode_square((folder / row["path"]).read_bytes(), PictureRule())[0])
                views.append(int(row["views"]))
    shutil.rmtree(folder)
    np.save(home / f"fresh-{part}.npy", np.stack(pixels))
    return home / f"fresh-{part}.npy", np.array(views)


def fresh_scores(home: Path, seed: int, parts: list[Path]) -> np.ndarray:
    """Of the judged recipe's networks on the fresh pictures, float64 [S, N]."""
    import torch

    torch.set_num_threads(1)
    folder = SweepFolder(home / f"{seed}-None" / "sweeps" / f"sweep-{seed}")
    chosen = Judged.of(folder.read_definition(), read_trials(folder))
    again = chosen.seeds[chosen.winners["views"].key]
    pictures = [ArrayPictures(np.load(path, mmap_mode="r")) for path in parts]
    return np.stack([np.concatenate([network_score(trial, part) for part in pictures]) for trial in again])
