"""The CPUs that this one can stand for, by what numpy, torch and OpenBLAS read from the environment.

Each has vector instructions of its own, and floating sums that differ in their last bits. ``python -m tests.helpers.cpus`` prints `another`.
"""

import functools
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
VARIABLES = ("NPY_DISABLE_CPU_FEATURES", "ATEN_CPU_CAPABILITY", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
TELL = """
import json
import numpy as np, scipy.linalg
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
from threadpoolctl import threadpool_info
x = np.random.default_rng(0).normal(size=(300, 300))
found = {"blas": sorted({i["architecture"] for i in threadpool_info() if i["internal_api"] == "openblas"})}
found["numpy"] = [name for name in __cpu_dispatch__ if __cpu_features__[name]]
found["sums"] = [float(value).hex() for value in (np.linalg.norm(x @ x), x[0] @ x[1], np.exp(x).sum(), *np.convolve(x[0], x[1], "valid"))]
print(json.dumps(found))
"""


def clean() -> dict[str, str]:
    """The environment of a user, who has set none of this."""
    return {name: value for name, value in os.environ.items() if name not in VARIABLES} | {"PYTHONPATH": str(ROOT)}


def another() -> dict[str, str]:
    """What makes this machine compute as the oldest that the libraries run on: of numpy's features all that are dispatched and present."""
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    features = ",".join(name for name in __cpu_dispatch__ if __cpu_features__[name])
    found = {"NPY_DISABLE_CPU_FEATURES": features, "ATEN_CPU_CAPABILITY": "default"}
    return found | ({"OPENBLAS_CORETYPE": "Nehalem"} if platform.machine() == "x86_64" else {})


@functools.cache
def cpus() -> dict[str, dict[str, str]]:
    """Whole environments by name: of this CPU as it is, and of every other that it can stand for."""
    run = subprocess.run([sys.executable, "-m", "tests.helpers.cpus"], cwd=ROOT, env=clean(), capture_output=True, text=True, check=True)
    found = {"this": clean(), "another": clean() | dict(word.split("=", 1) for word in run.stdout.split())}
    if platform.machine() == "x86_64":
        found["Haswell"] = clean() | {"OPENBLAS_CORETYPE": "Haswell"}
        if "avx512f" in Path("/proc/cpuinfo").read_text().split():
            found["SkylakeX"] = clean() | {"OPENBLAS_CORETYPE": "SkylakeX"}
    return found


def on_each(code: str, *words: str) -> dict[str, list[str]]:
    """By name of a CPU: the lines that ``code`` prints there with the arguments ``words``, {name} filled in; all processes at once.

    That they do compute differently is checked.
    """
    running = {}
    for name, environment in cpus().items():
        command = [sys.executable, "-c", code + TELL, *(word.format(name=name) for word in words)]
        running[name] = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    printed: dict[str, list[str]] = {}
    told: dict[str, Any] = {}
    for name, process in running.items():
        out, error = process.communicate(timeout=300)
        assert process.returncode == 0, f"{name}: {error}"
        *printed[name], last = out.splitlines()
        told[name] = json.loads(last)
    assert len({tuple(found["sums"]) for found in told.values()}) > 1  # control: plain sums do differ between them
    assert told["another"]["numpy"] == []
    return printed


if __name__ == "__main__":
    print(" ".join(f"{name}={value}" for name, value in another().items()))
