"""The optimiser and the learning-rate schedule of the recipe: Caffe's SGD (sgd_solver.cpp) over four groups of parameters."""

import inspect
import math
import sys
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Literal

import torch

from peoria.errors import ConfigError
from peoria.models import PopularityNet

SCHEDULES = ("constant", "step", "cosine")


def make_optimizer(
    net: PopularityNet, *, learning_rate: float, head_multiplier: float, momentum: float = 0.9, weight_decay: float = 5e-4
) -> torch.optim.SGD:
    """SGD with momentum; the last layer learns ``head_multiplier`` times faster (paper 4.1), biases and decay as in Caffe's Flickr-style recipe.

    Caffe updates ``v = m v + lr * lr_mult * (g + wd * decay_mult * w); w -= v``, with lr_mult and decay_mult 1 and 1 for weights, 2 and 0 for biases.
    PyTorch keeps the learning rate outside ``v``: the same numbers while the rate is constant, other ones for about ten steps after it drops.
    Scales of normalisation layers (the recipe has none) are neither decayed nor sped up. Frozen parameters are left out.
    Each group carries ``name`` and ``lr_multiplier``.
    """
    groups: dict[str, dict[str, Any]] = {
        "trunk weights": {"lr_multiplier": 1.0, "weight_decay": weight_decay},
        "trunk biases": {"lr_multiplier": 2.0, "weight_decay": 0.0},
        "trunk scales": {"lr_multiplier": 1.0, "weight_decay": 0.0},
        "head weight": {"lr_multiplier": head_multiplier, "weight_decay": weight_decay},
        "head bias": {"lr_multiplier": 2.0 * head_multiplier, "weight_decay": 0.0},
    }
    for name, group in groups.items():
        group.update(name=name, lr=learning_rate * group["lr_multiplier"], params=[])
    for name, parameter in net.trunk_parameters():
        kind = "trunk biases" if name.rpartition(".")[2].endswith("bias") else "trunk weights" if parameter.ndim > 1 else "trunk scales"
        groups[kind]["params"].append(parameter)
    groups["head weight"]["params"].append(net.head.weight)
    groups["head bias"]["params"].append(net.head.bias)
    for group in groups.values():
        group["params"] = [parameter for parameter in group["params"] if parameter.requires_grad]
    # Fused: one pass over memory in place of four, elementwise, so that the same run gives the same bits.
    sgd = torch.optim.SGD
    if net.head.weight.device.type == "cpu":
        _leave_compiler_out()
        sgd = PlainSGD
    return sgd([group for group in groups.values() if group["params"]], lr=learning_rate, momentum=momentum, fused=True)


class PlainSGD(torch.optim.SGD):
    """Torch's own, without a word to its compiler at each call, for which all of that is imported: over a second of each worker's first trial."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        inspect.unwrap(torch.optim.SGD.step)(self)


def _leave_compiler_out() -> None:
    """Of the optimiser's own methods, as torch 2.14 wraps them; another version is left as it is, and the import paid."""
    wraps = getattr(sys.modules.get("torch._compile"), "__file__", None)
    for method in vars(torch.optim.Optimizer).values():
        if isinstance(method, FunctionType) and method.__code__.co_filename == wraps and hasattr(method, "__wrapped__"):
            method.__wrapped__.__dynamo_disable = method.__wrapped__  # what it looks for first


def set_learning_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Give every group its own multiple of ``learning_rate`` (the base rate times the schedule's factor)."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["lr_multiplier"]


@dataclass(frozen=True)
class Schedule:
    """What the learning rate is multiplied by, as a function of the training pictures seen (repeats counted).

    ``constant``: 1. ``step``: ``gamma ** (pictures_seen // step)``, Caffe's "step" policy with ``step`` in pictures (the recipe: 0.1 every 20,000
    batches of 50, that is 1,000,000 pictures). ``cosine``: from 1 down to 0 at ``length`` pictures, and 0 from there on.
    """

    kind: Literal["constant", "step", "cosine"] = "constant"
    length: int | None = None
    gamma: float = 0.1
    step: int | None = None

    def __post_init__(self) -> None:
        problems = []
        if self.kind not in SCHEDULES:
            problems.append(f"schedule: {self.kind!r}; one of {', '.join(SCHEDULES)}")
        if self.kind == "step" and (self.step is None or self.step < 1):
            problems.append(f"step: {self.step}; a number of pictures, at least 1, for a step schedule")
        if self.kind == "step" and not 0 < self.gamma <= 1:
            problems.append(f"gamma: {self.gamma}; more than 0, at most 1")
        if self.kind == "cosine" and (self.length is None or self.length < 1):
            problems.append(f"length: {self.length}; a number of pictures, at least 1, for a cosine schedule")
        if problems:
            raise ConfigError(*problems)

    def factor(self, pictures_seen: int) -> float:
        """The multiple of the base learning rate for the batch that starts after ``pictures_seen`` pictures."""
        if self.kind == "step":
            assert self.step is not None
            return float(self.gamma ** (pictures_seen // self.step))
        if self.kind == "cosine":
            assert self.length is not None
            return 0.5 * (1.0 + math.cos(math.pi * min(pictures_seen / self.length, 1.0)))
        return 1.0
