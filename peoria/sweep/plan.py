"""What a sweep will do, said before it does it: trials, disk, and what its val split could show at all."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from peoria.config.paper_recipe import paper_points
from peoria.config.sweep import Sweep
from peoria.data.dataset import no_copy_text
from peoria.data.targets import kept_by_outlier_filter
from peoria.errors import ConfigError
from peoria.stats import metrics
from peoria.stats.clusters import Clusters
from peoria.sweep.trial_store import NUM_KEPT_MODELS
from peoria.training.evaluate import objective_name
from shards.cache.decoded import CacheForecast
from shards.labels import Labels

EFFECT_OF_INTEREST = 0.1
MOST_WINNERS = 2  # one for views, one for favourites
MOST_SUBSETS = 5  # trainings on parts of train


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
    warnings: tuple[str, ...]


def make_plan(sweep: Sweep, train: Labels, val: Labels, *, concurrent: int, home: Path, pictures: str) -> Plan:
    """
    Args:
        pictures: where they will come from, as `pictures_text` says it.

    Raises:
        ConfigError: the val split cannot rank, a task has no column to train on, or the disk is too small.
    """
    objective = objective_name(val)
    if train.favorites is None and "classification" in sweep.space.task:
        raise ConfigError(
            "task: 'classification' with no favorites column in the packed set; it learns whether a picture was favourited",
            hint="leave classification out of the space, or pack a table with favorites",
        )
    error = objective_standard_error(val, objective)
    detectable = metrics.detectable(error)
    warnings = []
    if detectable > EFFECT_OF_INTEREST:
        warnings.append(
            f"val: an effect of ρ {EFFECT_OF_INTEREST} could not be seen with these {len(val):,} pictures (the smallest that could is "
            f"{detectable:.2f}); the sweep will rank trials largely by chance"
        )
    if not any(train.owners != ""):
        warnings.append("owners unknown: intervals are per picture, leakage by owner is not controlled")
    if val.favorites is not None and (positive := int((val.favorites >= 1).sum())) < 30:
        warnings.append(f"val: {positive} pictures with a favourite; gini_fav, half of the objective, rests on them")
    for sd in sweep.space.outlier_sd:
        kept = kept_by_outlier_filter(train, sd).mean()
        if kept < 0.9:
            warnings.append(f"outlier_sd: {sd:g} leaves out {1 - kept:.1%} of train")
    tried = try_net(sweep)
    model = tried.num_bytes
    num_models = NUM_KEPT_MODELS + MOST_WINNERS * (1 + sweep.seeds) + MOST_SUBSETS * bool(sweep.questions)
    models = (num_models + (len(paper_points(sweep.space.task, sweep.shared)) if sweep.paper else 0)) * model
    checkpoints = 2 * concurrent * 2 * model  # weights and momentum; two while one replaces the other
    disk = models + checkpoints + tried.feature_bytes(len(train), len(val))
    free = disk_free(home)
    if disk > free:
        raise ConfigError(f"{home}: {disk / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free", hint="choose another disk with --home")
    expected = metrics.expected_best_of(sweep.trials, error)
    return Plan(objective, len(train), len(val), error, expected, detectable, disk, pictures, tried.weights, tried.trunk, tuple(warnings))


def objective_standard_error(val: Labels, objective: str) -> float:
    """Standard error of the objective of a score that knows nothing, owners' clustering included.

    ``rank_mean`` averages two rank statistics of one score, whose correlation under the null is that of rank(views) with favourited; the
    variance of ``gini_fav`` is Mann-Whitney's (n + 1) / (3 n₁ n₀).
    """
    rho_error = metrics.standard_error(val.views, Clusters.of(val.owners))
    if objective == "rho_views":
        return rho_error
    assert val.favorites is not None
    positive = val.favorites >= 1
    n, ones = len(positive), int(positive.sum())
    clustering = rho_error * math.sqrt(n - 1)  # square root of the design effect
    gini_error = clustering * math.sqrt((n + 1) / (3 * ones * (n - ones)))
    together = metrics.spearman(val.views.astype(np.float64), positive.astype(np.float64))
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

    config = sweep.trial({"task": sweep.space.task[0], "learning_rate": 1e-3}, seed=0, threads=1)
    net, loaded = build(
        config.net, head=config.head, num_outputs=2, weights=config.weights, weights_prefix=config.weights_prefix, trunk=config.trunk, seed=0
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


def pictures_text(found: list[CacheForecast], cache: Path) -> str:
    """Where the pictures of each split will come from; a disk that is too small refuses nothing."""
    copied = [split for split in found if split.fits]
    there = ", there already" if all(split.there for split in copied) else ""
    parts = [f"decoded copy {sum(split.num_bytes for split in copied) / 1e9:.2f} GB in {cache}{there}"] if copied else []
    return "; ".join(parts + [no_copy_text(split.split, split.num_bytes, split.free_bytes) for split in found if not split.fits])


def disk_free(folder: Path) -> int:
    """Free bytes of the disk that ``folder`` is or will be on."""
    import shutil

    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def afterwards(sweep: Sweep) -> str:
    """What is trained once the search is over."""
    again = f"the winner of each target {sweep.seeds} times more with fresh seeds" if sweep.seeds else "nothing is trained again"
    asked = f"; that of views on parts of train too ({', '.join(sweep.questions)})" if sweep.questions else ""
    return again + asked


def render_plan(sweep: Sweep, plan: Plan, *, control: str | None, concurrent: int, where: str, remaining: int, finished: int) -> str:
    config = sweep.trial({"task": sweep.space.task[0], "learning_rate": 1e-3}, seed=0, threads=1)
    fixed = len(paper_points(sweep.space.task, sweep.shared)) if sweep.paper else 0
    lines = [
        f"sweep {sweep.name}{f' ({control} control)' if control else ''}: {sweep.question or 'no question stated'}",
        f"  trials      {remaining} remaining of {sweep.trials}{f', {finished} finished before' if finished else ''}"
        f"{f'; and {fixed} of the paper, outside the searched space' if fixed else ''}; {concurrent} at a time, {where}",
        f"  each        {config.net} ({config.head} head), {config.pictures:,} pictures seen of {plan.num_train:,}, "
        f"{config.evaluations} evaluations on all {plan.num_val:,} val pictures",
        f"  afterwards  {afterwards(sweep)}",
        f"  objective   {plan.objective}; its standard error on this val split is {plan.standard_error:.3f}: the best of {sweep.trials} trials "
        f"that know nothing would reach {plan.best_of_null:+.3f}",
        *([f"  filter      only pictures with {sweep.where}"] if sweep.where is not None else []),
        f"  pictures    {plan.pictures}",
        f"  disk        {plan.disk_bytes / 1e6:,.0f} MB more at most",
    ]
    if plan.weights:
        lines.append(f"  weights     {plan.weights}")
    if plan.trunk:
        lines.append(f"  trunk       {plan.trunk}")
    return "\n".join(lines + [f"  warning     {text}" for text in plan.warnings])
