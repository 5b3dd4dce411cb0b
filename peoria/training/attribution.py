"""What in a picture moved its score: by how much the score falls where a patch is covered."""

from typing import TYPE_CHECKING

import numpy as np

from peoria.data.images import CROP_PX, Pictures
from peoria.tasks import FittedTask

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from peoria.models import PopularityNet

PATCH_PX = 45  # a fifth of the crop's side
STEP_PX = 13  # so that patches end with the crop: 15 x 15 of them
COARSE_PX = 26  # 8 x 8 of them, for many pictures: a large net takes 50 ms for each on a CPU
LEAST_SHOWN = 0.25  # sd of scores: where nothing moves a score by more, a map stays pale
_RED, _BLUE = np.array([202.0, 0, 32]), np.array([5.0, 113, 176])
AT_ONCE = 75  # covered copies that the net sees at a time


def shaded(pictures: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """The pictures in grey under red where something raised the score and blue where it lowered it, uint8 [K, H, W, 3].

    Args:
        pictures: uint8 RGB [K, H, W, 3].
        moved: [K, h, w], in sd of scores.
    """
    import cv2

    found = np.empty_like(pictures)
    for out, rgb, of in zip(found, pictures, moved, strict=True):
        strength = cv2.resize(of.astype(np.float32), rgb.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        strength /= max(LEAST_SHOWN, float(np.abs(strength).max()))
        grey = np.repeat(rgb.mean(axis=2, keepdims=True), 3, axis=2)
        colour = np.where(strength[..., None] > 0, _RED, _BLUE)
        share = 0.7 * np.abs(strength)[..., None]
        out[:] = np.rint(grey * (1 - share) + colour * share)
    return found


def occlusion(
    net: "PopularityNet", fitted: FittedTask, pictures: Pictures, device: "torch.device | None" = None, step_px: int = STEP_PX
) -> np.ndarray:
    """For each pixel of the centre crops, float32 [N, 227, 227]: how much lower the score is where it is covered, the mean over the patches that
    cover it (Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks"); positive where what is there raises the score.

    A patch is covered with the mean colour of its picture, so that what is shown is of something at this place and not of the whole picture's
    colour. In the unit of the score; for any net, for nothing is asked of it but its outputs. The net is left in evaluation mode.
    """
    import torch
    from captum.attr import Occlusion

    def score(pixels: "Tensor") -> "Tensor":
        outputs = net(net.preprocess(pixels.to(torch.uint8))).float()
        return torch.from_numpy(fitted.score(outputs.cpu().numpy().astype(np.float64)))

    net.eval()
    found = np.empty((len(pictures), CROP_PX, CROP_PX), np.float32)
    explain = Occlusion(score)
    for row in range(len(pictures)):
        crop = torch.from_numpy(np.array(pictures.centre(row, row + 1))).float()
        if device is not None:
            crop = crop.to(device)
        with torch.inference_mode():
            moved = explain.attribute(
                crop,
                sliding_window_shapes=(PATCH_PX, PATCH_PX, 3),
                strides=(step_px, step_px, 3),
                baselines=crop.mean(dim=(1, 2), keepdim=True).round().expand_as(crop),
                perturbations_per_eval=AT_ONCE,
            )
        found[row] = moved[0, :, :, 0].cpu().numpy()
    return found
