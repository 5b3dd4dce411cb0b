"""One run as the sweep folder tells it: what MLflow is to hold, worked out from files alone, so that any later pass comes to the same."""

import functools
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peoria.errors import RecordError
from peoria.records.folder import BaselineFolder, SweepFolder, TrialFolder
from peoria.records.points import read_points
from peoria.records.schema import BaselineRecord, RunState, SweepRecord
from peoria.records.selection import Standings, best_by_objective, said, winners_of
from peoria.records.trials import TrialRecord, read_trial
from peoria.tracking.curves import MAX_KEYS, MetricPoint, curve, is_finite, mlflow_name, thinned
from peoria.tracking.redact import scrub, scrub_text

MAX_CHARS = 500  # a value
_SWEEP_PARAMS = ("trials", "shards", "tasks", "objective", "se_objective", "control", "num_train", "num_val")
_TRIAL_STATUS = {"done": "FINISHED", "pruned": "KILLED", "diverged": "FINISHED", "failed": "FAILED"}
_SWEEP_STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}


@dataclass(frozen=True)
class TrackedRun:
    """A sweep, a trial or a baseline. ``kind`` and ``key`` name it within its sweep."""

    kind: str  # "sweep", "trial" or "baseline"
    key: str  # "" for the sweep
    name: str
    started_ms: int
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    points: tuple[MetricPoint, ...] = ()
    status: str = "RUNNING"  # MLflow's word
    ended_ms: int | None = None
    artifacts: dict[str, Path] = field(default_factory=dict)  # path in the run → file

    @property
    def marker(self) -> str:
        """The metric that every point carries with its own step as value: its last value tells which points a run has."""
        return "trials_ended" if self.kind == "sweep" else "pictures_seen"


def folder_stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """(path, modified ns, bytes) of all files that a projection is made of: equal stamps, nothing new."""
    patterns = ("*.json", "trials/*/*.json", "trials/*/points.jsonl", "baselines/*/baseline.json", "report/*.*")
    files = sorted(path for pattern in patterns for path in folder.glob(pattern) if not path.name.startswith("."))
    return tuple((str(path), stat.st_mtime_ns, stat.st_size) for path in files if (stat := path.stat()))


def read_sweep(folder: SweepFolder) -> list[TrackedRun]:
    """The runs of a sweep folder, the sweep itself first.

    Raises:
        RecordError: a file of it is not there, damaged, or of another format.
    """
    sweep, over = SweepRecord.read(folder.definition), RunState.read_if_there(folder.finished)
    read = [_trial(trial, _stamp(trial.path), over, sweep.val_keys_sha256) for trial in folder.trials()]
    length = max((longest for _, longest, _ in read), default=0)
    runs = [_sweep(folder, sweep, over, [record for _, _, record in read]), *(run for run, _, _ in read)]
    return runs + [_baseline(baseline, length, sweep) for baseline in folder.baselines()]


def _sweep(folder: SweepFolder, sweep: SweepRecord, over: RunState | None, trials: list[TrialRecord]) -> TrackedRun:
    note = "\n\n".join(text for text in (sweep.question, _headline(folder)) if text)
    tags = {"mlflow.note.content": note or None, "val_keys_sha256": sweep.val_keys_sha256}
    tags |= flat(sweep.environment.model_dump(), "environment")
    tags["mlflow.source.git.commit"] = tags.get("environment.git_commit")
    tags |= {f"winner_for_{target}": f"{trial.key}, {said(target, trial.metrics)}" for target, trial in winners_of(trials).items()}
    if (best := best_by_objective(trials)) is not None:
        tags["best_by_objective"] = f"{best.key}, best by objective ({sweep.objective} {best.objective:+.3f})"
    report = [path for path in (folder.verdict, folder.page, folder.report_run) if path.is_file()]
    return TrackedRun(
        kind="sweep",
        key="",
        name=sweep.name,
        started_ms=int(sweep.started_at * 1000),
        params=_params(flat({name: getattr(sweep, name) for name in _SWEEP_PARAMS} | sweep.definition)),
        tags=_tags(tags),
        points=thinned(_best_so_far(trials), None, ended=over is not None),
        status="RUNNING" if over is None else _SWEEP_STATUS[over.status],
        ended_ms=None if over is None else int(over.ended_at * 1000),
        artifacts={path.name: path for path in report},
    )


def _headline(folder: SweepFolder) -> str | None:
    """Of the verdict, where there is one; this wing comes before the verdict's, so it reads no more of it than this."""
    if not folder.verdict.is_file():
        return None
    try:
        found = json.loads(folder.verdict.read_bytes()).get("headline")
    except ValueError as error:
        raise RecordError(f"{folder.verdict}: not JSON ({error}); it is written whole by `peoria report`") from None
    return None if found is None else str(found)


def _best_so_far(trials: list[TrialRecord]) -> list[MetricPoint]:
    """The metrics of the trial that is best by objective among the first n that ended, at step n; of the searched space alone."""
    searched = [trial for trial in trials if trial.purpose == "search" and trial.ended_at is not None]
    by_key = {trial.key: trial for trial in searched}
    so_far, points = Standings(), []
    for step, trial in enumerate(sorted(searched, key=lambda trial: (trial.ended_at, trial.key)), start=1):
        if trial.status == "done" and trial.objective is not None:
            so_far.add(trial.key, trial.objective, trial.metrics)
        values: dict[str, float] = {}
        if so_far.by_objective:
            best = by_key[so_far.by_objective[0]]
            finite = {f"best_by_objective/{name}": float(value) for name, value in sorted(best.metrics.items()) if is_finite(value)}
            values = {"best_by_objective/objective": float(best.objective or 0.0)} | finite
        points.append(MetricPoint(step, dict(list(values.items())[: MAX_KEYS - 1]) | {"trials_ended": float(step)}))
    return points


@functools.lru_cache(maxsize=4096)  # the stamp names the contents: an ended trial is read once
def _trial(folder: TrialFolder, stamp: tuple[object, ...], over: RunState | None, val_keys_sha256: str) -> tuple[TrackedRun, int, TrialRecord]:
    """The run of a trial folder, the step that its curves reach or will reach, and the trial."""
    trial, raw = read_trial(folder), read_points(folder.points)
    diverged = any(isinstance(value, float) and not math.isfinite(value) for _, metrics in raw for value in metrics.values())
    tags: dict[str, Any] = {"purpose": trial.purpose, "of": trial.of, "label": trial.label, "status": trial.status}
    tags["val_keys_sha256"] = val_keys_sha256
    status, ended_ms = ("RUNNING", None) if over is None else ("KILLED", int(over.ended_at * 1000))
    if trial.status != "running":
        assert trial.ended_at is not None
        status, ended_ms = _TRIAL_STATUS[trial.status], int(trial.ended_at * 1000)
        tags |= {"error": trial.error, "objective": trial.objective}
        diverged |= trial.status == "diverged"
    elif over is not None:
        tags["status"] = "interrupted"
    if diverged:
        tags["diverged"] = True
    points = thinned(curve(raw), trial.config.pictures, ended=trial.status != "running")
    name = trial.label if trial.label.startswith(trial.key) else f"{trial.key} {trial.label}"
    params = _params(flat(trial.config.model_dump(mode="json")))
    run = TrackedRun("trial", trial.key, name, int(trial.started_at * 1000), params, _tags(tags), points, status, ended_ms)
    return run, max(trial.config.pictures, raw[-1][0] if raw else 0), trial


def _baseline(folder: BaselineFolder, length: int, sweep: SweepRecord) -> TrackedRun:
    """A baseline as a line: its values at step 0 and at the end of the longest trial; a longer one later makes the line longer."""
    about = BaselineRecord.read(folder.record)
    metrics = {key: value for key, value in sorted(about.metrics.items()) if is_finite(value)}
    raw = [(step, metrics) for step in sorted({0, length})]
    return TrackedRun(
        kind="baseline",
        key=about.name,
        name=f"baseline {about.label}",
        started_ms=int(sweep.started_at * 1000),
        params=_params(flat(dict(about.constants))),
        tags=_tags({"kind": about.kind, "label": about.label, "status": "done", "val_keys_sha256": sweep.val_keys_sha256}),
        points=tuple(curve(raw)),
        status="FINISHED",
        ended_ms=int(folder.record.stat().st_mtime * 1000),
    )


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as ``outer.inner``, secrets hidden by their names."""
    found: dict[str, Any] = {}
    for key, value in scrub(values).items():
        name = f"{prefix}.{key}" if prefix else str(key)
        found |= flat(value, name) if isinstance(value, dict) else {name: value}
    return found


def _params(values: dict[str, Any]) -> dict[str, str]:
    """Settings as MLflow takes them; None is a setting like any other."""
    return {mlflow_name(key): _text(value) for key, value in values.items()}


def _tags(values: dict[str, Any]) -> dict[str, str]:
    return {mlflow_name(key): _text(value) for key, value in values.items() if value not in (None, "")}


def _text(value: Any) -> str:
    """At most MAX_CHARS characters; of a long text the start and the end, where a traceback says what went wrong."""
    text = scrub_text(value) if isinstance(value, str) else json.dumps(scrub(value), sort_keys=True, ensure_ascii=False)
    return text if len(text) <= MAX_CHARS else f"{text[: MAX_CHARS // 5]} … {text[len(text) - MAX_CHARS // 5 * 4 + 3 :]}"


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    files = sorted(path for path in folder.glob("*.json*") if not path.name.startswith("."))
    return tuple((path.name, stat.st_mtime_ns, stat.st_size) for path in files if (stat := path.stat()))
