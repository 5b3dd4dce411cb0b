"""Hybrid: the Euclidean loss on the index of one of ten equally filled bins (the paper, section 4.3)."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from peoria.data.targets import Scale, TargetScale
from peoria.errors import ConfigError
from peoria.stats import metrics
from peoria.tasks.base import Constant, FittedTask, Task

if TYPE_CHECKING:
    from torch import Tensor

NUM_BINS = 10


def bin_edges(y: np.ndarray, num_bins: int = NUM_BINS) -> np.ndarray:
    """Inner edges of at most ``num_bins`` equally filled bins, float64 [≤ num_bins − 1].

    Equal counts stay in one bin, so where ties are many there are fewer bins than asked for, and they are not equally filled; the loss of
    guessing the mean bin is then not 4.125 but whatever it is on these pictures.
    """
    edges = np.unique(np.quantile(y, np.arange(1, num_bins) / num_bins, method="inverted_cdf"))
    return edges[edges < y.max()]


@dataclass(frozen=True)
class FittedHybrid(FittedTask):
    target: str
    edges: tuple[float, ...]  # a count on an edge belongs to the bin below it
    scale: Scale
    mean_bin: float
    median_bin: float
    task: str = "hybrid"
    num_outputs: int = 1
    reference: str = "mean bin"

    @property
    def num_bins(self) -> int:
        return len(self.edges) + 1

    @property
    def quantity(self) -> str:
        return f"bin of {self.target}"

    def bins(self, y: np.ndarray) -> np.ndarray:
        """Bin index of each count, int64 [N], 0 for the least popular."""
        return np.searchsorted(np.asarray(self.edges), y, side="left")

    def encode(self, y: np.ndarray) -> np.ndarray:
        return self.scale.forward(self.bins(y).astype(np.float64)).astype(np.float32)

    def loss(self, outputs: "Tensor", encoded: "Tensor") -> "Tensor":
        """Caffe's EuclideanLoss, 1/(2n) Σ (x − x̂)², so that a 2 taken for a 3 costs less than a 1 taken for an 8."""
        return 0.5 * (outputs[:, 0].float() - encoded).square().mean()

    def predict(self, outputs: np.ndarray) -> np.ndarray:
        return self.scale.inverse(outputs[:, 0])

    def losses(self, prediction: np.ndarray, y: np.ndarray) -> dict[str, float]:
        bins = self.bins(y)
        return {"half_mse_bin": metrics.half_mse(prediction, bins), "mse_bin": metrics.mse(prediction, bins)}

    def constants(self, num_pictures: int, seed: int = 0) -> tuple[Constant, ...]:
        random = np.random.default_rng(seed).integers(0, self.num_bins, num_pictures).astype(np.float64)
        return (
            Constant("mean bin", np.full(num_pictures, self.mean_bin)),
            Constant("median bin", np.full(num_pictures, self.median_bin)),
            Constant("random bin", random),
        )

    def state(self) -> dict[str, Any]:
        return asdict(self)


class Hybrid(Task):
    name = "hybrid"
    default_target = "views"

    def fit(self, uncut: np.ndarray, kept: np.ndarray, scale: TargetScale, target: str) -> FittedHybrid:
        edges = bin_edges(uncut)
        if not len(edges):
            raise ConfigError(f"hybrid: every training picture has the same {target}; at least two bins are needed")
        bins = np.searchsorted(edges, uncut, side="left")
        kept_bins = np.searchsorted(edges, kept, side="left").astype(np.float64)
        return FittedHybrid(
            target=target,
            edges=tuple(float(edge) for edge in edges),
            scale=Scale.fit("raw" if scale == "raw" else "standard", kept_bins),
            mean_bin=float(bins.mean()),
            median_bin=float(np.median(bins)),
        )

    def restore(self, state: dict[str, Any]) -> FittedHybrid:
        return FittedHybrid(**{**state, "scale": Scale(**state["scale"]), "edges": tuple(state["edges"])})


TASK = Hybrid()
