"""Classification: was the picture favourited at least once? Softmax over two classes (the paper, section 4.2)."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from peoria.data.targets import TargetScale
from peoria.errors import ConfigError
from peoria.stats import metrics
from peoria.tasks.base import Constant, FittedTask, Task

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class FittedClassification(FittedTask):
    target: str
    prior: float  # share of unfiltered train with a count of at least one
    task: str = "classification"
    num_outputs: int = 2
    reference: str = "prior"

    @property
    def quantity(self) -> str:
        return f"probability of a {self.target.rstrip('s')}"

    def encode(self, y: np.ndarray) -> np.ndarray:
        return (y >= 1).astype(np.int64)

    def loss(self, outputs: "Tensor", encoded: "Tensor") -> "Tensor":
        """Caffe's SoftmaxWithLoss: mean over the batch, natural logarithm."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs.float(), encoded)

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        return 1.0 / (1.0 + np.exp(-np.clip(self.score(outputs), -700.0, 700.0)))

    def score(self, outputs: np.ndarray) -> np.ndarray:
        return outputs[:, 1].astype(np.float64) - outputs[:, 0]  # the logit

    def losses(self, prediction: np.ndarray, y: np.ndarray) -> dict[str, float]:
        positive = y >= 1
        return {
            f"log_loss_{self.unit}": metrics.log_loss(prediction, positive),
            f"brier_{self.unit}": metrics.brier(prediction, positive),
            f"accuracy_{self.unit}": metrics.accuracy(prediction, positive),
        }

    def constants(self, num_pictures: int, seed: int = 0) -> tuple[Constant, ...]:
        majority = float(self.prior >= 0.5)
        return (Constant("prior", np.full(num_pictures, self.prior)), Constant("majority", np.full(num_pictures, majority)))

    def state(self) -> dict[str, Any]:
        return asdict(self)


class Classification(Task):
    name = "classification"
    default_target = "favorites"

    def fit(self, uncut: np.ndarray, kept: np.ndarray, scale: TargetScale, target: str) -> FittedClassification:
        prior = float((uncut >= 1).mean())
        if not 0 < prior < 1:
            raise ConfigError(f"classification: every training picture has {target} {'>= 1' if prior else '= 0'}; both classes are needed")
        return FittedClassification(target=target, prior=prior)

    def restore(self, state: dict[str, Any]) -> FittedClassification:
        return FittedClassification(**state)


TASK = Classification()
