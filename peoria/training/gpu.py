"""The memory of a GPU that trials share, and what an error leaves of the process that it hit."""

import gc
import sys

# Beginnings of what torch says where it has no class of its own for it.
BROKEN = ("CUDA error", "cuDNN error", "CUBLAS_STATUS", "DefaultCPUAllocator")


def cap_memory(share: float) -> None:
    """Where a trial has a part of a GPU (0 < ``share`` < 1): its process allocates no more than this part of the memory, and fails by itself
    instead of failing its neighbours. To be called before anything is allocated. What the driver keeps for each process, some hundred MB, is
    not counted by torch.
    """
    import torch

    if 0 < share < 1 and torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(share)


def release_memory() -> None:
    """Gives back what a trial that is over had on the GPU, for its neighbours. On a CPU there is nothing to give back, and a collection of all
    that ray and torch have made takes a tenth of a second."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


def breaks_process(error: BaseException) -> bool:
    """Whether nothing should be run in this process any more: after an error on the device its context is of no use, and after memory ran out
    what is left is in pieces."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError | torch.AcceleratorError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in BROKEN)


def memory_text(error: BaseException, share: float) -> str:
    """Where memory ran out, what the trial had and what to do, in one line; "" for any other error."""
    import torch

    if isinstance(error, torch.OutOfMemoryError):
        total = f" ({share * torch.cuda.mem_get_info()[1] / 1e9:.1f} GB)" if torch.cuda.is_initialized() else ""
        if 0 < share < 1:
            return f"GPU memory: {share:g} of a GPU{total} is not enough; a smaller batch_size, or a larger --gpus-per-trial"
        return f"GPU memory: a whole GPU{total} is not enough; a smaller batch_size"
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
        return "memory: the machine has no more; a smaller batch_size, or fewer trials at a time (--concurrent)"
    return ""
