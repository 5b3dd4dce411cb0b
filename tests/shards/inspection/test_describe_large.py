"""A large set is described a group of rows at a time."""

import hashlib
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from shards import labels
from shards.digests import labels_sha256
from shards.errors import DamagedShardError
from shards.inspection.describe import describe
from shards.labels import each_group, read_labels
from shards.manifest import LABELS, LEDGER, SPLITS, Manifest, PictureRule, Source, SplitRule
from shards.pack.kept import Kept, Reading
from shards.pack.staging import parquet_bytes
from shards.read.shard_set import ShardSet
from tests.helpers.studies import sampled

NUM = sampled(200_000, 20_000)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of a set of many pictures of many owners, without the pictures."""
    root, random = tmp_path_factory.mktemp("large"), np.random.default_rng(0)
    owner = random.integers(0, NUM // 5, NUM)
    columns = {
        "key": [f"{i:09d}" for i in range(NUM)],
        "id": [f"picture {i}" for i in range(NUM)],
        "split": [SPLITS[min(2, k % 10 // 4)] for k in owner.tolist()],
        "owner": [f"the owner whose number is {k}" for k in owner.tolist()],
        "views": np.exp(random.normal(5, 2, NUM)).astype(np.int64),
        "favorites": pa.array(random.integers(0, 9, NUM), mask=random.random(NUM) < 0.2),
        "uploaded_at": pa.array(random.integers(10**9, 2 * 10**9, NUM), pa.timestamp("s", tz="UTC")),
    }
    table = pa.table(columns)
    ledger = pa.table({"reason": pa.array([None] * NUM + ["bad_count"] * 7, pa.string()), "detail": [None] * NUM + ["views: many"] * 7})
    files = {LABELS: parquet_bytes(table), LEDGER: parquet_bytes(ledger)}
    for name, data in files.items():
        (root / name).write_bytes(data)
    Manifest(
        source=Source(table="t.csv", sha256="0" * 64, num_rows=NUM + 7, columns={"id": "id", "path": "path", "views": "views"}),
        picture_rule=PictureRule(),
        split_rule=SplitRule(),
        shards=(),
        num_kept=NUM,
        num_rejected=7,
        pictures_sha256="0" * 64,
        labels_sha256=labels_sha256(table),
        files_sha256={name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    ).write(root)
    return root


def test_what_is_found_is_what_all_rows_at_once_say(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "GROUP_ROWS", 7777)
    groups: list[int] = []
    reading, manifest = Reading(), Manifest.load(large)

    def take(group: pa.Table) -> None:
        groups.append(len(group))
        reading.add(group)

    each_group(large, LABELS, manifest, take)
    assert (sum(groups), max(groups)) == (NUM, 7777)
    kept, whole = reading.kept(), read_labels(large, manifest)
    at_once = Kept.of([whole])
    assert kept.unknown == at_once.unknown == {"favorites": whole["favorites"].null_count}
    found = describe(large)
    assert found["parts"]["total"]["num_owners"] == len(whole["owner"].unique())
    assert sum(found["parts"][split]["num_pictures"] for split in SPLITS) == NUM
    assert found["parts"]["total"]["counts"]["views"]["mean"] == pytest.approx(np.mean(whole["views"].to_numpy()))
    assert (found["rejected"], found["unreadable_counts"]) == ({"bad_count": 7}, {"views": 7})
    assert found["uploaded_at"] == [f"{time:%Y-%m-%d}" for time in (min(whole["uploaded_at"].to_pylist()), max(whole["uploaded_at"].to_pylist()))]


def test_it_takes_less_memory_than_rows_would(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of Python and numpy, some numbers a picture and what a group takes; all rows at once, as a control, are more."""
    monkeypatch.setattr(labels, "GROUP_ROWS", 1000)
    shard_set = ShardSet(large)
    table = ShardSet(large).table.select(["owner", "views", "split"])

    def peak(run: Callable[[], object]) -> int:
        tracemalloc.start()
        run()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    taken, control = peak(lambda: describe(shard_set)), peak(table.to_pylist)
    print(f"{NUM:,} pictures: {taken / NUM:.0f} bytes each at the peak; as rows {control / NUM:.0f}")
    assert taken < 200 * NUM + 1000 * 3000
    assert "table" not in vars(shard_set)  # all rows in Arrow's memory, which is not traced
    assert control > 300 * NUM


def test_damage_is_found_while_it_is_read(large: Path, tmp_path: Path) -> None:
    manifest = Manifest.load(large)
    data = bytearray((large / LABELS).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / LABELS).write_bytes(data)
    with pytest.raises(DamagedShardError, match=r"labels\.parquet: sha256 [0-9a-f]{16}…; [0-9a-f]{16}… was packed"):
        each_group(tmp_path, LABELS, manifest, lambda group: None)
    before = manifest.model_copy(update={"files_sha256": {}})  # sets packed before files had a digest: the rows have one
    other = read_labels(large, manifest).slice(0, 500)
    (tmp_path / LABELS).write_bytes(parquet_bytes(other))
    with pytest.raises(DamagedShardError, match=r"labels\.parquet: rows of sha256"):
        each_group(tmp_path, LABELS, before, lambda group: None)
    for bad, said in ((b"PAR1", "labels.parquet: .*; the table that was packed"), (b"", "labels.parquet: .*; the table that was packed")):
        (tmp_path / LABELS).write_bytes(bad)
        with pytest.raises(DamagedShardError, match=said):
            each_group(tmp_path, LABELS, before, lambda group: None)
    (tmp_path / LABELS).write_bytes(parquet_bytes(other.drop_columns(["views"])))
    with pytest.raises(DamagedShardError, match="no column 'views'"):
        each_group(tmp_path, LABELS, before, lambda group: None)
    with pytest.raises(DamagedShardError, match="no column 'views'"):
        each_group(tmp_path, LABELS, before, lambda group: None, ["views"])
    (tmp_path / LABELS).unlink()
    with pytest.raises(DamagedShardError, match="No such file"):
        each_group(tmp_path, LABELS, before, lambda group: None)
