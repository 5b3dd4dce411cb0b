"""How a run is called and described in MLflow, and which forms its settings take there."""

import hashlib
import json
import math
from typing import Any

from peoria.config.trial import TrialConfig
from peoria.data.subsets import Subset
from peoria.records.schema import BaselineRecord, SweepRecord
from peoria.records.trials import TrialRecord
from peoria.redact import scrub, scrub_text
from peoria.tracking.curves import mlflow_name

MAX_CHARS = 500  # a value
MAX_NOTE_CHARS = 4000  # a description; MLflow takes tags of 5,000
MOST_NAME = 100  # letters of a data set's; MLflow takes 500
NOTE = "mlflow.note.content"  # what MLflow's pages show as a description
SHOWN = 10  # letters of a word that MLflow's page of comparison tells from another (mlflow#15484): it draws the rest as one
EXPERIMENT_NOTE = (
    "peoria: how much of a picture's popularity is in the picture. A run of role `sweep` is a sweep, with its verdict once it is reported; "
    "the runs below it are trials, the paper's points, trainings again with fresh seeds (`reseed`; `mean` is their mean and range), trainings on "
    "parts of train (`subset`), and baselines, which are level lines. Steps are pictures seen; of a sweep, trials that have ended."
)
ROLES = {"search": "trial", "paper": "paper", "reseed": "reseed", "subset": "subset"}  # by purpose
_SHARES = {0.125: "⅛", 0.25: "¼", 0.5: "½", 0.75: "¾"}
_KINDS = {
    "trivial": "a constant, or chance",
    "learned": "learnt from the pictures without a deep network of their own",
    "context": "learnt from what is known of an upload without its picture",
}


def trial_name(trial: TrialRecord) -> str:
    """Short, for MLflow shows some 14 letters, and unique within a sweep: ``0011``, ``0011 seed 5``, ``0011 ½ owners 2``, ``paper hybrid``."""
    key, of = trial.key, trial.of
    if trial.purpose == "paper":
        return key.replace("-", " ", 1)
    if of is None or not key.startswith(f"{of}-"):
        return key
    rest = key.removeprefix(f"{of}-")
    if trial.config.subset is None:
        return f"{of} {rest.replace('-', ' ')}"
    again = rest.removeprefix(trial.config.subset.replace(":", "-").replace("/", "-"))
    return key if again == rest else f"{of} {part_of_train(trial.config.subset)}{again.replace('-', ' ')}"


def part_of_train(subset: str | None) -> str:
    """``all``, ``½ owners``, ``0.8 pictures``, ``past``, ``control 2``."""
    if subset is None:
        return "all"
    part = Subset.parse(subset)
    if part.kind in ("owners", "pictures"):
        return f"{_SHARES.get(part.share, f'{part.share:g}')} {part.kind}"
    return "past" if part.kind == "before" else f"control {part.draw}"


def trial_note(trial: TrialRecord, step: int, objective: str, *, over: bool) -> str:
    """A description, in Markdown.

    Args:
        step: pictures seen so far.
        objective: its name.
        over: whether the sweep is, so that nothing runs.
    """
    what = {
        "search": "A trial of the search",
        "paper": "A point of the paper's, outside the searched space",
        "reseed": f"The settings of trial {trial.of}, trained again with a fresh seed",
        "subset": f"The settings of trial {trial.of}, trained on a part of train",
    }[trial.purpose]
    seen = f"after {step:,} of {trial.config.pictures:,} pictures"
    how = (
        "interrupted " + seen
        if trial.status == "running" and over
        else {
            "running": "under way",  # without a step: what changes with each point would be sent again with each
            "done": f"done, all {trial.config.pictures:,} pictures",
            "pruned": f"pruned {seen}: too far behind the others there, which is no failure",
            "diverged": f"diverged {seen}: its loss was no number any more",
            "failed": "failed",
            "infeasible": "infeasible: it needs more memory than there is, at half the batch too",
        }[trial.status]
    )
    reached = "" if trial.objective is None else f" Objective {trial.objective:+.3f} ({objective} on val)."
    error = (trial.error or "").strip().splitlines()
    why = f"\n\n`{error[-1]}`" if error and trial.status in ("failed", "infeasible") else ""
    named = what if trial.purpose == "reseed" else f"{what}: {trial.label}"  # whose label says the same
    return f"{named}.\n\n**{how[0].upper()}{how[1:]}.**{reached}{why}"


def baseline_note(about: BaselineRecord) -> str:
    return f"A baseline, {_KINDS[about.kind]}: {about.label}. Its lines are level: what a network has to be worth more than."


def trial_axes(config: TrialConfig) -> dict[str, str]:
    """Settings in a form that every page of MLflow draws right. By their names they are the first that its page of comparison chooses.

    That page tells words apart by their first `SHOWN` letters, and takes a setting for words where one run has a word; parallel coordinates leave
    runs out where words and numbers are mixed, and no page has a logarithmic axis for a setting.
    """
    cut = "no cut" if config.outlier_sd is None else f"{' ' if config.outlier_sd < 10 else ''}{config.outlier_sd:g} sd"  # in the order of the numbers
    return {
        "axis.filter": cut,
        "axis.log10_head_multiplier": f"{math.log10(config.head_multiplier):.3f}",
        "axis.log10_learning_rate": f"{math.log10(config.learning_rate):.3f}",
        "axis.net": told_apart(config.net),
        "axis.task": told_apart(config.task),
        "axis.train": told_apart(part_of_train(config.subset)),
    }


def sweep_axes(sweep: SweepRecord) -> dict[str, str]:
    """As `trial_axes`, for sweeps side by side."""
    return {
        "axis.control": told_apart(sweep.control or "none"),
        "axis.name": told_apart(sweep.name),
        "axis.shards": told_apart(set_name(sweep)),
        "axis.where": told_apart(scrub_text(sweep.where or "all")),
    }


def set_name(sweep: SweepRecord) -> str:
    """Of the packed set: the last part of its address, without what may stand there of a login or a signature."""
    return scrub_text(sweep.shards).rstrip("/").rsplit("/", 1)[-1][:MOST_NAME] or "shards"


def told_apart(word: str) -> str:
    """At most `SHOWN` letters, others for another word."""
    return word if len(word) <= SHOWN else f"{word[: SHOWN - 4]}~{hashlib.sha256(word.encode()).hexdigest()[:3]}"


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as ``outer.inner``, secrets hidden by their names."""
    found: dict[str, Any] = {}
    for key, value in scrub(values).items():
        name = f"{prefix}.{key}" if prefix else str(key)
        found |= flat(value, name) if isinstance(value, dict) else {name: value}
    return found


def as_params(values: dict[str, Any]) -> dict[str, str]:
    """Settings as MLflow takes them; None is a setting like any other."""
    return {mlflow_name(key): _text(value) for key, value in values.items()}


def as_tags(values: dict[str, Any]) -> dict[str, str]:
    return {mlflow_name(key): _text(value, MAX_NOTE_CHARS if key == NOTE else MAX_CHARS) for key, value in values.items() if value not in (None, "")}


def _text(value: Any, most: int = MAX_CHARS) -> str:
    """At most so many characters; of a long text the start and the end, where a traceback says what went wrong."""
    text = scrub_text(value) if isinstance(value, str) else json.dumps(scrub(value), sort_keys=True, ensure_ascii=False)
    return text if len(text) <= most else f"{text[: most // 5]} … {text[len(text) - most // 5 * 4 + 3 :]}"
