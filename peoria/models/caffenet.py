"""CaffeNet, layer by layer as in Caffe's models/bvlc_reference_caffenet/train_val.prototxt, with the fillers of models/finetune_flickr_style."""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peoria.data.images import CROP_PX
from peoria.models.network import GlobalAverage, Trunk

# name: inputs, outputs, kernel, stride, padding, groups, bias filler
CONVOLUTIONS = {
    "conv1": (3, 96, 11, 4, 0, 1, 0.0),
    "conv2": (96, 256, 5, 1, 2, 2, 1.0),
    "conv3": (256, 384, 3, 1, 1, 1, 0.0),
    "conv4": (384, 384, 3, 1, 1, 2, 1.0),
    "conv5": (384, 256, 3, 1, 1, 2, 1.0),
}


class CaffePixels(nn.Module):
    """RGB crop to BGR, 0..255, minus the channel means of ImageNet (the mean image of the original is three numbers here)."""

    description = "BGR, 0..255, minus 104, 117, 123; 227x227 crop"
    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        # for a whole row of pixels: several times as fast on a CPU as three numbers that are broadcast
        self.register_buffer("mean", torch.tensor([104.0, 117.0, 123.0]).repeat(CROP_PX), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        bgr = torch.stack(pixels.unbind(-1)[::-1], -1)  # twice as fast as flip, which goes byte by byte
        return bgr.flatten(2).float().sub_(self.mean).unflatten(2, (CROP_PX, 3)).permute(0, 3, 1, 2)


class ResponseNorm(nn.Module):
    """Local response normalisation across 5 channels, alpha 1e-4, beta 0.75, k 1: nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0), four times as fast.

    The sum over a window of channels is a 1x1 convolution with a banded matrix of ones.
    """

    window: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        index = torch.arange(channels)
        window = ((index[:, None] - index[None, :]).abs() <= 2).float()
        self.register_buffer("window", window[:, :, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        root = (1.0 + 1e-4 / 5 * F.conv2d(images.square(), self.window)).rsqrt()
        return images * (root * root.sqrt())


def caffenet_trunk(head: str) -> Trunk:
    """227 -> conv1 55 -> pool 27 -> conv2 -> pool 13 -> conv3..5 -> pool 6 -> fc6 -> fc7.

    Pool before norm is what sets CaffeNet apart from AlexNet. Dropout 0.5 after relu6 and relu7. With ``pool``, the 256 maps of pool5 are averaged
    instead of fc6 and fc7.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (name, (inputs, outputs, kernel, stride, padding, groups, filler)) in enumerate(CONVOLUTIONS.items(), start=1):
        layers[name] = _filled(nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups), 0.01, filler)
        layers[f"relu{number}"] = nn.ReLU(inplace=True)
        if number in (1, 2, 5):
            layers[f"pool{number}"] = nn.MaxPool2d(3, 2, ceil_mode=True)
        if number in (1, 2):
            layers[f"norm{number}"] = ResponseNorm(outputs)
    if head == "pool":
        layers["average"] = GlobalAverage()
        return Trunk(nn.Sequential(layers), 256, CaffePixels(), head_name=None)
    layers["flatten"] = nn.Flatten()
    for number, inputs in ((6, 256 * 6 * 6), (7, 4096)):
        layers[f"fc{number}"] = _filled(nn.Linear(inputs, 4096), 0.005, 1.0)
        layers[f"relu{number}"] = nn.ReLU(inplace=True)
        layers[f"drop{number}"] = nn.Dropout(0.5)
    return Trunk(nn.Sequential(layers), 4096, CaffePixels(), head_name="fc8")


def _filled(layer: nn.Conv2d | nn.Linear, sd: float, bias: float) -> nn.Module:
    assert layer.bias is not None
    nn.init.normal_(layer.weight, std=sd)
    nn.init.constant_(layer.bias, bias)
    return layer
