"""Which number format and memory layout train a net fastest on a device (measured on the CPU, where the answer differs from net to net; on a GPU
`python -m benchmarks gpu` tells)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from peoria.models.torchvision_net import torchvision_names

# Families that gain from bfloat16 on a CPU that multiplies it (x1.3 to x2 over float32). Depthwise convolutions lose by it; the tiny net stays in
# float32 so that it gives about the same numbers on every machine.
BFLOAT16_ON_CPU = ("caffenet", "alexnet", "squeezenet", "resnet", "resnext", "wide_resnet", "vgg")

# What is left in float32 on a GPU: the last layer, whose scores are ranked, stays exact; a convolution on a GPU without bfloat16 may use TF32.
FLOAT32_ON_CUDA = {"matmul": "ieee", "conv": "tf32"}


def precision(net: str, device: str) -> tuple[torch.dtype | None, bool]:
    """What to train ``net`` in on ``device``: the dtype for autocast (None: float32 throughout), and whether to use channels_last."""
    kind = torch.device(device).type
    if kind == "cuda":
        return (torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None), True
    if kind == "cpu":
        measured = net.startswith(BFLOAT16_ON_CPU) and (net == "caffenet" or net in torchvision_names())  # no other package's net of such a name
        return (torch.bfloat16 if measured and _multiplies_bfloat16() else None), True
    return None, False


def _multiplies_bfloat16() -> bool:
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()  # an older torch does not tell: float32 is never wrong
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@contextmanager
def exact_float32() -> Iterator[None]:
    """Inside, float32 is IEEE's on a GPU too, without TF32, so that pictures rank there as on a CPU."""
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, setting in zip(backends, before, strict=True):
            backend.fp32_precision = setting


def device_name(device: torch.device) -> str:
    """For records: of a GPU its own name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def pick_device(wanted: str) -> torch.device:
    """``cpu``, ``cuda``, or for ``auto`` the GPU where there is one."""
    return torch.device("cuda" if wanted == "cuda" or (wanted == "auto" and torch.cuda.is_available()) else "cpu")


def to_device(net: nn.Module, name: str, wanted: str) -> tuple[torch.device, torch.dtype | None]:
    """Moves ``net`` to the device, in the memory layout that is fastest there; returns the device and the dtype for autocast.

    On a GPU speed goes before equal bits: cuDNN tries its algorithms on the shapes that come and keeps the fastest, and some of them, as the
    gradient of max pooling, add in whatever order threads finish. A trial that is repeated there agrees up to rounding.
    """
    device = pick_device(wanted)
    autocast, channels_last = precision(name, device.type)
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.fp32_precision = FLOAT32_ON_CUDA["matmul"]
        torch.backends.cudnn.conv.fp32_precision = FLOAT32_ON_CUDA["conv"]  # type: ignore[attr-defined]
    net.to(device).to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    return device, autocast
