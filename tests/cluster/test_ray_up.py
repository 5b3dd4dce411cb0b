"""`ray up`, `ray submit` and `peoria submit --cluster` from a laptop, over ssh: ray_cluster.yaml with Ray's local provider on two machines that share
one disk and nothing else. Each is made of namespaces of this one, see tests/helpers/hosts.py."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from peoria.records.folder import SweepFolder
from peoria.records.schema import TrialWorker
from tests.helpers import hosts as hosts_module
from tests.helpers.cluster_copy import edited_copy
from tests.helpers.faults import long_count
from tests.helpers.hosts import Host, Hosts
from tests.helpers.local_cluster import BIN
from tests.helpers.s3_server import S3Server
from tests.test_commands import steps

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(hosts_module.cannot() is not None, reason=f"machines of namespaces: {hosts_module.cannot()}")]
SCRIPT = """
import peoria
from tests.helpers.small import small_sweep

SWEEP = small_sweep("/mnt/peoria/shards", trials={trials}, name={name!r}, seeds=0, questions=())
if __name__ == "__main__":
    peoria.main(SWEEP)
"""
RUNNING = "ps -eo comm | grep -c -E 'raylet|gcs_server' || true"
YES = " --yes"  # nobody is there to be asked
# In the place of the packages that setup_commands install from the lock (7 GB by pip): this machine's own, with the code under test first.
VENV = "test -e ~/venv || ln -s {prefix} ~/venv"
CODE = "grep -qs PYTHONPATH ~/.bashrc || echo 'export PYTHONPATH=/mnt/code OPENBLAS_NUM_THREADS=1 RAY_USAGE_STATS_ENABLED=0' >> ~/.bashrc"


class Cluster:
    """The machines, and the laptop that brought the cluster up."""

    def __init__(self, folder: Path) -> None:
        self.hosts = Hosts(folder, 2)
        self.s3 = S3Server(folder, self.hosts.outside)
        self.s3.request("PUT", "/my-bucket")
        for host in self.hosts.hosts:  # as the role of a machine does; in the file a secret is refused
            (host.home / ".bashrc").write_text("export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test\n")
        self.laptop = folder / "laptop"
        (self.laptop / ".ray").mkdir(parents=True)
        (self.laptop / "sweeps").mkdir()
        (folder / "copy").mkdir()
        shutil.copytree(edited_copy(folder / "copy").parent / "dist", self.laptop / "dist")
        (self.laptop / "ray_cluster.yaml").write_text(yaml.safe_dump(self._file(), sort_keys=False, width=1000))

    @property
    def head(self) -> Host:
        return self.hosts.hosts[0]

    @property
    def worker(self) -> Host:
        return self.hosts.hosts[1]

    def _file(self) -> dict[str, Any]:
        """ray_cluster.yaml with what a provider without a cloud needs, and nothing else changed."""
        found: dict[str, Any] = yaml.safe_load((ROOT / "ray_cluster.yaml").read_text())
        for name in ("available_node_types", "head_node_type"):
            del found[name]
        addresses = [host.address for host in self.hosts.hosts]
        found |= {
            "provider": {"type": "local", "head_ip": addresses[0], "worker_ips": addresses[1:]},
            "auth": {"ssh_user": "root", "ssh_private_key": str(self.hosts.key)},
            "min_workers": 1,
            "max_workers": 1,
            "file_mounts": found["file_mounts"] | {"~/peoria": "./dist"},
            "initialization_commands": [],  # the disk is there
            "head_setup_commands": [],  # AWS's library
            "setup_commands": [*map(self._setup, found["setup_commands"]), CODE],
        }
        for name in ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands"):
            there = f"AWS_ENDPOINT_URL={self.s3.url} AWS_ALLOW_HTTP=true PEORIA_PRETEND_GPU=1"
            found[name] = [command.replace("AWS_REGION=us-west-2", there) for command in found[name]]
        found["worker_start_ray_commands"][-1] += " --num-cpus=8 --num-gpus=1"  # which a cloud's provider says of its types
        return found

    @staticmethod
    def _setup(command: str) -> str:
        if "pip install" in command:
            return "true"
        if "-m venv" in command:
            return VENV.format(prefix=Path(sys.prefix).resolve())
        return command.replace("sudo ", "").replace("chown ubuntu", "chown root")

    @property
    def environment(self) -> dict[str, str]:
        found = {"HOME": str(self.laptop), "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}
        found |= {"RAY_UP_enable_autoscaler_v2": "0", "RAY_USAGE_STATS_ENABLED": "0", "OPENBLAS_NUM_THREADS": "1"}
        return found | self.s3.environment()

    def run(self, command: str, *, status: int = 0, timeout_s: float = 900, **more: str) -> str:
        """A command as it is given on the laptop; what it prints."""
        ran = subprocess.run(
            self.hosts.on_the_laptop(command),
            cwd=self.laptop,
            env=self.environment | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert ran.returncode == status, f"{command}\n{ran.stdout[-6000:]}{ran.stderr[-3000:]}"
        token = self.laptop / ".ray" / "auth_token"
        assert not token.exists() or token.read_text().strip() not in ran.stdout + ran.stderr
        return ran.stdout + ran.stderr

    def trained_on(self, name: str) -> set[str]:
        """Host names of the machines that trained."""
        return {TrialWorker.read(trial.worker).node.split()[0] for trial in SweepFolder.of(self.hosts.shared, name).trials()}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, planted_shards: Path) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("hosts")
    found = Cluster(folder)
    try:
        subprocess.run(["cp", "-r", str(planted_shards), str(found.hosts.shared / "shards")], check=True)
        for path in planted_shards.rglob("*"):
            if path.is_file() and "openings" not in path.name:
                found.s3.request("PUT", f"/my-bucket/shards/photos/{path.relative_to(planted_shards).as_posix()}", path.read_bytes())
        own = os.readlink("/proc/self/ns/pid")
        assert own not in {
            found.hosts.ssh(host, "readlink /proc/self/ns/pid") for host in found.hosts.hosts
        }  # `ray stop` of the file ends theirs alone
        found.run(on_the_page("ray get-auth-token "))
        found.run(on_the_page("peoria cluster check "))
        found.run(on_the_page("ray up ray_cluster.yaml") + YES)
        found.run("for i in $(seq 60); do ray exec ray_cluster.yaml 'ray list nodes' | grep -c ALIVE | grep -q 2 && break; sleep 1; done")
        yield found
    finally:
        found.s3.stop()
        found.hosts.stop()


def on_the_page(begins: str) -> str:
    """The command of docs/cluster.md, to the letter."""
    (found,) = {re.sub(r"\s+#.*", "", step.text) for step in steps(ROOT / "docs" / "cluster.md") if step.text.startswith(begins)}
    return found


def script(cluster: Cluster, name: str, trials: int = 2) -> str:
    (cluster.laptop / "sweeps" / f"{name}.py").write_text(SCRIPT.format(name=name, trials=trials))
    return f"sweeps/{name}.py"


def trained_in_the_bucket(cluster: Cluster) -> set[str]:
    """As `Cluster.trained_on`, of the sweep demo of the pages."""
    keys = re.findall(
        r"<Key>([^<]*/worker\.json)</Key>", cluster.s3.request("GET", "/my-bucket?list-type=2&prefix=peoria/sweeps/demo/trials/").decode()
    )
    return {json.loads(cluster.s3.request("GET", f"/my-bucket/{key}"))["node"].split()[0] for key in keys}


def nothing_runs(cluster: Cluster, within_s: float = 60.0) -> bool:
    """A worker's raylet, told to end, takes a few seconds where the cores are busy."""
    deadline = time.monotonic() + within_s
    while any(cluster.hosts.ssh(host, RUNNING) != "0" for host in cluster.hosts.hosts):
        if time.monotonic() > deadline:
            return False
        time.sleep(1)
    return True


def test_every_trial_of_ray_submit_is_off_the_head(cluster: Cluster) -> None:
    flags = "--home /mnt/peoria --tracking off --gpus-per-trial 0"
    said = cluster.run(f"ray submit ray_cluster.yaml {script(cluster, 'tiny')} {flags}")
    assert "2 of 2 trials" in said
    assert f"on: cluster {cluster.head.address}:6379" in said
    assert cluster.trained_on("tiny") == {cluster.worker.name}

    said = cluster.run(f"ray submit ray_cluster.yaml {script(cluster, 'alone')} {flags} --ray local")  # control: the head is able to, were it asked
    assert "2 of 2 trials" in said
    assert cluster.trained_on("alone") == {cluster.head.name}


def test_peoria_submit_goes_over_ssh(cluster: Cluster) -> None:
    """As both pages have it."""
    command = on_the_page("peoria submit sweeps/demo.py --cluster ")
    assert command in [step.text for step in steps(ROOT / "README.md")]
    script(cluster, "demo")
    said = cluster.run(command)
    assert "job peoria-demo-1: submitted" in said
    assert "2 of 2 trials" in said
    assert trained_in_the_bucket(cluster) == {cluster.worker.name}
    assert forwarding(cluster) == []


@long_count
def test_the_jobs_api_and_ray_submit_as_the_page_has_them(cluster: Cluster) -> None:
    """After the test above; with one trial more they go on with its sweep. The way to the dashboard is open in a terminal of its own."""
    words = cluster.hosts.on_the_laptop(on_the_page("ray dashboard "))
    way = subprocess.Popen(words, cwd=cluster.laptop, env=cluster.environment, start_new_session=True)
    try:
        cluster.run("for i in $(seq 100); do curl -s http://127.0.0.1:8265 > /dev/null && exit 0; sleep 0.3; done; exit 1")
        script(cluster, "demo", trials=3)
        said = cluster.run(on_the_page("RAY_AUTH_MODE=token ray job submit "))
        assert "3 of 3 trials" in said
        refused = cluster.run(on_the_page("RAY_AUTH_MODE=token ray job submit ").removeprefix("RAY_AUTH_MODE=token "), status=1)  # control
        assert "uthentication" in refused
    finally:
        os.killpg(way.pid, signal.SIGTERM)
        way.wait(60)
    script(cluster, "demo", trials=4)
    said = cluster.run(on_the_page("ray submit ray_cluster.yaml "))  # and `ray down`
    assert "4 of 4 trials" in said
    assert trained_in_the_bucket(cluster) == {cluster.worker.name}
    assert nothing_runs(cluster)


@long_count
def test_a_cluster_that_is_not_up(cluster: Cluster) -> None:
    found = yaml.safe_load((cluster.laptop / "ray_cluster.yaml").read_text())
    found["cluster_name"] = "other"
    (cluster.laptop / "other.yaml").write_text(yaml.safe_dump(found))
    said = cluster.run(f"peoria submit {script(cluster, 'none')} --cluster other.yaml --home /mnt/peoria", status=2)
    assert "Traceback" not in said
    assert "--cluster: other.yaml" in said


@long_count
def test_ray_down_leaves_nothing_running(cluster: Cluster) -> None:
    """The last one here."""
    cluster.run(on_the_page("ray up ray_cluster.yaml") + YES)  # once more, where a test before has stopped it
    assert cluster.hosts.ssh(cluster.head, RUNNING) == "2"
    cluster.run(on_the_page("ray down ray_cluster.yaml") + YES)
    assert nothing_runs(cluster)


def forwarding(cluster: Cluster) -> list[str]:
    """Processes that forward a port to the head."""
    ran = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return [line for line in ran.stdout.splitlines() if cluster.head.address in line and "-L" in line.split()]
