"""Tables and pictures in a bucket of a real server."""

import pickle
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from shards.errors import MissingObjectError, PictureError, StoreAwayError, StoreError, TableError
from shards.pack.pack import pack
from shards.read.shard_set import ShardSet
from shards.sources.cells import Bad
from shards.sources.opened import open_source
from shards.sources.stored import StoredPictures, StoredTable
from tests.helpers.origins import good, picture, write_hub
from tests.helpers.s3_server import BUCKET, Gate, S3Server, free_port, s3_server

URL = f"s3://{BUCKET}/in"
NAMES = ["a.jpg", "with blank.jpg", "é 猫#%20?.jpg", "deep/[x]{y}.jpg", "5.jpg", "6.jpg"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("moto")) as found:
        for number, name in enumerate(NAMES):
            found.request("PUT", f"/{BUCKET}/in/{urllib.parse.quote(name)}", picture(number))
        table = "path,views,owner\n" + "".join(f'"{name}",{number},o{number}\n' for number, name in enumerate([*NAMES, "gone.jpg"]))
        found.request("PUT", f"/{BUCKET}/in/t.csv", table.encode())
        yield found


@pytest.fixture
def keys(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    return server


def test_a_table_and_its_pictures_are_packed_from_a_bucket(keys: S3Server, tmp_path: Path) -> None:
    found = pack(f"{URL}/t.csv", tmp_path / "set", processes=1)
    assert found.manifest.source.table == "t.csv"
    assert (found.manifest.num_kept, found.rejected) == (len(NAMES), {"missing_file": 1})
    local = tmp_path / "local"
    for number, name in enumerate(NAMES):
        (local / name).parent.mkdir(parents=True, exist_ok=True)
        (local / name).write_bytes(picture(number))
    (local / "t.csv").write_bytes(keys.request("GET", f"/{BUCKET}/in/t.csv"))
    again = pack(local / "t.csv", tmp_path / "again", pictures=URL, processes=1)
    here = pack(local / "t.csv", tmp_path / "here", processes=1)
    assert found.manifest.identity == again.manifest.identity == here.manifest.identity
    assert ShardSet(tmp_path / "set").manifest.source == here.manifest.source


def test_paths_are_names_below_the_address() -> None:
    pictures = StoredPictures(URL)
    assert pictures.check(f"{URL}/a/b.jpg") == pictures.check("./a//b.jpg") == "a/b.jpg"
    assert pickle.loads(pickle.dumps(pictures)) == pictures
    cases = [
        ("", "empty_path"),
        ("../a.jpg", "path_outside"),
        ("/a.jpg", "path_outside"),
        (f"s3://{BUCKET}/a.jpg", "path_outside"),
        ("a\n.jpg", "not_a_file"),
    ]
    for given, reason in cases:
        with pytest.raises(Bad) as raised:
            pictures.check(given)
        assert raised.value.reason == reason


def test_what_is_too_large_is_not_fetched(keys: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    import shards.sources.held
    import shards.sources.stored

    assert StoredPictures(URL).read("a.jpg") == picture(0)
    monkeypatch.setattr(shards.sources.stored, "MAX_FILE_BYTES", 100)
    monkeypatch.setattr(shards.sources.held, "MAX_FILE_BYTES", 100)
    with pytest.raises(PictureError, match=r"too_many_bytes: [0-9]+ bytes; at most 100"):
        StoredPictures(URL).read("a.jpg")


def test_what_concerns_the_store_is_no_word_about_a_picture(keys: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="no such bucket") as raised:
        StoredPictures("s3://gone").read("a.jpg")
    assert not isinstance(raised.value, MissingObjectError)
    with pytest.raises(MissingObjectError, match=r"s3://.*/gone.csv: no such object"):
        open_source(f"{URL}/gone.csv").header()
    monkeypatch.setattr("shards.store._RETRY", {"max_retries": 0})
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
        with pytest.raises(StoreAwayError, match="connection refused"):
            StoredPictures(f"{URL}/away").read("a.jpg")


def test_a_store_that_goes_away_stops_the_pack_which_goes_on(keys: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from shards.pack import staging
    from shards.sources import stored

    monkeypatch.setattr(staging, "CHUNK_ROWS", 2)
    monkeypatch.setattr("shards.store._RETRY", {"max_retries": 0})
    pack(f"{URL}/t.csv", tmp_path / "whole", processes=1)
    gate = Gate(keys.port, break_after=4500)  # after the table and the first pictures
    stored._bucket.cache_clear()
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", gate.url)
        with pytest.raises(StoreAwayError):
            pack(f"{URL}/t.csv", tmp_path / "half", processes=1)
        assert gate.broken.is_set()
        gate.mend()
        pack(f"{URL}/t.csv", tmp_path / "half", processes=1)
    gate.close()
    stored._bucket.cache_clear()
    assert (tmp_path / "half/manifest.json").read_bytes() == (tmp_path / "whole/manifest.json").read_bytes()


def test_the_table_is_gone_from_this_machine_with_its_source(keys: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    source = StoredTable(f"{URL}/t.csv")
    assert len(good(source)) == len(NAMES) + 1
    assert len(list(tmp_path.iterdir())) == 1
    del source
    assert not list(tmp_path.iterdir())


def test_parquet_with_pictures_is_not_brought_here(keys: S3Server, tmp_path: Path) -> None:
    file = next((write_hub(tmp_path, 4, 1) / "data").iterdir())
    keys.request("PUT", f"/{BUCKET}/in/hub.parquet", file.read_bytes())
    with pytest.raises(TableError, match=r"hub.parquet: pictures in a Parquet file of a store(.|\n)*hint: copy it here first"):
        open_source(f"{URL}/hub.parquet").header()
