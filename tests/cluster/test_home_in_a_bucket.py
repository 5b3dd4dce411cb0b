"""A sweep whose home is a bucket: no machine keeps what the others need, and any of them may be gone at any moment."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from peoria.records.folder import SweepFolder
from peoria.records.home import RECORDS, Home
from peoria.sweep.bring import bring
from tests.helpers.faults import digests, long_count, sample
from tests.helpers.s3_server import BUCKET, Gate, S3Server

pytestmark = pytest.mark.slow


def found_in(url: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[object, ...]]:
    """What a machine that knows nothing of the sweep reads."""
    monkeypatch.setenv(RECORDS, str(folder))
    home = Home.of(url)
    bring(home, "faults", models=True)
    return digests(SweepFolder.of(home.path, "faults"))


def test_the_head_is_killed_and_its_disk_lost(
    machine: Any, url: str, undisturbed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time another machine goes on, from nothing but the bucket. The last one reports, and `peoria check` finds all of it whole."""
    dice, run = random.Random(5), machine(url)
    for turn in range(sample(10, 2)):
        process = run.start()
        before = run.num_reports()
        if not run.until(lambda run=run, before=before: run.num_reports() > before + 2, process):
            break
        time.sleep(dice.uniform(0, 0.5))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert run.gone_within(30)
        run.wipe()
        run = machine(url, before=f"import peoria.sweep.store_lease as lease; lease.LEASE_S = 5.0  # turn {turn}")
    run.finish()
    assert found_in(url, tmp_path / "reader", monkeypatch) == undisturbed
    words = ["check", "faults", "--home", url]
    checked = subprocess.run([*run.words[:3], *words], env=run.environment | {RECORDS: str(tmp_path / "other")}, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_a_second_machine_is_refused_and_a_worker_that_was_given_up_changes_nothing(
    machine: Any, url: str, undisturbed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: S3Server
) -> None:
    first = machine(url, before="import peoria.sweep.store_lease as lease; lease.RENEW_S = 1.0")
    process = first.start()
    first.wait_until(lambda: first.num_reports() > 2 and first.training(), process)
    second = machine(url)
    late = second.start()
    assert late.wait(timeout=120) == 2
    assert f"sweep faults: held in {url}/sweeps/faults by process" in second.said()
    assert not second.folder.definition.exists()
    # its driver dies, and the worker goes on by itself: here from outside, into the try that it was given
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert first.gone_within(30)
    orphan = f"/{BUCKET}/{url.rpartition('/')[2]}/sweeps/faults"
    third = machine(url, before="import peoria.sweep.store_lease as lease; lease.LEASE_S = 5.0")
    going = third.start()
    third.wait_until(lambda: third.num_reports() > 8, going)
    s3.request("PUT", f"{orphan}/trials/0000/000001-0001-000000000000/checkpoint.pt", b"of an orphan")
    s3.request("PUT", f"{orphan}/record/000001-abcdefabcdef/00000999", b"of a driver that was away")
    assert going.wait(timeout=300) == 0, third.said()[-3000:]
    assert found_in(url, tmp_path / "reader", monkeypatch) == undisturbed


@long_count
def test_a_signal_reaches_workers_that_see_no_file(machine: Any, url: str, undisturbed: dict[str, Any], tmp_path: Path, monkeypatch: Any) -> None:
    run = machine(url)
    process = run.start()
    run.wait_until(lambda: run.num_reports() > 2 and run.training(), process)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(timeout=60) == 143
    assert run.gone_within(10)
    assert run.status() == "interrupted"
    run.wipe()
    machine(url).finish()  # the lease was given back: nobody waits
    assert found_in(url, tmp_path / "reader", monkeypatch) == undisturbed


@long_count
def test_a_store_that_is_away_for_a_while(
    machine: Any, url: str, undisturbed: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: S3Server
) -> None:
    gate = Gate(s3.port)
    run = machine(url, **s3.environment(gate.url))
    process = run.start()
    run.wait_until(lambda: run.num_reports() > 2 and run.training(), process)
    gate.close()
    time.sleep(8)
    gate.mend()
    assert process.wait(timeout=300) == 0, run.said()[-3000:]
    gate.close()
    assert found_in(url, tmp_path / "reader", monkeypatch) == undisturbed


@pytest.mark.parametrize(
    ("home", "said"),
    [
        ("s3://no-such-bucket-there/x", "no such bucket"),
        ("s3:/one/slash", "one slash"),
        ("ftp://a/b", "no kind of store"),
        ("s3://ann:hunter2@b/x", "a user or a password in an address"),
    ],
)
def test_a_home_that_cannot_be_used_is_refused_before_anything_is_trained(machine: Any, home: str, said: str, planted_shards: Path) -> None:
    before = sorted(path.name for path in planted_shards.iterdir())
    try:
        run = machine(home)
    except ValueError:
        run = machine(f"s3://{BUCKET}/x")
        run.words[run.words.index("--home") + 1] = home
    assert run.start(cwd=run.log.parent).wait(timeout=60) == 2
    assert said in run.said()
    assert "hunter2" not in run.said()
    assert "Traceback" not in run.said()
    assert not (run.log.parent / "s3:").exists()
    assert sorted(path.name for path in planted_shards.iterdir()) == before  # no opening


@long_count
def test_a_store_that_is_not_there_is_told_within_a_minute(machine: Any, url: str) -> None:
    run = machine(url, AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert run.start().wait(timeout=75) == 2
    assert "connection refused; a store that answers" in run.said()


@long_count
def test_steps_of_a_record_are_few(machine: Any, url: str, s3: S3Server) -> None:
    """One object an event, and the chains of those who ran the sweep before are gone."""
    run = machine(url, "--trials", "1")
    run.finish()
    machine(url, "--trials", "2").finish()
    prefix = url.rpartition("/")[2]
    listed = s3.request("GET", f"/{BUCKET}?list-type=2&prefix={prefix}/sweeps/faults/record/").decode()
    assert "/record/000001-" not in listed
    lease = json.loads(s3.request("GET", f"/{BUCKET}/{prefix}/sweeps/faults/lease.json"))
    assert (lease["generation"], lease["released"]) == (2, True)
