"""A sweep folder as the driver writes it, for tests of what reads one."""

import json
from pathlib import Path
from typing import Any

from peoria.config.trial import TrialConfig
from peoria.records.folder import SweepFolder
from peoria.records.json_file import write_json
from peoria.records.schema import BaselineRecord, Environment, Purpose, RunState, SweepRecord, TrialOutcome, TrialStart, TrialStatus
from shards.files import write_atomic

STARTED = 1_700_000_000.0
IDENTITY = "ab" * 32
NUM_POINTS = 4
ENVIRONMENT = Environment(
    git_commit="c0ffee" * 6, git_dirty=False, lock_sha256="1" * 64, machine="x86_64", python="3.11.7", versions={"torch": "2.9.0"}
)


class WrittenSweep:
    """``data/sweeps/NAME``: made with a sweep.json, filled by the methods."""

    def __init__(
        self, path: Path, *, definition: dict[str, Any] | None = None, started_at: float = STARTED, trials: int = 6, pictures: int | None = None
    ) -> None:
        self.folder = SweepFolder(path)
        SweepRecord(
            sweep_id="5" * 32,
            name=path.name,
            question="how much of it is in the picture?",
            definition=definition or {"name": path.name, "space": {"task": ["regression", "hybrid"]}, "prune": True, "seeds": 5},
            trials=trials,
            pictures=pictures,
            shards="data/shards/made-up",
            identity=IDENTITY,
            control=None,
            where=None,
            storage="journal",
            environment=ENVIRONMENT,
            environments=(ENVIRONMENT,),
            started_at=started_at,
            tasks=("regression", "hybrid"),
            objective="rank_mean",
            se_objective=0.011,
            val_keys_sha256="2" * 64,
            num_train=5000,
            num_val=640,
        ).write(self.folder.definition)

    def trial(
        self,
        key: str,
        *,
        task: str = "regression",
        purpose: Purpose = "search",
        of: str | None = None,
        label: str = "",
        pictures: int = 8000,
        **settings: Any,
    ) -> None:
        config = TrialConfig.model_validate({"task": task, "learning_rate": 1.2e-3, "outlier_sd": None, "pictures": pictures, **settings})
        label = label or (f"{key} {task} lr 1.2e-3 ×20" if purpose == "search" else key)
        TrialStart(config=config, purpose=purpose, of=of, label=label, started_at=STARTED + 10).write(self.folder.trial(key).start)

    def point(self, key: str, step: int, **metrics: float) -> None:
        """Appends a point; ``val_loss`` stands for ``val/loss``."""
        named = {name.replace("_", "/", 1): value for name, value in metrics.items()}
        with self.folder.trial(key).points.open("a") as file:
            file.write(json.dumps({"step": step, "metrics": named}, sort_keys=True) + "\n")  # NaN too, which the driver never writes

    def points(self, key: str, num_points: int = NUM_POINTS, every: int = 2000) -> None:
        for step in range(every, every * num_points + 1, every):
            self.point(key, step, train_loss=1.0 / step, val_loss=2.0 / step, val_rank_mean=0.1 + step / 1e6)

    def outcome(
        self,
        key: str,
        status: TrialStatus = "done",
        objective: float | None = 0.3,
        error: str | None = None,
        ended_at: float | None = None,
        pictures: int = 0,
    ) -> None:
        metrics = {} if objective is None else {"val/rank_mean": objective, "val/rho_views": objective + 0.05}
        num_ended = sum(trial.outcome.exists() for trial in self.folder.trials())
        ended_at = STARTED + 100 + num_ended if ended_at is None else ended_at
        settings = TrialStart.read(self.folder.trial(key).start).config.sha256
        told: Any = {"objective": objective, "metrics": metrics, "error": error, "ended_at": ended_at, "pictures": pictures}
        TrialOutcome(status=status, settings_sha256=settings, **told).write(self.folder.trial(key).outcome)

    def baseline(self, name: str = "trivial-regression", **metrics: float) -> None:
        named = {key.replace("_", "/", 1): value for key, value in (metrics or {"val_rank_mean": 0.0, "val_half_mse_views": 1.25}).items()}
        record = BaselineRecord(name=name, label=name.replace("-", " "), kind="trivial", metrics=named, constants={"mean_views": 321.5})
        record.write(self.folder.baseline(name).record)

    def finish(self, status: str = "finished") -> None:
        RunState.model_validate({"status": status, "ended_at": STARTED + 1000}).write(self.folder.finished)

    def report(self, text: str = "<h1>0.3</h1>", **verdict: Any) -> None:
        write_json(self.folder.verdict, {"headline": text, **verdict})
        write_atomic(self.folder.page, text.encode())
        write_json(self.folder.report_run, {"host": "here"})


def whole_sweep(path: Path) -> WrittenSweep:
    """A sweep with a trial of each fate, two baselines and a report."""
    folder = WrittenSweep(path)
    fates = [("0000", "done", 0.25), ("0001", "pruned", 0.1), ("0002", "diverged", None), ("0003", "failed", None), ("0004", "done", 0.3)]
    for key, status, objective in fates:
        folder.trial(key, task="hybrid" if key == "0004" else "regression")
        folder.points(key, 2 if status != "done" else NUM_POINTS)
        folder.outcome(key, status, objective, error="ValueError: bad batch" if status == "failed" else None)
    folder.trial("0005")
    folder.points("0005", 1)
    folder.trial("paper-regression", purpose="paper", label="paper-regression lr 1e-6")
    folder.baseline()
    folder.baseline("colour-ridge", val_rank_mean=0.12, val_rho_views=0.1)
    folder.report()
    return folder
