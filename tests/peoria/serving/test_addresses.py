"""Pictures to predict by their addresses: through the boundary that a pack fetches by."""

from pathlib import Path

import pytest

from peoria.serving.inputs import Input, decoded, expand
from shards.errors import ShardsError
from shards.fetch import FetchRules
from shards.manifest import PictureRule
from tests.helpers.picture_server import picture, picture_server


def test_addresses_are_fetched_in_their_order_and_a_bad_one_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(picture(1))
    with picture_server() as other, picture_server(other.port) as server:
        names = [server.address("missing"), server.address("ok"), str(tmp_path / "a.jpg"), server.address("to-other-port"), server.address("empty")]
        names += [server.address("ok", 2) + "?a=*[b]", "ftp://example.org/a.jpg", "https:/example.org/a.jpg", other.address("ok"), "http://10.0.0.1/"]
        (batch,) = decoded(expand(names), PictureRule(), fetch=FetchRules(hosts=(server.host,)))
        assert [(one.name, one.error.partition(";")[0]) for one in batch.inputs] == [
            (names[0], "not_found: status 404"),
            (names[1], ""),
            (names[2], ""),
            (names[3], f"forbidden_address: a redirect to port {other.port}"),
            (names[4], "not_a_picture: an answer without a byte"),
            (names[5], ""),
            (names[6], "an address of a kind that is not fetched"),
            (names[7], "an address of a kind that is not fetched"),
            (names[8], f"forbidden_address: port {other.port}"),
            (names[9], "forbidden_address: an address of a private or reserved network"),
        ]
        assert batch.squares.shape == (3, 256, 256, 3)
        assert (batch.squares[0] == batch.squares[1]).all()
        assert batch.sides_px.tolist() == [80, 80, 80]
        assert other.hits == {}
        named = decoded(expand(names[3:4]), PictureRule(), fetch=FetchRules(hosts=(server.host, other.host)))  # control
        assert next(named).inputs[0].error.startswith("not_found: ")
        assert other.hits == {"/secret/0": 1}


def test_whoever_stops_does_not_wait_for_what_is_fetched(tmp_path: Path) -> None:
    with picture_server() as server:
        names = [*(server.address("ok", number) for number in range(250)), *(server.address("silent", number) for number in range(250))]
        batches = decoded((Input(name) for name in names), PictureRule(), fetch=FetchRules(hosts=(server.host,), stall_seconds=3600))
        assert len(next(batches).squares) == 250
        batches.close()  # else an hour


def test_a_host_that_cannot_be_one_is_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    from peoria.cli import main

    with pytest.raises(SystemExit, match="2"):
        main(argv=["predict", "demo", "a.jpg", "--fetch-from", "http://a/"])
    assert "--fetch-from: 'http://a/'; HOST or HOST:PORT" in capsys.readouterr().err
    with pytest.raises(ShardsError, match="--fetch-from"):
        FetchRules(hosts=("a/b",))
