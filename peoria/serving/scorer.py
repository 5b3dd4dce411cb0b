"""Loaded models of a sweep: squares of pictures in, scores out, in the task's own unit and among those of val."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from peoria.data.images import ArrayPictures, Pictures
from peoria.errors import ReportError
from peoria.records.folder import SweepFolder
from peoria.records.schema import ModelCard, SweepRecord
from peoria.records.selection import TARGET_METRICS, TARGET_WORDS, Choice, choice_in
from peoria.records.trials import TrialRecord, read_trials
from peoria.records.whole import trial_scores
from peoria.tasks import FittedTask, get_task
from peoria.training.checkpoint import load_model
from peoria.training.evaluate import forward_all

if TYPE_CHECKING:
    from peoria.models import PopularityNet

WinnerTarget = Literal["views", "favorites"]


@dataclass(frozen=True)
class Scores:
    """Of N pictures, in their order."""

    value: np.ndarray
    """The prediction in the task's own unit, float64 [N]; see `Scorer.unit`."""
    score: np.ndarray
    """What pictures are ranked by, float64 [N]; higher is more popular."""
    percentile: np.ndarray
    """The share of val pictures with a lower score, float64 [N], 0 to 1."""


@dataclass(frozen=True)
class Scorer:
    """One trial's model on the CPU, in evaluation mode."""

    trial: TrialRecord
    net: "PopularityNet"
    card: ModelCard
    fitted: FittedTask
    known: np.ndarray
    """Scores of the val pictures, ascending, float64 [num_val]."""

    @classmethod
    def of_sweep(cls, home: Path, name: str, target: WinnerTarget = "views") -> "Scorer":
        """The winner for a target.

        Raises:
            ReportError: no such sweep, or it has no winner for it, or none yet.
            RecordError: the model or its scores are not there, or damaged.
        """
        return cls.of_trial(winner_for(home, name, target)[2])

    @classmethod
    def of_trial(cls, trial: TrialRecord) -> "Scorer":
        """Raises RecordError: the model or its scores are not there, or damaged."""
        net, card = load_model(trial.folder)
        return cls(trial, net, card, get_task(card.config.task, card.config.plugins).restore(card.task), np.sort(trial_scores(trial.folder).views))

    @property
    def unit(self) -> str:
        """Of `Scores.value`, in words."""
        return self.fitted.quantity

    def score(self, squares: np.ndarray) -> Scores:
        """
        Args:
            squares: uint8 RGB [N, 256, 256, 3], as `shards.images.square` makes them.
        """
        return self.scores_of(self.outputs(squares))

    def outputs(self, squares: np.ndarray) -> np.ndarray:
        """What the net itself says of squares as in `score`, float64 [N, num_outputs]; in float32, whatever the trial was trained in."""
        return self.seen(ArrayPictures(squares))[0]

    def seen(self, pictures: Pictures) -> tuple[np.ndarray, np.ndarray]:
        """`outputs`, and the features of the trunk that they come from, float32 [N, num_features]."""
        import torch

        if not len(pictures):
            return np.empty((0, self.fitted.num_outputs)), np.empty((0, self.net.num_features), np.float32)
        kept: list[np.ndarray] = []
        hook = self.net.trunk.register_forward_hook(lambda _module, _inputs, features: kept.append(features.float().numpy().copy()))
        try:
            outputs = forward_all(self.net, pictures, device=torch.device("cpu"), autocast=None)
        finally:
            hook.remove()
        return outputs, np.concatenate(kept)

    def scores_of(self, outputs: np.ndarray) -> Scores:
        """``outputs`` is float64 [N, num_outputs]."""
        score = self.fitted.score(outputs)
        return Scores(self.fitted.predict(outputs), score, np.searchsorted(self.known, score) / len(self.known))


def winner_for(home: Path, name: str, target: WinnerTarget) -> tuple[SweepFolder, SweepRecord, TrialRecord, Choice]:
    """The trial whose model is used, and how it was chosen.

    Raises:
        ReportError: no such sweep, or it has no winner for this target, or none yet.
    """
    folder = SweepFolder.of(home, name)
    sweep, trials = folder.read_definition(), {trial.key: trial for trial in read_trials(folder)}
    choice = choice_in(sweep, list(trials.values()))
    if target in choice.winners:
        return folder, sweep, trials[choice.winners[target]], choice
    found = choice.passed_over or "no trial finished"
    if target in choice.leaders:
        found = f"{choice.said(target, trials[choice.leaders[target]].metrics)}; no winner yet, which fresh seeds choose when the search is over"
    elif choice.leaders:
        found = f"no trial has {TARGET_METRICS[target]}, for val does not rank {TARGET_WORDS[target]}"
    raise ReportError(f"sweep {name}: {found}; a model is needed", hint=f"peoria status {name}")
