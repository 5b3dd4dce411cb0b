"""A sweep folder as the driver writes it, for tests of what reads one."""

import json
from pathlib import Path
from typing import Any

from shards.files import write_atomic

STARTED = 1_700_000_000.0
IDENTITY = "ab" * 32
NUM_POINTS = 4


def write(path: Path, value: Any) -> None:
    write_atomic(path, (json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n").encode())


class SweepFolder:
    """``data/sweeps/NAME``: made with a sweep.json, filled by the methods."""

    def __init__(self, path: Path, *, definition: dict[str, Any] | None = None, started_at: float = STARTED) -> None:
        self.path = path
        environment = {
            "git_commit": "c0ffee" * 6,
            "git_dirty": False,
            "lock_sha256": "1" * 64,
            "machine": "x86_64",
            "python": "3.11.7",
            "versions": {"torch": "2.9.0"},
        }
        sweep = {
            "name": path.name,
            "question": "how much of it is in the picture?",
            "definition": definition or {"name": path.name, "space": {"task": ["regression", "hybrid"]}, "prune": True},
            "identity": IDENTITY,
            "control": None,
            "environment": environment,
            "started_at": started_at,
            "tasks": ["regression", "hybrid"],
            "objective": "rank_mean",
            "se_objective": 0.011,
            "val_keys_sha256": "2" * 64,
            "num_val": 640,
        }
        write(path / "sweep.json", sweep)

    def trial(self, key: str, *, task: str = "regression", fixed: bool = False, label: str = "", pictures: int = 8000, **settings: Any) -> Path:
        folder = self.path / "trials" / key
        config = {"task": task, "learning_rate": 1.2e-3, "head_multiplier": 20.0, "outlier_sd": None, "pictures": pictures, **settings}
        write(folder / "config.json", {"config": config, "fixed": fixed, "label": label, "started_at": STARTED + 10})
        return folder

    def point(self, key: str, step: int, **metrics: float) -> None:
        """Appends a point; ``val_loss`` stands for ``val/loss``."""
        named = {name.replace("_", "/", 1): value for name, value in metrics.items()}
        with (self.path / "trials" / key / "points.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, "metrics": named}, sort_keys=True) + "\n")

    def points(self, key: str, num_points: int = NUM_POINTS, every: int = 2000) -> None:
        for step in range(every, every * num_points + 1, every):
            self.point(key, step, train_loss=1.0 / step, val_loss=2.0 / step, val_rank_mean=0.1 + step / 1e6)

    def outcome(self, key: str, status: str = "done", objective: float | None = 0.3, error: str | None = None, ended_at: float | None = None) -> None:
        metrics = {} if objective is None else {"val/rank_mean": objective, "val/rho_views": objective + 0.05}
        ended_at = STARTED + 100 + len(list(self.path.glob("trials/*/outcome.json"))) if ended_at is None else ended_at
        value = {"status": status, "objective": objective, "metrics": metrics, "error": error, "ended_at": ended_at}
        write(self.path / "trials" / key / "outcome.json", value)

    def baseline(self, name: str = "trivial-regression", **metrics: float) -> None:
        named = {key.replace("_", "/", 1): value for key, value in (metrics or {"val_rank_mean": 0.0, "val_half_mse_views": 1.25}).items()}
        value = {"name": name, "label": name.replace("-", " "), "kind": "trivial", "metrics": named, "constants": {"mean_views": 321.5}}
        write(self.path / "baselines" / name / "baseline.json", value)

    def finish(self, status: str = "finished") -> None:
        write(self.path / "finished.json", {"status": status, "ended_at": STARTED + 1000})

    def report(self, text: str = "<h1>0.3</h1>") -> None:
        write(self.path / "report" / "verdict.json", {"claim": text})
        write_atomic(self.path / "report" / "report.html", text.encode())
        write(self.path / "report" / "run.json", {"host": "here"})


def whole_sweep(path: Path) -> SweepFolder:
    """A sweep with a trial of each fate, two baselines and a report."""
    folder = SweepFolder(path)
    fates = [("0000", "done", 0.25), ("0001", "pruned", 0.1), ("0002", "diverged", None), ("0003", "failed", None), ("0004", "done", 0.3)]
    for key, status, objective in fates:
        folder.trial(key, task="hybrid" if key == "0004" else "regression")
        folder.points(key, 2 if status != "done" else NUM_POINTS)
        folder.outcome(key, status, objective, error="ValueError: bad batch" if status == "failed" else None)
    folder.trial("0005")
    folder.points("0005", 1)
    folder.trial("paper-regression", fixed=True, label="paper-regression lr 1e-6")
    folder.baseline()
    folder.baseline("colour-ridge", val_rank_mean=0.12, val_rho_views=0.1)
    folder.report()
    return folder
