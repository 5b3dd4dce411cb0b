"""Whether all that a sweep wrote is there, whole, and of one piece: its folder, its study, and the two with one another."""

from functools import partial

import optuna

from peoria.config.sweep import Sweep
from peoria.errors import RecordError, SweepError
from peoria.records.folder import SweepFolder, TrialFolder
from peoria.records.schema import Holder, OpeningIntent, RunState, SweepRecord
from peoria.records.selection import standings
from peoria.records.taken import TakenPoints
from peoria.records.trials import read_trials
from peoria.records.whole import lost_baselines, lost_trial_scores, said
from peoria.sweep.agreement import disagreements
from peoria.sweep.owed import sweep_of
from peoria.sweep.storage import open_storage
from peoria.sweep.study import create_studies, refuse_foreign, unsearched_name
from peoria.sweep.trial_store import NUM_KEPT_MODELS
from peoria.training.checkpoint import check_model


def problems_of(folder: SweepFolder, storage: str | None) -> list[str]:
    """What is wrong, a line each; [] of a sweep that can go on, or be judged, as it is. Changes nothing."""
    try:
        about = SweepRecord.read(folder.definition)
    except RecordError as error:
        return [*error.problems, "nothing else can be checked before the sweep's own command has written it again"]
    others = ((RunState, folder.finished), (Holder, folder.holder), (OpeningIntent, folder.opening), (TakenPoints, folder.taken))
    problems = [text for record, path in others for text in said(partial(record.read_if_there, path))]
    try:
        sweep = sweep_of(about)
        opened = open_storage(folder.journal, storage)[0]
        refuse_foreign(opened, folder, about.name)
        if not _has_study(opened, about.name):
            problems += [f"{folder.journal}: no study of this sweep"] if any(folder.path.glob("trials/*")) else []
        else:
            problems += disagreements(folder, sweep, *studies(opened, folder, sweep))
    except (RecordError, SweepError) as error:
        problems += error.problems
    return problems + _lost_models(folder) + lost_baselines(folder)


def refuse_edited(folder: SweepFolder) -> None:
    """As `peoria check` does it, where the journal beside the record can tell.

    Raises:
        RecordError: the sweep's record is not the one that the sweep was begun with.
        SweepError: the journal is not as it was written, or another sweep's.
    """
    about = SweepRecord.read(folder.definition)
    if about.storage == "journal" and folder.journal.exists():
        refuse_foreign(open_storage(folder.journal, None)[0], folder, about.name)


def studies(opened: optuna.storages.BaseStorage, folder: SweepFolder, sweep: Sweep) -> tuple[optuna.Study, optuna.Study]:
    return create_studies(opened, folder, sweep, sampler=optuna.samplers.RandomSampler(0), pruner=optuna.pruners.NopPruner())


def _has_study(opened: optuna.storages.BaseStorage, name: str) -> bool:
    return {name, unsearched_name(name)} <= {study.study_name for study in opened.get_all_studies()}


def keeps_model(folder: SweepFolder) -> list[TrialFolder]:
    """The trials whose weights and scores the report, or a user, may ask for."""
    trials = read_trials(folder)
    found = standings(trials)
    kept = {*found.by_objective[:NUM_KEPT_MODELS], *found.may_win(SweepRecord.read(folder.definition).seeds)}
    return [trial.folder for trial in trials if trial.status == "done" and (trial.purpose != "search" or trial.key in kept)]


def _lost_models(folder: SweepFolder) -> list[str]:
    try:
        kept = keeps_model(folder)
        done = [trial.folder for trial in read_trials(folder) if trial.status == "done"]
    except RecordError:
        return []  # said already
    models = [text for trial in kept for text in said(partial(check_model, trial))]
    return models + [text for trial in done for text in lost_trial_scores(trial, needed=trial in kept)]
