"""What nets of other packages, and of plugins, make of a crop: their own size, mean and standard deviation."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peoria.data.images import CROP_PX

IMAGENET_MEAN, IMAGENET_SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Pixels(nn.Module):
    """A crop, uint8 [B, 227, 227, 3], to float32 [B, 3, size, size]: RGB, /255, minus ``mean``, over ``sd``.

    224 is the centre of the crop; any other size is the whole crop, resized (bilinear, antialiased; on a CPU rounded to whole grey levels, which is
    several times as fast).
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, size: int = 224, mean: Sequence[float] = IMAGENET_MEAN, sd: Sequence[float] = IMAGENET_SD) -> None:
        super().__init__()
        self.size = int(size)
        mean, sd = tuple(map(float, mean)), tuple(map(float, sd))
        self.register_buffer("mean", 255 * torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("sd", 255 * torch.tensor(sd)[:, None, None], persistent=False)
        side = f"{self.size}x{self.size}"
        seen = f"centre {side} of the 227x227 crop" if self.size == 224 else f"227x227 crop resized to {side} (bilinear, antialiased)"
        self.description = f"RGB, {seen}, /255, minus {mean}, over {sd}"

    def forward(self, pixels: Tensor) -> Tensor:
        images = pixels.permute(0, 3, 1, 2)
        if self.size == 224:
            start = (CROP_PX - self.size) // 2
            images = images[:, :, start : start + self.size, start : start + self.size]
        elif self.size != CROP_PX:
            images = images.float() if pixels.device.type != "cpu" else images  # the uint8 kernel exists on the CPU only
            images = F.interpolate(images, size=(self.size, self.size), mode="bilinear", antialias=True)
        return images.float().sub_(self.mean).div_(self.sd)
