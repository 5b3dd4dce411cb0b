"""The whole study on pictures whose popularity was planted, so that anybody can see within minutes whether it finds what is there."""

import sys
from pathlib import Path

from peoria.config.space import LogUniform, Space
from peoria.config.sweep import Sweep
from peoria.data.synthetic import EFFECT_WEIGHTS, plant
from peoria.report.build import report
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from peoria.tracking.database import default_tracking_uri
from shards.pack.pack import pack

NUM_PICTURES = 3000
BIN = Path(sys.executable).parent
COLUMNS_OF_THE_PLANT = ("oracle", "planted_colour", "planted_arrangement")
SWEEP = Sweep(
    name="demo",
    question="how much of a planted popularity can be seen in the pictures?",
    shards="data/shards/demo",
    trials=14,
    space=Space(
        # A net of 60 thousand parameters trained from nothing takes larger steps than a pretrained one.
        learning_rate=LogUniform(1e-4, 3e-2),
        head_multiplier=LogUniform(1.0, 30.0),
        outlier_sd=(None, 6.0, 3.0, 1.0),
    ),
    shared={
        "net": "tiny",
        "target_scale": "log1p",
        "pictures": 20_000,
        "batch_size": 32,
        "evaluations": 8,
        "curve_points": 40,
        "schedule": "cosine",
    },
    startup_per_task=2,
    paper=True,
)


def demo(home: Path) -> int:
    """Plants, packs, sweeps, reports; returns the exit status."""
    pictures, shards = home / "demo", home / "shards" / "demo"
    if not (pictures / "metadata.csv").exists():  # written last
        print(f"planting {NUM_PICTURES:,} pictures in {pictures}")
        plant(pictures, num_pictures=NUM_PICTURES, seed=0, **EFFECT_WEIGHTS["both"])
    print(pack(pictures / "metadata.csv", shards, keep=COLUMNS_OF_THE_PLANT).text())
    sweep = SWEEP.model_copy(update={"shards": str(shards)})
    result = run_sweep(sweep, RunOptions(home=home))
    if not result.complete:
        print("not all trials are there; the same command goes on")
        return result.exit_code
    verdict = report(home, sweep.name)
    by_name = {predictor.name: predictor.rho_views for predictor in verdict.predictors}
    recipe, oracle, ridge = (by_name[name] for name in (verdict.targets.views.predictor, "oracle", "colour-ridge"))
    assert recipe is not None
    assert oracle is not None
    assert ridge is not None
    strengths = EFFECT_WEIGHTS["both"]
    uri = default_tracking_uri(home)
    print(
        f"\nWhat was planted: log views = {strengths['colour']} × colour + {strengths['arrangement']} × arrangement, and outside the picture "
        f"{strengths['owner']} × owner, {strengths['age']} × age and {strengths['noise']} × heavy-tailed noise. A perfect reader of the pictures "
        f"(the oracle) would reach ρ = {oracle.value:.3f} with views on the {verdict.test.num_pictures:,} test pictures; a ridge on colours "
        f"and edges, which cannot see arrangement, reaches {ridge.value:.3f}. The winner for views of {verdict.num_trials} trials (highest last val "
        f"rho_views), trained again with fresh seeds, reaches {recipe.value:.3f} (95 % interval {recipe.low:.3f} to {recipe.high:.3f}): "
        f"{recipe.value / oracle.value:.0%} of the oracle. "
        f"Report: {home / 'sweeps' / sweep.name / 'report' / 'report.html'}. Curves: {BIN / 'mlflow'} server --backend-store-uri {uri} "
        "--host 127.0.0.1 --port 5000, then http://127.0.0.1:5000, experiment peoria."
    )
    return 0
