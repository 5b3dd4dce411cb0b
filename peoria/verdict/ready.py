"""What has to hold before the test split is opened: an opening is spent for good, so nothing that it needs may turn out to be missing afterwards."""

import tempfile
from functools import partial
from pathlib import Path

from peoria.errors import RecordError, ReportError
from peoria.records.folder import SweepFolder
from peoria.records.points import last_val_metrics
from peoria.records.schema import SweepRecord, TrialOutcome
from peoria.records.selection import Choice, seed_key
from peoria.records.trials import TrialRecord
from peoria.records.whole import lost_baselines, lost_trial_scores, said
from peoria.sweep.check import refuse_edited
from peoria.training.checkpoint import load_model
from peoria.verdict.judged import Judged
from shards.cache.fetched import manifest_at
from shards.files import reserve, told

REPORT_BYTES = 16 << 20  # of scores, verdict, page and thumbnails, however small the set
BYTES_A_PICTURE = 1000  # of scores of all predictors


def refuse_without_winner(name: str, choice: Choice) -> None:
    """
    Raises:
        ReportError: a finished sweep has no winner for views, or what chooses the winners is not there; says why.
    """
    if choice.waits_for:
        raise ReportError(
            *(f"sweep {name}: {key}: not there; a candidate's settings with each fresh seed" for key in choice.waits_for),
            hint="they choose the winner, so test was not opened; the command that ran the sweep trains what is owed",
        )
    if "views" not in choice.winners:
        found = choice.passed_over or "no trial finished"
        raise ReportError(f"sweep {name}: {found}; one has to be judged", hint="see each trial's outcome.json")


def refuse_unready(folder: SweepFolder, sweep: SweepRecord, trials: list[TrialRecord], judged: Judged) -> None:
    """
    Raises:
        ReportError: a trial that is judged is missing, did not end, or its model is not the one that was trained; names all of them.
        RecordError: the sweep's record is not the one that it was begun with.
        SweepError: its journal is not as it was written.
        NoRoomError: what the report writes does not fit on the disk.
        FileError: it cannot be written to its folder.
    """
    refuse_edited(folder)
    asked = {*judged.choice.winners.values(), *(key for keys in judged.choice.candidates.values() for key in keys)}  # others were candidates once
    further = [trial for trial in trials if trial.purpose == "paper" or trial.of in asked]
    problems = [f"{trial.key}: {trial.status}; done or diverged" for trial in further if _owed(trial)]
    there = {trial.key for trial in trials}
    for winner in dict.fromkeys(trial.key for trial in judged.winners.values()):
        problems += [
            f"{key}: not there; the winner's settings with each fresh seed"
            for key in (seed_key(winner, number) for number in range(1, sweep.seeds + 1))
            if key not in there
        ]
    problems += [text for trial in trials for text in said(partial(_of_one_piece, trial))]
    by_key = {trial.key: trial for trial in trials}
    judged_ones = [by_key[key].folder for key in judged.keys if by_key[key].status == "done"]
    for trial in judged_ones:
        problems += said(partial(load_model, trial))
    for of in trials:
        if of.status == "done":
            problems += lost_trial_scores(of.folder, needed=of.folder in judged_ones)
    problems += said(folder.read_baselines) or lost_baselines(folder)
    if problems:
        raise ReportError(
            *(f"sweep {folder.name}: {problem}" for problem in problems),
            hint=f"test was not opened; the command that ran the sweep trains what is owed, peoria check {folder.name} --repair what was lost",
        )
    manifest = manifest_at(sweep.shards)
    num_test = sum(shard.num_pictures for shard in manifest.of_split(["test"]))
    reserve_room(folder.test_scores.parent, REPORT_BYTES + BYTES_A_PICTURE * num_test)


def _owed(trial: TrialRecord) -> bool:
    return trial.status not in ("done", "diverged")


def _of_one_piece(trial: TrialRecord) -> None:
    """What chooses the winners stands in the ends of trials: each is that of its own settings and curve."""
    outcome = TrialOutcome.read_if_there(trial.folder.outcome)
    if outcome is None or outcome.status not in ("done", "pruned"):
        return
    if outcome.settings_sha256 != trial.config.sha256 or outcome.metrics != last_val_metrics(trial.folder.points):
        raise RecordError(f"{trial.folder.outcome}: of other settings than {trial.folder.start.name}, or of another curve; the end of this trial")


def reserve_room(folder: Path, num_bytes: int) -> None:
    """Raises NoRoomError, or FileError where nothing can be written to it, unless a file of that size can be in the folder."""
    with told(folder, "a folder that the report can be written to", num_bytes=num_bytes, what="the report"):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            reserve(file.fileno(), num_bytes)
