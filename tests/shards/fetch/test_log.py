"""What was fetched outlasts the process: killed at any moment the next one goes on, and damage is found."""

import errno
import hashlib
import io
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shards.errors import DamagedShardError, FileError, NoRoomError, PictureError
from shards.fetch import Account, fetched_chunks, read_fetched
from shards.fetch.log import Log
from tests.helpers.fetching import chunks_of, fetched, kinds_of, rows_of, rules_of, told
from tests.helpers.picture_server import KEPT, KINDS, SLOW, PictureServer, picture, picture_server
from tests.helpers.small_disk import small_disk
from tests.helpers.studies import sampled

ROOT = Path(__file__).parents[3]


def write(path: Path, *rows: int) -> dict[int, int]:
    """A log of pictures, and of a reason for each odd row; the size of the file after each."""
    log, sizes = Log(path).open(), {}
    for row in rows:
        data = picture(row)
        body = io.BytesIO(data), len(data), hashlib.sha256(data).hexdigest()
        log.append(row, f"http://a/{row}", PictureError("not_found", "status 404; a picture") if row % 2 else body)
        sizes[row] = path.stat().st_size
    log.sync()
    log.close()
    return sizes


def held(path: Path) -> list[int]:
    log = Log(path).open()
    log.close()
    return sorted(log.held)


def test_a_record_that_was_cut_short_is_cut_off_and_the_others_stay(tmp_path: Path) -> None:
    sizes = write(tmp_path / "whole", 0, 1, 2)
    data = (tmp_path / "whole").read_bytes()
    assert {row: told(found) for row, found in read_fetched(tmp_path / "whole").items()} == {
        0: picture(0),
        1: ("not_found", "status 404; a picture"),
        2: picture(2),
    }
    for size in sorted({*range(0, len(data), 97), *sizes.values(), *(size - 1 for size in sizes.values())}):
        for rest in (b"", bytes(100)):  # as a disk leaves it after a power cut
            path = tmp_path / "torn"
            path.write_bytes(data[:size] + rest)
            whole = [row for row in sizes if sizes[row] <= size]
            assert held(path) == whole
            assert path.stat().st_size == max([0, *(sizes[row] for row in whole)])
            assert sorted(read_fetched(path)) == whole


def test_a_byte_that_changed_is_found(tmp_path: Path) -> None:
    """At a restart the rows from there on are fetched again; where the log was whole, it is damage."""
    sizes, path = write(tmp_path / "log", 0, 1, 2), tmp_path / "log"
    data = path.read_bytes()
    for at in random.Random(0).sample(range(len(data)), 40):
        path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        with pytest.raises(DamagedShardError, match=r"log: .*; what was fetched\nhint: delete it, and pack again"):
            _ = {row: told(found) for row, found in read_fetched(path).items()}
        assert held(path) == [row for row in sizes if sizes[row] <= at]
    with pytest.raises(DamagedShardError, match="No such file"):
        read_fetched(tmp_path / "none")


def test_a_row_of_another_address_is_fetched_again(tmp_path: Path) -> None:
    with picture_server() as server:
        account = Account()
        rows = [(0, server.address("ok", 0)), (1, server.address("ok", 1))]
        fetched(tmp_path, rows, rules_of(server.host), account)
        rows[1] = (1, server.address("ok", 7))
        assert fetched(tmp_path, rows, rules_of(server.host), account) == {0: picture(0), 1: picture(7)}
        assert (account.num, account.num_before) == (3, 1)
        assert server.hits == {"/ok/0": 1, "/ok/1": 1, "/ok/7": 1}


def start(folder: Path, server: PictureServer, num: int, *words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.helpers.fetching", str(folder), str(server.port), str(num), *words]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)


def test_killed_at_any_moment_it_ends_with_the_same_and_fetches_nothing_twice_that_was_written(tmp_path: Path) -> None:
    num = sampled(2000, 300)
    with picture_server() as server:
        rows = rows_of(server.port, num)
        undisturbed = {row: told(found) for row, found in fetched(tmp_path / "undisturbed", rows, rules_of(server.host)).items()}
        assert len(undisturbed) == num
        for moment in range(sampled(10, 2)):
            folder = tmp_path / str(moment)
            wanted = random.Random(moment).randrange(num // 10, num - num // 10)  # rows
            before = sum(server.hits.values())
            with start(folder, server, num) as process:
                while sum(server.hits.values()) - before < wanted and process.poll() is None:
                    time.sleep(0.002)
                os.killpg(process.pid, signal.SIGKILL)
            assert process.returncode == -signal.SIGKILL
            written = {row for log in folder.glob("*.fetched") for row in held(log)}
            hits = server.hits.copy()
            found = {row: told(given) for row, given in fetched(folder, rows, rules_of(server.host)).items()}
            assert found == undisturbed
            again = {row for row in written if server.hits[path_of(rows[row][1])] != hits[path_of(rows[row][1])]}
            assert again == set()
            assert 0 < len(written) < num  # control: it was in the midst of it
            others = [row for row in range(num) if row not in written and kinds_of(num)[row] == "ok"]
            assert all(server.hits[path_of(rows[row][1])] > hits[path_of(rows[row][1])] for row in others)


def path_of(address: str) -> str:
    return "/" + address.split("/", 3)[3]


def test_a_machine_at_its_limits_leaves_no_picture_out(tmp_path: Path) -> None:
    with picture_server() as server:
        for limit in ("10", "30"):  # files cannot be opened, connections not be made
            with start(tmp_path, server, 300, limit) as process:
                said, _ = process.communicate(timeout=120)
            assert re.search(r"^(network: EMFILE; a machine with room for 64 connections|/.*: Too many open files; .*)\n", said, re.MULTILINE)
        rows = rows_of(server.port, 300)
        found = fetched(tmp_path, rows, rules_of(server.host))
        wanted = {row: (KINDS | SLOW)[kind] for row, kind in enumerate(kinds_of(300))}
        assert {row: found[row].reason if isinstance(found[row], PictureError) else KEPT for row in found} == wanted


def test_a_full_disk_is_named_and_the_same_call_goes_on(tmp_path: Path) -> None:
    with picture_server() as server, small_disk(tmp_path / "disk", 400_000) as disk:
        rows = [(row, server.address("ok", row)) for row in range(100)]
        with pytest.raises(NoRoomError, match=r"disk/0000\d.fetched: ") as raised:
            fetched(disk, rows, rules_of(server.host))
        assert raised.value.errno == errno.ENOSPC
        kept = {row for log in disk.glob("*.fetched") for row in held(log)}
        assert 0 < len(kept) < 100
        subprocess.run(["mount", "-o", "remount,size=4000000", str(disk)], check=True)
        assert fetched(disk, rows, rules_of(server.host)) == {row: picture(row) for row, _ in rows}
        assert {server.hits[path_of(rows[row][1])] for row in kept} == {1}


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="file"):
        next(fetched_chunks(chunks_of(tmp_path / "file" / "logs", [(0, "http://127.0.0.1:1/a")]), rules_of()))
