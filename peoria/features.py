"""What a frozen trunk says of every picture: computed once a node, then mapped by every trial, which has only its head left to train."""

import hashlib
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from peoria.config import TrialConfig
from peoria.data import CROP_PX, Batches, SplitData, centre_crops
from peoria.errors import WeightsError
from shards.cache import built_once

if TYPE_CHECKING:
    import torch

    from peoria.models import PopularityNet

BATCH_SIZE = 100  # for each core: the activations of one batch take a few hundred MB
LARGEST = float(np.finfo(np.float16).max)
DTYPE = np.float16  # bfloat16 would tie scores, float32 changes no rank and takes twice the disk
CENTRE = 0  # for ``views``: no random crop but the one of a test


@dataclass(frozen=True)
class FrozenTrunk:
    """The trunk of ``net``, which lies where :func:`peoria.models.place` put it, in front of the pictures of one packed set."""

    net: "PopularityNet"
    config: TrialConfig
    identity: str  # of the packed set

    def features(self, split: SplitData, views: int, folder: Path | None, budget_bytes: int | None = None) -> np.ndarray:
        """Of ``views`` random crops (and flips) of each picture, float16 [N, views, F], read-only; of the centre crop where ``views`` is
        ``CENTRE``, [N, 1, F]. Row i is picture i of ``split``.

        The crops depend on the data alone, so all trials see the same. Built once into a file of ``folder``, named by a digest over all that
        decides the numbers; into memory where there is no folder. ``budget_bytes`` as :func:`shards.cache.built_once`.

        Raises:
            WeightsError: a feature that is not finite, or larger than float16 can hold.
            NoRoomError: the disk, or the budget, is too small.
        """
        shape = (len(split), max(views, 1), self.net.num_features)

        def fill(out: np.ndarray) -> None:
            _compute(self, split, views, out)

        if folder is None:
            found = np.empty(shape, DTYPE)
            fill(found)
            return found
        path = folder / f"{self.digest(split, views)}.f16"
        return np.asarray(built_once(path, DTYPE, shape, fill, what="features", budget_bytes=budget_bytes))

    def digest(self, split: SplitData, views: int) -> str:
        """Names the pictures (by the set and their keys in it), the trunk with its numbers, where and how it is run, and the crops."""
        import torch

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
            "views": views,
        }
        return hashlib.sha256(json.dumps(named, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def device(self) -> "torch.device":
        return self.net.head.weight.device

    @property
    def autocast(self) -> "torch.dtype | None":
        from peoria.models import precision

        return precision(self.config.net, self.device.type)[0]

    @cached_property
    def _weights(self) -> str:
        from peoria.models.weights import state_sha256

        return state_sha256(self.net.trunk.state_dict())


def views_seed(identity: str) -> int:
    """Of the crops, which belong to the data: the same for every trial, trunk and weights."""
    return int.from_bytes(hashlib.sha256(f"views/{identity}".encode()).digest()[:8], "big")


def _crops(split: SplitData, views: int, identity: str) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rows, their views and their crops: views 0, 1, … are the first, second, … pass of the stream that a trial of that seed would see."""
    num = len(split)
    if views == CENTRE:
        for start, crops in zip(range(0, num, BATCH_SIZE), centre_crops(split.pixels, BATCH_SIZE), strict=True):
            yield np.arange(start, start + len(crops)), np.zeros(len(crops), np.int64), crops
        return
    batches = Batches(split.pixels, np.zeros(num), np.arange(num), BATCH_SIZE, views_seed(identity))
    for start in range(0, num * views, BATCH_SIZE):
        positions = np.arange(start, min(start + BATCH_SIZE, num * views))
        rows, _ = batches.draw(start, start + BATCH_SIZE)
        crops, _ = batches.fill(start, np.empty((BATCH_SIZE, CROP_PX, CROP_PX, 3), np.uint8))
        yield rows[: len(positions)], positions // num, crops[: len(positions)]


def _compute(trunk: FrozenTrunk, split: SplitData, views: int, out: np.ndarray) -> None:
    """Batches side by side, one a core and each by one thread: the bits do not depend on the number of cores, and whoever else would train waits
    for this."""
    import torch

    net, device, autocast = trunk.net, trunk.device, trunk.autocast
    num_workers = len(os.sched_getaffinity(0)) if device.type == "cpu" else 1

    def forward(crops: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), torch.autocast(device.type, autocast, enabled=autocast is not None):
            return np.asarray(net.features(net.preprocess(torch.from_numpy(crops).to(device))).cpu().numpy())

    was_training, threads = net.training, torch.get_num_threads()
    net.eval()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(num_workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            crops = _crops(split, views, trunk.identity)
            while group := list(islice(crops, num_workers)):
                for (rows, view, _), found in zip(group, pool.map(forward, [batch for _, _, batch in group]), strict=True):
                    largest = float(np.abs(found).max())
                    if not largest <= LARGEST:  # not finite too
                        raise WeightsError(
                            f"weights: features of {trunk.config.net} up to {largest:g}; at most {LARGEST:,.0f} for a frozen trunk",
                            hint="other weights, another head, or trunk='trained'",
                        )
                    out[rows, view] = found
    finally:
        torch.set_num_threads(threads)
        net.train(was_training)
