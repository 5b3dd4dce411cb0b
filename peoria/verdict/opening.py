"""An opening of the test split that outlasts its process: what was opened and never looked at is taken up, not counted twice."""

import hashlib
import json
import uuid
from collections.abc import Callable

from peoria.records.folder import SweepFolder
from peoria.records.schema import BaselineNames, OpeningIntent, SweepRecord, TrialOutcome
from peoria.sweep.mirror import Mirror
from peoria.training.checkpoint import check_model
from peoria.verdict.judged import Judged, signature
from peoria.verdict.vaults import NextVaults
from shards.files import sync_folder, told
from shards.read.openings import TestOpening, entries, open_test, openings

PURPOSE = "report"


def opened(choice: NextVaults, folder: SweepFolder, judged: Judged, say: Callable[[str], object], mirror: Mirror) -> TestOpening:
    """Opens vaults of test on record; or takes up this sweep's own opening, with its vaults, where its process ended before it stored what it found
    and the same is judged.

    The intent goes to the disk before the entry and away after the scores, and both bear what is judged and a number drawn for this opening: so
    scores that were stored and then lost, models that changed, and the entry of any other opening each need an opening more.

    Args:
        choice: of the vaults.
        mirror: of the record in a bucket, which has the intent before the opening.

    Raises:
        RecordError: the intent cannot be read, or a model.
        ReportError: as `Choice`.
        ShardsError: the opening cannot be entered, or nothing is sealed.
    """
    sweep, at = choice.sweep, choice.shard_set.at
    before = left_open(choice, folder, judged)
    if before is not None:
        say(f"opening {before.number} of this test set, taken up: the process that opened it ended before it stored what it found")
        return before
    choice(entries(at))  # refused before anything is written
    intent = OpeningIntent(sweep_id=sweep.sweep_id, judged_sha256=_sha256(folder, sweep, judged), nonce=uuid.uuid4().hex)
    intent.write(folder.opening)
    mirror.flush()
    mirror.confirm()
    opening = open_test(at, sweep=sweep.name, purpose=PURPOSE, token=intent.token, control=sweep.control or "", choose=choice)
    shown = choice.shown(opening, entries(at))
    say(f"opening {opening.number} of this test set: {shown.text}")
    if shown.num_sealed and shown.takes:
        say(f"  the next opening looks at others; --all would have looked at all at once, with intervals {1 / shown.wider:.2f} times as wide")
    return opening


def left_open(choice: NextVaults, folder: SweepFolder, judged: Judged, stored: int | None = None) -> TestOpening | None:
    """This sweep's last opening on record, where the intent in its folder is of that one and of what is judged now: its process may have ended before
    it stored what it found. ``stored`` is the opening whose scores are. Raises RecordError where the intent cannot be read, or a model."""
    intent = OpeningIntent.read_if_there(folder.opening)
    if intent is None or intent.sweep_id != choice.sweep.sweep_id:
        return None
    own = [opening for opening in openings(choice.shard_set.at) if opening.token.startswith(f"{intent.sweep_id}.")]
    last = own[-1] if own and own[-1].number != stored else None
    if last is None or (last.token, last.identity) != (intent.token, choice.shard_set.manifest.identity):
        return None
    return last if intent.judged_sha256 == _sha256(folder, choice.sweep, judged) else None


def closed(folder: SweepFolder) -> None:
    """What an opening showed is stored: it is not taken up any more."""
    if folder.opening.exists():
        with told(folder.opening, "a file that can be removed"):
            folder.opening.unlink()
            sync_folder(folder.opening.parent)


def _sha256(folder: SweepFolder, sweep: SweepRecord, judged: Judged) -> str:
    """Of all that is judged: the data, each trial with its settings, weights and scores, and the baselines."""
    trials = [*judged.winners.values(), *judged.paper, *(trial for again in judged.seeds.values() for trial in again), *judged.subsets]
    outcomes = {trial.key: TrialOutcome.read(trial.folder.outcome) for trial in trials}
    models = {trial.key: check_model(trial.folder).model_sha256 for trial in trials if trial.status == "done"}
    baselines = BaselineNames.read_if_there(folder.baselines_done)
    about = {
        **signature(sweep, judged),
        "trials": {key: [outcome.settings_sha256, outcome.val_scores_sha256, models.get(key)] for key, outcome in outcomes.items()},
        "baselines": {} if baselines is None else baselines.sha256,
    }
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
