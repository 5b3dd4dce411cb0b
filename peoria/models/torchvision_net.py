"""Any classifier of torchvision by its registry name, without its last layer."""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn

from peoria.data.images import CROP_PX
from peoria.errors import ConfigError, WeightsError
from peoria.models.network import GlobalAverage, Trunk

INPUT_PX = 224
NUM_CLASSES = 1000  # of ImageNet, in every classifier of the registry
TOPS = ("avgpool", "classifier", "fc", "head", "heads")  # what follows the last feature map


class ImageNetPixels(nn.Module):
    """Centre 224x224 of the crop, RGB, /255, standardised with ImageNet's mean and sd."""

    description = "RGB, centre 224x224 of the 227x227 crop, /255, minus (0.485, 0.456, 0.406), over (0.229, 0.224, 0.225)"
    mean: Tensor
    sd: Tensor

    def __init__(self) -> None:
        super().__init__()
        # for a whole row of pixels: several times as fast on a CPU as three numbers that are broadcast
        self.register_buffer("mean", 255 * torch.tensor([0.485, 0.456, 0.406]).repeat(INPUT_PX), persistent=False)
        self.register_buffer("sd", 255 * torch.tensor([0.229, 0.224, 0.225]).repeat(INPUT_PX), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        start = (CROP_PX - INPUT_PX) // 2
        rows = pixels[:, start : start + INPUT_PX].flatten(2)[..., 3 * start : 3 * (start + INPUT_PX)]
        return rows.float().sub_(self.mean).div_(self.sd).unflatten(2, (INPUT_PX, 3)).permute(0, 3, 1, 2)


def torchvision_names() -> list[str]:
    from torchvision import models

    return list(models.list_models(module=models))


def torchvision_trunk(net: str, head: str, *, pretrained: bool) -> tuple[Trunk, str]:
    """The trunk, and where torchvision's own weights come from ("" unless ``pretrained``, the only case in which anything is downloaded).

    Args:
        net: one of `torchvision_names`.

    Raises:
        ConfigError: a ``pool`` head on a net that has no convolutional feature map.
        WeightsError: torchvision could not fetch its weights.
    """
    from torchvision import models

    source, options = "", dict[str, Any]()
    if net in ("googlenet", "inception_v3"):  # the auxiliary classifiers would come back as further outputs; unset, init_weights is a warning
        options = {} if pretrained and net == "googlenet" else {"aux_logits": False}
        options |= {} if pretrained else {"init_weights": True}
    if pretrained:
        enum = models.get_model_weights(net)
        source = str(enum["DEFAULT"].url)
        try:
            # torchvision itself unpickles what it fetched; a file that cannot be read without running code stops here.
            enum["DEFAULT"].get_state_dict(check_hash=True, weights_only=True)
            model = models.get_model(net, weights="DEFAULT", **options)
        except OSError as error:
            raise WeightsError(
                f"weights: torchvision cannot fetch {source} ({error}); a connection, or the file in {torch.hub.get_dir()}/checkpoints",
                hint="give the path of a file of weights, or leave weights out to start from random ones",
            ) from error
    else:
        model = models.get_model(net, weights=None, **options)
    name, num_features = _replace_last_layer(model)
    if head == "fc":
        return Trunk(model, num_features, ImageNetPixels(), head_name=name), source
    body = _convolutions(net, model)
    with torch.no_grad():
        num_features = body.eval()(torch.zeros(1, 3, INPUT_PX, INPUT_PX)).shape[1]
    return Trunk(body.train(), num_features, ImageNetPixels(), head_name=None), source


def _replace_last_layer(model: nn.Module) -> tuple[str, int]:
    """Put an identity where the classes were; gives the layer's name and its inputs.

    SqueezeNet's last layer is a 1x1 convolution in front of ReLU and a global average: what remains is the average of its feature map.
    """
    for name, module in reversed(list(model.named_modules())):
        if isinstance(module, nn.Linear) and module.out_features == NUM_CLASSES:
            model.set_submodule(name, nn.Identity())
            return name, module.in_features
        if isinstance(module, nn.Conv2d) and module.out_channels == NUM_CLASSES:
            model.set_submodule(name, nn.Identity())
            return name, module.in_channels
    raise AssertionError(f"no last layer of {NUM_CLASSES} classes in {type(model).__name__}")


def _convolutions(net: str, model: nn.Module) -> nn.Sequential:
    """The children up to the last feature map, under their own names, and a global average."""
    from torchvision import models

    if isinstance(model, models.VisionTransformer | models.MaxVit) or getattr(model, "transform_input", False):
        raise ConfigError(f"head: 'pool' with net {net!r}; 'fc', or a net that is a chain of convolutions with one last feature map")
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, child in model.named_children():
        if name in TOPS:
            break
        layers[name] = child
    if isinstance(model, models.DenseNet):
        layers["relu"] = nn.ReLU(inplace=True)  # a function call in the original
    layers["average"] = GlobalAverage()
    return nn.Sequential(layers)
