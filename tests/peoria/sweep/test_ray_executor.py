"""Ray executes: relative paths, fractions, the end of a sweep whose trials all fail, and who is given another process."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from peoria.errors import SweepError
from peoria.models import build
from peoria.records.folder import SweepFolder
from peoria.records.trials import read_trials
from peoria.sweep import cluster, ray_process, ray_start, resources
from peoria.sweep.processes import marked
from peoria.sweep.ray_process import RayProcess
from peoria.sweep.ray_setup import Setup
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import EXIT_STOPPED, run_sweep
from peoria.sweep.trial_store import TrialStore
from tests.helpers.small import small_sweep
from tests.helpers.stub_actor import run_with_ray


def weights_of_tiny(path: Path) -> None:
    net, _ = build("tiny", num_outputs=1, seed=5)
    torch.save(net.trunk.state_dict(), path)


@pytest.mark.slow
def test_paths_in_a_sweep_start_where_the_command_was_given(planted_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    weights_of_tiny(tmp_path / "tiny.pth")
    sweep = small_sweep(planted_shards, trials=2, shared=small_sweep(planted_shards).shared | {"weights": "tiny.pth"})
    said: list[str] = []
    result = run_sweep(sweep, RunOptions(home=Path("home"), concurrent=2, tracking="off"), said.append)
    assert result.complete
    assert "weights     tiny.pth: " in said[0]
    assert all(trial.status in ("done", "pruned") for trial in read_trials(result.folder))
    assert result.folder.baseline("frozen-trunk-ridge").record.exists()  # the trunk that was loaded is a baseline too

    # The same sweep where every trial fails: it stops by itself, and says why.
    gone = sweep.model_copy(update={"name": "gone", "trials": 50})
    home = Path("home2")
    monkeypatch.setattr("peoria.sweep.run.write_baselines", lambda *_: (tmp_path / "tiny.pth").unlink())
    result = run_sweep(gone, RunOptions(home=home, concurrent=2, tracking="off"), said.append)
    assert not result.complete
    assert result.exit_code == EXIT_STOPPED
    assert 3 <= result.counts["failed"] <= 5  # what was under way when the third failed
    assert any("stopped: 3 trials in a row failed; the last one" in line and "tiny.pth" in line for line in said)
    assert json.loads(result.folder.finished.read_text())["status"] == "failed"


@pytest.mark.slow
@pytest.mark.parametrize(("error", "same", "status", "text"), [("gpu", False, "infeasible", "GPU memory: "), ("bug", True, "failed", "ValueError")])
def test_a_process_that_memory_ran_out_in_is_not_used_again(
    error: str, same: bool, status: str, text: str, planted_shards: Path, home: Path, tmp_path: Path
) -> None:
    """By pids. A trial that fails by itself leaves its worker to the next one: the control."""
    (tmp_path / "fault").write_text(error)
    store = TrialStore(SweepFolder(tmp_path / "sweep"), small_sweep(planted_shards, trials=2, prune=False))
    ended = run_with_ray(store, planted_shards, home / "cache")
    outcomes = {path.parent.name: json.loads(path.read_text()) for path in store.folder.path.glob("trials/*/outcome.json")}
    assert {key: outcome["status"] for key, outcome in outcomes.items()} == {"0000": status, "0001": "done", "0002": "done"}
    assert outcomes["0000"]["error"].splitlines()[-1].startswith(text)
    assert ended == ["0000", "0001", "0002"]  # each once
    first, second, third = ((store.folder.trial(key).path / "pid").read_text() for key in ("0000", "0001", "0002"))
    assert (first == second) is same
    assert second == third


@pytest.mark.parametrize(("gpus", "room", "some"), [(None, 4 << 30, True), (1, 4 << 30, False), (None, 1 << 30, False), (None, 0, False)])
def test_workers_import_ahead_where_there_is_memory_and_no_gpu(gpus: int | None, room: int, some: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a machine that does not say, none is known."""
    monkeypatch.setattr(ray_start, "available_bytes", lambda: room)
    assert bool(ray_start.ahead(SETUP.model_copy(update={"num_cpus": 2, "num_gpus": gpus}))) is some


@pytest.mark.slow
@pytest.mark.parametrize("tunes_own", [False, True])
def test_the_first_trials_get_the_workers_that_were_started_ahead(
    tunes_own: bool, planted_shards: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have begun, and imported torch, before there is a trial. By Tune's own classes of actors others are started then: the control."""
    monkeypatch.setenv("STUB_TUNES_OWN", str(int(tunes_own)))
    (tmp_path / "fault").write_text("none")
    store = TrialStore(SweepFolder(tmp_path / "sweep"), small_sweep(planted_shards, trials=2, prune=False))
    run_with_ray(store, planted_shards, home / "cache", concurrent=2)
    trials = [store.folder.trial(key) for key in ("0000", "0001")]
    before_s = [trial.start.stat().st_mtime - float((trial.path / "begun").read_text()) for trial in trials]
    assert [seconds > 0 for seconds in before_s] == [not tunes_own] * 2, before_s


@pytest.mark.slow
@pytest.mark.parametrize(("share", "concurrent", "at_once"), [(0.3, 10, 3), (0.6, 2, 1), (0.4, 2, 2)])
def test_fractions_are_placed_on_one_gpu(
    share: float, concurrent: int, at_once: int, planted_shards: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pretended GPU: Ray places as many as fit, and each trial is given it."""
    monkeypatch.setattr(resources, "gpus_here", lambda: 1)
    monkeypatch.setenv("RAY_ADDRESS", "local")
    options = RunOptions(gpus_per_trial=share, concurrent=concurrent)
    assert resources.concurrency(options) == at_once
    (tmp_path / "fault").write_text("none")
    store = TrialStore(SweepFolder(tmp_path / "sweep"), small_sweep(planted_shards, trials=3, prune=False))
    run_with_ray(store, planted_shards, home / "cache", concurrent=at_once, gpus=share, num_gpus=resources.own_gpus(share, at_once))
    assert {path.read_text() for path in store.folder.path.glob("trials/*/gpus")} == {"0"}
    assert store.counts()["done"] == 3


def listening(pids: set[int]) -> set[str]:
    """Addresses that these processes listen on, hex as the kernel has them."""
    inodes = set()
    for pid in pids:
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            try:
                inodes.add(os.readlink(fd).removeprefix("socket:[").removesuffix("]"))
            except OSError:
                continue
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {line[1].partition(":")[0] for line in lines if line[3] == "0A" and line[9] in inodes}


LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
SETUP = Setup(address=None, num_cpus=1, num_gpus=None, concurrent=1, cpus=1, gpus=0, scratch=Path("gone"))


def processes_of(ray: RayProcess) -> set[int]:
    return set(marked(ray._mark, ray._temporary))


@contextmanager
def started(setup: Setup, tmp_path: Path) -> Iterator[RayProcess]:
    """A Ray that is up, with all its processes: the one that serves, two servers, two agents and a worker."""
    with RayProcess(setup, tmp_path / "ray.log", print) as ray:
        deadline = time.monotonic() + 120
        while not (ray._up and len(processes_of(ray)) >= 6):
            for message in ray._messages(0.5):
                ray._up |= "up" in message
            assert time.monotonic() < deadline, (tmp_path / "ray.log").read_text()
        time.sleep(3)  # until the agents listen
        yield ray


@pytest.mark.slow
@pytest.mark.parametrize("guarded", [True, False])
def test_a_ray_of_our_own_listens_on_loopback_alone_and_leaves_nothing(guarded: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not guarded:  # the control
        monkeypatch.setattr(ray_process, "LOOPBACK_ENV", {})
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("x" * 110)))  # where no socket's name fits
    with started(SETUP, tmp_path) as ray:
        pids, folder = processes_of(ray), Path(ray._temporary)
        found = listening(pids)
        assert found
        assert (found <= LOOPBACK) is guarded
        assert folder.stat().st_mode & 0o077 == 0
        assert list(folder.glob("r/session_*/sockets/raylet"))
    assert not folder.exists()
    assert not [pid for pid in pids if Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes()]


NATIVE = "[2026-11-26 13:03:50,349 E 2666 2666] logging.cc:474:     @     0x7fb3b225a050  (unknown)  (unknown)"


@pytest.mark.parametrize(
    ("end", "word"),
    [
        ("raise ModuleNotFoundError('no ray')", "its process ended with status 1 (ModuleNotFoundError: no ray)"),
        (f"print('pydantic.errors.TestError: no\\n{NATIVE}'); sys.exit(1)", "its process ended with status 1 (pydantic.errors.TestError: no)"),
        (f"print({NATIVE!r}); sys.exit(1)", "its process ended with status 1"),
        (f"print({NATIVE!r}, flush=True); sys.exit(15)", "its process ended by SIGTERM"),  # as Ray leaves when it is asked to
        ("sys.exit(143)", "its process ended by SIGTERM"),
        ("import os; os.kill(os.getpid(), 9)", "its process ended by SIGKILL"),
        ("import os; os.kill(os.getpid(), 40)", "its process ended by signal 40"),
    ],
)
def test_a_process_that_ends_has_its_end_told_in_our_words(end: str, word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_process, "CODE", f"import sys; {end}")
    with RayProcess(SETUP, tmp_path / "ray.log", print) as ray:
        deadline = time.monotonic() + 60
        said = ""
        while not said and time.monotonic() < deadline:
            try:
                list(ray._messages(0.5))
            except ray_process.RayLost as lost:
                said = str(lost)
    assert said == word


@pytest.mark.parametrize("value", ["", "nonsense", "ftp://h:1", "h:0", "h:70000", "h:port", "http://127.0.0.1:8265"])
def test_an_address_that_is_none_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", value)
    with pytest.raises(SweepError, match="RAY_ADDRESS: "):
        cluster.ray_address()
    with pytest.raises(SweepError, match="--ray: "):
        cluster.ray_address(value)


def test_an_address_where_nobody_answers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and nobody listens
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{held.getsockname()[1]}")
        monkeypatch.setenv("RAY_AUTH_MODE", "token")
        with pytest.raises(SweepError, match=r"RAY_ADDRESS: 127.0.0.1:\d+: Connection refused; the head of a running cluster is needed there"):
            cluster.refuse_cluster(cluster.ray_address())


@pytest.mark.slow
def test_an_address_that_never_answers_is_given_up(planted_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the connection and says nothing, as a firewall or a wrong port does."""
    monkeypatch.setattr(ray_process, "UP_S", 3.0)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{server.getsockname()[1]}")
        said: list[str] = []
        result = run_sweep(small_sweep(planted_shards), RunOptions(home=tmp_path, tracking="off"), said.append)
    assert result.exit_code == 3
    assert [line.rpartition("; ")[2] for line in said if line.startswith("  Ray: ")] == [f"tried again ({n} of 2)" for n in (1, 2)], said
    assert any(line.startswith("  stopped: Ray: ") and "; started 3 times, no more; what it says is in " in line for line in said), said
    assert json.loads(result.folder.finished.read_text())["status"] == "interrupted"


def test_every_share_with_every_concurrency_makes_whole_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """On one GPU, on four, and where some are pretended."""
    monkeypatch.setenv(resources.PRETEND, "1")
    for there in (1, 4, 0):
        monkeypatch.setattr(resources, "gpus_here", lambda there=there: there)
        for tenths in range(1, 10):
            for share in (tenths / 10, tenths / 10 + 0.05):
                for concurrent in (None, *range(1, 11)):
                    options = RunOptions(gpus_per_trial=share, concurrent=concurrent, cpus_per_trial=1)
                    at_once = resources.concurrency(options)
                    gpus = resources.own_gpus(share, at_once)
                    assert type(gpus) is int
                    assert 1 <= at_once <= (concurrent or at_once)
                    fit = int(Fraction(1) // Fraction(str(round(share, 2))))
                    assert at_once <= gpus * fit, (share, concurrent)
                    assert gpus == -(-at_once // fit)  # none made up that is not needed
                    assert not there or gpus <= there
    monkeypatch.setattr(resources, "gpus_here", lambda: 1)
    with pytest.raises(SweepError, match="--gpus-per-trial: 2; this machine has 1"):
        resources.concurrency(RunOptions(gpus_per_trial=2))


@pytest.mark.parametrize("local", [True, False])
def test_a_gpu_that_torch_does_not_see_is_refused(local: bool, planted_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is written. With the word that pretends them the same sweep would train on the CPU, and says so: the control."""
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    options = RunOptions(home=tmp_path, gpus_per_trial=0.5, local=local, tracking="off", trials=1)
    with pytest.raises(SweepError, match=r"--gpus-per-trial: 0.5; torch sees no GPU on this machine \(.*(driver|CUDA GPUs).*\)") as refused:
        run_sweep(small_sweep(planted_shards), options)
    assert "\n" not in refused.value.problems[0]
    assert not (tmp_path / "sweeps" / "small" / "sweep.json").exists()
    if local:
        monkeypatch.setenv(resources.PRETEND, "1")
        said: list[str] = []
        assert run_sweep(small_sweep(planted_shards), options, said.append).complete
        first = said[0].splitlines()[0]
        assert first.startswith("on: this process, ")
        assert first.endswith("; PEORIA_PRETEND_GPU: GPUs are pretended, trials train on the CPU")
