"""Which trial won: the one place that decides it.

Two words, never mixed. The **winner for views** (or for favourites) has the highest last ``val/rho_views`` (``val/gini_fav``); it is what the
verdict judges and what is predicted with. The trial that is **best by objective** has the highest last objective, which is what the searcher
maximises. Both among finished trials of the searched space alone: never a curve's maximum, never a pruned or a diverged trial; the earlier one
among equals.
"""

import bisect
from collections.abc import Iterable, Mapping

from peoria.records.trials import TrialRecord

TARGET_METRICS = {"views": "val/rho_views", "favorites": "val/gini_fav"}
TARGET_WORDS = {"views": "views", "favorites": "favourites"}


class Standings:
    """The finished searched trials so far, entered in any order."""

    def __init__(self) -> None:
        self._ranked: list[tuple[float, int, str]] = []  # by objective, best first
        self._winners: dict[str, tuple[float, int, str]] = {}

    def add(self, key: str, objective: float, metrics: Mapping[str, float]) -> None:
        """
        Args:
            metrics: of the last evaluation, keys with the split.
        """
        bisect.insort(self._ranked, (-objective, len(key), key))
        for target, metric in TARGET_METRICS.items():
            if metric in metrics:
                entry = (-metrics[metric], len(key), key)
                self._winners[target] = min(self._winners.get(target, entry), entry)

    @property
    def winners(self) -> dict[str, str]:
        """By target, where its metric is known, the winner's key."""
        return {target: self._winners[target][-1] for target in TARGET_METRICS if target in self._winners}

    @property
    def by_objective(self) -> list[str]:
        """Keys, the best by objective first."""
        return [key for _, _, key in self._ranked]


def standings(trials: Iterable[TrialRecord]) -> Standings:
    """Of all trials of a sweep; those that do not count are left out."""
    found = Standings()
    for trial in trials:
        if trial.purpose == "search" and trial.status == "done" and trial.objective is not None:
            found.add(trial.key, trial.objective, trial.metrics)
    return found


def winners_of(trials: list[TrialRecord]) -> dict[str, TrialRecord]:
    """The winner for ``views`` and, where favourites are known, for ``favorites``."""
    by_key = {trial.key: trial for trial in trials}
    return {target: by_key[key] for target, key in standings(trials).winners.items()}


def best_by_objective(trials: list[TrialRecord]) -> TrialRecord | None:
    """None where no searched trial has finished."""
    by_key = {trial.key: trial for trial in trials}
    return next((by_key[key] for key in standings(trials).by_objective), None)


def said(target: str, metrics: Mapping[str, float]) -> str:
    """A winner's words: ``winner for views (rho_views +0.619)``."""
    metric = TARGET_METRICS[target]
    return f"winner for {TARGET_WORDS[target]} ({metric.removeprefix('val/')} {metrics[metric]:+.3f})"
