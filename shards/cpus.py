"""How much of the machine is this process's."""

import os


def usable_cpus() -> int:
    """CPUs that this process may run on, at least 1: those of its affinity mask, or all where the system keeps none."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
