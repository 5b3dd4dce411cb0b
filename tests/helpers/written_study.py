"""A sweep as large as asked whose curves were drawn, not trained, for tests of what people see of one."""

import json
from pathlib import Path

import numpy as np

from peoria.config.trial import TrialConfig
from peoria.records.schema import Purpose, TrialStart, TrialStatus
from tests.helpers.sweep_folder import STARTED, WrittenSweep

TASKS = ("regression", "classification", "hybrid")
CUTS = (None, 6.0, 3.0, 1.0)
PICTURES, POINTS = 20_000, 8
BASELINES = {"constants-regression": 0.0, "age-only": 0.19, "colour-ridge": 0.42, "context": 0.46}


def written_study(path: Path, num_trials: int, *, seed: int = 0, ceiling: float = 0.63, favorites: bool = True) -> WrittenSweep:
    """Most trials are pruned at their first point, as a search does; the best settings are at learning rate 2e-3."""
    generator = np.random.default_rng(seed)
    space = {"task": list(TASKS), "outlier_sd": list(CUTS), "learning_rate": {"low": 1e-4, "high": 3e-2}}
    sweep = WrittenSweep(path, definition={"name": path.name, "space": space, "prune": True, "seeds": 2})
    for number in range(num_trials):
        rate, multiplier = 10 ** generator.uniform(-4, -1.5), 10 ** generator.uniform(0, 1.5)
        cut, task = CUTS[generator.integers(len(CUTS))], TASKS[number % len(TASKS)]
        reached = ceiling - 0.25 * (np.log10(rate) + 2.7) ** 2 + 0.02 * generator.standard_normal()
        done = number % 6 == 0
        _trial(sweep, f"{number:04d}", task, rate, multiplier, cut, reached, "done" if done else "pruned", favorites=favorites)
    for task in TASKS:
        _trial(sweep, f"paper-{task}", task, 1e-3, 20.0, 6.0, ceiling - 0.2, "done", purpose="paper", favorites=favorites)
    for number in (1, 2):
        _trial(sweep, f"0000-seed-{number}", TASKS[0], 2e-3, 7.0, 6.0, ceiling - 0.01 * number, "done", purpose="reseed", favorites=favorites)
    for name, rho in BASELINES.items():
        sweep.baseline(name, val_rho_views=rho, **({"val_gini_fav": rho * 0.8} if favorites else {}))
    sweep.finish()
    return sweep


def _trial(
    sweep: WrittenSweep,
    key: str,
    task: str,
    rate: float,
    multiplier: float,
    cut: float | None,
    reached: float,
    status: TrialStatus,
    *,
    purpose: Purpose = "search",
    favorites: bool = True,
) -> None:
    config = TrialConfig(task=task, learning_rate=rate, head_multiplier=multiplier, outlier_sd=cut, net="tiny", pictures=PICTURES, batch_size=32)
    folder, num = sweep.folder.trial(key), POINTS if status == "done" else 1
    label = f"{key} {task} lr {rate:.1e}"
    TrialStart(config=config, purpose=purpose, of="0000" if purpose == "reseed" else None, label=label, started_at=STARTED + 10).write(folder.start)
    lines = []
    for point in range(1, num + 1):
        rho = reached * (1 - np.exp(-1.2 * point))
        metrics = {"train/loss": float(1 / (1 + point)), "val/rho_views": float(rho), "val/rank_mean": float(rho)}
        metrics |= {"val/gini_fav": float(rho * 0.9)} if favorites else {}
        lines.append(json.dumps({"step": PICTURES * point // POINTS, "metrics": metrics}, sort_keys=True))
    folder.points.write_text("\n".join(lines) + "\n")
    sweep.outcome(key, status, float(reached))
