"""What a frozen trunk says of every picture: computed once a node, then mapped by every trial, which has only its head left to train."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from peoria.config.trial import TrialConfig
from peoria.data.batches import Batches
from peoria.data.dataset import SplitData
from peoria.data.images import CROP_PX
from peoria.errors import WeightsError
from peoria.training.evaluate import fill_centre
from peoria.training.gpu import release_memory
from shards.cache.mapped import built_once
from shards.cpus import usable_cpus

if TYPE_CHECKING:
    import torch

    from peoria.models import PopularityNet

BATCH_SIZE = 100  # for each core: the activations of one batch take a few hundred MB
LARGEST = float(np.finfo(np.float16).max)
DTYPE = np.float16  # bfloat16 would tie scores, float32 changes no rank and takes twice the disk
CENTRE = 0  # for ``crops``: no random crop but the one of a test


@dataclass(frozen=True)
class FrozenTrunk:
    """The trunk of ``net``, which lies where :func:`peoria.models.to_device` put it, in front of the pictures of one packed set."""

    net: "PopularityNet"
    config: TrialConfig
    identity: str  # of the packed set
    runs_on: "torch.device | None" = None  # where the net is brought for features that are not in the cache; None: where it lies

    def features(self, split: SplitData, crops: int, folder: Path | None, budget_bytes: int | None = None) -> np.ndarray:
        """Of ``crops`` random crops (and flips) of each picture, float16 [N, crops, F], read-only; of the centre crop where ``crops`` is
        ``CENTRE``, [N, 1, F]. Row i is picture i of ``split``.

        The crops depend on the data alone, so all trials see the same. Built once into a file of ``folder``, named by a digest over all that
        decides the numbers; into memory where there is no folder. ``budget_bytes`` as :func:`shards.cache.mapped.built_once`.

        Raises:
            WeightsError: a feature that is not finite, or larger than float16 can hold.
            NoRoomError: the disk, or the budget, is too small.
        """
        shape = (len(split), max(crops, 1), self.net.num_features)

        def fill(out: np.ndarray) -> None:
            lay = self.net.head.weight.device
            try:
                move(self.net, self.config.net, self.device)
                _compute(self, split, crops, out)
            finally:
                move(self.net, self.config.net, lay)

        if folder is None:
            found = np.empty(shape, DTYPE)
            fill(found)
            return found
        path = folder / f"{self.digest(split, crops)}.f16"
        return np.asarray(built_once(path, DTYPE, shape, fill, what="features", budget_bytes=budget_bytes))

    def digest(self, split: SplitData, crops: int) -> str:
        """Names the pictures (by the set and their keys in it), the trunk with its numbers, where and how it is run, and the crops."""
        import torch

        from peoria.models import software

        others = software(self.config.net, self.config.plugins)
        named = {
            "identity": self.identity,
            "pictures": hashlib.sha256("\n".join(split.labels.keys.tolist()).encode()).hexdigest(),
            "net": self.config.net,
            "head": self.config.head,
            "preprocessing": self.net.preprocessing,
            "weights": self._weights,
            "device": self.device.type,
            "autocast": str(self.autocast),
            "torch": str(torch.__version__),
            "views": crops,  # the key is part of the names of files that exist
            **({"software": others} if others else {}),
        }
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def device(self) -> "torch.device":
        return self.runs_on or self.net.head.weight.device

    @property
    def autocast(self) -> "torch.dtype | None":
        from peoria.models import precision

        return precision(self.config.net, self.device.type)[0]

    @cached_property
    def _weights(self) -> str:
        from peoria.models.weights import state_sha256

        return state_sha256(self.net.trunk.state_dict())


def move(net: "PopularityNet", name: str, device: "torch.device") -> None:
    """Moves the net of that name where it does not lie yet; what it had on a GPU is given back."""
    from peoria.models import to_device

    if net.head.weight.device.type != device.type:
        to_device(net, name, device.type)
        release_memory()


def crops_seed(identity: str) -> int:
    """Of the crops, which belong to the data: the same for every trial, trunk and weights."""
    return int.from_bytes(hashlib.sha256(f"views/{identity}".encode()).digest()[:8], "big")


@dataclass(frozen=True)
class _Crops:
    """The crops of all pictures as one stream: crop 0, 1, … of each is of the first, second, … pass that a trial of that seed would see."""

    split: SplitData
    crops: int
    identity: str

    def __len__(self) -> int:
        return len(self.split) * max(self.crops, 1)

    @cached_property
    def _batches(self) -> Batches:
        num = len(self.split)
        return Batches(self.split.pixels, np.zeros(num), np.arange(num), BATCH_SIZE, crops_seed(self.identity))

    def places(self, start: int) -> tuple[np.ndarray, np.ndarray]:
        """Row, and number of the crop, of each of the batch at position ``start``."""
        positions = np.arange(start, min(start + BATCH_SIZE, len(self)))
        rows = positions if self.crops == CENTRE else self._batches.draw(start, start + BATCH_SIZE)[0][: len(positions)]
        return rows, positions // len(self.split)

    def fill(self, start: int, out: np.ndarray) -> int:
        """That batch into ``out`` (uint8 [BATCH_SIZE, 227, 227, 3]); the number of its crops."""
        num = min(BATCH_SIZE, len(self) - start)
        if self.crops == CENTRE:
            fill_centre(self.split.pixels, start, start + num, out)
        else:
            self._batches.fill(start, out)
        return num


def _compute(trunk: FrozenTrunk, split: SplitData, crops: int, out: np.ndarray) -> None:
    """On a CPU, batches side by side, one a core and each by one thread: the bits do not depend on the number of cores, and whoever else would
    train waits for this."""
    import torch

    from peoria.data.prefetch import Prefetcher

    net, device, autocast = trunk.net, trunk.device, trunk.autocast
    stream, buffer = _Crops(split, crops, trunk.identity), ((BATCH_SIZE, CROP_PX, CROP_PX, 3), np.uint8)
    starts = iter(range(0, len(stream), BATCH_SIZE))
    feeders = [Prefetcher(stream.fill, [buffer], device, step=BATCH_SIZE, stop=len(stream)) for _ in range(num_workers(device.type))]

    def forward(pixels: "torch.Tensor") -> np.ndarray:
        with torch.inference_mode(), torch.autocast(device.type, autocast, enabled=autocast is not None):
            return np.asarray(net.features(net.preprocess(pixels)).cpu().numpy())

    was_training, threads = net.training, torch.get_num_threads()
    net.eval()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(len(feeders), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            while group := list(islice(starts, len(feeders))):
                batches = [feeder.batch(start)[0] for feeder, start in zip(feeders, group, strict=False)]
                for start, found in zip(group, pool.map(forward, batches), strict=True):
                    largest = float(np.abs(found).max())
                    if not largest <= LARGEST:  # not finite too
                        raise WeightsError(
                            f"weights: features of {trunk.config.net} up to {largest:g}; at most {LARGEST:,.0f} for a frozen trunk",
                            hint="other weights, another head, or trunk='trained'",
                        )
                    out[stream.places(start)] = found
    finally:
        torch.set_num_threads(threads)
        net.train(was_training)


def num_workers(device_type: str) -> int:
    """How many batches are computed at once: one a core of a CPU, one on a GPU, where the next is made meanwhile."""
    return usable_cpus() if device_type == "cpu" else 1
