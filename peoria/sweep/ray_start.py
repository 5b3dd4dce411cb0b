"""How the process that Ray is used in comes to it: it joins a cluster, or starts a Ray of our own."""

from typing import Any

import ray

from peoria.sweep.leaving import CLUSTER_ENV
from peoria.sweep.ray_setup import Setup
from peoria.training.usage import passed_on


def connect(setup: Setup) -> None:
    """Joins the cluster at ``setup.address`` (as in a submitted job), or starts a Ray of our own on this machine, whose first workers import what a
    trial needs at once."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if setup.address is not None:
        ray.init(address=setup.address, runtime_env={"env_vars": setup.worker_env | CLUSTER_ENV | passed_on()}, **quiet)
        return
    _leave_out()
    ray.init(  # worker_env is inherited; with a runtime_env, the workers that Ray starts ahead would not do and others be started
        address="local",
        num_cpus=setup.num_cpus,
        num_gpus=setup.num_gpus,
        include_dashboard=False,
        object_store_memory=100 << 20,
        _temp_dir=setup.temporary,
        **quiet,
    )
    for _ in range(0 if setup.num_gpus else setup.num_cpus):  # none that has seen no GPU, where there are some
        ray.remote(num_cpus=1)(_import_ahead).remote()


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


def _import_ahead() -> None:
    import peoria.sweep.ray_executor  # with Tune
    import peoria.training.loop
    import peoria.training.steps  # noqa: F401 - with torch
