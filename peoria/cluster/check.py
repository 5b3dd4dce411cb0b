"""What is wrong with a Ray cluster file, before machines are paid for: each problem in a line that names its key."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peoria.cluster.clouds import cloud_problems, home_of
from peoria.cluster.cluster_file import PLACEHOLDER, Problem, joined, mapping, number, read_cluster_file, short, walk
from peoria.cluster.mounts import install_problems, mount_problems, token_problems
from peoria.cluster.schema import schema_problems
from peoria.cluster.shell import assigned, calls, commands, option

BOOT_MINUTES = 10.0  # where metadata.boot_minutes says nothing
RAY_IDLE_MINUTES, RAY_MAX_WORKERS = 5.0, 2  # Ray's own, where the file says nothing
SHARED_MOUNT = re.compile(
    r"\b(?:mount(?:\.\w+)?\s[^;&|]*?(?:nfs4?|efs|lustre|ceph|cifs|glusterfs)\b[^;&|]*|(?:s3fs|gcsfuse|sshfs|mount-s3|goofys|rclone mount)\s[^;&|]*)"
)
SHARED_NAMES = {"efs", "nfs", "fsx", "lustre", "beegfs", "gpfs", "ceph", "cephfs", "nas", "s3", "gcs"}
UP_VERSION = "RAY_UP_enable_autoscaler_v2"  # of `ray up`'s own environment
_START = ("head_start_ray_commands", "worker_start_ray_commands")
_TOKEN = "RAY_AUTH_MODE=token"
_REGION, _ENDPOINT = ("AWS_REGION", "AWS_DEFAULT_REGION"), ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT")
_ENVIRONMENT = "for what `ray submit` runs, in a line of ~/.bashrc: export RAY_ADDRESS=auto RAY_AUTH_MODE=token PEORIA_CACHE=…"


def check_cluster_file(path: Path) -> list[str]:
    """The problems, each ``<file>: <key path>: <found>; <accepted>`` with a hint; none where the file is whole.

    Raises:
        FileError, ConfigError: it cannot be read as a cluster file.
    """
    cluster, problems = read_cluster_file(path)
    return list(dict.fromkeys(problem.text(path) for problem in [*problems, *problems_of(cluster)]))


def problems_of(cluster: dict[str, Any]) -> Iterator[Problem]:
    """The problems of a cluster file's values, of whatever kinds they are."""
    for rule in (
        schema_problems,
        placeholder_problems,
        start_problems,
        token_problems,
        submitted_problems,
        head_problems,
        cache_problems,
        store_problems,
        time_problems,
        worker_problems,
        autoscaler_problems,
        cloud_problems,
        mount_problems,
        install_problems,
    ):
        yield from rule(cluster)


def placeholder_problems(cluster: dict[str, Any]) -> Iterator[Problem]:
    """Values that were to be edited, each once, wherever an alias repeats it."""
    seen = set()
    for where, _, value in walk(cluster):
        if isinstance(value, str) and (match := PLACEHOLDER.search(value)) and match[0] not in seen:
            seen.add(match[0])
            yield Problem(where, f"{match[0]}, as the example has it", "a value of yours", "docs/cluster.md says where each comes from")


def _start_calls(cluster: dict[str, Any], name: str) -> list[tuple[str, tuple[str, ...], dict[str, str]]]:
    """(path of keys, words after `ray start`, environment) of each `ray start`."""
    found, exported = [], _docker_environment(cluster)
    for where, command in commands(cluster):
        if not where.startswith(f"{name}["):
            continue
        try:
            started = calls(command, exported)
        except ValueError:
            continue
        found += [(where, words, call.environment) for call in started if (words := call.ray_start()) is not None]
    return found


def _docker_environment(cluster: dict[str, Any]) -> dict[str, str]:
    """What the options of containers set for all that runs in them."""
    text = " ".join(value for _, _, value in walk(mapping(cluster.get("docker"))) if isinstance(value, str))
    return dict(re.findall(r"(?:-e|--env)[= ]([A-Za-z_]\w*)=(\S+)", text))


def start_problems(cluster: dict[str, Any]) -> Iterator[Problem]:
    """Ray started on each kind of node, with the token; the head for workers, its dashboard for itself."""
    for where, command in commands(cluster):
        try:
            calls(command)
        except ValueError as error:
            yield Problem(where, f"no command of a shell ({error})", "closed quotes")
    for name in _START:
        started = _start_calls(cluster, name)
        if not started:
            found = "missing, and Ray's own start carries no token" if not cluster.get(name) else "no `ray start`"
            yield Problem(
                name,
                found,
                f"`{_TOKEN} RAY_AUTH_TOKEN_PATH=~/.ray/auth_token ray start …`",
                "without the token anybody who reaches the node runs code",
            )
        for where, words, environment in started:
            mode = environment.get("RAY_AUTH_MODE")
            if mode != "token":
                yield Problem(where, "ray start without the token" if mode is None else f"RAY_AUTH_MODE={mode}", f"{_TOKEN} before `ray start`")
            host = option(words, "--dashboard-host")
            if host not in (None, "127.0.0.1", "localhost", "::1"):
                accepted = "--dashboard-host=127.0.0.1"
                yield Problem(
                    where, f"--dashboard-host={host}", accepted, "it runs whatever is posted to it; `ray dashboard FILE` reaches it over ssh"
                )
    for where, words, _ in _start_calls(cluster, _START[0]):
        if "--head" not in words:
            yield Problem(where, "ray start without --head", "--head")
        elif option(words, "--autoscaling-config") is None:
            yield Problem(
                where, "ray start without --autoscaling-config", "--autoscaling-config=~/ray_bootstrap_config.yaml", "no worker ever starts"
            )
    for where, words, _ in _start_calls(cluster, _START[1]):
        if option(words, "--address") is None:
            yield Problem(where, "ray start without --address", "--address=$RAY_HEAD_IP:6379", "each worker would be a cluster of its own")


def submitted_problems(cluster: dict[str, Any]) -> Iterator[Problem]:
    """What a submitted script finds in its environment: the cluster, and its token."""
    addresses = [(where, value) for where, value in assigned(cluster, "RAY_ADDRESS") if "start_ray" not in where]
    if not addresses and "RAY_ADDRESS" not in _docker_environment(cluster):
        yield Problem("setup_commands", "RAY_ADDRESS is not set", "RAY_ADDRESS=auto", _ENVIRONMENT)
    for where, value in addresses:
        if value == "local" or not value:
            yield Problem(where, f"RAY_ADDRESS={value}", "RAY_ADDRESS=auto", "a submitted script would start a Ray of its own on the head")
    setup = [where for where, value in assigned(cluster, "RAY_AUTH_MODE") if value == "token" and "start_ray" not in where]
    if not setup and "RAY_AUTH_MODE" not in _docker_environment(cluster):
        yield Problem("setup_commands", f"{_TOKEN} is not set for submitted scripts", f"export {_TOKEN}", _ENVIRONMENT)


def head_problems(cluster: dict[str, Any]) -> Iterator[Problem]:
    """A head that runs no trial and is not taken away."""
    for where, words, _ in _start_calls(cluster, _START[0]):
        for name in ("--num-cpus", "--num-gpus"):
            if (value := option(words, name)) != "0":
                found = f"ray start without {name}" if value is None else f"{name}={value}"
                yield Problem(where, found, f"{name}=0", "trials would run on the head, and starve the driver")
    kinds, head = mapping(cluster.get("available_node_types")), cluster.get("head_node_type")
    if not kinds and mapping(cluster.get("provider")).get("type") == "local":
        return
    if not isinstance(head, str) or head not in kinds:
        yield Problem("head_node_type", "missing" if head is None else short(head), f"one of {', '.join(kinds) or 'available_node_types'}")
        return
    where, kind = f"available_node_types.{head}", mapping(kinds[head])
    resources = mapping(kind.get("resources"))
    if resources.get("CPU") != 0:
        found = "missing, and then all that the machine has" if "CPU" not in resources else short(resources["CPU"])
        yield Problem(f"{where}.resources.CPU", found, "0", "trials would run on the head, and no waiting trial would start a worker")
    if resources.get("GPU", 0) != 0:
        yield Problem(f"{where}.resources.GPU", short(resources["GPU"]), "0", "trials would run on the head")
    if number(kind.get("max_workers")):
        yield Problem(f"{where}.max_workers", short(kind["max_workers"]), "0", "workers of the head's type run no trial either")


def shared_folders(cluster: dict[str, Any]) -> set[str]:
    """Where commands mount a file system that nodes share, and the home where it is a folder."""
    found = set()
    for _, command in commands(cluster):
        for match in SHARED_MOUNT.finditer(command):
            found |= {word.rstrip("/") for word in match[0].split() if re.fullmatch(r"~?/[\w./-]+", word) and not word.startswith("/dev")}
    home = home_of(cluster)
    return {folder for folder in found | {home.rstrip("/")} if folder.startswith(("/", "~"))}


def cache_problems(cluster: dict[str, Any]) -> Iterator[Problem]:
    """Decoded pictures on each node's own disk: 200 kB a picture, read in every trial."""
    hint = "each trial reads all of them; the instance's NVMe is at /opt/dlami/nvme on AWS's Deep Learning images"
    caches = assigned(cluster, "PEORIA_CACHE") + [("docker", value) for name, value in _docker_environment(cluster).items() if name == "PEORIA_CACHE"]
    if all("start_ray" in where for where, _ in caches):  # what a submitted script finds is what counts, on every node
        accepted = "PEORIA_CACHE, a folder of the node's own disk, in a line of ~/.bashrc"
        yield Problem("setup_commands", "PEORIA_CACHE is not set, and then the cache lies in the home", accepted, hint)
    shared = shared_folders(cluster)
    for where, value in caches:
        above = next((folder for folder in sorted(shared) if value == folder or value.startswith(f"{folder}/")), None)
        if above is None and SHARED_NAMES & set(value.lower().split("/")):
            above = value
        if above is not None or "://" in value or not value:
            accepted = "a folder of the node's own disk"
            yield Problem(where, f"PEORIA_CACHE={value}" + (f", on the shared disk {above}" if above not in (None, value) else ""), accepted, hint)


def store_problems(cluster: dict[str, Any]) -> Iterator[Problem]:
    """Where the bucket is, for each process that asks it: a machine's role tells the store who asks, and nothing tells the machine where."""
    if not home_of(cluster).startswith("s3"):
        return
    names = (*_REGION, *_ENDPOINT, "AWS_ALLOW_HTTP")
    docker = _docker_environment(cluster)
    submitted = docker | {name: value for name in names for where, value in assigned(cluster, name) if "start_ray" not in where}
    known = [("setup_commands", "submitted scripts", submitted)]
    known += [(where, "`ray start`", docker | given) for start in _START for where, _, given in _start_calls(cluster, start)]

    places = [next((given[name] for name in (*_ENDPOINT, *_REGION) if given.get(name)), "") for _, _, given in known]
    for (where, what, given), place in zip(known, places, strict=True):
        if not place:
            hint = "the region of the bucket, in the environment of each node; of another server than AWS's, AWS_ENDPOINT_URL"
            yield Problem(where, f"AWS_REGION is not set for {what}, and the home is in s3", "AWS_REGION=us-west-2, or where the bucket is", hint)
        elif place.startswith("http://") and given.get("AWS_ALLOW_HTTP", "").lower() not in ("1", "true", "yes", "on"):
            yield Problem(where, f"AWS_ENDPOINT_URL={place} without AWS_ALLOW_HTTP for {what}", "AWS_ALLOW_HTTP=true, or https://")
        elif places[0] and place != places[0]:
            yield Problem(where, f"{place} for {what}, {places[0]} for submitted scripts", "one region or endpoint, for it is one bucket")


def time_problems(cluster: dict[str, Any]) -> Iterator[Problem]:
    """Idle nodes are not removed sooner than they boot."""
    said = number(mapping(cluster.get("metadata")).get("boot_minutes"))
    boot = BOOT_MINUTES if said is None else said
    accepted = (
        f"more than the {boot:g} minutes that a node takes to boot and install (metadata.boot_minutes{'' if said is not None else ', not given'})"
    )
    hint = "a node would be removed as it becomes useful, and the next trial would start another, for ever"
    minutes = number(cluster.get("idle_timeout_minutes", RAY_IDLE_MINUTES))
    if minutes is not None and not minutes > boot:
        found = f"{minutes:g}" if "idle_timeout_minutes" in cluster else f"missing, and then {minutes:g}"
        yield Problem("idle_timeout_minutes", found, accepted, hint)
    for name, kind in mapping(cluster.get("available_node_types")).items():
        seconds = number(mapping(kind).get("idle_timeout_s"))
        if seconds is not None and not seconds > 60 * boot:
            yield Problem(f"available_node_types.{name}.idle_timeout_s", f"{seconds:g}", accepted, hint)


def worker_problems(cluster: dict[str, Any]) -> Iterator[Problem]:
    """Numbers of workers that agree with each other."""
    kinds = mapping(cluster.get("available_node_types"))
    workers = {name: mapping(kind) for name, kind in kinds.items() if name != cluster.get("head_node_type")}
    most = number(cluster.get("max_workers", RAY_MAX_WORKERS))
    if not kinds or most is None:
        return
    if most <= 0:
        yield Problem("max_workers", f"{most:g}", "1 or more", "trials run on workers alone")
        return
    if not workers:
        yield Problem("available_node_types", "the head's type alone", "a type of worker as well", "trials run on workers alone")
        return
    total = least = 0.0
    for name, kind in workers.items():
        where = f"available_node_types.{name}"
        own_most, own_least = number(kind.get("max_workers", most)), number(kind.get("min_workers", 0))
        if own_most is None or own_least is None:
            continue
        if own_most > most:
            yield Problem(joined(where, "max_workers"), f"{own_most:g}", f"at most max_workers of the cluster, {most:g}")
        if own_least > own_most:
            yield Problem(joined(where, "min_workers"), f"{own_least:g}", f"at most its max_workers, {own_most:g}")
        total, least = total + own_most, least + own_least
    if total < most:
        yield Problem("max_workers", f"{most:g}", f"at most the sum of the types' max_workers, {total:g}", "so many are never reached")
    if least > most:
        yield Problem("max_workers", f"{most:g}", f"at least the sum of the types' min_workers, {least:g}", "`ray up` refuses it")


def autoscaler_problems(cluster: dict[str, Any]) -> Iterator[Problem]:
    """The version of Ray's autoscaler: 2 by `ray up`, but 1 for the local provider, where 2 never starts a worker."""
    local = mapping(cluster.get("provider")).get("type") == "local"
    asked = os.environ.get(UP_VERSION, "1")
    said = [(where, value) for where, value in assigned(cluster, "RAY_enable_autoscaler_v2") if "start_ray" in where]
    version_2 = said[-1][1] != "0" if said else asked == "1"
    if local and version_2:
        hint = "version 2, `ray up`'s own choice, takes the local head for a stranger and starts no worker"
        yield Problem(
            said[-1][0] if said else "provider.type", "local, with version 2 of the autoscaler", "RAY_UP_enable_autoscaler_v2=0 ray up …", hint
        )
    if not local and not version_2:
        where, found = (said[-1][0], f"RAY_enable_autoscaler_v2={said[-1][1]}") if said else ("provider.type", f"RAY_UP_enable_autoscaler_v2={asked}")
        yield Problem(where, found, "version 2 of the autoscaler, `ray up`'s own choice", "version 1 knows no priority of node types")
