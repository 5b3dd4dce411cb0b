"""The cluster file as Ray and a shell read it, without a cloud. What has to stand in it is in `peoria cluster check`, and is tested there."""

import copy
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

FILE = Path(__file__).parents[1] / "ray_cluster.yaml"
START = ("head_start_ray_commands", "worker_start_ray_commands")


@pytest.fixture
def cluster() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


def test_ray_accepts_it_and_fills_nothing_of_its_own_into_what_matters(cluster: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import check_legacy_fields, prepare_config, validate_config

    check_legacy_fields(cluster)
    prepared = prepare_config(copy.deepcopy(cluster))
    validate_config(prepared)
    for name in (*START, "setup_commands", "idle_timeout_minutes", "max_workers"):
        found = prepared[name]
        assert found == cluster[name], name
    assert prepared["available_node_types"]["head"]["max_workers"] == 0
    assert not any("ray-wheels" in command for commands in (prepared["setup_commands"], prepared["head_setup_commands"]) for command in commands)


def test_control_ray_refuses_more_minimum_workers_than_the_maximum(cluster: dict[str, Any]) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    cluster["available_node_types"]["gpu_l4"]["min_workers"] = 9
    with pytest.raises(ValueError, match="smaller than the sum of `min_workers`"):
        validate_config(prepare_config(cluster))


def environment_of_ray_start(command: str, home: Path) -> dict[str, str]:
    """What `ray start` would see if a node ran the command, with a stand-in for it that tells."""
    ray = home / "venv" / "bin" / "ray"
    ray.parent.mkdir(parents=True, exist_ok=True)
    ray.write_text('#!/bin/sh\nenv\necho "ARGUMENTS=$*"\n')
    ray.chmod(0o755)
    environment = {"HOME": str(home), "PATH": os.environ["PATH"], "RAY_HEAD_IP": "10.0.0.1"}
    ran = subprocess.run(["bash", "-c", command.replace("ulimit -n 65536;", "")], env=environment, capture_output=True, text=True, check=True)
    return dict(line.split("=", 1) for line in ran.stdout.splitlines())


@pytest.mark.parametrize("name", START)
def test_both_start_commands_carry_the_token(cluster: dict[str, Any], tmp_path: Path, name: str) -> None:
    (start,) = [command for command in cluster[name] if " start " in command]
    seen = environment_of_ray_start(start, tmp_path)
    assert seen["RAY_AUTH_MODE"] == "token"
    assert seen["RAY_AUTH_TOKEN_PATH"] == f"{tmp_path}/.ray/auth_token"
    assert seen["RAY_AUTH_TOKEN_PATH"].replace(str(tmp_path), "~") in cluster["file_mounts"]


def test_what_is_run_on_the_head_carries_the_token_too(cluster: dict[str, Any], tmp_path: Path) -> None:
    (command,) = [command for command in cluster["setup_commands"] if ".bashrc" in command]
    for _ in range(2):  # a second `ray up` adds nothing
        subprocess.run(["bash", "-c", command], env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]}, check=True)
    assert (tmp_path / ".bashrc").read_text().count("RAY_AUTH_MODE") == 1
    seen = environment_of_ray_start(". ~/.bashrc; ~/venv/bin/ray status", tmp_path)
    assert (seen["RAY_ADDRESS"], seen["PEORIA_CACHE"]) == ("auto", "/opt/dlami/nvme/peoria")
    assert (seen["RAY_AUTH_MODE"], seen["RAY_AUTH_TOKEN_PATH"]) == ("token", f"{tmp_path}/.ray/auth_token")


def test_the_token_file_is_readable_by_its_owner_alone(cluster: dict[str, Any], tmp_path: Path) -> None:
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("x" * 32)
    token.chmod(0o644)  # as `ray get-auth-token --generate` leaves it
    first = cluster["setup_commands"][0]
    subprocess.run(["bash", "-c", first], env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]}, check=True)
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


def test_workers_are_spot_gpus_from_none_and_on_demand_by_hand_alone(cluster: dict[str, Any]) -> None:
    workers = {name: kind for name, kind in cluster["available_node_types"].items() if name != cluster["head_node_type"]}
    assert {kind["resources"]["GPU"] for kind in workers.values()} == {1, 4}
    on_demand = {name for name, kind in workers.items() if "InstanceMarketOptions" not in kind["node_config"]}
    assert on_demand == {"gpu_l4_on_demand"}
    for name, kind in workers.items():
        assert kind["min_workers"] == 0
        assert (kind["max_workers"] == 0) == (name in on_demand)
        assert kind.get("priority", 0) == (1 if name in on_demand else 0)


SPOT, ON_DEMAND = "gpu_l4", "gpu_l4_on_demand"


def asked_for(config: dict[str, Any]) -> set[str]:
    """The types of node that version 2 of the autoscaler starts for four trials of half a GPU."""
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
    from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
    from ray.autoscaler.v2.utils import ResourceRequestUtil
    from ray.core.generated.autoscaler_pb2 import ResourceRequest, ResourceRequestByCount

    settings = AutoscalingConfig(config, skip_content_hash=True)
    trial: ResourceRequest = ResourceRequestUtil.make({"CPU": 4, "GPU": 0.5})
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=settings.get_node_type_configs(),
        max_num_nodes=settings.get_max_num_nodes(),
        resource_requests=[ResourceRequestByCount(request=trial, count=4)],
    )
    return {launch.instance_type for launch in ResourceDemandScheduler().schedule(request).to_launch}


def test_the_on_demand_type_is_taken_where_a_person_allows_it(cluster: dict[str, Any]) -> None:
    assert not asked_for(cluster) & {ON_DEMAND, "gpu_l4_4"}
    cluster["available_node_types"][ON_DEMAND]["max_workers"] = 2
    assert asked_for(cluster) == {ON_DEMAND}


def test_a_spot_type_that_cannot_be_had_is_asked_for_again() -> None:
    """Why the last resort is opened by hand: Ray notes a type as short only where an instance came and did not start, not where AWS gave none."""
    from ray.autoscaler.v2.instance_manager.subscribers.cloud_resource_monitor import CloudResourceMonitor
    from ray.core.generated.instance_manager_pb2 import Instance, InstanceUpdateEvent

    monitor = CloudResourceMonitor()
    monitor.notify([InstanceUpdateEvent(new_instance_status=Instance.ALLOCATION_FAILED, instance_type=SPOT)])  # InsufficientInstanceCapacity
    assert monitor.get_recoverable_resource_availabilities() == {}
    monitor.notify([InstanceUpdateEvent(new_instance_status=Instance.ALLOCATION_TIMEOUT, instance_type=SPOT)])
    assert monitor.get_recoverable_resource_availabilities()[SPOT] < 0.1


def test_what_ray_submit_with_stop_gives_on_the_head_is_no_command() -> None:
    """So it stops the head and leaves the workers, and no page has it."""
    import inspect

    from ray.autoscaler._private import commands
    from ray.scripts.scripts import cli

    assert "ray teardown ~/ray_bootstrap_config.yaml" in inspect.getsource(commands)
    assert "teardown" not in cli.commands
    assert "down" in cli.commands
    for page in ("README.md", "docs/cluster.md"):
        assert "ray submit --stop ray_cluster.yaml" not in (Path(__file__).parents[1] / page).read_text()
