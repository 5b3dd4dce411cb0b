"""What a sweep will do, said before it does it: trials, disk, and what its val split could show at all."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from peoria.config.space import RANGES_OF_A_TASK
from peoria.config.sweep import Sweep
from peoria.data.dataset import no_copy_text
from peoria.data.filters import let_through
from peoria.data.targets import kept_by_outlier_filter
from peoria.errors import ConfigError
from peoria.records.selection import NUM_CANDIDATES, SEEDS_TO_CHOOSE
from peoria.stats import metrics
from peoria.stats.clusters import Clusters
from peoria.sweep.follow_ups import time_cutoff
from peoria.sweep.sampler import ONE_IN
from peoria.sweep.trial_store import NUM_KEPT_MODELS
from peoria.sweep.workload import Workload, any_trial, workload
from peoria.tasks.check import try_tasks
from peoria.training.evaluate import has_both_classes, objective_name
from shards.cache.decoded import CacheForecast
from shards.errors import NothingSealedError
from shards.labels import OPTIONAL_COUNTS, Labels
from shards.pack.judged import too_few_owners
from shards.read.openings import entries
from shards.read.shard_set import ShardSet
from shards.words import counted, times

EFFECT_OF_INTEREST = 0.1
# The standard error of a difference of two good nets on one val split, over that of one: measured with 235 and with 2,159 pictures (docs/log.md).
OF_A_DIFFERENCE = 0.5
_WITHOUT = "leave classification out of the space, as Space(task=('regression', 'hybrid'))"


@dataclass(frozen=True)
class Plan:
    """Numbers of a sweep before it starts."""

    objective: str
    num_train: int
    num_val: int
    standard_error: float  # of the objective on this val split, for a score that knows nothing
    best_of_null: float  # what the best of all trials would reach by chance alone
    detectable: float  # smallest effect seen four times in five
    disk_bytes: int  # of what a sweep cannot do without: models, checkpoints, features
    pictures: str  # where they come from
    weights: str  # what was loaded into the net, "" where nothing was
    trunk: str  # what is trained of a frozen one, "" where all of it is
    work: Workload
    warnings: tuple[str, ...]
    test: str = ""  # what a report would open


def make_plan(
    sweep: Sweep, train: Labels, val: Labels, *, concurrent: int, home: Path, pictures: str, test: str = "", too_few: str = ""
) -> Plan:  # fmt: skip
    """
    Args:
        pictures: where they will come from, as `pictures_text` says it.
        test: what a report would open, as `sealed_text` says it.
        too_few: what is wrong with its owners, as `short_of_owners` says it.

    Raises:
        ConfigError: the val split cannot rank, a task has no column to train on, a plugin is not what it has to be, or the disk is too small.
    """
    objective = objective_name(val)
    if not len(train.counted("favorites")[0]) and "classification" in sweep.space.task:
        raise ConfigError(
            "task: 'classification' with no favorites column in the packed set; it learns whether a picture was favourited",
            hint=f"{_WITHOUT}, or pack a table with favorites",
        )
    if "classification" in sweep.space.task and any_trial(sweep).target in (None, "favorites") and not has_both_classes(train):
        known = len(train.counted("favorites")[0])
        raise ConfigError(
            f"task: 'classification' with favourites known for {known:,} pictures of train, all of one class; both classes are needed",
            hint=f"{_WITHOUT}; trials are then ranked by views alone",
        )
    error = objective_standard_error(val, objective)
    detectable = metrics.detectable(error)
    warnings = [too_few] if too_few and any(train.owners != "") else []
    if detectable > EFFECT_OF_INTEREST:
        warnings.append(
            f"val: an effect of ρ {EFFECT_OF_INTEREST} could not be seen with these {len(val):,} pictures (the smallest that could is "
            f"{detectable:.2f}); the sweep will rank trials largely by chance"
        )
    if not any(train.owners != ""):
        warnings.append("owners unknown: intervals are per picture, leakage by owner is not controlled")
    warnings += unknown_counts(train, val)
    if val.favorites is not None and not has_both_classes(val):
        known = len(val.counted("favorites")[0])
        warnings.append(
            f"favorites: known for {known:,} pictures of val, all of one class: trials are ranked by views alone, favourites are not judged"
        )
    elif val.favorites is not None and (positive := int((val.counted("favorites")[1] >= 1).sum())) < 30:
        warnings.append(
            f"val: {counted(positive, 'picture')} with a favourite; gini_fav, half of the objective, rests on {'it' if positive == 1 else 'them'}"
        )
    for sd in sweep.space.outlier_sd:
        kept = kept_by_outlier_filter(train, sd).mean()
        if kept < 0.9:
            warnings.append(f"outlier_sd: {sd:g} leaves out {1 - kept:.1%} of train")
    config = any_trial(sweep)
    try_tasks(sweep.space.task, config.plugins, train, config.target_scale, config.target)
    tried = try_net(sweep)
    model = tried.num_bytes
    work = workload(sweep, favorites=has_both_classes(val), cutoff=time_cutoff(train))
    num_winners = 2 if has_both_classes(val) else 1
    models = (NUM_KEPT_MODELS + num_winners * (NUM_CANDIDATES if sweep.seeds else 1) + work.follow_ups + len(work.paper)) * model
    checkpoints = 3 * concurrent * 2 * model  # weights and momentum; the last, the one before, and the next while it is written
    disk = models + checkpoints + tried.feature_bytes(len(train), len(val))
    free = disk_free(home)
    if disk > free:
        raise ConfigError(
            f"{home}: {disk:,} bytes are needed for models and checkpoints; {free:,} bytes are free", hint="choose another disk with --home"
        )
    expected = metrics.expected_best_of(sweep.trials, error)
    return Plan(objective, len(train), len(val), error, expected, detectable, disk, pictures, tried.weights, tried.trunk, work, tuple(warnings), test)


def unknown_counts(train: Labels, val: Labels) -> list[str]:
    """What is said of counts that some pictures lack."""
    found = []
    for name in OPTIONAL_COUNTS:
        shares = {split: 1 - len(labels.counted(name)[0]) / len(labels) for split, labels in (("train", train), ("val", val))}
        if max(shares.values()) > 0 and min(shares.values()) < 1:
            said = " and ".join(f"{share:.1%} of {split}" for split, share in shares.items())
            found.append(f"{name}: unknown for {said}; these pictures stay, and have no part in what is learnt of {name} or ranked by them")
    return found


def objective_standard_error(val: Labels, objective: str) -> float:
    """Standard error of the objective of a score that knows nothing, owners' clustering included.

    ``rank_mean`` averages two rank statistics of one score, whose correlation under the null is that of rank(views) with favourited; the
    variance of ``gini_fav`` is Mann-Whitney's (n + 1) / (3 n₁ n₀). Of n of N pictures whose favourites are known: two means over nested pictures
    correlate by √(n/N) as much as over the same.
    """
    rho_error = metrics.standard_error(val.views, Clusters.of(val.owners))
    if objective == "rho_views":
        return rho_error
    known, favorites = val.counted("favorites")
    positive = favorites >= 1
    n, ones = len(positive), int(positive.sum())
    clustering = rho_error * math.sqrt(len(val) - 1)  # square root of the design effect
    gini_error = clustering * math.sqrt((n + 1) / (3 * ones * (n - ones)))
    together = metrics.spearman(val.views[known].astype(np.float64), positive.astype(np.float64)) * math.sqrt(n / len(val))
    return 0.5 * math.sqrt(rho_error**2 + gini_error**2 + 2 * together * rho_error * gini_error)


@dataclass(frozen=True)
class TriedNet:
    """What building the net of the trials once showed."""

    num_bytes: int  # of one trial's weights
    weights: str  # which keys of the file were used
    trunk: str
    num_features: int
    train_crops: int  # of a train picture whose features are kept
    val_crops: int

    def feature_bytes(self, num_train: int, num_val: int) -> int:
        """What the features will take on disk, in float16."""
        return 2 * self.num_features * (num_train * self.train_crops + num_val * self.val_crops)


def try_net(sweep: Sweep) -> TriedNet:
    """Builds the net of the trials once, weights and all, so that what is wrong with it is said before anything runs."""
    from peoria.models import build

    config = any_trial(sweep)
    net, loaded = build(
        config.net,
        head=config.head,
        num_outputs=2,
        weights=config.weights,
        weights_prefix=config.weights_prefix,
        trunk=config.trunk,
        seed=0,
        plugins=config.plugins,
    )
    said = ""
    if loaded is not None:
        said = f"{loaded.source}: {len(loaded.matched)} parameters loaded"
        said += f"; not in the file: {', '.join(loaded.missing)}" if loaded.missing else ""
        said += f"; not in the net: {', '.join(loaded.unmatched)}" if loaded.unmatched else ""
    trunk = ""
    if net.trunk_is_frozen:
        trunk = f"frozen trunk: a linear head on cached features, another experiment than fine-tuning; {config.num_frozen_crops} crops a picture"
    elif config.trunk == "frozen":
        trunk = "frozen trunk in part: the layers that were not loaded are trained, so that every trial runs the whole net"
    baseline = config.weights is not None  # the ridge on the trunk looks at each centre crop
    return TriedNet(
        num_bytes=sum(tensor.numel() * tensor.element_size() for tensor in net.state_dict().values()),
        weights=said,
        trunk=trunk,
        num_features=net.num_features,
        train_crops=baseline + config.num_frozen_crops * net.trunk_is_frozen,
        val_crops=int(baseline),
    )


def pictures_text(found: list[CacheForecast], cache: Path, *, on_nodes: bool = False) -> str:
    """Where the pictures of each split will come from; a disk that is too small refuses nothing.

    Args:
        on_nodes: the disks are those of a cluster's nodes, which are looked at there.
    """
    if on_nodes:
        return f"decoded copy {sum(split.num_bytes for split in found) / 1e9:.2f} GB in {cache} of each node"
    copied = [split for split in found if split.fits]
    there = ", there already" if all(split.there for split in copied) else ""
    parts = [f"decoded copy {sum(split.num_bytes for split in copied) / 1e9:.2f} GB in {cache}{there}"] if copied else []
    return "; ".join(parts + [no_copy_text(split.split, split.num_bytes, split.free_bytes) for split in found if not split.fits])


def sealed_text(shard_set: ShardSet, control: str | None, sweep: str = "", where: str | None = None) -> str:
    """What of test a report of ``sweep`` would open, and what that costs; no picture of it and no count is read. Owners are those with a picture that
    the filter lets through."""
    vaults, let = shard_set.vaults, let_through(shard_set, where)
    num_all = vaults.num_units((1, vaults.num), let)
    if vaults.num == 1 and control is None and not vaults.last_opened(entries(shard_set.at)):
        return f"one vault of {counted(num_all, vaults.unit)}, which a report opens once"
    if control is not None:
        return f"vault 1 of {vaults.num}, of {vaults.num_units((1, 1), let):,} of {num_all:,} {vaults.unit}s; a control takes none"
    try:
        held = vaults.sealed(entries(shard_set.at), rest=False)
    except NothingSealedError as error:
        own = [entry.number for entry in entries(shard_set.at) if entry is not None and entry.sweep == sweep]
        if own:  # more trials may mean another winner, of whom it tells nothing
            return f"this sweep opened it before (opening {own[-1]}); its report shows that again, and nothing of another winner"
        return f"a report would be refused: {error.problems[0].removeprefix('test: ').partition(';')[0]}; {error.hint}"
    shown, sealed = vaults.num_units(held, let), vaults.num_units((held[0], vaults.num), let)
    wide = math.sqrt(sealed / max(shown, 1))
    all_of_it = f"intervals {wide:.2f} times as wide as of the {sealed:,} that are sealed, which --all opens, as the last report"
    opens = f"a report opens vault {held[0]} of {vaults.num}, of {shown:,} of {num_all:,} {vaults.unit}s"
    return f"{opens}; {all_of_it}" if sealed > shown else opens


def short_of_owners(shard_set: ShardSet, where: str | None = None) -> str:
    """What a verdict would lack in the owners of test, before it is opened; "" for nothing. No picture of it and no count is read."""
    let, owners = let_through(shard_set, where), shard_set.test_columns(["owner"])["owner"].astype(str)
    owners = owners if let is None else owners[let]
    sizes = np.unique(owners[owners != ""], return_counts=True)[1]
    return too_few_owners(sizes, int((owners == "").sum()), shard_set.manifest.split_rule)


def disk_free(folder: Path) -> int:
    """Free bytes of the disk that ``folder`` is or will be on."""
    import shutil

    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def afterwards(sweep: Sweep, num_parts: int) -> str:
    """What is trained once the search is over."""
    again = "nothing is trained again"
    if sweep.seeds:
        again = f"of each target the best {NUM_CANDIDATES} with {SEEDS_TO_CHOOSE} fresh seeds, which choose the winner; it with {sweep.seeds} in all"
    asked = f"; that of views {times(num_parts)} on parts of train too ({', '.join(sweep.questions)})" if sweep.questions else ""
    return again + asked


def budget_text(sweep: Sweep, work: Workload) -> str:
    """What a budget of pictures is expected to be enough for."""
    num = f"{counted(work.trials, 'further trial')}, as expected of the pruner; the last ones are trained to their end"
    return f"{sweep.pictures:,} pictures of the search, then no further trial is begun: enough for {num}"


def startup_text(sweep: Sweep) -> str:
    """What the search begins with."""
    typical: dict[str, list[str]] = {}
    for name in RANGES_OF_A_TASK:
        for task in sweep.space.task:
            if (span := sweep.space.span(task, name)).typical is not None:
                typical.setdefault(f"{name} about {span.typical:g} (sd {span.width:g} {'decade' if span.width == 1 else 'decades'})", []).append(task)
    said = [text if len(tasks) == len(sweep.space.task) else f"{text} of {', '.join(tasks)}" for text, tasks in typical.items()]
    num = f"{counted(sweep.startup_per_task, 'random point')} of each task"
    return f"{num}: {', '.join(said)}, one in {ONE_IN} anywhere" if said else f"{num}, anywhere in its ranges"


def render_plan(
    sweep: Sweep, plan: Plan, *, on: str, control: str | None, concurrent: int, where: str, remaining: int, finished: int, logs: str = ""
) -> str:
    """
    Args:
        logs: files that what libraries say goes to.
    """
    config = any_trial(sweep)
    fixed, work = len(plan.work.paper), plan.work
    lines = [
        f"on: {on}",
        f"sweep {sweep.name}{f' ({control} control)' if control else ''}: {sweep.question or 'no question stated'}",
        f"  trials      {remaining} remaining of {sweep.trials}{f', {finished} finished before' if finished else ''}"
        f"{f'; and {fixed} of the paper, outside the searched space' if fixed else ''}; {concurrent} at a time, {where}",
        *([f"  budget      {budget_text(sweep, work)}"] if sweep.pictures is not None else []),
        f"  start-up    {startup_text(sweep)}",
        f"  each        {config.net} ({config.head} head), {config.pictures:,} pictures seen of {plan.num_train:,}, "
        f"{counted(len(config.evaluation_points()), 'evaluation')} on all {plan.num_val:,} val pictures",
        f"  afterwards  {afterwards(sweep, work.subsets)}",
        f"  in all      {counted(work.trainings, 'training')} at most, {work.pictures:,} pictures seen: of its length a searched trial sees "
        f"{work.share:.0%}, as expected of the pruner",
        f"  objective   {plan.objective}; its standard error on this val split is {plan.standard_error:.3f}: the best of "
        f"{counted(sweep.trials, 'trial')} that {'knows' if sweep.trials == 1 else 'know'} nothing would reach {plan.best_of_null:+.3f}; two good "
        f"settings are told apart, four times in five, where they differ by about {OF_A_DIFFERENCE * plan.detectable:.2f}",
        *([f"  filter      only pictures with {sweep.where}"] if sweep.where is not None else []),
        f"  pictures    {plan.pictures}",
        *([f"  test        {plan.test}"] if plan.test else []),
        f"  disk        {plan.disk_bytes / 1e6:,.0f} MB more at most",
        *([f"  logs        {logs}: what Ray, MLflow and others say"] if logs else []),
    ]
    if plan.weights:
        lines.append(f"  weights     {plan.weights}")
    if plan.trunk:
        lines.append(f"  trunk       {plan.trunk}")
    return "\n".join(lines + [f"  warning     {text}" for text in plan.warnings])
