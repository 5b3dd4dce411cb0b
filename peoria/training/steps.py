"""The two ways to train: the whole net on crops, or, where its trunk is frozen whole, the head alone on features that were computed once.

Either gives the loss of the batch at a position of the stream, decided by (seed, position) alone, and the outputs for all val pictures.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from peoria.config.trial import TrialConfig
from peoria.data.batches import Batches
from peoria.data.dataset import Dataset, SplitData
from peoria.data.images import CROP_PX
from peoria.data.prefetch import Prefetcher
from peoria.data.streams import TrialStream, generator, torch_seed
from peoria.models import PopularityNet
from peoria.tasks import FittedTask
from peoria.training.evaluate import forward_all
from peoria.training.frozen_features import CENTRE, FrozenTrunk

HEAD_BATCH = 8192  # pictures at a time in front of the head


class Steps(Protocol):
    """What a training run needs to know of its net and its pictures."""

    @property
    def trained(self) -> nn.Module:
        """What changes in training: all that a checkpoint has to hold."""

    def loss(self, position: int) -> Tensor:
        """Of the batch that starts after ``position`` pictures, with a graph behind it."""

    def outputs(self) -> np.ndarray:
        """For the centre crops of all val pictures, float64 [N, num_outputs]."""


@dataclass
class FineTuning:
    """Crops through the whole net."""

    net: PopularityNet
    fitted: FittedTask
    batches: Batches
    val: SplitData
    length: int  # of the stream, in pictures
    autocast: torch.dtype | None

    def __post_init__(self) -> None:
        size = self.batches.batch_size
        buffers = [((size, CROP_PX, CROP_PX, 3), np.dtype(np.uint8)), ((size,), self.batches.encoded.dtype)]
        self.feeder = Prefetcher(self._fill, buffers, self.net.head.weight.device, step=size, stop=self.length)

    @property
    def trained(self) -> nn.Module:
        return self.net

    def loss(self, position: int) -> Tensor:
        crops, encoded = self.feeder.batch(position)
        seed_dropout(torch_seed(self.batches.seed, TrialStream.DROPOUT, position), crops.device)
        images = self.net.preprocess(crops)
        with torch.autocast(crops.device.type, self.autocast, enabled=self.autocast is not None):
            return self.fitted.loss(self.net(images), encoded)

    def _fill(self, position: int, pixels: np.ndarray, targets: np.ndarray) -> int:
        crops, targets[:] = self.batches.fill(position, pixels)
        return len(crops)

    def outputs(self) -> np.ndarray:
        return forward_all(self.net, self.val.pixels, device=self.net.head.weight.device, autocast=self.autocast)


@dataclass
class LinearProbe:
    """Features through the head: the rows that :class:`FineTuning` would draw, each in one of its crops."""

    net: PopularityNet
    fitted: FittedTask
    batches: Batches
    length: int  # of the stream, in pictures
    train_features: np.ndarray  # float16 [N, crops, F]
    val_features: np.ndarray  # float16 [N, 1, F]

    def __post_init__(self) -> None:
        self._flat = self.train_features.reshape(-1, self.train_features.shape[2])
        size = self.batches.batch_size
        buffers = [((size, self.train_features.shape[2]), self.train_features.dtype), ((size,), self.batches.encoded.dtype)]
        self._feeder = Prefetcher(self._fill, buffers, self.net.head.weight.device, step=size, stop=self.length)

    @property
    def trained(self) -> nn.Module:
        return self.net.head

    def draw(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and their crops, int64 [batch_size] each."""
        rows, _ = self.batches.draw(position, position + self.batches.batch_size)
        crops = generator(self.batches.seed, TrialStream.FROZEN_CROP, position).integers(0, self.train_features.shape[1], size=len(rows))
        return rows, crops

    def loss(self, position: int) -> Tensor:
        features, encoded = self._feeder.batch(position)
        return self.fitted.loss(self._head(features), encoded)

    def outputs(self) -> np.ndarray:
        with torch.inference_mode():
            starts = range(0, len(self.val_features), HEAD_BATCH)
            parts = [self._head(torch.from_numpy(np.array(self.val_features[start : start + HEAD_BATCH, 0]))).cpu().numpy() for start in starts]
        return np.concatenate(parts).astype(np.float64)

    def _fill(self, position: int, features: np.ndarray, targets: np.ndarray) -> int:
        rows, crops = self.draw(position)
        np.take(self._flat, rows * self.train_features.shape[1] + crops, axis=0, out=features, mode="clip")  # "raise" would copy twice
        targets[:] = self.batches.encoded[rows]
        return len(rows)

    def _head(self, features: Tensor) -> Tensor:
        outputs: Tensor = self.net.head(features.to(self.net.head.weight.device).float())
        return outputs


def make_steps(
    config: TrialConfig, dataset: Dataset, net: PopularityNet, fitted: FittedTask, batches: Batches, autocast: torch.dtype | None
) -> Steps:
    """The head alone where nothing else can change, the whole net otherwise."""
    if not net.trunk_is_frozen:
        return FineTuning(net, fitted, batches, dataset.val, config.pictures, autocast)
    trunk = FrozenTrunk(net, config, dataset.identity)
    of_train = trunk.features(dataset.train, config.num_frozen_crops, dataset.cache, dataset.cache_bytes)
    of_val = trunk.features(dataset.val, CENTRE, dataset.cache, dataset.cache_bytes)
    return LinearProbe(net, fitted, batches, config.pictures, of_train, of_val)


def seed_dropout(seed: int, device: torch.device) -> None:
    """For this batch alone, so that what is dropped depends on its position. `torch.manual_seed` would look for every kind of device, 80 µs a
    batch."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
