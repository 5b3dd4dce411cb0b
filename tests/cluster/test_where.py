"""Where a sweep runs: on the cluster that the machine is a node of, as a script of `ray submit` does, and on no node that lacks what it needs."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from peoria.records.folder import SweepFolder, TrialFolder
from peoria.records.schema import TrialWorker
from peoria.records.trials import read_trials
from tests.helpers.faults import SWEEP, digests, long_count
from tests.helpers.local_cluster import BIN, LocalCluster

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SCRIPT = """
import peoria
from tests.helpers.small import small_sweep

SWEEP = small_sweep({shards!r}, trials={trials})
if __name__ == "__main__":
    peoria.main(SWEEP)
"""


def can_unshare() -> bool:
    return os.geteuid() == 0 and subprocess.run(["unshare", "-m", "true"], check=False).returncode == 0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """Its worker has a folder of its own, `unshared`, where it is root who runs the tests."""
    folder = tmp_path_factory.mktemp("cluster")
    own = folder / "own"
    own.mkdir()
    found = LocalCluster(folder, unshared=own if can_unshare() else None)
    try:
        found.start()
        yield found
    finally:
        found.stop()


def script(folder: Path, shards: Path, trials: int = 2) -> Path:
    (folder / "tiny.py").write_text(SCRIPT.format(shards=str(shards), trials=trials))
    return folder / "tiny.py"


def environment(cluster: LocalCluster, **more: str) -> dict[str, str]:
    """What `ray submit` leaves a script: the machine's, with the token and without an address."""
    assert "RAY_ADDRESS" not in cluster.environment
    return cluster.environment | {"RAY_TMPDIR": str(cluster.base), "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"} | more


def run(cluster: LocalCluster, file: Path, home: Path, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(file), "--home", str(home), "--tracking", "off", *words]
    return subprocess.run(command, env=environment(cluster, **more), cwd=file.parent, capture_output=True, text=True, timeout=500, check=False)


def nodes_of(home: Path) -> set[str]:
    """First characters of the ids of the nodes that trained."""
    folder = SweepFolder.of(home, "small")
    return {TrialWorker.read(trial.worker).node.split()[-1] for trial in folder.trials()}


def test_a_script_joins_the_cluster_of_its_machine(cluster: LocalCluster, planted_shards: Path, tmp_path: Path) -> None:
    """Every trial off the head, which has no CPUs. The same on a Ray of its own runs here, and disturbs nothing: the control."""
    file, latest = script(tmp_path, planted_shards), (cluster.temporary / "session_latest").readlink()
    ran = run(cluster, file, tmp_path / "home", "--gpus-per-trial", "0.5", PEORIA_PRETEND_GPU="1")
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    port, pretended = cluster.address.rpartition(":")[2], "; PEORIA_PRETEND_GPU: GPUs are pretended, trials train on the CPU"
    on = " ".join(ran.stdout.partition("\nsweep ")[0].split())  # it may be folded
    found = re.fullmatch(r"on: cluster [\d.]+:(\d+), nodes that run trials: 1 with 1 GPU; this sweep can use (.*)", on)
    assert found is not None, ran.stdout
    assert found.groups() == (port, f"up to 1 node at once{pretended}")
    workers = {node[:8] for node, is_head in cluster.node_ids().items() if not is_head}
    assert nodes_of(tmp_path / "home") == workers
    assert all(trial.status in ("done", "pruned") for trial in read_trials(SweepFolder.of(tmp_path / "home", "small")))
    assert not (tmp_path / "home" / "sweeps" / "small" / "shared").exists()

    ran = run(cluster, file, tmp_path / "alone", "--ray", "local", "--trials", "1")
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert ran.stdout.startswith("on: this machine, ")
    assert not nodes_of(tmp_path / "alone") & {node[:8] for node in cluster.node_ids()}
    assert (cluster.temporary / "session_latest").readlink() == latest
    assert len(cluster.node_ids()) == 2


@long_count
def test_without_the_token_it_is_refused_however_it_was_found(cluster: LocalCluster, planted_shards: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(script(tmp_path, planted_shards)), "--home", str(tmp_path / "home"), "--tracking", "off"]
    bare = cluster.bare_environment | {"RAY_TMPDIR": str(cluster.base), "PYTHONPATH": str(ROOT)}
    for words in ([], ["--ray", "auto"], ["--ray", cluster.address]):
        ran = subprocess.run([*command, *words], env=bare, capture_output=True, text=True, timeout=120, check=False)
        assert ran.returncode == 2, ran.stdout + ran.stderr
        assert re.match(rf"RAY_AUTH_MODE: None on the cluster [\d.]+:{cluster.address.rpartition(':')[2]}; ", ran.stderr)
        assert "--ray local" in ran.stderr
    assert not (tmp_path / "home" / "sweeps").exists()


def test_everything_that_a_node_lacks_is_told_at_once_and_nothing_is_trained(cluster: LocalCluster, planted_shards: Path, tmp_path: Path) -> None:
    """A home and a packed set that the node does not see, and no GPU for torch. The control is the script above, which lacks nothing."""
    if cluster.unshared is None:
        pytest.skip("not root: nodes of one machine cannot have different disks")
    home, shards = cluster.unshared / "home", cluster.unshared / "shards"
    subprocess.run(["cp", "-r", str(planted_shards), str(shards)], check=True)
    began = time.monotonic()
    ran = run(cluster, script(tmp_path, shards), home, "--gpus-per-trial", "0.5")
    assert ran.returncode == 2, ran.stdout[-3000:] + ran.stderr[-3000:]
    lines = [line for line in ran.stderr.splitlines() if line.startswith("--")]
    assert [line.partition(":")[0] for line in lines] == ["--home", "--shards", "--gpus-per-trial"], ran.stderr
    assert lines[0].startswith(f"--home: {home}: on node ")
    assert "torch sees no GPU" in lines[2]
    assert time.monotonic() - began < 300  # of which most is a busy machine's
    folder = SweepFolder.of(home, "small")
    assert not folder.trials()
    assert not (shards / "openings.jsonl").exists()
    assert json.loads(folder.finished.read_text())["status"] == "failed"


@long_count
def test_what_can_never_run_here_is_named_and_a_stopped_job_was_interrupted(cluster: LocalCluster, planted_shards: Path, tmp_path: Path) -> None:
    """Two GPUs a trial on a node with one: in the log and in the status. A node may still come, so it waits, until the job is stopped."""
    work, home = tmp_path / "work", tmp_path / "home"
    work.mkdir()
    script(work, planted_shards)
    command = f"{sys.executable} tiny.py --home {home} --gpus-per-trial 2 --tracking off > {tmp_path}/log 2>&1"
    (work / "run.sh").write_text(f"export PYTHONPATH={ROOT} PEORIA_PRETEND_GPU=1\nexec {command}")
    assert cluster.submit(work, "sh", "run.sh", submission_id="two-gpus").returncode == 0
    line = "waiting: 2 trials of 2 GPUs each; no node has 2 GPUs (the 1 here: 1 GPU)"
    log = tmp_path / "log"
    log.touch()
    wait_for(log, line)
    told = subprocess.run(
        [str(BIN / "peoria"), "status", "small", "--home", str(home)], env=environment(cluster), capture_output=True, text=True, check=True
    )
    assert line in told.stdout, told.stdout
    assert "running" not in told.stdout
    stop_job(cluster, "two-gpus")
    assert json.loads((home / "sweeps" / "small" / "finished.json").read_text())["status"] == "interrupted", log.read_text()


def stop_job(cluster: LocalCluster, job: str) -> None:
    subprocess.run([str(BIN / "ray"), "job", "stop", "--address", cluster.jobs_address, job], env=cluster.environment, check=True, timeout=120)


@long_count
def test_a_job_stopped_in_mid_training_loses_nothing_and_goes_on(cluster: LocalCluster, planted_shards: Path, tmp_path: Path) -> None:
    """The same job given again ends as one that nobody stopped, which is the control."""
    work, log = tmp_path / "work", tmp_path / "log"
    work.mkdir()
    log.touch()
    (work / "faults.py").write_text(
        SWEEP.replace("trials=4", "trials=2").replace("seeds=3", "seeds=0").replace('"pictures": 4000', '"pictures": 16000')
    )
    for home in ("stopped", "alone"):
        command = f"{sys.executable} faults.py --home {tmp_path}/{home} --shards {planted_shards} --tracking off --concurrent 1 >> {log} 2>&1"
        (work / f"{home}.sh").write_text(f"export PYTHONPATH={ROOT} OPENBLAS_NUM_THREADS=1\nexec {command}")
    folder, alone = (SweepFolder.of(tmp_path / home, "faults") for home in ("stopped", "alone"))
    assert cluster.submit(work, "sh", "stopped.sh", submission_id="stopped").returncode == 0
    deadline = time.monotonic() + 600
    while not (under_way := [trial for trial in folder.trials() if ended_of(folder) == 1 and half_way(trial)]):
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.02)
    stop_job(cluster, "stopped")  # after 3 s Ray kills what has not ended
    assert json.loads(folder.finished.read_text())["status"] == "interrupted", log.read_text()[-3000:]
    assert [trial.checkpoint.exists() and not trial.outcome.exists() for trial in under_way] == [True]
    curves = {trial.key: trial.points.read_text() for trial in folder.trials()}
    time.sleep(2)  # who still trained would write
    assert curves == {trial.key: trial.points.read_text() for trial in folder.trials()}
    assert 0 < curves[under_way[0].key].count("\n") < 40
    for home in ("stopped", "alone"):
        ran = cluster.submit(work, "sh", f"{home}.sh", timeout_s=900)
        assert ran.returncode == 0, ran.stdout[-2000:] + log.read_text()[-3000:]
    assert digests(folder) == digests(alone)
    assert json.loads(folder.finished.read_text())["status"] == "finished"
    for key, before in curves.items():
        assert folder.trial(key).points.read_text().startswith(before)


def ended_of(folder: SweepFolder) -> int:
    return len(list(folder.path.glob("trials/*/outcome.json")))


def half_way(trial: TrialFolder) -> bool:
    """In training, with a checkpoint."""
    return trial.checkpoint.exists() and not trial.outcome.exists()


def wait_for(log: Path, words: str, limit_s: float = 300.0) -> None:
    deadline = time.monotonic() + limit_s
    while words not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
