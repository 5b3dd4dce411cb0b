"""A sweep whose trials do nothing, so that what is left is the price of a trial itself. All else is peoria's own."""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from peoria.config.sweep import Sweep
from peoria.records.folder import SweepFolder
from peoria.sweep import place, ray_executor
from peoria.sweep.definition import write_definition
from peoria.sweep.place import aside
from peoria.sweep.plan import make_plan
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import execute
from peoria.sweep.signals import Signals
from peoria.sweep.trial_store import TrialStore
from peoria.tracking.database import default_tracking_uri, prepare_sqlite
from peoria.tracking.projector import Following
from peoria.training.messages import TrialReport, TrialSpec
from shards.read.shard_set import ShardSet


def stub_trial(spec: TrialSpec, **_: Any) -> Iterator[TrialReport]:
    """In the place of peoria.training.trial.run_trial: one report, the last."""
    spec.folder.mkdir(parents=True, exist_ok=True)
    step, value = spec.config.pictures, float(np.sin(spec.config.seed) / 2)
    metrics = {f"val/{name}": value for name in ("loss", "rho_views", "gini_fav", "auc_fav", "rank_mean", "score_sd", "d2")}
    points = [(step * k // 40, {"train/loss": 1.0, "train/learning_rate": 0.1}) for k in range(1, 40)] + [(step, metrics)]
    yield TrialReport(step=step, status="done", objective=value, metrics=metrics, points=points)


class StubActor(ray_executor.TrialActor):
    def setup(self, config: dict[str, Any]) -> None:
        vars(ray_executor)["run_trial"] = stub_trial
        super().setup(config)


def empty_sweep(root: str, work: str, trials: int, tracked: bool, concurrent: int) -> Callable[[], tuple[int, dict[str, Any]]]:
    """A round is the whole sweep by Ray; it tells when each trial had ended, by the clock and by the CPU time of the
    driver, and how long MLflow took for the rest, in seconds."""

    vars(place)["TRIAL_ACTOR"] = f"{__name__}:StubActor"

    def run() -> tuple[int, dict[str, Any]]:
        with tempfile.TemporaryDirectory(dir=work) as home:
            options = RunOptions(home=Path(home), tracking="off")
            sweep = Sweep(
                name="empty",
                shards=root,
                trials=trials,
                shared={"net": "tiny", "pictures": 20_000},
                startup_per_task=2,
                prune=False,
                seeds=0,
                questions=(),
            )
            shard_set, folder = ShardSet(Path(root)), SweepFolder.of(Path(home), "empty")
            plan = make_plan(
                sweep, shard_set.labels("train"), shard_set.labels("val"), concurrent=concurrent, home=options.home, pictures=""
            )  # fmt: skip
            write_definition(folder, sweep, shard_set, plan, control=None, storage=None, cutoff=None, say=print)
            store = TrialStore(folder, sweep, concurrent=concurrent)
            ended: list[tuple[float, float]] = []
            if tracked:
                prepare_sqlite(Path(home) / "mlflow.db")
            with Following(folder, default_tracking_uri(options.home) if tracked else None, print):
                with aside(store, options, concurrent, print) as ray_aside:
                    execute(
                        store,
                        sweep,
                        options,
                        lambda line: ended.append((time.monotonic(), time.process_time())),
                        Signals(),
                        ray_aside,
                        "this machine",
                    )
                disconnected = time.monotonic()
            closing_s = time.monotonic() - disconnected
            assert len(ended) == trials, (len(ended), trials)
        return trials, {"wall": [wall for wall, _ in ended], "cpu": [cpu for _, cpu in ended], "closing_s": closing_s}

    return run
