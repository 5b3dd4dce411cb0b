"""The pictures of a split as networks and baselines see them, crop by crop, wherever they come from."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import local
from typing import Protocol

import numpy as np

from shards.read.on_demand import ShardReader

STORED_PX = 256
CROP_PX = 227
CENTRE_PX = (STORED_PX - CROP_PX) // 2  # 14, as Caffe's test crop
CENTRE = slice(CENTRE_PX, CENTRE_PX + CROP_PX)


class Pictures(Protocol):
    """What training, evaluation and baselines need of the pictures of a split; every implementation gives the same bytes."""

    def __len__(self) -> int: ...

    def crops(self, rows: np.ndarray, augment: np.ndarray, out: np.ndarray) -> None:
        """Into ``out`` (uint8 [≥ n, 227, 227, 3]) the crop of picture ``rows[i]`` at (y, x), mirrored or not; ``augment`` is (y, x, flip),
        int64 [n, 3]."""

    def centre(self, start: int, stop: int) -> np.ndarray:
        """The central crops of pictures ``start`` to ``stop``, uint8 [n, 227, 227, 3], contiguous."""


@dataclass(frozen=True)
class ArrayPictures:
    """Decoded pictures in an array, as a rule the mapped copy that a node keeps."""

    array: np.ndarray  # uint8 [N, 256, 256, 3] RGB

    def __len__(self) -> int:
        return len(self.array)

    def crops(self, rows: np.ndarray, augment: np.ndarray, out: np.ndarray) -> None:
        import cv2

        array = np.asarray(self.array)  # indexing a memmap itself costs more
        turned = np.empty((CROP_PX, CROP_PX, 3), np.uint8)  # small enough to stay in the cache of a core
        for i, (row, (y, x, flip)) in enumerate(zip(rows.tolist(), augment.tolist(), strict=True)):
            crop = array[row, y : y + CROP_PX, x : x + CROP_PX]
            if flip:
                crop = cv2.flip(crop, 1, dst=turned)  # numpy copies backwards pixel by pixel, ten times as slowly
            out[i] = crop

    def centre(self, start: int, stop: int) -> np.ndarray:
        return np.ascontiguousarray(self.array[start:stop, CENTRE, CENTRE])


@dataclass(frozen=True)
class ShardPictures:
    """Pictures that are decoded from the shards each time, where there is no room for the decoded copy."""

    reader: ShardReader
    _own: local = field(default_factory=local, init=False, repr=False, compare=False)  # a turned crop for each thread that decodes

    def __len__(self) -> int:
        return len(self.reader)

    def crops(self, rows: np.ndarray, augment: np.ndarray, out: np.ndarray) -> None:
        import cv2

        places = augment.tolist()

        def cut(i: int, picture: np.ndarray) -> None:
            y, x, flip = places[i]
            crop = picture[y : y + CROP_PX, x : x + CROP_PX]
            if flip:
                if not hasattr(self._own, "turned"):
                    self._own.turned = np.empty((CROP_PX, CROP_PX, 3), np.uint8)
                crop = cv2.flip(crop, 1, dst=self._own.turned)  # straight into ``out``, outside the core's cache, takes three times as long
            out[i] = crop

        self.reader.visit(rows, cut)

    def centre(self, start: int, stop: int) -> np.ndarray:
        return _centre(self, start, stop)


@dataclass(frozen=True)
class TakenPictures:
    """Some of the pictures of another source, in the order of ``rows``."""

    pictures: Pictures
    rows: np.ndarray  # int64 [n], rows of ``pictures``

    def __len__(self) -> int:
        return len(self.rows)

    def crops(self, rows: np.ndarray, augment: np.ndarray, out: np.ndarray) -> None:
        self.pictures.crops(self.rows[rows], augment, out)

    def centre(self, start: int, stop: int) -> np.ndarray:
        return _centre(self, start, stop)


def _centre(pictures: Pictures, start: int, stop: int) -> np.ndarray:
    rows = np.arange(start, min(stop, len(pictures)))
    out = np.empty((len(rows), CROP_PX, CROP_PX, 3), np.uint8)
    pictures.crops(rows, np.tile((CENTRE_PX, CENTRE_PX, 0), (len(rows), 1)), out)
    return out


def centre_crops(pixels: Pictures, batch_size: int) -> Iterator[np.ndarray]:
    """All pictures once, in order, cropped as for a test: uint8 [≤ batch_size, 227, 227, 3]."""
    for start in range(0, len(pixels), batch_size):
        yield pixels.centre(start, start + batch_size)
