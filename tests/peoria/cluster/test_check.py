"""`peoria cluster check`: silent where the file is whole, and each thing that is wrong named by its key."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from peoria.cluster.check import check_cluster_file
from tests.helpers.cluster_copy import ROOT, edited_copy, loaded

Cluster = dict[str, Any]
Break = Callable[[Cluster], None]
HEAD, L4 = "available_node_types.head", "available_node_types.gpu_l4"


@pytest.fixture
def good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = edited_copy(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("RAY_UP_enable_autoscaler_v2", raising=False)
    return path


def places(path: Path) -> list[str]:
    """The path of keys of each problem."""
    found = []
    for problem in check_cluster_file(path):
        line = problem.splitlines()[0]
        assert line.startswith(f"{path}: ")
        assert "; " in line
        found.append(line.removeprefix(f"{path}: ").partition(": ")[0])
    return found


def test_the_file_as_a_user_has_it_is_whole(good: Path) -> None:
    assert check_cluster_file(good) == []


def test_the_file_as_it_comes_names_what_is_to_be_edited_and_made(good: Path) -> None:
    good.write_text((ROOT / "ray_cluster.yaml").read_text())
    (good.parent / "dist" / "requirements.lock").unlink()
    problems = "\n".join(check_cluster_file(good))
    assert problems.count("SUBNET_A") == problems.count("SUBNET_B") == problems.count("SECURITY_GROUP") == 1  # the aliases repeat them
    assert "setup_commands[3]: ~/peoria/requirements.lock: not in dist" in problems
    assert "make dist" in problems


def commands(cluster: Cluster, name: str, old: str, new: str) -> None:
    assert any(old in command for command in cluster[name])
    cluster[name] = [command.replace(old, new) for command in cluster[name]]


def of(name: str, *keys: Any) -> Break:
    """Sets the value at the path of keys, the last of ``keys``; with ``...`` it is removed."""

    def edit(cluster: Cluster) -> None:
        here: Any = cluster
        for key in keys[:-2]:
            here = here[key]
        if keys[-1] is ...:
            del here[keys[-2]]
        else:
            here[keys[-2]] = keys[-1]

    edit.__name__ = name
    return edit


def replaced(name: str, where: str, old: str, new: str) -> Break:
    def edit(cluster: Cluster) -> None:
        commands(cluster, where, old, new)

    edit.__name__ = name
    return edit


def no_workers_profile(cluster: Cluster) -> None:
    for name, kind in cluster["available_node_types"].items():
        if name != "head":
            del kind["node_config"]["IamInstanceProfile"]


TYPES, MARKET = "available_node_types", "InstanceMarketOptions"
WORLD = {"GroupName": "a", "IpPermissions": [{"FromPort": 8265, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]}
WORKERS = ("gpu_l4", "gpu_a10g", "gpu_l4_4", "gpu_l4_on_demand")
BROKEN: list[tuple[Break, set[str]]] = [
    (replaced("no_token_on_workers", "worker_start_ray_commands", "RAY_AUTH_MODE=token", ""), {"worker_start_ray_commands[1]"}),
    (replaced("no_token_on_the_head", "head_start_ray_commands", "RAY_AUTH_MODE=token", ""), {"head_start_ray_commands[1]"}),
    (replaced("token_off", "head_start_ray_commands", "RAY_AUTH_MODE=token", "RAY_AUTH_MODE=disabled"), {"head_start_ray_commands[1]"}),
    (of("rays_own_start", "worker_start_ray_commands", ...), {"worker_start_ray_commands"}),
    (of("token_not_mounted", "file_mounts", "~/.ray/auth_token", ...), {"file_mounts.~/.ray/auth_token"}),
    (of("token_not_there", "file_mounts", "~/.ray/auth_token", "~/elsewhere"), {"file_mounts.~/.ray/auth_token"}),
    (
        of("spot_head", TYPES, "head", "node_config", "InstanceMarketOptions", {"MarketType": "spot"}),
        {f"{HEAD}.node_config.InstanceMarketOptions.MarketType"},
    ),
    (of("head_with_cpus", TYPES, "head", "resources", {"CPU": 4, "GPU": 0}), {f"{HEAD}.resources.CPU"}),
    (of("head_of_all_it_has", TYPES, "head", "resources", {}), {f"{HEAD}.resources.CPU"}),
    (of("head_with_a_gpu", TYPES, "head", "resources", "GPU", 1), {f"{HEAD}.resources.GPU"}),
    (of("no_such_head", "head_node_type", "haed"), {"head_node_type"}),
    (replaced("head_starts_with_cpus", "head_start_ray_commands", "--num-cpus=0", "--num-cpus=4"), {"head_start_ray_commands[1]"}),
    (of("idle_before_boot", "idle_timeout_minutes", 5), {"idle_timeout_minutes"}),
    (of("rays_own_idle_time", "idle_timeout_minutes", ...), {"idle_timeout_minutes"}),
    (of("idle_before_boot_of_a_type", TYPES, "gpu_l4", "idle_timeout_s", 300), {f"{L4}.idle_timeout_s"}),
    (of("workers_without_a_profile", TYPES, "gpu_l4", "node_config", "IamInstanceProfile", ...), {f"{L4}.node_config.IamInstanceProfile"}),
    (no_workers_profile, {f"{TYPES}.{name}.node_config.IamInstanceProfile" for name in WORKERS}),
    (of("head_without_a_profile", TYPES, "head", "node_config", "IamInstanceProfile", ...), {f"{HEAD}.node_config.IamInstanceProfile"}),
    (
        replaced("dashboard_for_all", "head_start_ray_commands", "host=127.0.0.1", "host=0.0.0.0"),
        {"head_start_ray_commands[1]"},
    ),
    (replaced("no_address", "setup_commands", "RAY_ADDRESS=auto", ""), {"setup_commands"}),
    (replaced("no_autoscaling", "head_start_ray_commands", "--autoscaling-config=~/ray_bootstrap_config.yaml", ""), {"head_start_ray_commands[1]"}),
    (replaced("version_1", "head_start_ray_commands", "ulimit", "export RAY_enable_autoscaler_v2=0; ulimit"), {"head_start_ray_commands[1]"}),
    (of("no_group", TYPES, "gpu_l4", "node_config", "SecurityGroupIds", ...), {f"{L4}.node_config.SecurityGroupIds"}),
    (
        of(
            "open_to_all",
            "provider",
            "security_group",
            {"GroupName": "a", "IpPermissions": [{"FromPort": 8265, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]},
        ),
        {"provider.security_group.IpPermissions[0].IpRanges[0].CidrIp"},
    ),
    (of("another_placeholder", TYPES, "head", "node_config", "SubnetIds", ["MY_SUBNET"]), {f"{HEAD}.node_config.SubnetIds"}),
    (of("more_gpus_than_there_are", TYPES, "gpu_l4", "resources", "GPU", 4), {f"{L4}.resources.GPU"}),
    (of("more_cpus_than_there_are", TYPES, "gpu_l4", "resources", "CPU", 16), {f"{L4}.resources.CPU"}),
    (of("gpus_on_an_instance_without", TYPES, "gpu_l4", "node_config", "InstanceType", "m7i.2xlarge"), {f"{L4}.resources.GPU"}),
    (of("more_of_a_type_than_of_all", TYPES, "gpu_l4", "max_workers", 20), {f"{L4}.max_workers"}),
    (of("more_than_the_types_have", "max_workers", 40), {"max_workers"}),
    (of("no_workers", "max_workers", 0), {"max_workers"}),
    (of("misspelt", "idle_timeout_minute", 15), {"idle_timeout_minute"}),
    (of("half_a_cpu", TYPES, "gpu_l4", "resources", "CPU", 0.5), {f"{L4}.resources.CPU"}),
    (of("a_text_for_a_number", "max_workers", "eight"), {"max_workers"}),
    (replaced("no_hashes", "setup_commands", "--require-hashes ", ""), {"setup_commands[3]"}),
    (replaced("an_index", "setup_commands", "--require-hashes ", "--require-hashes --index-url https://packages.invalid/ "), {"setup_commands[3]"}),
    (replaced("newest_dependencies", "setup_commands", "--no-deps ", ""), {"setup_commands[4]"}),
    (replaced("an_old_python", "setup_commands", "python3 -m venv", "python3.9 -m venv"), {"setup_commands[2]"}),
    (replaced("no_region_for_workers", "worker_start_ray_commands", "AWS_REGION=us-west-2", ""), {"worker_start_ray_commands[1]"}),
    (replaced("no_region_for_scripts", "setup_commands", "AWS_REGION=us-west-2", ""), {"setup_commands"}),
    (replaced("two_regions", "head_start_ray_commands", "AWS_REGION=us-west-2", "AWS_REGION=us-east-1"), {"head_start_ray_commands[1]"}),
    (
        replaced("a_server_of_its_own_for_workers", "worker_start_ray_commands", "AWS_REGION=us-west-2", "AWS_ENDPOINT_URL=https://10.0.0.1:9000"),
        {"worker_start_ray_commands[1]"},
    ),
    (replaced("an_open_quote", "setup_commands", "test -d ~/venv", "test -d '~/venv"), {"setup_commands[2]"}),
]


@pytest.mark.parametrize(("broken", "expected"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_copy_is_found_by_its_key(good: Path, broken: Break, expected: set[str]) -> None:
    cluster = loaded(good)
    broken(cluster)
    good.write_text(yaml.safe_dump(cluster))
    assert set(places(good)) == expected


def test_a_server_of_ones_own_needs_no_region_but_one_scheme(good: Path) -> None:
    cluster = loaded(good)
    for name in ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands"):
        commands(cluster, name, "AWS_REGION=us-west-2", "AWS_ENDPOINT_URL=http://10.0.0.1:9000 AWS_ALLOW_HTTP=true")
    good.write_text(yaml.safe_dump(cluster))
    assert check_cluster_file(good) == []
    commands(cluster, "worker_start_ray_commands", "AWS_ALLOW_HTTP=true", "")
    good.write_text(yaml.safe_dump(cluster))
    assert places(good) == ["worker_start_ray_commands[1]"]
    for name in ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands"):
        commands(cluster, name, "AWS_ENDPOINT_URL=http://10.0.0.1:9000", "")
    good.write_text(yaml.safe_dump(cluster))
    assert set(places(good)) == {"setup_commands", "head_start_ray_commands[1]", "worker_start_ray_commands[1]"}
    cluster["metadata"]["home"] = "gs"  # control: of a home elsewhere nothing is asked
    good.write_text(yaml.safe_dump(cluster))
    assert check_cluster_file(good) == []


def test_control_written_anew_it_is_whole(good: Path) -> None:
    good.write_text(yaml.safe_dump(loaded(good)))
    assert check_cluster_file(good) == []


@pytest.mark.parametrize("how", ["mounted", "unset", "unset_for_scripts", "named", "no_mount_seen"])
def test_a_cache_on_the_shared_disk(good: Path, how: str) -> None:
    cluster = loaded(good)
    if how.startswith("unset"):
        for name in ("setup_commands", *(() if how == "unset_for_scripts" else ("head_start_ray_commands", "worker_start_ray_commands"))):
            commands(cluster, name, "PEORIA_CACHE=/opt/dlami/nvme/peoria", "")
    else:
        folder = "/mnt/efs/cache" if how == "no_mount_seen" else "/mnt/peoria/cache"
        commands(cluster, "setup_commands", "PEORIA_CACHE=/opt/dlami/nvme/peoria", f"PEORIA_CACHE={folder}")
    if how == "mounted":
        cluster["initialization_commands"] = ["sudo mount -t nfs4 -o nfsvers=4.1,hard fs-0123456789abcdef0.efs.us-west-2.amazonaws.com:/ /mnt/peoria"]
    if how == "named":
        cluster["metadata"]["home"] = "/mnt/peoria"
    good.write_text(yaml.safe_dump(cluster))
    (problem,) = check_cluster_file(good)
    assert "PEORIA_CACHE" in problem
    assert "node's own disk" in problem


def test_an_efs_home_needs_no_profile_on_workers(good: Path) -> None:
    cluster = loaded(good)
    cluster["metadata"]["home"] = "/mnt/peoria"
    cluster["initialization_commands"] = ["sudo mount -t nfs4 fs-0123456789abcdef0.efs.us-west-2.amazonaws.com:/ /mnt/peoria"]
    no_workers_profile(cluster)
    good.write_text(yaml.safe_dump(cluster))
    assert check_cluster_file(good) == []


def test_the_tokens_file_is_private_and_not_empty(good: Path) -> None:
    token = good.parent / "home" / ".ray" / "auth_token"
    token.chmod(0o644)
    assert [("mode 644" in problem, "600" in problem) for problem in check_cluster_file(good)] == [(True, True)]
    token.chmod(0o600)
    token.write_text("")
    (problem,) = check_cluster_file(good)
    assert "empty" in problem


def test_mounts_are_weighed_as_ray_up_hashes_them(good: Path) -> None:
    """All of a folder, whatever rsync would leave out."""
    cluster = loaded(good)
    cluster["file_mounts"]["~/peoria"] = "."
    cluster["rsync_exclude"] = [".venv"]
    (good.parent / ".venv").mkdir()
    with (good.parent / ".venv" / "large").open("wb") as file:
        file.truncate(99_000_000)  # takes no room, and is hashed all the same
    good.write_text(yaml.safe_dump(cluster))
    assert [place for place in places(good) if place == "file_mounts.~/peoria"] == []  # 99 MB are allowed
    with (good.parent / ".venv" / "large").open("wb") as file:
        file.truncate(101_000_000)
    (problem,) = [problem for problem in check_cluster_file(good) if ": file_mounts.~/peoria:" in problem]
    assert "101 MB" in problem or "102 MB" in problem
    assert "rsync_exclude" in problem


def test_the_sum_of_mounts_counts_and_what_ray_cannot_read_is_told(good: Path) -> None:
    cluster = loaded(good)
    for name in ("one", "two"):
        (good.parent / name).mkdir()
        with (good.parent / name / "file").open("wb") as file:
            file.truncate(60_000_000)
        cluster["file_mounts"][f"~/{name}"] = f"./{name}"
    os.symlink("nowhere", good.parent / "two" / "link")
    good.write_text(yaml.safe_dump(cluster))
    problems = check_cluster_file(good)
    assert len(problems) == 2
    assert "link: No such file" in problems[0]
    assert "120 of all mounts" in problems[1]


def test_the_local_provider_needs_version_1(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = loaded(good)
    cluster["provider"] = {"type": "local", "head_ip": "10.0.0.1", "worker_ips": ["10.0.0.2"]}
    for name in ("available_node_types", "head_node_type", "max_workers"):
        del cluster[name]
    del cluster["auth"]["ssh_proxy_command"], cluster["auth"]["ssh_proxy_use_node_id"]
    cluster |= {"min_workers": 1, "max_workers": 1}
    good.write_text(yaml.safe_dump(cluster))
    assert places(good) == ["provider.type"]
    monkeypatch.setenv("RAY_UP_enable_autoscaler_v2", "0")
    assert check_cluster_file(good) == []
    good.write_text(yaml.safe_dump(loaded(good) | {"provider": {"type": "external", "module": "a.b"}}))
    assert "provider.type" in places(good)  # version 1 for others


@pytest.mark.parametrize(
    ("command", "modes"),
    [
        ("RAY_AUTH_MODE=token ray start --head", ["token"]),
        ("export RAY_AUTH_MODE=token; ulimit -n 9 && ~/venv/bin/ray start --head", ["token"]),
        ("RAY_AUTH_MODE=token\nexport RAY_AUTH_MODE\nray start", ["token"]),
        ("RAY_AUTH_MODE=token ray stop; ray start --head", [None]),
        ("bash -lc 'RAY_AUTH_MODE=token ray start --head'", ["token"]),
        ("sudo -u ray RAY_AUTH_MODE=token ray start", ["token"]),
        ("env RAY_AUTH_MODE='token' nohup ray start > log 2>&1 &", ["token"]),
        ("echo RAY_AUTH_MODE=token; ray start", [None]),
        ("RAY_AUTH_MODE=token; ray start", [None]),  # stays with the shell
        ("echo RAY_AUTH_MODE=token ray start", [None]),
        ("ray stop # ray start", []),
        ("RAY_AUTH_MODE=token ray start --head || RAY_AUTH_MODE=none ray start", ["token", "none"]),
    ],
)
def test_which_environment_a_ray_start_has(command: str, modes: list[str | None]) -> None:
    from peoria.cluster.shell import calls

    assert [call.environment.get("RAY_AUTH_MODE") for call in calls(command) if call.ray_start() is not None] == modes


def test_as_a_command(good: Path) -> None:
    """Exit status 0 and silent; 1 with lines; 2 where it cannot be read."""

    def ran(path: Path) -> tuple[int, str, str]:
        words = [sys.executable, "-m", "peoria", "cluster", "check", str(path)]
        done = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
        return done.returncode, done.stdout, done.stderr

    assert ran(good) == (0, "", "")
    good.write_text(good.read_text().replace("idle_timeout_minutes: 15", "idle_timeout_minutes: 5"))
    code, out, err = ran(good)
    assert (code, out) == (1, "")
    assert err.startswith(f"{good}: idle_timeout_minutes: 5; more than the 10 minutes")
    assert "\nhint: " in err
    code, out, err = ran(good.parent / "absent.yaml")
    assert (code, out) == (2, "")
    assert "No such file" in err
    assert "Traceback" not in err


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ray_cluster.yaml exports reaches the sweep; a flag goes before it, and an empty one is none."""
    from peoria.cli import sweep_parser

    monkeypatch.setenv("PEORIA_CACHE", "/opt/dlami/nvme/peoria")
    assert sweep_parser().parse_args([]).cache_dir == Path("/opt/dlami/nvme/peoria")
    assert sweep_parser().parse_args(["--cache", "/elsewhere"]).cache_dir == Path("/elsewhere")
    monkeypatch.setenv("PEORIA_CACHE", "")
    assert sweep_parser().parse_args([]).cache_dir is None


def test_a_mount_that_is_missing_is_told_once(good: Path) -> None:
    cluster = loaded(good)
    cluster["file_mounts"]["~/peoria"] = "./nowhere"
    good.write_text(yaml.safe_dump(cluster))
    assert places(good) == ["file_mounts.~/peoria"]
