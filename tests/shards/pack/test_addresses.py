"""Rows with addresses are fetched while others are made ready; what failed and can heal is tried again, and nothing else is asked for twice."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from shards.errors import ShardsError
from shards.fetch import FetchRules
from shards.pack.pack import pack
from tests.helpers.picture_server import PictureServer, picture_server

Files = Callable[[Path], dict[str, str]]
pytestmark = pytest.mark.usefixtures("small_chunks")


def write(table: Path, server: PictureServer, kinds: list[str]) -> None:
    with table.open(newline="") as file:
        records = list(csv.DictReader(file))
    for row, kind in enumerate(kinds):
        records[row]["path"] = server.address(kind, row)
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)


def rules(server: PictureServer, attempts: int) -> FetchRules:
    return FetchRules(hosts=(server.host,), attempts=attempts, backoff_seconds=0.02)


@pytest.mark.parametrize("processes", [1, 2])
def test_addresses_are_fetched_and_only_what_can_heal_again(tmp_path: Path, files: Files, make_table: Callable[..., Path], processes: int) -> None:
    table = make_table(tmp_path / "in", 24, ["one"] * 24)  # pictures of one owner lie in one split, and are not held against one another
    with picture_server() as server:
        write(table, server, [*["ok"] * 9, "failing-once", "missing", *["ok"] * 4, "failing-once"])
        result = pack(table, tmp_path / "out", processes=processes, fetch=rules(server, 1))
        assert {reason: num for reason, num in result.rejected.items() if reason != "owner_cap"} == {"fetch_unavailable": 2, "not_found": 1}
        assert "fetched   13 of 16 addresses from 1 host, " in result.text()
        again = pack(table, tmp_path / "out", processes=processes, fetch=rules(server, 1), retry=True)
        assert again.healed == 2
        capped = {int(path.rpartition("/")[2]) for path, hits in server.hits.items() if "/ok/" in path and hits > 1}
        assert len(capped) <= result.rejected.get("owner_cap", 0)  # what is in no shard
        assert server.hits["/missing/10"] == 1
        pack(table, tmp_path / "whole", processes=1, fetch=rules(server, 3))
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_an_unfinished_pack_goes_on_with_what_was_fetched(tmp_path: Path, files: Files, make_table: Callable[..., Path]) -> None:
    table = make_table(tmp_path / "in", 12, ["one"] * 12)

    def stop(what: str, done: int, total: int) -> None:
        if what == "pictures" and done >= 6:  # what is asked for and not yet written may be asked again
            raise KeyboardInterrupt

    with picture_server() as server:
        write(table, server, ["ok"] * 12)
        with pytest.raises(KeyboardInterrupt):
            pack(table, tmp_path / "out", processes=1, fetch=rules(server, 1), progress=stop)
        with pytest.raises(ShardsError, match=r"an unfinished pack with another fetch.ignore_opt_out: False there; True asked for"):
            pack(table, tmp_path / "out", fetch=FetchRules(hosts=(server.host,), ignore_opt_out=True))
        pack(table, tmp_path / "out", processes=1, fetch=rules(server, 1))
        most = max(server.hits.values())
        pack(table, tmp_path / "whole", processes=1, fetch=rules(server, 1))
    assert most == 1
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_what_to_do_where_no_address_gave_a_picture(tmp_path: Path) -> None:
    for address, told in (("http://127.0.0.1:9/a.jpg", "name their host, --fetch-from"), ("http://nowhere.invalid/a.jpg", "is the network up")):
        (tmp_path / "t.csv").write_text(f"id,path,views\n1,{address},5\n")
        with pytest.raises(ShardsError, match=told):
            pack(tmp_path / "t.csv", tmp_path / "out", fetch=FetchRules(attempts=1))
