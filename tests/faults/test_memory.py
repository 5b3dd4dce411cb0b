"""Ray's memory monitor ends workers where memory runs out: whose fault that is decides, and nothing is lost either way."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from peoria.records.folder import SweepFolder
from peoria.records.schema import TrialOutcome, TrialStart
from peoria.sweep.trial_store import TrialStore
from tests.helpers.faults import digests, long_count, sample
from tests.helpers.small import small_sweep
from tests.helpers.stub_actor import run_with_ray

pytestmark = pytest.mark.slow

MARGIN = 3 << 30  # bytes between what is used now and where the monitor kills; a sweep itself takes some of them
NEEDED = 9 << 30  # of free memory
ROOM = 1 << 30  # of the container that a trial which grows thinks it is in: what it takes until it is killed is more than half of that
NOT_TOLD_APART = """
import peoria.sweep.ray_process as ray_process
ray_process.CODE = ray_process.CODE.replace("serve(int", "import peoria.sweep.ray_executor as e, ray.exceptions; "
    "e.ActorManager._actor_task_failed = e.RayActorManager._actor_task_failed; serve(int")
"""


def meminfo(name: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines[name].split()[0]) * 1024


def used() -> int:
    return meminfo("MemTotal") - meminfo("MemAvailable")


@pytest.fixture
def limit() -> int:
    """Bytes in use on the machine from which on Ray ends workers: somewhat more than now."""
    if meminfo("MemAvailable") < NEEDED:
        pytest.skip(f"{NEEDED >> 30} GiB of free memory are needed")
    return used() + MARGIN


def monitor(limit: int) -> dict[str, str]:
    """For Ray."""
    return {"RAY_memory_usage_threshold": f"{limit / meminfo('MemTotal'):.4f}", "RAY_memory_monitor_refresh_ms": "250"}


class Hog:
    """A process of the test's own that takes as much memory as is missing to the limit, and some more, as somebody else's would."""

    def __init__(self, limit: int) -> None:
        self._size = max(0, limit - used()) + (1 << 29)

    def __enter__(self) -> "Hog":
        code = f"import time; held = bytearray({self._size}); held[::4096] = b'x' * len(held[::4096]); time.sleep(600)"
        self._process = subprocess.Popen([sys.executable, "-c", code])
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()


def test_a_trial_that_gives_way_to_others_is_owed_again(undisturbed: dict[str, Any], command: Any, limit: int) -> None:
    """No strike, whatever the number of kills, and the same bits in the end."""
    run, kills, deadline = command(**monitor(limit)), 0, time.monotonic() + sample(3000, 400)
    while kills < sample(20, 2):  # of several sweeps, each from the start, for the long count
        process, told = run.start(), 0
        while told < sample(5, 2) and kills + told < sample(20, 2) and process.poll() is None:
            before = run.num_reports()
            while not (run.num_reports() > before and run.training()) and process.poll() is None:
                time.sleep(0.02)
            with Hog(limit):
                while run.said().count("Ray's memory monitor") == told and process.poll() is None:
                    assert time.monotonic() < deadline, run.said()[-3000:]
                    time.sleep(0.1)
            told = run.said().count("Ray's memory monitor")
        assert process.wait(timeout=400) == 0, run.said()[-3000:]
        assert "tries" not in run.said()
        assert digests(run.folder) == undisturbed
        kills += told
        run.empty()
    assert kills >= sample(20, 2)


def test_control_tune_ends_the_run_at_such_a_kill(command: Any, limit: int) -> None:
    run = command(before=NOT_TOLD_APART, **monitor(limit))
    process = run.start()
    run.wait_until(lambda: run.num_reports() > 1 and run.training(), process)
    with Hog(limit):
        run.wait_until(lambda: "Ray: RuntimeError: Caught unexpected exception" in run.said(), process, timeout_s=120)
    os.kill(process.pid, 15)
    assert process.wait(timeout=30) == 143


@pytest.fixture
def grown(
    planted_shards: Path, home: Path, tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], tuple[TrialStore, list[str]]]:
    """Runs a sweep whose first trial takes memory until Ray kills it, so many times; what the sweep then is, and what it said."""

    def run(times: int) -> tuple[TrialStore, list[str]]:
        (tmp_path / "fault").write_text(f"grow {times}")
        (tmp_path / "cgroup").mkdir()
        (tmp_path / "cgroup" / "memory.max").write_text(f"{ROOM}\n")
        (tmp_path / "cgroup" / "memory.current").write_text("0\n")
        for name, value in monitor(limit).items():
            monkeypatch.setenv(name, value)
        told: list[str] = []
        store = TrialStore(SweepFolder(tmp_path / "sweep"), small_sweep(planted_shards, trials=1, prune=False), say=told.append)
        said = run_with_ray(store, planted_shards, home / "cache")
        assert (store.folder.trial("0000").path / "tries").stat().st_size == times + (0 if "0001" in said else 1)
        return store, told + said

    return run


OWN = re.compile(r"memory: it took \d\.\d GB of 1\.1")


@pytest.mark.parametrize("times", [1, 2])
def test_a_trial_that_outgrew_memory_is_tried_once_at_half_the_batch(grown: Any, times: int) -> None:
    """Fits it there, it is done, marked so; else it is infeasible, and another trial takes its place."""
    store, said = grown(times)
    trial, whole = store.folder.trial("0000"), small_sweep(Path("nowhere")).shared["batch_size"]
    start, outcome = TrialStart.read(trial.start), TrialOutcome.read(trial.outcome)
    assert (start.half_batch, start.config.batch_size) == (True, whole // 2)
    assert start.label.endswith(", half the batch")
    assert outcome.settings_sha256 == start.config.sha256
    (line,) = [line for line in said if line.startswith("  ")]
    assert re.fullmatch(rf"  0000: {OWN.pattern}; it begins again with a batch of {whole // 2}", line)
    if times == 1:
        assert (outcome.status, said[-1]) == ("done", "0000")
    else:
        assert outcome.status == "infeasible"
        assert OWN.fullmatch(str(outcome.error))
        assert said[-2:] == ["0000", "0001"]
        assert not TrialStart.read(store.folder.trial("0001").start).half_batch


@long_count
def test_control_not_told_apart_it_is_tried_whole_again_and_again(grown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it does not fit: as if others had taken the memory."""
    monkeypatch.setattr("peoria.sweep.dispatch.outgrew", lambda need_bytes, room_bytes: False)
    store, said = grown(2)
    assert [line for line in said if line.startswith("  ")] == [
        f"  0000: Ray's memory monitor ended its worker, because of what others use; it goes on in {wait_s} s" for wait_s in (2, 4)
    ]
    start = TrialStart.read(store.folder.trial("0000").start)
    assert (start.half_batch, start.config.batch_size) == (False, small_sweep(Path("nowhere")).shared["batch_size"])
    assert TrialOutcome.read(store.folder.trial("0000").outcome).status == "done"
