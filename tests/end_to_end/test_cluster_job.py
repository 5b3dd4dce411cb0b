"""Jobs on a cluster: submitted to the head, run on the worker, and by nobody without the token."""

import json
import shutil
import stat
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from peoria.records.folder import SweepFolder
from peoria.records.selection import winners_of
from peoria.records.trials import read_trials
from tests.helpers.local_cluster import BIN, LocalCluster

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]

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


def test_a_sweep_runs_as_a_job(ray_cluster: LocalCluster, planted_shards: Path, tmp_path: Path) -> None:
    """The command of the laptop, unchanged, on the cluster: the driver on the head, which has no CPUs, every trial on the worker."""
    shutil.copytree(ROOT / "sweeps", tmp_path / "work" / "sweeps")
    with (tmp_path / "work" / "sweeps" / "demo.py").open("a") as file:  # without the trainings on parts of train, which take the longest
        file.write("\nSWEEP = SWEEP.model_copy(update={'questions': ()})\n")
    words = ["env", "PEORIA_PRETEND_GPU=1", "peoria", "sweep", "sweeps/demo.py", "--trials", "3", "--gpus-per-trial", "0.5"]
    words += ["--home", str(tmp_path / "home"), "--shards", str(planted_shards), "--tracking", "off"]
    ran = ray_cluster.submit(tmp_path / "work", *words, timeout_s=550)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert "3 of 3 trials" in ran.stdout
    assert "each with 1 CPU and 0.5 GPU" in " ".join(ran.stdout.split())
    folder = SweepFolder(tmp_path / "home" / "sweeps" / "demo")
    trials = read_trials(folder)
    searched = [trial.key for trial in trials if trial.of is None]
    assert searched == ["0000", "0001", "0002", "paper-classification", "paper-hybrid", "paper-regression"]
    won = winners_of(folder.read_definition(), trials)
    assert "views" in won
    assert {f"{trial.key}-seed-5" for trial in won.values()} <= {trial.key for trial in trials}  # and the winners again
    assert all(trial.status in ("done", "pruned") for trial in trials)


def test_a_cluster_without_token_mode_is_refused(ray_cluster: LocalCluster, planted_shards: Path, tmp_path: Path) -> None:
    words = [
        str(BIN / "peoria"),
        "sweep",
        str(ROOT / "sweeps" / "demo.py"),
        "--home",
        str(tmp_path),
        "--shards",
        str(planted_shards),
        "--tracking",
        "off",
    ]
    environment = ray_cluster.bare_environment | {"RAY_ADDRESS": ray_cluster.address}
    refused = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert refused.returncode == 2
    assert "RAY_AUTH_MODE: None on the cluster" in refused.stderr
    assert not any(trial.status == "done" for trial in read_trials(SweepFolder(tmp_path / "sweeps" / "demo")))
