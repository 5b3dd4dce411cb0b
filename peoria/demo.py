"""The whole study on pictures whose popularity was planted, so that anybody can see within minutes whether it finds what is there."""

import sys
import textwrap
from pathlib import Path

from peoria.aloud import WIDTH
from peoria.borders import folded
from peoria.config.space import LogUniform, Space
from peoria.config.sweep import Sweep
from peoria.data.synthetic import EFFECT_WEIGHTS, plant
from peoria.report.build import report
from peoria.screens import screen_for
from peoria.stats.metrics import detectable
from peoria.sweep.board import shown_on
from peoria.sweep.plan import OF_A_DIFFERENCE
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from shards.manifest import SplitRule
from shards.pack.pack import pack

NUM_PICTURES = 4000
SPLITS = SplitRule(train=0.5, val=0.3, test=0.2)  # val has to choose among settings: a tenth of so few pictures does so by luck
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
    rungs=(0.125, 0.5),  # of so few trials more would leave one
    paper=True,
)


def demo(home: Path) -> int:
    """Plants, packs, sweeps, reports; returns the exit status."""
    pictures, shards = home / "demo", home / "shards" / "demo"
    if not (pictures / "metadata.csv").exists():  # written last
        print(f"planting {NUM_PICTURES:,} pictures in {pictures}")
        plant(pictures, num_pictures=NUM_PICTURES, seed=0, **EFFECT_WEIGHTS["both"])
    print(folded(pack(pictures / "metadata.csv", shards, keep=COLUMNS_OF_THE_PLANT, split_rule=SPLITS).text()))
    sweep = SWEEP.model_copy(update={"shards": str(shards)})
    with screen_for() as screen, shown_on(screen):
        result = run_sweep(sweep, RunOptions(home=home))
    if not result.complete:
        print(folded(f"{result.left}; the same command goes on"))
        return result.exit_code
    verdict = report(home, sweep.name)
    by_name = {predictor.name: predictor.rho_views for predictor in verdict.predictors}
    recipe, oracle, ridge = (by_name[name] for name in (verdict.targets.views.predictor, "oracle", "colour-ridge"))
    assert recipe is not None
    assert oracle is not None
    assert ridge is not None
    about, winner = result.folder.read_definition(), verdict.winners.views
    by = "" if winner.fresh is None else f" (the best {winner.num_candidates} by val rho_views, each with two fresh seeds)"
    strengths = EFFECT_WEIGHTS["both"]
    found = (
        f"What was planted: log views = {strengths['colour']} × colour + {strengths['arrangement']} × arrangement, and outside the picture "
        f"{strengths['owner']} × owner, {strengths['age']} × age and {strengths['noise']} × heavy-tailed noise. A perfect reader of the pictures "
        f"(the oracle) would reach ρ = {oracle.value:.3f} with views on the {verdict.test.num_pictures:,} test pictures; a ridge on colours "
        f"and edges, which cannot see arrangement, reaches {ridge.value:.3f}. The winner for views of {verdict.num_trials} trials{by}, trained "
        f"with {SWEEP.seeds} fresh seeds, reaches {recipe.value:.3f} "
        f"(95 % interval {recipe.low:.3f} to {recipe.high:.3f}): {recipe.value / oracle.value:.0%} of the oracle. "
        f"Val, {about.num_val:,} pictures, tells two good settings apart where they differ by about "
        f"{OF_A_DIFFERENCE * detectable(about.se_objective):.2f}: among closer ones luck chose. "
        f"Report: {home / 'sweeps' / sweep.name / 'report' / 'report.html'}. Curves: {BIN / 'peoria'} ui {sweep.name} --home {home}."
    )
    print(f"\n{textwrap.fill(found, WIDTH, break_long_words=False, break_on_hyphens=False)}")
    return 0
