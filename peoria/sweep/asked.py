"""What a run of a sweep is asked for, from Python or by flags: the sweep, and how it is run."""

import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from peoria.config.sweep import Sweep, load_sweep
from peoria.data.controls import control_name
from peoria.data.filters import is_utf8, name_of_view, with_bars
from peoria.errors import ConfigError
from peoria.records.home import Home
from peoria.redact import scrub_text
from peoria.sweep.resources import RunOptions, default_gpus
from shards.addresses import checked_url, is_url


def asked(
    sweep: Sweep | str | os.PathLike[str],
    *,
    home: str | os.PathLike[str] | Home = "data",
    shards: str | os.PathLike[str] | None = None,
    where: str | None = None,
    control: str | None = None,
    strength: float | None = None,
    gpus_per_trial: float | None = None,
    tracking: str | None = None,
    storage: str | None = None,
    cache: str | os.PathLike[str] | None = None,
    **how: Any,
) -> tuple[Sweep, RunOptions]:
    """What is run, and how: the sweep, with the data and the part of them that were named.

    Args:
        shards: another packed set than the sweep names.
        where: only these pictures, as ``tag=beach,ocean``; a sweep of its own.
        control: reassigns the counts, as ``shuffle`` or ``plant-owner``; a sweep of its own.
        strength: of what a control plants, 0 to 1.
        gpus_per_trial: a fraction shares a GPU; None: as `default_gpus`.
        tracking: MLflow; None: MLFLOW_TRACKING_URI, or a database in ``home``; "off": none.
        storage: a database for Optuna; None: PEORIA_STORAGE, or a journal in the sweep's folder.
        cache: where each node keeps its decoded pictures; None: PEORIA_CACHE, or cache in ``home``.
        how: the other fields of `peoria.sweep.resources.RunOptions`.

    Raises:
        ConfigError: no such sweep file, or settings that do not go together.
    """
    there = Home.of(home)
    taken = {field.name for field in fields(RunOptions)} - {"home", "home_url", "cache_dir", "control"}
    if unknown := sorted(set(how) - taken):
        known = sorted(taken | {"home", "shards", "where", "control", "strength", "cache", "say"})
        raise ConfigError(f"{', '.join(unknown)}: no such setting of a run; one of {', '.join(known)}")
    if strength is not None and control is None:
        raise ConfigError(f"--strength: {strength:g} without --control; only what a control plants has a strength")
    control = None if control is None else control_name(control, strength)
    wanted = sweep if isinstance(sweep, Sweep) else load_sweep(os.fspath(sweep))
    cache = cache or os.environ.get("PEORIA_CACHE") or None
    storage = storage or os.environ.get("PEORIA_STORAGE") or None
    texts = {"home": there.path, "shards": shards, "cache": cache, "tracking": tracking, "storage": storage}
    for name, given in texts.items():  # they stand in records, and neither Ray nor the models' format takes others
        if not is_utf8(text := str(given)):
            raise ConfigError(f"--{name}: {scrub_text(text)!r}; a name in UTF-8", hint="rename the folder, or make a link to it")
    if shards is not None:
        text = os.fspath(shards)
        wanted = wanted.model_copy(update={"shards": checked_url(text) if is_url(text) else text})
    if where is not None:
        wanted = wanted.model_copy(update={"where": with_bars(where), "name": name_of_view(wanted.name, where)})
    places: dict[str, Any] = {"home": there.path, "home_url": there.url, "cache_dir": None if cache is None else Path(cache)}
    options = RunOptions(**how | places, control=control, tracking=tracking, storage=storage, gpus_per_trial=gpus_per_trial or 0.0)
    return wanted, options if gpus_per_trial is not None else replace(options, gpus_per_trial=default_gpus(options, wanted))
