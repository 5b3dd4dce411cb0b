"""Nets for the study: built by name, with a new last layer and random or loaded weights."""

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import torch

from peoria.errors import ConfigError
from peoria.models.network import GlobalAverage, PopularityNet, Trunk, Undrawn
from peoria.models.pixels import Pixels
from peoria.models.precision import device_name, exact_float32, pick_device, precision, to_device
from peoria.models.registry import OWN, net_names, software, trunk_of, try_net
from peoria.models.stored_weights import bring
from peoria.models.weights import LoadedWeights, load_weights, state_sha256
from peoria.plugins import NONE

__all__ = [
    "HEADS",
    "TRUNKS",
    "GlobalAverage",
    "LoadedWeights",
    "Pixels",
    "PopularityNet",
    "Trunk",
    "build",
    "device_name",
    "exact_float32",
    "pick_device",
    "precision",
    "software",
    "to_device",
]

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
    plugins: Mapping[str, str] = NONE,
    drawn: bool = True,
) -> tuple[PopularityNet, LoadedWeights | None]:
    """A net on the CPU in training mode, and what was loaded into it. The same arguments give the same bits; the global random state is left alone.

    ``net``: ``caffenet``, ``tiny``, a classifier of torchvision, ``timm:NAME``, ``open_clip:NAME``, or a net of one of ``plugins``.
    ``head``: ``fc`` keeps the net's own last layers and makes the last one new; ``pool`` puts one new linear layer on the global average of the last
    convolutional feature map.
    ``weights``: None (random, from ``seed``), a path (see :mod:`peoria.models.weights`), or ``torchvision``, the only word that downloads anything.
    ``trunk``: ``frozen`` keeps whatever was loaded as it is.
    ``drawn``: False leaves the trunk's parameters unset, for a caller who loads them all: drawing AlexNet's takes ten times as long as loading them.
    So it is done by itself where a file fills a frozen trunk whole.

    Raises:
        ConfigError: a name that is not known, or a frozen trunk with nothing loaded.
        WeightsError: the weights cannot be read, or hold nothing for this net.
        StoreError: a submission has left them in a store, and they cannot be had from there.
    """
    pretrained = weights == "torchvision"
    problems = []
    if head not in HEADS:
        problems.append(f"head: {head!r}; {' or '.join(HEADS)}")
    if trunk not in TRUNKS:
        problems.append(f"trunk: {trunk!r}; {' or '.join(TRUNKS)}")
    if trunk == "frozen" and weights is None:
        problems.append("trunk: 'frozen' without weights; weights to keep, or trunk 'trained'")
    if pretrained and net in OWN:
        problems.append(f"weights: 'torchvision' for net {net!r}; a path, or a net of torchvision")
    if problems:
        raise ConfigError(*problems)
    plugin = net in net_names(plugins)

    def made(drawn: bool) -> tuple[PopularityNet, LoadedWeights | None]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            with nullcontext() if drawn or plugin else Undrawn():
                body, source = trunk_of(net, head, pretrained=pretrained, plugins=plugins)
            built = PopularityNet(body, num_outputs=num_outputs)
            if plugin:
                try_net(net, built)
        if pretrained:
            state = built.trunk.state_dict()
            return built, LoadedWeights(source, state_sha256(state), tuple(state), (), (), "", "")
        if weights is None:
            return built, None
        bring(weights)
        return built, load_weights(built, Path(weights), head_name=body.head_name, prefix=weights_prefix)

    built, loaded = made(drawn and (trunk == "trained" or pretrained))
    if trunk == "frozen":
        assert loaded is not None
        if loaded.missing and drawn:  # what is missing learns, from numbers that are drawn
            built, loaded = made(True)
            assert loaded is not None
        built.freeze(loaded.matched)
    return built, loaded
