"""A sweep's two studies in Optuna's storage, and whose they are: a study is found by its name, which two sweeps may share."""

import hashlib
import json
import socket
from dataclasses import asdict, dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from peoria.config.sweep import Sweep
from peoria.errors import RecordError, SweepError
from peoria.records.folder import SweepFolder
from peoria.records.schema import MENDS_DEFINITION, SweepRecord

DIVERGED_VALUE = -1.0  # told to the searcher; below anything that a ranking can reach
STATES = {
    "done": TrialState.COMPLETE,
    "diverged": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "infeasible": TrialState.FAIL,
}
SCORES = "val_scores_sha256"  # the attribute of a trial, as in its outcome
SEEN = "pictures"  # the attribute of a trial, as in its outcome
_MARK = "sweep"  # the attribute of a study


@dataclass(frozen=True)
class Mark:
    """What a study says of the sweep that made it."""

    sweep_id: str
    definition_sha256: str
    identity: str  # of the data
    started_at: float  # unix seconds
    host: str
    folder: str

    @classmethod
    def of(cls, folder: SweepFolder, about: SweepRecord) -> "Mark":
        return cls(
            about.sweep_id, definition_sha256(about.definition), about.identity, about.started_at, socket.gethostname(), str(folder.path.resolve())
        )


def definition_sha256(definition: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()


def unsearched_name(name: str) -> str:
    """Of the study of a sweep's further trials: a study of their own keeps the paper's points from the searcher, which would otherwise learn from
    settings outside its space."""
    return f"{name}/unsearched"


def read_mark(storage: optuna.storages.BaseStorage, name: str) -> Mark | None:
    """Of the study ``name``; None where there is no such study, or one that nothing was entered in yet.

    Raises:
        SweepError: a study that no sweep made, or that says of itself what no sweep says.
    """
    try:
        study = storage.get_study_id_from_name(name)
    except KeyError:
        return None
    found = storage.get_study_user_attrs(study).get(_MARK)
    if found is None and not storage.get_all_trials(study, deepcopy=False):
        return None
    try:
        return Mark(**found)
    except TypeError:
        raise SweepError(
            f"study {name!r}: made by something else, or by another version; one that a sweep of this version made",
            hint="give the sweep another name",
        ) from None


def refuse_foreign(storage: optuna.storages.BaseStorage, folder: SweepFolder, name: str) -> None:
    """
    Raises:
        SweepError: the study of this name is of another sweep than the folder's.
        RecordError: it is of this one, and the folder's record says something else of it than when it was begun.
    """
    about = SweepRecord.read_if_there(folder.definition)
    if about is None or (mark := read_mark(storage, name)) is None:
        return
    now = Mark.of(folder, about)
    below = getattr(storage, "inner", storage)  # of a storage in front of it
    begun_here = isinstance(below, optuna.storages.JournalStorage) and (mark.host, mark.folder) == (now.host, now.folder)
    if mark.sweep_id != now.sweep_id and not begun_here:
        raise foreign(name, mark)
    changed = [field for field in ("sweep_id", "definition_sha256", "identity") if getattr(mark, field) != getattr(now, field)]
    if changed:
        what = ", ".join(field.removesuffix("_sha256") for field in changed)
        raise RecordError(f"{folder.definition}: {what}: not as in the study that was begun with it; edited since", hint=MENDS_DEFINITION)


def foreign(name: str, mark: Mark) -> SweepError:
    return SweepError(
        f"sweep {name}: the storage has a study of this name, of the sweep that was begun in {mark.folder} on {mark.host}; each sweep has its own",
        hint=f"give this sweep another name, or go on with that one there; `optuna delete-study --study-name {name}` removes its study for good",
    )


def create_studies(
    storage: optuna.storages.BaseStorage,
    folder: SweepFolder,
    sweep: Sweep,
    *,
    sampler: optuna.samplers.BaseSampler,
    pruner: optuna.pruners.BasePruner,
) -> tuple[optuna.Study, optuna.Study]:
    """The study of the searched trials and that of all others; each begun where it is not there, and marked as this sweep's before anything is
    entered. Raises SweepError where the study of this name is another sweep's."""
    refuse_foreign(storage, folder, sweep.name)
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it says of each study whether it was there
    searched = optuna.create_study(study_name=sweep.name, storage=storage, direction="maximize", load_if_exists=True, sampler=sampler, pruner=pruner)
    unsearched = optuna.create_study(study_name=unsearched_name(sweep.name), storage=storage, direction="maximize", load_if_exists=True)
    about = SweepRecord.read_if_there(folder.definition)
    if about is not None and _MARK not in searched.user_attrs:
        searched.set_user_attr(_MARK, asdict(Mark.of(folder, about)))
    return searched, unsearched


def key_of(study: optuna.Study, trial: FrozenTrial | optuna.Trial) -> str:
    return str(trial.user_attrs.get("key", f"{trial.number:04d}"))


def was_pruned(trial: FrozenTrial) -> tuple[int, float] | None:
    """The step and value that the trial was pruned at, where that was decided of values that it has; one that was begun again has none yet."""
    decided = trial.user_attrs.get("rungs", {})
    found = [
        (int(step), trial.intermediate_values[int(step)]) for step in decided if decided[step] == "pruned" and int(step) in trial.intermediate_values
    ]
    return found[0] if found else None
