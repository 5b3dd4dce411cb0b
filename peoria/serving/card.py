"""What goes with an exported model: for machines (`ExportedModel`, model.json) and for people (README.md)."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from peoria.config.trial import TrialConfig
from peoria.records.schema import Environment, ModelCard, Record, SweepRecord
from peoria.records.selection import TARGET_METRICS, TARGET_WORDS
from peoria.records.trials import TrialRecord, read_trials
from peoria.records.whole import trial_scores
from peoria.serving.scorer import WinnerTarget, winner_for
from peoria.tasks import FittedTask, get_task
from peoria.training.checkpoint import check_model
from peoria.verdict.schema import Verdict
from peoria.verdict.sentences import FROZEN, all_said
from shards.manifest import PictureRule

NOT_A_MODEL = "not a model of anything"
# How a picture becomes a square, near enough, where peoria is not installed; `square.py` of a registered model is exact.
SNIPPET = """\
import io, sys
import numpy as np
import torch
from PIL import Image, ImageOps

def square(path):  # upright, RGB, the central square scaled to 256 x 256, through a JPEG as the sweep's own pictures
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    image = ImageOps.fit(image, (256, 256), Image.Resampling.BOX if min(image.size) >= 256 else Image.Resampling.BICUBIC)
    image.save(jpeg := io.BytesIO(), "JPEG", quality=90)
    return np.asarray(Image.open(jpeg))

program = torch.export.load("model.pt2").module()  # on the CPU; it takes any number of squares, uint8 [N, 256, 256, 3]
found = program(torch.from_numpy(np.stack([square(path) for path in sys.argv[1:]])))
for path, value, percentile in zip(sys.argv[1:], found["value"].tolist(), found["percentile"].tolist()):
    print(f"{path}: {value:.4g}, above {percentile:.0%} of the val pictures")
"""


class SeedSpread(BaseModel):
    """How far trainings of the same settings with fresh seeds differ."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    num: int
    """Fresh seeds that ended well."""
    metric: str
    """That the winner was chosen by, on val."""
    lowest: float
    highest: float
    place_sd: float | None
    """Standard deviation over them of one val picture's place among all, 0 to 1, in the mean over the pictures; None with fewer than two."""


class ExportedModel(Record):
    """``model.json``: what is needed to use an exported model, for machines."""

    sweep: str
    target: WinnerTarget
    """It is the winner for."""
    trial: str
    chosen: str
    """By what it won."""
    control: str | None
    """The name of the control whose counts were reassigned; then it is not a model of anything."""
    unit: str
    """Of a value."""
    formula: dict[str, str]
    """``score`` and ``value`` from the outputs of the net."""
    picture: dict[str, int]
    """How a picture becomes a square: `PictureRule`."""
    num_val: int
    val_quantiles: tuple[float, ...]
    """Scores of val pictures: number k is that of the share k/100; 101 of them."""
    seeds: SeedSpread | None
    model: ModelCard
    """The trial's own card: settings, task's state, preprocessing, metrics on val."""
    files: dict[str, str] = Field(default_factory=dict)
    """sha256 of the files beside it, hex."""
    torch: str = ""
    """Its version that ``model.pt2`` was written with."""


@dataclass(frozen=True)
class Described:
    """A winner as both cards tell of it."""

    sweep: SweepRecord
    winner: TrialRecord
    fitted: FittedTask
    scores: np.ndarray
    """Of the val pictures, float64 [num_val]."""
    verdict: Verdict | None
    """Where it stands for this winner."""
    card: ExportedModel

    @classmethod
    def of(cls, home: Path, name: str, target: WinnerTarget) -> "Described":
        """
        Raises:
            ReportError: no such sweep, or it has no winner for this target, or none yet.
            RecordError: its model or its scores are not there, or damaged.
        """
        folder, sweep, winner, choice = winner_for(home, name, target)
        model = check_model(winner.folder)
        fitted, scores = get_task(model.config.task, model.config.plugins).restore(model.task), trial_scores(winner.folder).views
        verdict = Verdict.read(folder.verdict) if folder.verdict.exists() else None
        if verdict is not None:
            judged = verdict.winners.views if target == "views" else verdict.winners.favorites
            if judged is None or judged.key != winner.key:
                verdict = None  # the sweep went on and another trial won: it has not been judged yet
        rule = PictureRule(version=sweep.picture_rule)
        card = ExportedModel(
            sweep=sweep.name,
            target=target,
            trial=winner.key,
            chosen=choice.said(target, winner.metrics),
            control=model.control,
            unit=fitted.quantity,
            formula=formula_of(fitted),
            picture=rule.model_dump(),
            num_val=len(scores),
            val_quantiles=tuple(np.quantile(scores, np.arange(101) / 100).tolist()),
            seeds=spread_of(read_trials(folder), winner, target),
            model=model,
        )
        return cls(sweep, winner, fitted, scores, verdict, card)

    def readme(self, forms: tuple[str, ...]) -> str:
        """The card for people.

        Args:
            forms: of the files beside it, see `peoria.serving.export.FILES`.
        """
        card, model, sweep = self.card, self.card.model, self.sweep
        config = model.config
        control = f" (control {model.control}: its counts were reassigned; {NOT_A_MODEL})" if model.control else ""
        judged = all_said(self.verdict) if self.verdict is not None else ["not yet judged on a test split (`peoria report`)"]
        lines = [
            f"# {sweep.name}, trial {self.winner.key}, {card.chosen}",
            "",
            *([f"**{NOT_A_MODEL.capitalize()}**: control {model.control}, whose counts were reassigned.", ""] if model.control else []),
            f"Network `{config.net}`, head `{config.head}`, task `{config.task}`, trained on {model.num_kept:,} pictures{_which(sweep, config)}.",
            *([FROZEN] if config.trunk == "frozen" else []),
            "",
            "## How good it is",
            "",
            *(f"- {line}" for line in judged),
            *([f"- {_said_of(card.seeds)}"] if card.seeds else []),
            "",
            "## Limits",
            "",
            "A score ranks pictures of the kind it was trained on. It says nothing of a single picture's worth, and what it credits to a picture can",
            "be its owner's fame or its age, unless the lines above say otherwise.",
            "",
            "## Input and output",
            "",
            "Pictures are made upright, their short side scaled to 256, cropped to 256×256 in the centre"
            f" and written as a JPEG of quality {card.picture['jpeg_quality']}; then 227×227. {model.preprocessing}",
            "",
            f"Output of the net, for a picture: {', '.join(f'`o[{i}]`' for i in range(self.fitted.num_outputs))}.",
            "",
            f"- score, by which pictures are ranked: `{card.formula['score']}`",
            f"- value, in {card.unit}: `{card.formula['value']}`",
            f"- percentile: the share of the {card.num_val:,} val pictures with a lower score; `val_quantiles` in model.json has their scores at"
            " 0, 1, … 100 %",
            *_use(forms),
            "",
            "## Identity",
            "",
            f"- data `{model.identity}`{control}",
            f"- code {_code(sweep.environment)}",
            f"- starting weights {model.weights['source'] if model.weights else 'random'}",
            f"- settings `{json.dumps(config.model_dump(mode='json'), sort_keys=True)}`",
            "",
        ]
        return "\n".join(lines)


def formula_of(fitted: FittedTask) -> dict[str, str]:
    """Score and value from the outputs ``o`` of the net, with their numbers."""
    scale = fitted.state().get("scale", {})
    fitted_to = f"o[0] * {scale.get('sd')!r} + {scale.get('mean')!r}"
    if scale.get("kind") == "log1p":
        fitted_to = f"expm1(clip({fitted_to}, 0, 30))"
    known = {
        "regression": ("o[0]", fitted_to),
        "hybrid": (fitted_to, "score"),
        "classification": ("o[1] - o[0]", "1 / (1 + exp(-score))"),
    }
    score, value = known.get(fitted.task, (f"by the code of task {fitted.task}, which model.pt2 holds",) * 2)
    return {"score": score, "value": value}


def spread_of(trials: list[TrialRecord], winner: TrialRecord, target: WinnerTarget) -> SeedSpread | None:
    """Of the winner's fresh seeds; None where none has ended well."""
    from scipy.stats import rankdata

    metric = TARGET_METRICS[target]
    seeds = [trial for trial in trials if trial.purpose == "reseed" and trial.of == winner.key and trial.status == "done" and metric in trial.metrics]
    if not seeds:
        return None
    values = [trial.metrics[metric] for trial in seeds]
    places = [rankdata(scores) / len(scores) for seed in seeds if seed.folder.val_scores.exists() for scores in [trial_scores(seed.folder).views]]
    place_sd = float(np.std(places, axis=0, ddof=1).mean()) if len(places) > 1 else None
    return SeedSpread(num=len(seeds), metric=metric, lowest=min(values), highest=max(values), place_sd=place_sd)


def _said_of(seeds: SeedSpread) -> str:
    one = seeds.num == 1
    spread = f"{seeds.lowest:+.3f}" if one else f"{seeds.lowest:+.3f} to {seeds.highest:+.3f}"
    said = f"trained again with {seeds.num} fresh seed{'' if one else 's'}: {seeds.metric} {spread}"
    return (
        said if seeds.place_sd is None else f"{said}; a val picture's place among the others then moves by {seeds.place_sd:.0%} (standard deviation)"
    )


def _use(forms: tuple[str, ...]) -> list[str]:
    lines = ["", "`model.safetensors` has the weights alone; its layers are those of peoria's net of that name."] if "safetensors" in forms else []
    if "onnx" in forms:
        lines += [
            "",
            "`model.onnx` is whole, with preprocessing: input `squares`, uint8 [N, 256, 256, 3] RGB; outputs `score`, `value`, `percentile`.",
        ]
    if "torch" in forms:
        lines += [
            "",
            "`model.pt2` is whole: layers, preprocessing and the formulas above. With torch and Pillow alone:",
            "",
            "```python",
            *SNIPPET.splitlines(),
            "```",
            "",
            "The squares of this snippet are near peoria's own, not equal to them: another filter scales, colour profiles are not applied, and what",
            "is transparent does not become white. `peoria predict` and a registered model are exact.",
        ]
    return lines


def title_of(card: ExportedModel) -> str:
    """A line for lists of models."""
    note = f"; {NOT_A_MODEL} (control {card.control})" if card.control else ""
    return f"Winner for {TARGET_WORDS[card.target]} of the sweep {card.sweep}{note}"


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
