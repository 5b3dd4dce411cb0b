"""Scores of new pictures by a sweep's winner for views."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from peoria.data.images import ArrayPictures
from peoria.errors import PeoriaError, ReportError
from peoria.records.folder import SweepFolder
from peoria.records.schema import SweepRecord
from peoria.records.selection import winners_of
from peoria.records.trials import TrialRecord, read_trials
from peoria.records.val_scores import ValScores
from peoria.tasks import get_task
from peoria.training.checkpoint import load_model
from peoria.training.evaluate import forward_all
from shards.errors import PictureError
from shards.images.square import decode_square
from shards.manifest import PictureRule


def winner_for_views(home: Path, name: str) -> tuple[SweepFolder, SweepRecord, TrialRecord]:
    """The trial whose model is used: the finished searched one with the highest last ``val/rho_views``.

    Raises:
        ReportError: no such sweep, or no trial of it finished.
    """
    folder = SweepFolder.of(home, name)
    sweep, winner = folder.read_definition(), winners_of(read_trials(folder)).get("views")
    if winner is None:
        raise ReportError(f"sweep {name}: no trial finished; a model is needed", hint=f"peoria status {name}")
    return folder, sweep, winner


def predict(home: Path, name: str, paths: list[Path]) -> Iterator[tuple[Path, str]]:
    """Each picture with its prediction in the task's own unit and its place among the val pictures.

    Raises:
        PeoriaError: a picture that cannot be read; all of them at once.
    """
    import torch

    _, _, winner = winner_for_views(home, name)
    net, card = load_model(winner.folder)
    fitted = get_task(card.config.task).restore(card.task)
    pixels, problems = [], []
    for path in paths:
        try:
            pixels.append(decode_square(path.read_bytes(), PictureRule())[0])
        except (OSError, PictureError) as error:
            problems.append(f"{path}: {error}; a picture is needed")
    if problems:
        raise PeoriaError(*problems)
    outputs = forward_all(net, ArrayPictures(np.stack(pixels)), device=torch.device("cpu"), autocast=None)
    known = np.sort(ValScores.read(winner.folder.val_scores).views)
    unit = {"regression": fitted.target, "classification": f"probability of a {fitted.target.rstrip('s')}", "hybrid": f"bin of {fitted.target}"}
    for path, value, score in zip(paths, fitted.predict(outputs), fitted.score(outputs), strict=True):
        place = np.searchsorted(known, score) / len(known)
        yield path, f"{value:.4g} {unit.get(fitted.task, fitted.task)}\tabove {place:.0%} of the val pictures"
