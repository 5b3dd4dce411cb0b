import re
from collections.abc import Callable

import pytest
import torch
from torch import nn

from peoria.errors import ConfigError
from peoria.models import PopularityNet, build
from peoria.models.network import Trunk, Undrawn
from peoria.models.precision import precision


def small_net() -> PopularityNet:
    trunk = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(16, 8), nn.Dropout(0.5))
    return PopularityNet(Trunk(trunk, 8, nn.Identity(), head_name=None), num_outputs=1)


def test_the_head_is_new_gaussian_and_sees_the_features() -> None:
    net, loaded = build("tiny", num_outputs=1000, seed=0)
    assert loaded is None
    assert net.head.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not net.head.bias.any()
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(net(images), net.head(net.features(images)))
    assert net.features(images).shape == (2, net.num_features)


def test_the_seed_decides_and_the_global_random_state_is_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, again, other = (build("tiny", num_outputs=1, seed=seed)[0].state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["trunk.0.weight"], other["trunk.0.weight"])


@pytest.mark.parametrize("fill", [nn.init.kaiming_uniform_, nn.init.xavier_normal_, nn.init.kaiming_normal_, torch.Tensor.normal_])
def test_initialisers_leave_parameters_alone_where_nothing_is_to_be_drawn(fill: Callable[[torch.Tensor], torch.Tensor]) -> None:
    parameter, tensor = nn.Parameter(torch.full((3, 3), 7.0)), torch.full((3, 3), 7.0)
    with Undrawn(), torch.no_grad():
        fill(parameter)
        fill(tensor)  # as a net may keep one that no state dict holds
    assert (parameter == 7).all()
    assert not (tensor == 7).any()
    with torch.no_grad():
        fill(parameter)  # the control
    assert not (parameter == 7).any()


def test_outputs_are_float32_under_autocast() -> None:
    net, _ = build("tiny", num_outputs=1, seed=0)
    images = torch.randn(500, 3, 64, 64)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        outputs = net(images)
        coarse = nn.functional.linear(net.features(images), net.head.weight)
    assert outputs.dtype == torch.float32
    assert len(outputs.unique()) > 400 > len(coarse.unique())  # control: a head in bfloat16 ties the scores


def test_a_trunk_frozen_whole_stays_in_evaluation_mode() -> None:
    net = small_net()
    images = torch.randn(4, 3, 4, 4)
    net.train()
    assert not torch.equal(net.features(images), net.features(images))  # control: dropout acts, and the averages move
    net.freeze(net.trunk.state_dict())
    state = {name: tensor.clone() for name, tensor in net.trunk.state_dict().items()}
    net.eval().train()
    assert net.training
    assert net.head.training
    assert torch.equal(net.features(images), net.features(images))
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.trunk.state_dict().items())
    assert [name for name, parameter in net.named_parameters() if parameter.requires_grad] == ["head.weight", "head.bias"]


def test_a_trunk_frozen_in_part_keeps_dropout_for_the_rest() -> None:
    net = small_net()
    net.freeze(name for name in net.trunk.state_dict() if name.startswith(("0.", "1.")))
    net.train()
    assert [module.training for module in net.trunk.children()] == [False, False, True, True, True, True]
    assert [name for name, parameter in net.trunk_parameters() if parameter.requires_grad] == ["4.weight", "4.bias"]


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        build("tiny", head="fc9", trunk="cold", num_outputs=1, seed=0)
    assert re.fullmatch(r"head: 'fc9'; fc or pool\ntrunk: 'cold'; trained or frozen", str(error.value))
    with pytest.raises(ConfigError, match="trunk: 'frozen' without weights; weights to keep"):
        build("tiny", trunk="frozen", num_outputs=1, seed=0)
    with pytest.raises(ConfigError, match="weights: 'torchvision' for net 'caffenet'; a path, or a net of torchvision"):
        build("caffenet", weights="torchvision", num_outputs=1, seed=0)
    with pytest.raises(
        ConfigError, match=r"net: 'resnet19'; caffenet, tiny, timm:NAME, open_clip:NAME, or a classifier of torchvision[\s\S]*did you mean resnet18"
    ):
        build("resnet19", num_outputs=1, seed=0)


@pytest.mark.parametrize("supported", [True, False])
def test_precision_is_bfloat16_only_where_it_is_multiplied_and_pays(supported: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": supported}, raising=False)  # torch 2.9 has none
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported)
    fast = torch.bfloat16 if supported else None
    assert [precision(net, "cpu") for net in ("caffenet", "alexnet", "squeezenet1_1", "resnet50")] == [(fast, True)] * 4
    assert [precision(net, "cpu") for net in ("tiny", "mobilenet_v3_small", "vit_b_16")] == [(None, True)] * 3
    assert precision("tiny", "cuda:0") == (fast, True)
    assert precision("caffenet", "mps") == (None, False)
