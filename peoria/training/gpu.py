"""The memory of a GPU that trials share, and what an error leaves of the process that it hit."""

import gc
import sys
import warnings

# Beginnings of what torch says where it has no class of its own for it.
BROKEN = ("CUDA error", "cuDNN error", "CUBLAS_STATUS", "DefaultCPUAllocator")

CONTEXT_BYTES = 718_000_000  # of a process on a GPU beside what torch allocates, as measured on an H100


def gpu_trouble() -> str:
    """Why torch can use no GPU in this process, in a line; "" where it can."""
    import torch

    if torch.cuda.is_available():
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the same is raised
        try:
            torch.zeros(1, device="cuda")
        except Exception as error:  # noqa: BLE001 - whatever it is, no GPU can be used, and this says why
            return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
    return "no CUDA device"


def share_bytes(share: float) -> int:
    """What a trial with this part of a GPU may allocate: that part of what contexts leave, its own, those of the trials that fit beside it, and one
    of the process that fitted the sweep's baselines."""
    import torch

    total = torch.cuda.mem_get_info()[1]
    if not 0 < share < 1:
        return int(total)
    return max(0, int(share * (total - (int(1 / share + 1e-9) + 1) * CONTEXT_BYTES)))


def cap_memory(share: float) -> None:
    """Where a trial has a part of a GPU (0 < ``share`` < 1): its process allocates no more than `share_bytes`, and fails by itself instead of failing
    its neighbours. To be called before anything is allocated."""
    import torch

    if 0 < share < 1 and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(share_bytes(share) / torch.cuda.mem_get_info()[1])


def spare_bytes(lying: int = 0) -> int:
    """Of the GPU's memory that this process may have, what a training step, which has been taken, leaves: half of its peak again is kept free.

    Args:
        lying: bytes that lie there already and do not grow.
    """
    import torch

    free, total = torch.cuda.mem_get_info()
    own = min(free + torch.cuda.memory_reserved(), int(torch.cuda.get_per_process_memory_fraction() * total))
    return own - lying - 3 * (torch.cuda.max_memory_reserved() - lying) // 2 - CONTEXT_BYTES


def release_memory() -> None:
    """Gives back what a trial that is over had on the GPU, for its neighbours. On a CPU there is nothing to give back, and a collection of all
    that ray and torch have made takes a tenth of a second."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def breaks_process(error: BaseException) -> bool:
    """Whether nothing should be run in this process any more: after an error on the device its context is of no use, and after memory ran out
    what is left is in pieces."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError | torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in BROKEN)


def is_device_error(error: BaseException) -> bool:
    """Whether the device, not the trial, is at fault as far as anybody can tell: it is gone, or its memory is in error."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        return False
    named = isinstance(error, RuntimeError) and any(text in str(error) for text in BROKEN[:-1])
    return isinstance(error, torch.AcceleratorError) or named


def outgrew_gpu(share: float) -> bool:
    """Whether this process took more than half of what it may have of the GPU's memory; else others took what it lacked."""
    import torch

    if not torch.cuda.is_initialized():
        return True
    return torch.cuda.max_memory_reserved() > share_bytes(share) / 2


def memory_text(error: BaseException, share: float) -> str:
    """Where memory ran out, what the trial had and what to do, in one line; "" for any other error."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        total = f" ({share_bytes(share) / 1e9:.1f} GB)" if torch.cuda.is_initialized() else ""
        if 0 < share < 1:
            return f"GPU memory: {share:g} of a GPU{total} is not enough; a smaller batch_size, or a larger --gpus-per-trial"
        return f"GPU memory: a whole GPU{total} is not enough; a smaller batch_size"
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
        return "memory: the machine has no more; a smaller batch_size, or fewer trials at a time (--concurrent)"
    return ""
