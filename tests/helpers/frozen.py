"""Frozen trunks of the tiny net, and a part of a split."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from peoria.config.trial import TrialConfig
from peoria.data.dataset import SplitData
from peoria.data.images import Pictures
from peoria.models import PopularityNet, build
from tests.helpers.small import trial_config


def frozen_config(weights: Path, **changes: object) -> TrialConfig:
    return trial_config(**{"weights": str(weights), "trunk": "frozen", "learning_rate": 1e-3, "head_multiplier": 20.0, **changes})


def frozen_net(config: TrialConfig) -> PopularityNet:
    return build(config.net, num_outputs=1, weights=config.weights, trunk=config.trunk, seed=config.seed)[0]


@dataclass(frozen=True)
class SomePictures:
    """Some pictures of a split, in another order."""

    of: Pictures
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def crops(self, rows: np.ndarray, augment: np.ndarray, out: np.ndarray) -> None:
        self.of.crops(self.rows[rows], augment, out)

    def centre(self, start: int, stop: int) -> np.ndarray:
        return np.concatenate([self.of.centre(row, row + 1) for row in self.rows[start:stop].tolist()])


def part_of(split: SplitData, rows: np.ndarray) -> SplitData:
    return SplitData(SomePictures(split.pixels, rows), split.labels.take(rows))
