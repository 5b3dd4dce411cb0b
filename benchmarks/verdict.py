"""All intervals of a report, on a made test split of 80,000 pictures and 6 predictors: the product's own `judge`, in a process of its own."""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.figures import Figure, Measured, Setting

SECONDS = Figure("verdict_s", "all intervals of a report: 80,000 test pictures, 6 predictors, 2,000 resamples, 2 cores", 120.0, 60.0, "s", True)
MEMORY = Figure("verdict_gib", "its memory at most", 2.0, 1.0, "GiB", True)
PICTURES, OWNERS, SEEDS = 80_000, 4_000, 3


def verdict(setting: Setting) -> Iterator[Measured]:
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "2"}
    ran = subprocess.run([sys.executable, "-m", "benchmarks.verdict", str(PICTURES), str(OWNERS)], capture_output=True, check=True, env=environment)
    told = json.loads(ran.stdout)
    detail = {key: told[key] for key in ("cpu_s", "claims")}
    yield Measured(SECONDS, told["wall_s"], detail=detail)
    yield Measured(MEMORY, told["peak_gib"])


def judged(pictures: int, owners: int) -> dict[str, object]:
    """Judges a world in which the picture matters, as do its owner and its hour: seconds, GiB at the peak, and what was claimed."""
    from peoria.stats.clusters import Clusters
    from peoria.verdict.judge import judge
    from peoria.verdict.predictors import PredictorScores
    from shards.labels import Labels

    rng = np.random.default_rng(0)
    owner = np.sort(rng.integers(0, owners, pictures))
    read = np.datetime64("2015-01-01T00:00:00", "s")
    days = rng.uniform(100, 900, owners)[owner] + rng.uniform(0, 60, pictures)
    look, cheap = rng.normal(size=(2, pictures))
    log_views = 4 + rng.normal(size=owners)[owner] + 0.3 * np.cos(2 * np.pi * days) + 0.3 * look + 0.2 * cheap + rng.normal(size=pictures)
    keys = np.arange(pictures).astype(str)
    labels = Labels(
        keys=keys,
        ids=keys,
        owners=owner.astype(str),
        views=rng.poisson(np.exp(log_views)),
        favorites=rng.poisson(0.2 * np.exp(0.3 * look), pictures),
        uploaded_at=read - np.round(days * 86_400).astype("timedelta64[s]"),
        observed_at=np.full(pictures, read),
        tags=np.array([" ".join(f"t{tag}" for tag in row) for row in rng.integers(0, 400, (pictures, 3))]),
    )
    context = 0.3 * np.cos(2 * np.pi * days)
    recipe = look + cheap + 0.5 * rng.normal(size=(SEEDS, pictures))
    scores = [
        PredictorScores("recipe-0001", "trial 1", "recipe", recipe, recipe),
        PredictorScores("context+recipe-0001", "context and the image", "combined", recipe + context, recipe + context),
        PredictorScores("context", "context", "context", context, context),
        PredictorScores("colour-ridge", "colour ridge", "learned", cheap, cheap),
        PredictorScores("frozen-trunk-ridge", "frozen trunk ridge", "learned", cheap + rng.normal(size=pictures), cheap),
        PredictorScores("random", "random", "learned", *rng.normal(size=(2, pictures))),
    ]
    wall, cpu = time.monotonic(), time.process_time()
    found = judge({p.name: p for p in scores}, labels, Clusters.of(labels.owners), winners={"views": "recipe-0001", "favorites": "recipe-0001"})
    return {
        "wall_s": round(time.monotonic() - wall, 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "claims": {target: of.in_the_picture for target, of in found.targets.known},
    }


if __name__ == "__main__":
    print(json.dumps(judged(*map(int, sys.argv[1:]))))
