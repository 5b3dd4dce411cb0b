"""Ray's part in a node that is being taken away: asked whether it drains the node, and told to where it is the cloud that takes it."""

import functools
import time

import ray
from ray.core.generated import autoscaler_pb2

from peoria.sweep.leaving import Leaving, node_folder

NOTICE_S = 120  # that a cloud gives, at most


@functools.lru_cache(maxsize=1)  # one a process, which may run many trials
def leaving() -> Leaving:
    """Of this worker's node."""
    node_id = ray.get_runtime_context().get_node_id()

    def draining() -> bool:
        try:
            return node_id in ray._private.state.state.get_draining_nodes()
        except Exception:  # noqa: BLE001 - whatever ails Ray's head: the driver tells that, and this is asked again
            return False

    def announce(notice: str) -> None:
        """So that Ray places nothing more there."""
        print(f"node {node_id}: {notice}", flush=True)  # to the worker's log
        deadline_ms = int((time.time() + NOTICE_S) * 1000)
        reason = autoscaler_pb2.DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION
        ray._private.worker.global_worker.gcs_client.drain_node(node_id, reason, notice, deadline_ms)

    return Leaving(node_folder(node_id), draining, announce)
