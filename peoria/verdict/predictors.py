"""What is judged on the test split: networks, baselines, combinations, an oracle; each a score of every picture."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from peoria.baselines.context import NAME as CONTEXT
from peoria.baselines.suite import every_baseline
from peoria.data.dataset import Dataset, SplitData
from peoria.data.images import Pictures
from peoria.records.folder import SweepFolder
from peoria.records.trials import TrialRecord
from peoria.records.whole import baseline_scores, trial_scores
from peoria.stats.combine import combine
from peoria.tasks import FittedTask, get_task
from peoria.training.checkpoint import load_model
from peoria.training.evaluate import forward_all, network_metrics
from peoria.verdict.judged import Judged
from peoria.verdict.schema import Kind
from shards.labels import Labels
from shards.words import counted

KINDS: tuple[Kind, ...] = ("recipe", "shipped", "paper", "learned", "context", "combined", "trivial", "oracle")
BASELINES = ("learned", "context", "trivial")
CHEAP = ("colour-ridge", "frozen-trunk-ridge")  # what a deep net has to be worth more than


@dataclass(frozen=True)
class PredictorScores:
    """One predictor on the test split. ``views`` and ``favorites`` are the same array for a network, and ``None`` for a constant."""

    name: str
    label: str
    kind: Kind  # recipe: a trial's settings trained again with fresh seeds; oracle: a perfect reader of planted pictures
    views: np.ndarray | None  # float64 [N], of a recipe [S, N], one row a seed
    favorites: np.ndarray | None  # likewise
    losses: dict[str, float] = field(default_factory=dict)

    def score(self, target: str) -> np.ndarray | None:
        """Of ``views`` or ``favorites``: float64 [S, N], one row for what is no recipe."""
        found = self.views if target == "views" else self.favorites
        return None if found is None else np.atleast_2d(np.asarray(found, np.float64))

    def take(self, rows: np.ndarray) -> "PredictorScores":
        """Of some of the pictures."""
        views, favorites = (None if of is None else of[..., rows] for of in (self.views, self.favorites))
        return replace(self, views=views, favorites=favorites)


ORACLE = "oracle"  # a column of planted pictures: what a perfect reader of the picture would score
RANKS = {"rho_views", "gini_fav", "auc_fav", "rank_mean", "score_sd", "score_spread"}


def network_predictors(judged: Judged, test: SplitData) -> dict[str, PredictorScores]:
    found = {}
    for winner in {trial.key: trial for trial in judged.winners.values()}.values():
        if again := judged.seeds.get(winner.key):
            scores = np.stack([network_score(trial, test.pixels) for trial in again])
            name = f"recipe-{winner.key}"
            found[name] = PredictorScores(name, f"{winner.label}, {counted(len(again), 'fresh seed')}", "recipe", scores, scores)
        found[f"trial-{winner.key}"] = network_predictor(winner, test, "shipped")
    for trial in judged.paper:
        found[f"trial-{trial.key}"] = network_predictor(trial, test, "paper")
    return found


def network_predictor(trial: TrialRecord, test: SplitData, kind: Any) -> PredictorScores:
    fitted, outputs = network_outputs(trial, test.pixels)
    losses = {key: value for key, value in network_metrics(fitted, outputs, test.labels).items() if key not in RANKS}
    score = fitted.score(outputs)
    return PredictorScores(f"trial-{trial.key}", trial.label, kind, score, score, losses)


def network_score(trial: TrialRecord, pixels: Pictures) -> np.ndarray:
    """One score a picture, float64 [N]; of a trial that diverged the same for all, which ranks nothing."""
    if trial.status == "diverged":
        return np.zeros(len(pixels))
    fitted, outputs = network_outputs(trial, pixels)
    return fitted.score(outputs)


def network_outputs(trial: TrialRecord, pixels: Pictures) -> tuple[FittedTask, np.ndarray]:
    """In float32 whatever it was trained in, on the GPU where there is one: ranks, and a report, are the same anywhere up to rounding."""
    from peoria.models import exact_float32, pick_device

    net, card = load_model(trial.folder)
    fitted, device = get_task(card.config.task, card.config.plugins).restore(card.task), pick_device("auto")
    with exact_float32():
        return fitted, forward_all(net.to(device), pixels, device=device, autocast=None)


def baseline_predictors(judged: Judged, dataset: Dataset, test: SplitData, tasks: tuple[str, ...]) -> dict[str, PredictorScores]:
    config = judged.winners["views"].config
    found = {}
    for baseline in every_baseline(dataset, config, tasks):
        scores = baseline.predict(test)
        found[baseline.name] = PredictorScores(baseline.name, baseline.label, baseline.kind, scores.views, scores.favorites, scores.losses)
    return found


def with_context(judged: Judged, predictors: dict[str, PredictorScores], folder: SweepFolder, val: Labels) -> dict[str, PredictorScores]:
    """Context and image in one score, joined on val (`context.combine`): for each judged predictor ``context+NAME``."""
    found: dict[str, PredictorScores] = {}
    context = predictors.get(CONTEXT)
    if context is None:
        return found
    stored = baseline_scores(folder.baseline(CONTEXT))
    on_val = {"views": stored.views, "favorites": stored.favorites}
    for target, winner in judged.winners.items():
        image = predictors[judged.name(target)]
        own = context.score(target)
        trials = judged.seeds.get(winner.key, [winner])
        scores = image.score(target)
        rows, counts = val.counted(target)
        y = (counts if target == "views" else counts >= 1).astype(np.float64)
        assert scores is not None
        assert own is not None
        joined = [
            combine(val_score(trial, len(val))[rows], on_val[target][rows], y).score(own[0], score)
            for trial, score in zip(trials, scores, strict=True)
        ]
        name = f"{CONTEXT}+{image.name}"
        before = found.get(name, PredictorScores(name, f"{context.label} and the image", "combined", None, None))
        columns = {"views": before.views, "favorites": before.favorites} | {target: np.stack(joined)}
        found[name] = PredictorScores(name, before.label, "combined", columns["views"], columns["favorites"])
    return found


def val_score(trial: TrialRecord, num_val: int) -> np.ndarray:
    """Of its last evaluation, float64 [N]; as `network_score` of a trial that diverged."""
    if trial.status == "diverged":
        return np.zeros(num_val)
    return trial_scores(trial.folder).views


def oracle_predictor(test: SplitData, control: str | None) -> dict[str, PredictorScores]:
    """What was planted in these pictures, whether by `peoria plant` or by a control; counts that a control reassigned are no picture's."""
    planted = test.oracle
    if planted is None and control is None and ORACLE in test.labels.extra:
        planted = test.labels.extra[ORACLE].astype(np.float64)
    if planted is None:
        return {}
    return {ORACLE: PredictorScores(ORACLE, "oracle (what was planted)", "oracle", planted, planted)}
