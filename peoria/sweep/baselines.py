"""The baselines of a sweep, fitted once and kept in its folder: here, or of a sweep on a cluster on one of its nodes."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from peoria.baselines.suite import every_baseline
from peoria.config.sweep import Sweep
from peoria.config.trial import TrialConfig
from peoria.data.dataset import Dataset, open_dataset
from peoria.plugins import Sent, texts_of
from peoria.records.deltas import Delta
from peoria.records.folder import SweepFolder
from peoria.records.schema import BaselineNames, BaselineRecord
from peoria.records.val_scores import ValScores
from peoria.records.whole import lost_baselines, sha256_if_there
from peoria.sweep.errand import Errand
from peoria.sweep.resources import RunOptions, Say
from peoria.training.gpu import release_memory
from peoria.training.messages import Address, AnyPath
from shards.addresses import is_url
from shards.cache.fetched import open_shards


class BaselineWork(BaseModel):
    """What a node needs to know to fit the baselines of a sweep."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: TrialConfig
    plugin_texts: Sent
    tasks: tuple[str, ...]
    shards: Address
    """The packed set: an absolute path, or a URL."""
    cache: AnyPath
    cache_bytes: int | None
    control: str | None
    where: str | None
    identity: str
    """Of the data that the sweep is on."""


def write_baselines(folder: SweepFolder, sweep: Sweep, dataset: Dataset, say: Say, gpus: float = 1.0) -> None:
    """Fits and evaluates the baselines once; on a restart they are there, or those that were lost are fitted again. ``gpus`` are a trial's: without
    any, no GPU is used here either."""
    if _all_there(folder, say):
        return
    config = _config(sweep)
    if not gpus and config.device == "auto":
        config = config.model_copy(update={"device": "cpu"})
    fit_baselines(folder, config, sweep.space.task, dataset, say)


def fit_baselines(folder: SweepFolder, config: TrialConfig, tasks: tuple[str, ...], dataset: Dataset, say: Say) -> None:
    """Writes them into the folder, and last that all are there."""
    names, written = [], {}
    for baseline in every_baseline(dataset, config, tasks):
        scores = baseline.predict(dataset.val)
        found = scores.metrics(dataset.val.labels)
        metrics = {f"val/{name}": value for name, value in found.items() if "(" not in name}
        constants = {name: value for name, value in found.items() if "(" in name}
        own = folder.baseline(baseline.name)
        own.path.mkdir(parents=True, exist_ok=True)
        sha256 = None
        if scores.views is not None and scores.favorites is not None:
            sha256 = ValScores(dataset.val.labels.keys, scores.views, scores.favorites).write(own.val_scores)
        BaselineRecord(
            name=baseline.name, label=baseline.label, kind=baseline.kind, metrics=metrics, constants=constants, val_scores_sha256=sha256
        ).write(own.record)
        names.append(baseline.name)
        written[baseline.name] = str(sha256_if_there(own.record))
        gini = f"  gini_fav {found['gini_fav']:+.3f}" if "gini_fav" in found else ""
        say(f"  baseline {baseline.label:<28} rho_views {found['rho_views']:+.3f}{gini}")
    BaselineNames(names=tuple(names), sha256=written).write(folder.baselines_done)
    release_memory()  # of a GPU that trials are about to share


def baselines_errand(folder: SweepFolder, sweep: Sweep, options: RunOptions, say: Say, flush: Callable[[], None]) -> Errand | None:
    """What has them fitted on a node, and writes them here, then calls ``flush``; None where they are there."""
    if _all_there(folder, say):
        return None
    work = BaselineWork(
        config=_config(sweep),
        plugin_texts=texts_of(sweep.digests),
        tasks=sweep.space.task,
        shards=sweep.shards if is_url(sweep.shards) else Path(sweep.shards).resolve(),
        cache=options.cache.resolve(),
        cache_bytes=options.cache_bytes,
        control=options.control,
        where=sweep.where,
        identity=folder.read_definition().identity,
    )

    def take(made: bytes) -> None:
        Delta.unpack(made, str(folder.path)).apply(folder.path, str(folder.path))  # the word that all are there last
        flush()

    return Errand("the baselines", f"{__name__}:fit_away", work.model_dump_json(), say, take)


def fit_away(given: str, say: Say) -> bytes:
    """On the node: the files that `write_baselines` would write, as one tar."""
    work = BaselineWork.model_validate_json(given)
    shard_set = open_shards(work.shards, work.cache, work.cache_bytes)
    if shard_set.source is None:
        shard_set.verify_files(["train", "val"])
    how = {"control": work.control, "where": work.where, "budget_bytes": work.cache_bytes, "identity": work.identity}
    dataset = open_dataset(work.shards, work.cache, **how)  # type: ignore[arg-type]  # what has no room was told by the look at the node
    with tempfile.TemporaryDirectory() as scratch:
        folder = SweepFolder(Path(scratch))
        fit_baselines(folder, work.config, work.tasks, dataset, say)
        paths = sorted(path for path in folder.path.rglob("*") if path.is_file() and path != folder.baselines_done)
        return Delta("", {path.relative_to(folder.path).as_posix(): path.read_bytes() for path in (*paths, folder.baselines_done)}).pack()


def _config(sweep: Sweep) -> TrialConfig:
    return sweep.trial({"task": sweep.space.task[0], "learning_rate": 1e-3}, seed=0, threads=1)


def _all_there(folder: SweepFolder, say: Say) -> bool:
    folder.read_baselines()  # one that cannot be read is for `peoria check`
    if BaselineNames.read_if_there(folder.baselines_done) is None:
        return False
    lost = lost_baselines(folder)
    for problem in lost:
        say(f"  {problem}; the baselines are fitted again")
    return not lost
