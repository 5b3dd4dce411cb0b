"""A disk that fills up while a sweep runs, and is nearly full: nothing is lost, no other trial is drawn, and no test is opened in vain."""

import os
import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from peoria.data.dataset import Dataset
from shards.read.openings import openings
from tests.helpers.faults import FULL, Command, digests
from tests.helpers.small_disk import small_disk

pytestmark = pytest.mark.slow

DISK_BYTES = 48 << 20
LEFT = (0, 20_000, 100_000, 2_000_000)  # bytes: nothing; a small record; records but no checkpoint; some checkpoints and then no more


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", DISK_BYTES) as found:
        yield found


def fill(disk: Path, left: int) -> Path:
    """By another file, as others do."""
    filler, room = disk / "filler", os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, room.f_bavail * room.f_frsize - left))
    return filler


def test_at_any_moment_of_a_sweep(
    disk: Path, undisturbed: dict[str, Any], planted_shards: Path, dataset: Dataset, home: Path, tmp_path: Path
) -> None:
    """Where room comes back in time the sweep goes on by itself; else it ends in a line, and the same command goes on."""
    cache = shutil.copytree(home / "cache", tmp_path / "cache")  # on another disk
    run, dice = Command(disk, planted_shards, "--cache", str(cache)), random.Random(5)
    run.log = tmp_path / "log"
    moments = [
        lambda: run.num_reports() > 2,
        lambda: run.folder.trial("0002").points.exists(),
        lambda: any(run.folder.path.glob("trials/*-seed-1/points.jsonl")),
    ]
    moments += [lambda: time.monotonic() > began + dice.uniform(4, 14)] * 7
    moments = moments if FULL else moments[:2]
    for turn, moment in enumerate(moments):
        process = run.start()
        began = time.monotonic()
        if not run.until(moment, process):  # a random moment after its end
            continue
        filler = fill(disk, LEFT[turn % len(LEFT)])
        waited_until = time.monotonic() + dice.uniform(2, 12)
        while process.poll() is None and time.monotonic() < waited_until:
            time.sleep(0.1)
        filler.unlink()
        if process.poll() is None and turn % 2:
            process.kill()
        code = process.wait(timeout=300)
        assert code in (0, 2, 3, -9), run.said()[-3000:]
        assert run.gone_within(30)
        if code in (2, 3):
            assert str(disk) in run.said()
            assert "bytes are needed" in run.said() or "No space left" in run.said()
        assert "Traceback" not in run.said()
        assert not [trial for trial in run.folder.trials() if '"failed"' in (trial.outcome.read_text() if trial.outcome.exists() else "")]
    run.finish()
    assert digests(run.folder) == undisturbed
    assert not list(disk.rglob(".*.tmp"))


def test_a_report_without_room_opens_nothing(
    disk: Path, undisturbed_home: Path, planted_shards: Path, dataset: Dataset, home: Path, tmp_path: Path
) -> None:
    cache = shutil.copytree(home / "cache", tmp_path / "cache")
    run = Command(disk, planted_shards, "--cache", str(cache))
    run.log = tmp_path / "log"
    shutil.copytree(undisturbed_home, run.home, ignore=shutil.ignore_patterns("cache"))
    before, words = openings(planted_shards), run.words
    report = [*words[: words.index("sweep")], "report", "faults", "--home", str(run.home), "--tracking", "off", "--cache", str(cache)]
    for left in (0, 100_000, 10_000_000):
        filler = fill(disk, left)
        run.words = report
        assert run.start().wait(timeout=120) == 2, run.said()
        assert "bytes are needed for" in run.said()
        assert "Traceback" not in run.said()
        assert openings(planted_shards) == before
        filler.unlink()
    run.finish()
    assert len(openings(planted_shards)) == len(before) + 1  # control: with room it is opened, once
    run.finish()
    assert len(openings(planted_shards)) == len(before) + 1
