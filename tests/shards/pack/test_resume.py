"""A pack that was stopped, at any moment and by any means, goes on and ends with the same bytes; or says why it may not."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shards.errors import DamagedShardError, ShardsError
from shards.files import write_atomic
from shards.manifest import SplitRule
from shards.pack import staging, tars
from shards.pack.pack import pack

MakeTable = Callable[..., Path]
Files = Callable[[Path], dict[str, str]]
pytestmark = pytest.mark.usefixtures("small_chunks")
ROOT = Path(__file__).parents[3]


def test_another_plan_is_refused(tmp_path: Path, mixed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(mixed, tmp_path / "out", processes=1)
    with pytest.raises(ShardsError, match=r"packed with another shard_size: 1000 there; 9 asked for(.|\n)*hint: pack into another folder"):
        pack(mixed, tmp_path / "out", shard_size=9)
    with pytest.raises(ShardsError, match=r"source.kept_columns: \[\] there; \['title'\](.|\n)*split_rule.seed: peoria there; x asked for"):
        pack(mixed, tmp_path / "out", keep=["title"], split_rule=SplitRule(seed="x"))

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tars.TarWriter, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            pack(mixed, tmp_path / "half", processes=1)
    with pytest.raises(
        ShardsError, match=r"half: an unfinished pack with another shard_size: 1000 there; 9 asked for(.|\n)*or delete .*half and begin anew"
    ):
        pack(mixed, tmp_path / "half", shard_size=9)
    with pytest.raises(ShardsError, match=r"an unfinished pack with another pictures: None there; .*in asked for"):
        pack(mixed, tmp_path / "half", pictures=mixed.parent)
    mixed.write_text(mixed.read_text() + "x,images/001.jpg,1,1,o,,,\n")
    with pytest.raises(ShardsError, match=r"source.num_rows: 40 there; 41 asked for(.|\n)*source.sha256"):
        pack(mixed, tmp_path / "half")


def test_only_one_pack_at_a_time(tmp_path: Path, mixed: Path) -> None:
    def meanwhile(what: str, done: int, total: int) -> None:
        if done == 0:
            with pytest.raises(ShardsError, match=r"out: another pack is at work there; one at a time"):
                pack(mixed, tmp_path / "out", processes=1)

    assert pack(mixed, tmp_path / "out", processes=1, progress=meanwhile).manifest.num_kept


def test_workers_that_are_killed_cost_nothing(tmp_path: Path, files: Files, mixed: Path) -> None:
    def kill_workers() -> None:
        while len(workers := children()) < 2:
            time.sleep(0.001)
        for worker in workers:  # they are still importing: none has done its work
            os.kill(worker, signal.SIGKILL)

    killer = threading.Thread(target=kill_workers)
    killer.start()
    pack(mixed, tmp_path / "out", processes=2)
    killer.join()
    pack(mixed, tmp_path / "whole", processes=1)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def children() -> list[int]:
    """Workers of this process, whichever thread started them."""
    return [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split() if is_worker(pid)]


def is_worker(pid: str) -> bool:
    try:
        return b"shards.pack.workers" in Path("/proc", pid, "cmdline").read_bytes()
    except OSError:  # it has ended
        return False


class Killed(BaseException):
    pass


def stop_at_write(monkeypatch: pytest.MonkeyPatch, number: int, before: bool) -> None:
    """Ends the pack at its ``number``-th rename, just before it or just after."""
    replace, unlink, counted, killed = os.replace, os.unlink, iter(range(10**6)), []

    def kill() -> None:
        killed.append(True)
        raise Killed

    def counting(source: str, target: str) -> None:
        now = next(counted)
        if now == number and before:
            kill()
        replace(source, target)
        if now == number:
            kill()

    monkeypatch.setattr(os, "replace", counting)
    monkeypatch.setattr(os, "unlink", lambda *args, **options: None if killed else unlink(*args, **options))  # the dead do not tidy up


@pytest.mark.parametrize("before", [True, False])
def test_stopped_at_every_write_it_ends_the_same(
    tmp_path: Path, files: Files, make_table: MakeTable, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    table = make_table(tmp_path / "in", 24)
    pack(table, tmp_path / "whole", shard_size=8, processes=1)
    stops = 0
    while True:
        with monkeypatch.context() as patch:
            stop_at_write(patch, stops, before)
            try:
                pack(table, tmp_path / f"out{stops}", shard_size=8, processes=1)
                break
            except Killed:
                pass
        pack(table, tmp_path / f"out{stops}", shard_size=8, processes=1)
        assert files(tmp_path / f"out{stops}") == files(tmp_path / "whole")
        stops += 1
    assert stops == 1 + 1 + 2 * 4 + 1 + 5 + 4  # plan; rows; chunks; all; shards; labels, ledger, near-duplicates, manifest


def tearing(suffix: str) -> Callable[..., None]:
    """A write under the final name that a kill cuts short, for files of that suffix."""

    def write(path: Path, data: bytes | Iterator[bytes], *_: object) -> None:
        data = data if isinstance(data, bytes) else b"".join(data)
        if path.suffix != suffix:
            return write_atomic(path, data)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data[: len(data) // 2])
        raise Killed

    return write


def test_what_lies_in_a_shards_place_is_not_trusted(tmp_path: Path, files: Files, make_table: MakeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    table = make_table(tmp_path / "in", 12)
    with monkeypatch.context() as patch:
        patch.setattr(tars, "write_blocks", tearing(".tar"))
        with pytest.raises(Killed):
            pack(table, tmp_path / "out", processes=1)
    pack(table, tmp_path / "out", processes=1)
    pack(table, tmp_path / "whole", processes=1)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_without_whole_writes_a_stop_would_not_be_survived(tmp_path: Path, make_table: MakeTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control: a chunk's lines written under their final name and cut short are taken for a chunk that is done."""
    table = make_table(tmp_path / "in", 12)
    with monkeypatch.context() as patch:
        patch.setattr(staging, "write_atomic", tearing(".parquet"))
        with pytest.raises(Killed):
            pack(table, tmp_path / "out", processes=1)
    with pytest.raises(DamagedShardError, match=r"\.parquet: .*; what an earlier pack wrote\nhint: delete .*\.staging and pack again"):
        pack(table, tmp_path / "out", processes=1)


SCRIPT = """
import sys
from pathlib import Path
from shards.pack import staging
from shards.pack.pack import pack

if __name__ == "__main__":
    staging.CHUNK_ROWS = 6
    tell = lambda *now: print(*now, flush=True)
    pack(Path(sys.argv[1]), Path(sys.argv[2]), shard_size=5, processes=int(sys.argv[3]), progress=tell)
"""


def start(table: Path, out: Path, processes: int) -> subprocess.Popen[str]:
    (table.parent / "run.py").write_text(SCRIPT)
    command = [sys.executable, str(table.parent / "run.py"), str(table), str(out), str(processes)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True, env=environment)


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_and_ends_the_same(tmp_path: Path, files: Files, mixed: Path) -> None:
    """SIGKILL of the whole process group, each time one line of progress later, with one process and with three in turn."""
    pack(mixed, tmp_path / "whole", shard_size=5, processes=1)
    kills = 0
    while True:
        process = start(mixed, tmp_path / "out", processes=3 if kills % 2 else 1)
        assert process.stdout is not None
        lines = [line for _, line in zip(range(2 + kills // 2), process.stdout, strict=False)]
        time.sleep(0.002 * (kills % 5))
        ended = process.poll() is not None or len(lines) < 2 + kills // 2
        if not ended:
            os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        process.stdout.close()
        if ended:
            assert code == 0
            break
        kills += 1
    assert kills >= 5
    assert pack(mixed, tmp_path / "out", shard_size=5, processes=1).manifest
    assert files(tmp_path / "out") == files(tmp_path / "whole")


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(tmp_path: Path, mixed: Path) -> None:
    process = start(mixed, tmp_path / "out", processes=2)
    assert process.stdout is not None
    for line in process.stdout:
        if not line.startswith("pictures 0 "):
            break
    os.kill(process.pid, signal.SIGKILL)  # the parent alone
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    pytest.fail("workers outlived their parent")
