"""A sweep whose trials are played, not trained: curves that depend on the settings alone."""

import hashlib
import random
from collections.abc import Callable
from typing import Literal

import numpy as np

from peoria.records.schema import ModelCard
from peoria.records.val_scores import ValScores
from peoria.sweep.trial_store import Assignment, TrialStore
from peoria.training.messages import TrialReport
from shards.files import write_atomic

STEPS = (250, 500, 750, 1000)
RUNGS = (50, 150, 250, 500)  # of a trial of so many pictures in 20 points
ALL_STEPS = (*RUNGS, 750, 1000)  # its evaluations


def value(assignment: Assignment, step: int) -> float:
    """A made-up curve that depends on the settings alone."""
    return random.Random(f"{assignment.config.learning_rate}{assignment.config.task}").uniform(-0.2, 0.6) * step / STEPS[-1]


def message(assignment: Assignment, step: int, steps: tuple[int, ...] = STEPS) -> TrialReport:
    """
    Args:
        steps: of all its reports.
    """
    found, before = value(assignment, step), max((0, *(other for other in steps if other < step)))
    points = [(at, {"train/loss": 1.0 / step} | ({} if at < step else {"val/rho_views": found})) for at in range(before + 50, step + 1, 50)]
    status: Literal["running", "done"] = "done" if step == STEPS[-1] else "running"
    return TrialReport(step=step, status=status, objective=found, metrics={"val/rho_views": found}, points=points)


def leave_model(assignment: Assignment) -> None:
    """What a worker writes before it says that a trial is done."""
    data = f"weights of {assignment.key}".encode()
    folder = assignment.folder
    card = {"task": {}, "identity": "ab", "control": None, "preprocessing": "", "precision": {}, "num_train": 1, "num_kept": 1, "weights": None}
    ModelCard(config=assignment.config, objective="rho_views", metrics={}, model_sha256=hashlib.sha256(data).hexdigest(), **card).write(
        folder.model_card
    )
    write_atomic(folder.model, data)
    ValScores(np.array(["a", "b"]), scores := np.array([0.0, 1.0]), scores).write(folder.val_scores)


def with_model(assignment: Assignment, step: int) -> None:
    if step == STEPS[-1]:
        leave_model(assignment)


def run(store: TrialStore, on_step: Callable[[Assignment, int], None] = lambda assignment, step: None, steps: tuple[int, ...] = STEPS) -> list[str]:
    ran = []
    while (assignment := store.ask()) is not None:
        ran.append(assignment.key)
        for step in steps:
            on_step(assignment, step)
            if not store.report(assignment.key, message(assignment, step, steps)):
                break
    return ran
