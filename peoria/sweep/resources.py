"""How and where a sweep runs: folders, CPUs, GPUs, budgets."""

import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from peoria.config.sweep import Sweep
from peoria.errors import SweepError
from peoria.records.home import Home
from peoria.sweep.cluster import OWN, ray_address
from peoria.training.gpu import gpu_trouble
from shards.cpus import usable_cpus

Say = Callable[[str], None]
GPU_DEVICES = ("/dev/nvidiactl", "/dev/nvhost-gpu", "/dev/nvgpu", "/dev/dxg", "/dev/kfd")  # NVIDIA, its boards, Windows' Linux, AMD
BESIDE = 10  # trials on one GPU: of 24 GB each has 1.6 then, less all contexts, which a trunk needs (reckoned)
PRETEND = "PEORIA_PRETEND_GPU"  # "1" in the environment: GPUs that torch does not see are taken for there. For tests and rehearsals only


@dataclass(frozen=True)
class RunOptions:
    """How and where a sweep runs; nothing here changes what it asks."""

    home: Path = Path("data")
    home_url: str | None = None  # of the bucket that ``home`` is a copy of
    trials: int | None = None  # None: what the sweep file says
    pictures: int | None = None  # that its search may see; None: what the sweep file says
    hours: float | None = None
    trial_hours: float | None = None  # of one trial, from the start of its worker on; None: no limit
    concurrent: int | None = None  # None: as many as the CPUs (or GPUs) carry
    cpus_per_trial: int = 1
    gpus_per_trial: float = 0.0
    local: bool = False  # in this process, one after another
    start_from: str | None = None  # another sweep of the home, whose best points this one begins with
    control: str | None = None  # the name of one, as shuffle or plant-colour-0.45
    tracking: str | None = None  # None: MLFLOW_TRACKING_URI, or a database under home; "off": none
    storage: str | None = None  # Optuna storage URL; None: a journal file in the sweep's folder
    cache_dir: Path | None = None  # where a node keeps its decoded copy, best on a disk of its own; None: under home
    cache_bytes: int | None = None  # what it may take there; None: what leaves a tenth of the disk, or 5 GB, free
    ray: str | None = None  # local, auto, or a cluster's address; None: RAY_ADDRESS, or the cluster that this machine is a node of

    @property
    def limits(self) -> dict[str, int]:
        """Of the search, those that were given in the place of the sweep file's."""
        return {name: value for name in ("trials", "pictures") if (value := getattr(self, name)) is not None}

    @property
    def cache(self) -> Path:
        return self.cache_dir or Home(self.home, self.home_url).cache

    @property
    def cluster(self) -> str | None:
        """The address of the cluster that trials run on; None: this machine."""
        address = OWN if self.local else ray_address(self.ray)
        return None if address == OWN else address


def concurrency(options: RunOptions) -> int:
    """How many trials run at a time: what was asked for or what the machine carries; of trials that share this machine's GPUs never more than fit.

    Raises:
        SweepError: a trial wants more GPUs than this machine has.
    """
    cluster = options.cluster
    wanted = options.concurrent or default_concurrency(options)
    if cluster is not None or not options.gpus_per_trial:
        return wanted
    there = own_gpus(options.gpus_per_trial, wanted) or 0
    return wanted if options.local else min(wanted, trials_on_gpus(options.gpus_per_trial, there))


def default_concurrency(options: RunOptions) -> int:
    if options.local:
        return 1
    if options.cluster is not None:
        return 8  # of a cluster that grows; the ceiling of what is asked for at once
    cpus = usable_cpus() // options.cpus_per_trial
    if options.gpus_per_trial and not pretended():
        cpus = min(cpus, trials_on_gpus(options.gpus_per_trial, gpus_here()))
    return max(1, cpus)


def trials_on_gpus(share: float, gpus: int) -> int:
    """How many trials of ``share`` GPUs each fit on ``gpus``. A fraction lies on one GPU whole: two of 0.6 need two."""
    return int(gpus // share) if share >= 1 else gpus * int(1 / share + 1e-9)


def own_gpus(share: float, concurrent: int) -> int | None:
    """What a Ray of our own is told that this machine has, a whole number; None where no trial wants one. Never more than torch sees, but where they
    are `pretended`: then as many as are wanted are made up, and the trials run on the CPU.

    Raises:
        SweepError: a trial wants more GPUs than this machine has.
    """
    if not share:
        return None
    there = gpus_here()
    wanted = math.ceil(share) * concurrent if share >= 1 else math.ceil(concurrent / trials_on_gpus(share, 1))
    if pretended() and not there:
        return wanted
    if share > there:
        found = f"this machine has {there}" if there else f"torch sees no GPU on this machine ({gpu_trouble() or 'none'})"
        raise SweepError(
            f"--gpus-per-trial: {share:g}; {found}", hint="" if there else "--gpus-per-trial 0 trains on the CPU; a cluster is named by --ray"
        )
    return min(wanted, there)


def pretended() -> bool:
    return os.environ.get(PRETEND) == "1"


def gpus_here() -> int:
    """Those that torch can use: a driver that is too old for it shows some all the same. Where the kernel has no device of such a kind, torch is not
    asked, for its import takes longer than all else before a sweep's start."""
    if sys.platform == "linux" and not any(map(os.path.exists, GPU_DEVICES)):
        return 0
    import torch

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def default_gpus(options: RunOptions, sweep: Sweep) -> float:
    """GPUs a trial where nobody said: one where this machine has any; none on a cluster, whose driver may sit on a node without.

    None for `tiny`, which a few CPUs train faster. Heads on a frozen trunk are trained by CPUs too, and only the trunk is run on the GPU, once: so
    many trials share one that each CPU has its own, but at most BESIDE: a share that is named (``--gpus-per-trial 0.02``) may be smaller.
    """
    if options.cluster is not None or not (gpus := gpus_here()) or sweep.shared.get("net") == "tiny":
        return 0.0
    if sweep.shared.get("trunk") != "frozen" or options.local:
        return 1.0
    beside = min(math.ceil(max(1, usable_cpus() // options.cpus_per_trial) / gpus), BESIDE)
    return math.floor(10_000 / beside) / 10_000  # Ray counts in ten-thousandths
