"""The test split scored, once it is open: every judged network, every baseline, and what the further questions need."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from peoria.baselines.context import NAME as CONTEXT
from peoria.baselines.context import combine, every_baseline
from peoria.config.sweep import TrialConfig
from peoria.data.controls import noise_pictures
from peoria.data.dataset import Dataset, SplitData, open_dataset, open_split
from peoria.data.images import Pictures
from peoria.data.subsets import complement, subset_mask
from peoria.errors import ReportError
from peoria.records.trials import TrialRecord, winners_of
from peoria.report.contact_sheets import sheet_rows, thumbnails
from peoria.stats import metrics
from peoria.stats.estimates import num_units
from peoria.sweep.follow_ups import PICTURE_SHARE, seed_key
from peoria.tasks import FittedTask, get_task
from peoria.training.checkpoint import load_model
from peoria.training.evaluate import forward_all, network_metrics
from peoria.verdict.judge import PredictorScores
from peoria.verdict.scores import Scored
from shards.inspection.describe import near_duplicates
from shards.labels import Labels
from shards.pack.splits import cap_owners
from shards.read.openings import open_test
from shards.read.shard_set import ShardSet

PURPOSE = "report"
ORACLE = "oracle"  # a column of planted pictures: what a perfect reader of the picture would score
NUM_NOISE = 200  # pictures of white noise
RANKS = {"rho_views", "gini_fav", "auc_fav", "rank_mean", "score_sd"}


@dataclass(frozen=True)
class Judged:
    """Which trials of a finished sweep are taken to the test split, chosen on val alone."""

    winners: dict[str, TrialRecord]  # by target
    paper: list[TrialRecord]
    seeds: dict[str, list[TrialRecord]]  # by winner: its settings trained again
    subsets: list[TrialRecord]  # the views' winner again on parts of train

    @classmethod
    def of(cls, trials: list[TrialRecord]) -> "Judged":
        done = {trial.key: trial for trial in trials if trial.status == "done"}
        # A recipe that diverges on a seed is that much worse: left out, only the seeds that went well would be judged.
        ended = done | {trial.key: trial for trial in trials if trial.status == "diverged"}
        winners = winners_of(trials)
        seeds: dict[str, list[TrialRecord]] = {}
        for winner in winners.values():
            again = [ended[key] for number in range(1, len(ended) + 1) if (key := seed_key(winner.key, number)) in ended]
            if again:
                seeds[winner.key] = again
        views = winners.get("views")
        subsets = [trial for trial in done.values() if views is not None and trial.of == views.key and trial.config.get("subset")]
        return cls(winners, [trial for trial in done.values() if trial.is_paper], seeds, subsets)

    @property
    def keys(self) -> list[str]:
        trials = [*self.winners.values(), *self.paper, *(trial for again in self.seeds.values() for trial in again), *self.subsets]
        return list(dict.fromkeys(trial.key for trial in trials))

    def name(self, target: str) -> str:
        """Of the predictor that is judged for this target: the recipe, or the trial itself where no seed was trained."""
        winner = self.winners[target].key
        return f"recipe-{winner}" if winner in self.seeds else f"trial-{winner}"


def open_and_score(cache: Path, cache_bytes: int | None, folder: Path, sweep: dict[str, Any], judged: Judged, say: Any) -> Scored:
    """Opens the test split, on record first, and scores it."""
    shard_set = ShardSet(Path(sweep["shards"]))
    how: dict[str, Any] = {"control": sweep["control"], "where": sweep["definition"].get("where"), "budget_bytes": cache_bytes, "say": say}
    dataset = open_dataset(shard_set.root, cache, **how)
    if dataset.identity != sweep["identity"]:
        raise ReportError(f"{sweep['shards']}: data {dataset.identity[:12]}; the sweep ran on {sweep['identity'][:12]}")
    shard_set.verify_files(["train", "test"])
    opening = open_test(shard_set.root, sweep=sweep["name"], purpose=PURPOSE)
    say(f"opening {opening.number} of this test set")
    test = open_split(shard_set, "test", cache, opening=opening, train=dataset.train, **how)
    predictors = network_predictors(judged, test) | baseline_predictors(judged, dataset, test, tuple(sweep["tasks"]))
    predictors |= with_context(judged, predictors, folder, dataset.val.labels)
    predictors |= oracle_predictor(test, sweep["control"])
    shipped = predictors[f"trial-{judged.winners['views'].key}"]
    assert shipped.views is not None
    rows = sheet_rows(shipped.views, test.labels.views)
    extra = {f"sheet|{name}": thumbnails(test.pixels, of_sheet) for name, of_sheet in rows.items()}
    extra |= {f"sheet-rows|{name}": of_sheet for name, of_sheet in rows.items()}
    if sweep["control"] is None and (pairs := near_duplicates(shard_set, opening)) is not None:  # counts handed out anew are no picture's
        extra |= {f"copies|{name}": values for name, values in pairs.items()}
    extra["noise"] = network_score(judged.winners["views"], noise_pictures(NUM_NOISE, seed=0))
    train, val = dataset.train.labels, dataset.val.labels
    if CONTEXT in predictors:
        with np.load(folder / "baselines" / CONTEXT / "val_scores.npz") as stored:
            extra |= {"val|image": val_score(judged.winners["views"], len(val)), "val|context": stored["views"], "val|views": val.views}
    extra["val-se"] = np.array(metrics.standard_error(val.views, val.owners))
    extra["sizes|all"] = np.array([num_units(train.owners), len(train)])
    for trial in judged.subsets:
        subset = trial.config["subset"]
        if subset == f"pictures:{PICTURE_SHARE:g}":
            rest = complement(train, subset, dataset.identity)
            surplus = cap_owners(train.owners[rest], train.ids[rest], np.full(rest.sum(), "val"), shard_set.manifest.split_rule)  # as val is capped
            held_out = dataset.train.take(np.flatnonzero(rest)[~surplus])
            for name, split in (("random", held_out), ("owner", dataset.val)):
                extra |= {f"leak-score|{name}": network_score(trial, split.pixels)}
                extra |= {f"leak-views|{name}": split.labels.views, f"leak-owners|{name}": split.labels.owners}
        else:
            seen = subset_mask(train, subset, dataset.identity)
            extra |= {f"subset|{trial.key}": network_score(trial, test.pixels)}
            extra[f"sizes|{trial.key}"] = np.array([num_units(train.owners[seen]), seen.sum()])
    found = Scored(predictors, test.labels, opening.number, extra)
    found.write(folder, signature(sweep, judged))
    return found


def signature(sweep: dict[str, Any], judged: Judged) -> dict[str, Any]:
    """What stored scores belong to: other data or another trial need another opening."""
    return {"identity": sweep["identity"], "control": sweep["control"], "judged": judged.keys}


def network_predictors(judged: Judged, test: SplitData) -> dict[str, PredictorScores]:
    found = {}
    for winner in {trial.key: trial for trial in judged.winners.values()}.values():
        if again := judged.seeds.get(winner.key):
            scores = np.stack([network_score(trial, test.pixels) for trial in again])
            name = f"recipe-{winner.key}"
            found[name] = PredictorScores(name, f"{winner.label}, {len(again)} fresh seeds", "recipe", scores, scores)
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
    import torch

    net, card = load_model(trial.folder)
    fitted = get_task(card["config"]["task"]).restore(card["task"])
    # On the CPU and in float32 whatever it was trained on, so that a report can be made again anywhere.
    return fitted, forward_all(net, pixels, device=torch.device("cpu"), autocast=None)


def baseline_predictors(judged: Judged, dataset: Dataset, test: SplitData, tasks: tuple[str, ...]) -> dict[str, PredictorScores]:
    config = TrialConfig.model_validate(judged.winners["views"].config)
    found = {}
    for baseline in every_baseline(dataset, config, tasks):
        scores = baseline.predict(test)
        found[baseline.name] = PredictorScores(baseline.name, baseline.label, baseline.kind, scores.views, scores.favorites, scores.losses)
    return found


def with_context(judged: Judged, predictors: dict[str, PredictorScores], folder: Path, val: Labels) -> dict[str, PredictorScores]:
    """Context and image in one score, joined on val (`context.combine`): for each judged predictor ``context+NAME``."""
    found: dict[str, PredictorScores] = {}
    context = predictors.get(CONTEXT)
    if context is None:
        return found
    with np.load(folder / "baselines" / CONTEXT / "val_scores.npz") as stored:
        on_val = {"views": stored["views"], "favorites": stored["favorites"]}
    truth = {"views": val.views.astype(np.float64), "favorites": None if val.favorites is None else (val.favorites >= 1).astype(np.float64)}
    for target, winner in judged.winners.items():
        image = predictors[judged.name(target)]
        own = context.score(target)
        trials = judged.seeds.get(winner.key, [winner])
        scores = image.score(target)
        y = truth[target]
        assert scores is not None
        assert own is not None
        assert y is not None
        joined = [combine(val_score(trial, len(val)), on_val[target], y).score(own[0], score) for trial, score in zip(trials, scores, strict=True)]
        name = f"{CONTEXT}+{image.name}"
        before = found.get(name, PredictorScores(name, f"{context.label} and the image", "combined", None, None))
        columns = {"views": before.views, "favorites": before.favorites} | {target: np.stack(joined)}
        found[name] = PredictorScores(name, before.label, "combined", columns["views"], columns["favorites"])
    return found


def val_score(trial: TrialRecord, num_val: int) -> np.ndarray:
    """Of its last evaluation, float64 [N]; as `network_score` of a trial that diverged."""
    if trial.status == "diverged":
        return np.zeros(num_val)
    with np.load(trial.folder / "val_scores.npz") as stored:
        return np.asarray(stored["scores"], np.float64)


def oracle_predictor(test: SplitData, control: str | None) -> dict[str, PredictorScores]:
    """What was planted in these pictures, whether by `peoria plant` or by a control; counts that a control handed out anew are no picture's."""
    planted = test.oracle
    if planted is None and control is None and ORACLE in test.labels.extra:
        planted = test.labels.extra[ORACLE].astype(np.float64)
    if planted is None:
        return {}
    return {ORACLE: PredictorScores(ORACLE, "oracle (what was planted)", "oracle", planted, planted)}


def on_val(folder: Path) -> dict[str, dict[str, float]]:
    """By baseline, its rank metrics on val, keys without the split."""
    found = {}
    for path in sorted(folder.glob("baselines/*/baseline.json")):
        read = json.loads(path.read_text())
        found[read["name"]] = {key.removeprefix("val/"): value for key, value in read["metrics"].items()}
    return found
