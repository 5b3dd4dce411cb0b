"""Where a result came from: code, dependencies, machine. Recorded with every sweep."""

import hashlib
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from peoria.records.schema import Environment

PACKAGES = ("peoria", "torch", "torchvision", "ray", "optuna", "mlflow", "webdataset", "numpy", "pillow", "simplejpeg", "opencv-python-headless")
PROJECT = Path(__file__).resolve().parents[2]


def environment() -> Environment:
    """Git commit (and whether the tree differs from it), digest of the lock, machine, versions; None where it cannot be known."""
    lock = PROJECT / "requirements.lock"
    status = _git("status", "--porcelain", "--untracked-files=no")
    return Environment(
        git_commit=_git("rev-parse", "HEAD"),
        git_dirty=None if status is None else bool(status),
        lock_sha256=hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else None,
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {_accelerator()}",
        python=platform.python_version(),
        versions={name: found for name in PACKAGES if (found := _version(name)) is not None},
    )


def _git(*words: str) -> str | None:
    try:
        return subprocess.run(["git", "-C", str(PROJECT), *words], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None  # installed from a wheel, or no git on this machine


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _accelerator() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"
