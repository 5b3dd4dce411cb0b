"""What a trial gets of this machine where nobody said."""

from pathlib import Path
from typing import Any

import pytest

from peoria.sweep import resources
from peoria.sweep.resources import RunOptions, concurrency, default_gpus, own_gpus
from tests.helpers.small import small_sweep


@pytest.mark.parametrize(
    ("gpus", "cpus", "shared", "options", "found", "at_once"),
    [
        (1, 16, {"net": "caffenet"}, {}, 1.0, 1),
        (4, 16, {"net": "caffenet"}, {}, 1.0, 4),
        (0, 16, {"net": "caffenet"}, {}, 0.0, 16),
        (1, 16, {"net": "caffenet"}, {"ray": "10.0.0.1:6379"}, 0.0, 8),
        (1, 16, {"net": "tiny"}, {}, 0.0, 16),
        (1, 16, {"net": "alexnet", "trunk": "frozen", "weights": "x"}, {}, 0.1, 10),
        (4, 16, {"net": "alexnet", "trunk": "frozen", "weights": "x"}, {}, 0.25, 16),
        (4, 6, {"net": "alexnet", "trunk": "frozen", "weights": "x"}, {}, 0.5, 6),
        (2, 7, {"net": "alexnet", "trunk": "frozen", "weights": "x"}, {"cpus_per_trial": 2}, 0.5, 3),
        (1, 3, {"net": "alexnet", "trunk": "frozen", "weights": "x"}, {}, 0.3333, 3),
        (1, 16, {"net": "alexnet", "trunk": "frozen", "weights": "x"}, {"local": True}, 1.0, 1),
    ],
)
def test_heads_and_small_nets_take_no_whole_gpu(
    gpus: int, cpus: int, shared: dict[str, Any], options: dict[str, Any], found: float, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many trials at a time as CPUs, where these train; the GPUs that their shares need are there."""
    monkeypatch.setattr(resources, "gpus_here", lambda: gpus)
    monkeypatch.setattr(resources, "usable_cpus", lambda: cpus)
    asked = RunOptions(**{"ray": "local", **options} if not options.get("local") else options)
    share = default_gpus(asked, small_sweep(Path("x"), shared=shared))
    assert share == found
    there = RunOptions(**{**vars(asked), "gpus_per_trial": share})
    assert concurrency(there) == at_once
    assert (own_gpus(share, at_once) or 0) <= gpus
