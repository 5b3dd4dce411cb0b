"""How and where a sweep runs: folders, CPUs, GPUs, budgets."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shards.cpus import usable_cpus

Say = Callable[[str], None]


@dataclass(frozen=True)
class RunOptions:
    """How and where a sweep runs; nothing here changes what it asks."""

    home: Path = Path("data")
    trials: int | None = None  # None: what the sweep file says
    hours: float | None = None
    concurrent: int | None = None  # None: as many as the CPUs (or GPUs) carry
    cpus_per_trial: int = 1
    gpus_per_trial: float = 0.0
    local: bool = False  # in this process, one after another
    control: str | None = None  # the name of one, as shuffle or plant-colour-0.45
    tracking: str | None = None  # None: MLFLOW_TRACKING_URI, or a database under home; "off": none
    storage: str | None = None  # Optuna storage URL; None: a journal file in the sweep's folder
    cache_dir: Path | None = None  # where a node keeps its decoded copy, best on a disk of its own; None: under home
    cache_bytes: int | None = None  # what it may take there; None: what leaves a tenth of the disk free

    @property
    def cache(self) -> Path:
        return self.cache_dir or self.home / "cache"


def default_concurrency(options: RunOptions) -> int:
    if options.local:
        return 1
    if os.environ.get("RAY_ADDRESS"):
        return 8  # of a cluster that grows; the ceiling of what is asked for at once
    cpus = usable_cpus() // options.cpus_per_trial
    if options.gpus_per_trial:
        import torch

        return max(1, min(cpus, int(torch.cuda.device_count() / options.gpus_per_trial)))
    return max(1, cpus)


def default_gpus() -> float:
    """GPUs a trial where nobody said: one where this machine has any; none on a cluster, whose driver may sit on a node without."""
    import torch

    return 0.0 if "RAY_ADDRESS" in os.environ else float(torch.cuda.is_available())
