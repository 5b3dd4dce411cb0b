"""Whether Optuna's study and the sweep's folder tell of the same trials. They are two records of one thing: an older, emptied, edited or foreign one
of them would make another search of the same sweep, in silence.

What a kill between two entries leaves is no disagreement: an outcome that was not told yet, a curve ahead of the reported values.
"""

from collections.abc import Iterator

import optuna
from optuna.trial import FrozenTrial, TrialState

from peoria.config.sweep import Sweep
from peoria.config.trial import TrialConfig
from peoria.errors import RecordError, SweepError
from peoria.records.folder import SweepFolder, TrialFolder
from peoria.records.points import last_val_metrics, points_settings, read_points
from peoria.records.schema import SweepRecord, TrialOutcome, TrialStart
from peoria.sweep.study import DIVERGED_VALUE, SCORES, STATES, key_of
from peoria.sweep.trial_files import halved


def refuse_disagreement(folder: SweepFolder, sweep: Sweep, *studies: optuna.Study) -> None:
    """Raises SweepError that names all that does not fit together."""
    problems = disagreements(folder, sweep, *studies)
    if problems:
        more = [f"and {len(problems) - 20} more"] if len(problems) > 20 else []
        raise SweepError(*problems[:20], *more, hint=f"peoria check {sweep.name} tells what is wrong, --repair mends it; nothing was changed")


def disagreements(folder: SweepFolder, sweep: Sweep, *studies: optuna.Study) -> list[str]:
    about = SweepRecord.read_if_there(folder.definition)
    metric = None if about is None else f"val/{about.objective}"
    latest = {key_of(study, trial): (study, trial) for study in studies for trial in study.get_trials(deepcopy=False)}
    problems = []
    for key, (study, trial) in latest.items():
        if trial.state == TrialState.WAITING or "config" not in trial.user_attrs:
            continue  # nothing of it is in the folder yet
        try:
            problems += [f"{folder.trial(key).path}: {text}" for text in _of_trial(folder.trial(key), trial, metric)]
            problems += [f"{folder.trial(key).path}: {text}" for text in _of_point(sweep, trial) if study.study_name == sweep.name]
        except RecordError as error:
            problems += error.problems
    begun = {key for key, (_, trial) in latest.items() if "config" in trial.user_attrs}
    for path in sorted(folder.path.glob(f"trials/*/{folder.trial('x').start.name}")):
        if path.parent.name not in begun:
            problems.append(f"{path.parent}: a trial that Optuna's storage does not have; the storage that the sweep ran with")
    return problems


def _of_trial(folder: TrialFolder, trial: FrozenTrial, metric: str | None) -> Iterator[str]:
    config = TrialConfig.model_validate(trial.user_attrs["config"])
    ended = trial.state.is_finished() and "status" in trial.user_attrs
    start = TrialStart.read_if_there(folder.start)
    if start is None:
        if ended or folder.points.exists():
            yield f"no {folder.start.name}; the settings that it began with"
        return
    if not says_what_it_is_for(start, trial):
        yield f"{folder.start.name} says {start.purpose}, of {start.of}; Optuna's storage another purpose or winner"
    half = halved(start)
    if half is not None and half.config == config and not ended:
        return  # killed while its batch was halved
    if start.config != config:
        yield f"{folder.start.name} has other settings than Optuna's storage; the same"
        return
    settings = points_settings(folder.points)
    if settings not in (None, config.sha256) or (settings is None and folder.points.exists() and read_points(folder.points)):
        yield f"{folder.points.name} is a curve of other settings ({str(settings)[:12]}); {config.sha256[:12]}"
    outcome = TrialOutcome.read_if_there(folder.outcome)
    if outcome is not None and outcome.settings_sha256 != config.sha256:
        yield f"{folder.outcome.name} is of other settings ({outcome.settings_sha256[:12]}); {config.sha256[:12]}"
    if outcome is not None and outcome.status in ("done", "pruned") and outcome.metrics != last_val_metrics(folder.points):
        yield f"{folder.outcome.name} has other metrics than the end of {folder.points.name}; the same, for they choose the winner"
    if ended and outcome is None:
        yield f"no {folder.outcome.name}; Optuna's storage says that it ended as {trial.user_attrs['status']}"
    if ended and outcome is not None:
        said = trial.user_attrs["status"]
        value = {"done": outcome.objective, "pruned": outcome.objective, "diverged": DIVERGED_VALUE}.get(outcome.status, trial.value)
        if said != outcome.status or trial.state != STATES[outcome.status] or trial.value != value:
            yield f"{folder.outcome.name} says {outcome.status}, {outcome.objective}; Optuna's storage {said}, {trial.state.name}, {trial.value}"
        if outcome.val_scores_sha256 not in (None, trial.user_attrs.get(SCORES)):  # without one the scores themselves are refused
            yield f"{folder.outcome.name} has the digest of other val scores than Optuna's storage; the same"
    curve = dict(read_points(folder.points))
    for step, value in trial.intermediate_values.items():
        there = curve.get(step, {}).get(metric or "", value)
        if step not in curve or there != value:
            yield f"{folder.points.name} has {curve.get(step, {}).get(metric or '')} at {step}; Optuna's storage {value}"
            return


def says_what_it_is_for(start: TrialStart, trial: FrozenTrial) -> bool:
    """Whether purpose and winner of a trial are those that it was queued with."""
    return (start.purpose, start.of) == (trial.user_attrs.get("purpose", "search"), trial.user_attrs.get("of"))


def _of_point(sweep: Sweep, trial: FrozenTrial) -> Iterator[str]:
    """Of a searched trial: whether the point that the searcher learns from is that of its settings."""
    config = trial.user_attrs["config"]
    names = ("task", "learning_rate", "head_multiplier", "outlier_sd")
    point = sweep.space.named({name: config[name] for name in names})
    if point != trial.params:
        yield f"Optuna's storage has the point {trial.params} for settings of the point {point}"
