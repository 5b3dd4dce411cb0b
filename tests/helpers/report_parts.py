"""What a finished sweep hands to the report, simulated: every number comes from the functions that a real report calls."""

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import numpy as np

from peoria.config.trial import TrialConfig
from peoria.paper.replication import remade
from peoria.records.folder import TrialFolder
from peoria.records.schema import BaselineRecord, Environment, Purpose, ReportRun, SweepRecord, TrialStatus
from peoria.records.trials import TrialRecord
from peoria.report.build import chosen_of
from peoria.report.contact_sheets import sheets
from peoria.report.search_charts import TrialCurve
from peoria.stats.estimates import Resampling
from peoria.verdict import questions, scores
from peoria.verdict.contact_rows import sheet_rows
from peoria.verdict.judged import Judged
from peoria.verdict.predictors import PredictorScores
from peoria.verdict.schema import Target, Verdict
from shards.labels import Labels
from tests.helpers.worlds import judged, world

IDENTITY = "ab" * 32
LENGTH = 40_000
TASKS = ("classification", "hybrid", "regression")
WINNER = 7
CUTOFF = "2015-05-01"
SUBSETS = {  # and how often each is trained
    **{"owners:0.125": 1, "owners:0.25": 1, "owners:0.5": 3, "pictures:0.8": 1},
    **{f"before:{CUTOFF}": 3, f"matched:{CUTOFF}/1": 1, f"matched:{CUTOFF}/2": 1, f"matched:{CUTOFF}/3": 1},
}
HEIGHTS = {"classification": 0.35, "hybrid": 4.1, "regression": 52_000.0}  # of the training loss
NATIVE = {"classification": "log_loss_fav", "hybrid": "half_mse_bin", "regression": "half_mse_views"}
CONSTANTS = {"classification": "log_loss_fav_prior", "hybrid": "half_mse_bin_mean_bin", "regression": "half_mse_views_mean"}


@dataclass(frozen=True)
class Simulated(TrialRecord):
    """A trial without a folder."""

    curve: tuple[tuple[int, dict[str, float]], ...] = ()

    def points(self) -> list[tuple[int, dict[str, float]]]:
        return list(self.curve)


def parts(
    seed: int = 0,
    num_resamples: int = 60,
    num_trials: int = 24,
    *,
    asked: bool = True,
    control: str | None = None,
    opening: int = 3,
    **how: Any,
) -> dict[str, Any]:
    """The arguments of ``render_report``. ``asked``: further questions were; else none of their trials was trained."""
    rng = np.random.default_rng(seed)
    simulated, labels = world(seed, **({"shape": 0.5, "colour": 0.3, "fame": 0.4, "age": 0.3} | how))
    predictors = {p.name: p for p in (replace(p, name=p.name.replace("paper-", "trial-paper-")) for p in simulated.values())}
    trials: list[TrialRecord] = [searched(rng, number) for number in range(num_trials)]
    trials += [of_paper(rng, task) for task in TASKS]
    trials += [probe(rng, f"seed-{k}", f"again, seed {k}", seed=k) for k in (1, 2, 3)]
    trials += on_parts(rng) if asked else []
    shipped = predictors["trial-0007"].views
    assert shipped is not None
    scored = opened(rng, predictors, labels, opening, trials)
    found = judged(predictors, labels, num_resamples=num_resamples, opening=opening)
    with mock.patch.object(questions, "Resampling", functools.partial(Resampling, num_resamples=num_resamples)):
        answers = questions.answer(scored, Judged.of(SWEEP, trials), trials)
    paper = None
    if control is None:
        train, val = (counted(labels, rng, times) for times in (3, 1))
        paper = remade(train, val, trials, found.predictors)
    targets: dict[Target, str] = {target: of.predictor for target, of in found.targets.known}
    verdict = Verdict(
        **dict(found),
        sweep="demo",
        identity=IDENTITY,
        control=control,
        where=None,
        num_trials=num_trials,
        winners=chosen_of(trials, Judged.of(SWEEP, trials), targets, "val/rank_mean"),
        questions=answers,
        paper=paper,
        data=None,
    )
    rows = sheet_rows(shipped, labels.views)
    contact = sheets(shipped, labels, rows, {name: painted(rng, of_sheet) for name, of_sheet in rows.items()})
    curves = [TrialCurve.of(one) for one in trials]
    run = ReportRun(written_at="2026-01-02 03:04:05", host="desk", pid=41, environment=ENVIRONMENT)
    return {"verdict": verdict, "sweep": SWEEP, "curves": curves, "baselines": baselines(), "run": run, "contact": contact}


def searched(rng: np.random.Generator, number: int) -> Simulated:
    task = TASKS[number % 3]
    unfinished: tuple[TrialStatus, ...] = ("pruned", "pruned", "diverged", "failed")
    status: TrialStatus = "done" if number % 3 == 1 or number in (WINNER, 9, 12) else unfinished[number % 4]
    rate = round(10 ** rng.uniform(-5, -2), 8)
    config: dict[str, Any] = {"task": task, "learning_rate": rate, "head_multiplier": round(10 ** rng.uniform(0, 2), 4)}
    config |= {"outlier_sd": (None, 6.0, 3.0)[number % 5 % 3], "trunk": "trained", "pictures": LENGTH, "batch_size": 50}
    top = 0.42 if number == WINNER else float(0.05 + 0.3 * np.exp(-((np.log10(rate) + 3.3) ** 2)) + 0.02 * rng.normal())
    end = LENGTH if status == "done" else LENGTH * int(rng.integers(1, 4)) // 8
    return trial(rng, f"{number:04d}", f"{number:04d} {task} lr {rate:.1e}", config, status, end, top)


def of_paper(rng: np.random.Generator, task: str) -> Simulated:
    config = {"task": task, "learning_rate": 1e-8, "head_multiplier": 20.0, "outlier_sd": 6.0, "pictures": LENGTH, "batch_size": 50}
    label = f"the paper's hyper-parameters on caffenet ({task})"
    return trial(rng, f"paper-{task}", label, config, "done", LENGTH, 0.36 * rng.random(), purpose="paper")


def probe(rng: np.random.Generator, key: str, label: str, **changes: Any) -> Simulated:
    config = {"task": TASKS[WINNER % 3], "learning_rate": 1.2e-3, "pictures": LENGTH, "batch_size": 50} | changes
    of = f"{WINNER:04d}"
    return trial(rng, f"{of}-{key}", f"{of} {label}", config, "done", LENGTH, 0.38, purpose="subset" if "subset" in changes else "reseed", of=of)


def on_parts(rng: np.random.Generator) -> list[Simulated]:
    """The winner again on each part of train."""
    again = [(subset, f"-{k}" if k > 1 else "") for subset, times in SUBSETS.items() for k in range(1, times + 1)]
    return [probe(rng, subset.translate({58: "-", 47: "-"}) + k, f"on {subset}{k}", subset=subset) for subset, k in again]


def trial(
    rng: np.random.Generator,
    key: str,
    label: str,
    config: dict[str, Any],
    status: TrialStatus,
    end: int,
    top: float,
    purpose: Purpose = "search",
    of: str | None = None,
) -> Simulated:
    task = config["task"]
    points = []
    for k, step in enumerate(range(LENGTH // 40, end + 1, LENGTH // 40), start=1):
        loss = HEIGHTS[task] * (0.8 + np.exp(-step / 8000) + 0.05 * rng.normal())
        found = {"train/loss": round(float(loss), 6)}
        if k % 5 == 0:
            value = round(float(top * (1 - np.exp(-step / 9000)) + 0.008 * rng.normal()), 6)
            found |= {"val/rank_mean": value, "val/rho_views": round(value - 0.01, 6), "val/gini_fav": round(value + 0.01, 6)}
            found |= {f"val/{NATIVE[task]}": round(0.95 * HEIGHTS[task], 6), f"val/{CONSTANTS[task]}": HEIGHTS[task]}
        points.append((step, found))
    last = {name: value for _, found in points for name, value in found.items() if name.startswith("val/")}
    return Simulated(
        key=key,
        label=label,
        purpose=purpose,
        of=of,
        config=TrialConfig.model_validate(config),
        status=status,
        objective=last.get("val/rank_mean"),
        metrics=last,
        error=None,
        started_at=0.0,
        ended_at=1.0,
        folder=TrialFolder(Path("nowhere")),
        curve=tuple(points),
    )


def opened(
    rng: np.random.Generator, predictors: dict[str, PredictorScores], labels: Labels, opening: int, trials: list[TrialRecord]
) -> scores.TestScores:
    """What an opened test split leaves; without contact sheets and copies."""
    score = predictors[f"trial-{WINNER:04d}"].views
    assert score is not None
    noise = np.quantile(score, 0.2) + 0.05 * rng.normal(size=200)
    subsets, leak = {}, None
    for one in trials:
        kind, _, share = (one.config.subset or "").partition(":")
        if kind == "owners":
            seen = scores.TrainSize(int(2800 * float(share)), int(8400 * float(share)))
            subsets[one.key] = scores.SubsetScores(score + 0.3 * float(share) ** -0.5 * rng.normal(size=len(score)), seen)
        elif kind in ("before", "matched"):
            noisy = 0.5 if kind == "before" else 0.1
            subsets[one.key] = scores.SubsetScores(score + noisy * rng.normal(size=len(score)), scores.TrainSize(2200, 6700))
        elif kind == "pictures":
            sides = []
            for noisy, owner in ((0.1, "train"), (0.6, "val")):
                owners = np.array([f"{owner}{k // 6}" if labels.owners[0] else "" for k in range(1200)])
                sides.append(scores.LeakSide(score[:1200] + noisy * rng.normal(size=1200), labels.views[:1200], owners))
            leak = scores.LeakScores(*sides)
    train = scores.TrainSize(2800, 8400)
    return scores.TestScores(predictors, labels, opening, 0.021, noise, train, {}, subsets, leak, None)


def counted(labels: Labels, rng: np.random.Generator, times: int) -> Labels:
    """Another split with such counts."""
    found = labels.take(rng.integers(0, len(labels), times * 400))
    return replace(found, comments=rng.poisson(0.4, len(found)))


def painted(rng: np.random.Generator, rows: np.ndarray) -> np.ndarray:
    """Pictures of two colours: uint8 [K, 112, 112, 3]."""
    ramp = np.linspace(0, 1, 112)[:, None, None]
    first, second = (rng.integers(40, 230, (len(rows), 1, 1, 3)) for _ in range(2))
    return np.broadcast_to(first * (1 - ramp) + second * ramp, (len(rows), 112, 112, 3)).astype(np.uint8)


def baselines() -> list[BaselineRecord]:
    def baseline(name: str, label: str, kind: Literal["trivial", "learned", "context"], value: float) -> BaselineRecord:
        return BaselineRecord(name=name, label=label, kind=kind, metrics={"val/rank_mean": value}, constants={})

    return [
        *(baseline(f"trivial-{task}", f"constants ({task})", "trivial", 0.0) for task in TASKS),
        baseline("random-score", "random score", "trivial", -0.012),
        baseline("colour-ridge", "colour ridge", "learned", 0.187),
        baseline("context", "context (age)", "context", 0.094),
    ]


ENVIRONMENT = Environment(
    git_commit="c0ffee" * 6 + "c0ff",
    git_dirty=False,
    lock_sha256="1" * 64,
    machine="Linux x86_64, 2 cores, no GPU",
    python="3.11.7",
    versions={"torch": "2.14.1", "ray": "2.60.0"},
)
SWEEP = SweepRecord(
    sweep_id="5" * 32,
    name="demo",
    question="how much of it is in the picture?",
    definition={"name": "demo", "space": {"task": list(TASKS), "outlier_sd": [None, 6.0, 3.0]}},
    trials=24,
    shards="data/shards/demo",
    identity=IDENTITY,
    control=None,
    where=None,
    storage="journal",
    environment=ENVIRONMENT,
    environments=(ENVIRONMENT,),
    started_at=1_700_000_000.0,
    tasks=TASKS,
    objective="rank_mean",
    se_objective=0.021,
    val_keys_sha256="2" * 64,
    num_train=8_400,
    num_val=1_200,
)
