"""`peoria pack` into a bucket; and addresses where a path is needed."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from peoria.cli import run_command
from shards.addresses import is_url
from shards.cache.fetched import open_shards
from shards.errors import ShardsError, StoreError
from shards.manifest import MANIFEST, Manifest
from shards.store import open_store
from shards.upload import CLAIM, pack_to_store
from tests.helpers.s3_server import BUCKET, Gate, S3Server


def test_a_set_is_packed_into_a_bucket(
    s3: S3Server, env: pytest.MonkeyPatch, packed: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Killed in the midst, gone on with; the bytes of a folder's; a second time left alone, another set refused."""
    env.chdir(tmp_path)
    table, address = packed.parent / "table.csv", f"s3://{BUCKET}/packed/set"
    words = ["pack", str(table), "--out", address, "--keep", "mood", "--processes", "1", "--shard-size", "10"]
    gate = Gate(s3.port, stall_after=sum(shard.bytes for shard in Manifest.load(packed).shards) // 2)
    killed = subprocess.Popen(
        [sys.executable, "-c", "from peoria.cli import main; main()", *words], env=os.environ | s3.environment(gate.url), stdout=subprocess.DEVNULL
    )
    assert gate.stalled.wait(120)
    killed.kill()
    killed.wait()
    gate.close()
    store = open_store(address)
    assert MANIFEST not in store.names()
    assert CLAIM in store.names()
    with pytest.raises(ShardsError, match=r"no manifest\.json"):
        open_shards(address, tmp_path / "cache")
    put_before = s3.requests("PUT", "packed/set/train/.*")
    assert put_before
    assert run_command(None, words, for_good=False) == 0
    assert f"{address}: " in capfd.readouterr().out
    again = Counter(s3.requests("PUT", "packed/set/train/.*"))
    assert len(again) > len(set(put_before))
    assert max(again.values()) == 1 or len([name for name, count in again.items() if count > 1]) == 1  # that of the moment of the kill
    assert s3.requests("PUT", "packed/set/[a-z].*")[-1].endswith(MANIFEST)
    expected = {path.relative_to(packed).as_posix(): path.read_bytes() for path in packed.rglob("*") if path.is_file()}
    assert {name: store.get(name) for name in store.names()} == expected
    assert not list((tmp_path / "data/packing").iterdir())
    assert run_command(None, words, for_good=False) == 0
    assert "(packed before)" in capfd.readouterr().out
    assert run_command(None, [*words[:-1], "9"], for_good=False) == 2
    assert f"{address}: packed with another shard_size" in capfd.readouterr().err
    assert run_command(None, ["pack", str(table), "--out", f"s3://{BUCKET}/packed"], for_good=False) == 2
    assert f"s3://{BUCKET}/packed: holds set/labels.parquet" in capfd.readouterr().err
    assert run_command(None, ["verify", address], for_good=False) == 0
    assert capfd.readouterr().err == ""
    assert run_command(None, ["describe", address], for_good=False) == 0
    assert "60" in capfd.readouterr().out
    store.put("train/00000.tar", store.get("train/00000.tar")[::-1])
    store.put("train/stranger", b"")
    assert run_command(None, ["verify", address], for_good=False) == 1
    said = capfd.readouterr().err
    assert f"{address}/train/00000.tar: sha256" in said
    assert f"{address}/train/stranger: not in manifest.json" in said


def test_two_sets_at_one_address_are_refused(s3: S3Server, env: pytest.MonkeyPatch, packed: Path, tmp_path: Path) -> None:
    address = f"s3://{BUCKET}/claimed"
    open_store(address).put(CLAIM, b'{"manifest_sha256": "of another"}')
    with pytest.raises(ShardsError, match=f"{address}: another set is being put there"):
        pack_to_store(packed.parent / "table.csv", address, keep=["mood"], processes=1, shard_size=10, below=tmp_path)
    assert open_store(address).names().keys() == {CLAIM}
    with pytest.raises(StoreError, match="s3://no-such-bucket/x: no such bucket"):  # before anything is packed
        pack_to_store(packed.parent / "table.csv", "s3://no-such-bucket/x", below=tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["describe", "set", "--out", "URL"],
        ["sweep", "URL/sweep.py"],
        ["sweep", "sweep.py", "--cache", "URL"],
        ["report", "name", "--cache", "URL"],
        ["export", "name", "--out", "URL"],
        ["cache", "--cache", "URL"],
        ["plant", "URL"],
    ],
    ids=lambda words: "-".join(words).replace("/", "_"),
)
def test_an_address_where_only_a_path_is_possible_is_refused(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """In a line, and no folder ``s3:`` is made."""
    monkeypatch.chdir(tmp_path)
    for given in ("s3://key:hunter2@bucket/x", "s3:/bucket/x", "gs://bucket/x", "file:///x"):
        with pytest.raises(SystemExit) as caught:
            run_command(None, [word.replace("URL", given) for word in words], for_good=False)
        assert caught.value.code == 2
        said = capfd.readouterr().err
        assert "the address of a store; a path of this machine" in said
        assert "hunter2" not in said
    assert not list(tmp_path.iterdir())
    assert is_url("s3:/bucket/x")


@pytest.mark.parametrize("words", [["URL/table.csv"], ["table.csv", "--pictures", "URL"]], ids=["table", "pictures"])
def test_an_address_to_read_from_is_checked_as_one_to_write_to(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for given, found in (("s3://key:hunter2@bucket/x", "a user or a password"), ("s3:/bucket/x", "one slash"), ("file:///x", "no kind of store")):
        with pytest.raises(SystemExit) as caught:
            run_command(None, ["pack", "--out", "out", *(word.replace("URL", given) for word in words)], for_good=False)
        assert caught.value.code == 2
        said = capfd.readouterr().err
        assert found in said
        assert "hunter2" not in said
    assert not list(tmp_path.iterdir())
