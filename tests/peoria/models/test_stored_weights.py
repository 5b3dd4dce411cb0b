"""Weights that a submission has left in a store: once there, once on a node, and never other bytes."""

import json
import os
from pathlib import Path

import pytest

from peoria.errors import WeightsError
from peoria.models import build
from peoria.models.stored_weights import FOLDER, VARIABLE, bring, leave, told_to_nodes
from shards.errors import FileError, StoreError
from shards.store import Folder, open_store

NAME = "data/weights/tiny ü.safetensors"


@pytest.fixture
def store(tmp_path: Path) -> Folder:
    found = open_store(tmp_path / "store")
    assert isinstance(found, Folder)
    return found


@pytest.fixture
def job(weights: Path, store: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's folder of a job whose weights were left in the store; the object there."""
    submitted, node = tmp_path / "laptop" / NAME, tmp_path / "node"
    submitted.parent.mkdir(parents=True)
    submitted.symlink_to(weights)
    monkeypatch.chdir(tmp_path / "laptop")
    said, name = told_to_nodes(NAME, store, None)
    assert [leave(Path(NAME), store, name) for _ in range(2)] == [True, False]
    node.mkdir()
    monkeypatch.chdir(node)
    monkeypatch.setenv("PEORIA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(VARIABLE, said)
    return store.root / name


def same() -> bool:
    return build("tiny", num_outputs=2, weights=NAME, seed=0)[1] is not None


def test_they_come_to_where_the_sweep_names_them(job: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, loaded = build("tiny", num_outputs=2, weights=NAME, seed=0)
    assert loaded is not None
    assert loaded.source == NAME
    assert Path(NAME).read_bytes() == weights.read_bytes()
    job.unlink()  # it is on the node now, for another job too
    Path(NAME).unlink()
    assert same()
    assert [path.name for path in (tmp_path / "cache" / FOLDER).iterdir() if not path.name.startswith(".")] == [job.name]

    Path(NAME).unlink()  # control: of another file nothing was said
    for given in (json.dumps(json.loads(os.environ[VARIABLE]) | {"path": "other"}), ""):
        monkeypatch.setenv(VARIABLE, given)
        with pytest.raises(WeightsError, match="no file"):
            build("tiny", num_outputs=2, weights=NAME, seed=0)


def test_a_flipped_byte_in_the_store_or_on_the_node(job: Path, tmp_path: Path) -> None:
    whole = job.read_bytes()
    flipped = whole[:-1] + bytes([whole[-1] ^ 1])
    job.write_bytes(flipped)
    with pytest.raises(StoreError, match=f"{job}: sha256 ") as caught:
        bring(NAME)
    assert "submit the sweep again" in caught.value.hint
    assert not os.path.lexists(NAME)
    assert not [path for path in (tmp_path / "cache" / FOLDER).iterdir() if not path.name.endswith(".lock")]
    job.write_bytes(whole)
    bring(NAME)
    Path(NAME).resolve().write_bytes(flipped)
    Path(NAME).unlink()
    bring(NAME)  # looked at before it is used by another job
    assert Path(NAME).read_bytes() == whole


def test_what_is_not_there_and_where_nothing_can_be_written(job: Path, tmp_path: Path) -> None:
    whole = job.read_bytes()
    job.unlink()
    with pytest.raises(StoreError, match="no such object; the weights of the sweep"):
        bring(NAME)
    job.write_bytes(whole)
    (tmp_path / "cache" / FOLDER).rename(tmp_path / "away")
    (tmp_path / "cache" / FOLDER).touch()
    with pytest.raises(FileError, match="a folder that can be written to"):
        bring(NAME)


def test_a_link_to_what_was_removed_from_the_cache(job: Path) -> None:
    bring(NAME)
    Path(NAME).resolve().unlink()
    assert not os.path.exists(NAME)
    assert same()
