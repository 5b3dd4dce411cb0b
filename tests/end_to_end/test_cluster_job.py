"""Jobs on a cluster: submitted to the head, run on the worker, and by nobody without the token."""

import json
import stat
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from local_cluster import LocalCluster

pytestmark = pytest.mark.slow

JOB = """
import json
import ray

ray.init()

@ray.remote(num_gpus=0.5)
def where() -> tuple[str, list[str]]:
    context = ray.get_runtime_context()
    return context.get_node_id(), context.get_accelerator_ids()["GPU"]

head = next(node["NodeID"] for node in ray.nodes() if not node["Resources"].get("CPU"))
tasks = ray.get([where.remote(), where.remote()])
resources = [{name: node["Resources"].get(name, 0) for name in ("CPU", "GPU")} for node in ray.nodes() if node["Alive"]]
print("FOUND " + json.dumps({"nodes": resources, "gpus": [gpus for _, gpus in tasks], "on_head": [node == head for node, _ in tasks]}))
"""


def answer(cluster: LocalCluster, token: str | None) -> int:
    """HTTP status of a request to the jobs API."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        with urllib.request.urlopen(urllib.request.Request(f"{cluster.jobs_address}/api/jobs/", headers=headers), timeout=30) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_job_runs_on_the_worker_and_shares_its_gpu(ray_cluster: LocalCluster, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(JOB)
    ran = ray_cluster.submit(tmp_path, "python", "job.py")
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    (line,) = [line for line in ran.stdout.splitlines() if line.startswith("FOUND ")]
    found = json.loads(line.removeprefix("FOUND "))
    assert sorted(found["nodes"], key=lambda node: node["CPU"]) == [{"CPU": 0, "GPU": 0}, {"CPU": 2, "GPU": 1}]
    assert found["gpus"] == [["0"], ["0"]]  # two halves of one
    assert found["on_head"] == [False, False]


def test_a_job_that_fails_is_told_by_the_exit_status(ray_cluster: LocalCluster, tmp_path: Path) -> None:
    assert ray_cluster.submit(tmp_path, "python", "-c", "raise SystemExit(3)").returncode != 0


def test_nobody_without_the_token(ray_cluster: LocalCluster, tmp_path: Path) -> None:
    token = ray_cluster.token_path.read_text()
    assert stat.S_IMODE(ray_cluster.token_path.stat().st_mode) == 0o600
    assert [answer(ray_cluster, given) for given in (token, None, "wrong")] == [200, 401, 403]
    refused = ray_cluster.submit(tmp_path, "python", "-c", f"open({str(tmp_path / 'ran')!r}, 'w')", with_token=False)
    assert refused.returncode != 0
    assert "Unauthorized" in refused.stdout + refused.stderr
    assert not (tmp_path / "ran").exists()


def test_control_the_same_command_with_the_token_runs(ray_cluster: LocalCluster, tmp_path: Path) -> None:
    ran = ray_cluster.submit(tmp_path, "python", "-c", f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert (tmp_path / "ran").exists()
