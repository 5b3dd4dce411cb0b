"""Candidates that turn JPEGs or decoded pictures into batches of 256 random 227x227 crops. Each returns a round over the whole train split."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

BATCH_SIZE = 256
CROP_PX = 227
MEAN, SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
RoundOf = Callable[[], int]


def crop_transform() -> Callable[[Any], Any]:
    """PIL picture to a float32 crop, as torchvision documents it."""
    import torch
    from torchvision.transforms import v2

    torch.set_num_threads(1)
    return v2.Compose(
        [
            v2.PILToTensor(),
            v2.RandomCrop(CROP_PX),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, SD),
        ]
    )


def naive(root: str) -> RoundOf:
    """webdataset, PIL, torchvision v2 a picture: what its documentation shows."""
    import webdataset as wds

    from shards.read.shard_set import ShardSet

    urls = [str(Path(root) / shard.file) for shard in ShardSet(Path(root)).manifest.of_split(["train"])]
    transform = crop_transform()

    def run() -> int:
        data = wds.WebDataset(urls, shardshuffle=False).shuffle(1000).decode("pil").to_tuple("jpg", "json").map_tuple(transform, dict)
        return sum(len(images) for images, _ in data.batched(BATCH_SIZE))

    return run


class Normaliser:
    """uint8 batches to float32 in one reused buffer, mean and standard deviation a channel."""

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(1)
        # Laid out as a row of 227 x 3 values: six times as fast as broadcasting three values.
        self._scale = torch.tensor(SD).mul(255).reciprocal().repeat(CROP_PX)
        self._shift = -torch.tensor(MEAN).mul(255).repeat(CROP_PX) * self._scale
        self._buffer = torch.from_numpy(np.empty((BATCH_SIZE, CROP_PX, CROP_PX * 3), np.float32))  # numpy asks for large pages, torch does not

    def __call__(self, crops: np.ndarray) -> Any:
        import torch

        pictures = torch.from_numpy(crops).view(len(crops), CROP_PX, CROP_PX * 3)
        for picture, out in zip(pictures, self._buffer, strict=False):  # one by one they stay in the cache between the two steps
            torch.addcmul(self._shift, out.copy_(picture), self._scale, out=out)
        return self._buffer[: len(crops)]


def preprocess() -> Callable[[np.ndarray], Any]:
    """What peoria itself does on a CPU for the nets of torchvision."""
    import torch

    from peoria.models.torchvision_net import ImageNetPixels

    torch.set_num_threads(1)
    pixels = ImageNetPixels()
    return lambda crops: pixels(torch.from_numpy(crops))


def finisher(to: str) -> Callable[[np.ndarray], Any] | None:
    return {"uint8": lambda: None, "f32": Normaliser, "preprocessed": preprocess}[to]()


class Drawer:
    """Passes by peoria's own batches over ``num_rows`` rows that repeat the pictures; as many draws a round as there are pictures."""

    def __init__(self, pictures: Any, *, to: str, num_rows: int = 0) -> None:
        self._rows = np.arange(num_rows or len(pictures)) % len(pictures)
        self._num = len(pictures)
        self._buffer = np.empty((BATCH_SIZE, CROP_PX, CROP_PX, 3), np.uint8)
        self._finish = finisher(to)
        self._round = range(0, len(pictures) - BATCH_SIZE + 1, BATCH_SIZE)
        self._seen = 0
        self.draw_from(pictures)

    def draw_from(self, pictures: Any) -> None:
        from peoria.data.batches import Batches

        self._batches = Batches(pictures, np.zeros(self._num), self._rows, BATCH_SIZE, seed=1)

    def __call__(self) -> int:
        for _ in self._round:
            crops, _ = self._batches.fill(self._seen, self._buffer)
            if self._finish is not None:
                self._finish(crops)
            self._seen += BATCH_SIZE
        return len(self._round) * BATCH_SIZE


def first_pass(root: str, to: str) -> RoundOf:
    """peoria from JPEGs to batches, as on a node without room for the decoded copy: each shard is opened and checked anew in every round."""
    from peoria.data.images import ShardPictures
    from shards.read.on_demand import ShardReader
    from shards.read.shard_set import ShardSet

    shard_set = ShardSet(Path(root))  # labels are read once, whatever the pictures come from

    def opened() -> ShardPictures:
        return ShardPictures(ShardReader(shard_set, "train", threads=1))

    draw = Drawer(opened(), to=to)

    def run() -> int:
        draw.draw_from(opened())
        return draw()

    return run


def first_pass_with_copy(root: str, folder: str) -> RoundOf:
    """peoria's first trial on a new node: builds the decoded copy on disk and draws float32 batches from it."""
    from peoria.data.images import ArrayPictures
    from shards.cache.decoded import decoded
    from shards.read.shard_set import ShardSet

    def run() -> int:
        copy = Path(tempfile.mkdtemp(dir=folder))
        try:
            return Drawer(ArrayPictures(decoded(ShardSet(Path(root)), "train", copy)), to="f32")()
        finally:
            shutil.rmtree(copy)

    return run


def later_pass(root: str, cache: str, to: str, num_rows: int = 0) -> RoundOf:
    """peoria from the decoded copy to batches."""
    from peoria.data.images import ArrayPictures
    from shards.cache.decoded import decoded
    from shards.read.shard_set import ShardSet

    return Drawer(ArrayPictures(decoded(ShardSet(Path(root)), "train", Path(cache))), to=to, num_rows=num_rows)
