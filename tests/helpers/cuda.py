"""What tests see of a GPU, and how they find out where a program waits for one."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from _pytest.mark.expression import Expression

DEFAULT, ERROR = 0, 2  # torch's modes


def only_gpu(markers: str) -> bool:
    """Whether ``-m`` asks for the tests that need a GPU and no others."""
    if not markers.strip():
        return False
    asked = Expression.compile(markers)
    return asked.evaluate(lambda name, **_: name == "gpu") and not asked.evaluate(lambda name, **_: False)


@contextmanager
def no_waiting() -> Iterator[None]:
    """Inside, torch raises where the program would wait for the GPU. It warns of this mode itself, which is an error in tests; and the mode is its
    process's, so that it ends however the test does."""
    set_mode = torch._C._cuda_set_sync_debug_mode
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Synchronization debug mode")
        try:
            set_mode(ERROR)
            yield
        finally:
            set_mode(DEFAULT)
