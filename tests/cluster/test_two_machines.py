"""A cluster of machines that share no path, each a namespace of its own with an own /tmp, home and disk: pictures and record in a bucket, trials in
PostgreSQL, curves in an MLflow server. The head is killed and its disk lost in mid-sweep, another one goes on; the verdict is that of one machine."""

import shlex
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from peoria.records.folder import SweepFolder
from peoria.records.home import Home
from tests.cluster.test_nothing_shared import SHORT
from tests.helpers import hosts as hosts_module
from tests.helpers.faults import SWEEP, Command, long_count
from tests.helpers.hosts import Host, Hosts
from tests.helpers.mlflow_held import runs_of
from tests.helpers.mlflow_process import MlflowServer
from tests.helpers.postgres import Postgres
from tests.helpers.s3_server import BUCKET, Gate, S3Server

pytestmark = [pytest.mark.slow, pytest.mark.skipif(hosts_module.cannot() is not None, reason=f"machines of namespaces: {hosts_module.cannot()}")]
BIN = Path(sys.prefix).resolve() / "bin"  # as it is found on each of them
URL = f"s3://{BUCKET}/home"
PEORIA = f"import sys; {SHORT}; from peoria.cli import main; sys.argv[0] = 'peoria'; main()"


class Machines:
    """A head and a worker, and what they reach outside."""

    def __init__(self, folder: Path) -> None:
        self.hosts = Hosts(folder, 2, share=False)
        self.worker = self.hosts.hosts[1]
        self.s3 = S3Server(folder, self.hosts.outside)
        self.s3.request("PUT", f"/{BUCKET}")
        self.database, self.mlflow = Postgres(), MlflowServer(folder / "mlflow.db")
        self.mlflow.start()
        self.gates = [Gate(port, host=self.hosts.outside) for port in (self.database.port, self.mlflow.port)]
        self.storage = self.database.url().replace(f"127.0.0.1:{self.database.port}", f"{self.hosts.outside}:{self.gates[0].port}")
        self.tracking = self.gates[1].url

    def stop(self) -> None:
        for gate in self.gates:
            gate.close()
        self.mlflow.kill()
        self.database.close()
        self.s3.stop()
        self.hosts.stop()

    def line(self, *words: str) -> str:
        """A command there, in an environment of a login's own."""
        given = {"PYTHONPATH": "/mnt/code", "PATH": f"{BIN}:/usr/bin:/bin:/usr/sbin:/sbin", "OPENBLAS_NUM_THREADS": "1", "RAY_AUTH_MODE": "token"}
        given |= {"RAY_AUTH_TOKEN_PATH": "/root/token", "PEORIA_STORAGE": self.storage, "PEORIA_CACHE": "/mnt/peoria/cache"} | self.s3.environment()
        return f"cd && env {shlex.join([f'{name}={value}' for name, value in given.items()])} {shlex.join(words)}"

    def start(self, head: Host) -> None:
        """Ray on the head and on the worker, which had another head before."""
        for host, flags in (
            (head, ["--head", "--port=6379", "--num-cpus=0", "--num-gpus=0", "--dashboard-host=127.0.0.1"]),
            (self.worker, [f"--address={head.address}:6379", "--num-cpus=2", "--num-gpus=0"]),
        ):
            self.hosts.ssh(host, f"umask 077; printf %s {'0' * 64} > token; printf %s {shlex.quote(SWEEP)} > faults.py")
            self.hosts.ssh(host, f"{BIN}/ray stop --force > /dev/null 2>&1; true")  # of this machine's own processes alone
            self.hosts.ssh(host, self.line(f"{BIN}/ray", "start", f"--node-ip-address={host.address}", *flags), timeout_s=300)

    def sweep(self, head: Host, shards: str, log: Path) -> "subprocess.Popen[bytes]":
        words = ["sweep", "faults.py", "--home", URL, "--shards", shards, "--tracking", self.tracking, "--concurrent", "1"]
        with log.open("wb") as out:
            return subprocess.Popen(
                self.hosts.words(head, self.line(f"{BIN}/python", "-c", PEORIA, *words)), stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    (tmp_path / "machines").mkdir()
    found = Machines(tmp_path / "machines")
    try:
        yield found
    finally:
        found.stop()


@long_count
@pytest.mark.timeout(2400)
def test_the_head_and_its_disk_are_lost_and_the_verdict_is_that_of_one_machine(planted_shards: Path, machines: Machines, tmp_path: Path) -> None:
    alone = Command(tmp_path / "alone", planted_shards)
    alone.finish(900)
    report = ["report", "faults", "--home", str(alone.home), "--tracking", "off"]
    subprocess.run([*alone.words[:3], *report], env=alone.environment, check=True, capture_output=True, timeout=900)
    wanted = SweepFolder.of(alone.home, "faults").verdict.read_bytes()
    shards = machines.s3.put_folder(planted_shards, "shards")
    machines.s3.request("DELETE", f"/{BUCKET}/shards/openings.jsonl")

    first = machines.hosts.hosts[0]
    machines.start(first)
    running, log = machines.sweep(first, shards, tmp_path / "first"), tmp_path / "first"
    deadline = time.monotonic() + 900
    while len({path.split("/")[6] for path in machines.s3.requests("PUT", rf"/{BUCKET}/home/sweeps/faults/trials/.*/checkpoint\.pt")}) < 2:
        assert running.poll() is None, log.read_text()[-3000:]
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.1)
    machines.hosts.lose(first)  # control: that it was in mid-sweep the second one says below
    running.wait(60)

    second = machines.hosts.add()
    machines.start(second)
    assert machines.sweep(second, shards, tmp_path / "second").wait(900) == 0, (tmp_path / "second").read_text()[-3000:]
    assert "is made from" in (tmp_path / "second").read_text()  # its record, of which this machine had nothing
    said = machines.hosts.ssh(
        second, machines.line(f"{BIN}/python", "-m", "peoria", "report", "faults", "--home", URL, "--tracking", machines.tracking), 900
    )
    assert "opening 1 of this test set" in said
    records = second.home / ".local" / "share" / "peoria" / Home.of(URL).path.name
    assert SweepFolder.of(records, "faults").verdict.read_bytes() == wanted

    fetched = Counter(machines.s3.requests("GET", rf"/{BUCKET}/shards/.*\.tar"))
    assert {path.split("/")[3] for path in fetched} == {"train", "val", "test"}
    assert set(fetched.values()) == {1}  # by the worker; a head reads no picture
    assert not list(first.folder.parent.glob("host1"))
    secret = machines.storage.split(":")[2].partition("@")[0]
    assert secret not in log.read_text() + (tmp_path / "second").read_text() + said
    assert {run.info.status for run in runs_of(machines.mlflow.uri).values()} <= {"FINISHED", "KILLED"}
