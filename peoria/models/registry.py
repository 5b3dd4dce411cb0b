"""Which net a name means: peoria's own, torchvision's, timm's, OpenCLIP's, or a plugin's."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

import torch
from torch import nn

from peoria.data.images import CROP_PX
from peoria.errors import ConfigError
from peoria.models import open_clip_net, timm_net
from peoria.models.caffenet import caffenet_trunk
from peoria.models.network import PopularityNet, Trunk
from peoria.models.tiny import tiny_trunk
from peoria.models.torchvision_net import torchvision_names, torchvision_trunk
from peoria.plugins import offered, packages_of, users_code

OWN: dict[str, Callable[[str], Trunk]] = {"caffenet": caffenet_trunk, "tiny": tiny_trunk}
PACKAGES: dict[str, Callable[[str, str], Trunk]] = {"timm:": timm_net.timm_trunk, "open_clip:": open_clip_net.open_clip_trunk}


def trunk_of(net: str, head: str, *, pretrained: bool, plugins: Mapping[str, str]) -> tuple[Trunk, str]:
    """The trunk in training mode, with random weights; and where torchvision's own came from: "" unless ``pretrained``, which alone downloads.

    Raises:
        ConfigError: an unknown name, a head that this net cannot have, a package that is not installed, or a plugin that cannot be used.
        WeightsError: torchvision could not fetch its weights.
    """
    from_plugins = net_names(plugins)
    if pretrained and (net in from_plugins or _package(net)):
        raise ConfigError(f"weights: 'torchvision' for net {net!r}; a path, or a net of torchvision")
    if net in OWN:
        return OWN[net](head), ""
    if (package := _package(net)) is not None:
        return PACKAGES[package](net.removeprefix(package), head), ""
    if net in from_plugins:
        return _from_plugin(net, head, from_plugins[net]), ""
    if net not in torchvision_names():
        raise _unknown(net, from_plugins)
    return torchvision_trunk(net, head, pretrained=pretrained)


def net_names(plugins: Mapping[str, str]) -> dict[str, Callable[[str], Trunk]]:
    """The nets of plugins, which are run for it. Raises ConfigError where one cannot be used."""
    return offered("net", plugins, (*OWN, *torchvision_names())) if plugins else {}


def software(net: str, plugins: Mapping[str, str]) -> dict[str, str]:
    """Whose code beside torch and torchvision decides what the net computes: versions, and the digests of plugins."""
    own = {name: version(name) for name in packages_of(net, {})}
    return own | (dict(plugins) if net in net_names(plugins) else {})


def _package(net: str) -> str | None:
    return next((prefix for prefix in PACKAGES if net.startswith(prefix)), None)


def _unknown(net: str, from_plugins: Sequence[str] | Mapping[str, object]) -> ConfigError:
    names = torchvision_names()
    near = difflib.get_close_matches(net, [*OWN, *from_plugins, *names], n=3)
    more = f", {', '.join(from_plugins)} of its plugins" if from_plugins else ""
    return ConfigError(
        f"net: {net!r}; caffenet, tiny{more}, timm:NAME, open_clip:NAME, or a classifier of torchvision ({len(names)} of them, such as alexnet or "
        "resnet18)",
        hint=f"did you mean {' or '.join(near)}?"
        if near
        else "python -c 'import torchvision; print(torchvision.models.list_models(module=torchvision.models))'",
    )


def _from_plugin(net: str, head: str, function: Callable[[str], Trunk]) -> Trunk:
    with users_code(f"net {net!r}", "a function of the head, 'fc' or 'pool', that gives a Trunk"):
        trunk = function(head)
    if not isinstance(trunk, Trunk):
        raise ConfigError(f"net {net!r}: its function gives a {type(trunk).__name__}; a peoria.models.Trunk")
    for field, kind in (("module", nn.Module), ("pixels", nn.Module), ("num_features", int), ("head_name", str | None)):
        if not isinstance(value := getattr(trunk, field), kind):
            raise ConfigError(f"net {net!r}: Trunk.{field}: {type(value).__name__}; {kind.__name__ if isinstance(kind, type) else 'str or None'}")
    if not isinstance(getattr(trunk.pixels, "description", None), str):
        raise ConfigError(f"net {net!r}: Trunk.pixels: without a description; one line of what happens to a crop, for the model card")
    return trunk


def try_net(net: str, built: PopularityNet) -> None:
    """Two black crops through a plugin's net.

    Raises:
        ConfigError: it raises, or gives another shape than it says.
    """
    built.eval()
    crops = torch.zeros(2, CROP_PX, CROP_PX, 3, dtype=torch.uint8)
    with torch.no_grad():
        with users_code(f"net {net!r}: pixels", "crops, uint8 [B, 227, 227, 3], to float32 [B, 3, h, w]"):
            images = built.preprocess(crops)
        if not isinstance(images, torch.Tensor) or images.dtype != torch.float32 or images.ndim != 4 or images.shape[:2] != (2, 3):
            raise ConfigError(f"net {net!r}: pixels give {_said(images)}; float32 [2, 3, h, w] of two crops")
        with users_code(f"net {net!r}: its trunk", "images, float32 [B, 3, h, w], to features [B, num_features]"):
            features = built.trunk(images)
    if not isinstance(features, torch.Tensor) or features.shape != (2, built.num_features):
        raise ConfigError(f"net {net!r}: its trunk gives {_said(features)}; [2, {built.num_features}] of two pictures, as num_features says")
    built.train()


def _said(found: object) -> str:
    return f"{str(found.dtype).removeprefix('torch.')} {list(found.shape)}" if isinstance(found, torch.Tensor) else f"a {type(found).__name__}"
