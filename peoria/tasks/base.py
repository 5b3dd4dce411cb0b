"""What a task has to bring: a loss, a head, a score, and the constants that any network must beat."""

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from peoria.data.targets import SHORT, Scale, TargetScale
from peoria.stats import metrics

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
    """A task that has seen train. N pictures, B of a batch; counts are float64, 0 or more."""

    task: str
    target: str
    num_outputs: int
    reference: str  # the constant that ``val/d2`` compares with

    @property
    def unit(self) -> str:
        """How metric names write the target."""
        return SHORT[self.target]

    @property
    def quantity(self) -> str:
        """What :meth:`predict` gives, in words: ``12.3 views``, ``0.4 probability of a favorite``."""
        return self.target.replace("_", " ")

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


@dataclass(frozen=True)
class CountTask(FittedTask):
    """A task whose prediction is the count itself. A task of one's own is a subclass with a ``loss``; everything else may be left as it is.

    As it stands: one output, which is the count on the trial's ``target_scale`` (standardised, unless the sweep shares another); ``encode`` and
    ``predict`` translate between that and counts, and both are replaced together for another link. What is learnt from train is ``scale``, ``mean``
    and ``median``.
    """

    default_target: ClassVar[str] = "views"
    task: str
    target: str
    scale: Scale
    """Of the pictures that the outlier filter kept: ``forward`` and ``inverse`` between counts and a unit of about 1."""
    mean: float
    """Of the counts of unfiltered train."""
    median: float

    num_outputs = 1
    reference = "mean"

    @classmethod
    def fit(cls, task: str, uncut: np.ndarray, kept: np.ndarray, scale: TargetScale, target: str) -> Self:
        """As :meth:`Task.fit`; replaced by a task with more fields of its own to learn."""
        return cls(task=task, target=target, scale=Scale.fit(scale, kept), mean=float(uncut.mean()), median=float(np.median(uncut)))

    def encode(self, y: np.ndarray) -> np.ndarray:
        return self.scale.forward(y).astype(np.float32)

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        return self.scale.inverse(outputs[:, 0])

    def score(self, outputs: np.ndarray) -> np.ndarray:
        """A single output itself, which has none of the ties of a prediction that was clipped; of several outputs the prediction."""
        return outputs[:, 0].astype(np.float64) if self.num_outputs == 1 else self.predict(outputs)

    def losses(self, prediction: np.ndarray, y: np.ndarray) -> dict[str, float]:
        return {f"half_mse_{self.unit}": metrics.half_mse(prediction, y), f"mse_{self.unit}": metrics.mse(prediction, y)}

    def constants(self, num_pictures: int, seed: int = 0) -> tuple[Constant, ...]:
        return (Constant("mean", np.full(num_pictures, self.mean)), Constant("median", np.full(num_pictures, self.median)))

    def state(self) -> dict[str, Any]:
        return asdict(self) | {"num_outputs": self.num_outputs}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        fields = {name: value for name, value in state.items() if name != "num_outputs"}
        return cls(**fields | {"scale": Scale(**state["scale"])})
