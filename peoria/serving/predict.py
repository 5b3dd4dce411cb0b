"""A sweep's best model used: scores for pictures, and the model with its card for others."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from peoria.data.images import ArrayPictures
from peoria.errors import PeoriaError, ReportError
from peoria.records.folder import read_definition, sweep_folder
from peoria.records.selection import best_of
from peoria.records.trials import TrialRecord, read_trials
from peoria.tasks import get_task
from peoria.training.checkpoint import load_model
from peoria.training.evaluate import forward_all
from shards.images.square import PictureError, decode_square
from shards.manifest import PictureRule


def best_trial(home: Path, name: str) -> tuple[Path, dict[str, Any], TrialRecord]:
    folder = sweep_folder(home, name)
    sweep, best = read_definition(folder), best_of(read_trials(folder))
    if best is None:
        raise ReportError(f"sweep {name}: no trial finished; a model is needed", hint=f"peoria status {name}")
    return folder, sweep, best


def predict(home: Path, name: str, paths: list[Path]) -> Iterator[tuple[Path, str]]:
    """Each picture with its prediction in the task's own unit and its place among the val pictures.

    Raises:
        PeoriaError: a picture that cannot be read; all of them at once.
    """
    import torch

    _, _, best = best_trial(home, name)
    net, card = load_model(best.folder)
    fitted = get_task(card["config"]["task"]).restore(card["task"])
    pixels, problems = [], []
    for path in paths:
        try:
            pixels.append(decode_square(path.read_bytes(), PictureRule())[0])
        except (OSError, PictureError) as error:
            problems.append(f"{path}: {error}; a picture is needed")
    if problems:
        raise PeoriaError(*problems)
    outputs = forward_all(net, ArrayPictures(np.stack(pixels)), device=torch.device("cpu"), autocast=None)
    with np.load(best.folder / "val_scores.npz") as stored:
        known = np.sort(stored["scores"])
    unit = {"regression": fitted.target, "classification": f"probability of a {fitted.target.rstrip('s')}", "hybrid": f"bin of {fitted.target}"}
    for path, value, score in zip(paths, fitted.predict(outputs), fitted.score(outputs), strict=True):
        place = np.searchsorted(known, score) / len(known)
        yield path, f"{value:.4g} {unit.get(fitted.task, fitted.task)}\tabove {place:.0%} of the val pictures"
