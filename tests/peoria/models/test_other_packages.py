"""Nets of timm and OpenCLIP by their names there: from random numbers or a file, never from a network."""

import socket
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from peoria.errors import ConfigError
from peoria.models import build, software
from peoria.models.network import PopularityNet
from peoria.training.optim import make_optimizer

CROPS = torch.randint(0, 256, (2, 227, 227, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def outputs(net: PopularityNet) -> torch.Tensor:
    with torch.inference_mode():
        return net.eval()(net.preprocess(CROPS))


@pytest.mark.parametrize(
    ("name", "head", "features", "seen"),
    [
        ("timm:test_resnet", "fc", 96, "resized to 160x160 (bilinear, antialiased), /255, minus (0.5, 0.5, 0.5)"),
        ("timm:test_resnet.r160_in1k", "pool", 96, "resized to 160x160"),
        ("timm:test_vit", "fc", 64, "resized to 160x160"),
        ("timm:resnet18", "fc", 512, "centre 224x224 of the 227x227 crop, /255, minus (0.485, 0.456, 0.406)"),
        ("open_clip:ViT-S-32", "fc", 384, "centre 224x224 of the 227x227 crop, /255, minus (0.48145466,"),
    ],
)
def test_a_net_is_like_any_other(name: str, head: str, features: int, seen: str, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    net, _ = build(name, head=head, num_outputs=1, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    assert net.num_features == features
    assert seen in net.preprocessing
    assert torch.equal(outputs(net), outputs(build(name, head=head, num_outputs=1, seed=1)[0]))
    assert len(make_optimizer(net, learning_rate=1.0, head_multiplier=2.0).param_groups) == 5
    assert software(name, {})
    save_file(net.trunk.state_dict(), tmp_path / "w.safetensors")
    weights = str(tmp_path / "w.safetensors")
    frozen, loaded = build(name, head=head, num_outputs=1, seed=2, weights=weights, trunk="frozen")
    assert loaded is not None
    assert not loaded.missing
    assert frozen.trunk_is_frozen
    images = net.preprocess(CROPS)
    assert torch.allclose(frozen.eval().features(images), net.eval().features(images), atol=1e-5)  # attention has another path without gradients
    other = build(name, head=head, num_outputs=1, seed=2)[0].eval()
    assert not torch.allclose(other.features(images), net.features(images), atol=1e-2)  # control: another seed


def test_a_timm_net_sees_what_timm_would_standardise() -> None:
    import timm.data

    net, _ = build("timm:resnet18", num_outputs=1, seed=0)
    wanted = (CROPS[:, 1:225, 1:225].permute(0, 3, 1, 2) / 255 - torch.tensor(timm.data.IMAGENET_DEFAULT_MEAN)[:, None, None]) / torch.tensor(
        timm.data.IMAGENET_DEFAULT_STD
    )[:, None, None]
    assert torch.allclose(net.preprocess(CROPS), wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "head", "weights", "said"),
    [
        ("timm:resnet19", "fc", None, r"timm:NAME.TAG, of timm .*\nhint: did you mean timm:resnet1"),
        ("timm:hf-hub:timm/resnet18", "fc", None, "net: 'timm:hf-hub:timm/resnet18'; timm:NAME"),
        ("timm:", "fc", None, "net: 'timm:'; timm:NAME"),
        ("timm:test_vit", "pool", None, "head: 'pool' with net 'timm:test_vit'; 'fc', or a net that ends in a feature map"),
        ("timm:resnet18", "fc", "torchvision", "weights: 'torchvision' for net 'timm:resnet18'; a path"),
        ("open_clip:ViT-B32", "fc", None, r"open_clip:NAME of OpenCLIP .*\nhint: did you mean open_clip:ViT-B-32"),
        ("open_clip:hf-hub:laion/x", "fc", None, "net: 'open_clip:hf-hub:laion/x'; open_clip:NAME"),
        ("open_clip:ViT-S-32", "pool", None, "head: 'pool' with net 'open_clip:ViT-S-32'; 'fc'"),
    ],
)
def test_what_cannot_be_built_is_said(name: str, head: str, weights: str | None, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        build(name, head=head, num_outputs=1, seed=0, weights=weights)


@pytest.mark.parametrize(("name", "package"), [("timm:resnet18", "timm"), ("open_clip:ViT-B-32", "open_clip")])
def test_without_the_package_the_extra_is_named(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r"comes with peoria\[timm\]\nhint: pip install 'peoria\[timm\]'"):
        build(name, num_outputs=1, seed=0)


def test_a_block_whose_own_parameter_is_frozen_still_trains_its_layers() -> None:
    net, _ = build("timm:test_convnext", num_outputs=1, seed=0)
    own = [name for name in net.trunk.state_dict() if name.endswith(".gamma")]
    assert own
    net.freeze(own)
    net.train()
    blocks = [net.trunk.get_submodule(name.removesuffix(".gamma")) for name in own]
    assert all(module.training for block in blocks for module in block.modules())
    whole = own[0].removesuffix("gamma")
    net.freeze([name for name in net.trunk.state_dict() if name.startswith(whole)])  # control
    assert not blocks[0].training
