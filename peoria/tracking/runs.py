"""One run as the sweep folder tells it: what MLflow is to hold, worked out from files alone, so that any later pass comes to the same."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peoria.records.folder import BaselineFolder, SweepFolder, TrialFolder
from peoria.records.points import read_points
from peoria.records.schema import BaselineRecord, RunState, SweepRecord
from peoria.records.trials import read_trial
from peoria.tracking.best import BestSoFar, TrialEnd
from peoria.tracking.curves import MetricPoint, curve, is_finite, thinned
from peoria.tracking.verdict_file import Said, TestNumbers
from peoria.tracking.words import NOTE, ROLES, as_params, as_tags, baseline_note, flat, sweep_axes, trial_axes, trial_name, trial_note

_SWEEP_PARAMS = ("trials", "shards", "tasks", "objective", "se_objective", "control", "where", "num_train", "num_val")
# A pruned trial has done its work; that it was pruned is told by its tag `status`.
_TRIAL_STATUS = {"done": "FINISHED", "pruned": "FINISHED", "diverged": "FINISHED", "failed": "FAILED", "infeasible": "FAILED"}
_SWEEP_STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


@dataclass(frozen=True)
class TrackedRun:
    """A sweep, a trial, a baseline, or the mean of fresh seeds. ``kind`` and ``key`` name it within its sweep."""

    kind: str  # "sweep", "trial", "baseline" or "mean"
    key: str  # "" for the sweep
    name: str
    started_ms: int
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    points: tuple[MetricPoint, ...] = ()
    status: str = "RUNNING"  # MLflow's word
    ended_ms: int | None = None
    artifacts: dict[str, Path] = field(default_factory=dict)  # path in the run → file
    test: TestNumbers | None = None

    @property
    def marker(self) -> str:
        """The metric that every point carries with its own step as value: its last value tells which points a run has."""
        return "trials_ended" if self.kind == "sweep" else "pictures_seen"


def sweep_run(folder: SweepFolder, sweep: SweepRecord, over: RunState | None, so_far: BestSoFar, said: Said) -> TrackedRun:
    note = "\n\n".join(text for text in (sweep.question, said.headline) if text)
    tags: dict[str, Any] = {"role": "sweep", NOTE: note or None, "val_keys_sha256": sweep.val_keys_sha256}
    tags |= flat(sweep.environment.model_dump(), "environment")
    tags["mlflow.source.git.commit"] = tags.get("environment.git_commit")
    choice = so_far.choice(sweep)
    tags |= {f"winner_for_{target}": words for target, words in so_far.said(choice).items()}
    if (best := so_far.best) is not None:
        tags["best_by_objective"] = f"{best.key}, best by objective ({sweep.objective} {best.objective:+.3f})"
    return TrackedRun(
        kind="sweep",
        key="",
        name=sweep.name,
        started_ms=int(sweep.started_at * 1000),
        params=as_params(flat(sweep.definition | {name: getattr(sweep, name) for name in _SWEEP_PARAMS})) | sweep_axes(sweep),
        tags=as_tags(tags | said.answers),
        points=so_far.points(ended=over is not None),
        status="RUNNING" if over is None else _SWEEP_STATUS[over.status],
        ended_ms=None if over is None else int(over.ended_at * 1000),
        artifacts=_artifacts(folder, choice.winners),
        test=said.of_sweep,
    )


def _artifacts(folder: SweepFolder, winners: Mapping[str, str]) -> dict[str, Path]:
    """Of a report, with the cards of the models that won; nothing before."""
    found = {path.name: path for path in folder.report_files}
    if folder.page.is_file():
        found |= {f"model_card_{target}.json": folder.trial(key).model_card for target, key in winners.items()}
    return {name: path for name, path in found.items() if path.is_file()}


def trial_run(folder: TrialFolder, over: RunState | None, sweep: SweepRecord) -> tuple[TrackedRun, TrialEnd]:
    """
    Raises:
        RecordError: a file of it cannot be read.
    """
    trial, raw = read_trial(folder), read_points(folder.points)
    diverged = any(isinstance(value, float) and not math.isfinite(value) for _, metrics in raw for value in metrics.values())
    tags: dict[str, Any] = {"role": ROLES[trial.purpose], "of": trial.of, "label": trial.label, "status": trial.status}
    tags["val_keys_sha256"] = sweep.val_keys_sha256
    status, ended_ms = ("RUNNING", None) if over is None else ("KILLED", int(over.ended_at * 1000))
    if trial.status != "running":
        assert trial.ended_at is not None
        status, ended_ms = _TRIAL_STATUS[trial.status], int(trial.ended_at * 1000)
        tags["error"] = trial.error
        diverged |= trial.status == "diverged"
    elif over is not None:
        tags["status"] = "interrupted"
    if diverged:
        tags["diverged"] = True
    seen = raw[-1][0] if raw else 0
    tags[NOTE] = trial_note(trial, seen, sweep.objective, over=over is not None)
    run = TrackedRun(
        kind="trial",
        key=trial.key,
        name=trial_name(trial),
        started_ms=int(trial.started_at * 1000),
        params=as_params(flat(trial.config.model_dump(mode="json"))) | trial_axes(trial.config),
        tags=as_tags(tags),
        points=thinned(curve(raw, sweep.objective), trial.config.pictures, ended=trial.status != "running"),
        status=status,
        ended_ms=ended_ms,
    )
    end = TrialEnd(
        key=trial.key,
        searched=trial.purpose == "search",
        running=trial.status == "running",
        length=max(trial.config.pictures, seen),
        pictures=trial.pictures,
        status=trial.status,
        objective=trial.objective,
        metrics=trial.metrics,
        ended_at=trial.ended_at,
        again=run if trial.purpose == "reseed" else None,
    )
    return run, end


def baseline_run(folder: BaselineFolder, length: int, sweep: SweepRecord, said: Said) -> TrackedRun:
    """A baseline as a line: its values at step 0 and at the end of the longest trial; a longer one later makes the line longer."""
    about = BaselineRecord.read(folder.record)
    metrics = {key: value for key, value in sorted(about.metrics.items()) if is_finite(value)}
    tags = {"role": "baseline", "kind": about.kind, "label": about.label, "status": "done", "val_keys_sha256": sweep.val_keys_sha256}
    return TrackedRun(
        kind="baseline",
        key=about.name,
        name=about.name.replace("-", " "),
        started_ms=int(sweep.started_at * 1000),
        params=as_params(flat(dict(about.constants))),
        tags=as_tags(tags | {NOTE: baseline_note(about)}),
        points=tuple(curve([(step, metrics) for step in sorted({0, length})], sweep.objective)),
        status="FINISHED",
        ended_ms=int(folder.record.stat().st_mtime * 1000),
        test=said.of_predictor(about.name),
    )
