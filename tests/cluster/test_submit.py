"""A sweep as a job of a real cluster of two nodes in token mode: followed, left and joined again, submitted again while trials are owed."""

import asyncio
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from peoria.cluster import jobs as jobs_module
from peoria.cluster.jobs import ClusterAwayError, Jobs, Log
from peoria.errors import SweepError
from peoria.records.folder import SweepFolder
from peoria.records.schema import TrialStart, TrialWorker
from tests.helpers.faults import long_count
from tests.helpers.local_cluster import BIN, LocalCluster, free_ports

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SECRET = "hush" + "-41c7d2-hush"  # nowhere whole in this file, which a package of the code holds
WEIGHTS = "data/weights/tiny ü.safetensors"
HEAD = """
import json, os, sys, time
from pathlib import Path
from tests.helpers.small import small_sweep

SWEEP = small_sweep({shards!r}, trials=2, name={name!r}, seeds=0, questions=())
"""
# In the job, and not where it is submitted.
JOB = """
if Path(".peoria-job.json").exists():
    with open({ran!r}, "a") as file:
        file.write("ran\\n")
    num = len(Path({ran!r}).read_text().splitlines())
    print("BEGUN", num, flush=True)
"""
SAYS = """
    import peoria, ray

    def found():
        return [os.environ.get("A_SECRET"), Path({weights!r}).read_text(), str(Path(peoria.__file__).resolve())]

    ray.init(log_to_driver=False)
    found.__module__ = "__main__"  # sent as it is
    there = ray.get(ray.remote(found).options(num_cpus=1).remote())
    hidden = [[value.replace(os.environ["A_SECRET"], "SECRET") for value in values] for values in (found(), there)]
    print("FOUND " + json.dumps([sys.argv, *hidden, oct(os.stat(".peoria-job.json").st_mode)[-3:], os.getcwd()]), flush=True)
    os._exit(2)
"""


def sweep_file(folder: Path, name: str, *parts: str, shards: str = "/nowhere", weights: str | None = None, **more: str) -> str:
    """A sweep file below the folder; its job counts its runs in `ran`."""
    (folder / "sweeps").mkdir(exist_ok=True)
    text = "".join(part.format(shards=shards, name=name, ran=str(folder / "ran"), weights=weights, **more) for part in (HEAD, *parts))
    if weights is not None:
        text += f"\nSWEEP = SWEEP.model_copy(update={{'shared': SWEEP.shared | {{'weights': {weights!r}}}}})\n"
    (folder / "sweeps" / f"{name}.py").write_text(text)
    return f"sweeps/{name}.py"


def command(address: str, *words: str) -> list[str]:
    return [sys.executable, "-m", "peoria", "submit", *words, "--address", address]


def environment(cluster: LocalCluster, **more: str) -> dict[str, str]:
    """Of a laptop: the token at its default place, and nothing that names Ray but an address that must not be taken for the one that was given."""
    default = Path(cluster.bare_environment["HOME"], ".ray", "auth_token")
    default.parent.mkdir(exist_ok=True)
    default.write_bytes(cluster.token_path.read_bytes())
    return cluster.bare_environment | {"PYTHONPATH": str(ROOT), "PEORIA_SUBMIT_WAIT_S": "0.1", "RAY_ADDRESS": "127.0.0.1:1"} | more


def submit(cluster: LocalCluster, folder: Path, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
    words = (*words, "--home", str(folder / "home ü")) if "--home" not in words else words
    ran = subprocess.run(
        command(cluster.jobs_address, *words), cwd=folder, env=environment(cluster, **more), capture_output=True, text=True, timeout=400, check=False
    )
    assert cluster.token_path.read_text() not in ran.stdout + ran.stderr
    return ran


def listed(cluster: LocalCluster) -> str:
    """What `ray job list` says, on both outputs."""
    words = [str(BIN / "ray"), "job", "list", "--address", cluster.jobs_address]
    ran = subprocess.run(words, env=cluster.environment, capture_output=True, text=True, check=True, timeout=120)
    return ran.stdout + ran.stderr


def holding(cluster: LocalCluster, text: str) -> set[str]:
    """Names of the files of the cluster's own folder, logs among them, that hold the text."""
    found = set()
    for path in cluster.base.rglob("*"):
        if path.is_file() and not path.is_symlink() and text.encode() in path.read_bytes():
            found.add(path.name)
    return found


def test_a_sweep_runs_off_the_head_with_the_weights_that_its_file_names(
    cluster: LocalCluster, planted_shards: Path, weights: Path, tmp_path: Path
) -> None:
    (tmp_path / WEIGHTS).parent.mkdir(parents=True)
    (tmp_path / WEIGHTS).write_bytes(weights.read_bytes())
    file = sweep_file(tmp_path, "whole", shards=str(planted_shards), weights=WEIGHTS)
    ran = submit(cluster, tmp_path, file, "--tracking", "off", "--gpus-per-trial", "0.5", "--env", "PEORIA_PRETEND_GPU", PEORIA_PRETEND_GPU="1")
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert re.search(r"^packed: [\d.]+ kB, 2 files$", ran.stdout, re.MULTILINE)
    assert WEIGHTS in ran.stdout
    assert "job peoria-whole-1: submitted" in ran.stdout
    assert "2 of 2 trials" in ran.stdout
    folder = SweepFolder.of(tmp_path / "home ü", "whole")
    heads = {node[:8] for node, is_head in cluster.node_ids().items() if is_head}
    assert heads
    assert not heads & {TrialWorker.read(trial.worker).node.split()[-1] for trial in folder.trials()}
    assert {TrialStart.read(trial.start).config.weights for trial in folder.trials()} == {WEIGHTS}


def test_words_environment_and_code_arrive_whole_and_secrets_stand_nowhere(cluster: LocalCluster, tmp_path: Path) -> None:
    """One job says what it was given, on the head and on the worker, and ends with status 2, which ends the command: it is not submitted again."""
    (tmp_path / WEIGHTS).parent.mkdir(parents=True)
    (tmp_path / WEIGHTS).write_text("these")
    file = sweep_file(tmp_path, "says", JOB, SAYS, weights=WEIGHTS)
    words = ["--where", "tag=beach|ocean", "--tracking", "", "--shards", "/a 'b' \"c\" $(d) `e` ü;猫&f", "--storage", f"postgresql://me:{SECRET}@h/d"]
    ran = submit(cluster, tmp_path, file, *words, "--env", "A_*", "--with-code", A_SECRET=SECRET)
    assert ran.returncode == 2, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert "FOUND " in ran.stdout, ran.stdout[-3000:] + ran.stderr[-3000:]
    (line,) = [line for line in ran.stdout.splitlines() if line.startswith("FOUND ")]
    argv, here, there, mode, cwd = json.loads(line.removeprefix("FOUND "))
    assert argv[1:] == ["sweep", file, *words[:-2], "--home", str(tmp_path / "home ü")]
    assert [found[:2] for found in (here, there)] == [["SECRET", "these"]] * 2
    assert here[2] == f"{cwd}/peoria/__init__.py"  # and not the nodes' own
    assert there[2].endswith(f"{Path(cwd).name}/peoria/__init__.py")
    assert mode == "600"
    assert (tmp_path / "ran").read_text() == "ran\n"
    assert SECRET not in ran.stdout + ran.stderr
    said = listed(cluster)
    assert "peoria-says" in said
    assert SECRET not in said
    assert holding(cluster, SECRET) == {".peoria-job.json"}

    # control: as `ray job submit` passes an environment on, it is there for all
    given = ["--runtime-env-json", json.dumps({"env_vars": {"A_SECRET": "open-" + SECRET}}), "--", "true"]
    words = [str(BIN / "ray"), "job", "submit", "--address", cluster.jobs_address, *given]
    subprocess.run(words, env=cluster.environment, cwd=tmp_path, capture_output=True, check=True, timeout=120)
    assert "open-" + SECRET in listed(cluster)
    assert any(name.endswith(".log") for name in holding(cluster, "open-" + SECRET))


@long_count
def test_submitted_again_while_trials_are_owed(cluster: LocalCluster, tmp_path: Path) -> None:
    file = sweep_file(tmp_path, "owed", JOB, "    os._exit(3 if num < 3 else 0)\n")
    ran = submit(cluster, tmp_path, file)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert [line for line in ran.stdout.splitlines() if line.startswith("BEGUN")] == ["BEGUN 1", "BEGUN 2", "BEGUN 3"]
    assert ran.stdout.count("trials are owed; again in") == 2
    assert "job peoria-owed-3: submitted" in ran.stdout

    (tmp_path / "ran").unlink()  # control: without it the command gives up
    ran = submit(cluster, tmp_path, file, "--again", "0")
    assert ran.returncode == 3
    assert "given up after 0 more tries; the same command goes on" in ran.stdout
    assert (tmp_path / "ran").read_text() == "ran\n"


def started(cluster: LocalCluster, folder: Path, file: str, output: Path) -> "subprocess.Popen[bytes]":
    """The command, once its job has begun."""
    words = command(cluster.jobs_address, file, "--home", str(folder / "home"))
    with output.open("wb") as stream:
        process = subprocess.Popen(words, cwd=folder, env=environment(cluster), stdout=stream, stderr=stream, start_new_session=True)
    until(output, "BEGUN", process)
    return process


def until(output: Path, text: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 200
    while text not in output.read_text():
        assert process.poll() is None, output.read_text()[-3000:]
        assert time.monotonic() < deadline, output.read_text()[-3000:]
        time.sleep(0.2)


WAITS = "    while not Path({ran!r} + '-go').exists():\n        time.sleep(0.2)\n    os._exit(0)\n"


@long_count
def test_left_and_joined_again(cluster: LocalCluster, tmp_path: Path) -> None:
    file = sweep_file(tmp_path, "left", JOB, WAITS)
    process = started(cluster, tmp_path, file, tmp_path / "first")
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    said = (tmp_path / "first").read_text()
    assert "left: job peoria-left-1 goes on; the same command joins it again" in said
    assert "Traceback" not in said

    other = submit(cluster, tmp_path, file, "--home", str(tmp_path / "other"))  # the same name elsewhere is another sweep
    assert other.returncode == 2
    assert f"runs there with --home {tmp_path / 'home'}" in other.stderr

    process = started(cluster, tmp_path, file, tmp_path / "second")
    (tmp_path / "ran-go").touch()
    assert process.wait(timeout=120) == 0
    said = (tmp_path / "second").read_text()
    assert "job peoria-left-1: runs already, joined" in said
    assert said.count("BEGUN 1\n") == 1
    assert (tmp_path / "ran").read_text() == "ran\n"


@long_count
def test_a_job_that_was_stopped_is_left_so(cluster: LocalCluster, tmp_path: Path) -> None:
    file = sweep_file(tmp_path, "stopped", JOB, WAITS)
    process = started(cluster, tmp_path, file, tmp_path / "said")
    words = [str(BIN / "ray"), "job", "stop", "--address", cluster.jobs_address, "peoria-stopped-1"]
    subprocess.run(words, env=cluster.environment, capture_output=True, check=True, timeout=120)
    assert process.wait(timeout=60) == 3
    assert "was stopped by somebody" in (tmp_path / "said").read_text()
    assert (tmp_path / "ran").read_text() == "ran\n"


def test_no_token_and_a_wrong_one(cluster: LocalCluster, tmp_path: Path) -> None:
    file = sweep_file(tmp_path, "token", JOB)
    wrong, empty = tmp_path / "wrong", tmp_path / "empty"
    wrong.write_text("0" * 64)
    empty.touch()
    for path, found in ((tmp_path / "missing", "No such file"), (empty, "empty"), (wrong, "refuses this one")):
        ran = submit(cluster, tmp_path, file, RAY_AUTH_TOKEN_PATH=str(path))
        assert ran.returncode == 2, ran.stdout + ran.stderr
        assert found in ran.stderr
        assert "Traceback" not in ran.stderr
    assert not (tmp_path / "ran").exists()


class Odd(http.server.BaseHTTPRequestHandler):
    answer = (404, b"")

    def do_GET(self) -> None:
        self.send_response(self.answer[0])
        self.end_headers()
        self.wfile.write(self.answer[1])

    def log_message(self, *given: Any) -> None:
        pass


@pytest.mark.parametrize(("status", "body"), [(404, b""), (200, b"<html>"), (200, b"{}"), (200, b"[]"), (200, b'{"ray_version": "x"}'), (403, b"")])
def test_an_address_of_something_else(status: int, body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Odd, "answer", (status, body))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with pytest.raises(SweepError) as told:
            Jobs(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        server.server_close()
    assert not isinstance(told.value, ClusterAwayError)


@pytest.mark.parametrize("address", ["127.0.0.1:8265", "ray://127.0.0.1:10001", "auto", "http://", "ssh://me:pass-41c7@host"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(SweepError, match="--address") as told:
        Jobs(address)
    assert "pass-41c7" not in str(told.value)


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    (port,) = free_ports(1)
    with pytest.raises(ClusterAwayError, match="nobody answers there"):
        Jobs(f"http://127.0.0.1:{port}")
    monkeypatch.setattr(jobs_module, "ANSWER_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ClusterAwayError, match="no answer in time"):
        Jobs(f"http://127.0.0.1:{silent.getsockname()[1]}")


@long_count
def test_the_last_lines_of_a_silent_job_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """They come after the job is told to have ended; a connection that stays silent is left all the same."""
    asked: list[str] = []

    class Client:
        def get_job_info(self, job_id: str) -> Any:
            asked.append(job_id)
            return SimpleNamespace(submission_id=job_id, status=SimpleNamespace(value="FAILED"), driver_exit_code=3, metadata=None, message="")

        async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
            yield "first\n"
            while not asked:
                await asyncio.sleep(0.01)
            yield "last\n"
            await asyncio.sleep(3600)

    monkeypatch.setattr(jobs_module, "POLL_S", 0.5)
    jobs, said = Jobs.__new__(Jobs), list[str]()
    jobs._client, jobs.address = Client(), "http://127.0.0.1:1"
    state = jobs.follow("peoria-a-1", Log(said.append))
    assert (state is not None and state.exit_code, said) == (3, ["first\n", "last\n"])


@long_count
def test_submitted_again_when_the_head_is_another_one(cluster: LocalCluster, tmp_path: Path) -> None:
    """The last one here: it takes the cluster away. Job and head die at once; when a head answers again, a new job goes on."""
    file = sweep_file(tmp_path, "lost", JOB, "    os._exit(0) if num > 1 else time.sleep(600)\n")
    process = started(cluster, tmp_path, file, tmp_path / "said")
    cluster.stop()
    until(tmp_path / "said", "again in", process)
    cluster._nodes.clear()
    cluster.base.mkdir()
    cluster.start()
    assert process.wait(timeout=200) == 0, (tmp_path / "said").read_text()[-3000:]
    said = (tmp_path / "said").read_text()
    assert "BEGUN 2" in said
    assert "Traceback" not in said
