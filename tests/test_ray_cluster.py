"""The cluster file as Ray reads it, without a cloud: its schema, its own checks, and what keeps strangers and idle costs out."""

import copy
import json
import os
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

FILE = Path(__file__).parents[1] / "ray_cluster.yaml"
START = ("head_start_ray_commands", "worker_start_ray_commands")


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    import ray.autoscaler

    found: dict[str, Any] = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())
    return found


@pytest.fixture
def cluster() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return found


def misspelt(cluster: dict[str, Any]) -> None:
    cluster["idle_timeout_minute"] = cluster.pop("idle_timeout_minutes")


def half_a_cpu(cluster: dict[str, Any]) -> None:
    cluster["available_node_types"]["head"]["resources"]["CPU"] = 0.5


def gone_field(cluster: dict[str, Any]) -> None:
    cluster["initial_workers"] = 1


def test_schema(cluster: dict[str, Any], schema: dict[str, Any]) -> None:
    jsonschema.validate(cluster, schema)


@pytest.mark.parametrize("broken", [misspelt, half_a_cpu, gone_field])
def test_control_a_broken_copy_fails_the_schema(cluster: dict[str, Any], schema: dict[str, Any], broken: Callable[[dict[str, Any]], None]) -> None:
    broken(cluster)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(cluster, schema)


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
    assert (seen["RAY_AUTH_MODE"], seen["RAY_AUTH_TOKEN_PATH"]) == ("token", f"{tmp_path}/.ray/auth_token")


def test_the_token_file_is_readable_by_its_owner_alone(cluster: dict[str, Any], tmp_path: Path) -> None:
    token = tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("x" * 32)
    token.chmod(0o644)  # as `ray get-auth-token --generate` leaves it
    first = cluster["setup_commands"][0]
    subprocess.run(["bash", "-c", first], env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]}, check=True)
    assert stat.S_IMODE(token.stat().st_mode) == 0o600


def test_the_head_runs_no_trials_and_is_not_a_spot_instance(cluster: dict[str, Any]) -> None:
    head = cluster["available_node_types"][cluster["head_node_type"]]
    assert head["resources"] == {"CPU": 0, "GPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]
    (start,) = [command for command in cluster["head_start_ray_commands"] if "--head" in command]
    assert {"--num-cpus=0", "--num-gpus=0", "--dashboard-host=127.0.0.1"} <= set(start.split())


def test_workers_are_spot_gpus_from_none(cluster: dict[str, Any]) -> None:
    workers = {name: kind for name, kind in cluster["available_node_types"].items() if name != cluster["head_node_type"]}
    assert len(workers) >= 2
    for kind in workers.values():
        assert kind["min_workers"] == 0 < kind["max_workers"] <= cluster["max_workers"]
        assert kind["resources"]["GPU"] >= 1
        assert kind["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}


def test_a_node_is_not_removed_sooner_than_it_boots(cluster: dict[str, Any]) -> None:
    assert cluster["idle_timeout_minutes"] > cluster["metadata"]["boot_minutes"]


def test_packages_come_pinned_and_from_nowhere_in_particular(cluster: dict[str, Any]) -> None:
    (install,) = [command for command in cluster["setup_commands"] if "requirements.lock" in command]
    assert "--require-hashes" in install
    commands = [command for name, value in cluster.items() if name.endswith("_commands") for command in value]
    assert not [command for command in commands if re.search(r"https?://|--index-url|--extra-index-url|--find-links|-i ", command)]
