"""Optuna's two studies made again from the folders of a sweep's trials, so that the search goes on as if they had never been lost."""

import datetime
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from peoria.config.sweep import Sweep
from peoria.records.folder import SweepFolder, TrialFolder
from peoria.records.points import read_points
from peoria.records.schema import SweepRecord, TrialOutcome, TrialStart
from peoria.sweep.pruner import sweep_rungs
from peoria.sweep.queued import enqueue_points, paper_keys
from peoria.sweep.study import DIVERGED_VALUE, SCORES, SEEN, STATES, create_studies


def rebuild(
    storage: optuna.storages.BaseStorage, folder: SweepFolder, sweep: Sweep, about: SweepRecord, decided: Mapping[str, dict[str, str]]
) -> int:
    """Begins the studies, which the storage must not have, and enters what the folders tell: each trial under its number, with its point, values,
    decisions and end. Returns how many there are.

    Args:
        decided: by key, what was decided at the rungs of trials that begin again: against the values of then.

    Raises:
        RecordError: a trial's folder cannot be read.
    """
    searched, unsearched = create_studies(storage, folder, sweep, sampler=optuna.samplers.RandomSampler(0), pruner=optuna.pruners.NopPruner())
    trials = {trial.key: trial for trial in folder.trials()}
    numbers = {int(key): trial for key, trial in trials.items() if key.isdigit()}
    for number in range(max(numbers, default=-1) + 1):
        if number in numbers:
            trial = _searched(numbers[number], sweep, f"val/{about.objective}")
            if numbers[number].key in decided:
                trial.set_user_attr("rungs", decided[numbers[number].key])
            searched.add_trial(trial)
        else:  # asked for, and killed before anything of it was written
            _never_begun(searched, sweep)
    of_paper = paper_keys(sweep)
    for key in (*of_paper, *sorted(trials.keys() - {*of_paper} - {f"{n:04d}" for n in numbers})):
        if key in trials:
            unsearched.add_trial(_unsearched(trials[key], f"val/{about.objective}"))
        else:
            unsearched.enqueue_trial({}, user_attrs={"key": key, "purpose": "paper"})
    return len(trials)


def _never_begun(searched: optuna.Study, sweep: Sweep) -> None:
    """In its place in the queue: the next of the start-up, or a point that the searcher draws."""
    startup = enqueue_points(searched, sweep)
    task, origin = startup[0] if startup else (None, None)
    searched.enqueue_trial({} if task is None else {"task": task}, user_attrs={} if origin is None else {"origin": origin})


def _searched(trial: TrialFolder, sweep: Sweep, metric: str) -> FrozenTrial:
    start = TrialStart.read(trial.start)
    config = start.config
    point = {name: getattr(config, name) for name in ("task", "learning_rate", "head_multiplier", "outlier_sd")}
    fixed = optuna.trial.FixedTrial(sweep.space.named(point))
    sweep.space.suggest(fixed)
    found = _frozen(trial, start, metric, params=fixed.params, distributions=fixed.distributions)
    if start.origin is not None:
        found.set_user_attr("origin", start.origin)
    if decided := decisions(trial, sweep, metric):
        found.set_user_attr("rungs", decided)
    return found


def decisions(trial: TrialFolder, sweep: Sweep, metric: str) -> dict[str, str]:
    """What was decided at each rung of the curve, ``kept`` or ``pruned``, by the trial's end."""
    values = [step for step, metrics in read_points(trial.points) if metric in metrics]
    outcome = TrialOutcome.read_if_there(trial.outcome)
    reached = [step for step in sweep_rungs(sweep) if step in values]
    pruned = outcome is not None and outcome.status == "pruned"
    return {str(step): "pruned" if pruned and step == values[-1] else "kept" for step in reached}


def _unsearched(trial: TrialFolder, metric: str) -> FrozenTrial:
    start = TrialStart.read(trial.start)
    found = _frozen(trial, start, metric)
    given = {"key": trial.key, "purpose": start.purpose, "label": start.label} | ({} if start.of is None else {"of": start.of})
    for name, value in given.items():
        found.set_user_attr(name, value)
    return found


def _frozen(trial: TrialFolder, start: TrialStart, metric: str, **drawn: Any) -> FrozenTrial:
    outcome = TrialOutcome.read_if_there(trial.outcome)
    values = {step: metrics[metric] for step, metrics in read_points(trial.points) if metric in metrics}
    state, value = TrialState.RUNNING, None
    if outcome is not None:
        last = values[max(values)] if values else None
        state, value = STATES[outcome.status], {"done": outcome.objective, "diverged": DIVERGED_VALUE, "pruned": last}.get(outcome.status)
    attributes: dict[str, Any] = {"config": start.config.model_dump(mode="json")}
    attributes |= {} if outcome is None else {"status": outcome.status, SEEN: outcome.pictures}
    if outcome is not None and outcome.val_scores_sha256 is not None:
        attributes[SCORES] = outcome.val_scores_sha256
    found = create_trial(state=state, value=value, intermediate_values=values, user_attrs=attributes, **drawn)
    found.datetime_start = datetime.datetime.fromtimestamp(start.started_at)
    found.datetime_complete = None if outcome is None else datetime.datetime.fromtimestamp(outcome.ended_at)
    return found
