"""Baselines and the scoring of test are done on a node: the process of the record touches no shard, what comes of it is the same to the byte, and a
worker that is killed in the middle costs neither the sweep nor an opening."""

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from peoria.data.dataset import open_dataset
from peoria.records.folder import SweepFolder
from peoria.records.home import RECORDS, Home
from peoria.records.schema import RunState
from peoria.report.build import report
from peoria.sweep.baselines import write_baselines
from peoria.sweep.errand import TRIES
from shards.cache.fetched import open_shards
from shards.read.openings import OPENINGS, StoredSet, openings
from tests.helpers.blind import TOUCHED
from tests.helpers.cpus import VARIABLES
from tests.helpers.faults import long_count
from tests.helpers.local_cluster import LocalCluster
from tests.helpers.s3_server import BUCKET, S3Server
from tests.helpers.small import small_sweep

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
FILE = "from tests.helpers.small import small_sweep\n\nSWEEP = small_sweep({shards!r}, trials=2)\n"
TO_NODE = ("--gpus-per-trial", "0.5")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, s3: S3Server) -> Iterator[LocalCluster]:
    found = LocalCluster(tmp_path_factory.mktemp("cluster"))
    as_here = {name: os.environ[name] for name in VARIABLES if name in os.environ}  # of another CPU floating sums have other last bits
    found.environment |= s3.environment() | as_here | {"OPENBLAS_NUM_THREADS": "1"}
    try:
        found.start()
        yield found
    finally:
        found.stop()


@pytest.fixture
def shards(planted_shards: Path, tmp_path: Path) -> Path:
    """With openings of its own."""
    return Path(shutil.copytree(planted_shards, tmp_path / "shards", ignore=shutil.ignore_patterns("*openings*")))


def blind(cluster: LocalCluster, folder: Path, *words: str, dying: bool = True, **more: str) -> "subprocess.CompletedProcess[str]":
    place = {"RAY_TMPDIR": str(cluster.base), "PYTHONPATH": str(ROOT), "PEORIA_PRETEND_GPU": "1", RECORDS: str(folder / "records")}
    command = [sys.executable, "-m", "tests.helpers.blind", "dying" if dying else "-", *words, "--tracking", "off", "--cache", str(folder / "cache")]
    return subprocess.run(command, env=cluster.environment | place | more, cwd=folder, capture_output=True, text=True, timeout=500, check=False)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["folder", pytest.param("bucket", marks=long_count)])
def test_what_a_node_does_is_what_this_machine_would_do(
    cluster: LocalCluster, s3: S3Server, shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The worker is killed in mid-baselines, and again once test was opened and read. In a bucket the packed set lies there too."""
    for name, value in (s3.environment() | {RECORDS: str(tmp_path / "records")}).items():
        monkeypatch.setenv(name, value)
    address, home = str(shards), Home(tmp_path / "home")
    if kind == "bucket":
        prefix = uuid.uuid4().hex
        address, home = s3.put_folder(shards, f"{prefix}/shards"), Home.of(f"s3://{BUCKET}/{prefix}/home")
    (tmp_path / "small.py").write_text(FILE.format(shards=address))
    (tmp_path / "cache").mkdir()
    for marker in ("dies_fitting", "dies_scoring"):
        (tmp_path / "cache" / marker).write_text("1")

    if kind == "folder":  # first a run in which every worker dies
        (tmp_path / "cache" / "dies_fitting").write_text(str(TRIES + 1))
        ran = blind(cluster, tmp_path, "sweep", "small.py", "--home", str(home), *TO_NODE)
        assert ran.returncode == 3, ran.stdout[-3000:] + ran.stderr[-3000:]
        assert "2 of 2 trials" in ran.stdout
        assert "\nthe baselines are owed\n" in ran.stdout
        reason = RunState.read(SweepFolder.of(home.path, "small").finished).reason
        assert reason == f"the baselines: given up after {TRIES} tries, the last one: its worker died; owed"
    ran = blind(cluster, tmp_path, "sweep", "small.py", "--home", str(home), *TO_NODE)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert "the baselines: its worker died, on node " in ran.stdout
    assert f"GB in {tmp_path / 'cache'} of each node" in " ".join(ran.stdout.split())
    assert "  baseline colour ridge " in ran.stdout
    folder = SweepFolder.of(home.path, "small")
    local = SweepFolder(tmp_path / "local")
    write_baselines(local, small_sweep(shards), open_dataset(shards, tmp_path / "local-cache"), print)
    assert files(folder.baselines_done.parent) == files(local.baselines_done.parent)

    ran = blind(cluster, tmp_path, "report", "small", "--home", str(home), *TO_NODE)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert "opening 1 of this test set" in ran.stdout
    assert "the scoring of test: its worker died, on node " in ran.stdout
    assert not folder.opening.exists()
    at = open_shards(address, tmp_path / "local-cache").at
    assert [opening.number for opening in openings(at)] == [1]
    if isinstance(at, StoredSet):
        at.store.delete("openings/00001.json")
    else:
        (at / OPENINGS).unlink()
    here = Path(shutil.copytree(home.path, tmp_path / "here"))
    shutil.rmtree(here / "sweeps" / "small" / "report")
    report(here, "small", tracking="off", cache=tmp_path / "local-cache", say=lambda line: None)
    copy = SweepFolder.of(here, "small")
    assert folder.test_scores.read_bytes() == copy.test_scores.read_bytes()
    assert folder.verdict.read_bytes() == copy.verdict.read_bytes()


def test_without_a_cluster_the_process_itself_decodes(cluster: LocalCluster, shards: Path, tmp_path: Path) -> None:
    """Control: the guard notices it."""
    (tmp_path / "small.py").write_text(FILE.format(shards=str(shards)))
    ran = blind(cluster, tmp_path, "sweep", "small.py", "--home", str(tmp_path / "home"), "--ray", "local", dying=False, PEORIA_PRETEND_GPU="0")
    assert ran.returncode == 1
    assert TOUCHED in ran.stderr
