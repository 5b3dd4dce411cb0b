"""Where a result came from: code, dependencies, machine. Recorded with every sweep."""

import hashlib
import os
import platform
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from peoria.records.schema import Environment

PACKAGES = ("peoria", "torch", "torchvision", "ray", "optuna", "mlflow", "webdataset", "numpy", "pillow", "simplejpeg", "opencv-python-headless")
AROUND = Path(__file__).resolve().parents[2]  # the checkout, or what the package is installed into


def environment() -> Environment:
    """Git commit (and whether the tree differs from it), digest of the lock, machine, versions; None where it cannot be known.

    Commit and lock are those of peoria's own checkout. From a wheel both are None, and the version of ``peoria`` stands alone.
    """
    root = checkout(AROUND)
    lock = None if root is None else root / "requirements.lock"
    status = git(root, "status", "--porcelain", "--untracked-files=no")
    return Environment(
        git_commit=git(root, "rev-parse", "HEAD"),
        git_dirty=None if status is None else bool(status),
        lock_sha256=hashlib.sha256(lock.read_bytes()).hexdigest() if lock is not None and lock.is_file() else None,
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {_accelerator()}",
        cpu=_cpu(),
        python=platform.python_version(),
        versions={name: found for name in PACKAGES if (found := _version(name)) is not None},
    )


def checkout(around: Path) -> Path | None:
    """The folder if it is a checkout of peoria; None for any other, as the ``site-packages`` of a wheel."""
    try:
        project = tomllib.loads((around / "pyproject.toml").read_text(encoding="utf-8")).get("project")
    except (OSError, ValueError, RecursionError):  # somebody else's file
        return None
    return around if isinstance(project, dict) and project.get("name") == "peoria" else None


def git(root: Path | None, *words: str) -> str | None:
    """What git says of the repository at ``root`` itself, never of one around it; None without one, or without git on this machine.

    What the environment says to git (GIT_DIR, GIT_INDEX_FILE, as in a hook) is of another repository and not passed on.
    """
    if root is None:
        return None
    here = f"--git-dir={root / '.git'}", f"--work-tree={root}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {"GIT_OPTIONAL_LOCKS": "0"}
    try:
        ran = subprocess.run(["git", *here, *words], capture_output=True, encoding="utf-8", errors="replace", check=True, env=environment)
    except (OSError, subprocess.CalledProcessError):
        return None
    return ran.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _cpu() -> str | None:
    """As Linux names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _accelerator() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"
