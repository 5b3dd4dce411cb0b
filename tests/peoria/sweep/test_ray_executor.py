"""Ray executes: relative paths, fractions, the end of a sweep whose trials all fail, and who is given another process."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from peoria.config.trial import TrialConfig
from peoria.data.dataset import Dataset
from peoria.models import build
from peoria.records.folder import SweepFolder, TrialFolder
from peoria.records.trials import read_trials
from peoria.sweep import ray_executor
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from peoria.sweep.trial_store import Assignment, TrialStore
from peoria.training.messages import TrialReport, TrialSpec
from tests.helpers.small import small_sweep


def weights_of_tiny(path: Path) -> None:
    net, _ = build("tiny", num_outputs=1, seed=5)
    torch.save(net.trunk.state_dict(), path)


@pytest.mark.slow
def test_paths_in_a_sweep_start_where_the_command_was_given(planted_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    weights_of_tiny(tmp_path / "tiny.pth")
    sweep = small_sweep(planted_shards, trials=2, shared=small_sweep(planted_shards).shared | {"weights": "tiny.pth"})
    said: list[str] = []
    result = run_sweep(sweep, RunOptions(home=Path("home"), concurrent=2, tracking="off"), said.append)
    assert result.complete
    assert "weights     tiny.pth: " in said[0]
    assert all(trial.status in ("done", "pruned") for trial in read_trials(result.folder))
    assert result.folder.baseline("frozen-trunk-ridge").record.exists()  # the trunk that was loaded is a baseline too

    # The same sweep where every trial fails: it stops by itself, and says why.
    gone = sweep.model_copy(update={"name": "gone", "trials": 50})
    home = Path("home2")
    monkeypatch.setattr("peoria.sweep.run.write_baselines", lambda *_: (tmp_path / "tiny.pth").unlink())
    result = run_sweep(gone, RunOptions(home=home, concurrent=2, tracking="off"), said.append)
    assert not result.complete
    assert result.exit_code == 3
    assert 3 <= result.counts["failed"] <= 5  # what was under way when the third failed
    assert any("stopped: 3 trials in a row failed; the last one" in line and "tiny.pth" in line for line in said)
    assert json.loads(result.folder.finished.read_text())["status"] == "failed"


def stub(config: TrialConfig, dataset: Dataset, folder: TrialFolder) -> Iterator[TrialReport]:
    """In place of training: the first trial of a sweep meets the error whose name lies beside the sweep, the others do not."""
    (folder.path / "pid").write_text(f"{os.getpid()} {len(dataset.train)}")
    error = (folder.path.parents[2] / "error").read_text()
    if folder.key == "0000":
        raise {"gpu": torch.OutOfMemoryError("CUDA out of memory"), "bug": ValueError("a bug")}[error]
    for step in config.evaluation_points():
        status = "done" if step == config.pictures else "running"
        yield TrialReport.model_validate({"step": step, "status": status, "objective": 0.1, "points": [(step, {"val/rank_mean": 0.1})]})


class StubActor(ray_executor.TrialActor):
    """A worker that trains by :func:`stub`."""

    def setup(self, config: dict[str, Any]) -> None:
        import peoria.training.trial

        peoria.training.trial.train = stub
        super().setup(config)


@pytest.mark.slow
@pytest.mark.parametrize(("error", "same", "text"), [("gpu", False, "GPU memory: "), ("bug", True, "ValueError")])
def test_a_process_that_memory_ran_out_in_is_not_used_again(
    error: str, same: bool, text: str, planted_shards: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By pids. A trial that fails by itself leaves its worker to the next one: the control."""
    (tmp_path / "error").write_text(error)
    store = TrialStore(SweepFolder(tmp_path / "sweep"), small_sweep(planted_shards, trials=2, prune=False))
    monkeypatch.setattr(ray_executor, "TrialActor", StubActor)
    ray_executor.ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # a worker cannot import this file

    def spec(assignment: Assignment) -> TrialSpec:
        places = {"folder": assignment.folder.path, "shards": planted_shards, "cache": home / "cache"}
        return TrialSpec(key=assignment.key, config=assignment.config, cache_bytes=None, control=None, where=None, **places)

    ended: list[str] = []
    ray_executor.connect(num_cpus=1, num_gpus=None)
    try:
        ray_executor.run_with_ray(
            ray_executor.TuneState(store, spec, ended.append, {}), tmp_path / "tune", concurrent=1, cpus=1, gpus=0.0, seconds=120
        )
    finally:
        ray_executor.disconnect()
        ray_executor.ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
    outcomes = [json.loads(store.folder.trial(key).outcome.read_text()) for key in ("0000", "0001", "0002")]
    assert [outcome["status"] for outcome in outcomes] == ["failed", "done", "done"]
    assert outcomes[0]["error"].splitlines()[-1].startswith(text)
    assert ended == ["0000", "0001", "0002"]  # each once
    first, second, third = ((store.folder.trial(key).path / "pid").read_text() for key in ("0000", "0001", "0002"))
    assert (first == second) is same
    assert second == third


FORKS_BESIDE_PRODUCTS = """
import subprocess, sys, time
from types import SimpleNamespace
import numpy as np
from peoria.sweep import ray_executor

def forks(**_):
    end = time.monotonic() + 2
    while time.monotonic() < end:
        subprocess.run(["true"], preexec_fn=lambda: None)  # as Ray starts its processes: with a fork

ray_executor.connect = forks
if sys.argv[1] == "unheld":
    ray_executor.threadpool_limits = lambda *_: SimpleNamespace(restore_original_limits=lambda: None)
with ray_executor.RayInBackground(num_cpus=1, num_gpus=None) as aside:
    long, square = np.ones((2000, 100)), np.ones((100, 100))
    while not aside._started.done():
        long @ square
    aside.wait()
"""


@pytest.mark.parametrize("held", ["held", "unheld"])
def test_linear_algebra_does_not_hang_while_ray_starts(held: str) -> None:
    from threadpoolctl import threadpool_info

    if held == "unheld" and not any(pool["internal_api"] == "openblas" and pool["num_threads"] > 1 for pool in threadpool_info()):
        pytest.skip("the control needs OpenBLAS with more than one thread")
    command = [sys.executable, "-c", FORKS_BESIDE_PRODUCTS, held]
    if held == "held":
        subprocess.run(command, check=True, timeout=60)
    else:

        def hangs() -> bool:
            try:
                subprocess.run(command, check=True, timeout=15)
            except subprocess.TimeoutExpired:
                return True
            return False

        assert any(hangs() for _ in range(4))  # a fork has to meet a product; so far the first try always did
