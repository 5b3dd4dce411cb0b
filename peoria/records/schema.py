"""The files of a sweep's folder, each as a model: one writer and one reader, every field with its meaning and unit, a format version in each."""

import hashlib
import json
import operator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from peoria.config.trial import TrialConfig
from peoria.errors import RecordError
from peoria.plugins import Recorded
from peoria.records.json_file import read_json, write_json

FORMAT_VERSION: Final = 2
Purpose = Literal["search", "paper", "reseed", "subset"]
TrialStatus = Literal["done", "pruned", "diverged", "failed", "infeasible"]  # what interrupts a trial from outside is no end: it stays owed
SweepStatus = Literal["finished", "interrupted", "failed"]
MENDS_DEFINITION: Final = "peoria check NAME --repair moves it aside, and the command that ran the sweep writes it again"
_SEAL = "sha256"


class Record(BaseModel):
    """A file of the folder. What it holds beside its fields is refused, so that nothing is read past."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    sealed: ClassVar[bool] = False
    """Whether the file bears a digest of all that it says, so that an edit is seen by whoever reads it."""
    format_version: Literal[2] = FORMAT_VERSION
    """Of the folder's files; a folder without one is of format 0. Only this one is read."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """The record in ``path``.

        Raises:
            RecordError: it is not there, no JSON, of another format, not what this record holds, or of a sealed one not what was written.
        """
        found = read_json(path)
        version = found.get("format_version", 0) if isinstance(found, dict) else 0
        if type(version) is not int or version != FORMAT_VERSION:
            raise RecordError(
                f"{path}: format {str(version)[:20]}; this version of peoria reads format {FORMAT_VERSION}",
                hint="read it with the version that wrote it, or begin anew under another name or in another --home",
            )
        seal = found.pop(_SEAL, None) if cls.sealed else None
        try:
            record = cls.model_validate_json(json.dumps(found))  # as JSON, whose lists are tuples here, while "1" and true are no numbers
        except ValidationError as error:
            problems = [
                f"{path}: {'.'.join(repr(part)[:50].strip(chr(39)) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors()
            ]
            raise RecordError(*problems, hint="it is written whole by peoria; has somebody edited it?") from None
        if cls.sealed and seal != _seal(found):
            raise RecordError(f"{path}: edited since peoria wrote it; as it was written", hint=MENDS_DEFINITION)
        return record

    @classmethod
    def read_if_there(cls, path: Path) -> Self | None:
        """The record, or None where there is no such file; raises as `read`."""
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise RecordError(f"{path}: {error.strerror}; a file of a sweep's folder") from None
        return cls.read(path)

    def write(self, path: Path) -> None:
        """Whole or not at all, with sorted keys."""
        said = self.model_dump(mode="json")
        write_json(path, said | {_SEAL: _seal(said)} if self.sealed else said)


def _seal(said: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


class Environment(BaseModel):
    """The code, dependencies and machine that a process ran with; None where that cannot be known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    git_commit: str | None
    """Of peoria's own checkout."""
    git_dirty: bool | None
    """Whether tracked files differed from that commit."""
    lock_sha256: str | None
    """Of requirements.lock."""
    machine: str
    """System, processor, cores, accelerator."""
    cpu: str | None = None  # the processor's model
    python: str
    versions: dict[str, str]
    """By package."""


class SweepRecord(Record):
    """``sweep.json``: what the sweep asks, of which data, and where it ran."""

    sealed = True
    sweep_id: str
    """Drawn when the sweep was begun, hex: tells it from another of the same name. Optuna's study bears it too."""
    name: str
    question: str
    definition: dict[str, Any]
    """`Sweep.definition`: what makes it this sweep and no other."""
    trials: int
    """Finished or pruned trials of the searched space that are wanted."""
    pictures: Annotated[int | None, Field(exclude_if=lambda pictures: pictures is None)] = None
    """Train pictures that these may see, repeats counted: once those that have ended have seen as many, none is begun. None: any number."""
    shards: str
    """The packed set's folder, as given."""
    identity: str
    """Of the pictures and counts, hex; of a filter, its own."""
    control: str | None
    """The name of the control whose counts were reassigned; None: the real counts."""
    where: str | None
    """The filter; None: all pictures."""
    storage: str
    """``journal``, or the address of Optuna's database without its password."""
    environment: Environment
    """Of the last run."""
    environments: tuple[Environment, ...]
    """Every one that trials ran in, in order: a sweep may go on after an update."""
    started_at: float
    """Unix seconds."""
    tasks: tuple[str, ...]
    objective: str
    """What the searcher maximises on val: ``rank_mean`` or ``rho_views``."""
    se_objective: float
    """Its standard error on this val split, for a score that knows nothing."""
    val_keys_sha256: str
    """Of the keys of the val pictures, one a line."""
    num_train: int
    num_val: int
    plugin_texts: Annotated[Recorded, Field(exclude_if=operator.not_)] = ()
    """Of the files among the plugins that its definition names by digest."""
    picture_rule: Annotated[int, Field(exclude_if=lambda version: version == 2)] = 2
    """The version of the rule by which the packed set's pictures were made square, and by which any other is to be."""
    time_cutoff: str | None = None
    """The day before which the pictures of the question ``time`` were uploaded, ISO; None where it is not asked, or too few dates are known."""

    @property
    def seeds(self) -> int:
        """Fresh seeds that a winner's settings are trained with."""
        return int(self.definition.get("seeds", 0))


class PlannedWork(Record):
    """``plan.json``: what the sweep was to take, as it was known when it began."""

    identity: str
    """Of the pictures and counts, as in ``sweep.json``."""
    trainings: int
    """The searched ones, the paper's, and at most so many follow-ups."""
    pictures: int
    """Train pictures that they see, repeats counted, with the expected pruning."""
    device: str | None
    """That was probed; None: none was."""
    trial_seconds: float | None
    """Of all trainings, one after another, each beside those that share its device; None where none was probed."""
    planned_at: float
    """Unix seconds."""


class TrialStart(Record):
    """``trials/KEY/config.json``: a trial's settings, written before anything of it runs."""

    config: TrialConfig
    purpose: Purpose
    """``search``: drawn or queued; ``paper``: an experiment of the paper; ``reseed``: a candidate's settings with a fresh seed; ``subset``: the
    winner's on a part of train."""
    of: str | None = None
    """Of a follow-up (reseed, subset): the key of the searched trial whose settings it has."""
    label: str
    origin: str | None = None
    """Of a searched trial: the point by hand, the other sweep's trial, or the turn of the start-up, that it was queued as."""
    half_batch: bool = False
    """Whether its batch is half of the sweep's, because it did not fit into memory whole."""
    started_at: float
    """Unix seconds."""


class TrialWorker(Record):
    """``trials/KEY/worker.json``: the process that trains in the folder, or did so last."""

    pid: int
    host: str
    node: str
    """Ray's name of the node; without Ray the host."""
    started_at: float
    """Unix seconds."""
    rss_bytes: int
    """Of the process, before the trial took anything."""
    available_bytes: int
    """Of memory on the machine, then."""
    left_at: int | None = None
    """Pictures seen, where it wrote a checkpoint in mid-way because its node was taken away."""


class TrialSeen(Record):
    """``trials/KEY/.seen.json``: how far a trial under way is, at least; written in passing, for people alone."""

    step: int
    """Pictures seen since the worker began, or since the start where that was told at an evaluation."""


class TrialRungs(Record):
    """``trials/KEY/rungs.json``: of a trial that a repair let begin again, what was decided before; others were decided by it."""

    settings_sha256: str
    """`TrialConfig.sha256`."""
    decided: dict[str, str]
    """By rung, in pictures: ``kept`` or ``pruned``."""


class TrialOutcome(Record):
    """``trials/KEY/outcome.json``: how a trial ended."""

    status: TrialStatus
    """``failed``: by an exception of its own; ``infeasible``: more memory than there is, at half the batch too."""
    settings_sha256: str
    """Of the settings that it ended with, `TrialConfig.sha256`."""
    objective: float | None = None
    """Of the last evaluation on val; None of a trial that has none."""
    metrics: dict[str, float] = {}
    """Of the last evaluation, keys with the split."""
    error: str | None = None
    """Of one that did not end well, with the traceback."""
    pictures: int = 0
    """Of train that it has seen, repeats counted; 0 of an outcome that was written before they were counted."""
    val_scores_sha256: str | None = None
    """Of the file of val scores of a finished trial, hex."""
    ended_at: float
    """Unix seconds."""

    @model_validator(mode="after")
    def _done_has_an_objective(self) -> Self:
        if self.status == "done" and self.objective is None:
            raise ValueError("done without an objective")
        return self


class ModelCard(Record):
    """``trials/KEY/model.json``: what is needed to use a finished trial's weights."""

    config: TrialConfig
    task: dict[str, Any]
    """`FittedTask.state`: the task's constants and scale, fitted on train."""
    identity: str
    """Of the data that it was trained on, hex."""
    control: str | None
    """As in ``sweep.json``."""
    preprocessing: str
    """In words."""
    precision: dict[str, str]
    """Device, autocast, torch; how float32 was computed on a GPU; whose code beside torch's the net is of."""
    num_train: int
    """Pictures of the subset that it could learn from."""
    num_kept: int
    """Those of them that the outlier filter kept."""
    weights: dict[str, Any] | None
    """Source, digest and number of matched parameters of the starting weights; None: random ones."""
    objective: str
    metrics: dict[str, float]
    """Of val, keys with the split."""
    plugin_texts: Annotated[Recorded, Field(exclude_if=operator.not_)] = ()
    """Of the files among ``config.plugins``: whoever uses the model runs them."""
    model_sha256: str = ""
    """Of the file of weights, hex; `training.checkpoint.save_model` enters it."""


class BaselineRecord(Record):
    """``baselines/NAME/baseline.json``: a fitted baseline on val."""

    name: str
    label: str
    kind: Literal["trivial", "learned", "context"]
    metrics: dict[str, float]
    """Of val, keys with the split."""
    constants: dict[str, float]
    """Losses of a task's constants, by ``LOSS (CONSTANT)``."""
    val_scores_sha256: str | None = None
    """Of its file of val scores, hex; None of a constant, which has none."""


class BaselineNames(Record):
    """``baselines/done.json``: the baselines of the sweep, written when all are there."""

    names: tuple[str, ...]
    sha256: dict[str, str] = {}
    """By name: of its ``baseline.json``, hex."""


class RunState(Record):
    """``finished.json``: how the last run of the sweep ended; there is none while one is under way."""

    status: SweepStatus
    ended_at: float  # unix seconds
    reason: str = ""
    """Of one that did not finish: what ended it, in a line."""


class Holder(Record):
    """``holder.json``: the process that holds the sweep's lock, or held it last."""

    pid: int
    host: str
    since: str
    """Local time."""


class OpeningIntent(Record):
    """``report/opening.json``: that test is about to be opened, or was, and that what it showed is not stored yet; removed when it is."""

    sweep_id: str
    judged_sha256: str
    """Of what will be judged, see `verdict.opening`."""
    nonce: str
    """Drawn for this opening, hex."""

    @property
    def token(self) -> str:
        """What the entry in the packed set's record bears."""
        return f"{self.sweep_id}.{self.judged_sha256}.{self.nonce}"


class Progress(Record):
    """``.progress.json``: what the run under way, or the last one, runs on and waits for."""

    on: str
    """The cluster or machine, in words."""
    waiting: tuple[str, ...] = ()
    """Trials that were handed out and have no place yet."""
    why: str = ""
    """What they wait for, once they have waited for a while."""


class ReportRun(Record):
    """``report/run.json``: when and where a report was written; apart from the verdict, whose bytes must not depend on that."""

    written_at: str
    """Local time."""
    host: str
    pid: int
    environment: Environment
    """That the sweep ran in."""
