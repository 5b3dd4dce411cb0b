"""Regression: the count itself under Caffe's Euclidean loss (the paper, section 4.1)."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from peoria.data.targets import Scale, TargetScale
from peoria.stats import metrics
from peoria.tasks.base import Constant, FittedTask, Task

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FittedRegression(FittedTask):
    target: str
    scale: Scale
    mean: float
    median: float
    geometric_mean: float
    task: str = "regression"
    num_outputs: int = 1
    reference: str = "mean"

    def encode(self, y: np.ndarray) -> np.ndarray:
        return self.scale.forward(y).astype(np.float32)

    def loss(self, outputs: "Tensor", encoded: "Tensor") -> "Tensor":
        """Caffe's EuclideanLoss, 1/(2n) Σ (x − x̂)²: half the usual mean squared error."""
        return 0.5 * (outputs[:, 0].float() - encoded).square().mean()

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        return self.scale.inverse(outputs[:, 0])

    def score(self, outputs: np.ndarray) -> np.ndarray:
        return outputs[:, 0].astype(np.float64)  # the same order as the prediction, without the ties of its clipping

    def losses(self, prediction: np.ndarray, y: np.ndarray) -> dict[str, float]:
        return {
            f"half_mse_{self.unit}": metrics.half_mse(prediction, y),
            f"mse_{self.unit}": metrics.mse(prediction, y),
        }

    def constants(self, num_pictures: int, seed: int = 0) -> tuple[Constant, ...]:
        values = {"mean": self.mean, "median": self.median, "geometric mean": self.geometric_mean}
        return tuple(Constant(name, np.full(num_pictures, value)) for name, value in values.items())

    def state(self) -> dict[str, Any]:
        return asdict(self)


class Regression(Task):
    name = "regression"
    default_target = "views"

    def fit(self, uncut: np.ndarray, kept: np.ndarray, scale: TargetScale, target: str) -> FittedRegression:
        return FittedRegression(
            target=target,
            scale=Scale.fit(scale, kept),
            mean=float(uncut.mean()),
            median=float(np.median(uncut)),
            geometric_mean=float(np.expm1(np.log1p(uncut).mean())),
        )

    def restore(self, state: dict[str, Any]) -> FittedRegression:
        return FittedRegression(**{**state, "scale": Scale(**state["scale"])})


TASK = Regression()
