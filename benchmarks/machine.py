"""What the figures were measured on."""

import os
import platform
import subprocess
from typing import Any

from benchmarks.figures import Setting
from benchmarks.rounds import MALLOC, ONE_THREAD
from peoria.sweep.provenance import environment
from shards.cpus import usable_cpus

PEERS = ("litdata", "mosaicml-streaming", "img2dataset", "torch", "torchvision", "pillow", "opencv-python-headless")
_VERSIONS = "import importlib.metadata as m, json, sys; print(json.dumps({d.metadata['Name'].lower(): d.version for d in m.distributions()}))"


def machine(setting: Setting) -> dict[str, Any]:
    return {
        "host_class": host_class(),
        "cpu": cpu_model(),
        "num_cpus": usable_cpus(),
        "load_average": os.getloadavg(),
        "environment": environment().model_dump(),
        "peers": peer_versions(setting.peers),
        "malloc": MALLOC,
        "one_thread": ONE_THREAD,
        "rounds": setting.rounds,
    }


def host_class() -> str:
    """Names the results file: machines of one class give comparable ratios."""
    import torch

    gpu = torch.cuda.get_device_name(0).lower().replace("nvidia ", "") if torch.cuda.is_available() else "no gpu"
    vendor = next((name for name in ("amd", "intel") if name in cpu_model().lower()), platform.machine())
    return f"{vendor}-{usable_cpus()}cpu-{gpu}".replace(" ", "-")


def cpu_model() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def peer_versions(python: str) -> dict[str, str]:
    import json

    try:
        found = json.loads(subprocess.run([python, "-c", _VERSIONS], capture_output=True, text=True, check=True).stdout)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return {}
    return {name: found[name] for name in PEERS if name in found}
