"""The nodes of a rehearsal, as Ray's own autoscaler asks for them: each is a `ray start --block` of this machine, in a process group and a temporary
folder of its own, with one pretended GPU. Run as a module it tells, a line of JSON a second, which nodes Ray has.

Ray knows it as a provider of kind `external`: it is imported by Ray's monitor, in the head's process group.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ray._private import services
from ray._raylet import GcsClient  # type: ignore[attr-defined]  # of compiled code
from ray.autoscaler.node_provider import NodeProvider
from ray.autoscaler.tags import NODE_KIND_HEAD, STATUS_UP_TO_DATE, TAG_RAY_NODE_KIND, TAG_RAY_NODE_STATUS, TAG_RAY_USER_NODE_TYPE
from ray.autoscaler.v2.sdk import get_cluster_status
from ray.autoscaler.v2.utils import is_autoscaler_v2
from ray.scripts import scripts

from peoria.cluster.rehearsal_cluster import HEAD, HEAD_NAME, WORKER, ray_start
from peoria.sweep.ray_process import LOOPBACK_ENV

END_S = 4.0  # between asking a node to end and ending it
SAMPLE_S = 1.0


class RehearsalNodes(NodeProvider):
    """Starts, lists and ends the nodes. ``provider_config``: ``gcs`` (the head's address), ``folder`` (short, for their sockets), ``logs``."""

    def __init__(self, provider_config: dict[str, Any], cluster_name: str) -> None:
        super().__init__(provider_config, cluster_name)
        self._lock, self._num = threading.RLock(), 0
        head = {TAG_RAY_NODE_KIND: NODE_KIND_HEAD, TAG_RAY_USER_NODE_TYPE: HEAD, TAG_RAY_NODE_STATUS: STATUS_UP_TO_DATE}
        self._tags: dict[str, dict[str, str]] = {HEAD_NAME: head}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
        with self._lock:
            for name, process in list(self._processes.items()):
                if process.poll() is not None:  # killed, or it never came up
                    self._forget(name)
            return [name for name, tags in self._tags.items() if tag_filters.items() <= tags.items()]

    def is_running(self, node_id: str) -> bool:
        return node_id in self._tags

    def is_terminated(self, node_id: str) -> bool:
        return node_id not in self._tags

    def node_tags(self, node_id: str) -> dict[str, str]:
        with self._lock:
            return dict(self._tags.get(node_id, {}))

    def external_ip(self, node_id: str) -> str:
        return node_id

    def internal_ip(self, node_id: str) -> str:
        return node_id

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        with self._lock:
            if node_id in self._tags:
                self._tags[node_id].update(tags)

    def create_node(self, node_config: dict[str, Any], tags: dict[str, str], count: int) -> None:
        raise NotImplementedError("a node is made with its resources")

    def create_node_with_resources_and_labels(
        self, node_config: dict[str, Any], tags: dict[str, str], count: int, resources: dict[str, float], labels: dict[str, str]
    ) -> dict[str, Any]:
        return {name: name for name in [self._start(tags, resources) for _ in range(count)]}

    def _start(self, tags: dict[str, str], resources: dict[str, float]) -> str:
        with self._lock:
            self._num += 1
            name = f"node{self._num}"
            temporary = Path(self.provider_config["folder"]) / name
            temporary.mkdir(mode=0o700)
            command = [*ray_start(temporary), f"--address={self.provider_config['gcs']}"]
            command += [f"--num-cpus={int(resources.get('CPU', 0))}", f"--num-gpus={int(resources.get('GPU', 0))}"]
            environment = {name: value for name, value in os.environ.items() if name not in LOOPBACK_ENV}  # with it no node may join
            environment |= {"RAY_CLOUD_INSTANCE_ID": name, "RAY_NODE_TYPE_NAME": tags[TAG_RAY_USER_NODE_TYPE]}
            with (Path(self.provider_config["logs"]) / f"{name}.log").open("ab") as log:
                process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            (temporary / "pid").write_text(str(process.pid))
            self._processes[name], self._tags[name] = process, dict(tags)
            return name

    def terminate_node(self, node_id: str) -> None:
        with self._lock:
            process = self._forget(node_id)
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process is None or process.poll() is not None:
                return
            os.killpg(process.pid, number)
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                continue

    def _forget(self, name: str) -> "subprocess.Popen[bytes] | None":
        self._tags.pop(name, None)
        return self._processes.pop(name, None)

    @staticmethod
    def bootstrap_config(cluster_config: dict[str, Any]) -> dict[str, Any]:
        return cluster_config


def watch(gcs: str) -> None:
    """A line a second until nobody reads: the version of the autoscaler, and each worker node by its name, with Ray's id and the GPUs in use."""
    while True:
        status = get_cluster_status(gcs)
        nodes = [
            {
                "name": node.instance_id,
                "id": node.node_id,
                "used": sum(use.used for use in (node.resource_usage.usage if node.resource_usage else []) if use.resource_name == "GPU"),
            }
            for node in (*status.active_nodes, *status.idle_nodes)
            if node.ray_node_type_name == WORKER
        ]
        version = 2 if is_autoscaler_v2(fetch_from_server=True, gcs_client=GcsClient(gcs)) else 1
        print(json.dumps({"autoscaler": version, "nodes": nodes, "starting": len(status.pending_nodes) + len(status.pending_launches)}), flush=True)
        time.sleep(SAMPLE_S)


def start(words: list[str]) -> None:
    """``ray start``, but on loopback: Ray itself takes a node's 127.0.0.1 for the machine's outer address, and then listens on all of them."""
    services.get_node_ip_address = lambda address=None: "127.0.0.1"
    sys.argv = ["ray", *words]
    scripts.main()


if __name__ == "__main__":
    if sys.argv[1] == "start":
        start(sys.argv[1:])
    else:
        watch(sys.argv[1])
