"""One run as the sweep folder tells it: what MLflow is to hold, worked out from files alone, so that any later pass comes to the same."""

import functools
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from peoria.errors import PeoriaError
from peoria.records.points import read_points
from peoria.tracking.curves import MAX_KEYS, MetricPoint, curve, is_finite, mlflow_name, thinned
from peoria.tracking.redact import scrub, scrub_text

MAX_CHARS = 500  # a value
FINISHED = "finished.json"  # {"status": "finished" | "interrupted" | "failed", "ended_at": s}; the driver takes it away when the sweep goes on
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


def read_sweep(folder: Path) -> list[TrackedRun]:
    """The runs of a sweep folder, the sweep itself first.

    Raises:
        PeoriaError: no sweep.json, or a file that is not JSON.
    """
    sweep = _json(folder / "sweep.json")
    if sweep is None:
        raise PeoriaError(f"{folder}: no sweep.json; a sweep folder has one")
    over = _json(folder / FINISHED)
    over_ms = None if over is None else _ms(over.get("ended_at"), folder / FINISHED)
    trials = [_trial(path.parent, _stamp(path.parent), over_ms, sweep.get("val_keys_sha256")) for path in sorted(folder.glob("trials/*/config.json"))]
    length = max((longest for _, longest in trials), default=0)
    runs = [_sweep(folder, sweep, over, over_ms), *(run for run, _ in trials)]
    val = runs[0].tags.get("val_keys_sha256")
    return runs + [_baseline(path, length, runs[0].started_ms, val) for path in sorted(folder.glob("baselines/*/baseline.json"))]


def _sweep(folder: Path, sweep: dict[str, Any], over: dict[str, Any] | None, over_ms: int | None) -> TrackedRun:
    verdict = _json(folder / "report" / "verdict.json") or {}
    note = "\n\n".join(text for text in (sweep.get("question"), verdict.get("headline")) if text)
    tags = {"mlflow.note.content": note or None, "val_keys_sha256": sweep.get("val_keys_sha256")}
    tags |= flat(sweep.get("environment") or {}, "environment")
    tags["mlflow.source.git.commit"] = tags.get("environment.git_commit")
    points = _best_so_far(folder)
    if points and (best := max(points, key=lambda point: point[0])[2]):
        tags["best_trial"] = best
    report = [path for path in (folder / "report" / name for name in ("verdict.json", "report.html", "run.json")) if path.is_file()]
    return TrackedRun(
        kind="sweep",
        key="",
        name=sweep["name"],
        started_ms=int(sweep["started_at"] * 1000),
        params=_params(flat({key: sweep[key] for key in _SWEEP_PARAMS if key in sweep} | sweep["definition"])),
        tags=_tags(tags),
        points=thinned([MetricPoint(step, metrics) for step, metrics, _ in points], None, ended=over is not None),
        status="RUNNING" if over is None else _SWEEP_STATUS.get(over.get("status", "finished"), "FAILED"),
        ended_ms=over_ms,
        artifacts={path.name: path for path in report},
    )


def _best_so_far(folder: Path) -> list[tuple[int, dict[str, float], str]]:
    """(trials ended, metrics of the best of them, its key): highest last objective among finished trials of the searched space."""
    ended = []
    for path in folder.glob("trials/*/outcome.json"):
        outcome, config = _json(path), _json(path.with_name("config.json"))
        if outcome is not None and config is not None and not config.get("fixed"):
            ended.append((float(outcome["ended_at"]), path.parent.name, outcome))
    points: list[tuple[int, dict[str, float], str]] = []
    best, best_key, best_objective = {}, "", -math.inf
    for step, (_, key, outcome) in enumerate(sorted(ended, key=lambda item: item[:2]), start=1):
        objective = outcome.get("objective")
        if outcome["status"] == "done" and is_finite(objective) and objective > best_objective:
            finite = {f"best/{name}": float(value) for name, value in sorted((outcome.get("metrics") or {}).items()) if is_finite(value)}
            best, best_key, best_objective = {"best/objective": float(objective)} | finite, key, objective
        points.append((step, dict(list(best.items())[: MAX_KEYS - 1]) | {"trials_ended": float(step)}, best_key))
    return points


@functools.lru_cache(maxsize=4096)  # the stamp names the contents: an ended trial is read once
def _trial(folder: Path, stamp: tuple[object, ...], over_ms: int | None, val_keys_sha256: str | None) -> tuple[TrackedRun, int]:
    """The run of a trial folder, and the step that its curves reach or will reach."""
    about = _json(folder / "config.json")
    assert about is not None
    outcome = _json(folder / "outcome.json")
    config: dict[str, Any] = about["config"]
    raw = read_points(folder / "points.jsonl")
    diverged = any(isinstance(value, float) and not math.isfinite(value) for _, metrics in raw for value in metrics.values())
    tags: dict[str, Any] = {"fixed": about.get("fixed", False), "label": about.get("label"), "status": "running"}
    tags["val_keys_sha256"] = val_keys_sha256
    status, ended_ms = ("RUNNING" if over_ms is None else "KILLED"), over_ms
    if outcome is not None:
        status, ended_ms = _TRIAL_STATUS[outcome["status"]], _ms(outcome.get("ended_at"), folder / "outcome.json")
        tags |= {"status": outcome["status"], "error": outcome.get("error"), "objective": outcome.get("objective")}
        diverged |= outcome["status"] == "diverged"
    elif over_ms is not None:
        tags["status"] = "interrupted"
    if diverged:
        tags["diverged"] = True
    pictures = config.get("pictures") if isinstance(config.get("pictures"), int) else None
    points = thinned(curve(raw), pictures, ended=outcome is not None)
    name = trial_name(folder.name, about.get("label") or "", config)
    run = TrackedRun("trial", folder.name, name, int(about["started_at"] * 1000), _params(flat(config)), _tags(tags), points, status, ended_ms)
    return run, max(pictures or 0, raw[-1][0] if raw else 0)


def _baseline(path: Path, length: int, sweep_started_ms: int, val_keys_sha256: str | None) -> TrackedRun:
    """A baseline as a line: its values at step 0 and at the end of the longest trial; a longer one later makes the line longer."""
    about = _json(path)
    assert about is not None
    metrics = {key: value for key, value in sorted(about["metrics"].items()) if is_finite(value)}
    raw = [(step, metrics) for step in sorted({0, length})]
    return TrackedRun(
        kind="baseline",
        key=path.parent.name,
        name=f"baseline {about.get('label') or path.parent.name}",
        started_ms=sweep_started_ms,
        params=_params(flat(about.get("constants") or {})),
        tags=_tags({"kind": about.get("kind"), "label": about.get("label"), "status": "done", "val_keys_sha256": val_keys_sha256}),
        points=tuple(curve(raw)),
        status="FINISHED",
        ended_ms=_ms(about.get("ended_at"), path),
    )


def trial_name(key: str, label: str, config: dict[str, Any]) -> str:
    """``0007 regression lr 1.2e-3 ×20``; a label of its own stands instead, and a name of its own alone."""
    if label.startswith(key):
        return label
    if label:
        return f"{key} {label}"
    words = [key, str(config["task"])] if config.get("task") and config["task"] not in key else [key]
    if (rate := config.get("learning_rate")) is not None:
        mantissa, exponent = f"{rate:.1e}".split("e")
        words.append(f"lr {mantissa}e{int(exponent)}")
    if (multiplier := config.get("head_multiplier")) is not None:
        words.append(f"×{multiplier:.3g}")
    return " ".join(words)


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


def _ms(seconds: float | None, path: Path) -> int:
    return int(path.stat().st_mtime * 1000 if seconds is None else seconds * 1000)


def _stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    files = sorted(path for path in folder.glob("*.json*") if not path.name.startswith("."))
    return tuple((path.name, stat.st_mtime_ns, stat.st_size) for path in files if (stat := path.stat()))


def _json(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        value: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        raise PeoriaError(f"{path}: not JSON ({error}); it is written whole by `peoria sweep`") from None
    return value
