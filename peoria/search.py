"""How Optuna draws and prunes for a sweep, so that a kill at any instant changes neither."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial

from peoria.config import Sweep, TrialConfig
from shards.manifest import write_atomic


def open_storage(journal: Path, url: str | None) -> optuna.storages.BaseStorage:
    """The journal file beside the sweep, or a database for clusters.

    A kill can leave a part of a line at the journal's end and its lock behind; the caller holds the sweep's lock, so both are dead.
    """
    if url is not None:
        return optuna.storages.RDBStorage(url)
    if journal.exists():
        data = journal.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if whole != data:
            write_atomic(journal, whole)
    Path(f"{journal}.lock").unlink(missing_ok=True)
    backend = optuna.storages.journal.JournalFileBackend(str(journal), lock_obj=optuna.storages.journal.JournalFileOpenLock(str(journal)))
    return optuna.storages.JournalStorage(backend)


class TrialSampler(optuna.samplers.BaseSampler):
    """TPE over the joint space of a task, for one trial: seeded by its number, and by the parameter's name where one is drawn alone.

    So a trial whose drawing was cut short by a kill gets the rest of what it would have got.
    """

    def __init__(self, sweep: Sweep, number: int) -> None:
        self._seed = (sweep.seed, number, 7)
        self._startup = sweep.startup_per_task * len(sweep.space.task)
        self._joint = self._tpe()

    def _tpe(self, name: str = "") -> optuna.samplers.TPESampler:
        seed = int(np.random.SeedSequence((*self._seed, *name.encode())).generate_state(1)[0])
        with warnings.catch_warnings():
            # `group` keeps the parameters of one task together; it has been called experimental since 2021.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True, n_startup_trials=self._startup)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        return self._joint.infer_relative_search_space(study, trial)

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, Any]) -> dict[str, Any]:
        return self._joint.sample_relative(study, trial, search_space)

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: Any) -> Any:
        return self._tpe(param_name).sample_independent(study, trial, param_name, param_distribution)


def rungs(config: TrialConfig, reduction_factor: int) -> tuple[int, ...]:
    """Steps at which trials are compared, ascending: the first evaluations at or after length / factor^k."""
    points = config.evaluation_points()
    found: set[int] = set()
    wanted = config.pictures / reduction_factor
    while wanted * reduction_factor > points[0]:
        step = next(point for point in points if point >= wanted)
        if step < config.pictures:
            found.add(step)
        wanted /= reduction_factor
    return tuple(sorted(found))


class RungPruner(optuna.pruners.BasePruner):
    """Asynchronous successive halving (Li et al. 2020, arXiv 1810.05934) as a pure function of the stored values.

    At a rung, the best ``1/reduction_factor`` of all trials that have reached it go on; fewer trials than ``reduction_factor`` all go on.
    Optuna's own pruner keeps in the storage that a rung was passed before it answers, so a kill in between would let a bad trial go on.
    """

    def __init__(self, rungs: tuple[int, ...], reduction_factor: int) -> None:
        self.rungs = rungs
        self.reduction_factor = reduction_factor

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        step = trial.last_step
        if step not in self.rungs:
            return False
        reached = [t.intermediate_values[step] for t in study.get_trials(deepcopy=False) if step in t.intermediate_values]
        if len(reached) < self.reduction_factor:
            return False
        return trial.intermediate_values[step] < sorted(reached, reverse=True)[len(reached) // self.reduction_factor - 1]
