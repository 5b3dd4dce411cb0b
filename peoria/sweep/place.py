"""Where a sweep's trials run: Ray beside the sweep, the plan's word of it, and a look at a node before anything is trained."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from peoria.errors import SweepError
from peoria.plugins import packages_of
from peoria.records.folder import SweepFolder
from peoria.records.schema import RunState
from peoria.sweep.mirror import Mirror
from peoria.sweep.outlook import Size, Watcher, has_gpus, never, waiting_text, where_text
from peoria.sweep.preflight import Probe, forget, make_probe
from peoria.sweep.progress import ProgressFile
from peoria.sweep.ray_process import RayProcess
from peoria.sweep.ray_setup import TRIAL_ACTOR, Setup
from peoria.sweep.resources import PRETEND, RunOptions, Say, concurrency, gpus_here, own_gpus, pretended
from peoria.sweep.signals import Signals
from peoria.sweep.trial_store import TrialStore
from shards.cpus import usable_cpus
from shards.read.shard_set import ShardSet


def begun(folder: SweepFolder, options: RunOptions, say: Say, signals: Signals) -> AbstractContextManager[RayProcess | None]:
    """A Ray of our own where the last run left something, or there was none: it starts beside all that a sweep does before its first trial."""
    last = RunState.read_if_there(folder.finished)
    if options.local or options.cluster is not None or (last is not None and last.status == "finished"):
        return nullcontext()
    probe = Probe(gpus=options.gpus_per_trial, pretend=pretended())
    ray_aside = RayProcess(setup_of(folder, options, concurrency(options), probe), folder.ray_log, say)
    signals.at_the_end(ray_aside.end)
    return ray_aside


def aside(
    store: TrialStore,
    options: RunOptions,
    concurrent: int,
    say: Say,
    shard_set: ShardSet | None = None,
    *,
    needed: bool = False,
    there: RayProcess | None = None,
) -> AbstractContextManager[RayProcess | None]:
    """Ray where trials remain to be run: one of our own starts while the pictures are decoded and the baselines fitted.

    Args:
        shard_set: what the nodes of a cluster have to have too.
        needed: whether it is where none remain, too.
        there: that of `begun`.
    """
    counts = store.counts()
    if options.local or (counts["remaining"] + counts["unsearched_remaining"] == 0 and not needed):
        return nullcontext() if there is None else ended(there)
    if there is not None:
        return there
    address = options.cluster
    probe = Probe(gpus=options.gpus_per_trial, pretend=pretended())
    if address is not None:
        assert shard_set is not None
        weights = store.sweep.shared.get("weights")
        identity = shard_set.manifest.identity
        packages = packages_of(str(store.sweep.shared.get("net", "")), store.sweep.digests)
        probe = make_probe(
            probe, store.folder.path, store.mirror, store.sweep.shards, identity, options.cache, options.cache_bytes, weights, packages
        )
    return RayProcess(setup_of(store.folder, options, concurrent, probe), store.folder.ray_log, say)


def ended(ray_aside: RayProcess) -> AbstractContextManager[None]:
    """In the place of one that nothing is left for."""
    ray_aside.end()
    return nullcontext()


def setup_of(folder: SweepFolder, options: RunOptions, concurrent: int, probe: Probe) -> Setup:
    address = options.cluster
    return Setup(
        address=address,
        num_cpus=max(1, concurrent * options.cpus_per_trial),
        num_gpus=None if address is not None else own_gpus(options.gpus_per_trial, concurrent),
        concurrent=concurrent,
        cpus=options.cpus_per_trial,
        gpus=options.gpus_per_trial,
        scratch=folder.tune,
        probe=probe,
        actor=TRIAL_ACTOR,
    )


@contextmanager
def joined(
    folder: SweepFolder, options: RunOptions, mirror: Mirror, shards: str, identity: str, weights: str | None, say: Say, signals: Signals
) -> Iterator[tuple[RayProcess, Watcher]]:
    """``with joined(...) as (ray_aside, watcher)``: the cluster, for errands of a finished sweep; a node has been looked at.

    Raises:
        RayLost: it cannot be joined, or was lost.
        SweepError: no node could ever take what is to be done, or the first one that could is not what it needs.
    """
    size = Size(cpus=options.cpus_per_trial, gpus=options.gpus_per_trial)
    bare = Probe(gpus=options.gpus_per_trial, pretend=pretended())
    probe = make_probe(bare, folder.path, mirror, shards, identity, options.cache, options.cache_bytes, weights)
    setup = Setup(address=options.cluster, num_cpus=1, num_gpus=None, concurrent=1, cpus=size.cpus, gpus=size.gpus, scratch=folder.tune, probe=probe)
    try:
        with RayProcess(setup, folder.ray_log, say) as ray_aside:
            outlook = ray_aside.join(signals)
            assert outlook is not None
            on, watcher = where_text(outlook, size, 1) + pretence(options), Watcher(say, size)
            say(f"on: {on}")
            if (hopeless := never(outlook, size)) and outlook.types:
                raise SweepError(f"--gpus-per-trial: {size}; {hopeless}", hint="a larger node type in the cluster's file, or less")
            ray_aside.look(signals, watcher, ProgressFile(folder.progress, on), 1)
            yield ray_aside, watcher
    finally:
        forget(folder.path, mirror)


def settle(
    ray_aside: RayProcess | None,
    options: RunOptions,
    concurrent: int,
    say: Say,
    signals: Signals,
    plan: Callable[[str], str],
    store: TrialStore,
) -> str:
    """Says the plan, its first line where trials run; on a cluster, which is joined for that, a node is looked at then. Returns where.

    Raises:
        RayLost: the cluster cannot be joined, or was lost.
        SweepError: no node could ever take a trial, or the first one that could is not what the sweep needs.
    """
    if ray_aside is not None:
        signals.at_the_end(ray_aside.end)
    size = Size(cpus=options.cpus_per_trial, gpus=options.gpus_per_trial)
    if ray_aside is None or options.cluster is None:
        on = here_text(options)
        say(plan(on))
        ProgressFile(store.folder.progress, on).write([], "")
        return on
    outlook = ray_aside.join(signals)
    assert outlook is not None
    on = where_text(outlook, size, concurrent) + pretence(options)
    say(plan(on))
    hopeless = never(outlook, size)
    progress = ProgressFile(store.folder.progress, on)
    counts = store.counts()
    num = min(concurrent, counts["remaining"] + counts["unsearched_remaining"])
    progress.write([], waiting_text(outlook, size, num, 0.0) if hopeless else "")
    if hopeless and outlook.types:
        raise SweepError(f"--{'g' if size.gpus else 'c'}pus-per-trial: {size}; {hopeless}", hint="a larger node type in the cluster's file, or less")
    if has_gpus(outlook) and not size.gpus:
        say("  warning     the cluster has GPUs, and trials are given none: --gpus-per-trial")
    ray_aside.look(signals, Watcher(say, size), progress, num)
    return on


def here_text(options: RunOptions) -> str:
    gpus = gpus_here()
    has = f"{gpus} GPU{'s' if gpus != 1 else ''}" if gpus else "no GPU"
    cpus = usable_cpus()
    where = "this process" if options.local else "this machine"
    return f"{where}, {cpus} CPU{'s' if cpus != 1 else ''}, {has}{pretence(options)}"


def pretence(options: RunOptions) -> str:
    return f"; {PRETEND}: GPUs are pretended, trials train on the CPU" if pretended() and options.gpus_per_trial else ""
