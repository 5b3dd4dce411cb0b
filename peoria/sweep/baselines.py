"""The baselines of a sweep, fitted once and kept in its folder."""

from peoria.baselines.suite import every_baseline
from peoria.config.sweep import Sweep
from peoria.data.dataset import Dataset
from peoria.records.folder import SweepFolder
from peoria.records.schema import BaselineNames, BaselineRecord
from peoria.records.val_scores import ValScores
from peoria.sweep.resources import Say


def write_baselines(folder: SweepFolder, sweep: Sweep, dataset: Dataset, say: Say) -> None:
    """Fits and evaluates the baselines once; on a restart they are there."""
    if folder.baselines_done.exists():
        return
    config = sweep.trial({"task": sweep.space.task[0], "learning_rate": 1e-3}, seed=0, threads=1)
    names = []
    for baseline in every_baseline(dataset, config, sweep.space.task):
        scores = baseline.predict(dataset.val)
        found = scores.metrics(dataset.val.labels)
        metrics = {f"val/{name}": value for name, value in found.items() if "(" not in name}
        constants = {name: value for name, value in found.items() if "(" in name}
        own = folder.baseline(baseline.name)
        own.path.mkdir(parents=True, exist_ok=True)
        if scores.views is not None and scores.favorites is not None:
            ValScores(dataset.val.labels.keys, scores.views, scores.favorites).write(own.val_scores)
        BaselineRecord(name=baseline.name, label=baseline.label, kind=baseline.kind, metrics=metrics, constants=constants).write(own.record)
        names.append(baseline.name)
        gini = f"  gini_fav {found['gini_fav']:+.3f}" if "gini_fav" in found else ""
        say(f"  baseline {baseline.label:<28} rho_views {found['rho_views']:+.3f}{gini}")
    BaselineNames(names=tuple(names)).write(folder.baselines_done)
