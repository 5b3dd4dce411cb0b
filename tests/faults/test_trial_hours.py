"""A trial that takes too long is ended with its process, and told as failed; the others are not."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from peoria.records.folder import SweepFolder
from peoria.sweep.processes import marked
from peoria.sweep.trial_store import TrialStore
from tests.helpers.small import small_sweep
from tests.helpers.stub_actor import run_with_ray

pytestmark = pytest.mark.slow


def gone(pid: int) -> bool:
    """Within a while: the kernel takes a moment to take a killed process down."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "ZX":
                return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


def test_one_that_hangs_in_compiled_code_is_ended(planted_shards: Path, home: Path, tmp_path: Path) -> None:
    """It holds the interpreter's lock: no thread of its own process could end it."""
    (tmp_path / "fault").write_text("hang")
    store = TrialStore(SweepFolder(tmp_path / "sweep"), small_sweep(planted_shards, trials=2, prune=False))
    began = time.monotonic()
    said = run_with_ray(store, planted_shards, home / "cache", trial_hours=6 / 3600)
    assert [line for line in said if not line.startswith("  ")] == ["0000", "0001", "0002"]
    outcome = json.loads(store.folder.trial("0000").outcome.read_text())
    assert (outcome["status"], outcome["error"]) == ("failed", "longer than --trial-hours 0.00166667")
    assert gone(int((store.folder.trial("0000").path / "pid").read_text().split()[0]))
    assert store.counts()["done"] == 2
    assert time.monotonic() - began > 6


def test_control_without_a_limit_it_hangs(planted_shards: Path, home: Path, tmp_path: Path) -> None:
    """Until the budget of the whole run is over."""
    (tmp_path / "fault").write_text("hang")
    store = TrialStore(SweepFolder(tmp_path / "sweep"), small_sweep(planted_shards, trials=1, prune=False))
    import peoria.sweep.ray_process as ray_process

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_process, "HOURS_GRACE_S", 3.0)
        assert run_with_ray(store, planted_shards, home / "cache", hours=40 / 3600) == []
    assert not store.folder.trial("0000").outcome.exists()
    assert gone(int((store.folder.trial("0000").path / "pid").read_text().split()[0]))  # ended with Ray


@pytest.mark.parametrize("flags", [("--local",), ()], ids=["local", "ray"])
def test_a_long_trial_is_ended_by_the_command(flags: tuple[str, ...], command: Any) -> None:
    run = command(*flags, "--trial-hours", "0.000001")
    assert run.start().wait(timeout=240) == 4, run.said()[-3000:]
    assert "stopped: 3 trials in a row failed" in run.said()
    assert run.said().count("longer than --trial-hours 1e-06") >= 3
    assert run.status() == "failed"
    assert not marked("")
