"""The same pack on a Ray cluster of three nodes, one of which is killed at work: the same bytes."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from peoria.cluster.ray_pack import RayUnits
from peoria.errors import SweepError
from shards.pack.pack import pack
from tests.helpers.local_cluster import LocalCluster
from tests.shards.conftest import digests_of, write_table

SCRIPT = """
import sys
from pathlib import Path
from peoria.cluster.ray_pack import RayUnits
from shards.pack import pack, staging
from tests.helpers.slow_pictures import Slow
staging.CHUNK_ROWS = 4
read = pack.read_origin
def slow(*given, **how):
    table = read(*given, **how)
    table.source.pictures = Slow(Path(sys.argv[1]).parent, 0.3, Path(sys.argv[4]))
    return table
pack.read_origin = slow
with RayUnits(sys.argv[3]) as units:
    pack.pack(Path(sys.argv[1]), Path(sys.argv[2]), shard_size=20, units=units, progress=lambda *now: print(*now, flush=True))
"""


def in_a_chunk(notes: Path, pids: list[int]) -> bool:
    """Whether a process has read some of a chunk's four pictures, and not yet its last two."""
    read = Counter(line.split()[0] for line in (notes.read_text().splitlines() if notes.exists() else ()))
    return any(read[str(pid)] % 4 in (1, 2) for pid in pids)


@pytest.mark.slow
def test_a_lost_node_costs_its_chunks_and_the_bytes_are_the_same(tmp_path: Path) -> None:
    table = write_table(tmp_path / "in", 60)
    (tmp_path / "in/images/007.jpg").write_bytes(b"<html>404")
    pack(table, tmp_path / "here", shard_size=20, processes=1)
    cluster = LocalCluster(tmp_path, cpus=1, gpus=0)
    cluster.environment |= {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "2"}  # a node that is gone is missed at once
    try:
        cluster.start()
        lost = cluster.add_node()
        cluster.add_node()
        words = [sys.executable, "-c", SCRIPT, table, tmp_path / "out", cluster.address, tmp_path / "notes"]
        environment = os.environ | cluster.environment | {"HOME": str(tmp_path)}
        with subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            while not in_a_chunk(tmp_path / "notes", cluster.processes_of(lost)):
                assert process.poll() is None
                time.sleep(0.02)
            cluster.end_node(lost, signal.SIGKILL, whole=True)
            process.stdout.read()
        assert process.returncode == 0
    finally:
        cluster.stop()
    assert digests_of(tmp_path / "out") == digests_of(tmp_path / "here")
    read = Counter(line.split()[1] for line in (tmp_path / "notes").read_text().splitlines())
    assert len(read) == 60
    assert 1 <= sum(times - 1 for times in read.values()) <= 2 * 4  # control: what the node was at was lost


def test_where_no_cluster_is_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    for asked, told in (
        ("local", "--ray: 'local'; 'auto' or HOST:PORT"),
        ("nowhere", "--ray: 'nowhere'; HOST:PORT"),
        ("127.0.0.1:9", "127.0.0.1:9: "),
    ):
        with pytest.raises(SweepError, match=told):
            RayUnits(asked)
