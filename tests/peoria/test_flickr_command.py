"""`peoria flickr` from the command line: a sample, what it will cost, counts, and nothing asked twice whatever ends it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from peoria.cli import main
from peoria.flickr_command import EVERY_S, _Lines
from shards.sources.rows import PictureRow, read_table
from tests.helpers.flickr_server import KEY, FlickrServer, flickr_server
from tests.helpers.manual_clock import ManualClock
from tests.helpers.yfcc_rows import Photo, others, write

FAST = 10**7  # queries an hour, which a stand-in may be asked


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main(argv=[str(word) for word in words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlickrServer]:
    monkeypatch.chdir(tmp_path)
    with flickr_server(others(60), per_hour=FAST) as found:
        for name, value in found.environment().items():
            monkeypatch.setenv(name, value)
        yield found


def sample(folder: Path) -> Path:
    write(folder / "yfcc100m_dataset", others(60))
    assert run("flickr", "sample", folder / "yfcc100m_dataset", "--top-tags", 100, "--sample", 25, "--out", folder / "photos.parquet") == 0
    return folder / "photos.parquet"


def test_from_metadata_to_a_table_that_pack_reads(server: FlickrServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = sample(tmp_path)
    assert f"{table}: 25 photos of 54 photos" in " ".join(capsys.readouterr().out.split())
    assert run("flickr", "counts", table, "--dry-run") == 0
    assert capsys.readouterr().out.splitlines() == ["25 pictures, 0 of them answered before", "  at most 50 queries to make, 1 minute"]
    assert server.queries == []
    assert not (tmp_path / "data").exists()
    assert run("flickr", "counts", table, "--queries-per-hour", FAST) == 0
    printed = capsys.readouterr()
    assert f"{tmp_path / 'counts.parquet'}: 25 pictures with counts, of 25 rows" in " ".join(printed.out.split())
    assert printed.err == ""
    assert pq.read_table(tmp_path / "counts.parquet")["path"][0].as_py().startswith(f"{server.url}/7046/")
    # the same of pictures that are files already: their paths stay
    files = pq.read_table(table)
    files = files.set_column(files.column_names.index("path"), "path", [[f"{identity}.jpg" for identity in files["id"].to_pylist()]])
    pq.write_table(files, tmp_path / "files.parquet")
    asked = len(server.queries)
    assert run("flickr", "counts", "files.parquet", "--out", "own.parquet") == 0
    rows = [row for row in read_table(tmp_path / "own.parquet").read() if isinstance(row, PictureRow)]
    assert len(rows) == 25
    assert all(row.path == f"{row.id}.jpg" and row.owner == "12345678@N00" and not row.unread for row in rows)
    assert all(row.uploaded_at and row.observed_at and row.page and row.licence and row.tags.startswith("[") for row in rows)
    assert len(server.queries) == asked
    # a larger sample asks for what is new alone
    assert run("flickr", "sample", tmp_path / "yfcc100m_dataset", "--top-tags", 100, "--sample", 30, "--out", "more.parquet") == 0
    assert run("flickr", "counts", "more.parquet", "--out", "all.parquet", "--queries-per-hour", FAST) == 0
    assert len(server.queries) - asked == 2 * 5


def test_what_is_wrong_is_said_before_anything_is_asked(
    server: FlickrServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = sample(tmp_path)
    capsys.readouterr()
    for words, said in (
        (("sample", "nowhere", "--out", "t.parquet"), "nowhere: No such file or directory; a file of YFCC100M's metadata"),
        (("sample", table, "--out", "t.csv"), "t.csv: written as Parquet; a name that ends in .parquet"),
        (("sample", table, "--out", "t.parquet"), "photos.parquet: 1 column in its first line; 23 or 25, parted by tabs"),
        (("counts", "yfcc100m_dataset"), "yfcc100m_dataset: "),
        (("counts", table, "--out", tmp_path / "x" / ".." / table.name), "the table itself; another name"),
        (("counts", table, "--queries-per-hour", 10), "--queries-per-hour: 10; 60 to 3,600"),
    ):
        assert run("flickr", *words) == 2, words
        assert said in " ".join(capsys.readouterr().err.split())
    monkeypatch.delenv("PEORIA_FLICKR_URL")
    assert run("flickr", "counts", table, "--queries-per-hour", 3601) == 2
    assert "which is Flickr's limit for a key" in " ".join(capsys.readouterr().err.split())
    monkeypatch.delenv("PEORIA_FLICKR_KEY")
    assert run("flickr", "counts", table) == 2
    assert capsys.readouterr().err.startswith("PEORIA_FLICKR_KEY: not in the environment, nor FLICKR_API_KEY")
    assert server.queries == []


def test_a_log_has_a_line_a_minute_and_one_for_each_wait(capsys: pytest.CaptureFixture[str]) -> None:
    clock = ManualClock(0.0)
    lines = _Lines(clock)
    for second in range(250):
        clock.now = float(second)
        lines(second, 1000, "HTTP 503; again in 4 s" if second in (100, 101) else "")
    assert capsys.readouterr().err.splitlines() == [
        "60 of 1,000 pictures, about 16 min left",
        "100 of 1,000 pictures, about 15 min left: HTTP 503; again in 4 s",
        "160 of 1,000 pictures, about 14 min left",
        "220 of 1,000 pictures, about 13 min left",
    ]
    assert EVERY_S == 60


def written(folder: Path) -> set[tuple[str, str]]:
    path = folder / "data" / "flickr" / "answers.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []  # what is after the last end is cut off
    return {(found["ask"], found["id"]) for found in map(json.loads, lines)}


@pytest.mark.slow
def test_killed_and_interrupted_it_asks_nothing_twice_and_shows_the_key_nowhere(server: FlickrServer, tmp_path: Path) -> None:
    server.photos |= {str(number): Photo(str(number)) for number in range(1000, 1100)}
    (tmp_path / "ids.csv").write_text("id\n" + "\n".join(map(str, range(1000, 1110))) + "\n")
    server.fault("1003", "echo")
    server.delay_s = 0.01
    command = [sys.executable, "-m", "peoria", "flickr", "counts", "ids.csv", "--queries-per-hour", str(FAST)]
    said, kept = "", set[tuple[str, str]]()
    for ending in (signal.SIGKILL, signal.SIGINT, signal.SIGKILL, None):
        before, at_start = server.answered.copy(), len(server.queries)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as process:
            assert process.stdout is not None
            while ending is not None and len(server.queries) < at_start + 45:
                assert process.poll() is None, process.stdout.read()
                time.sleep(0.001)
            assert KEY not in Path(f"/proc/{process.pid}/cmdline").read_text()
            if ending is not None:
                os.kill(process.pid, ending)
            said += process.stdout.read()
        if ending == signal.SIGINT:
            assert process.returncode == 130
            assert "the same command goes on from here" in said
        assert not [asked for asked in kept if server.answered[asked] > before[asked]]  # what was written before is not asked
        kept = written(tmp_path)
    assert process.returncode == 0, said
    assert "100 pictures with counts, of 110 rows" in said
    assert "left out: 10 not found" in said
    asked_again = {asked: num for asked, num in server.answered.items() if num > 1}
    assert sum(asked_again.values()) - len(asked_again) <= 3  # what was answered at the moment of an end, and never written
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"answers.jsonl", "queries.json", "counts.parquet"} <= {path.name for path in files}
    assert not [path for path in files if KEY.encode() in path.read_bytes()]
    assert KEY not in said
    assert not [path for path in server.paths if KEY in path]
    assert pq.read_table("counts.parquet").num_rows == 100
