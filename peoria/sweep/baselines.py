"""The baselines of a sweep, fitted once and kept in its folder."""

from pathlib import Path

import numpy as np

from peoria.baselines.suite import every_baseline
from peoria.config.sweep import Sweep
from peoria.data.dataset import Dataset
from peoria.records.folder import write_json
from peoria.sweep.resources import Say


def write_baselines(folder: Path, sweep: Sweep, dataset: Dataset, say: Say) -> None:
    """Fits and evaluates the baselines once; on a restart they are there."""
    root = folder / "baselines"
    if (root / "done.json").exists():
        return
    config = sweep.trial({"task": sweep.space.task[0], "learning_rate": 1e-3}, seed=0, threads=1)
    names = []
    for baseline in every_baseline(dataset, config, sweep.space.task):
        scores = baseline.predict(dataset.val)
        found = scores.metrics(dataset.val.labels)
        metrics = {f"val/{name}": value for name, value in found.items() if "(" not in name}
        constants = {name: value for name, value in found.items() if "(" in name}
        (root / baseline.name).mkdir(parents=True, exist_ok=True)
        if scores.views is not None and scores.favorites is not None:
            np.savez(root / baseline.name / "val_scores.npz", keys=dataset.val.labels.keys, views=scores.views, favorites=scores.favorites)
        described = {"name": baseline.name, "label": baseline.label, "kind": baseline.kind, "metrics": metrics, "constants": constants}
        write_json(root / baseline.name / "baseline.json", described)
        names.append(baseline.name)
        gini = f"  gini_fav {found['gini_fav']:+.3f}" if "gini_fav" in found else ""
        say(f"  baseline {baseline.label:<28} rho_views {found['rho_views']:+.3f}{gini}")
    write_json(root / "done.json", names)
