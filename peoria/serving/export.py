"""A sweep's model as safetensors with a card."""

import json
import shutil
from pathlib import Path
from typing import Any

from peoria.records.trials import TrialRecord
from peoria.serving.predict import best_trial
from peoria.training.checkpoint import MODEL, MODEL_CARD
from peoria.verdict.sentences import FROZEN, all_said
from shards.files import write_atomic


def export(home: Path, name: str, out: Path) -> list[Path]:
    """The best model's weights (safetensors), its card for machines (model.json) and for people (README.md)."""
    folder, sweep, best = best_trial(home, name)
    out.mkdir(parents=True, exist_ok=True)
    for file in (MODEL, MODEL_CARD):
        shutil.copyfile(best.folder / file, out / file)
    verdict_path = folder / "report" / "verdict.json"
    verdict = json.loads(verdict_path.read_text()) if verdict_path.exists() else None
    write_atomic(out / "README.md", model_card(sweep, best, json.loads((best.folder / MODEL_CARD).read_text()), verdict).encode())
    return [out / MODEL, out / MODEL_CARD, out / "README.md"]


def model_card(sweep: dict[str, Any], best: TrialRecord, card: dict[str, Any], verdict: dict[str, Any] | None) -> str:
    config, task = card["config"], card["task"]
    control = f" (control {card['control']}: its counts were handed out anew; not a model of anything)" if card["control"] else ""
    units = {
        "regression": f"one output; `task.scale` in model.json turns it into {task['target']}",
        "classification": f"two outputs; the softmax of the second is the probability of {task['target']} >= 1",
        "hybrid": f"one output; `task.scale` in model.json turns it into the bin of {task['target']}, 0 for the least popular",
    }
    judged = all_said(verdict) if verdict is not None else ["not yet judged on a test split (`peoria report`)"]
    lines = [
        f"# {sweep['name']}, trial {best.key}",
        "",
        f"Network `{config['net']}`, head `{config['head']}`, task `{config['task']}`, trained on {card['num_kept']:,} pictures"
        f"{_which(sweep, config)}.",
        *([FROZEN] if config["trunk"] == "frozen" else []),
        "",
        "## Input and output",
        "",
        f"Pictures are made upright, their short side scaled to 256, cropped to 256×256 in the centre, then 227×227. {card['preprocessing']}",
        "",
        f"Output: {units.get(config['task'], config['task'])}.",
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
        f"- data `{card['identity']}`{control}",
        f"- code `{sweep['environment']['git_commit']}`{' with changes' if sweep['environment']['git_dirty'] else ''}",
        f"- starting weights {card['weights']['source'] if card['weights'] else 'random'}",
        f"- settings `{json.dumps(config, sort_keys=True)}`",
        "",
    ]
    return "\n".join(lines)


def _which(sweep: dict[str, Any], config: dict[str, Any]) -> str:
    """Of which pictures, and in which order, where that is not all of train in a new order each pass."""
    parts = [f"of those with {sweep['where']}" if sweep.get("where") else "", f"the subset {config['subset']}" if config.get("subset") else ""]
    parts.append("each pass in the same order" if config.get("order") == "fixed" else "")
    return "".join(f", {part}" for part in parts if part)
