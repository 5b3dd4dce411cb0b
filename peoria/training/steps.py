"""The two ways to train: the whole net on crops, or, where its trunk is frozen whole, the head alone on features that were computed once.

Either gives the loss of the batch at a position of the stream, decided by (seed, position) alone, and the outputs for all val pictures.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor, nn

from peoria.config.trial import TrialConfig
from peoria.data.batches import Batches
from peoria.data.dataset import Dataset, SplitData
from peoria.data.images import CROP_PX
from peoria.data.on_device import PICTURE_BYTES, DevicePictures
from peoria.data.prefetch import Prefetcher
from peoria.data.streams import TrialStream, generator, torch_seed
from peoria.models import PopularityNet
from peoria.tasks import FittedTask
from peoria.training.evaluate import forward_all
from peoria.training.frozen_features import CENTRE, FrozenTrunk
from peoria.training.gpu import spare_bytes

CROP_BYTES = CROP_PX * CROP_PX * 3
RESIDENT_PASSES = 6  # over train: bringing a picture there costs what some five crops do (reckoned, not measured)
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
    compiled: bool = False

    def __post_init__(self) -> None:
        self.device = self.net.head.weight.device
        self.feeder = self._feeder(self._fill, ((CROP_PX, CROP_PX, 3), np.uint8))
        self._resident: DevicePictures | None = None
        self._forward = torch.compile(self._outputs, dynamic=False) if self.compiled else self._outputs
        self._held: list[Tensor] | None = None  # val's crops

    @property
    def trained(self) -> nn.Module:
        return self.net

    def loss(self, position: int) -> Tensor:
        return self.loss_of(*self.batch(position))

    def batch(self, position: int) -> tuple[Tensor, ...]:
        """What `loss_of` takes, on the device, of the batch at ``position``; what it drops is settled too."""
        found = self.feeder.batch(position)
        seed_dropout(torch_seed(self.batches.seed, TrialStream.DROPOUT, position), self.device)
        return found

    def loss_of(self, *batch: Tensor) -> Tensor:
        *places, encoded = batch
        crops = places[0] if self._resident is None else self._resident.crops(*places)
        outputs = self._forward(crops)
        with self._mixed():
            return self.fitted.loss(outputs, encoded)

    def _outputs(self, crops: Tensor) -> Tensor:
        images = self.net.preprocess(crops)
        with self._mixed():
            outputs: Tensor = self.net(images)
        return outputs

    def _mixed(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None)

    def settle(self) -> None:
        """Once a step has shown what it needs: where the pictures fit beside it, and each is seen often enough, they are brought to the device whole
        and cut there. Their crops are the same, so no bit depends on it."""
        rows = self.batches.rows
        if self.length >= RESIDENT_PASSES * len(rows) and len(rows) * PICTURE_BYTES <= spare_bytes():
            self.stay(DevicePictures.of(self.batches.pixels, rows, self.device))

    def stay(self, resident: DevicePictures | None) -> None:
        """From now on batches are cut from these."""
        if resident is not None:
            self._resident, self.feeder = resident, self._feeder(self._fill_places, ((), np.int64), ((3,), np.int64))

    def _feeder(self, fill: Callable[..., int], *of_each: tuple[tuple[int, ...], DTypeLike]) -> Prefetcher:
        size = self.batches.batch_size
        buffers = [((size, *shape), dtype) for shape, dtype in (*of_each, ((), self.batches.encoded.dtype))]
        return Prefetcher(fill, buffers, self.device, step=size, stop=self.length)

    def _fill(self, position: int, pixels: np.ndarray, targets: np.ndarray) -> int:
        crops, targets[:] = self.batches.fill(position, pixels)
        return len(crops)

    def _fill_places(self, position: int, places: np.ndarray, augment: np.ndarray, targets: np.ndarray) -> int:
        assert self._resident is not None
        rows, augment[:] = self.batches.draw(position, position + self.batches.batch_size)
        places[:], targets[:] = self._resident.places(rows), self.batches.encoded[rows]
        return len(rows)

    def outputs(self) -> np.ndarray:
        lying = 0 if self._resident is None else self._resident.pictures.nbytes
        if self._held is None and self.device.type == "cuda" and len(self.val) * CROP_BYTES <= spare_bytes(lying):
            self._held = []
        return forward_all(self.net, self.val.pixels, device=self.device, autocast=self.autocast, held=self._held)


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
        rows = self.batches.rows_at(position, position + self.batches.batch_size)
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
    config: TrialConfig,
    dataset: Dataset,
    net: PopularityNet,
    fitted: FittedTask,
    batches: Batches,
    autocast: torch.dtype | None,
    *,
    compiled: bool = False,
    features_on: torch.device | None = None,
) -> Steps:
    """The head alone where nothing else can change, the whole net otherwise.

    Args:
        compiled: whether the whole net's kernels are.
        features_on: runs a frozen trunk; None: where the net lies, which is where the head is trained.
    """
    if not net.trunk_is_frozen:
        return FineTuning(net, fitted, batches, dataset.val, config.pictures, autocast, compiled)
    trunk = FrozenTrunk(net, config, dataset.identity, features_on)
    of_train = trunk.features(dataset.train, config.num_frozen_crops, dataset.cache, dataset.cache_bytes)
    of_val = trunk.features(dataset.val, CENTRE, dataset.cache, dataset.cache_bytes)
    return LinearProbe(net, fitted, batches, config.pictures, of_train, of_val)


def seed_dropout(seed: int, device: torch.device) -> None:
    """For this batch alone, so that what is dropped depends on its position. `torch.manual_seed` would look for every kind of device, 80 µs a
    batch."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
