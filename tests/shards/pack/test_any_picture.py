"""Whatever a picture does to its decoder, it is one line of the ledger, and all others are kept."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from shards.errors import FileError, ShardsError
from shards.manifest import PictureRule
from shards.pack import prepare, staging
from shards.pack.prepare import Job, make_and_write, make_ready, prepare_all
from shards.pack.rowfile import RowFile
from shards.pack.workers import WorkerDiedError, Workers
from shards.sources.rows import PictureRow
from tests.helpers.deadly_pictures import Deadly
from tests.helpers.dying_work import die

ROOT = Path(__file__).parents[3]


def silent(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture
def deadly(tmp_path: Path, make_photo: Callable[..., np.ndarray], make_jpeg: Callable[..., bytes]) -> Deadly:
    (tmp_path / "seen").mkdir()
    (tmp_path / "work").mkdir()
    (tmp_path / "good.jpg").write_bytes(make_jpeg(make_photo(70, 60, seed=1)))
    return Deadly(tmp_path, tmp_path / "seen")


def staged(tmp_path: Path, names: list[str]) -> RowFile:
    rows = [PictureRow(row=number, id=f"{number}", path=name, views=number) for number, name in enumerate(names)]
    return staging.stage_rows(tmp_path / "work", rows, ())


def lines(tmp_path: Path, rows: RowFile) -> list[tuple[str | None, str | None]]:
    table = staging.load(tmp_path / "work", rows).table
    return list(zip(table["reason"].to_pylist(), table["detail"].to_pylist(), strict=True))


def test_whatever_is_raised_is_one_line(tmp_path: Path, deadly: Deadly, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "CHUNK_ROWS", 6)
    names = ["good", "assertion", "recursion", "good", "opencv", "memory", "strange", "good"]
    rows = staged(tmp_path, names)
    prepare_all(tmp_path / "work", rows, deadly, PictureRule(), silent, processes=2)
    found = lines(tmp_path, rows)
    reasons = [None, "undecodable", "undecodable", None, "undecodable", "out_of_memory", "undecodable", None]
    assert [reason for reason, _ in found] == reasons
    assert found[1][1] == "assertion: AssertionError; a picture that can be decoded"
    assert str(found[2][1]).startswith("recursion: RecursionError: maximum recursion depth exceeded")
    assert str(found[4][1]).startswith("opencv: error: OpenCV(")
    assert found[6][1] == "strange: LookupError: <object object at 0x…> in x?.jpg; a picture that can be decoded"  # no place in memory, no folder


def test_what_is_the_machines_stops_and_the_same_command_goes_on(tmp_path: Path, deadly: Deadly) -> None:
    rows = staged(tmp_path, ["good", "limit", "good"])
    with pytest.raises(FileError, match="limit: Too many open files"):
        prepare_all(tmp_path / "work", rows, deadly, PictureRule(), silent)
    prepare_all(tmp_path / "work", rows, deadly, PictureRule(), silent)
    assert lines(tmp_path, rows) == [(None, None)] * 3


def test_what_kills_its_decoder_is_found_and_the_rest_is_kept(tmp_path: Path, deadly: Deadly, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was killed once, from outside, costs no picture; one that hangs is ended by the time of its CPU."""
    monkeypatch.setattr(staging, "CHUNK_ROWS", 4)
    monkeypatch.setattr(prepare, "CPU_SECONDS", 1.5)
    monkeypatch.setattr(prepare, "DEATHS", 2)
    names = ["good", "kill", "good", "kill-once", "good", "good", "exit", "hang", "good", "good"]
    rows = staged(tmp_path, names)
    told: list[tuple[str, int, int]] = []
    prepare_all(tmp_path / "work", rows, deadly, PictureRule(), lambda *now: told.append(now), processes=2)
    found = lines(tmp_path, rows)
    reasons = [None, "kills_the_decoder", None, None, None, None, "kills_the_decoder", "too_slow", None, None]
    assert [reason for reason, _ in found] == reasons
    assert found[1][1] == "kill: its decoder died 2 times, alone with it (signal 9); a picture that can be decoded with the memory there is"
    assert "(exit status 3)" in str(found[6][1])
    assert found[7][1] == "hang: not decoded within 1.5 seconds of a CPU; a picture that can be"
    assert (tmp_path / "seen/kill-once").exists()  # control: it was killed
    assert told[-1] == ("pictures", 10, 10)


def test_control_a_chunk_that_kills_is_never_done(tmp_path: Path, deadly: Deadly) -> None:
    """Tried as it is, it dies each time, with its sound pictures."""
    job = Job(0, ((0, "good"), (1, "kill")), deadly, PictureRule())
    with Workers(1) as workers:
        outcomes = [outcome for _, outcome in workers.each(make_and_write, [(tmp_path / "work", job)] * 2)]
    assert [type(outcome) for outcome in outcomes] == [WorkerDiedError] * 2
    assert not staging.is_done(tmp_path / "work", 0)


def test_a_machine_that_decodes_nothing_loses_no_picture(tmp_path: Path, deadly: Deadly, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staging, "CHUNK_ROWS", 1)
    monkeypatch.setattr(prepare, "decode_one", die)
    rows = staged(tmp_path, ["kill", "good"])
    with pytest.raises(ShardsError, match=r"worker processes die while preparing pictures, also of a sound one(.|\n)*the same command goes on"):
        prepare_all(tmp_path / "work", rows, deadly, PictureRule(), silent, processes=2)
    assert not staging.is_done(tmp_path / "work", 0)


def test_who_packs_alone_may_die_and_the_next_finds_the_picture(tmp_path: Path, deadly: Deadly) -> None:
    script = """
import sys
from pathlib import Path
from shards.manifest import PictureRule
from shards.pack import staging
from shards.pack.prepare import prepare_all
from tests.helpers.deadly_pictures import Deadly
root = Path(sys.argv[1])
prepare_all(root / "work", staging.stage_rows(root / "work", (), ()), Deadly(root, root / "seen"), PictureRule(), lambda *now: None)
"""
    rows = staged(tmp_path, ["good", "kill", "good"])
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    codes = [subprocess.run([sys.executable, "-c", script, tmp_path], env=environment, check=False).returncode for _ in range(2)]
    assert codes == [-signal.SIGKILL, 0]
    assert [reason for reason, _ in lines(tmp_path, rows)] == [None, "kills_the_decoder", None]
    assert not list((tmp_path / "work").glob("*.trying"))


def test_the_limit_is_of_each_picture_alone(tmp_path: Path, deadly: Deadly) -> None:
    """All together may take longer: in this process, which the limit would end."""
    made, _ = make_ready(Job(0, tuple((row, "good") for row in range(30)), deadly, PictureRule(), cpu_seconds=60.0))
    assert len(made) == 30
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
