"""How the process that Ray is used in comes to it: it joins a cluster, or starts a Ray of our own."""

import os
from typing import Any

import ray

from peoria.sweep.leaving import CLUSTER_ENV
from peoria.sweep.ray_setup import Setup
from peoria.training.memory import available_bytes
from peoria.training.usage import passed_on

IDLE_MS = 20_000  # that workers live with nothing to do; by Ray's own second some are ended between the first trials' reservations and their start
AHEAD_BYTES = 400 << 20  # of a worker that has imported AHEAD; Ray starts as many ahead as it has CPUs
AHEAD = ("peoria.sweep.ray_executor", "peoria.training.loop", "peoria.training.steps")  # what a trial needs, with Tune and torch


def connect(setup: Setup) -> None:
    """Joins the cluster at ``setup.address`` (as in a submitted job), or starts a Ray of our own on this machine, whose first workers import what a
    trial needs at once."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if setup.address is not None:
        ray.init(address=setup.address, runtime_env={"env_vars": setup.worker_env | CLUSTER_ENV | passed_on()}, **quiet)
        return
    _leave_out()
    os.environ.update(ahead(setup) | os.environ)
    ray.init(  # worker_env is inherited; with a runtime_env, the workers that Ray starts ahead would not do and others be started
        address="local",
        num_cpus=setup.num_cpus,
        num_gpus=setup.num_gpus,
        include_dashboard=False,
        object_store_memory=100 << 20,
        _temp_dir=setup.temporary,
        **quiet,
    )


def ahead(setup: Setup) -> dict[str, str]:
    """The environment in which Ray's first workers import what a trial needs: {} where there is little memory for that, or where there are GPUs,
    which none of these would have seen."""
    if setup.num_gpus or 4 * setup.num_cpus * AHEAD_BYTES > available_bytes():
        return {}
    return {"RAY_preload_python_modules": ",".join(AHEAD), "RAY_idle_worker_killing_time_threshold_ms": str(IDLE_MS)}


class ActorClasses:
    """In place of Tune's own, for a Ray of our own: that one gives its actors an environment of their own (for a library that we have not), and what
    this Ray's workers inherit besides. An actor with an environment, or a worker that has run a task, is none for the workers that Ray has started
    ahead: others would be started when the first trials are there, and all be imported once more."""

    def __init__(self) -> None:
        self._made: dict[type, Any] = {}

    def get(self, trainable: type) -> Any:
        if trainable not in self._made:
            self._made[trainable] = ray.remote(trainable)
        return self._made[trainable]


def _leave_out() -> None:
    """Of a Ray of our own: the server of its page (which is started and waited for though no page is wanted), the autoscaler and the reader of
    workers' logs. They take a third of the CPU time of its start. A Ray that has them elsewhere starts them all."""
    try:
        from ray._private.node import Node
    except ImportError:
        return

    def no_server(node: Node, **_: Any) -> None:
        node._webui_url = ""

    def nothing(node: Node) -> None:
        pass

    Node.start_api_server, Node.start_monitor, Node.start_log_monitor = no_server, nothing, nothing
