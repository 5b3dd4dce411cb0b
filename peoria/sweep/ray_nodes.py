"""What Ray knows of its nodes and of its autoscaler, asked in Ray's own process: nodes, node types, what is on its way and what did not come; and a
look at a node by an actor of a trial's size.

Node types stand in the autoscaler's configuration, which Ray gives to nobody: it is read where the autoscaler runs on this machine, as on the head
that a job or `ray submit` runs on. Elsewhere they are unknown, and the nodes that are there tell.
"""

import functools
import json
import socket
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError

from peoria.sweep.outlook import Node, NodeType, Outlook
from peoria.sweep.preflight import Found, Probe, clock_trouble, look, problems, unanswered

Tell = Callable[..., None]
BEAT_S = 2.0
OUTLOOK_S = 5.0
STOPPED_BEATS = 4  # a server that is seen stopped so often in a row has been stopped by somebody
SERVERS = ("gcs_server", "raylet")
RPC_S = 5
DEATHS = 5  # of workers that looked, before that is what is wrong
NO_TYPE = "node_"  # so begins what stands in place of a type where the autoscaler only looks on, as in a cluster that was started by hand
OLD_TROUBLE_S = 900.0


def outlook() -> Outlook:
    """Of the cluster that this process has joined. What the autoscaler does not tell is left out, and why goes to the log."""
    address = str(ray.get_runtime_context().gcs_address)
    alive = [node for node in ray.nodes() if node["Alive"]]
    types, most, configured = _node_types(address)
    machines = _machines(address)
    types = tuple(kind.model_copy(update=machines.get(kind.name, {})) for kind in types)
    told: dict[str, Any] = {}
    try:
        told = _second_version(address)
        if not told["nodes"] or not told["autoscaler"]:
            told = {**told, **_first_version()}
    except Exception:  # noqa: BLE001 - Ray's inner interfaces may change; without them the nodes that are there still tell
        traceback.print_exc()
    kinds, idle = told.get("nodes", {}), told.get("idle", {})
    nodes = [
        Node(
            name=_name_of(node),
            id=node["NodeID"],
            cpus=node["Resources"].get("CPU", 0.0),
            gpus=node["Resources"].get("GPU", 0.0),
            type=kinds.get(node["NodeID"], ""),
            idle_s=idle.get(node["NodeID"], 0.0),
        )
        for node in alive
    ]
    return Outlook(
        address=address,
        nodes=tuple(nodes),
        autoscaler=configured or told.get("autoscaler", False),
        types=types,
        most=most,
        asked_for=told.get("asked_for", {}),
        troubles=tuple(told.get("troubles", ())),
    )


def _name_of(node: dict[str, Any]) -> str:
    address = str(node["NodeManagerAddress"])
    return str(node.get("NodeManagerHostname") or address) if address in ("127.0.0.1", "::1") else address


def _second_version(address: str) -> dict[str, Any]:
    """What the autoscaler that is Ray's own since 2.50 reports to the head; of a cluster without it only the nodes' idle times."""
    from ray.autoscaler.v2.sdk import get_cluster_status

    status = get_cluster_status(address, timeout=RPC_S)
    found = [*status.active_nodes, *status.idle_nodes]
    on_their_way = Counter({launch.ray_node_type_name: 0 for launch in status.pending_launches})
    for launch in status.pending_launches:
        on_their_way[launch.ray_node_type_name] += launch.count
    for pending in status.pending_nodes:
        on_their_way[pending.ray_node_type_name] += 1
    recent = [launch for launch in status.failed_launches if time.time() - (launch.failed_ts_s or 0) < OLD_TROUBLE_S]
    named = {node.node_id: node.ray_node_type_name for node in found if not node.ray_node_type_name.startswith(NO_TYPE)}
    return {
        "nodes": named,
        "idle": {node.node_id: node.resource_usage.idle_time_ms / 1000 for node in found if node.resource_usage is not None},
        "asked_for": dict(on_their_way),
        "troubles": list(dict.fromkeys(f"{launch.ray_node_type_name}: {_first_line(launch.details)}" for launch in recent)),
        "autoscaler": bool(named) and bool(status.stats.autoscaler_version and int(status.stats.autoscaler_version)),
    }


def _first_version() -> dict[str, Any]:
    """What the older autoscaler leaves in the head's memory; {} where there is none."""
    from ray._private import ray_constants
    from ray.experimental.internal_kv import _internal_kv_get

    found = _internal_kv_get(ray_constants.DEBUG_AUTOSCALING_STATUS)
    report = json.loads(found).get("autoscaler_report") if found else None
    if not report:
        return {}
    on_their_way = Counter(report.get("pending_launches", {}))
    on_their_way.update(kind for _, kind, _ in report.get("pending_nodes", []))
    failed = [f"{kind}: {ip} failed" for ip, kind in report.get("failed_nodes", [])]
    typed = any(not kind.startswith(NO_TYPE) for kind in report.get("active_nodes", {}))
    return {"asked_for": dict(on_their_way), "troubles": list(dict.fromkeys(failed)), "autoscaler": typed}


def _first_line(text: str | None) -> str:
    return ((text or "").strip().splitlines() or ["could not be started"])[0][:200]


def _node_types(address: str) -> tuple[tuple[NodeType, ...], int | None, bool]:
    """Node types, the most of all together, and whether there is an autoscaler with a configuration at all."""
    reported = ray._private.state.state.get_cluster_config()
    if reported is not None and reported.node_group_configs:
        groups = reported.node_group_configs
        unlimited = [group.max_count < 0 for group in groups]
        kinds = [
            _type(group.name, dict(group.resources), 1000 if endless else group.max_count) for group, endless in zip(groups, unlimited, strict=True)
        ]
        return tuple(kinds), None, True
    path = configuration(address)
    if path is None:
        return (), None, False
    try:
        import yaml

        config = yaml.safe_load(path.read_text())
        most = int(config.get("max_workers", 2))
        kinds = [
            _type(name, kind.get("resources") or {}, min(int(kind.get("max_workers", most)), most))
            for name, kind in config["available_node_types"].items()
            if name != config.get("head_node_type")
        ]
        # Resources that are not written there are filled in by the cloud's provider, in a copy that nobody sees: such a type is unknown.
        return (tuple(kinds) if all(kind.cpus or kind.gpus for kind in kinds) else ()), most, True
    except Exception:  # noqa: BLE001 - somebody else's file: what is not understood is unknown
        traceback.print_exc()
        return (), None, True


@functools.cache
def _machines(address: str) -> dict[str, dict[str, Any]]:
    """Of each node type, the provider's machine and whether it is rented as spot, where AWS's file stands here; only prices are looked up by it."""
    path = configuration(address)
    try:
        import yaml

        kinds = {} if path is None else yaml.safe_load(path.read_text())["available_node_types"]
        configs = {name: kind.get("node_config") or {} for name, kind in kinds.items()}
        return {
            name: {"instance": str(config.get("InstanceType", "")), "spot": config.get("InstanceMarketOptions", {}).get("MarketType") == "spot"}
            for name, config in configs.items()
        }
    except Exception:  # noqa: BLE001 - as above
        traceback.print_exc()
        return {}


def _type(name: str, resources: dict[str, Any], most: int) -> NodeType:
    return NodeType(name=name, most=most, cpus=float(resources.get("CPU", 0)), gpus=float(resources.get("GPU", 0)))


def configuration(address: str) -> Path | None:
    """The file that the autoscaler of the cluster at ``address`` was started with, where it runs on this machine."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it has ended, or is somebody else's
        if any(word.endswith("monitor.py") for word in words[:4]) and _is(address, _value(words, "--gcs-address")):
            given = _value(words, "--autoscaling-config")
            return Path(given).expanduser() if given else None
    return None


def _value(words: list[str], flag: str) -> str:
    for at, word in enumerate(words):
        if word.startswith(f"{flag}="):
            return word.partition("=")[2]
        if word == flag and at + 1 < len(words):
            return words[at + 1]
    return ""


def _is(one: str, other: str) -> bool:
    """Whether two addresses are of one place: the head may call itself by its own name."""
    if one == other:
        return True
    (host, _, port), (other_host, _, other_port) = one.rpartition(":"), other.rpartition(":")
    try:
        return port == other_port and socket.gethostbyname(host) == socket.gethostbyname(other_host)
    except OSError:
        return False


class Scout:
    """In a worker, of a trial's size: looks at its node."""

    def look(self, probe: str) -> str:
        return look(Probe.model_validate_json(probe), *here()).model_dump_json()

    def time(self) -> float:
        return time.time()


def here() -> tuple[str, str]:
    """Name and id of the node that this worker is on."""
    node_id = ray.get_runtime_context().get_node_id()
    return f"{socket.gethostname()} {node_id[:8]}", node_id


def scout(probe: Probe, cpus: int, gpus: float) -> tuple[list[str], str]:
    """Sends one to a node, waiting for as long as none has room; returns what is wrong with that node, and what else is to be said of it.

    A node that goes away meanwhile is none that was looked at: another is waited for.
    """
    died = ""
    for _ in range(DEATHS):
        actor = ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0)(Scout).remote()
        try:
            found = Found.model_validate_json(ray.get(actor.look.remote(probe.model_dump_json())))
            asked = time.time()
            said = ray.get(actor.time.remote())
            ahead_s = said - (asked + time.time()) / 2
            wrong = problems(probe, found) + unanswered(probe, found) + clock_trouble(found.node, ahead_s)
            return wrong, found.room and f"node {found.node}: {found.room}"
        except RayTaskError as error:  # the look itself failed there: of a package that is not, of a system that refuses something
            return [f"a node: {_last_line(str(error))}; peoria as it is here, installed on every node"], ""
        except (ActorDiedError, ActorUnavailableError) as error:
            text = str(error)
            if "creation task" in text or "ModuleNotFoundError" in text or "ImportError" in text:
                return [f"a node: {_last_line(text)}; peoria as it is here, installed on every node"], ""
            traceback.print_exc()
            died = text
            time.sleep(1)
        finally:
            ray.kill(actor)
    return [f"a node: {DEATHS} workers that looked at it died ({_last_line(died)}); one that stays"], ""


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["?"])[-1].strip()[:300]


def watch(tell: Tell, turns: Callable[[], int], listened: threading.Event, own: bool) -> None:
    """Tells every `BEAT_S` that Ray answers, and at once when a part of it is gone. Where a call hangs nothing more is told, which tells it too."""
    stopped, me = 0, ray.get_runtime_context().get_node_id()
    while listened.wait():
        if own:
            servers = ray._private.worker._global_node.all_processes
            states = {name: state_of(info.process.pid) for name in SERVERS for info in servers[name]}
            if gone := [name for name, found in states.items() if found in "ZX"]:
                tell(lost=f"its {' and '.join(gone)} ended")
                return
            halted = [name for name, found in states.items() if found == "T"]
            stopped = stopped + 1 if halted else 0
            if stopped == STOPPED_BEATS:
                tell(lost=f"its {' and '.join(halted)} was stopped")
                return
        if not halted_or_alive(me, bool(stopped)):
            tell(lost="this node is dead to its cluster")
            return
        tell(turns=turns())
        time.sleep(BEAT_S)


def watch_nodes(tell: Tell, listened: threading.Event) -> None:
    """Tells every `OUTLOOK_S` what the cluster is."""
    while listened.wait():
        time.sleep(OUTLOOK_S)
        tell(outlook=outlook().model_dump_json())


def halted_or_alive(node_id: str, halted: bool) -> bool:
    """Whether the cluster has this node for alive; of a server that is stopped nothing is asked."""
    return halted or any(node["NodeID"] == node_id and node["Alive"] for node in ray.nodes())


def state_of(pid: int) -> str:
    """As the kernel tells it: R, S, D, T (stopped), Z (dead); X for one that is gone, S where nobody can say."""
    if not Path("/proc/self/stat").exists():
        return "S"
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return "X"
