"""A sweep from its definition to its record: checks, lock, baselines, trials, and the copy that MLflow gets."""

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from peoria.config.sweep import Sweep
from peoria.data.controls import Control, refuse_control
from peoria.data.dataset import open_dataset
from peoria.data.filters import filtered_identity, filtered_labels
from peoria.records.folder import SweepFolder
from peoria.records.schema import RunState, SweepStatus, TrialOutcome, TrialStart
from peoria.records.selection import said
from peoria.records.trials import read_trial
from peoria.sweep.baselines import write_baselines
from peoria.sweep.definition import refuse_another, write_definition
from peoria.sweep.follow_ups import time_cutoff
from peoria.sweep.lock import sweep_lock
from peoria.sweep.plan import make_plan, pictures_text, render_plan
from peoria.sweep.resources import RunOptions, Say, default_concurrency
from peoria.sweep.trial_store import FAILURES_IN_A_ROW, Assignment, TrialStore
from peoria.tracking.database import default_tracking_uri
from peoria.tracking.projector import Following
from peoria.training.messages import TrialSpec
from peoria.training.trial import run_trial
from shards.cache.decoded import forecast
from shards.read.shard_set import ShardSet

if TYPE_CHECKING:
    from peoria.sweep.ray_executor import RayInBackground

EXIT_INCOMPLETE = 3


@dataclass(frozen=True)
class SweepResult:
    """What a run of the sweep left."""

    folder: SweepFolder
    counts: dict[str, int]
    winners: dict[str, str]  # by target, the winner's key
    undelivered: str | None  # what MLflow has not got yet

    @property
    def won(self) -> str:
        """The winners' keys, each with the measure that it won by."""
        words = [f"{said(target, read_trial(self.folder.trial(key)).metrics)}: {key}" for target, key in self.winners.items()]
        return "; ".join(words) or "no winner, for no trial finished"

    @property
    def complete(self) -> bool:
        return self.counts["remaining"] == 0 and self.counts["unsearched_remaining"] == 0

    @property
    def exit_code(self) -> int:
        """Of the command: 0 only where every trial is there."""
        return 0 if self.complete else EXIT_INCOMPLETE


def run_sweep(sweep: Sweep, options: RunOptions, say: Say = print) -> SweepResult:
    """Runs what the sweep owes: all of it at first, the rest after an interruption.

    Raises:
        ConfigError: the sweep cannot be run on these data.
        SweepError: it is held by another process, or defined otherwise than before.
        DamagedShardError: a shard is not what was packed; names it.
    """
    if options.trials is not None:
        sweep = sweep.model_copy(update={"trials": options.trials})
    if options.control is not None:
        Control.parse(options.control)
        sweep = sweep.model_copy(update={"name": f"{sweep.name}-{options.control}"})
    if not options.local:
        from peoria.sweep.ray_executor import refuse_without_token

        refuse_without_token()
    folder, shard_set = SweepFolder.of(options.home, sweep.name), ShardSet(Path(sweep.shards))
    identity = filtered_identity(shard_set.manifest.identity, sweep.where)
    refuse_another(folder, sweep, identity, options.storage)  # before the lock, which writes into the folder
    with sweep_lock(folder):
        refuse_another(folder, sweep, identity, options.storage)  # and once more: another process may just have begun it
        shard_set.verify_files(["train", "val"])
        train, val = (filtered_labels(shard_set, split, sweep.where) for split in ("train", "val"))
        if options.control is not None:
            for split, labels in (("train", train), ("val", val)):
                refuse_control(options.control, labels, split)
        concurrent = options.concurrent or default_concurrency(options)
        plan = make_plan(
            sweep,
            train,
            val,
            concurrent=concurrent,
            home=options.home,
            pictures=pictures_text(forecast(shard_set, ["train", "val"], options.cache, options.cache_bytes), options.cache),
        )
        write_definition(folder, sweep, shard_set, plan, control=options.control, storage=options.storage)
        store = TrialStore(folder, sweep, storage_url=options.storage, threads=options.cpus_per_trial, cutoff=lambda: time_cutoff(train))
        counts = store.counts()
        where = "in this process" if options.local else f"each with {options.cpus_per_trial} CPUs and {options.gpus_per_trial:g} GPUs"
        say(
            render_plan(
                sweep, plan, control=options.control, concurrent=concurrent, where=where, remaining=counts["remaining"], finished=counts["finished"]
            )
        )
        folder.finished.unlink(missing_ok=True)
        with aside(store, options, concurrent) as ray_aside:
            dataset = open_dataset(
                shard_set.root, options.cache, control=options.control, where=sweep.where, budget_bytes=options.cache_bytes, say=say
            )
            with Following(folder, tracking_uri(options), say) as following:
                write_baselines(folder, sweep, dataset, say)
                status: SweepStatus = "failed"
                try:
                    execute(store, sweep, options, concurrent, say, ray_aside)
                    if store.stop_reason is not None:
                        say(f"  stopped: {FAILURES_IN_A_ROW} trials in a row failed; the last one:\n{store.stop_reason}")
                    left = store.counts()
                    status = "failed" if store.stop_reason else "interrupted" if left["remaining"] + left["unsearched_remaining"] else "finished"
                except KeyboardInterrupt:
                    status = "interrupted"
                    raise
                finally:
                    RunState(status=status, ended_at=time.time()).write(folder.finished)
        return SweepResult(folder, store.counts(), store.standings.winners, following.undelivered)


def aside(store: TrialStore, options: RunOptions, concurrent: int) -> AbstractContextManager["RayInBackground | None"]:
    """Ray where trials remain to be run, starting while the pictures are decoded and the baselines fitted."""
    counts = store.counts()
    if options.local or counts["remaining"] + counts["unsearched_remaining"] == 0:
        return nullcontext()
    from peoria.sweep.ray_executor import RayInBackground

    return RayInBackground(num_cpus=max(1, concurrent * options.cpus_per_trial), num_gpus=options.gpus_per_trial * concurrent or None)


def execute(store: TrialStore, sweep: Sweep, options: RunOptions, concurrent: int, say: Say, ray_aside: "RayInBackground | None") -> None:
    def spec(assignment: Assignment) -> TrialSpec:
        return TrialSpec(
            key=assignment.key,
            folder=assignment.folder.path.resolve(),
            config=assignment.config,
            shards=Path(sweep.shards).resolve(),
            cache=options.cache.resolve(),
            cache_bytes=options.cache_bytes,
            control=options.control,
            where=sweep.where,
        )

    def ended(key: str) -> None:
        say(progress_line(store, key))

    counts = store.counts()
    if counts["remaining"] + counts["unsearched_remaining"] == 0:
        return
    seconds = None if options.hours is None else options.hours * 3600
    if options.local:
        deadline = None if seconds is None else time.monotonic() + seconds
        while (assignment := store.ask()) is not None:
            running = run_trial(spec(assignment))
            for report in running:
                if not store.report(assignment.key, report):
                    ended(assignment.key)
                    break
                if deadline is not None and time.monotonic() > deadline:
                    running.close()
                    return
            running.close()
        return

    from peoria.sweep.ray_executor import TuneState, run_with_ray

    assert ray_aside is not None
    ray_aside.wait()
    try:
        run_with_ray(
            TuneState(store, spec, ended, {}),
            store.folder.tune,
            concurrent=concurrent,
            cpus=options.cpus_per_trial,
            gpus=options.gpus_per_trial,
            seconds=seconds,
        )
    finally:
        ray_aside.leave()


def tracking_uri(options: RunOptions) -> str | None:
    """Where MLflow is; None where nothing is tracked."""
    return None if options.tracking == "off" else options.tracking or default_tracking_uri(options.home)


def progress_line(store: TrialStore, key: str) -> str:
    folder = store.folder.trial(key)
    outcome, label = TrialOutcome.read(folder.outcome), TrialStart.read(folder.start).label
    value = f"{outcome.objective:+.3f}" if outcome.objective is not None else "      "
    error = f"  {outcome.error.strip().splitlines()[-1][:100]}" if outcome.error else ""
    return f"  {label:<60} {outcome.status:<8} {value}  {store.counts()['finished']} of {store.sweep.trials}{error}"
