"""A sweep's winners into MLflow's registry: exported, uploaded, described; what is there already stays."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from peoria.errors import PeoriaError
from peoria.records.folder import SweepFolder
from peoria.records.selection import winners_of
from peoria.records.trials import read_trials
from peoria.serving.card import Described, title_of
from peoria.serving.export import export
from peoria.serving.scorer import WinnerTarget, winner_for
from peoria.sweep.lock import sweep_lock
from peoria.tracking.database import default_tracking_uri
from peoria.tracking.projection import Tracker
from peoria.tracking.projector import Projector
from peoria.tracking.registry import Entry, Registered, Registry

DELIVER_S = 120.0
Say = Callable[[str], None]


def register(home: Path, name: str, *, tracking: str | None = None, say: Say = print) -> list[Registered]:
    """Registers the winner for views and, where there is one, for favourites, as ``NAME-views`` and ``NAME-favorites``.

    The alias ``winner`` is on what wins now, ``judged`` on what a verdict stands for. The same model twice is one version.

    Args:
        tracking: where MLflow is; None: as a sweep finds it.

    Raises:
        ReportError: no such sweep, or it has no winner yet.
        RecordError: a model or its scores are not there, or damaged.
        PeoriaError: MLflow refuses or is away, or a model cannot be exported.
        SweepError: a process runs the sweep, or reports on it.
    """
    folder = SweepFolder.of(home, name)
    folder.read_definition()
    with sweep_lock(folder, say=say):
        return register_locked(home, folder, tracking, say)


def register_locked(home: Path, folder: SweepFolder, tracking: str | None, say: Say) -> list[Registered]:
    """`register`, of a folder that this process holds."""
    winner_for(home, folder.name, "views")
    uri = tracking or default_tracking_uri(home)
    if undelivered := Projector(Tracker(uri), folder).close(DELIVER_S):  # a model is of a run
        raise PeoriaError(*undelivered.splitlines()[:1], hint=f"peoria register {folder.name}, when MLflow answers")
    there = winners_of(folder.read_definition(), read_trials(folder))
    found = [_register(home, folder, target, Registry(uri)) for target in get_args(WinnerTarget) if target in there]
    for one in found:
        say(f"registered: {one}")
    return found


def _register(home: Path, folder: SweepFolder, target: WinnerTarget, registry: Registry) -> Registered:
    described = Described.of(home, folder.name, target)
    entry = entry_of(described)
    found = registry.find(entry)
    if found is None:
        with tempfile.TemporaryDirectory(prefix="peoria-") as out:
            export(home, folder.name, Path(out), target, ("torch",))
            found = registry.add(entry, Path(out))
    registry.describe(entry, found)
    return found


def entry_of(described: Described) -> Entry:
    """What the registry is told of a winner."""
    card, sweep, verdict = described.card, described.sweep, described.verdict
    run = {
        "peoria.sweep": sweep.name,
        "peoria.identity": sweep.identity,
        "peoria.started_ms": str(int(sweep.started_at * 1000)),
        "peoria.trial": card.trial,
    }
    tags = run | {"target": card.target, "unit": card.unit, "chosen": card.chosen, "model_sha256": card.model.model_sha256}
    tags |= {"control": card.control} if card.control else {}
    tags |= {"verdict": "not yet judged" if verdict is None else verdict.headline}
    return Entry(
        name=f"{sweep.name}-{card.target}",
        title=title_of(card),
        model_sha256=card.model.model_sha256,
        run=run,
        tags=tags,
        readme=described.readme(("torch",)),
        judged=verdict is not None,
    )
