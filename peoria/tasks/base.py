"""What a task has to bring: a loss, a head, a score, and the constants that any network must beat."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from peoria.data.targets import SHORT, TargetScale

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Constant:
    """A predictor that never looks at a picture: its outputs for N pictures, in the task's own unit (views, probability, bin)."""

    name: str
    prediction: np.ndarray  # float64 [N]


class Task(ABC):
    """How popularity is posed as a learning problem. Stateless; what is learnt from train lives in a :class:`FittedTask`."""

    name: str
    default_target: str

    @abstractmethod
    def fit(self, uncut: np.ndarray, kept: np.ndarray, scale: TargetScale, target: str) -> "FittedTask":
        """Learns what the task needs from train.

        Args:
            uncut: the target of every training picture, float64 [N]; edges and constants come from these.
            kept: the target of those that stay after the outlier filter; only the scaling inside the model comes from these.
        """

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> "FittedTask":
        """The fitted task that :meth:`FittedTask.state` came from."""


class FittedTask(ABC):
    """A task that has seen train."""

    task: str
    target: str
    num_outputs: int
    reference: str  # the constant that ``val/d2`` compares with

    @property
    def unit(self) -> str:
        """How metric names write the target."""
        return SHORT[self.target]

    @abstractmethod
    def encode(self, y: np.ndarray) -> np.ndarray:
        """What the loss compares with, [N]: float32, or int64 for classes."""

    @abstractmethod
    def loss(self, outputs: "Tensor", encoded: "Tensor") -> "Tensor":
        """The mean loss of a batch, a scalar: outputs float32 [B, num_outputs], encoded [B]."""

    @abstractmethod
    def predict(self, outputs: np.ndarray) -> np.ndarray:
        """Outputs [N, num_outputs] to the prediction in the task's own unit (views, probability, bin), float64 [N]."""

    def score(self, outputs: np.ndarray) -> np.ndarray:
        """The one number a picture is ranked by, float64 [N]; higher means more popular."""
        return self.predict(outputs)

    @abstractmethod
    def losses(self, prediction: np.ndarray, y: np.ndarray) -> dict[str, float]:
        """Native losses of predictions in the task's own unit; the first one is what ``d2`` is made of. Keys carry their unit."""

    @abstractmethod
    def constants(self, num_pictures: int, seed: int = 0) -> tuple[Constant, ...]:
        """The trivial predictors, learnt from unfiltered train."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """All that :meth:`Task.restore` needs, as plain JSON values."""
