"""What every net of the study looks like from outside: pixels in, one row of outputs a picture, a trunk that may be frozen and a new last layer."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from peoria.data.images import CROP_PX


class Trunk(NamedTuple):
    """A net without its last layer: all that a net of the study, or of a plugin, has to give. Its weights are random when it is made, from torch's
    global random numbers; names of parameters decide the groups of the optimiser: those that end in ``bias`` learn twice as fast and without decay,
    others of one dimension (scales of normalisation) without decay."""

    module: nn.Module
    """Float32 [B, 3, h, w] to features [B, num_features]."""
    num_features: int
    pixels: nn.Module
    """Uint8 RGB crops [B, 227, 227, 3] to float32 [B, 3, h, w], as `Pixels`; with a ``description``, a line for the model card."""
    head_name: str | None = None
    """What files of weights call the layer that the new head replaces; None where the net has no such layer."""


class Undrawn(TorchFunctionMode):
    """Within it torch's initialisers leave parameters unset, for a net whose state dict is loaded whole. All else is filled as ever."""

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__ or func in (Tensor.uniform_, Tensor.normal_):
            filled = args[0] if args else kwargs["tensor"]
            if isinstance(filled, nn.Parameter):
                return filled
        return func(*args, **kwargs)


class GlobalAverage(nn.Module):
    """[B, C, h, w] to [B, C]; unlike nn.AdaptiveAvgPool2d, deterministic on CUDA too."""

    def forward(self, images: Tensor) -> Tensor:
        return images.mean(dim=(2, 3))


class PopularityNet(nn.Module):
    """``trunk`` (images to features), then ``head``, one new linear layer: weights gaussian with sd 0.01, bias 0 (Caffe's Flickr-style recipe).

    Attributes: ``num_features``, the inputs of ``head``; ``crop_px``, the side of the crops that ``preprocess`` takes.
    """

    crop_px = CROP_PX

    def __init__(self, trunk: Trunk, *, num_outputs: int) -> None:
        super().__init__()
        self.trunk = trunk.module
        self.pixels = trunk.pixels
        self.num_features = trunk.num_features
        self.head = nn.Linear(trunk.num_features, num_outputs)
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)
        self._kept_in_eval: tuple[nn.Module, ...] = ()

    @property
    def preprocessing(self) -> str:
        """What happens to a crop before the net sees it, in one line for the model card."""
        return str(self.pixels.description)

    def preprocess(self, pixels: Tensor) -> Tensor:
        """RGB uint8 [B, 227, 227, 3] to what the net wants, float32 [B, 3, h, w] (channels last in memory), on the device of ``pixels``."""
        assert pixels.dtype == torch.uint8, pixels.dtype
        assert pixels.shape[1:] == (CROP_PX, CROP_PX, 3), tuple(pixels.shape)
        with torch.no_grad():
            images: Tensor = self.pixels(pixels)
        return images

    def features(self, images: Tensor) -> Tensor:
        """[B, 3, h, w] to what the head sees, float32 [B, num_features]."""
        features: Tensor = self.trunk(images)
        return features.float()

    def forward(self, images: Tensor) -> Tensor:
        """[B, 3, h, w] to float32 [B, num_outputs]."""
        features = self.features(images)
        # Never in bfloat16, which tells 0.501 from 0.503 only: scores would be tied by the hundred, and ranks are what is measured.
        with torch.autocast(features.device.type, enabled=False):
            outputs: Tensor = self.head(features)
        return outputs

    @property
    def trunk_is_frozen(self) -> bool:
        """Whether the whole trunk is: then the features of a crop never change, and only the head is left to train."""
        return self._kept_in_eval == (self.trunk,)

    def trunk_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names (as in the trunk's own state dict) and parameters of everything below the head."""
        return self.trunk.named_parameters()

    def freeze(self, names: Iterable[str]) -> None:
        """Keep these entries of the trunk's state dict as they are.

        A layer that is frozen whole stays in evaluation mode, and so does everything, dropout included, once the whole trunk is frozen.
        """
        frozen = set(names)
        for name, parameter in self.trunk_parameters():
            parameter.requires_grad_(name not in frozen)
        state = [name for name in self.trunk.state_dict() if not name.endswith("num_batches_tracked")]
        # whole layers, with what lies in them: a block may hold a parameter of its own beside layers that are trained
        layers = {layer for layer in {name.rpartition(".")[0] for name in frozen.intersection(state)} if layer}
        whole = [layer for layer in sorted(layers) if frozen.issuperset(name for name in state if name.startswith(f"{layer}."))]
        self._kept_in_eval = (self.trunk,) if frozen.issuperset(state) else tuple(self.trunk.get_submodule(layer) for layer in whole)
        self.train(self.training)

    def train(self, mode: bool = True) -> "PopularityNet":
        """As usual, but what is frozen stays in evaluation mode: no dropout in front of a head on a frozen trunk, no running averages that move."""
        super().train(mode)
        for module in self._kept_in_eval:
            module.eval()
        return self
