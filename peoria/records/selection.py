"""Which trial won: the one place that decides it."""

from collections.abc import Mapping

from peoria.records.trials import TrialRecord

TARGET_METRICS = {"views": "val/rho_views", "favorites": "val/gini_fav"}


def winners(done: Mapping[str, Mapping[str, float]]) -> dict[str, str]:
    """For each target the key of the trial with the highest value on val, the earlier one among equals.

    Args:
        done: by key of each finished searched trial, its last val metrics.
    """
    found = {}
    for target, metric in TARGET_METRICS.items():
        values = {key: metrics[metric] for key, metrics in done.items() if metric in metrics}
        if values:
            found[target] = min(values, key=lambda key: (-values[key], key))
    return found


def winners_of(trials: list[TrialRecord]) -> dict[str, TrialRecord]:
    """For ``views`` and, where known, ``favorites`` the finished searched trial that did best on val: `selection.winners`."""
    done = {trial.key: trial for trial in trials if trial.status == "done" and not trial.fixed}
    return {target: done[key] for target, key in winners({key: trial.metrics for key, trial in done.items()}).items()}


def best_of(trials: list[TrialRecord]) -> TrialRecord | None:
    """The winner for views, whose model is used and exported: the highest last value on val among finished searched trials, never a curve's
    maximum, never a pruned one."""
    return winners_of(trials).get("views")
