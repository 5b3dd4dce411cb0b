"""The image tower of a model of OpenCLIP by its name there, from random numbers: nothing is ever downloaded for it."""

import difflib

import torch
from torch import Tensor, nn

from peoria.errors import ConfigError
from peoria.models.network import Trunk
from peoria.models.pixels import Pixels
from peoria.models.timm_net import HINT


def open_clip_trunk(name: str, head: str) -> Trunk:
    """The trunk of ``open_clip:NAME``: pictures to the embedding that texts are compared with. The text tower is not built.

    Raises:
        ConfigError: OpenCLIP is not installed, an unknown name, or another head than ``fc``.
    """
    try:
        import open_clip
        from open_clip.model import _build_vision_tower
    except ImportError as error:
        raise ConfigError(f"net: 'open_clip:…': {error}; open_clip_torch, which comes with peoria[timm]", hint=HINT) from None
    if name not in (names := open_clip.list_models()):
        near = difflib.get_close_matches(name, names, n=3)
        raise ConfigError(
            f"net: 'open_clip:{name}'; open_clip:NAME of OpenCLIP {open_clip.__version__} ({len(names)} names, such as open_clip:ViT-B-32)",
            hint=f"did you mean {' or '.join(f'open_clip:{one}' for one in near)}?"
            if near
            else "python -c 'import open_clip; print(open_clip.list_models())'",
        )
    if head != "fc":
        raise ConfigError(f"head: {head!r} with net 'open_clip:{name}'; 'fc': its features are the embedding")
    config = open_clip.get_model_config(name)
    # a tower that is one of timm's would else fetch timm's weights
    tower = _build_vision_tower(config["embed_dim"], config["vision_cfg"] | {"timm_model_pretrained": False}, config.get("quick_gelu", False))
    size = tower.image_size
    height, width = (size, size) if isinstance(size, int) else size
    if height != width:
        raise ConfigError(f"net: 'open_clip:{name}' takes {height}x{width}; a net that takes a square")
    # a name has no mean and sd of its own, the weights for it have: CLIP's, unless all of them agree on others
    tags = [open_clip.get_pretrained_cfg(name, tag) for tag in open_clip.list_pretrained_tags_by_model(name)]
    clips = (tuple(open_clip.OPENAI_DATASET_MEAN), tuple(open_clip.OPENAI_DATASET_STD))
    said = {(tuple(tag.get("mean") or clips[0]), tuple(tag.get("std") or clips[1])) for tag in tags}
    pixels = Pixels(height, *(said.pop() if len(said) == 1 else clips))
    body = Embedding(tower)
    with torch.no_grad():
        num_features = body.eval()(torch.zeros(2, 3, height, width)).shape[1]
    return Trunk(body.train(), num_features, pixels, head_name=None)


class Embedding(nn.Module):
    """What the tower says of a picture, [B, F], without the tokens that some towers give beside it."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual  # as files of whole models call it

    def forward(self, images: Tensor) -> Tensor:
        found = self.visual(images)
        features: Tensor = found[0] if isinstance(found, tuple) else found
        return features
