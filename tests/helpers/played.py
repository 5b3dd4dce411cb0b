"""A sweep whose trials are played, not trained: curves that depend on the settings alone."""

import random
from collections.abc import Callable
from typing import Literal

from peoria.sweep.trial_store import Assignment, TrialStore
from peoria.training.messages import TrialReport

STEPS = (250, 500, 750, 1000)


def value(assignment: Assignment, step: int) -> float:
    """A made-up curve that depends on the settings alone."""
    return random.Random(f"{assignment.config.learning_rate}{assignment.config.task}").uniform(-0.2, 0.6) * step / STEPS[-1]


def message(assignment: Assignment, step: int) -> TrialReport:
    found = value(assignment, step)
    points = [(step - 50 * k, {"train/loss": 1.0 / step}) for k in range(4, -1, -1)]
    status: Literal["running", "done"] = "done" if step == STEPS[-1] else "running"
    return TrialReport(step=step, status=status, objective=found, metrics={"val/rho_views": found}, points=points)


def run(store: TrialStore, on_step: Callable[[Assignment, int], None] = lambda assignment, step: None) -> list[str]:
    ran = []
    while (assignment := store.ask()) is not None:
        ran.append(assignment.key)
        for step in STEPS:
            on_step(assignment, step)
            if not store.report(assignment.key, message(assignment, step)):
                break
    return ran
