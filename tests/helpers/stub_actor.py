"""Workers that do something else than training, named to Ray's process as ``tests.helpers.stub_actor:CLASS``."""

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from ray.tune.execution import tune_controller
from ray.tune.execution.class_cache import _ActorClassCache

from peoria.config.trial import TrialConfig
from peoria.data.dataset import Dataset
from peoria.records.folder import TrialFolder
from peoria.sweep.dispatch import Dispatch
from peoria.sweep.preflight import Probe
from peoria.sweep.ray_executor import TrialActor
from peoria.sweep.ray_process import RayProcess
from peoria.sweep.ray_setup import Setup
from peoria.sweep.signals import Signals
from peoria.sweep.trial_store import Assignment, TrialStore
from peoria.training.messages import TrialReport, TrialSpec

if os.environ.get("STUB_TUNES_OWN") == "1":  # in Ray's process, after peoria has put its own in place
    tune_controller._ActorClassCache = _ActorClassCache
CHUNK = 64 << 20  # bytes
MOST = 5 << 30


def stub(
    config: TrialConfig, dataset: Dataset, folder: TrialFolder, stop: Callable[[], bool] = lambda: False, *on: str | None
) -> Iterator[TrialReport]:
    """In place of training: the first trial of a sweep meets what the file ``fault`` beside the sweep names, the others do not."""
    (folder.path / "pid").write_text(f"{os.getpid()} {len(dataset.train)}")
    if "STUB_TUNES_OWN" in os.environ:
        (folder.path / "begun").write_text(str(begun_at()))
    (folder.path / "gpus").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    fault = (folder.path.parents[2] / "fault").read_text()
    if folder.key == "0000":
        match fault:
            case "gpu":
                raise torch.OutOfMemoryError("CUDA out of memory")
            case "bug":
                raise ValueError("a bug")
            case "hang":  # in compiled code that lets nobody else in, for ever
                re.match(r"(a+)+$", "a" * 60 + "b")
            case _ if fault.startswith("grow "):
                grow(folder, times=int(fault.split()[1]))
    for step in config.evaluation_points():
        status = "done" if step == config.pictures else "running"
        yield TrialReport.model_validate({"step": step, "status": status, "objective": 0.1, "points": [(step, {"val/rank_mean": 0.1})]})


def begun_at() -> float:
    """When this process began, unix seconds."""
    up_s = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - up_s + int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")


def grow(folder: TrialFolder, times: int) -> None:
    """Takes memory until the process is ended for it, the first ``times`` times that the trial runs. Not more than `MOST` in all."""
    with (folder.path / "tries").open("a") as tries:
        tries.write("x")
    if (folder.path / "tries").stat().st_size > times:
        return
    held = []
    while len(held) * CHUNK < MOST:
        held.append(b"x" * CHUNK)
        time.sleep(0.05)
    time.sleep(60)
    raise AssertionError(f"nobody ended a process of {MOST >> 30} GiB")


class StubActor(TrialActor):
    """A worker that trains by :func:`stub`. A folder ``cgroup`` beside the sweep is the container that it thinks it is in."""

    def setup(self, config: dict[str, Any]) -> None:
        import peoria.training.memory
        import peoria.training.trial

        peoria.training.trial.train = stub  # type: ignore[assignment]
        container = TrialSpec.model_validate_json(config["spec"]).folder.parents[2] / "cgroup"
        if container.is_dir():
            peoria.training.memory.CGROUP = container
        super().setup(config)


def run_with_ray(
    store: TrialStore, shards: Path, cache: Path, *, concurrent: int = 1, gpus: float = 0.0, num_gpus: int | None = None, **limits: Any
) -> list[str]:
    """Runs what the store owes by Ray, with `StubActor` in place of the worker; returns what it said, and the keys of the trials as they ended."""
    said: list[str] = []

    def spec(assignment: Assignment) -> TrialSpec:
        places = {"folder": assignment.folder.path, "shards": shards, "cache": cache, "stop_file": store.folder.stopping}
        return TrialSpec(key=assignment.key, config=assignment.config, cache_bytes=None, control=None, where=None, **places)

    setup = Setup(
        address=None,
        num_cpus=concurrent,
        num_gpus=num_gpus,
        concurrent=concurrent,
        cpus=1,
        gpus=gpus,
        scratch=store.folder.tune,
        probe=Probe(gpus=gpus, pretend=True),
        actor="tests.helpers.stub_actor:StubActor",
    )
    with RayProcess(setup, store.folder.ray_log, said.append) as ray:
        ray.run(Dispatch(store, spec, said.append, said.append, Signals(), **limits))
    return said
