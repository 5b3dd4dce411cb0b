"""Machines that share no path: pictures and record in a bucket, trials in PostgreSQL, curves in an MLflow server. One runs the sweep until it is
killed and its disk lost, another goes on, a third reports: the verdict is that of one machine, to the byte."""

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from peoria.records.folder import SweepFolder
from peoria.records.home import Home
from tests.helpers.faults import Command
from tests.helpers.machine import BucketCommand
from tests.helpers.mlflow_held import runs_of
from tests.helpers.mlflow_process import MlflowServer
from tests.helpers.postgres import Postgres
from tests.helpers.s3_server import BUCKET, S3Server

pytestmark = pytest.mark.slow

SHORT = "import peoria.sweep.store_lease as stored, peoria.sweep.lease as entered; stored.LEASE_S = 5.0; entered.LEASE_S = 20.0"


def peoria(on: BucketCommand, *words: str) -> str:
    ran = subprocess.run([*on.words[:3], *words], env=on.environment, cwd=on.log.parent, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-2000:]
    return ran.stdout


@pytest.mark.timeout(1200)
def test_the_verdict_is_that_of_one_machine(
    undisturbed_home: Path, planted_shards: Path, machine: Any, url: str, s3: S3Server, tmp_path: Path
) -> None:
    alone = Command(tmp_path / "alone", planted_shards)
    shutil.copytree(undisturbed_home, alone.home)
    report = ["report", "faults", "--home", str(alone.home), "--tracking", "off"]
    subprocess.run([*alone.words[:3], *report], env=alone.environment, check=True, capture_output=True, timeout=300)
    wanted = SweepFolder.of(alone.home, "faults").verdict.read_bytes()

    # the other's set is its own: openings are counted by set
    shards = s3.put_folder(planted_shards, f"{url.rpartition('/')[2]}-shards")
    for name in ("openings.jsonl",):
        s3.request("DELETE", f"/{BUCKET}/{shards.partition(BUCKET + '/')[2]}/{name}")
    database, server = Postgres(), MlflowServer(tmp_path / "mlflow.db")
    try:
        server.start()
        flags = ("--shards", shards, "--tracking", server.uri)
        first = machine(url, *flags, before=SHORT, PEORIA_STORAGE=database.url())
        process = first.start()
        first.wait_until(lambda: first.num_ended() >= 1 and first.training(), process)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert first.gone_within(30)
        first.wipe()
        second = machine(
            url,
            *flags,
            before=SHORT,
            PEORIA_STORAGE=database.url(),
        )
        second.environment["PEORIA_STORAGE"] = database.url()
        second.finish(400)
        third = machine(url)
        said = peoria(third, "report", "faults", "--home", url, "--tracking", server.uri)
        assert "opening 1 of this test set" in said
        home = third.records / Home.of(url).path.name
        assert SweepFolder.of(home, "faults").verdict.read_bytes() == wanted
        assert database.url().split(":")[2].partition("@")[0] not in first.said() + second.said() + said
        runs = runs_of(server.uri)
        assert {run.info.status for run in runs.values()} <= {"FINISHED", "KILLED"}
        fetched = {path: s3.requests("GET", path).__len__() for path in s3.requests("GET", r"-shards/.*\.tar")}
        assert fetched
        assert max(fetched.values()) <= 3  # each machine fetches a shard once
    finally:
        server.kill()
        database.close()
