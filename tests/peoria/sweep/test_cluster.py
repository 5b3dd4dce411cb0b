"""Which Ray a sweep runs on."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from peoria.errors import SweepError
from peoria.sweep import cluster
from peoria.sweep.cluster import ray_address, started_here

WAIT = "import sys, time; print(flush=True); time.sleep(300)"


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No address is named, and the folder that Ray keeps its file in is empty; whatever this machine runs is not seen."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    monkeypatch.setattr(cluster, "EVERYBODYS", str(tmp_path))
    return tmp_path / "ray" / "ray_current_cluster"


@pytest.fixture
def listening() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def raylet(folder: Path, address: str, temporary: str = "/tmp/ray") -> "subprocess.Popen[str]":
    """A process that looks like a node's: its name, and the flags that Ray gives it."""
    program = folder / "raylet"
    if not program.exists():
        program.symlink_to(sys.executable)
    words = [str(program), "-c", WAIT, f"--gcs-address={address}", f"--temp-dir={temporary}"]
    process = subprocess.Popen(words, executable=sys.executable, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_a_node_of_a_running_cluster_joins_it_and_a_file_that_was_left_does_not_count(nobody: Path, listening: str) -> None:
    assert ray_address() == "local"
    nobody.write_text(f"{listening}\n")
    assert ray_address() == "local"  # somebody answers, but no node runs here: another program has the port now
    node = raylet(nobody.parent, listening)
    try:
        assert ray_address() == listening
        assert ray_address("auto") == listening
        assert ray_address("local") == "local"
        nobody.write_text("127.0.0.1:1")  # dead
        assert ray_address() == "local"
        nobody.write_bytes(b"\xff\xfe")
        assert ray_address() == "local"
    finally:
        node.kill()
        node.communicate()
    nobody.write_text(listening)
    assert ray_address() == "local"  # its node has ended


def test_what_is_named_goes_before_what_is_found(nobody: Path, listening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    node = raylet(nobody.parent, listening)
    try:
        nobody.write_text(listening)
        monkeypatch.setenv("RAY_ADDRESS", "10.0.0.4:6379")
        assert ray_address() == "10.0.0.4:6379"
        assert ray_address("auto") == listening
        assert ray_address("10.0.0.5:6379") == "10.0.0.5:6379"
        monkeypatch.setenv("RAY_ADDRESS", "local")
        assert ray_address() == "local"
        monkeypatch.setenv("RAY_ADDRESS", "auto")
        assert ray_address() == listening
    finally:
        node.kill()
        node.communicate()


def test_the_private_ray_of_another_sweep_is_no_cluster(nobody: Path, listening: str, monkeypatch: pytest.MonkeyPatch) -> None:
    private = raylet(nobody.parent, listening, "/tmp/peoria-8qetwzt9/r")
    try:
        assert listening not in (cluster.nodes_here() or ())
    finally:
        private.kill()
        private.communicate()
    node = raylet(nobody.parent, listening)
    try:
        assert listening in (cluster.nodes_here() or ())  # the control
    finally:
        node.kill()
        node.communicate()
    monkeypatch.setattr(cluster, "nodes_here", set)
    with pytest.raises(SweepError, match="--ray: 'auto', and this machine is no node of a running cluster"):
        ray_address("auto")
    assert started_here() is None
