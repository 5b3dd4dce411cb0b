"""`peoria plan`: what a sweep will take before it takes it, and the table of what that costs on other nodes."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from peoria.borders import folded
from peoria.cluster.estimate import Alternative, Estimate, alternatives, makespan
from peoria.cluster.prices import Offer, Prices
from peoria.cluster.probe import first_shards, probe
from peoria.config.sweep import Sweep
from peoria.data.filters import filtered_identity, filtered_labels
from peoria.errors import ConfigError, ReportError
from peoria.records.folder import SweepFolder
from peoria.records.home import Home
from peoria.records.schema import PlannedWork
from peoria.records.trials import read_trials
from peoria.stats.metrics import detectable
from peoria.sweep.bring import bring
from peoria.sweep.follow_ups import time_cutoff
from peoria.sweep.plan import OF_A_DIFFERENCE, budget_text, objective_standard_error, startup_text, try_net
from peoria.sweep.planned import keep_planned, planned_work
from peoria.sweep.resources import RunOptions, Say, gpus_here, trials_on_gpus
from peoria.sweep.workload import any_trial, workload
from peoria.training.evaluate import has_both_classes, objective_name
from shards.addresses import is_url
from shards.cache.decoded import forecast
from shards.cache.fetched import open_shards
from shards.cpus import usable_cpus
from shards.words import counted

DOUBLINGS = 4  # of the number of nodes: 1, 2, 4, 8


@dataclass(frozen=True)
class SweepPlan:
    """An estimate, and what of the data each node fetches and keeps."""

    sweep: Sweep
    estimate: Estimate
    cpu: Estimate
    """The same in CPU time of the trials' processes."""
    fetch_bytes: int
    decoded_bytes: int
    identity: str
    tells_apart: float
    """The difference of the objective at which val tells two good settings apart, four times in five."""

    def planned(self, workers: int) -> PlannedWork:
        """For the record."""
        probed = self.estimate.probe
        seconds = self.estimate.trials_s + workers * probed.cold_s
        return planned_work(self.estimate.work, self.identity, device=probed.device, trial_seconds=seconds)


def plan_sweep(sweep: Sweep, options: RunOptions, *, copies: int | None = None) -> SweepPlan:
    """Counts, and probes this machine's device.

    Args:
        copies: trials at a time on this machine; None: as many as its device carries.

    Raises:
        ConfigError: nothing remains to be trained, or the net cannot be built.
        WeightsError: its weights cannot be read.
    """
    if options.home_url is not None:
        with suppress(ReportError):  # nothing of it is there yet
            bring(Home(options.home, options.home_url), name_of(sweep, options))
    sweep = sweep.model_copy(update={"name": name_of(sweep, options), **options.limits})
    shard_set, folder = open_shards(sweep.shards, options.cache, options.cache_bytes), SweepFolder.of(options.home, sweep.name)
    train, val = (filtered_labels(shard_set, split, sweep.where) for split in ("train", "val"))
    trials = read_trials(folder) if folder.definition.exists() else []
    work = workload(sweep, favorites=has_both_classes(val), cutoff=time_cutoff(train), trials=trials)
    if not work.trainings:
        raise ConfigError(f"sweep {sweep.name}: all its trials are there; one with something left to train", hint="--trials makes it longer")
    try_net(sweep)
    config = any_trial(sweep).model_copy(update={"threads": options.cpus_per_trial})
    copies = copies or trials_here(options)
    share = options.gpus_per_trial if gpus_here() else 0.0
    held = [
        shard_set.held(split, first_shards(shard_set, split)) for split in ("train", "val")
    ]  # of a set in a store: on this node until all is done
    place = sweep.shards if is_url(sweep.shards) else shard_set.root.resolve()
    by_clock, in_cpu = probe(config, place, options.cache.resolve(), copies=copies, gpu_share=min(1.0, share))
    del held
    frozen = config.num_frozen_crops if config.trunk == "frozen" and by_clock.crop_s else 0
    estimate, cpu = (
        Estimate(work, probed, len(train), len(val), frozen, config.weights is not None, options.gpus_per_trial, options.cpus_per_trial)
        for probed in (by_clock, in_cpu)
    )
    copy = sum(split.num_bytes for split in forecast(shard_set, ["train", "val"], options.cache, options.cache_bytes))
    fetch = sum(shard.bytes for shard in shard_set.manifest.of_split(["train", "val"]))
    tells_apart = OF_A_DIFFERENCE * detectable(objective_standard_error(val, objective_name(val)))
    return SweepPlan(sweep, estimate, cpu, fetch, copy, filtered_identity(shard_set.manifest.identity, sweep.where), tells_apart)


def name_of(sweep: Sweep, options: RunOptions) -> str:
    """Of its folder: a control makes it a sweep of its own."""
    return sweep.name if options.control is None else f"{sweep.name}-{options.control}"


def trials_here(options: RunOptions) -> int:
    """At a time on this machine alone, wherever the sweep is to run: they share its device when it is probed."""
    cpus = max(1, usable_cpus() // options.cpus_per_trial)
    if options.gpus_per_trial and (there := gpus_here()):
        return max(1, min(cpus, trials_on_gpus(min(1.0, options.gpus_per_trial), there)))
    return min(cpus, options.concurrent or cpus)


def keep(found: SweepPlan, options: RunOptions, workers: int) -> None:
    """So that the sweep's record has it from the start."""
    keep_planned(Home(options.home, options.home_url), found.sweep.name, found.planned(workers))


def plan_money(
    sweep: Sweep,
    options: RunOptions,
    prices: Prices,
    prices_file: Path,
    most: float | None,
    say: Say,
    has: Callable[[Offer], bool] = lambda offer: True,
) -> SweepPlan:
    """Plans, and says it.

    Args:
        most: money that it may cost; None: any.
        has: whether the cluster that it is for has such nodes.

    Raises:
        ConfigError: nothing remains to be trained; or even the cheapest costs more than ``most``, or nobody can tell.
    """
    found = plan_sweep(sweep, options)
    table = [row for row in table_of(found, prices) if has(row.offer)]
    render(found, prices, table, prices_file, most, say)
    if most is not None:
        over(table, prices, most)
    return found


def over(table: Sequence[Alternative], prices: Prices, most: float) -> None:
    """
    Raises:
        ConfigError: even the cheapest costs more than ``most``, or there is none.
    """
    cheapest = min(table, key=lambda row: row.money, default=None)
    if cheapest is None:
        raise ConfigError(
            f"--max-money: {most:g} {prices.currency}; no price of a node that such trials fit on is known",
            hint="--gpus-per-trial and --cpus-per-trial say what a trial gets, --prices FILE what nodes cost",
        )
    if cheapest.money > most:
        raise ConfigError(
            f"--max-money: {most:g} {prices.currency}; {cheapest.money:,.2f} for the cheapest of these, {cheapest.nodes} × {cheapest.offer.label}",
            hint="fewer --trials, fewer seeds or questions in the sweep file, or a shorter training make it cheaper",
        )


def table_of(found: SweepPlan, prices: Prices) -> list[Alternative]:
    return alternatives(found.estimate, prices, [2**k for k in range(DOUBLINGS)])


def render(found: SweepPlan, prices: Prices, table: Sequence[Alternative], prices_file: Path, most: float | None, say: Say) -> None:
    """The plan in lines of at most 80 characters where names allow."""
    estimate, work, probed = found.estimate, found.estimate.work, found.estimate.probe
    unit = "GPU-hours" if found.estimate.gpus_per_trial else "CPU-hours"
    per_trial = "its own trials' share" if work.measured else "as expected of the pruner"
    say(f"plan of {found.sweep.name}: nothing is run but a probe of this device")
    say(f"  trainings   {work.trainings} at most: {work.trials} searched, {len(work.paper)} of the paper,")
    say(f"              {work.reseeds} of the best again, {work.subsets} on parts of train")
    say(f"  pictures    {work.pictures:,} seen in training; a searched trial sees")
    say(f"              {work.share:.0%} of {work.length:,} ({per_trial})")
    say(folded(f"  start-up    {startup_text(found.sweep)}"))
    if found.sweep.pictures is not None:
        say(folded(f"  budget      {budget_text(found.sweep, work)}"))
    said = f"  val         {estimate.num_val:,} pictures: two good settings are told apart, four times in five, where they differ by about"
    say(folded(f"{said} {found.tells_apart:.2f}"))
    say(f"  each node   fetches {size(found.fetch_bytes)}, keeps {size(found.decoded_bytes)} decoded,")
    say(f"              and takes {duration(estimate.node_s(usable_cpus()))} for that before its first trial")
    say(f"  probed      {probed.device}, {probed.copies} at a time: {1 / probed.picture_s:,.0f} pictures/s each,")
    evaluation = probed.evaluation_s + estimate.num_val * probed.val_s
    say(f"              {evaluation:.2g} s an evaluation, {probed.cold_s:.2g} s a worker's start")
    say(f"  device      {estimate.device_s(1) / 3600:,.3g} {unit} of trials; baselines {duration(estimate.baselines_s)}")
    slots = range(1, 9)
    walls = [estimate.baselines_s + probed.cold_s + sum(makespan(stage, n) for stage in estimate.stages_s) for n in slots]
    say(f"  time        {', '.join(f'{n}: {duration(wall)}' for n, wall in zip(slots, walls, strict=True) if n in (1, 2, 4, 8))} by trials at a time")
    if not table:
        gpus, cpus = counted(estimate.gpus_per_trial, "GPU"), counted(estimate.cpus_per_trial, "CPU")
        say(f"  money       no type for trials of {gpus} and {cpus} has a price in")
        say(f"              {prices_file};")
        say("              --gpus-per-trial and --cpus-per-trial say what they get")
        return
    say(f"  money       by {prices_file.name} of {prices.as_of};")
    say("              check its prices: they are yours to check")
    say(f"  {'node type':<24} {'nodes':>5} {'time':>9} {prices.currency + ' an hour':>12} {prices.currency:>10}")
    for row in table:
        mark = " *" if row.offer.type.speed is None else ""
        above = "  above --max-money" if most is not None and row.money > most else ""
        say(f"  {row.offer.label:<24} {row.nodes:>5} {duration(row.wall_s):>9} {row.offer.price:>12.2f} {row.money:>10,.2f}{mark}{above}")
    if any(row.offer.type.speed is None for row in table):
        say("  * no `speed` in the file: taken for as fast as the device that was probed")
    say(f"  with {prices.boot_minutes:g} minutes of boot and {prices.idle_minutes:g} of idling a node, and the head")


def duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.1f} MB"
