"""What a training takes of its machine, as MLflow's own system metrics are named, where they are wanted.

They are wanted where MLflow's own switch, ``MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING``, says so. They stand in the curve with what was learnt, at each
evaluation, so that they reach MLflow as all else does; without the switch a curve holds nothing that depends on the machine.
"""

import os
import time

from peoria.training.memory import available_bytes, rss_bytes

SWITCH = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"
PREFIX = "system/"  # by which MLflow's page puts them on a tab of their own


def passed_on() -> dict[str, str]:
    """The switch, for a worker's environment."""
    return {name: value for name, value in os.environ.items() if name == SWITCH}


class Usage:
    """Of this process, since it was asked last."""

    def __init__(self, device: str) -> None:
        """
        Args:
            device: that it trains on, ``cpu`` or ``cuda``.
        """
        self.wanted, self._device = os.environ.get(SWITCH, "").strip().lower() in ("1", "true"), device
        self._at, self._cpu_s, self._seen = time.monotonic(), time.process_time(), 0

    def since(self, seen: int) -> dict[str, float]:
        """Metrics, with their prefix; {} where they are not wanted.

        Args:
            seen: pictures so far in this process, repeats counted.
        """
        if not self.wanted:
            return {}
        now, cpu_s = time.monotonic(), time.process_time()
        took_s = max(now - self._at, 1e-9)
        found = {
            "pictures_per_second": (seen - self._seen) / took_s,
            "process_cpu_utilization_percentage": 100 * (cpu_s - self._cpu_s) / took_s,
            "process_memory_usage_megabytes": rss_bytes() / 1e6,
            "available_memory_megabytes": available_bytes() / 1e6,
            **(_of_gpu() if self._device == "cuda" else {}),
        }
        self._at, self._cpu_s, self._seen = now, cpu_s, seen
        return {f"{PREFIX}{name}": value for name, value in found.items()}


def _of_gpu() -> dict[str, float]:
    """Of the device that this process trains on, the only one that it sees, with all that others have of it."""
    import torch

    free, total = torch.cuda.mem_get_info()
    return {
        "gpu_0_memory_usage_megabytes": (total - free) / 1e6,
        "gpu_0_memory_usage_percentage": 100 * (total - free) / total,
        "gpu_0_process_peak_megabytes": torch.cuda.max_memory_allocated() / 1e6,
    }
