"""ray_cluster.yaml on AWS (moto): the account made ready by aws/setup.sh, the head brought up by `ray up` to the first ssh, and workers
asked for by Ray's own AWS provider under version 2 of the autoscaler."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import boto3
import pytest
import yaml

from tests.helpers.cluster_copy import ROOT
from tests.helpers.ec2_server import CREDENTIALS, asked, moto_server
from tests.helpers.faults import long_count
from tests.helpers.local_cluster import BIN

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(shutil.which("aws") is None, reason="aws/setup.sh needs the AWS command line, which is not here"),
    pytest.mark.skipif(shutil.which("ssh") is None, reason="`ray up` needs ssh, which is not here"),
]
REGION = "eu-central-1"  # not the one of the file
TYPES = {"gpu_l4": "g6.2xlarge", "gpu_a10g": "g5.2xlarge", "gpu_l4_4": "g6.12xlarge", "gpu_l4_on_demand": "g6.2xlarge"}
# What the laptop makes of the file for the head, and what the head's autoscaler does with it: Ray's provider, asked for a node of each type, told
# to end them.
BOOTSTRAP = """
import json, sys, yaml
from ray.autoscaler._private.commands import _bootstrap_config

config = _bootstrap_config(yaml.safe_load(open("ray_cluster.yaml")), no_config_cache=True)
config.pop("head_node", None)
json.dump(config, open("bootstrapped.json", "w"))
"""
WORKERS = """
import json, sys, time
from ray.autoscaler._private.providers import _get_node_provider
from ray.autoscaler.v2.instance_manager.config import FileConfigReader
from ray.autoscaler.v2.instance_manager.node_provider import NodeProviderAdapter
from ray.autoscaler.tags import TAG_RAY_NODE_STATUS

reader = FileConfigReader("bootstrapped.json")
config = json.load(open("bootstrapped.json"))
ray_provider = _get_node_provider(config["provider"], config["cluster_name"])
provider = NodeProviderAdapter(ray_provider, reader)
provider.launch({name: 1 for name in sys.argv[1:]}, "request")
deadline = time.monotonic() + 120
while len(nodes := provider.get_non_terminated()) <= len(sys.argv[1:]) and time.monotonic() < deadline:
    time.sleep(0.5)
workers = [name for name, node in nodes.items() if node.node_type != "head"]
ray_provider.set_node_tags(workers[0], {TAG_RAY_NODE_STATUS: "up-to-date"})
ray_provider.terminate_nodes(workers)
print(json.dumps([str(error.__cause__) for error in provider.poll_errors()]))
"""


@dataclass
class Account:
    """An account on moto, and a laptop: a copy of the checkout with a home of its own, signed in to it."""

    checkout: Path
    requests: Path
    environment: dict[str, str]

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = self.environment | more
        return subprocess.run(words, cwd=self.checkout, env=environment, capture_output=True, text=True, check=False, timeout=600)

    def client(self, service: str) -> Any:
        return boto3.client(service, region_name=REGION, endpoint_url=self.environment["AWS_ENDPOINT_URL"], **KEYS)

    def edit(self, **values: Any) -> None:
        """Changes the head's and each worker's node_config; ``...`` removes."""
        path = self.checkout / "ray_cluster.yaml"
        cluster = yaml.safe_load(path.read_text().replace("us-west-2", REGION))
        for kind in cluster["available_node_types"].values():
            kind["node_config"] = {name: value for name, value in (kind["node_config"] | values).items() if value is not ...}
        path.write_text(yaml.safe_dump(cluster))


KEYS = {"aws_access_key_id": "moto", "aws_secret_access_key": "moto"}


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    checkout, home, programs = tmp_path / "checkout", tmp_path / "home", tmp_path / "bin"
    checkout.mkdir()
    shutil.copytree(ROOT / "aws", checkout / "aws")
    shutil.copy(ROOT / "ray_cluster.yaml", checkout)
    (checkout / "dist").mkdir()
    (checkout / "dist" / "peoria-0.1.0-py3-none-any.whl").write_bytes(b"PK")
    shutil.copy(ROOT / "requirements.lock", checkout / "dist")
    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").touch(mode=0o600)
    (home / ".ray" / "auth_token").write_text("0" * 64)
    programs.mkdir()
    ssh = programs / "ssh"  # the first ssh is where moto's world ends
    ssh.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >> {tmp_path}/ssh-asked\nexit 255\n')
    ssh.chmod(0o755)
    with moto_server(tmp_path / "requests") as address:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RAY_"))} | CREDENTIALS
        environment |= {
            "HOME": str(home),
            "AWS_ENDPOINT_URL": address,
            "AWS_DEFAULT_REGION": REGION,
            "RAY_USAGE_STATS_ENABLED": "0",
            "AWS_MAX_ATTEMPTS": "2",
        }
        environment |= {"PATH": f"{programs}:{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        yield Account(checkout, tmp_path / "requests", environment)


def made_ready(account: Account) -> None:
    ran = account.run("aws/setup.sh", "my-bucket", REGION)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def ray_up(account: Account) -> tuple[list[str], str]:
    """The words of the first ssh, and what `ray up` said; it is ended there."""
    asked_for = account.checkout.parent / "ssh-asked"
    with (account.checkout.parent / "ray-up.log").open("wb") as log:
        words = ["ray", "up", "--yes", "--no-config-cache", "ray_cluster.yaml"]
        up = subprocess.Popen(
            words, cwd=account.checkout, env=account.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        deadline = time.monotonic() + 180
        while not asked_for.exists() and up.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        if up.poll() is None:
            os.killpg(up.pid, signal.SIGKILL)
        up.wait(timeout=60)
    said = (account.checkout.parent / "ray-up.log").read_text()
    return asked_for.read_text().splitlines() if asked_for.exists() else [], said


def launch_workers(account: Account) -> set[str]:
    """A worker of each type, as the head asks for it; gives the actions that the head needs the right to."""
    made = account.run(sys.executable, "-c", BOOTSTRAP)
    assert made.returncode == 0, made.stdout + made.stderr
    before = len(account.requests.read_text().splitlines())
    ran = account.run(sys.executable, "-c", WORKERS, *TYPES)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert json.loads(ran.stdout.splitlines()[-1]) == []
    return {parse_qs(json.loads(line))["Action"][0] for line in account.requests.read_text().splitlines()[before:]}


def test_an_empty_account_is_made_ready_brought_up_and_removed(account: Account) -> None:
    made_ready(account)
    checked = account.run("peoria", "cluster", "check", "ray_cluster.yaml")
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    again = account.run("aws/setup.sh", "my-bucket", REGION)
    assert (again.returncode, "there already" in again.stderr) == (2, True)

    ec2, iam = account.client("ec2"), account.client("iam")
    (group,) = ec2.describe_security_groups(Filters=[{"Name": "group-name", "Values": ["peoria"]}])["SecurityGroups"]
    cluster = yaml.safe_load((account.checkout / "ray_cluster.yaml").read_text())
    subnets = cluster["available_node_types"]["head"]["node_config"]["SubnetIds"]

    ssh, said = ray_up(account)
    assert ssh, said
    (head,) = instances(ec2)
    assert f"ubuntu@{head['InstanceId']}" in ssh  # by the session manager: its id, not an address
    assert [word for word in ssh if word.startswith("ProxyCommand=aws ssm start-session --region eu-central-1 ")]
    assert "PublicIpAddress" not in head
    assert head["PrivateIpAddress"].startswith("10.20.")
    assert head.get("InstanceLifecycle") is None
    assert head["IamInstanceProfile"]["Arn"].endswith("/peoria-head")
    (of_head,) = asked(account.requests, "RunInstances")
    assert of_head["InstanceType"] == "m7i.xlarge"
    common(of_head, group["GroupId"], subnets)

    needed = launch_workers(account)
    by_type = {one["Tags"]["ray-user-node-type"]: one for one in instances(ec2)}
    assert set(by_type) == {"head", *TYPES}
    sent = {tag_of(request, "ray-user-node-type"): request for request in asked(account.requests, "RunInstances")}
    for name, instance_type in TYPES.items():
        assert sent[name]["InstanceType"] == by_type[name]["InstanceType"] == instance_type
        spot = None if name == "gpu_l4_on_demand" else "spot"
        assert (sent[name].get("InstanceMarketOptions.MarketType"), by_type[name].get("InstanceLifecycle")) == (spot, spot)
        assert by_type[name]["IamInstanceProfile"]["Arn"].endswith("/peoria-worker")
        assert "PublicIpAddress" not in by_type[name]
        common(sent[name], group["GroupId"], subnets)
    (rule,) = ec2.describe_security_groups(GroupIds=[group["GroupId"]])["SecurityGroups"][0]["IpPermissions"]  # Ray added none
    assert [pair["GroupId"] for pair in rule["UserIdGroupPairs"]] == [group["GroupId"]]
    assert rule["IpRanges"] == []
    role = iam.get_role_policy(RoleName="peoria-head", PolicyName="peoria")["PolicyDocument"]
    assert "arn:aws:s3:::my-bucket/peoria/*" in role["Statement"][0]["Resource"]
    assert "BUCKET" not in json.dumps(role)
    allowed = [action for statement in role["Statement"] for action in listed(statement["Action"])]
    assert {f"ec2:{action}" for action in needed} <= set(allowed)
    assert "RunInstances" in needed
    assert needed & {"TerminateInstances", "StopInstances"}
    assert {"ssm:GetParameters", "iam:PassRole"} <= set(allowed)
    (may_pass,) = [statement["Resource"] for statement in role["Statement"] if statement["Action"] == "iam:PassRole"]
    assert may_pass == "arn:aws:iam::*:role/peoria-worker"
    of_worker = iam.get_role_policy(RoleName="peoria-worker", PolicyName="peoria")["PolicyDocument"]
    assert {action.partition(":")[0] for statement in of_worker["Statement"] for action in listed(statement["Action"])} == {"s3"}

    ran = account.run("aws/remove.sh", REGION)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert [one for one in instances(ec2) if one["State"]["Name"] != "terminated"] == []
    assert ec2.describe_vpcs(Filters=[{"Name": "tag:Name", "Values": ["peoria"]}])["Vpcs"] == []
    assert ec2.describe_addresses()["Addresses"] == []
    assert [role["RoleName"] for role in iam.list_roles()["Roles"] if role["RoleName"].startswith("peoria")] == []
    assert [bucket["Name"] for bucket in account.client("s3").list_buckets()["Buckets"]] == ["my-bucket"]  # the results stay


def common(request: dict[str, Any], group: str, subnets: list[str]) -> None:
    """What every node is asked for with."""
    assert request["ImageId"].startswith("resolve:ssm:/aws/service/deeplearning/")
    assert request["SecurityGroupId.1"] == group
    assert "SecurityGroupId.2" not in request
    assert request["SubnetId"] in subnets
    assert {name: request[f"BlockDeviceMapping.1.Ebs.{name}"] for name in ("VolumeType", "VolumeSize", "Throughput", "Encrypted")} == {
        "VolumeType": "gp3",
        "VolumeSize": "100",
        "Throughput": "250",
        "Encrypted": "true",
    }
    assert request["MetadataOptions.HttpTokens"] == "required"
    assert not [name for name in request if "AssociatePublicIpAddress" in name]


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def tag_of(request: dict[str, Any], key: str) -> str | None:
    at = next((name.removesuffix(".Key") for name, value in request.items() if name.startswith("TagSpecification.") and value == key), None)
    return None if at is None else str(request[f"{at}.Value"])


def instances(ec2: Any) -> list[dict[str, Any]]:
    found = [one for group in ec2.describe_instances()["Reservations"] for one in group["Instances"]]
    return [one | {"Tags": {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}} for one in found]


@long_count
def test_control_a_broken_copy_shows_in_what_is_asked_for(account: Account) -> None:
    """Without subnets, group and profile, and with a spot head: a public address, Ray's own group, open to the world, and its own role."""
    iam = account.client("iam")  # as Ray makes it where there is none, in 30 s
    iam.create_instance_profile(InstanceProfileName="ray-autoscaler-v1")
    iam.create_role(RoleName="ray-autoscaler-v1", AssumeRolePolicyDocument=(ROOT / "aws" / "trust.json").read_text())
    iam.add_role_to_instance_profile(InstanceProfileName="ray-autoscaler-v1", RoleName="ray-autoscaler-v1")
    account.edit(SubnetIds=..., SecurityGroupIds=..., IamInstanceProfile=..., InstanceMarketOptions={"MarketType": "spot"})
    ssh, said = ray_up(account)
    assert ssh, said
    (head,) = instances(account.client("ec2"))
    assert head["InstanceLifecycle"] == "spot"
    assert head["PublicIpAddress"]
    assert head["IamInstanceProfile"]["Arn"].endswith("/ray-autoscaler-v1")
    opened = account.client("ec2").describe_security_groups(GroupIds=[head["SecurityGroups"][0]["GroupId"]])["SecurityGroups"][0]["IpPermissions"]
    assert [rule["IpRanges"] for rule in opened if rule["IpRanges"]] == [[{"CidrIp": "0.0.0.0/0"}]]
    checked = account.run("peoria", "cluster", "check", "ray_cluster.yaml")
    assert checked.returncode == 1
    for key in ("SecurityGroupIds", "IamInstanceProfile", "head.node_config.InstanceMarketOptions.MarketType"):
        assert key in checked.stderr
