"""Simulated test splits of which it is known what the score is made of."""

from typing import Any

import numpy as np

from peoria.stats.clusters import Clusters
from peoria.verdict.judge import judge
from peoria.verdict.predictors import PredictorScores
from peoria.verdict.schema import Judgement, Target
from peoria.verdict.sentences import all_said
from shards.labels import Labels

START = np.datetime64("2014-01-01T00:00:00", "s")
READ = np.datetime64("2016-01-01T00:00:00", "s")


def world(
    seed: int = 0,
    *,
    num_owners: int = 400,
    of_owner: int = 6,
    shape: float = 0.0,
    colour: float = 0.0,
    fame: float = 0.0,
    age: float = 0.0,
    owners_known: bool = True,
    dates_known: bool = True,
    favorites_known: bool = True,
) -> tuple[dict[str, PredictorScores], Labels]:
    """A network that sees shape, colour, the owner's looks and age, a ridge that sees colour, and views that are made of each by its weight."""
    rng = np.random.default_rng(seed)
    n = num_owners * of_owner
    owner = np.repeat(np.arange(num_owners), of_owner)
    shape_seen, colour_seen = rng.normal(size=n), rng.normal(size=n)
    looks = rng.normal(size=num_owners)[owner]
    # Pictures of an owner lie within a month of each other or a year apart.
    days = np.clip(rng.integers(0, 650, num_owners)[owner] + rng.integers(0, 60, n), 0, 729)
    years = days / 365 - 1
    logs = 3 + shape * shape_seen + colour * colour_seen + fame * looks - age * years + 0.7 * rng.normal(size=n)
    views = np.floor(np.exp(logs)).astype(np.int64)
    favorites = (logs + rng.normal(size=n) > 4.5).astype(np.int64)
    network = shape * shape_seen + colour * colour_seen + fame * looks - age * years + 0.3 * rng.normal(size=n)
    ridge = colour * colour_seen + 0.3 * rng.normal(size=n)
    chance = rng.normal(size=n)
    labels = Labels(
        keys=np.array([f"{k:09d}" for k in range(n)]),
        ids=np.arange(n).astype(str),
        owners=owner.astype(str) if owners_known else np.full(n, ""),
        views=views,
        favorites=favorites if favorites_known else None,
        uploaded_at=START + days * np.timedelta64(86_400, "s") if dates_known else None,
        observed_at=np.full(n, READ) if dates_known else None,
    )
    seeds = np.stack([network + 0.1 * rng.normal(size=n) for _ in range(3)])
    predictors = [
        PredictorScores("recipe-0007", "trial 7, 3 fresh seeds", "recipe", seeds, seeds),
        PredictorScores("trial-0007", "trial 7", "shipped", network, network, {"half_mse_views": 4321.5}),
        PredictorScores("paper-regression", "the paper's regression", "paper", chance[::-1], chance[::-1], {"half_mse_views": 5432.25}),
        PredictorScores("trivial-regression", "constants (regression)", "trivial", None, None, {"half_mse_views (train mean)": 6543.75}),
        PredictorScores("random-score", "random score", "trivial", chance, chance),
        PredictorScores("colour-ridge", "colour ridge", "learned", ridge, ridge, {"half_mse_views": 5000.125}),
        PredictorScores("context", "context (age)", "context", -years, -years),
        PredictorScores("context+recipe-0007", "context (age) and the image", "combined", seeds - 2 * years, seeds - 2 * years),
    ]
    return {p.name: p for p in predictors}, labels


def judged(scores: dict[str, PredictorScores], labels: Labels, **how: Any) -> Judgement:
    """The verdict on the recipe, for views and where they are known favourites."""
    winner = "recipe-0007" if "recipe-0007" in scores else "trial-0007"
    winners: dict[Target, str] = {"views": winner} if labels.favorites is None else {"views": winner, "favorites": winner}
    return judge(scores, labels, Clusters.of(labels.owners), winners=winners, **({"num_resamples": 200} | how))


def said(verdict: Judgement) -> str:
    """Every sentence of a verdict."""
    return "\n".join(all_said(verdict))
