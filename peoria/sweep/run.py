"""A sweep from its definition to its record: checks, lock, baselines, trials, and the copy that MLflow gets."""

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peoria.borders import told
from peoria.config.sweep import Sweep
from peoria.data.controls import Control, refuse_control
from peoria.data.dataset import open_dataset
from peoria.data.filters import filtered_identity, filtered_labels
from peoria.errors import ConfigError, StorageAwayError, interruption
from peoria.plugins import texts_of
from peoria.records.folder import SweepFolder
from peoria.records.home import Home
from peoria.records.schema import RunState, SweepStatus
from peoria.records.selection import choice_in
from peoria.records.trials import read_trials
from peoria.redact import scrub_text
from peoria.sweep.baselines import baselines_errand, write_baselines
from peoria.sweep.board import Board, Screen, screen_now
from peoria.sweep.cluster import OWN, refuse_cluster
from peoria.sweep.definition import refuse_another, write_definition
from peoria.sweep.dispatch import Dispatch, clear_stop_file
from peoria.sweep.errand import Errand
from peoria.sweep.follow_ups import time_cutoff
from peoria.sweep.here import run_here
from peoria.sweep.lock import sweep_lock
from peoria.sweep.mirror import Mirror, mirrored
from peoria.sweep.outlook import Size, Watcher
from peoria.sweep.owed import Owed
from peoria.sweep.place import aside, begun, settle
from peoria.sweep.plan import Plan, make_plan, pictures_text, render_plan, sealed_text, short_of_owners
from peoria.sweep.planned import write_planned
from peoria.sweep.preflight import forget
from peoria.sweep.progress import Ends, ProgressFile
from peoria.sweep.ray_process import RayLost, RayProcess
from peoria.sweep.resources import RunOptions, Say, concurrency
from peoria.sweep.signals import Signals, handled, surviving
from peoria.sweep.taken import take
from peoria.sweep.trial_store import Assignment, TrialStore
from peoria.tracking.changes import Changes
from peoria.tracking.database import default_tracking_uri, refuse_tracking
from peoria.tracking.projector import Following
from peoria.training.messages import TrialSpec
from shards.addresses import is_url
from shards.cache.decoded import forecast
from shards.cache.fetched import open_shards
from shards.files import remove_stale
from shards.read.shard_set import ShardSet
from shards.words import counted

if TYPE_CHECKING:
    from peoria.sweep.lease import Lease

EXIT_INCOMPLETE = 3
EXIT_STOPPED = 4
REASON_CHARS = 300


@dataclass(frozen=True)
class SweepResult:
    """What a run of the sweep left."""

    folder: SweepFolder
    counts: dict[str, int]
    winners: dict[str, str]  # by target, the winner's key
    undelivered: str | None  # what MLflow has not got yet
    stopped: bool = False  # what failed would fail again
    baselines: bool = True  # whether they are there

    @property
    def won(self) -> str:
        """The winners' keys, each with the measure that it won by."""
        trials = read_trials(self.folder)
        choice = choice_in(self.folder.read_definition(), trials)
        words = [f"{said}: {key}" for said, key in choice.said_of({trial.key: trial for trial in trials})] or [
            "no winner" if choice.passed_over else "no winner, for no trial finished"
        ]
        return "; ".join([*words, choice.passed_over] if choice.passed_over else words)

    @property
    def complete(self) -> bool:
        return self.counts["remaining"] == 0 and self.counts["unsearched_remaining"] == 0 and self.baselines

    @property
    def left(self) -> str:
        """What a run that is not complete leaves, in words."""
        owed = Owed.of(self.folder.read_definition(), read_trials(self.folder)).counted
        return f"not all trials are there; owed: {', '.join(owed)}" if owed else "the baselines are owed"

    @property
    def exit_code(self) -> int:
        """Of the command: 0 only where every trial is there; 3 where the same command would go on, 4 where it would fail in the same way."""
        return 0 if self.complete else EXIT_STOPPED if self.stopped else EXIT_INCOMPLETE


def run_sweep(sweep: Sweep, options: RunOptions, say: Say | None = None) -> SweepResult:
    """Runs what the sweep owes: all of it at first, the rest after an interruption.

    Args:
        say: is told each line; None: it is shown on the screen of `board.shown_on`, or printed.

    Raises:
        Interrupted: by a signal; the record says so.
        ConfigError: the sweep cannot be run on these data.
        SweepError: it is held by another process, or defined otherwise than before.
        DamagedShardError: a shard is not what was packed; names it.
    """
    screen = Screen(surviving(say)) if say is not None else screen_now() or Screen(surviving(print))
    say = screen.say
    sweep = sweep.model_copy(update=options.limits)
    if options.control is not None:
        Control.parse(options.control)
        sweep = sweep.model_copy(update={"name": f"{sweep.name}-{options.control}"})
    if options.local and options.ray is not None:
        raise ConfigError(f"--ray: {options.ray!r} with --local, which runs trials in this process without Ray; one of the two")
    options = replace(options, ray=options.cluster or OWN)  # found once: a cluster that comes or goes meanwhile changes nothing
    refuse_cluster(options.ray or OWN)
    uri = tracking_uri(options)
    if uri is not None:
        refuse_tracking(uri)
    folder, shard_set = SweepFolder.of(options.home, sweep.name), open_shards(sweep.shards, options.cache, options.cache_bytes)
    identity = filtered_identity(shard_set.manifest.identity, sweep.where)
    if options.home_url is None:
        refuse_another(folder, sweep, identity, options.storage)  # before the lock, which writes into the folder
    with (
        handled() as signals,
        sweep_lock(folder, options.storage, say, wait=options.home_url is not None) as lease,
        mirrored(folder, Home(options.home, options.home_url).sweep_url(sweep.name), say) as mirror,
        screen.quiet(folder.library_log),
    ):
        refuse_another(folder, sweep, identity, options.storage)  # and once more: another process may just have begun it
        remove_stale(folder.path)  # what a killed process had begun to write
        clear_stop_file(folder, say)  # nobody else runs the sweep, so nobody stops it
        with signals.sweep(folder.stopping, lambda: end_as(folder, "interrupted", signals.name, unless_said=True)):
            try:
                with begun(folder, options, say, signals) as ray_aside:
                    result = run_locked(sweep, options, folder, shard_set, say, signals, lease, mirror, screen, ray_aside)
            except KeyboardInterrupt:
                end_as(folder, "interrupted", signals.name, unless_said=True)
                raise
    signals.check()
    return result


def run_locked(
    sweep: Sweep,
    options: RunOptions,
    folder: SweepFolder,
    shard_set: ShardSet,
    say: Say,
    signals: Signals,
    lease: "Lease | None",
    mirror: Mirror,
    screen: Screen,
    there: RayProcess | None = None,
) -> SweepResult:
    """`run_sweep` of a folder that this process holds."""
    screen.stage("pictures are read and decoded, baselines fitted")
    if shard_set.source is not None:  # each node compares what it fetches
        shard_set.source.refuse_incomplete(["train", "val"])
    elif options.cluster is None:  # there each node compares what it reads
        shard_set.verify_files(["train", "val"])
    train, val = (filtered_labels(shard_set, split, sweep.where) for split in ("train", "val"))
    if options.control is not None:
        for split, labels in (("train", train), ("val", val)):
            refuse_control(options.control, labels, split)
    concurrent, copies = concurrency(options), forecast(shard_set, ["train", "val"], options.cache, options.cache_bytes)
    plan = make_plan(
        sweep,
        train,
        val,
        concurrent=concurrent,
        home=options.home,
        pictures=pictures_text(copies, options.cache, on_nodes=options.cluster is not None),
        test=sealed_text(shard_set, options.control, sweep.name, sweep.where),
        too_few=short_of_owners(shard_set, sweep.where),
    )
    take(folder, sweep, options, identity := filtered_identity(shard_set.manifest.identity, sweep.where), say)
    cutoff = time_cutoff(train) if "time" in sweep.questions else None
    write_definition(folder, sweep, shard_set, plan, control=options.control, storage=options.storage, cutoff=cutoff, say=say)
    write_planned(folder, Home(options.home, options.home_url), plan.work, identity)
    changes = Changes()
    store = TrialStore(
        folder,
        sweep,
        storage_url=options.storage,
        lease=lease,
        mirror=mirror,
        threads=options.cpus_per_trial,
        concurrent=concurrent,
        cutoff=lambda: cutoff,
        say=say,
        changed=changes.add,
    )
    folder.finished.unlink(missing_ok=True)
    errand = None if options.cluster is None else baselines_errand(folder, sweep, options, say, mirror.flush)
    try:
        with aside(store, options, concurrent, say, shard_set, needed=errand is not None, there=there) as ray_aside:
            try:
                on = settle(ray_aside, options, concurrent, say, signals, lambda on: rendered(sweep, plan, store, options, on), store)
            except RayLost as lost:
                say(f"  stopped: {lost}")
                end_as(folder, "interrupted", str(lost))
                return SweepResult(folder, store.counts(), store.choice.winners, None)
            view: dict[str, Any] = {"control": options.control, "where": sweep.where, "identity": identity, "say": say}
            dataset = None if options.cluster is not None else open_dataset(sweep.shards, options.cache, budget_bytes=options.cache_bytes, **view)
            with Following(folder, tracking_uri(options), say, changes=changes, patience=signals.left_s) as following:
                try:
                    if dataset is not None:
                        write_baselines(folder, sweep, dataset, say, options.gpus_per_trial)
                    mirror.flush()
                    signals.hold()  # from here on whoever loops asks whether to end
                    screen.stage("")
                    board = Board(store, plan.work, screen, folder.read_definition())
                    end_as(folder, *execute(store, sweep, options, say, signals, ray_aside, on, errand, board))
                finally:
                    end_as(folder, *how(sys.exc_info()[1]), unless_said=True)
    finally:
        end_as(folder, *how(sys.exc_info()[1]), unless_said=True)
        forget(folder.path, mirror)
    fails, fitted = store.stop_reason is not None and not store.stuck, errand is None or errand.result is not None
    return SweepResult(folder, store.counts(), store.choice.winners, following.undelivered, fails, fitted)


def how(error: BaseException | None) -> tuple[SweepStatus, str]:
    """How a run ended by an error, and why."""
    if (came := interruption(error)) is not None:
        return "interrupted", str(came) or "Ctrl-C"
    why = "" if error is None else told(error) or f"{type(error).__name__}: {error}"
    return "interrupted" if isinstance(error, StorageAwayError) else "failed", why.partition("\n")[0]


def rendered(sweep: Sweep, plan: Plan, store: TrialStore, options: RunOptions, on: str) -> str:
    """The plan, as it is said."""
    counts = store.counts()
    gpus = f"{options.gpus_per_trial:g} {'GPU' if 0 < options.gpus_per_trial <= 1 else 'GPUs'}"
    where = "in this process" if options.local else f"each with {counted(options.cpus_per_trial, 'CPU')} and {gpus}"
    folder = store.folder
    return render_plan(
        sweep,
        plan,
        on=on,
        control=options.control,
        concurrent=concurrency(options),
        where=where,
        remaining=counts["remaining"],
        finished=counts["finished"],
        logs=f"{folder.library_log}{'' if options.local else f', {folder.ray_log.name}'}",
    )


def end_as(folder: SweepFolder, status: SweepStatus, why: str = "", *, unless_said: bool = False) -> None:
    """Says in the record how the run ended; of a sweep that has no record yet nothing."""
    if folder.definition.exists() and not (unless_said and folder.finished.exists()):
        reason = scrub_text(" ".join(why.split()))[:REASON_CHARS].encode("utf-8", "backslashreplace").decode()
        RunState(status=status, ended_at=time.time(), reason=reason).write(folder.finished)


def execute(
    store: TrialStore,
    sweep: Sweep,
    options: RunOptions,
    say: Say,
    signals: Signals,
    ray_aside: RayProcess | None,
    on: str,
    errand: Errand | None = None,
    board: Board | None = None,
) -> tuple[SweepStatus, str]:
    """Runs what the store owes, and says how that ended, and why where not all is there.

    Args:
        on: where trials run, in words.
        errand: the baselines, where a node has to fit them.
    """

    identity = store.folder.read_definition().identity

    def spec(assignment: Assignment) -> TrialSpec:
        remote = store.tries.place(assignment.key)
        return TrialSpec(
            key=assignment.key,
            folder=assignment.folder.path.resolve() if remote is None else scratch(options, store.folder, assignment.key),
            remote=remote,
            config=assignment.config,
            plugin_texts=texts_of(assignment.config.plugins),
            shards=sweep.shards if is_url(sweep.shards) else Path(sweep.shards).resolve(),
            cache=options.cache.resolve(),
            cache_bytes=options.cache_bytes,
            control=options.control,
            where=sweep.where,
            identity=identity,
            stop_file=store.folder.stopping.resolve() if remote is None else None,
        )

    lost = ""
    watcher = None if options.cluster is None else Watcher(say, Size(cpus=options.cpus_per_trial, gpus=options.gpus_per_trial))
    dispatch = Dispatch(
        store,
        spec,
        Ends(store, say, None if board is None else board.screen).ended,
        say,
        signals,
        options.hours,
        options.trial_hours,
        watcher=watcher,
        progress=ProgressFile(store.folder.progress, on),
        board=board,
    )
    counts = store.counts()
    trials = counts["remaining"] + counts["unsearched_remaining"]
    if trials and ray_aside is None:
        run_here(dispatch, options.gpus_per_trial)
    elif ray_aside is not None:
        try:
            if trials:
                ray_aside.run(dispatch, errand)
            elif errand is not None and watcher is not None:
                ray_aside.do(errand, signals, watcher)
        except RayLost as error:
            lost = str(error)
    owed = [f"{key} is owed: {why}" for key, why in store.owed().items()]
    for text in owed:
        say(f"  {text}")
    if store.stop_reason is not None:
        say(f"  stopped: {store.stop_reason}")
        first, *more = store.stop_reason.strip().splitlines()
        return "failed", " ".join([first, *more[-1:]])  # of a traceback its last line
    left, unfitted = store.counts(), errand is not None and errand.result is None
    if not left["remaining"] + left["unsearched_remaining"] and not unfitted:
        return "finished", ""
    over = lost or (errand.lost if errand is not None else "") or (f"the {dispatch.hours:g} h of --hours are over" if dispatch.out_of_time else "")
    if over and signals.number is None:
        say(f"  stopped: {over}")
    return "interrupted", signals.name or over or "; ".join(owed)


def scratch(options: RunOptions, folder: SweepFolder, key: str) -> Path:
    """Where a worker keeps the files of a trial that go to a bucket."""
    return options.cache.resolve() / "trials" / folder.read_definition().sweep_id / key


def tracking_uri(options: RunOptions) -> str | None:
    """Where MLflow is; None where nothing is tracked."""
    return None if options.tracking == "off" else options.tracking or default_tracking_uri(options.home)
