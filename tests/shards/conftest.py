"""Small tables of pictures, and a small packed set, made once; a test that changes it gets a copy of its own."""

import csv
import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shards.pack import staging
from tests.helpers.packed_set import jpeg, pack_pictures, photo


def write_table(folder: Path, num: int, owners: Sequence[str] = (), change: dict[int, dict[str, Any]] | None = None) -> Path:
    """``num`` pictures of their own under ``folder/images`` and their metadata.csv; ``change`` replaces cells, by row."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    records = []
    for i in range(num):
        (folder / f"images/{i:03d}.jpg").write_bytes(jpeg(photo(60 + i % 7, 50 + i % 5, seed=i)))
        record = {
            "id": f"{i:03d}",
            "path": f"images/{i:03d}.jpg",
            "views": int(random.integers(0, 1000)),
            "favorites": int(random.integers(0, 9)),
            "owner": owners[i] if owners else f"owner{i}",
            "uploaded_at": f"2014-03-{1 + i % 28:02d}T10:00:00Z",
            "licence": "CC BY 2.0",
            "title": f"Title {i}",
        }
        records.append(record | (change or {}).get(i, {}))
    with open(folder / "metadata.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    return folder / "metadata.csv"


@pytest.fixture
def make_table() -> Callable[..., Path]:
    return write_table


@pytest.fixture
def make_photo() -> Callable[..., np.ndarray]:
    return photo


@pytest.fixture
def make_jpeg() -> Callable[..., bytes]:
    return jpeg


@pytest.fixture(scope="session")
def packed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 pictures of 30 owners and one row without a picture, in shards of 10; never to be changed."""
    return pack_pictures(tmp_path_factory.mktemp("table"))


@pytest.fixture
def packed(packed_once: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(packed_once, tmp_path / "set"))


def digests_of(root: Path) -> dict[str, str]:
    """Every file and folder of a set, with the digest of its bytes."""
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "" for p in sorted(root.rglob("*"))}


@pytest.fixture
def mixed(tmp_path: Path, make_table: Callable[..., Path], make_photo: Callable[..., np.ndarray], make_jpeg: Callable[..., bytes]) -> Path:
    """40 rows, 7 of them no good; two near-duplicates of one picture; one owner of many."""
    change = {
        3: {"views": "-1"},
        4: {"id": "001"},
        5: {"path": "images/none.jpg"},
        6: {"path": "images"},
        7: {"path": "../secret.jpg"},
    }
    table = make_table(tmp_path / "in", 40, [f"owner{i}" if i < 28 else "prolific" for i in range(40)], change)
    (tmp_path / "in/images/008.jpg").write_bytes(b"<html>404")
    (tmp_path / "in/images/009.jpg").write_bytes((tmp_path / "in/images/009.jpg").read_bytes()[:900])
    twin = make_photo(400, 300, seed=77)
    for i in range(10, 20):
        (tmp_path / f"in/images/{i:03d}.jpg").write_bytes(make_jpeg(twin, quality=70 + i))
    return table


@pytest.fixture
def files() -> Callable[[Path], dict[str, str]]:
    return digests_of


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a small table has several."""
    monkeypatch.setattr(staging, "CHUNK_ROWS", 6)
