"""What depends on the cloud: the spot market, rights to the store, addresses open to the world, what instances have."""

import re
from collections.abc import Iterator
from typing import Any

from peoria.cluster.cluster_file import PLACEHOLDER, Problem, joined, mapping, number, short, walk
from peoria.cluster.instances import cpus_of, gpus_of
from peoria.cluster.shell import commands

WORLD = ("0.0.0.0/0", "::/0")
_IDS = {
    "SubnetIds": re.compile(r"subnet-[0-9a-f]{8,17}"),
    "SecurityGroupIds": re.compile(r"sg-[0-9a-f]{8,17}"),
    "ImageId": re.compile(r"ami-[0-9a-f]{8,17}|resolve:ssm:.+|latest_dlami", re.IGNORECASE),
}
_PROFILES = "aws/head.json and aws/worker.json have what each needs; aws/setup.sh makes them"


def home_of(cluster: dict[str, Any]) -> str:
    """Where sweeps and shards lie, as far as the file says: metadata.home, else what a command names, else an empty text."""
    said = mapping(cluster.get("metadata")).get("home")
    if isinstance(said, str):
        return said
    named = [match[0] for _, command in commands(cluster) for match in re.finditer(r"\b(s3|gs|az)://", command)]
    return named[0] if named else ""


def cloud_problems(cluster: dict[str, Any]) -> Iterator[Problem]:
    yield from _world(cluster)
    yield from _secrets(cluster)
    kind = mapping(cluster.get("provider")).get("type")
    head = cluster.get("head_node_type")
    kinds = mapping(cluster.get("available_node_types"))
    if isinstance(head, str) and head in kinds:
        yield from _spot(f"available_node_types.{head}.node_config", mapping(mapping(kinds[head]).get("node_config")))
    if kind == "aws":
        yield from _aws(cluster)
    if kind == "gcp":
        yield from _gcp(cluster)


def _world(cluster: dict[str, Any]) -> Iterator[Problem]:
    """Ports that the file opens to everybody."""
    for where, key, value in walk(cluster):
        if isinstance(value, str) and value in WORLD:
            yield Problem(where, value, "addresses of yours, as 203.0.113.7/32", "everybody on the internet may knock")
        options = value if isinstance(value, list) and key.endswith("run_options") else []
        for text in options:
            if match := re.search(r"(?:^|\s)(?:-p|--publish)[= ]?((?!127\.0\.0\.1:|\[::1\]:)[\d.:\[\]]*\d+)(?!\S*127)", str(text)):
                yield Problem(
                    where, f"-p {match[1]}", "a port of this machine alone, as -p 127.0.0.1:8265:8265", "everybody who reaches the node may knock"
                )


def _secrets(cluster: dict[str, Any]) -> Iterator[Problem]:
    """Keys of a cloud in a file that goes to every node."""
    for where, key, value in walk(cluster):
        named = key in ("aws_credentials", "aws_access_key_id", "aws_secret_access_key") and value
        if named or (isinstance(value, str) and re.search(r"AWS_SECRET_ACCESS_KEY=|\bAKIA[0-9A-Z]{16}\b", value)):
            yield Problem(where, "a secret of the cloud", "a role of the machine", "the file goes to the head, and who reads it has the key")
            return


def _spot(where: str, config: dict[str, Any]) -> Iterator[Problem]:
    """A head on the spot market, by any cloud's word for it."""
    for at, key, value in walk(config, where):
        word = value.lower() if isinstance(value, str) else value
        if (
            (key == "MarketType" and word == "spot")
            or (key.lower() in ("preemptible", "spot") and word in (True, "true"))
            or (key.lower() in ("provisioningmodel", "priority") and word == "spot")
            or (key.lower() == "spotstrategy" and word != "nospot")
            or (key == "SpotOptions" and word)
        ):
            yield Problem(at, short(value), "a head on demand", "with the head the sweep's driver goes, and every trial with it")


def priced(cluster: dict[str, Any]) -> set[tuple[str, bool]]:
    """(type of instance, whether on the spot market) of the workers that the file lets start, as far as it names them."""
    found = set()
    for name, kind in mapping(cluster.get("available_node_types")).items():
        config = mapping(mapping(kind).get("node_config"))
        instance = config.get("InstanceType")
        if name != cluster.get("head_node_type") and isinstance(instance, str) and mapping(kind).get("max_workers") != 0:
            found.add((instance, any(_spot(name, config))))
    return found


def _aws(cluster: dict[str, Any]) -> Iterator[Problem]:
    provider = mapping(cluster.get("provider"))
    if not isinstance(provider.get("region"), str):
        yield Problem("provider.region", short(provider.get("region")), "a region of AWS, as us-west-2")
    kinds, head = mapping(cluster.get("available_node_types")), cluster.get("head_node_type")
    home = home_of(cluster)
    shared = any(re.search(r"\bmount\b", command) for _, command in commands(cluster))
    in_store = home.startswith("s3") or (not home and not shared)
    for name, kind in kinds.items():
        where, config = f"available_node_types.{name}.node_config", mapping(mapping(kind).get("node_config"))
        yield from _ids(where, config)
        yield from _profile(where, config, in_store, name == head)
        yield from _instance(f"available_node_types.{name}", mapping(kind), config, name == head)
        if not any(config.get(key) for key in ("SecurityGroupIds", "NetworkInterfaces", "LaunchTemplate")):
            hint = "Ray makes one of its own, which opens ssh to 0.0.0.0/0; docs/cluster.md makes one that lets its own members in"
            yield Problem(joined(where, "SecurityGroupIds"), "missing", "a security group of yours", hint)


def _ids(where: str, config: dict[str, Any]) -> Iterator[Problem]:
    for key, pattern in _IDS.items():
        given = config.get(key)
        for value in given if isinstance(given, list) else [given]:
            if value is not None and not (isinstance(value, str) and pattern.fullmatch(value)) and not _has_own_line(value):
                yield Problem(joined(where, key), short(value), f"an id, as {pattern.pattern[: pattern.pattern.index('[')]}0123456789abcdef0")


def _has_own_line(value: Any) -> bool:
    return isinstance(value, str) and bool(PLACEHOLDER.search(value))


def _profile(where: str, config: dict[str, Any], in_store: bool, is_head: bool) -> Iterator[Problem]:
    profile = config.get("IamInstanceProfile")
    named = isinstance(profile, dict) and any(isinstance(profile.get(key), str) and profile[key] for key in ("Name", "Arn"))
    if named or config.get("LaunchTemplate"):
        return
    if profile is not None:
        yield Problem(joined(where, "IamInstanceProfile"), short(profile), "{Name: …} or {Arn: …}", _PROFILES)
    elif in_store:
        found = "missing: Ray's own role, which may neither pass a role to workers nor read an image's name" if is_head else "missing: no right to s3"
        yield Problem(joined(where, "IamInstanceProfile"), found, "a profile that may read and write the bucket", _PROFILES)
    elif is_head and str(config.get("ImageId", "")).startswith("resolve:ssm:"):
        yield Problem(
            joined(where, "IamInstanceProfile"), "missing: Ray's own role may not read an image's name", "a profile with ssm:GetParameters", _PROFILES
        )


def _instance(where: str, kind: dict[str, Any], config: dict[str, Any], is_head: bool) -> Iterator[Problem]:
    """What the file says that a machine has, against what it has."""
    instance, resources = config.get("InstanceType"), mapping(kind.get("resources"))
    if not isinstance(instance, str):
        if not config.get("LaunchTemplate"):
            yield Problem(
                f"{where}.node_config.InstanceType", "missing" if instance is None else short(instance), "a type of instance, as g6.2xlarge"
            )
        return
    if is_head:
        return
    gpus, cpus = gpus_of(instance), cpus_of(instance)
    said_gpus, said_cpus = number(resources.get("GPU", 0)), number(resources.get("CPU"))
    if gpus is not None and "resources" in kind and said_gpus is not None and said_gpus != gpus:
        yield Problem(f"{where}.resources.GPU", f"{said_gpus:g}" if "GPU" in resources else "missing", f"{gpus}, what {instance} has")
    if cpus is not None and said_cpus is not None and said_cpus > cpus:
        yield Problem(f"{where}.resources.CPU", f"{said_cpus:g}", f"at most {cpus}, what {instance} has")


def _gcp(cluster: dict[str, Any]) -> Iterator[Problem]:
    project = mapping(cluster.get("provider")).get("project_id")
    if not isinstance(project, str) or not project:
        yield Problem("provider.project_id", short(project), "the id of your project")
    for name, kind in mapping(cluster.get("available_node_types")).items():
        where, config = f"available_node_types.{name}", mapping(mapping(kind).get("node_config"))
        if name != cluster.get("head_node_type") and home_of(cluster).startswith("gs") and not config.get("serviceAccounts"):
            yield Problem(f"{where}.node_config.serviceAccounts", "missing: no right to the bucket", "an account that may read and write it")
        accelerators = config.get("guestAccelerators")
        counts = [number(mapping(part).get("acceleratorCount")) for part in accelerators] if isinstance(accelerators, list) else []
        said = number(mapping(mapping(kind).get("resources")).get("GPU", 0))
        if counts and None not in counts and said is not None and said != (total := sum(count or 0 for count in counts)):
            yield Problem(f"{where}.resources.GPU", f"{said:g}", f"{total:g}, the sum of guestAccelerators")
