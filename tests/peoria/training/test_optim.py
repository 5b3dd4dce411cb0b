import math

import pytest
import torch
from torch import nn

from peoria.errors import ConfigError
from peoria.models import PopularityNet, build
from peoria.models.network import Trunk
from peoria.training.optim import Schedule, make_optimizer, set_learning_rate


def normed_net() -> PopularityNet:
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(6, 4), nn.LayerNorm(4))
    return PopularityNet(Trunk(trunk, 4, nn.Identity(), head_name=None), num_outputs=2)


def test_two_steps_follow_caffes_rule_with_every_groups_own_multiples() -> None:
    net, learning_rate, head_multiplier, momentum, weight_decay = normed_net(), 0.1, 20.0, 0.9, 0.3
    optimizer = make_optimizer(net, learning_rate=learning_rate, head_multiplier=head_multiplier, momentum=momentum, weight_decay=weight_decay)
    multiples = {  # lr_mult, decay_mult
        "trunk.1.weight": (1, 1),
        "trunk.1.bias": (2, 0),
        "trunk.2.weight": (1, 0),
        "trunk.2.bias": (2, 0),
        "head.weight": (head_multiplier, 1),
        "head.bias": (2 * head_multiplier, 0),
    }
    parameters = dict(net.named_parameters())
    assert parameters.keys() == multiples.keys()
    expected = {name: parameter.detach().double() for name, parameter in parameters.items()}
    velocity = {name: torch.zeros_like(value) for name, value in expected.items()}
    for step in range(2):
        for name, parameter in parameters.items():
            parameter.grad = torch.full_like(parameter, 0.01 * (step + 1))
            lr_mult, decay_mult = multiples[name]
            velocity[name] = momentum * velocity[name] + learning_rate * lr_mult * (parameter.grad + weight_decay * decay_mult * expected[name])
            expected[name] = expected[name] - velocity[name]
        optimizer.step()
    for name, parameter in parameters.items():
        torch.testing.assert_close(parameter.detach().double(), expected[name], atol=1e-6, rtol=1e-5)


def test_its_steps_are_torchs_to_the_bit() -> None:
    nets, gradients = [normed_net() for _ in range(2)], torch.Generator().manual_seed(1)
    ours, torchs = (make_optimizer(net, learning_rate=0.1, head_multiplier=20.0, weight_decay=0.3) for net in nets)
    torchs = torch.optim.SGD(torchs.param_groups, lr=0.1, momentum=0.9, fused=True)
    for _ in range(5):
        for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
            one.grad = torch.randn(one.shape, generator=gradients)
            other.grad = one.grad.clone()
        ours.step()
        torchs.step()
    assert type(ours) is not type(torchs)
    assert all(torch.equal(one, other) for one, other in zip(nets[0].parameters(), nets[1].parameters(), strict=True))


def test_groups_carry_name_and_multiple_and_a_new_rate_keeps_the_multiples() -> None:
    optimizer = make_optimizer(normed_net(), learning_rate=0.5, head_multiplier=10)
    multiples = {group["name"]: group["lr_multiplier"] for group in optimizer.param_groups}
    assert multiples == {"trunk weights": 1, "trunk biases": 2, "trunk scales": 1, "head weight": 10, "head bias": 20}
    set_learning_rate(optimizer, 0.25)
    assert {group["name"]: group["lr"] for group in optimizer.param_groups} == {name: 0.25 * multiple for name, multiple in multiples.items()}


def test_frozen_parameters_are_left_out() -> None:
    net = normed_net()
    net.freeze(net.trunk.state_dict())
    optimizer = make_optimizer(net, learning_rate=0.1, head_multiplier=1)
    assert [group["name"] for group in optimizer.param_groups] == ["head weight", "head bias"]


def test_every_trainable_parameter_is_in_one_group() -> None:
    net, _ = build("resnet18", num_outputs=1, seed=0)
    held = [id(parameter) for group in make_optimizer(net, learning_rate=0.1, head_multiplier=1).param_groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in net.parameters())


def test_two_runs_give_the_same_bits() -> None:
    def run() -> list[torch.Tensor]:
        net, _ = build("tiny", num_outputs=1, seed=3)
        optimizer = make_optimizer(net, learning_rate=0.01, head_multiplier=10)
        images = torch.randn(16, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        for _ in range(3):
            optimizer.zero_grad()
            (net(images) - 1).square().mean().backward()
            optimizer.step()
        return [parameter.detach() for parameter in net.parameters()]

    assert all(torch.equal(one, other) for one, other in zip(run(), run(), strict=True))


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        (Schedule("constant"), {0: 1.0, 10**9: 1.0}),
        (Schedule("step", gamma=0.1, step=1000), {0: 1.0, 999: 1.0, 1000: 0.1, 2500: 0.01}),
        (Schedule("cosine", length=1000), {0: 1.0, 250: 0.5 + math.sqrt(0.125), 500: 0.5, 1000: 0.0, 1064: 0.0}),
    ],
    ids=["constant", "step", "cosine"],
)
def test_schedules(schedule: Schedule, factors: dict[int, float]) -> None:
    assert {seen: schedule.factor(seen) for seen in factors} == pytest.approx(factors)


def test_a_schedule_names_all_that_is_wrong_at_once() -> None:
    with pytest.raises(ConfigError, match=r"step: None; a number of pictures.*\n.*gamma: 2; more than 0, at most 1"):
        Schedule("step", gamma=2)
    with pytest.raises(ConfigError, match="schedule: 'linear'; one of constant, step, cosine"):
        Schedule("linear")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="length: 0; a number of pictures"):
        Schedule("cosine", length=0)
