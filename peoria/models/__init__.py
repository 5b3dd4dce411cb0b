"""Nets for the study: built by name, with a new last layer and random or loaded weights."""

from pathlib import Path

import torch

from peoria.errors import ConfigError
from peoria.models.caffenet import caffenet_trunk
from peoria.models.network import PopularityNet
from peoria.models.precision import pick_device, precision, to_device
from peoria.models.tiny import tiny_trunk
from peoria.models.torchvision_net import torchvision_trunk
from peoria.models.weights import LoadedWeights, load_weights, state_sha256

__all__ = ["HEADS", "TRUNKS", "LoadedWeights", "PopularityNet", "build", "pick_device", "precision", "to_device"]

HEADS = ("fc", "pool")
TRUNKS = ("trained", "frozen")


def build(
    net: str,
    *,
    head: str = "fc",
    num_outputs: int,
    weights: str | None = None,
    weights_prefix: str | None = None,
    trunk: str = "trained",
    seed: int,
) -> tuple[PopularityNet, LoadedWeights | None]:
    """A net on the CPU in training mode, and what was loaded into it. The same arguments give the same bits; the global random state is left alone.

    ``net``: ``caffenet``, ``tiny``, or a classifier of torchvision.
    ``head``: ``fc`` keeps the net's own last layers and makes the last one new; ``pool`` puts one new linear layer on the global average of the last
    convolutional feature map.
    ``weights``: None (random, from ``seed``), a path (see :mod:`peoria.models.weights`), or ``torchvision``, the only word that downloads anything.
    ``trunk``: ``frozen`` keeps whatever was loaded as it is.

    Raises:
        ConfigError: a name that is not known, or a frozen trunk with nothing loaded.
        WeightsError: the weights cannot be read, or hold nothing for this net.
    """
    pretrained = weights == "torchvision"
    problems = []
    if head not in HEADS:
        problems.append(f"head: {head!r}; {' or '.join(HEADS)}")
    if trunk not in TRUNKS:
        problems.append(f"trunk: {trunk!r}; {' or '.join(TRUNKS)}")
    if trunk == "frozen" and weights is None:
        problems.append("trunk: 'frozen' without weights; weights to keep, or trunk 'trained'")
    if pretrained and net in ("caffenet", "tiny"):
        problems.append(f"weights: 'torchvision' for net {net!r}; a path, or a net of torchvision")
    if problems:
        raise ConfigError(*problems)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        source = ""
        if net in ("caffenet", "tiny"):
            body = caffenet_trunk(head) if net == "caffenet" else tiny_trunk(head)
        else:
            body, source = torchvision_trunk(net, head, pretrained=pretrained)
        built = PopularityNet(body, num_outputs=num_outputs)
    loaded = None
    if pretrained:
        state = built.trunk.state_dict()
        loaded = LoadedWeights(source, state_sha256(state), tuple(state), (), (), "", "")
    elif weights is not None:
        loaded = load_weights(built, Path(weights), head_name=body.head_name, prefix=weights_prefix)
    if trunk == "frozen":
        assert loaded is not None
        built.freeze(loaded.matched)
    return built, loaded
