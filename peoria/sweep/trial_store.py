"""The record of a sweep: which trials exist, what they were drawn as, what they reached. Optuna's storage and one folder a trial hold it.

Whoever runs the trials only executes. Every entry is written so that a kill between any two of them is mended by opening the store again.
"""

import json
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from peoria.config.paper_recipe import paper_points
from peoria.config.sweep import Sweep
from peoria.config.trial import TrialConfig, trial_label
from peoria.data.streams import SweepStream, derived_seed
from peoria.records.folder import SweepFolder, TrialFolder
from peoria.records.points import Curve, point_lines, read_points
from peoria.records.schema import Purpose, TrialOutcome, TrialStart, TrialStatus
from peoria.records.selection import Standings
from peoria.sweep.follow_ups import follow_ups
from peoria.sweep.pruner import RungPruner, rungs
from peoria.sweep.sampler import TrialSampler
from peoria.sweep.storage import open_storage
from peoria.training.messages import TrialReport
from shards.files import write_atomic

NUM_KEPT_MODELS = 3
WORKER_RETRIES = 3  # of one trial whose worker died
FAILURES_IN_A_ROW = 3  # after so many trials that failed with none that did not in between, nothing more is assigned
DIVERGED_VALUE = -1.0  # told to the searcher; below anything that a ranking can reach


@dataclass(frozen=True)
class Assignment:
    """A trial to run, or to go on with."""

    key: str  # the searched trial's number, or the name of another
    config: TrialConfig
    folder: TrialFolder


class TrialStore:
    """Opens the record of a sweep, or begins it. One process at a time: the sweep's lock is held by the caller."""

    def __init__(
        self, folder: SweepFolder, sweep: Sweep, *, storage_url: str | None = None, threads: int = 1, cutoff: Callable[[], str | None] = lambda: None
    ) -> None:
        """
        Args:
            cutoff: the cutoff date (`follow_ups.time_cutoff`), asked for when the search is over.
        """
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.folder, self.sweep, self.threads, self._cutoff = folder, sweep, threads, cutoff
        folder.path.mkdir(parents=True, exist_ok=True)
        self._storage, self._sync = open_storage(folder.journal, storage_url)
        any_trial = sweep.trial({"task": sweep.space.task[0], "learning_rate": 1e-3}, seed=0, threads=threads)
        self.rungs = rungs(any_trial, sweep.reduction_factor) if sweep.prune else ()
        pruner = RungPruner(self.rungs, sweep.reduction_factor)
        self._sampler = TrialSampler(sweep)
        self.searched = optuna.create_study(
            study_name=sweep.name, storage=self._storage, direction="maximize", load_if_exists=True, sampler=self._sampler, pruner=pruner
        )
        # A study of their own keeps the paper's points from the searcher, which would otherwise learn from settings outside its space.
        self.unsearched = optuna.create_study(study_name=f"{sweep.name}/unsearched", storage=self._storage, direction="maximize", load_if_exists=True)
        self._open: dict[str, optuna.Trial] = {}
        self._failures: list[str] = []  # errors of the last trials, those in a row
        self._last_step: dict[str, int] = {}
        self._enqueue()
        self._read()

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
            have = {t.user_attrs.get("key") for t in self.unsearched.get_trials(deepcopy=False)}
            for key in paper_points(self.sweep.space.task, self.sweep.shared):
                if key not in have:
                    self.unsearched.enqueue_trial({}, user_attrs={"key": key})
        startup = [(task, f"start-up {task} {turn}") for turn in range(self.sweep.startup_per_task) for task in self.sweep.space.task]
        self._startup = [(task, origin) for task, origin in startup if origin not in origins]

    def _enqueue_startup(self) -> None:
        """Where nothing waits, the next of a fair number of random points of each task: one at a time, so that a point that is queued by hand
        meanwhile goes first."""
        if self._startup and not self.searched.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            task, origin = self._startup.pop(0)
            self.searched.enqueue_trial({"task": task}, user_attrs={"origin": origin})

    def _read(self) -> None:
        """Takes stock of what is stored, once: from here on the store counts along. Tells Optuna what was decided before a kill but not yet told."""
        self._ended = Counter[str]()  # searched trials by their status
        self._interrupted: dict[tuple[bool, int], optuna.Trial] = {}  # under way, but with no worker; the paper's first
        self.standings = Standings()
        self._kept: set[str] = set()  # searched trials that keep their weights
        for study in (self.unsearched, self.searched):
            for trial in study.get_trials(deepcopy=False):
                if trial.state == TrialState.RUNNING:
                    self._interrupted[study is self.searched, trial.number] = optuna.Trial(study, self._stored_as(study, trial))
                elif trial.state.is_finished() and study is self.searched:
                    self._count(trial, TrialOutcome.read(self.folder.trial(key_of(study, trial)).outcome))
        for interrupted in list(self._interrupted.values()):
            outcome = TrialOutcome.read_if_there(self.folder.trial(key_of(interrupted.study, interrupted)).outcome)
            if outcome is not None:
                self._tell_optuna(self._take_up(interrupted), outcome)
            elif "pruned" in interrupted.user_attrs.get("rungs", {}).values():
                self.tell(self._take_up(interrupted), "pruned")
        self._enqueue_follow_ups()

    def _stored_as(self, study: optuna.Study, trial: FrozenTrial | optuna.Trial) -> int:
        """The trial's id in the storage, which counts the trials of all studies."""
        return self._storage.get_trial_id_from_study_id_trial_number(self._storage.get_study_id_from_name(study.study_name), trial.number)

    def _enqueue_follow_ups(self) -> None:
        """Once the search is over, queues what is trained of its winners. Where a search goes on again, what still waits is of winners that may
        change, and is dropped."""
        counts = self.counts()
        over = counts["remaining"] == counts["running"] == 0
        wanted = {}
        if over:
            won = self.standings.winners
            configs = {key: TrialStart.read(self.folder.trial(key).start).config for key in won.values()}
            cutoff = self._cutoff() if won and "time" in self.sweep.questions else None
            wanted = {follow_up.key: follow_up for follow_up in follow_ups(self.sweep, won, configs, cutoff)}
        for trial in self.unsearched.get_trials(deepcopy=False):
            if trial.state == TrialState.WAITING and "of" in trial.user_attrs and trial.user_attrs["key"] not in wanted:
                self._storage.set_trial_state_values(self._stored_as(self.unsearched, trial), TrialState.FAIL)
            elif trial.state != TrialState.FAIL or "status" in trial.user_attrs:
                wanted.pop(trial.user_attrs["key"], None)
        for follow_up in wanted.values():
            config = follow_up.config.model_dump(mode="json")
            self.unsearched.enqueue_trial({}, user_attrs={**asdict(follow_up), "config": config})

    def ask(self) -> Assignment | None:
        """The next trial: those that were under way first, then the paper's, then what remains of the searched space; None when none is."""
        if self.stop_reason:
            return None
        if self._interrupted:
            return self._assign(self._interrupted[min(self._interrupted)])
        if self.unsearched.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            return self._assign(self.unsearched.ask())
        counts = self.counts()
        if counts["remaining"] <= counts["running"]:
            return None
        self._enqueue_startup()
        return self._assign(self.searched.ask())

    def _take_up(self, trial: optuna.Trial) -> str:
        key = key_of(trial.study, trial)
        self._interrupted.pop((trial.study is self.searched, trial.number), None)
        self._open[key] = trial
        return key

    def _assign(self, trial: optuna.Trial) -> Assignment:
        searched = trial.study is self.searched
        key = self._take_up(trial)
        stored = trial.user_attrs.get("config")
        if stored is None:
            point = self.sweep.space.suggest(trial) if searched else paper_points(self.sweep.space.task, self.sweep.shared)[key]
            seed = derived_seed(self.sweep.seed, trial.number, SweepStream.SEARCHED if searched else SweepStream.UNSEARCHED)
            config = self.sweep.trial(point, seed=seed, threads=self.threads)
            trial.set_user_attr("config", config.model_dump(mode="json"))
        else:
            config = TrialConfig.model_validate(stored)
        self._sync()  # whatever is in the folder from now on is of these settings
        folder = self.folder.trial(key)
        if not folder.start.exists():
            purpose: Purpose = "search" if searched else trial.user_attrs.get("purpose", "paper")
            of, label = trial.user_attrs.get("of"), trial.user_attrs.get("label") or trial_label(key, config)
            TrialStart(config=config, purpose=purpose, of=of, label=label, started_at=time.time()).write(folder.start)
        return Assignment(key, config, folder)

    # -- what happened

    def report(self, key: str, report: TrialReport) -> bool:
        """Enters one report of a trial; entering it again changes nothing.

        Returns:
            Whether the trial goes on.
        """
        trial = self._open[key]
        study = trial.study
        self._append(key, report.points)
        if report.objective is not None and report.step not in self._storage.get_trial(self._stored_as(study, trial)).intermediate_values:
            trial.report(report.objective, report.step)
        if report.status != "running":
            self.tell(key, report.status, report.objective, report.metrics, report.error)
            return False
        if study is self.searched and report.step in self.rungs:
            decided = dict(trial.user_attrs.get("rungs", {}))
            if str(report.step) not in decided:
                decided[str(report.step)] = "pruned" if trial.should_prune() else "kept"
                trial.set_user_attr("rungs", decided)
            if decided[str(report.step)] == "pruned":
                self.tell(key, "pruned", report.objective, report.metrics)
                return False
        self._sync()
        return True

    def worker_died(self, key: str) -> bool:
        """A trial's worker died: it is assigned again from its checkpoint, or ends as failed after ``WORKER_RETRIES`` times.

        Returns:
            Whether that ended it.
        """
        trial = self._open.get(key)
        if trial is None:
            return False  # it had ended; its worker died before the next trial
        deaths = int(trial.user_attrs.get("worker_deaths", 0)) + 1
        trial.set_user_attr("worker_deaths", deaths)
        if deaths > WORKER_RETRIES:
            self.tell(key, "failed", error=f"its worker died {deaths} times; see the Ray log of the node")
            return True
        self._interrupted[trial.study is self.searched, trial.number] = self._open.pop(key)
        return False

    def tell(
        self, key: str, status: TrialStatus, objective: float | None = None, metrics: dict[str, float] | None = None, error: str | None = None
    ) -> None:
        """Ends a trial as done, pruned, diverged or failed: the outcome to its folder first, then to Optuna."""
        outcome = TrialOutcome(status=status, objective=objective, metrics=metrics or {}, error=error, ended_at=time.time())
        self._sync()  # what the outcome follows from
        outcome.write(self.folder.trial(key).outcome)
        self._tell_optuna(key, outcome)

    def _tell_optuna(self, key: str, outcome: TrialOutcome) -> None:
        trial = self._open.pop(key)
        trial.set_user_attr("status", outcome.status)
        self._failures = [*self._failures, str(outcome.error)] if outcome.status == "failed" else []
        state = {"done": TrialState.COMPLETE, "diverged": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
        value = {"done": outcome.objective, "diverged": DIVERGED_VALUE}.get(outcome.status)
        told = trial.study.tell(trial, value, state=state[outcome.status])
        if outcome.status != "done":
            self.folder.trial(key).checkpoint.unlink(missing_ok=True)
        if trial.study is self.searched:
            self._count(told, outcome)
            if not self._interrupted:
                self._enqueue_follow_ups()

    def _count(self, trial: FrozenTrial, outcome: TrialOutcome) -> None:
        """Enters a searched trial that has ended into what is kept of all of them. Only the best few and the winners keep their weights."""
        self._ended[outcome.status] += 1
        if trial.state != TrialState.FAIL:
            self._sampler.finished.add(trial)
        if outcome.status == "done":
            assert outcome.objective is not None
            key = key_of(self.searched, trial)
            self.standings.add(key, outcome.objective, outcome.metrics)
            keep = set(self.standings.by_objective[:NUM_KEPT_MODELS]) | set(self.standings.winners.values())
            for other in (self._kept | {key}) - keep:
                folder = self.folder.trial(other)
                for file in (folder.model, folder.model_card):
                    file.unlink(missing_ok=True)
            self._kept = keep

    def _append(self, key: str, points: Curve) -> None:
        """Adds the points that the curve does not have yet."""
        path = self.folder.trial(key).points
        if key not in self._last_step:
            whole = read_points(path)
            self._last_step[key] = whole[-1][0] if whole else -1
            if path.exists():  # a torn last line would swallow the next one
                write_atomic(path, point_lines(whole).encode())
        new = [(step, values) for step, values in points if step > self._last_step[key]]
        if new:
            with path.open("a") as file:
                file.write(point_lines(new))
                file.flush()
                os.fsync(file.fileno())
            self._last_step[key] = new[-1][0]

    # -- what is known

    @property
    def under_way(self) -> int:
        """How many trials are assigned and have not ended."""
        return len(self._open)

    @property
    def stop_reason(self) -> str | None:
        """Why nothing more is assigned, where that is so: what fails every trial would fail the next hundred too."""
        return self._failures[-1] if len(self._failures) >= FAILURES_IN_A_ROW else None

    def counts(self) -> dict[str, int]:
        """Searched trials by what became of them, and how many remain: ``trials`` less those that have ended as done, pruned or diverged."""
        found = {status: self._ended[status] for status in ("done", "diverged", "pruned", "failed")}
        under_way = [trial.study for trial in (*self._open.values(), *self._interrupted.values())]
        found["running"] = sum(study is self.searched for study in under_way)
        found["finished"] = len(self._sampler.finished)
        found["remaining"] = max(0, self.sweep.trials - found["finished"])
        fixed = self.unsearched.get_trials(deepcopy=False)
        found["unsearched_remaining"] = sum(not t.state.is_finished() for t in fixed)
        return found


def key_of(study: optuna.Study, trial: FrozenTrial | optuna.Trial) -> str:
    return str(trial.user_attrs.get("key", f"{trial.number:04d}"))
