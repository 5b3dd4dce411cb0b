"""A sweep's model as safetensors with a card."""

import json
import shutil
from pathlib import Path

from peoria.config.trial import TrialConfig
from peoria.records.schema import Environment, ModelCard, SweepRecord
from peoria.records.selection import said
from peoria.records.trials import TrialRecord
from peoria.serving.predict import winner_for_views
from peoria.training.checkpoint import load_model
from peoria.verdict.schema import Verdict
from peoria.verdict.sentences import FROZEN, all_said
from shards.files import write_atomic


def export(home: Path, name: str, out: Path) -> list[Path]:
    """The weights (safetensors) of the winner for views, its card for machines (model.json) and for people (README.md)."""
    folder, sweep, winner = winner_for_views(home, name)
    _, card = load_model(winner.folder)  # what cannot be loaded is not handed on
    verdict = Verdict.read(folder.verdict) if folder.verdict.exists() else None
    if verdict is not None and verdict.winners.views.key != winner.key:
        verdict = None  # the sweep went on and another trial won: it has not been judged yet
    out.mkdir(parents=True, exist_ok=True)
    files = [winner.folder.model, winner.folder.model_card]
    for file in files:
        shutil.copyfile(file, out / file.name)
    readme = out / "README.md"
    write_atomic(readme, model_card(sweep, winner, card, verdict).encode())
    return [*(out / file.name for file in files), readme]


def model_card(sweep: SweepRecord, winner: TrialRecord, card: ModelCard, verdict: Verdict | None) -> str:
    config, task = card.config, card.task
    control = f" (control {card.control}: its counts were reassigned; not a model of anything)" if card.control else ""
    units = {
        "regression": f"one output; `task.scale` in model.json turns it into {task['target']}",
        "classification": f"two outputs; the softmax of the second is the probability of {task['target']} >= 1",
        "hybrid": f"one output; `task.scale` in model.json turns it into the bin of {task['target']}, 0 for the least popular",
    }
    judged = all_said(verdict) if verdict is not None else ["not yet judged on a test split (`peoria report`)"]
    lines = [
        f"# {sweep.name}, trial {winner.key}, {said('views', winner.metrics)}",
        "",
        f"Network `{config.net}`, head `{config.head}`, task `{config.task}`, trained on {card.num_kept:,} pictures{_which(sweep, config)}.",
        *([FROZEN] if config.trunk == "frozen" else []),
        "",
        "## Input and output",
        "",
        f"Pictures are made upright, their short side scaled to 256, cropped to 256×256 in the centre, then 227×227. {card.preprocessing}",
        "",
        f"Output: {units.get(config.task, config.task)}.",
        "",
        "## How good it is",
        "",
        *(f"- {line}" for line in judged),
        "",
        "## Limits",
        "",
        "A score ranks pictures of the kind it was trained on. It says nothing of a single picture's worth, and what it credits to a picture can be",
        "its owner's fame or its age, unless the lines above say otherwise.",
        "",
        "## Identity",
        "",
        f"- data `{card.identity}`{control}",
        f"- code {_code(sweep.environment)}",
        f"- starting weights {card.weights['source'] if card.weights else 'random'}",
        f"- settings `{json.dumps(config.model_dump(mode='json'), sort_keys=True)}`",
        "",
    ]
    return "\n".join(lines)


def _code(environment: Environment) -> str:
    """The commit; of code that was installed from a wheel, its version."""
    if environment.git_commit is None:
        return f"peoria {environment.versions.get('peoria', 'of an unknown version')}, not from a checkout"
    return f"`{environment.git_commit}`{' with changes' if environment.git_dirty else ''}"


def _which(sweep: SweepRecord, config: TrialConfig) -> str:
    """Of which pictures, and in which order, where that is not all of train in a new order each pass."""
    parts = [f"of those with {sweep.where}" if sweep.where else "", f"the subset {config.subset}" if config.subset else ""]
    parts.append("each pass in the same order" if config.order == "fixed" else "")
    return "".join(f", {part}" for part in parts if part)
