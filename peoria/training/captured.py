"""One training step: operation by operation, or on a GPU, where launching some two hundred takes longer than they take, as one CUDA graph."""

import os
import shutil
import sysconfig
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from peoria.config.trial import TrialConfig
from peoria.models import PopularityNet
from peoria.training.optim import set_learning_rate
from peoria.training.steps import FineTuning, Steps

WARM_UP = 3  # steps before a graph is captured: cuDNN chooses its algorithms, momentum is made
COMPILED_FROM = 200_000  # pictures; compiling takes half a minute, which shorter trials do not win back (reckoned, not measured)

Compute = Callable[[], None]


class Step(Protocol):
    """Of a training run."""

    def __call__(self, position: int, learning_rate: float) -> Tensor:
        """Trains on the batch that starts after ``position`` pictures; its loss, on the device, valid until the next step."""


class OneByOne:
    """Operation by operation."""

    def __init__(self, steps: Steps, optimizer: torch.optim.Optimizer) -> None:
        self._steps, self._optimizer = steps, optimizer

    def __call__(self, position: int, learning_rate: float) -> Tensor:
        set_learning_rate(self._optimizer, learning_rate)
        loss = self._steps.loss(position)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        return loss.detach()


class OneGraph:
    """As a CUDA graph, which replays the kernels that it was captured with on the same memory: batch and learning rate are copied there first, and
    the seed of dropout is set before each replay, so that what is dropped depends on (seed, position) here too."""

    def __init__(
        self,
        steps: FineTuning,
        optimizer: torch.optim.Optimizer,
        capture: Callable[[Compute], Compute] | None = None,
        note: Callable[[str], None] = lambda said: None,
    ) -> None:
        """
        Args:
            optimizer: with the state that it goes on from.
            capture: gives what replays a computation; None: a CUDA graph.
            note: is told of a net that cannot be captured.
        """
        device = steps.device
        self._steps, self._optimizer, self._capture, self._note = steps, optimizer, capture or cuda_graph, note
        self._rate = torch.zeros((), device=device)
        self._multipliers = torch.tensor([float(group["lr_multiplier"]) for group in optimizer.param_groups], device=device)
        self._rates = torch.zeros_like(self._multipliers)
        for group, rate in zip(optimizer.param_groups, self._rates.unbind(), strict=True):
            group["lr"] = rate  # a place on the device, read at each replay
        self._warm = 0
        self._replay: Compute | None = None
        self._side = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, position: int, learning_rate: float) -> Tensor:
        self._rate.fill_(learning_rate)
        if self._replay is None and self._warm == WARM_UP:
            self._steps.settle()
        batch = self._steps.batch(position)
        if self._warm < WARM_UP:
            self._warm += 1
            self._inputs = batch
            self._aside(self._compute)
            return self._loss
        if self._replay is None:
            self._inputs = tuple(part.clone() for part in batch)
            self._optimizer.zero_grad(set_to_none=True)
            self._replay = self._captured()
        for place, part in zip(self._inputs, batch, strict=True):
            place.copy_(part)
        self._replay()
        return self._loss

    def _captured(self) -> Compute:
        """What replays the step; where an operation cannot be captured, as one that waits for the device, the step itself."""
        try:
            return self._capture(self._compute)
        except RuntimeError as error:
            if "captur" not in str(error):
                raise
            self._note(f"not captured as one CUDA graph: {str(error).strip().splitlines()[0]}; each operation is launched by itself")
            return self._compute

    def _compute(self) -> None:
        torch.mul(self._multipliers, self._rate, out=self._rates)
        loss = self._steps.loss_of(*self._inputs)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        self._loss = loss.detach()

    def _aside(self, compute: Compute) -> None:
        """On a stream of its own, as what is captured after it has to be warmed up."""
        if self._side is None:
            compute()
            return
        now = torch.cuda.current_stream(self._side.device)
        self._side.wait_stream(now)
        with torch.cuda.stream(self._side):
            compute()
        now.wait_stream(self._side)


def cuda_graph(compute: Compute) -> Compute:
    """Raises what ends a capture; torch is left as it was."""
    graph, pool, before = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle(), torch.cuda.current_stream()
    try:
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):  # the feeder's thread uploads meanwhile
            compute()
    except BaseException:
        torch.cuda.set_stream(before)  # torch leaves its own current where the end of a capture raises,
        # and older ones leave allocations in the graph's pool, so that `empty_cache` ends at an assertion.
        with suppress(RuntimeError, AttributeError):
            torch._C._cuda_endAllocateToPool(before.device_index, pool)
        raise
    return graph.replay


def make_step(config: TrialConfig, steps: Steps, optimizer: torch.optim.Optimizer, note: Callable[[str], None]) -> Step:
    """For where the net lies. A plugin's may decide in Python from step to step, which a graph would do once and for all."""
    if isinstance(steps, FineTuning) and steps.device.type == "cuda" and not config.plugins:
        return OneGraph(steps, optimizer, note=note)
    return OneByOne(steps, optimizer)


def is_compiled(config: TrialConfig, device: torch.device) -> bool:
    """Whether `torch.compile` makes the whole net's kernels: on a GPU, of a net that is not a plugin's, in trials long enough to win that back.
    Torch's own ``TORCH_COMPILE_DISABLE=1`` switches it off."""
    if device.type != "cuda" or config.trunk == "frozen" or config.pictures < COMPILED_FROM or config.plugins:
        return False
    return not torch._dynamo.config.disable and can_compile()


def can_compile() -> bool:
    """Whether Triton is there, and what it builds its launchers with: a C compiler and Python's headers."""
    from torch.utils._triton import has_triton

    compiler = os.environ.get("CC") or shutil.which("clang") or shutil.which("gcc")
    return bool(compiler) and Path(sysconfig.get_path("include"), "Python.h").exists() and has_triton()


class DenseConv2d(nn.Conv2d):
    """A convolution in groups as one of a single group, whose weight is 0 between groups: twice the work of two groups, in less time on a GPU. Its
    parameters are those of the convolution in groups."""

    def forward(self, images: Tensor) -> Tensor:
        each = self.in_channels // self.groups
        parts = [
            F.pad(part, (0, 0, 0, 0, number * each, (self.groups - 1 - number) * each)) for number, part in enumerate(self.weight.chunk(self.groups))
        ]
        return F.conv2d(images, torch.cat(parts), self.bias, self.stride, self.padding, self.dilation)


def dense_groups(net: PopularityNet) -> None:
    """Makes each plain convolution in two groups, as CaffeNet has three, a `DenseConv2d`."""
    for module in net.modules():
        if type(module) is nn.Conv2d and module.groups == 2 and module.padding_mode == "zeros":
            module.__class__ = DenseConv2d
