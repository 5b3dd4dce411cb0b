"""The study from Python: what the commands of `peoria` call, as functions.

Paths are strings or `Path`; ``home`` is a folder or the URL of a bucket, as for the commands; ``say`` is told each line of progress, ``print`` unless
another is given, and None for silence. What a user or the world caused is a `peoria.errors.PeoriaError` or a `shards.errors.ShardsError`, both
`UserError`, with one line a problem; in a notebook it is shown without its traceback. Ctrl-C ends a call in order, and the same call goes on.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from peoria.plainly import plainly

if TYPE_CHECKING:
    import pandas as pd

    from peoria.config.sweep import Sweep
    from peoria.data.synthetic import Planted
    from peoria.records.home import Home
    from peoria.report.described import Described
    from peoria.report.recorded import RecordedSweep
    from peoria.serving.scorer import Scorer
    from peoria.verdict.schema import Verdict
    from shards.fetch import FetchRules
    from shards.manifest import SplitRule
    from shards.pack.pack import PackResult

Say = Callable[[str], object]


@plainly
def plant(out: str | os.PathLike[str], *, plant: str = "both", pictures: int = 3000, seed: int = 0) -> "Planted":
    """Makes pictures whose popularity is known, in ``out``: so much of it in their colour, so much in their arrangement, the rest noise, owner, age.

    Args:
        plant: ``both``, ``colour``, ``arrangement``, ``owner``, ``age`` or ``none``.
        pictures: how many.
        seed: another one makes other pictures and counts.

    Returns:
        What was made: ``table``, the metadata.csv to pack; ``oracle_rho``, what a perfect reader of the pictures would reach.

    Raises:
        ConfigError: no such plant.
    """
    from peoria.data.synthetic import EFFECT_WEIGHTS
    from peoria.data.synthetic import plant as planted
    from peoria.errors import ConfigError

    if plant not in EFFECT_WEIGHTS:
        raise ConfigError(f"plant: {plant!r}; one of {', '.join(EFFECT_WEIGHTS)}")
    return planted(Path(out), num_pictures=pictures, seed=seed, **EFFECT_WEIGHTS[plant])


@plainly
def pack(
    table: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    keep: Sequence[str] = (),
    drop: Sequence[str] = (),
    path_pattern: str | None = None,
    encoding: str | None = None,
    format: str | None = None,
    pictures: str | os.PathLike[str] | None = None,
    kind: str | None = None,
    shard_size: int = 1000,
    split_rule: "SplitRule | None" = None,
    fetch: "FetchRules | None" = None,
    processes: int | None = None,
    ray: str | None = None,
    accept_losses: bool = False,
    retry: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
    hash_owners: bool = False,
) -> "PackResult":
    """Packs pictures and counts into verified shards; interrupted and called again it goes on, and called once more it finds them there.

    Args:
        table: CSV, TSV, Parquet, JSON or JSON lines, one row a picture; or a folder of pictures, tars of samples, Parquet files with pictures, a
            table in a store.
        out: a folder, or s3://BUCKET/PREFIX; None: data/shards/ and the name of the table's folder.
        columns: our fields to the table's columns, as ``{"views": "num_views"}``.
        keep: further columns of the table that are kept.
        drop: fields of ours that are left unread.
        path_pattern: how the path of a picture is made of other columns, as ``img/{id}.jpg``.
        encoding: of the table's text; None: UTF-8, or what its first bytes say.
        format: csv, tsv, jsonl, json or parquet; None: by the suffix.
        pictures: the folder, or the s3:// address, that paths start from; None: the table's.
        kind: table, folder, tars, parquet, unsplash or yfcc; None: found by what is there.
        shard_size: pictures a shard.
        split_rule: shares of train, val and test, and the seed of the split; None: the default.
        fetch: how addresses among the paths are fetched, `shards.fetch.FetchRules`; None: the default.
        processes: how many prepare pictures at once; None: one a core.
        ray: ``auto`` or HOST:PORT of a Ray cluster whose nodes prepare them; None: this machine.
        accept_losses: whether rows whose views cannot be read are left out however many they are.
        retry: whether rows that failed for a reason that can heal, as a file that was not there, are tried again, of a finished set too.
        progress: is told what is being done, how much of it is done, and how much there is.
        hash_owners: keeps a keyed hash of each owner instead of the name, with the salt of PEORIA_OWNER_SALT or of a private file that is made.

    Returns:
        What became of the rows: shown in words; ``kept``, ``rejected``, ``root``, ``manifest``.

    Raises:
        TableError: the table as a whole cannot be packed.
        ShardsError: ``out`` holds something else, no picture is left, or many rows would be lost for their views.
        SweepError: there is no such cluster.
        StoreError: the store cannot be written to.
    """
    from shards.addresses import checked_url, is_url
    from shards.pack.owners import find_salt
    from shards.pack.pack import pack as packed
    from shards.sources.opened import set_name
    from shards.upload import pack_to_store

    to = os.fspath(out) if out is not None else str(Path("data/shards") / set_name(os.fspath(table)))
    how: dict[str, Any] = {"drop": drop, "path_pattern": path_pattern, "encoding": encoding, "format": format}
    how |= {"columns": columns or {}, "keep": keep, "pictures": None if pictures is None else os.fspath(pictures), "kind": kind}
    how |= {"shard_size": shard_size, "split_rule": split_rule, "fetch": fetch, "processes": processes, "progress": progress}
    how |= {"accept_losses": accept_losses, "retry": retry, "owner_salt": find_salt(make=True) if hash_owners else None}
    units: Any = nullcontext()  # this machine
    if ray is not None:
        from peoria.cluster.ray_pack import RayUnits

        units = RayUnits(ray)
    with units as how["units"]:
        return pack_to_store(os.fspath(table), checked_url(to), **how) if is_url(to) else packed(os.fspath(table), Path(to), **how)


@plainly
def describe(shards: str | os.PathLike[str]) -> "Described":
    """Counts, shares and tails of a packed set, per split: the paper's Tables 1 and 2.

    Args:
        shards: the folder, or the address, of the packed set.

    Returns:
        Shown in words; ``counts``, ``splits`` and ``left_out`` are frames, ``found`` holds all of it; ``write(folder)`` keeps it as files.

    Raises:
        ShardsError: no packed set is there.
        DamagedShardError: a table is not what was packed.
    """
    import tempfile

    from peoria.report.described import Described
    from shards.cache.fetched import open_shards
    from shards.inspection.describe import describe as described

    with tempfile.TemporaryDirectory() as folder:  # for the tables of a set in a store
        shard_set = open_shards(os.fspath(shards), Path(folder))
        return Described(described(shard_set), shard_set)


@plainly
def sweep(
    sweep: "Sweep | str | os.PathLike[str]",
    *,
    home: "str | os.PathLike[str] | Home" = "data",
    say: Say | None = print,
    **how: Any,
) -> "RecordedSweep":
    """Runs a sweep, or what is left of it. May be called from a notebook, a script without a main guard, or a thread.

    Args:
        sweep: a `peoria.Sweep`, or a sweep file.
        home: where sweeps are kept.
        say: is told each line of progress.
        how: as the flags of `peoria sweep`; `peoria.sweep.asked.asked` tells each: ``trials``, ``hours``, ``local=True`` (in this process, for a
            debugger), ``ray``, ``concurrent``, ``cpus_per_trial``, ``gpus_per_trial``, ``shards``, ``where``, ``control``, ``strength``,
            ``tracking``, ``storage``, ``cache``, ``cache_bytes``, ``trial_hours``.

    Returns:
        The sweep as its record tells it (`open_sweep`); ``.run.complete`` says whether all trials are there, ``.run.left`` what is not.

    Raises:
        ConfigError: the sweep cannot be run on these data.
        SweepError: another process runs it, or it is defined otherwise than before.
        Interrupted: by Ctrl-C, a KeyboardInterrupt; the same call goes on.
    """
    from peoria.records.home import Home
    from peoria.report.recorded import RecordedSweep
    from peoria.sweep.asked import asked
    from peoria.sweep.run import run_sweep

    wanted, options = asked(sweep, home=home, **how)
    with threads_as_before():
        result = run_sweep(wanted, options, said_by(say))
    return RecordedSweep(result.folder.name, Home.of(home), result)


@plainly
def open_sweep(name: str, home: "str | os.PathLike[str] | Home" = "data") -> "RecordedSweep":
    """A sweep as its record tells it, running or ended: ``.status``, ``.winners``; frames ``.trials``, ``.curves``, ``.baselines``; and once it is
    reported on ``.verdict``, ``.predictors`` and ``.predictions``, the scores of the test pictures that were opened.

    Raises:
        ReportError: there is no such sweep; lists those there are.
        RecordError: its folder is of another format, or damaged.
    """
    from peoria.records.home import Home
    from peoria.report.recorded import RecordedSweep

    return RecordedSweep.open(name, Home.of(home))


@plainly
def report(
    name: str,
    home: "str | os.PathLike[str] | Home" = "data",
    *,
    rest: bool = False,
    tracking: str | None = None,
    cache: str | os.PathLike[str] | None = None,
    cache_bytes: int | None = None,
    cpus_per_trial: int = 1,
    gpus_per_trial: float | None = None,
    ray: str | None = None,
    say: Say | None = print,
) -> "Verdict":
    """Opens the next vault of the test split (recorded, counted) and judges the winners, the paper's settings and every baseline on it. Called again
    it says what it found, and opens nothing.

    Args:
        name: the sweep's.
        rest: opens all of test that nobody has looked at, as the last opening.
        tracking: where MLflow is; None: as the sweep; "off": nowhere.
        cache: where decoded pictures are kept; None: PEORIA_CACHE, or cache in ``home``.
        cache_bytes: what they may take.
        ray: the cluster whose node scores; None: RAY_ADDRESS, or the one that this machine is a node of, or this machine.

    Returns:
        The verdict, shown in sentences, as report/verdict.json keeps it; report.html lies beside.

    Raises:
        ReportError: no such sweep, or it is not finished, or what is to be judged is not there.
        NothingSealedError: all of test was opened before.
    """
    from dataclasses import replace

    from peoria.records.home import Home
    from peoria.report.build import report as judged
    from peoria.sweep.bring import bring
    from peoria.sweep.cluster import OWN, refuse_cluster
    from peoria.sweep.resources import RunOptions

    there = Home.of(home)
    kept = cache or os.environ.get("PEORIA_CACHE") or None
    places: dict[str, Any] = {
        "home": there.path,
        "home_url": there.url,
        "cache_dir": None if kept is None else Path(kept),
        "cache_bytes": cache_bytes,
    }
    options = RunOptions(**places, cpus_per_trial=cpus_per_trial, gpus_per_trial=gpus_per_trial or 0.0, ray=ray)
    options = replace(options, ray=options.cluster or OWN)  # found once
    refuse_cluster(options.ray or OWN)
    bring(there, name)
    return judged(
        there.path,
        name,
        url=there.url,
        tracking=tracking,
        cache=options.cache_dir,
        cache_bytes=cache_bytes,
        away=options,
        rest=rest,
        say=said_by(say),
    )


@plainly
def predict(
    name: str,
    pictures: "str | os.PathLike[str] | Iterable[str | os.PathLike[str]]",
    *,
    home: "str | os.PathLike[str] | Home" = "data",
    target: Literal["views", "favorites"] | None = None,
    seeds: bool = True,
    unlike: bool = True,
) -> "pd.DataFrame":
    """Scores pictures with a sweep's winners: a row a picture and model, a picture that cannot be read as a row with an ``error``.

    Args:
        name: the sweep's.
        pictures: a file, a folder with all below, a glob, or several of these.
        target: whose winner speaks; None: both, where two models won.
        seeds: whether to say how far models of the same settings with fresh seeds differ; takes as many times longer as there are.
        unlike: whether to flag pictures unlike those of val, which reads the packed set once.

    Returns:
        Columns as `peoria.serving.predict.Prediction` says: ``value`` in ``unit``, ``percentile`` among the val pictures, and how far to trust it.

    Raises:
        ReportError: no such sweep, or it has no winner yet.
        RecordError: a model is damaged.
    """
    from peoria.records.home import Home
    from peoria.serving.predict import as_frame
    from peoria.serving.predict import predict as predicted
    from peoria.sweep.bring import bring

    there = Home.of(home)
    bring(there, name, models=True)
    given = [pictures] if isinstance(pictures, str | os.PathLike) else pictures
    cache = Path(os.environ.get("PEORIA_CACHE") or there.cache)
    found = predicted(name, [os.fspath(one) for one in given], home=there.path, target=target, seeds=seeds, unlike=unlike, cache=cache)
    return as_frame(found)


@plainly
def load_model(name: str, home: "str | os.PathLike[str] | Home" = "data", *, target: Literal["views", "favorites"] = "views") -> "Scorer":
    """The model of a sweep's winner for a target, on the CPU: ``.score(squares)`` of uint8 [N, 256, 256, 3] gives ``value`` (in ``.unit``), ``score``
    and ``percentile``; ``.net`` is a torch module, ``.card`` what is known of it.

    Raises:
        ReportError: no such sweep, or it has no winner for this target yet.
        RecordError: the model is not there, or damaged.
    """
    from peoria.records.home import Home
    from peoria.serving.scorer import Scorer
    from peoria.sweep.bring import bring

    there = Home.of(home)
    bring(there, name, models=True)
    return Scorer.of_sweep(there.path, name, target)


@contextmanager
def threads_as_before() -> Iterator[None]:
    """A trial in this process sets torch's threads; whoever called has his own again after it."""
    import torch

    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def said_by(say: Say | None) -> Callable[[str], None]:
    """``say``, or nobody."""

    def silence(text: str) -> None:
        pass

    return silence if say is None else say  # type: ignore[return-value]
