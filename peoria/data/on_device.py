"""Pictures that lie on the device which trains on them, and are cut there."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from peoria.data.images import CROP_PX, STORED_PX, ArrayPictures, Pictures, TakenPictures

PICTURE_BYTES = STORED_PX * STORED_PX * 3
AT_ONCE = 512  # pictures that are copied at a time


@dataclass(frozen=True)
class DevicePictures:
    """Some pictures of a split, decoded, on a device: what is cut there is byte for byte what `Pictures.crops` cuts."""

    pictures: Tensor  # uint8 [N, 256, 256, 3]
    rows: np.ndarray  # int64 [N], ascending: where they stand in the split

    @classmethod
    def of(cls, pixels: Pictures, rows: np.ndarray, device: torch.device) -> "DevicePictures | None":
        """``rows`` of ``pixels``, ascending; None where these are decoded each time."""
        source, at = pixels, rows
        while isinstance(source, TakenPictures):
            at = source.rows[at]
            source = source.pictures
        if not isinstance(source, ArrayPictures):
            return None
        array = np.asarray(source.array)
        found = torch.empty((len(at), STORED_PX, STORED_PX, 3), dtype=torch.uint8, device=device)
        for start in range(0, len(at), AT_ONCE):
            found[start : start + AT_ONCE] = torch.from_numpy(array[at[start : start + AT_ONCE]])
        return cls(found, rows)

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Where rows of the split lie in ``pictures``, int64."""
        return np.searchsorted(self.rows, rows)

    def crops(self, places: Tensor, augment: Tensor) -> Tensor:
        """Uint8 [B, 227, 227, 3]: of the pictures at ``places`` the crop at (y, x), mirrored or not; ``augment`` is (y, x, flip), int64 [B, 3]."""
        across = torch.arange(CROP_PX, device=places.device)
        y, x, flip = augment.unbind(1)
        ys = y[:, None] + across
        xs = x[:, None] + torch.where(flip[:, None] > 0, CROP_PX - 1 - across, across)
        return self.pictures[places[:, None, None], ys[:, :, None], xs[:, None, :]]
