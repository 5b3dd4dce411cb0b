"""A packed set that is changed: its tables for that, and what it gives its readers."""

import csv
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from shards.digests import labels_sha256
from shards.inspection.verify import verify
from shards.manifest import SPLITS, Manifest
from shards.read.openings import open_test
from shards.read.shard_set import ShardSet
from shards.sources.tables import TableFile
from tests.helpers.packed_set import jpeg, photo


def counts(folder: Path, rows: Iterable[Mapping[str, Any]], name: str = "counts.csv") -> TableFile:
    """A table of ids and counts, or of anything else."""
    rows = list(rows)
    with open(folder / name, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return TableFile(folder / name)


def new_counts(root: Path, more: int = 5) -> list[dict[str, Any]]:
    """For each picture of the set: its views and ``more``, and a favourite."""
    return [{"id": row["id"], "views": row["views"] + more, "favorites": 1, "comments": 0} for row in ShardSet(root).table.to_pylist()]


def new_pictures(folder: Path, owners: Mapping[int, str], same_as: Mapping[int, int] | None = None, name: str = "new.csv") -> TableFile:
    """Pictures ``n60``, ``n61``, … by number, as `tests.helpers.packed_set.pack_pictures` makes its own; some are copies of other numbers."""
    rows = []
    for number, owner in owners.items():
        (folder / f"{number}.jpg").write_bytes(jpeg(photo(300, 280, seed=(same_as or {}).get(number, number))))
        known = {"views": number, "favorites": 1, "comments": 0, "owner": owner, "uploaded_at": "2014-02-03", "tags": "c", "mood": "new"}
        rows.append({"id": f"n{number}", "path": f"{number}.jpg"} | known)
    return counts(folder, rows, name)


def state(root: Path) -> tuple[str, str, tuple[str, ...]]:
    """All that readers get of a set that is whole: its identity, the digest of its labels, the keys of its pictures. Raises what they raise."""
    shard_set = ShardSet(root)
    keys = sorted(key for shard in shard_set.manifest.shards for key in _keys(shard_set, shard))
    assert keys == sorted(shard_set.table["key"].to_pylist())
    assert [problem for problem in verify(root) if "not in manifest.json" not in problem] == []
    return shard_set.manifest.identity, labels_sha256(shard_set.table), tuple(keys)


def _keys(shard_set: ShardSet, shard: Any) -> list[str]:
    mapped = shard_set.mapped(shard)
    try:
        return list(mapped.places)
    finally:
        mapped.close()


def pixels(root: Path) -> dict[str, np.ndarray]:
    """Every picture by its id, decoded."""
    shard_set, found = ShardSet(root), {}
    for split in SPLITS:
        opening = open_test(root, sweep="s", purpose="p") if split == "test" else None
        labels = shard_set.labels(split, opening)
        out = np.empty((len(labels), shard_set.side_px, shard_set.side_px, 3), np.uint8)
        shard_set.decode(split, out, opening)
        found |= dict(zip(labels.ids.tolist(), out, strict=True))
    return found


def everywhere(root: Path, word: str) -> list[str]:
    """Files of the set that hold a text, tables unpacked; those of the readers' own are left out."""
    import pyarrow.parquet as pq

    found = []
    for path in sorted(root.rglob("*")):
        if path.suffix == ".parquet":
            text = json.dumps(pq.read_table(path).to_pylist(), default=str)
        elif path.suffix == ".tar":
            with tarfile.open(path) as tar:
                text = "".join(tar.extractfile(member).read().decode("latin-1") for member in tar)  # type: ignore[union-attr]
        elif path.is_file():
            text = path.read_bytes().decode("latin-1")
        else:
            continue
        found += [path.relative_to(root).as_posix()] * (word in text)
    return found


def manifest(root: Path) -> Manifest:
    return Manifest.load(root)
