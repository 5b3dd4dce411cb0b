"""`peoria ledger`, `recount`, `remove`, `compact` and `add` as they are typed."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from peoria.cli import main
from shards.cache.fetched import open_shards
from shards.read.shard_set import ShardSet
from tests.helpers.living import counts, manifest, new_counts, new_pictures
from tests.helpers.packed_set import pack_pictures


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set, changed by one test after another."""
    return pack_pictures(tmp_path_factory.mktemp("commands"))


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(argv=[str(word) for word in words])
    assert isinstance(ended.value.code, int)
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return ended.value.code, out, err


def unfolded(text: str) -> str:
    return " ".join(text.split())


def test_the_ledger_for_people_and_for_programs(packed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "ledger", packed)
    assert code == 0
    assert out.splitlines()[:3] == [
        "61 rows: 60 kept, 1 left out",
        "  1  missing_file",
        "     first row 60, id gone: gone.jpg: no such file; a file in the folder of the",
    ]
    assert f"peoria ledger {packed} --reason missing_file" in out
    assert run(capsys, "ledger", packed, "--reason", "missing_file")[1].splitlines() == [
        "row 60, id gone: missing_file", "    gone.jpg: no such file; a file in the folder of the pictures"
    ]  # fmt: skip
    kept = run(capsys, "ledger", packed, "--status", "kept", "--limit", 2)[1].splitlines()
    assert [line.partition(" as ")[0] for line in kept] == ["row 0, id p0: kept in train", "row 1, id p1: kept in train"]
    lines = [json.loads(line) for line in run(capsys, "ledger", packed, "--json")[1].splitlines()]
    rows = list(csv.DictReader(io.StringIO(run(capsys, "ledger", packed, "--csv")[1])))
    assert [line["row"] for line in lines] == [int(row["row"]) for row in rows] == list(range(61))
    assert lines[60] == {
        "row": 60, "id": "gone", "status": "rejected", "reason": "missing_file", "split": None, "key": None,
        "detail": "gone.jpg: no such file; a file in the folder of the pictures",
    }  # fmt: skip
    code, out, err = run(capsys, "ledger", packed, "--reason", "owner_cap")
    assert (code, out, err) == (2, "", "reason: 'owner_cap'; missing_file\n")
    assert run(capsys, "ledger", packed / "none")[0] == 2


def test_the_ledger_of_a_set_in_a_store(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from shards.store import open_store

    store = open_store("memory://ledger")
    for name in ("ledger.parquet", "manifest.json"):
        store.put(name, packed / name)
    assert run(capsys, "ledger", "memory://ledger", "--limit", 1)[1].startswith("row 0, id p0: kept in train as ")
    for words in (["recount", "memory://ledger", "x.csv"], ["remove", "memory://ledger", "p1"], ["compact", "memory://ledger"]):
        code, _, err = run(capsys, *words)
        assert code == 2
        assert "a set in a store, which never changes; a folder" in err


def test_the_chain_of_changes(packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = counts(tmp_path, [{"key": row["id"], "seen": row["views"], "favorites": 1, "comments": 1} for row in new_counts(packed)])
    code, _, err = run(capsys, "recount", packed, table.path)
    assert code == 2
    assert "counts.csv: " in err
    half = counts(tmp_path, [{"id": "p1", "views": 3}, {"id": "stranger", "views": 1}, {"id": "p2", "views": "x"}], "half.csv")
    assert run(capsys, "recount", packed, half.path, "--drop", "favorites", "--drop", "comments", "--ledger", tmp_path / "lines.csv")[0] == 2
    lines = list(csv.DictReader(io.StringIO((tmp_path / "lines.csv").read_text())))
    assert [(line["row"], line["id"], line["reason"]) for line in lines] == [("1", "stranger", "not_in_set"), ("2", "p2", "bad_count")]
    code, out, _ = run(capsys, "recount", packed, table.path, "--column", "id=key", "--column", "views=seen")
    assert (code, unfolded(out).startswith(f"{packed}: views, favorites, comments of 60 pictures identity ")) == (0, True)
    code, out, _ = run(capsys, "add", packed, new_pictures(tmp_path, {60: "x", 61: "o1"}).path, "--processes", 1)
    assert (code, unfolded(out).startswith(f"{packed}: 2 pictures added, 62 in all ")) == (0, True)
    (tmp_path / "ids.txt").write_text("p3\n\nstranger\n")
    code, out, _ = run(capsys, "remove", packed, "p4", "--owner", "x", "--from", tmp_path / "ids.txt")
    assert code == 0
    assert "3 pictures removed, 59 stay" in unfolded(out)
    assert "1 id of which the set knows nothing, first 'stranger'" in unfolded(out)
    assert run(capsys, "remove", packed)[0] == 2
    assert run(capsys, "remove", packed, "--from", tmp_path / "none.txt")[0] == 2
    (tmp_path / "bad.txt").write_bytes(b"p5\xff\n")
    assert "bad.txt: no UTF-8 at byte 2; a file of ids" in run(capsys, "remove", packed, "--from", tmp_path / "bad.txt")[2]
    assert "3 pictures gone from" in unfolded(run(capsys, "compact", packed)[1])
    assert run(capsys, "verify", packed) == (0, "", "")
    assert run(capsys, "ledger", packed, "--reason", "removed")[1].count("\n") == 3
    assert not {"p3", "p4", "n60"} & set(ShardSet(packed).table["id"].to_pylist())
    assert [one.change for one in manifest(packed).lineage] == ["recount", "add", "remove"]

    from shards.store import open_store

    store = open_store("memory://changed")  # and from a store it is read as any other
    for path in packed.rglob("*"):
        if path.is_file() and not path.name.startswith("."):
            store.put(path.relative_to(packed).as_posix(), path)
    assert run(capsys, "verify", "memory://changed")[0] == 0
    assert "59 kept" in run(capsys, "describe", "memory://changed")[1]
    shard_set = open_shards("memory://changed", tmp_path / "node")
    labels = shard_set.labels("train")
    shard_set.decode("train", np.empty((len(labels), 256, 256, 3), np.uint8))
    assert not {"p3", "p4", "n60"} & set(labels.ids.tolist())


def test_owners_are_hashed_where_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PEORIA_OWNER_SALT", "a salt of sixteen bytes")
    table, root = new_pictures(tmp_path, {n: f"o{n}" for n in range(60, 70)}), tmp_path / "set"
    assert run(capsys, "pack", table.path, "--out", root, "--hash-owners", "--processes", 1)[0] == 0
    assert not any(owner.startswith("o") for owner in ShardSet(root).table["owner"].to_pylist())
    assert "1 picture removed" in unfolded(run(capsys, "remove", root, "--owner", "o61")[1])
    assert run(capsys, "remove", root, "--owner", "o99")[0] == 2
    monkeypatch.setenv("PEORIA_OWNER_SALT", "another salt of the same kind")
    assert "owners: a salt of check" in run(capsys, "remove", root, "--owner", "o62")[2]
