"""The record of a sweep: which trials exist, what they were drawn as, what they reached. Optuna's storage and one folder a trial hold it.

Whoever runs the trials only executes. Every entry is written so that a kill between any two of them is mended by opening the book again.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from peoria.checkpoint import CHECKPOINT, MODEL, MODEL_CARD
from peoria.config import Sweep, TrialConfig
from peoria.curves import read_points
from peoria.paper import paper_label, paper_points
from peoria.search import RungPruner, TrialSampler, open_storage, rungs
from shards.manifest import write_atomic

JOURNAL = "study.journal"
POINTS = "points.jsonl"
OUTCOME = "outcome.json"
CONFIG = "config.json"
NUM_KEPT_MODELS = 3
WORKER_RETRIES = 3  # of one trial whose worker died
FAILURES_IN_A_ROW = 3  # after so many trials that failed with none that did not in between, nothing more is handed out
DIVERGED_VALUE = -1.0  # told to the searcher; below anything that a ranking can reach


@dataclass(frozen=True)
class Assignment:
    """A trial to run, or to go on with."""

    key: str  # the searched trial's number, or the name of a fixed point
    config: TrialConfig
    folder: Path


class TrialBook:
    """Opens the record of a sweep, or begins it. One process at a time: the sweep's lock is held by the caller."""

    def __init__(self, folder: Path, sweep: Sweep, *, storage_url: str | None = None, threads: int = 1) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder, self.sweep, self.threads = folder, sweep, threads
        folder.mkdir(parents=True, exist_ok=True)
        storage = open_storage(folder / JOURNAL, storage_url)
        any_trial = sweep.trial({"task": sweep.space.task[0], "learning_rate": 1e-3}, seed=0, threads=threads)
        self.rungs = rungs(any_trial, sweep.reduction_factor) if sweep.prune else ()
        pruner = RungPruner(self.rungs, sweep.reduction_factor)
        self.searched = optuna.create_study(study_name=sweep.name, storage=storage, direction="maximize", load_if_exists=True, pruner=pruner)
        # A study of their own keeps the paper's points from the searcher, which would otherwise learn from settings outside its space.
        self.fixed = optuna.create_study(study_name=f"{sweep.name}/fixed", storage=storage, direction="maximize", load_if_exists=True)
        self._open: dict[str, optuna.Trial] = {}
        self._failures: list[str] = []  # errors of the last trials, those in a row
        self._last_step: dict[str, int] = {}
        self._models = {path.parent.name for path in folder.glob(f"trials/*/{MODEL}") if path.parent.name.isdigit()}
        self._enqueue()
        self._settle()

    # -- what there is to do

    def _enqueue(self) -> None:
        """Queues what is not queued yet: points given by hand, each once, and the paper's."""
        origins = {t.user_attrs.get("origin") for t in self.searched.get_trials(deepcopy=False)}
        for point in self.sweep.queue:
            given = point.given()
            origin = f"queue {json.dumps(given, sort_keys=True)}"
            if origin not in origins:
                self.searched.enqueue_trial(self.sweep.space.named(given), user_attrs={"origin": origin})
                origins.add(origin)
        if self.sweep.paper:
            have = {t.user_attrs.get("key") for t in self.fixed.get_trials(deepcopy=False)}
            for key in paper_points(self.sweep.space.task, self.sweep.shared):
                if key not in have:
                    self.fixed.enqueue_trial({}, user_attrs={"key": key})

    def _enqueue_startup(self) -> None:
        """Where nothing waits, the next of a fair number of random points of each task: one at a time, so that a point that is queued by hand
        meanwhile goes first."""
        trials = self.searched.get_trials(deepcopy=False)
        if any(t.state == TrialState.WAITING for t in trials):
            return
        origins = {t.user_attrs.get("origin") for t in trials}
        for turn in range(self.sweep.startup_per_task):
            for task in self.sweep.space.task:
                if (origin := f"start-up {task} {turn}") not in origins:
                    self.searched.enqueue_trial({"task": task}, user_attrs={"origin": origin})
                    return

    def _settle(self) -> None:
        """Tells Optuna what was decided before a kill but not yet told."""
        for study, trial in self._in_state(TrialState.RUNNING):
            key = key_of(study, trial)
            if (self.trial_folder(key) / OUTCOME).exists():
                self._open[key] = optuna.Trial(study, trial._trial_id)
                self._tell(key, json.loads((self.trial_folder(key) / OUTCOME).read_text()))
            elif "pruned" in trial.user_attrs.get("rungs", {}).values():
                self._open[key] = optuna.Trial(study, trial._trial_id)
                self.finish(key, "pruned")

    def _in_state(self, *states: TrialState) -> Iterator[tuple[optuna.Study, FrozenTrial]]:
        for study in (self.fixed, self.searched):
            for trial in study.get_trials(deepcopy=False, states=states):
                yield study, trial

    def next(self) -> Assignment | None:
        """The next trial: those that were under way first, then the paper's, then what is owed of the searched space; None when none is."""
        if self.gave_up:
            return None
        for study, trial in self._in_state(TrialState.RUNNING):
            if key_of(study, trial) not in self._open:
                return self._assign(study, optuna.Trial(study, trial._trial_id), resumed=True)
        if self.fixed.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            return self._assign(self.fixed, self.fixed.ask(), resumed=False)
        counts = self.counts()
        if counts["owed"] <= counts["running"]:
            return None
        self._enqueue_startup()
        trials = self.searched.get_trials(deepcopy=False)
        number = min((t.number for t in trials if t.state == TrialState.WAITING), default=len(trials))
        self.searched.sampler = TrialSampler(self.sweep, number)
        return self._assign(self.searched, self.searched.ask(), resumed=False)

    def _assign(self, study: optuna.Study, trial: optuna.Trial, *, resumed: bool) -> Assignment:
        key, fixed = key_of(study, trial), study is self.fixed
        if resumed and not fixed:
            study.sampler = TrialSampler(self.sweep, trial.number)
        stored = trial.user_attrs.get("config")
        if stored is None:
            point = paper_points(self.sweep.space.task, self.sweep.shared)[key] if fixed else self.sweep.space.suggest(trial)
            seed = int(np.random.SeedSequence((self.sweep.seed, trial.number, int(fixed))).generate_state(1)[0])
            config = self.sweep.trial(point, seed=seed, threads=self.threads)
            trial.set_user_attr("config", config.model_dump(mode="json"))
        else:
            config = TrialConfig.model_validate(stored)
        self._open[key] = trial
        folder = self.trial_folder(key)
        if not (folder / CONFIG).exists():
            described = {
                "config": config.model_dump(mode="json"),
                "fixed": fixed,
                "label": paper_label(config.task, config.model_dump()) if fixed else trial_label(key, config),
                "started_at": time.time(),
            }
            write_json(folder / CONFIG, described)
        return Assignment(key, config, folder)

    # -- what happened

    def record(
        self, key: str, *, step: int, status: str, objective: float | None, points: list[Any], metrics: dict[str, float], error: str | None
    ) -> bool:
        """Enters one report of a trial; entering it again changes nothing.

        Returns:
            Whether the trial goes on.
        """
        trial = self._open[key]
        study = trial.study
        self._append(key, points)
        if objective is not None and step not in study._storage.get_trial(trial._trial_id).intermediate_values:
            trial.report(objective, step)
        if status != "running":
            self.finish(key, status, objective, metrics, error)
            return False
        if study is self.searched and step in self.rungs:
            decided = dict(trial.user_attrs.get("rungs", {}))
            if str(step) not in decided:
                decided[str(step)] = "pruned" if trial.should_prune() else "kept"
                trial.set_user_attr("rungs", decided)
            if decided[str(step)] == "pruned":
                self.finish(key, "pruned", objective, metrics)
                return False
        return True

    def lost(self, key: str) -> bool:
        """A trial's worker died: it is handed out again from its checkpoint, or ends as failed after ``WORKER_RETRIES`` times.

        Returns:
            Whether that ended it.
        """
        trial = self._open.get(key)
        if trial is None:
            return False  # it had ended; its worker died before the next trial
        deaths = int(trial.user_attrs.get("worker_deaths", 0)) + 1
        trial.set_user_attr("worker_deaths", deaths)
        if deaths > WORKER_RETRIES:
            self.finish(key, "failed", error=f"its worker died {deaths} times; see the Ray log of the node")
            return True
        del self._open[key]
        return False

    def finish(
        self, key: str, status: str, objective: float | None = None, metrics: dict[str, float] | None = None, error: str | None = None
    ) -> None:
        """Ends a trial as done, pruned, diverged or failed: the outcome to its folder first, then to Optuna."""
        outcome = {"status": status, "objective": objective, "metrics": metrics or {}, "error": error, "ended_at": time.time()}
        write_json(self.trial_folder(key) / OUTCOME, outcome)
        self._tell(key, outcome)

    def _tell(self, key: str, outcome: dict[str, Any]) -> None:
        trial = self._open.pop(key)
        trial.set_user_attr("status", outcome["status"])
        self._failures = [*self._failures, str(outcome["error"])] if outcome["status"] == "failed" else []
        state = {"done": TrialState.COMPLETE, "diverged": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        value = {"done": outcome["objective"], "diverged": DIVERGED_VALUE}.get(outcome["status"])
        trial.study.tell(trial, value, state=state[outcome["status"]])
        if outcome["status"] != "done":
            (self.trial_folder(key) / CHECKPOINT).unlink(missing_ok=True)
        elif trial.study is self.searched:
            self._models.add(key)
        self._drop_models()

    def _append(self, key: str, points: list[Any]) -> None:
        """Adds the points that the curve does not have yet."""
        path = self.trial_folder(key) / POINTS
        if key not in self._last_step:
            whole = read_points(path)
            self._last_step[key] = whole[-1][0] if whole else -1
            if path.exists():  # a torn last line would swallow the next one
                write_atomic(path, "".join(point_line(step, values) for step, values in whole).encode())
        new = [(step, values) for step, values in points if step > self._last_step[key]]
        if new:
            with path.open("a") as file:
                file.write("".join(point_line(step, values) for step, values in new))
            self._last_step[key] = new[-1][0]

    def _drop_models(self) -> None:
        """Of the searched trials, only the best few keep their weights."""
        for key in self._models - {f"{trial.number:04d}" for trial in self.ranking()[:NUM_KEPT_MODELS]}:
            for name in (MODEL, MODEL_CARD):
                (self.trial_folder(key) / name).unlink(missing_ok=True)
            self._models.discard(key)

    # -- what is known

    @property
    def under_way(self) -> int:
        """How many trials are handed out and have not ended."""
        return len(self._open)

    @property
    def gave_up(self) -> str | None:
        """Why nothing more is handed out, where that is so: what fails every trial would fail the next hundred too."""
        return self._failures[-1] if len(self._failures) >= FAILURES_IN_A_ROW else None

    def trial_folder(self, key: str) -> Path:
        return self.folder / "trials" / key

    def ranking(self) -> list[FrozenTrial]:
        """Finished searched trials by their last objective, best first, the earlier one first among equals: never a curve's maximum, never a
        pruned or a diverged trial."""
        done = [t for t in self.searched.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)) if t.user_attrs.get("status") == "done"]
        return sorted(done, key=lambda t: (-(t.value if t.value is not None else -np.inf), t.number))

    def counts(self) -> dict[str, int]:
        """Searched trials by what became of them, and how many are owed: ``trials`` − (finished + pruned)."""
        trials = self.searched.get_trials(deepcopy=False)
        found = {name: sum(t.user_attrs.get("status") == name for t in trials) for name in ("done", "diverged", "pruned", "failed")}
        found["running"] = sum(t.state == TrialState.RUNNING for t in trials)
        finished = sum(t.state in (TrialState.COMPLETE, TrialState.PRUNED) for t in trials)
        found["finished"] = finished
        found["owed"] = max(0, self.sweep.trials - finished)
        fixed = self.fixed.get_trials(deepcopy=False)
        found["fixed"] = len(fixed)
        found["fixed_owed"] = sum(not t.state.is_finished() for t in fixed)
        return found


def key_of(study: optuna.Study, trial: FrozenTrial | optuna.Trial) -> str:
    return str(trial.user_attrs.get("key", f"{trial.number:04d}"))


def trial_label(key: str, config: TrialConfig) -> str:
    cut = "no cut" if config.outlier_sd is None else f"{config.outlier_sd:g} sd"
    trunk = ", frozen trunk" if config.trunk == "frozen" else ""
    return f"{key} {config.task} lr {config.learning_rate:.1e} ×{config.head_multiplier:.0f} {cut}{trunk}"


def point_line(step: int, values: dict[str, float]) -> str:
    return json.dumps({"step": step, "metrics": values}, sort_keys=True, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    write_atomic(path, (json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n").encode())
