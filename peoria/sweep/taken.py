"""`--from SWEEP`: points that a sweep begins with, taken from the trials of another one. All that is needed of that one is copied when the sweep is
begun, so that it may be gone afterwards.

A point is trained anew, with a seed of this sweep, unless it was trained before in just this way: then its trial is taken over, with its seed. It is
handed out as any other, finds the other trial's last checkpoint, which holds its whole curve, and ends with that.
"""

import os
import shutil
from pathlib import Path

import optuna

from peoria.config.space import RANGES_OF_A_TASK, Space
from peoria.config.sweep import Sweep
from peoria.config.trial import TrialConfig
from peoria.errors import ConfigError, RecordError, SweepError
from peoria.records.folder import SweepFolder, TrialFolder
from peoria.records.schema import SweepRecord, TrialOutcome
from peoria.records.taken import TakenPoint, TakenPoints
from peoria.records.trials import TrialRecord, read_trials
from peoria.records.whole import sha256_if_there
from peoria.sweep.provenance import environment
from peoria.sweep.resources import RunOptions, Say
from peoria.training.checkpoint import check_model

SEARCHED = ("task", *RANGES_OF_A_TASK, "outlier_sd")


def take(folder: SweepFolder, sweep: Sweep, options: RunOptions, identity: str, say: Say) -> None:
    """Of a sweep that is begun: takes the best points of ``options.start_from``, of each task as many as the sweep has random ones.

    Args:
        identity: of the data, with the filter.

    Raises:
        ConfigError: there is no such sweep, or nothing in it to begin with.
        SweepError: it is a control, or files of it are not what was written; names each.
    """
    name = options.start_from
    before = TakenPoints.read_if_there(folder.taken)
    if SweepRecord.read_if_there(folder.definition) is not None:
        if name is not None and (before is None or before.sweep != name):
            was = "without" if before is None else f"from {before.sweep}"
            raise SweepError(f"--from: {name}; this sweep was begun {was}, and goes on as it was begun", hint="give the sweep another name")
        return
    folder.taken.unlink(missing_ok=True)
    if name is None:
        return
    if Path(name).name != name or name == sweep.name:
        raise ConfigError(f"--from: {name!r}; the name of another sweep in {options.home}")
    if options.control is not None:
        raise ConfigError("--from with --control; a control begins with nothing that was learnt of real counts, and gives nothing to others")
    other = SweepFolder.of(options.home, name)
    about = SweepRecord.read_if_there(other.definition)
    if about is None:
        raise ConfigError(f"--from: {name}: no such sweep in {options.home}", hint="peoria list tells those there are")
    if about.control is not None:
        raise SweepError(f"--from: {name} is a control ({about.control}); its counts are reassigned, and its best points are of them")
    found = best(read_trials(other), sweep.space, sweep.startup_per_task)
    if not found:
        raise ConfigError(f"--from: {name}: no finished trial of it lies in the space of this sweep; at least one")
    alike = about.identity == identity and same_machine(about) and options.home_url is None and options.cluster is None
    shutil.rmtree(folder.taken_trials, ignore_errors=True)
    points = []
    for trial in found:
        point = {setting: getattr(trial.config, setting) for setting in SEARCHED}
        again = sweep.trial(point, seed=trial.config.seed, threads=options.cpus_per_trial)
        whole = alike and again.sha256 == trial.config.sha256 and is_kept(trial.folder, options)
        if whole:
            copy(trial.folder, folder.taken_trials / trial.key)
        points.append(TakenPoint(key=trial.key, **point, objective=reached(trial), seed=trial.config.seed if whole else None))
    TakenPoints(sweep=name, sweep_id=about.sweep_id, identity=about.identity, objective=about.objective, points=tuple(points)).write(folder.taken)
    num = sum(point.seed is not None for point in points)
    say(f"  from {name}: begins with its best {len(points)} points in this space{f'; {num} of them taken over as they were trained' if num else ''}")


def best(trials: list[TrialRecord], space: Space, num: int) -> list[TrialRecord]:
    """Of each task the ``num`` finished searched trials of the highest objective that lie in the space, the best first; none is moved into it."""
    there = [trial for trial in trials if trial.status == "done" and trial.purpose == "search" and lies_in(space, trial.config)]
    ranked = sorted(there, key=lambda trial: (-reached(trial), trial.key))
    of_task = {task: [trial for trial in ranked if trial.config.task == task][:num] for task in space.task}
    return [trial for trial in ranked if trial in of_task[trial.config.task]]


def reached(trial: TrialRecord) -> float:
    assert trial.objective is not None  # of one that is done
    return trial.objective


def lies_in(space: Space, config: TrialConfig) -> bool:
    if config.task not in space.task or config.outlier_sd not in space.outlier_sd:
        return False
    spans = {name: space.span(config.task, name) for name in RANGES_OF_A_TASK}
    return all(span.low <= getattr(config, name) <= span.high for name, span in spans.items())


def same_machine(about: SweepRecord) -> bool:
    """Whether all trials of a sweep ran with the code, the packages and the kind of machine that there are here."""
    here = environment()
    return not here.git_dirty and here.cpu is not None and all(one == here for one in about.environments)


def is_kept(trial: TrialFolder, options: RunOptions) -> bool:
    """Whether a finished trial still has all that a trial leaves, of such a device.

    Raises:
        SweepError: it has, and a file is not what was written.
    """
    if not all(path.exists() for path in kept_files(trial)):
        return False
    try:
        card = check_model(trial)
    except RecordError as error:
        raise SweepError(*[f"--from: {problem}" for problem in error.problems], hint=f"peoria check {trial.path.parents[1].name}") from None
    scores, outcome = sha256_if_there(trial.val_scores), TrialOutcome.read(trial.outcome)
    if scores != outcome.val_scores_sha256:
        raise SweepError(f"--from: {trial.val_scores}: not the scores that were written; they are taken over whole or not at all")
    return (card.precision.get("device") == "cuda") == (options.gpus_per_trial > 0)


def kept_files(trial: TrialFolder) -> tuple[Path, ...]:
    """The last report with the whole curve, and what is finished."""
    return trial.checkpoint, trial.val_scores, trial.model, trial.model_card


def copy(trial: TrialFolder, to: Path) -> None:
    to.mkdir(parents=True)
    for path in kept_files(trial):
        shutil.copyfile(path, to / path.name)


def enqueue_taken(searched: optuna.Study, folder: SweepFolder, sweep: Sweep) -> None:
    """Queues the points that were taken and are not queued yet, each once."""
    taken = TakenPoints.read_if_there(folder.taken)
    if taken is None:
        return
    origins = {t.user_attrs.get("origin") for t in searched.get_trials(deepcopy=False)}
    for point in taken.points:
        origin = f"from {taken.sweep} {point.key}{'' if point.seed is None else ', taken over'}"
        if origin not in origins:
            seed = {} if point.seed is None else {"seed": point.seed, "taken": point.key}
            settings = {name: getattr(point, name) for name in SEARCHED}
            searched.enqueue_trial(sweep.space.named(settings), user_attrs={"origin": origin, **seed})


def lay_down(trial: TrialFolder, key: str) -> None:
    """Puts what a trial that is taken over is to end with into its folder, before it begins."""
    trial.path.mkdir(parents=True, exist_ok=True)
    source = SweepFolder(trial.path.parents[1]).taken_trials / key
    for path in sorted(source.iterdir()):
        partial = trial.path / f".{path.name}.taken.tmp"
        shutil.copyfile(path, partial)
        os.replace(partial, trial.path / path.name)
