"""Whether the scores and baselines of a sweep are those that it wrote: the digest of each file stands in a record beside it, or in that above."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

from peoria.errors import PeoriaError, RecordError
from peoria.records.folder import BaselineFolder, SweepFolder, TrialFolder
from peoria.records.schema import BaselineNames, BaselineRecord, TrialOutcome
from peoria.records.val_scores import ValScores


def said(read: Callable[[], object]) -> tuple[str, ...]:
    """What reading something refuses, a line a problem."""
    try:
        read()
    except PeoriaError as error:
        return error.problems
    return ()


def sha256_if_there(path: Path) -> str | None:
    """Of a file, hex; None where there is none. Raises RecordError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}; a file of a sweep's folder") from None


def trial_scores(trial: TrialFolder) -> ValScores:
    """The val scores that a finished trial ended with.

    Raises:
        RecordError: they are not there, damaged, or not those that it wrote.
    """
    return _scores(trial.val_scores, TrialOutcome.read(trial.outcome).val_scores_sha256, "the scores of this trial")


def baseline_scores(baseline: BaselineFolder) -> ValScores:
    """As `trial_scores`, of a baseline."""
    return _scores(baseline.val_scores, BaselineRecord.read(baseline.record).val_scores_sha256, "the scores of this baseline")


def _scores(path: Path, written: str | None, what: str) -> ValScores:
    scores = ValScores.read(path)
    if (found := str(sha256_if_there(path))) != written:
        raise RecordError(f"{path}: sha256 {found[:16]}…; {'none' if written is None else f'{written[:16]}…'} was written; {what}")
    return scores


def lost_trial_scores(trial: TrialFolder, *, needed: bool) -> tuple[str, ...]:
    """What is wrong with the scores of a finished trial; those that are not ``needed`` may be gone."""
    return said(partial(trial_scores, trial)) if needed or trial.val_scores.exists() else ()


def lost_baselines(folder: SweepFolder) -> list[str]:
    """What is wrong with the baselines of a sweep; nothing while they are owed, in a sweep that is not finished."""
    try:
        done = BaselineNames.read_if_there(folder.baselines_done)
        if done is None:
            return [f"{folder.baselines_done}: not there; the baselines of a finished sweep"] if folder.is_finished() else []
    except RecordError as error:
        return list(error.problems)
    there = [baseline.path.name for baseline in folder.baselines()]
    return [text for name in dict.fromkeys((*done.names, *there)) for text in lost_baseline(done, folder.baseline(name))]


def lost_baseline(done: BaselineNames, baseline: BaselineFolder) -> tuple[str, ...]:
    """What is wrong with one of them."""
    if not baseline.record.exists():
        return (f"{baseline.record}: not there; a baseline of the sweep",)
    if baseline.path.name not in done.names:
        return (f"{baseline.record}: not among those of done.json; a baseline of the sweep",)
    try:
        record = BaselineRecord.read(baseline.record)
        if sha256_if_there(baseline.record) != done.sha256.get(baseline.path.name) or record.name != baseline.path.name:
            return (f"{baseline.record}: not the one that was written; the record of this baseline",)
    except RecordError as error:
        return error.problems
    if record.kind == "trivial" and record.val_scores_sha256 is None and not baseline.val_scores.exists():
        return ()  # a constant has none
    return said(partial(baseline_scores, baseline))
