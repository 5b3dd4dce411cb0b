"""Any net of timm by its name there, without its classifier, from random numbers: nothing is ever downloaded for it."""

import difflib
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from peoria.errors import ConfigError
from peoria.models.network import Trunk
from peoria.models.pixels import Pixels

HINT = "pip install 'peoria[timm]'"


def timm_trunk(name: str, head: str) -> Trunk:
    """The trunk of ``timm:NAME``; a tag, as in ``resnet18.a1_in1k``, chooses the size, mean and sd that these weights were trained with.

    Raises:
        ConfigError: timm is not installed, an unknown name, or a ``pool`` head on a net that ends in no feature map.
    """
    timm = _timm()
    tagged = timm.list_pretrained()
    if name not in (names := timm.list_models()) and name not in tagged:
        near = difflib.get_close_matches(name, [*names, *tagged], n=3)
        raise ConfigError(
            f"net: 'timm:{name}'; timm:NAME, or timm:NAME.TAG, of timm {timm.__version__} ({len(names):,} names, such as timm:resnet18)",
            hint=f"did you mean {' or '.join(f'timm:{one}' for one in near)}?" if near else "python -c 'import timm; print(timm.list_models())'",
        )
    model = timm.create_model(name, pretrained=False, num_classes=0)
    described: dict[str, Any] = timm.data.resolve_data_config({}, model=model)
    channels, height, width = described["input_size"]
    if channels != 3 or height != width:
        raise ConfigError(f"net: 'timm:{name}' takes {channels} channels of {height}x{width}; a net that takes colours in a square")
    layer = model.pretrained_cfg.get("classifier")
    head_name = layer if isinstance(layer, str) else None
    body = model
    if head == "pool":
        body, head_name = LastMap(model), None
    with torch.no_grad():
        blank = torch.zeros(2, 3, height, width)
        if head == "pool" and model.eval().forward_features(blank).ndim != 4:
            raise ConfigError(f"head: 'pool' with net 'timm:{name}'; 'fc', or a net that ends in a feature map")
        num_features = body.eval()(blank).shape[1]
    return Trunk(body.train(), num_features, Pixels(height, described["mean"], described["std"]), head_name)


class LastMap(nn.Module):
    """The global average of the last feature map, [B, C]."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.places = (1, 2) if getattr(model, "output_fmt", "NCHW") == "NHWC" else (2, 3)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.model.forward_features(images)
        return features.mean(dim=self.places)


def _timm() -> ModuleType:
    try:
        import timm
        import timm.data
    except ImportError as error:
        raise ConfigError(f"net: 'timm:…': {error}; timm, which comes with peoria[timm]", hint=HINT) from None
    return timm
