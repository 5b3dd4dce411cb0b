"""The files of a sweep's folder, each as a model: one writer and one reader, every field with its meaning and unit, a format version in each."""

import json
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from peoria.config.trial import TrialConfig
from peoria.errors import RecordError
from shards.files import write_atomic

FORMAT_VERSION: Final = 1
Purpose = Literal["search", "paper", "reseed", "subset"]
TrialStatus = Literal["done", "pruned", "diverged", "failed"]
SweepStatus = Literal["finished", "interrupted", "failed"]


class Record(BaseModel):
    """A file of the folder. What it holds beside its fields is refused, so that nothing is read past."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    format_version: Literal[1] = FORMAT_VERSION
    """Of the folder's files; a folder without one is of format 0, which is not read."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """The record in ``path``.

        Raises:
            RecordError: it is not there, no JSON, of another format, or not what this record holds.
        """
        found = read_json(path)
        version = found.get("format_version", 0) if isinstance(found, dict) else 0
        if type(version) is not int or version != FORMAT_VERSION:
            raise RecordError(
                f"{path}: format {str(version)[:20]}; this version of peoria reads format {FORMAT_VERSION}",
                hint="read it with the version that wrote it, or begin anew under another name or in another --home",
            )
        try:
            return cls.model_validate_json(json.dumps(found))  # as JSON, whose lists are tuples here, while "1" and true are no numbers
        except ValidationError as error:
            problems = [
                f"{path}: {'.'.join(repr(part)[:50].strip(chr(39)) for part in problem['loc'])}: {problem['msg']}" for problem in error.errors()
            ]
            raise RecordError(*problems, hint="it is written whole by peoria; has somebody edited it?") from None

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
        write_json(path, self.model_dump(mode="json"))


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
    python: str
    versions: dict[str, str]
    """By package."""


class SweepRecord(Record):
    """``sweep.json``: what the sweep asks, of which data, and where it ran."""

    name: str
    question: str
    definition: dict[str, Any]
    """`Sweep.definition`: what makes it this sweep and no other."""
    trials: int
    """Finished or pruned trials of the searched space that are wanted."""
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


class TrialStart(Record):
    """``trials/KEY/config.json``: a trial's settings, written before anything of it runs."""

    config: TrialConfig
    purpose: Purpose
    """``search``: drawn or queued; ``paper``: an experiment of the paper; ``reseed``: a winner's settings with a fresh seed; ``subset``: on a part of
    train."""
    of: str | None = None
    """Of a follow-up (reseed, subset): the key of the winner whose settings it has."""
    label: str
    started_at: float
    """Unix seconds."""


class TrialOutcome(Record):
    """``trials/KEY/outcome.json``: how a trial ended."""

    status: TrialStatus
    objective: float | None = None
    """Of the last evaluation on val; None of a trial that has none."""
    metrics: dict[str, float] = {}
    """Of the last evaluation, keys with the split."""
    error: str | None = None
    """Of one that failed or diverged, with the traceback."""
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
    """Device, autocast, torch; and how float32 was computed on a GPU."""
    num_train: int
    """Pictures of the subset that it could learn from."""
    num_kept: int
    """Those of them that the outlier filter kept."""
    weights: dict[str, Any] | None
    """Source, digest and number of matched parameters of the starting weights; None: random ones."""
    objective: str
    metrics: dict[str, float]
    """Of val, keys with the split."""


class BaselineRecord(Record):
    """``baselines/NAME/baseline.json``: a fitted baseline on val."""

    name: str
    label: str
    kind: Literal["trivial", "learned", "context"]
    metrics: dict[str, float]
    """Of val, keys with the split."""
    constants: dict[str, float]
    """Losses of a task's constants, by ``LOSS (CONSTANT)``."""


class BaselineNames(Record):
    """``baselines/done.json``: the baselines of the sweep, written when all are there."""

    names: tuple[str, ...]


class RunState(Record):
    """``finished.json``: how the last run of the sweep ended; there is none while one is under way."""

    status: SweepStatus
    ended_at: float
    """Unix seconds."""


class Holder(Record):
    """``holder.json``: the process that holds the sweep's lock, or held it last."""

    pid: int
    host: str
    since: str
    """Local time."""


class ReportRun(Record):
    """``report/run.json``: when and where a report was written; apart from the verdict, whose bytes must not depend on that."""

    written_at: str
    """Local time."""
    host: str
    pid: int
    environment: Environment
    """That the sweep ran in."""


def write_json(path: Path, value: Any) -> None:
    """Whole or not at all, with sorted keys; raises ValueError for NaN and infinity."""
    write_atomic(path, (json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """What is in a file of the folder, whatever it is.

    Raises:
        RecordError: it is not there, or no JSON: NaN, infinity and a key that stands twice are none either.
    """

    def refused(token: str) -> None:
        raise ValueError(f"{token} is no number")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key stands twice")
        return found

    try:
        return json.loads(path.read_bytes(), parse_constant=refused, object_pairs_hook=once)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}; a file of a sweep's folder") from None
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: not JSON ({str(error)[:100]}); it is written whole by `peoria sweep`") from None
