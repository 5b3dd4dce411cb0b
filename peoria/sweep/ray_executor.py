"""Ray Tune as executor: it places trials on CPUs and GPUs. What is true, and who is tried again, stays in the store.

Nothing of ours lives in Tune's own state: its experiment file is not written atomically, and a torn one loses the sweep in silence.
"""

import gc
import logging
import os
import secrets
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Read by Ray when it is imported. Only the JSON logger is needed: without any logger Tune cannot build its result.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "3600")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")  # a trial that was given no GPU sees none
os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"  # paths in a sweep file start where the command was given
if "RAY_ADDRESS" not in os.environ:
    # A token for a Ray of our own: left to itself, Ray writes one into the home directory, readable by all.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))

import ray
import scipy.linalg  # noqa: F401 - its BLAS has to be loaded for its threads to be held back
from ray import tune
from ray.tune.logger import JsonLoggerCallback
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher
from threadpoolctl import threadpool_limits

from peoria.errors import SweepError
from peoria.sweep.trial_store import Assignment, TrialStore
from peoria.training.gpu import release_memory
from peoria.training.messages import TrialReport, TrialSpec
from peoria.training.trial import run_trial

# Freed multi-megabyte buffers go back to the process, not to the kernel: up to 1.2 × faster training on a CPU. WDS_SECURE: a second belt.
WORKER_ENV = {
    "MALLOC_TRIM_THRESHOLD_": str(4 << 30),
    "MALLOC_MMAP_THRESHOLD_": str(4 << 30),
    "WDS_SECURE": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


class TrialActor(tune.Trainable):
    """A trial for Tune: each ``train`` call brings the next report. Tune's checkpoints are not used; the trial's folder has ours."""

    def setup(self, config: dict[str, Any]) -> None:
        self._broken = False
        share = ray.get_runtime_context().get_assigned_resources().get("GPU", 0.0)
        self._reports = run_trial(TrialSpec.model_validate_json(config["spec"]), gpu_share=share, broken=self._break)

    def step(self) -> dict[str, Any]:
        if self._broken:
            # Not by returning False from `reset_config`: Tune would drop the next trial without telling the searcher.
            ray.actor.exit_actor()
        report = next(self._reports).model_dump_json()  # as text: Tune would flatten every curve into columns of its own
        return {"report": report, "broken": self._broken}

    def cleanup(self) -> None:
        self._reports.close()

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._reports.close()
        release_memory()
        self.setup(new_config)
        return True

    def _break(self) -> None:
        self._broken = True


class StoreSearcher(Searcher):
    """Asks the store for the next trial, and tells it whose worker died.

    Tune itself retries nothing: it takes a worker that dies between two trials for a trial that failed.
    """

    def __init__(self, state: "TuneState") -> None:
        super().__init__(metric="report", mode="max")
        self.state = state

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        assignment = self.state.store.ask()
        if assignment is None:
            # While trials are under way one of them may yet fail, or its worker die, and remain again.
            return None if self.state.store.under_way else str(Searcher.FINISHED)
        self.state.keys[trial_id] = assignment.key
        return {"spec": self.state.spec(assignment).model_dump_json()}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if error and self.state.store.worker_died(key := self.state.keys[trial_id]):
            self.state.ended(key)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the store is the state."""


class StoreScheduler(FIFOScheduler):
    """Enters every report in the store and stops a trial when the store says that it is over."""

    def __init__(self, state: "TuneState") -> None:
        super().__init__()
        self.state = state

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        key = self.state.keys[trial.trial_id]
        if self.state.store.report(key, TrialReport.model_validate_json(result["report"])):
            return str(TrialScheduler.CONTINUE)
        self.state.ended(key)
        # A broken process is let go on to its own end: stopped, it would be given the next trial.
        return str(TrialScheduler.CONTINUE if result["broken"] else TrialScheduler.STOP)


@dataclass
class TuneState:
    """What searcher and scheduler share. Tune copies and pickles both for its own state; a copy of the state is the state, a pickle is empty."""

    store: TrialStore
    spec: Callable[[Assignment], TrialSpec]
    ended: Callable[[str], None]
    keys: dict[str, str]

    def __deepcopy__(self, memo: dict[int, Any]) -> "TuneState":
        return self

    def __reduce__(self) -> tuple[type, tuple[()]]:
        return (dict, ())


def refuse_without_token() -> None:
    """
    Raises:
        SweepError: ``RAY_ADDRESS`` names a cluster and no token is used; whoever reaches its port could run code on it.
    """
    address, mode = os.environ.get("RAY_ADDRESS"), os.environ.get("RAY_AUTH_MODE")
    if address and mode != "token":
        raise SweepError(
            f"RAY_AUTH_MODE: {mode!r} on the cluster {address}; 'token' is needed, for without one Ray runs anybody's code",
            hint="start every node with RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH, as ray_cluster.yaml does",
        )


class RayInBackground:
    """``with RayInBackground(...) as ray_aside``: Ray starts beside whatever else the sweep has to do.

    In a thread that lives as long as the block: Ray's processes are killed by the kernel when the thread that started them ends, and so when
    this process is killed. Ray forks, and OpenBLAS ends its threads when its process forks, even while a product in another thread waits for
    them, which then waits for ever; so linear algebra has one thread until Ray is there.
    """

    def __init__(self, *, num_cpus: int, num_gpus: float | None) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))  # as Ray does, but only where it is started in the main thread
        self._one_blas_thread = threadpool_limits(1, "blas")
        self._thread = ThreadPoolExecutor(1, "ray")
        self._started = self._thread.submit(connect, num_cpus=num_cpus, num_gpus=num_gpus)

    def __enter__(self) -> "RayInBackground":
        return self

    def wait(self) -> None:
        """Returns when trials can be placed; raises what `connect` raised."""
        try:
            self._started.result()
        finally:
            self._one_blas_thread.restore_original_limits()

    def leave(self) -> None:
        """Ends Ray, and waits for it: what Tune left in a circle is collected before, for a reference of Ray's that is dropped while or after Ray
        ends makes it end this process with status 1."""
        gc.collect()
        self._thread.submit(disconnect).result()

    def __exit__(self, *error: object) -> None:
        self._one_blas_thread.restore_original_limits()
        self.leave()
        self._thread.shutdown()


def connect(*, num_cpus: int | None, num_gpus: float | None) -> None:
    """Joins the cluster that ``RAY_ADDRESS`` names (as in a submitted job), or starts a Ray of our own on this machine, whose first workers import
    what a trial needs at once."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    logging.getLogger("ray._private.worker").setLevel(logging.ERROR)  # it warns that outside the main thread it handles no SIGTERM
    if "RAY_ADDRESS" in os.environ:
        ray.init(address=os.environ["RAY_ADDRESS"], runtime_env={"env_vars": WORKER_ENV}, **quiet)
        return
    os.environ.update(WORKER_ENV)  # inherited; with a runtime_env, the workers that Ray starts ahead would not do and others be started
    ray.init(address="local", num_cpus=num_cpus, num_gpus=num_gpus, include_dashboard=False, object_store_memory=100 << 20, **quiet)
    for _ in range(0 if num_gpus else num_cpus or 0):  # none that has seen no GPU, where there are some
        ray.remote(num_cpus=1)(_import_ahead).remote()


def _import_ahead() -> None:
    import peoria.training.loop  # noqa: F401


def run_with_ray(state: TuneState, scratch: Path, *, concurrent: int, cpus: float, gpus: float, seconds: float | None) -> None:
    """Runs all that the store owes; returns when it is done, the time is over, or somebody interrupts.

    Args:
        scratch: a folder for Tune's own files; emptied first.
        seconds: time budget; None: no limit. Trials cut off by it stay under way and go on in the next run.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    tuner = tune.Tuner(
        tune.with_resources(TrialActor, {"cpu": cpus, "gpu": gpus}),
        tune_config=tune.TuneConfig(
            search_alg=StoreSearcher(state),
            scheduler=StoreScheduler(state),
            num_samples=-1,
            max_concurrent_trials=concurrent,
            reuse_actors=True,
            time_budget_s=seconds,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(scratch.resolve()),
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            callbacks=[JsonLoggerCallback()],
            verbose=0,
        ),
    )
    tuner.fit()
    shutil.rmtree(scratch, ignore_errors=True)


def disconnect() -> None:
    """Leaves the cluster, or ends the Ray of our own."""
    ray.shutdown()
