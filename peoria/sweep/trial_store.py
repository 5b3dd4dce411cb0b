"""The record of a sweep: which trials exist, what they were drawn as, what they reached. Optuna's storage and one folder a trial hold it.

Whoever runs the trials only executes. Every entry is written so that a kill between any two of them is mended by opening the store again.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from optuna.trial import TrialState

from peoria.config.paper_recipe import paper_points
from peoria.config.sweep import Sweep
from peoria.config.trial import TrialConfig
from peoria.data.streams import SweepStream, derived_seed
from peoria.records.folder import SweepFolder
from peoria.records.schema import TrialOutcome, TrialStart, TrialStatus
from peoria.records.selection import Choice, to_begin
from peoria.records.whole import sha256_if_there
from peoria.sweep.agreement import refuse_disagreement
from peoria.sweep.follow_ups import FollowUp, of_search
from peoria.sweep.mirror import Mirror
from peoria.sweep.one_writer import OneWriter
from peoria.sweep.pruner import RungPruner, sweep_rungs
from peoria.sweep.queued import enqueue_follow_ups, enqueue_paper, enqueue_points, enqueue_startup, num_owed, paper_keys
from peoria.sweep.sampler import TrialSampler
from peoria.sweep.storage import open_storage
from peoria.sweep.strikes import Strikes
from peoria.sweep.study import DIVERGED_VALUE, SCORES, SEEN, STATES, create_studies, key_of, was_pruned
from peoria.sweep.taken import enqueue_taken
from peoria.sweep.tally import NUM_KEPT_MODELS, Tally
from peoria.sweep.trial_files import Curves, begin, begin_again, drop_checkpoints, halved, val_metrics, why_failed
from peoria.sweep.tries import Tries
from peoria.sweep.under_way import Assignment, UnderWay, Values
from peoria.training.messages import TrialReport

if TYPE_CHECKING:
    from peoria.sweep.lease import Lease

__all__ = ["NUM_KEPT_MODELS", "Assignment", "TrialStore"]

Metrics = dict[str, float] | None
FAILURES_IN_A_ROW = 3  # after so many trials that failed with none that did not in between, nothing more is assigned
UNFINISHED = ("failed", "infeasible")  # of the searched space another is drawn in its place, of all others the same is tried in the next run


class TrialStore:
    """Opens the record of a sweep, or begins it. One process at a time: the sweep's lock is held by the caller."""

    def __init__(
        self,
        folder: SweepFolder,
        sweep: Sweep,
        *,
        storage_url: str | None = None,
        lease: "Lease | None" = None,
        mirror: Mirror | None = None,
        threads: int = 1,
        concurrent: int = 1,
        cutoff: Callable[[], str | None] = lambda: None,
        say: Callable[[str], object] = lambda text: None,
        changed: Callable[[str], object] = lambda key: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            mirror: of the record in a bucket; None: the folder is all there is.
            concurrent: how many trials run at a time: one that waits to be tried again keeps its place among them.
            cutoff: the cutoff date (`follow_ups.time_cutoff`), asked for when the search is over.
            say: is told, a line each, what interrupts a trial and what becomes of it.
            changed: is told the key of each trial whose files are written, after that.

        Raises:
            SweepError: the study of this name is another sweep's, or study and folder disagree.
        """
        self.folder, self.sweep, self.threads, self._cutoff = folder, sweep, threads, cutoff
        self._concurrent, self._say, self._changed, self._strikes = concurrent, say, changed, Strikes(clock)
        self.mirror = mirror or Mirror()
        self.tries = Tries(folder, self.mirror)
        folder.path.mkdir(parents=True, exist_ok=True)
        storage, self._sync = open_storage(folder.journal, storage_url, lease, self._say)
        self._storage = OneWriter(storage)
        self.rungs = sweep_rungs(sweep)
        self._sampler, self._pruner = TrialSampler(sweep), RungPruner(self.rungs, sweep.reduction_factor)
        self.searched, self.unsearched = create_studies(self._storage, folder, sweep, sampler=self._sampler, pruner=self._pruner)
        refuse_disagreement(folder, sweep, self.searched, self.unsearched)
        self._open: dict[str, UnderWay] = {}
        self._failures, self._failed_now = list[str](), set[str]()  # errors of the last trials in a row; keys of unsearched ones, for the next run
        self._set_aside: dict[str, str] = {}  # given up in this run, though others go on: why
        self._stopped: str | None = None
        self._num_steps, self.stuck = 0, False  # stuck: stopped for what is around the trials, which may be otherwise in the next run
        self._curves = Curves(folder)
        self._values = Values(folder, self._storage, self._pruner, self._curves)
        self._follow_ups: dict[str, FollowUp] = {}  # once the search is over, as far as they are known
        enqueue_taken(self.searched, folder, sweep)
        self._startup, self._paper_keys = enqueue_points(self.searched, sweep), set(paper_keys(sweep))
        self.tally = Tally(folder, sweep.seeds, self.mirror.forget)
        self.standings = self.tally.standings
        self._interrupted: dict[tuple[bool, int], UnderWay] = {}  # under way, but with no worker; the paper's first
        self._read()

    # -- what there is to do

    def _read(self) -> None:
        """Takes stock of what is stored, once: from here on the store counts along. Tells Optuna what was decided before a kill but not yet told."""
        self._pruner.remember(self.searched.get_trials(deepcopy=False))
        for study in (self.unsearched, self.searched):
            for trial in study.get_trials(deepcopy=False):
                if trial.state == TrialState.RUNNING:
                    under_way = self._values.of(study, study is self.searched, number=trial.number)
                    self._interrupted[under_way.place] = under_way
                elif trial.state == TrialState.COMPLETE or (trial.state.is_finished() and study is self.searched):
                    if trial.state != TrialState.FAIL and study is self.searched:
                        self._sampler.finished.add(trial)
                    self.tally.add(key := key_of(study, trial), TrialOutcome.read(self.folder.trial(key).outcome))
        for interrupted in list(self._interrupted.values()):
            if (outcome := TrialOutcome.read_if_there(self.folder.trial(interrupted.key).outcome)) is not None:
                self._take_up(interrupted)
                self._values.catch_up(interrupted, [])  # with what a journal without its last lines has lost
                self._values.write(interrupted)
                self._tell_optuna(interrupted.key, outcome)
            elif last := was_pruned(self._storage.get_trial(interrupted.stored_as)):
                self._take_up(interrupted)
                self.tell(interrupted.key, "pruned", last[1], val_metrics(self.folder.trial(interrupted.key), last[0]))
        self._failed_now.clear()  # in a former run
        enqueue_paper(self.unsearched, self.sweep)
        self._enqueue_follow_ups()

    def _enqueue_follow_ups(self) -> None:
        """Once the search is over, queues what is trained of its candidates, and of its winners as soon as they are known."""
        self._follow_ups = of_search(self.folder, self.sweep, self.choice, self._cutoff)
        enqueue_follow_ups(self._storage, self.folder, self.unsearched, self._follow_ups, self._failed_now)

    def ask(self) -> Assignment | None:
        """The next trial: those that were under way first, then the paper's, then what remains of the searched space; None when none is, or none may
        be handed out yet (`waiting`)."""
        if self.stop_reason:
            return None
        if ready := [place for place, trial in self._interrupted.items() if not self._strikes.left(trial.key)]:
            return self._assign(self._interrupted[min(ready)])
        if self._interrupted and len(self._open) + len(self._interrupted) >= self._concurrent:
            return None
        if waiting := self.unsearched.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            self.folder.trial(waiting[0].user_attrs["key"]).outcome.unlink(missing_ok=True)  # of a try that failed
            return self._assign(self._values.of(self.unsearched, False, self.unsearched.ask()))
        if (counts := self.counts())["remaining"] <= counts["running"]:
            return None
        enqueue_startup(self.searched, self._startup)
        return self._assign(self._values.of(self.searched, True, self.searched.ask()))

    @property
    def waiting(self) -> float | None:
        """Seconds until an owed trial may be handed out again; None where none waits."""
        return None if self.stop_reason else min((self._strikes.left(trial.key) for trial in self._interrupted.values()), default=None)

    def _take_up(self, under_way: UnderWay) -> None:
        self._interrupted.pop(under_way.place, None)
        self._open[under_way.key] = under_way

    def _assign(self, under_way: UnderWay) -> Assignment:
        key, trial, searched = under_way.key, under_way.trial, under_way.searched
        self._take_up(under_way)
        stored = trial.user_attrs.get("config")
        if stored is None:
            point = self.sweep.space.suggest(trial) if searched else paper_points(self.sweep.space.task, self.sweep.shared)[key]
            drawn = derived_seed(self.sweep.seed, trial.number, SweepStream.SEARCHED if searched else SweepStream.UNSEARCHED)
            config = self.sweep.trial(point, seed=trial.user_attrs.get("seed", drawn), threads=self.threads)
            trial.set_user_attr("config", config.model_dump(mode="json"))
        else:
            config = TrialConfig.model_validate(stored)
        under_way.settings_sha256 = config.sha256
        self._sync()  # whatever is in the folder from now on is of these settings
        folder = self.folder.trial(key)
        start = TrialStart.read_if_there(folder.start)
        if start is not None and start.config != config and (half := halved(start)) is not None:  # killed while it was halved
            begin_again(folder, half)
            self.mirror.forget(key)
        if start is None:
            begin(folder, config, trial.user_attrs, searched=searched)
        self._changed(key)
        self._strikes.handed_out(key, self.reached(key) if self.tries.num(key) else self._curves.reached(key))
        self.tries.handed_out(key)
        self.mirror.flush(key)
        return Assignment(key, config, folder)

    # -- what happened

    def report(self, key: str, report: TrialReport) -> bool:
        """Enters one report of a trial, and returns whether it goes on; entering it again changes nothing."""
        under_way = self._open[key]
        if report.note:
            self._say(f"  {key}: {report.note}")
        if report.status == "interrupted" or report.status == "infeasible":
            (self.interrupted if report.status == "interrupted" else self.outgrew)(key, str(report.error))
            return False
        self._values.catch_up(under_way, report.points)
        self._num_steps += self._curves.append(key, report.points, under_way.settings)
        self._changed(key)
        if report.objective is not None:
            self._values.enter(under_way, report.step, report.objective)
        if report.status == "done":
            self.mirror.fetch(key, self.folder.trial(key).val_scores.name, self.folder.trial(key).model_card.name)
        if report.status != "running":
            self.tell(key, report.status, report.objective, report.metrics, report.error, report.step)
            return False
        if under_way.searched and report.step in self.rungs:
            decided = dict(under_way.trial.user_attrs.get("rungs", {}))
            if str(report.step) not in decided:
                decided[str(report.step)] = "pruned" if under_way.trial.should_prune() else "kept"
                self._values.write(under_way)
                under_way.trial.set_user_attr("rungs", decided)
                self._sync()  # who was kept has gone on, for ever
            if decided[str(report.step)] == "pruned":
                self.tell(key, "pruned", report.objective, report.metrics)
                return False
        if not self._values.held:
            self._values.write(under_way)
            self._sync()
        self.mirror.flush(key)
        return True

    def interrupted(self, key: str, why: str, node: str = "") -> None:
        """What is around a trial ended it: it is owed again, after a wait where it had made no further step, until trying is given up (`Strikes`)."""
        if key not in self._open:
            return  # it had ended; its worker died before the next trial
        wait_s = self._strikes.interrupted(key, self.reached(key), node or self.tries.node_of(key), self._num_steps)
        if not self._strikes.given_up(key):
            from_there = f" from {reached:,} pictures" if (reached := self._curves.reached(key)) > 0 else ""
            self._say(f"  {key}: {why}; it goes on{from_there}{f' in {wait_s:.0f} s' if wait_s >= 1 else ''}")
            self.put_back(key, wait_s)
        elif self._strikes.others_went_on(key, self._num_steps):
            self._set_aside[key] = why
            self._open.pop(key)
            self._say(f"  {key}: {why}; set aside, for it made no step in so many tries while others did: the same command tries it again")
        else:
            self.put_back(key)
            self._stopped, self.stuck = f"{key}: {why}; it made no step in so many tries, and nothing else did meanwhile", True

    def preempted(self, key: str, step: int, wait_s: float = 0.0) -> None:
        """A trial's node was taken away; it goes on from ``step``, without a strike."""
        self._strikes.handed_out(key, step)
        self.put_back(key, wait_s)

    def reached(self, key: str) -> int:
        """The last step known of, whoever wrote it: of the curve, or where a worker left off that could no longer tell it; -1 of a trial without."""
        worker = self.tries.worker(key)
        return max(self._curves.reached(key), -1 if worker is None or worker.left_at is None else worker.left_at)

    def put_back(self, key: str, wait_s: float = 0.0) -> None:
        """A trial under way is owed again, in ``wait_s`` seconds, without a strike."""
        if key in self._open:
            under_way = self._open.pop(key)
            self._strikes.wait(key, wait_s)
            self._interrupted[under_way.place] = under_way

    def outgrew(self, key: str, why: str) -> bool:
        """A trial took more memory than there was: it begins again at half the batch, marked so; one that has done that is infeasible. Returns
        whether that ended it."""
        if (under_way := self._open.get(key)) is None:
            return False
        folder = self.folder.trial(key)
        half = halved(TrialStart.read(folder.start))
        if half is None:
            self.tell(key, "infeasible", error=why)
            return True
        under_way.trial.set_user_attr("config", half.config.model_dump(mode="json"))
        under_way.settings_sha256 = half.config.sha256
        self._sync()
        begin_again(folder, half)
        self.mirror.forget(key)
        self._curves.forget(key)
        self._changed(key)
        self._say(f"  {key}: {why.splitlines()[-1]}; it begins again with a batch of {half.config.batch_size}")
        self.put_back(key)
        return False

    def stop(self, why: str) -> None:
        """Nothing more is assigned."""
        self._stopped = why

    def fail(self, key: str, why: str) -> None:
        """Ends a trial, where it is under way, as failed."""
        if key in self._open:
            self.tell(key, "failed", error=why)

    def tell(
        self, key: str, status: TrialStatus, objective: float | None = None, metrics: Metrics = None, error: str | None = None, step: int = 0
    ) -> None:
        """Ends a trial, ``step`` pictures seen or as many as its curve has: the outcome to its folder first, then to Optuna."""
        under_way, now = self._open[key], max(time.time(), self.tally.last_end + 0.001)  # a clock that is set back changes no order of ends
        scores = sha256_if_there(self.folder.trial(key).val_scores) if status == "done" else None
        more: dict[str, Any] = {"error": error, "pictures": max(0, step, self._curves.reached(key)), "val_scores_sha256": scores, "ended_at": now}
        outcome = TrialOutcome(status=status, settings_sha256=under_way.settings, objective=objective, metrics=metrics or {}, **more)
        self._values.catch_up(under_way, [])
        self._values.write(under_way)
        self._sync()  # what the outcome follows from
        outcome.write(self.folder.trial(key).outcome)
        self.mirror.flush(key)
        self._tell_optuna(key, outcome)
        self.mirror.flush(key)

    def _tell_optuna(self, key: str, outcome: TrialOutcome) -> None:
        under_way = self._open.pop(key)
        trial = under_way.trial
        if outcome.val_scores_sha256 is not None:
            trial.set_user_attr(SCORES, outcome.val_scores_sha256)
        trial.set_user_attr("status", outcome.status)
        trial.set_user_attr(SEEN, outcome.pictures)
        self._failures = [*self._failures, str(outcome.error)] if outcome.status in UNFINISHED else []
        value = {"done": outcome.objective, "diverged": DIVERGED_VALUE}.get(outcome.status)
        told = trial.study.tell(trial, value, state=STATES[outcome.status])
        self.mirror.forget(key, drop_checkpoints(self.folder.trial(key), last_too=outcome.status != "done"), done=outcome.status == "done")
        self._curves.forget(key)
        self._changed(key)
        if not under_way.searched and outcome.status in UNFINISHED:
            self._failed_now.add(key)
            return
        if under_way.searched and told.state != TrialState.FAIL:
            self._sampler.finished.add(told)
        self.tally.add(key, outcome)
        self._enqueue_follow_ups()

    # -- what is known

    @property
    def stop_reason(self) -> str | None:
        """Why nothing more is assigned, where that is so: what fails every trial would fail the next hundred too."""
        if self._stopped is None and len(self._failures) >= FAILURES_IN_A_ROW:
            return f"{FAILURES_IN_A_ROW} trials in a row failed; the last one:\n{self._failures[-1]}"
        return self._stopped

    def owed(self) -> dict[str, str]:
        """What this run leaves of trials that it tried: by key, why."""
        return self._set_aside | why_failed(self.folder, self._failed_now)

    @property
    def choice(self) -> Choice:
        return self.tally.choice(over=self.counts()["remaining"] == 0)

    def counts(self) -> dict[str, int]:
        """Searched trials by what became of them, and how many remain (`to_begin`), at least those under way. Of the others, each remains until it is
        done or has diverged."""
        found = self.tally.by_status()
        under_way = (*self._open.values(), *self._interrupted.values())
        found["running"] = sum(trial.searched for trial in under_way) + sum(key.isdigit() for key in self._set_aside)
        ended = found["finished"] = len(self._sampler.finished)
        # one that was begun is ended, also where fewer are wanted by now: the winners are known when none is under way
        found["remaining"] = max(found["running"], to_begin(self.sweep.trials, self.sweep.pictures, ended=ended, seen=self.tally.pictures))
        found["unsearched_remaining"] = num_owed(self.unsearched, {*self._paper_keys, *self._follow_ups})
        return found
