"""The one way to the test split: opens it on record, judges, writes the report. Asked again, it renders what it found and opens nothing."""

import io
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from peoria.baselines import all_baselines
from peoria.book import write_json
from peoria.checkpoint import load_model
from peoria.config import TrialConfig
from peoria.data import Dataset, SplitData, open_dataset, open_split
from peoria.errors import ReportError
from peoria.evaluate import forward_all, network_metrics
from peoria.records import TrialRecord, best_of, is_finished, read_definition, read_trials, sweep_folder
from peoria.statements import FROZEN
from peoria.tasks import get_task
from peoria.verdict import PredictorScores, judge
from shards.labels import Labels
from shards.manifest import write_atomic
from shards.openings import open_test
from shards.read import ShardSet

SCORES = "test_scores.npz"
WIDTH = 150
PURPOSE = "report"
ORACLE = "oracle"  # a column of planted pictures: what a perfect reader of the picture would score


def report(
    home: Path, name: str, *, tracking: str | None = None, cache: Path | None = None, cache_bytes: int | None = None, say: Any = print
) -> dict[str, Any]:
    """Judges a finished sweep; the verdict as in ``report/verdict.json``.

    Raises:
        ReportError: no such sweep, or it is not finished, or no trial did.
        DamagedShardError: a shard of the test split is not what was packed.
    """
    folder = sweep_folder(home, name)
    sweep, trials = read_definition(folder), read_trials(folder)
    best = best_of(trials)
    if not is_finished(folder):
        raise ReportError(
            f"sweep {name}: not finished; the test split is opened once, when nothing more will be chosen",
            hint=f"peoria status {name}; the command that ran the sweep goes on with it, and --trials makes it shorter",
        )
    if best is None:
        raise ReportError(f"sweep {name}: no trial finished; one has to be judged", hint="see the error of each trial in its outcome.json")
    judged = [best, *(trial for trial in trials if trial.fixed and trial.status == "done")]
    found = stored_scores(folder, sweep, judged) or open_and_score(cache or home / "cache", cache_bytes, folder, sweep, judged, say)
    scores, labels, opening = found
    for trial in trials:
        if trial.fixed and trial.status != "done":
            say(f"not judged: {trial.label}, which {trial.status}")
    verdict = {"sweep": name, "identity": sweep["identity"], "control": sweep["control"], "opening": opening, **judge(scores, labels)}
    if best.config["trunk"] == "frozen":
        verdict["statements"].append(FROZEN)
    verdict |= {"num_trials": sum(not trial.fixed for trial in trials), "best": {"key": best.key, "config": best.config, "val": best.metrics}}
    write_report(folder, verdict, sweep, trials, say)
    if tracking != "off":
        deliver(home, folder, tracking, say)
    return verdict


def open_and_score(
    cache: Path, cache_bytes: int | None, folder: Path, sweep: dict[str, Any], judged: list[TrialRecord], say: Any
) -> tuple[dict[str, PredictorScores], Labels, int]:
    """Opens the test split, on record first, and scores it with the judged trials and every baseline."""
    shard_set = ShardSet(Path(sweep["shards"]))
    if shard_set.manifest.identity != sweep["identity"]:
        raise ReportError(f"{sweep['shards']}: data {shard_set.manifest.identity[:12]}; the sweep ran on {sweep['identity'][:12]}")
    shard_set.verify_files(["train", "test"])
    dataset = open_dataset(shard_set.root, cache, control=sweep["control"], budget_bytes=cache_bytes, say=say)
    opening = open_test(shard_set.root, sweep=sweep["name"], purpose=PURPOSE)
    say(f"opening {opening.number} of this test set")
    test = open_split(shard_set, "test", cache, control=sweep["control"], opening=opening, budget_bytes=cache_bytes, say=say)
    scores = {f"trial-{trial.key}": network_scores(trial, test) for trial in judged}
    scores |= baseline_scores(judged[0], dataset, test, tuple(sweep["tasks"]))
    if ORACLE in test.labels.extra and sweep["control"] is None:  # shuffled counts are nothing that a picture could tell
        oracle = test.labels.extra[ORACLE].astype(np.float64)
        scores[ORACLE] = PredictorScores(ORACLE, "oracle (what was planted)", "oracle", oracle, oracle, {})
    store_scores(folder, sweep, judged, scores, test.labels, opening.number)
    return scores, test.labels, opening.number


def network_scores(trial: TrialRecord, test: SplitData) -> PredictorScores:
    import torch

    net, card = load_model(trial.folder)
    fitted = get_task(card["config"]["task"]).restore(card["task"])
    # On the CPU and in float32 whatever it was trained on, so that a report can be made again anywhere.
    outputs = forward_all(net, test.pixels, device=torch.device("cpu"), autocast=None)
    found = network_metrics(fitted, outputs, test.labels)
    score = fitted.score(outputs)
    ranks = {"rho_views", "gini_fav", "auc_fav", "rank_mean", "score_sd"}
    losses = {key: value for key, value in found.items() if key not in ranks}
    return PredictorScores(f"trial-{trial.key}", trial.label, "paper" if trial.fixed else "best", score, score, losses)


def baseline_scores(best: TrialRecord, dataset: Dataset, test: SplitData, tasks: tuple[str, ...]) -> dict[str, PredictorScores]:
    found: dict[str, PredictorScores] = {}
    for baseline in all_baselines(dataset, TrialConfig.model_validate(best.config), tasks):
        scores = baseline.predict(test)
        found[baseline.name] = PredictorScores(baseline.name, baseline.label, baseline.kind, scores.views, scores.favorites, scores.losses)
    return found


# -- what was found when the test split was opened


def signature(sweep: dict[str, Any], judged: list[TrialRecord]) -> dict[str, Any]:
    """What stored scores belong to: other data or another best trial need another opening."""
    return {"identity": sweep["identity"], "control": sweep["control"], "judged": [trial.key for trial in judged]}


def store_scores(
    folder: Path, sweep: dict[str, Any], judged: list[TrialRecord], scores: dict[str, PredictorScores], labels: Labels, opening: int
) -> None:
    """Scores and the labels they are judged by, so that rendering again opens nothing."""
    arrays: dict[str, np.ndarray] = {}
    described = []
    for name, predictor in scores.items():
        for column in ("views", "favorites"):
            values = getattr(predictor, column)
            if values is not None:
                arrays[f"{name}|{column}"] = values
        described.append({"name": name, "label": predictor.label, "kind": predictor.kind, "losses": predictor.losses})
    for column in ("keys", "ids", "owners", "views", "favorites", "comments", "uploaded_at", "observed_at"):
        values = getattr(labels, column)
        if values is not None:
            arrays[f"label|{column}"] = values
    meta = {"signature": signature(sweep, judged), "predictors": described, "opening": opening}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, meta=np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8), **arrays)  # type: ignore[arg-type]
    write_atomic(folder / "report" / SCORES, buffer.getvalue())


def stored_scores(folder: Path, sweep: dict[str, Any], judged: list[TrialRecord]) -> tuple[dict[str, PredictorScores], Labels, int] | None:
    path = folder / "report" / SCORES
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as arrays:
        meta = json.loads(arrays["meta"].tobytes())
        if meta["signature"] != signature(sweep, judged):
            return None
        columns = {name.removeprefix("label|"): arrays[name] for name in arrays.files if name.startswith("label|")}
        scores = {}
        for p in meta["predictors"]:
            views, favorites = (arrays[key] if (key := f"{p['name']}|{column}") in arrays.files else None for column in ("views", "favorites"))
            scores[p["name"]] = PredictorScores(p["name"], p["label"], p["kind"], views, favorites, p["losses"])
    return scores, Labels(**columns), meta["opening"]


# -- what people see


def write_report(folder: Path, verdict: dict[str, Any], sweep: dict[str, Any], trials: list[TrialRecord], say: Any) -> None:
    from rich.console import Console

    from peoria.html import render_report, render_table

    target = folder / "report"
    write_json(target / "verdict.json", verdict)
    run = {"written_at": time.strftime("%Y-%m-%d %H:%M:%S"), "host": socket.gethostname(), "pid": os.getpid(), "environment": sweep["environment"]}
    write_json(target / "run.json", run)
    curves = {
        trial.key: {
            "label": trial.label,
            "status": trial.status,
            "fixed": trial.fixed,
            "task": trial.config["task"],
            "points": [{"step": step, "metrics": values} for step, values in trial.points()],
        }
        for trial in trials
    }
    baselines = [json.loads(path.read_text()) for path in sorted(folder.glob("baselines/*/baseline.json"))]
    write_atomic(target / "report.html", render_report(verdict, sweep, curves, baselines, run).encode())
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)  # a file or a pipe has no width of its own
    console.print(render_table(verdict, console.width))
    say(verdict["headline"])
    for statement in verdict["statements"]:
        say(f"- {statement}")
    say(f"report: {target / 'report.html'}")


def deliver(home: Path, folder: Path, tracking: str | None, say: Any) -> None:
    """The report to MLflow, beside the curves."""
    from peoria.projector import Projector
    from peoria.stores import default_tracking_uri
    from peoria.tracking import Tracker

    uri = tracking or default_tracking_uri(home)
    undelivered = Projector(Tracker(uri), folder).close(timeout_s=120)
    say(undelivered or f"MLflow: {uri}, experiment peoria, run {folder.name}")
