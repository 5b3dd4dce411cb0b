"""What a finished sweep hands to the report, simulated."""

from typing import Any

import numpy as np
from worlds import world

from peoria.verdict import judge

IDENTITY = "ab" * 32
LENGTH = 40_000


def parts(seed: int = 0, num_resamples: int = 60, num_trials: int = 24, **how: Any) -> dict[str, Any]:
    """The arguments of ``render_report``."""
    rng = np.random.default_rng(seed)
    scores, labels = world(seed, **({"shape": 0.5, "colour": 0.3, "fame": 0.4, "age": 0.3} | how))
    curves: dict[str, dict[str, Any]] = {}
    tasks = ("classification", "hybrid", "regression")
    for number in range(num_trials + 3):
        fixed = number >= num_trials
        task = tasks[number % 3]
        status = "done" if fixed or number % 3 == 1 or number == 7 else ("pruned", "pruned", "diverged", "failed")[number % 4]
        end = LENGTH if status == "done" else LENGTH * int(rng.integers(1, 4)) // 8
        steps = np.arange(LENGTH // 40, end + 1, LENGTH // 40)
        top = 0.42 if number == 7 else 0.36 * rng.random()
        points = []
        for k, step in enumerate(steps):
            noise = 0.05 * rng.normal()
            loss = {"classification": 0.35, "hybrid": 4.1, "regression": 52_000.0}[task] * (0.8 + np.exp(-step / 8000) + noise)
            found = {"train/loss": round(float(loss), 6)}
            if (k + 1) % 5 == 0:
                found["val/rank_mean"] = round(float(top * (1 - np.exp(-step / 9000)) + 0.008 * rng.normal()), 6)
            points.append({"step": int(step), "metrics": found})
        key = f"paper-{task}" if fixed else f"{number:04d}"
        label = f"the paper's hyper-parameters on caffenet ({task})" if fixed else f"{key} {task} lr 1.2e-03 ×20 6 sd"
        curves[key] = {"label": label, "status": status, "fixed": fixed, "task": task, "points": points}
    baselines = [
        {"name": f"trivial-{task}", "label": f"constants ({task})", "kind": "trivial", "metrics": {"val/rank_mean": 0.0}, "constants": {}}
        for task in tasks
    ]
    for name, label, value in (("random-score", "random score", -0.012), ("colour-ridge", "colour ridge", 0.187), ("age-only", "age only", 0.094)):
        kind = "trivial" if name == "random-score" else "learned"
        baselines.append({"name": name, "label": label, "kind": kind, "metrics": {"val/rank_mean": value}, "constants": {}})
    config = {"task": "classification", "learning_rate": 1.2e-3, "head_multiplier": 20.0, "outlier_sd": None, "pictures": LENGTH}
    verdict = judge(scores, labels, num_resamples=num_resamples) | {
        "sweep": "demo",
        "identity": IDENTITY,
        "control": None,
        "opening": 3,
        "num_trials": num_trials,
        "best": {"key": "0007", "config": config, "val": {"val/rank_mean": 0.4187}},
    }
    sweep = {
        "name": "demo",
        "question": "how much of it is in the picture?",
        "definition": {"name": "demo", "space": {"task": list(tasks)}},
        "identity": IDENTITY,
        "control": None,
        "environment": {
            "git_commit": "c0ffee" * 6 + "c0ff",
            "git_dirty": False,
            "lock_sha256": "1" * 64,
            "machine": "Linux x86_64, 2 cores, no GPU",
            "python": "3.11.7",
            "versions": {"torch": "2.14.1", "ray": "2.60.0"},
        },
        "started_at": 1_700_000_000.0,
        "tasks": list(tasks),
        "objective": "rank_mean",
        "se_objective": 0.021,
        "val_keys_sha256": "2" * 64,
        "num_train": 8_400,
        "num_val": 1_200,
    }
    run = {"written_at": "2026-01-02 03:04:05", "host": "desk", "pid": 41}
    return {"verdict": verdict, "sweep": sweep, "curves": curves, "baselines": baselines, "run": run}
