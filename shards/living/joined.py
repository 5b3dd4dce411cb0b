"""What a set holds, and what is added to it, as one: labels, and pairs of near-duplicates."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shards.errors import DamagedShardError
from shards.images.near_duplicates import MIN_QUALITY, near_identical_pairs
from shards.living.change import Tables, in_order
from shards.manifest import SPLITS, Manifest, SplitRule
from shards.pack.ledger import Outcome
from shards.read.tar_index import MappedShard

if TYPE_CHECKING:
    import pyarrow as pa

    from shards.pack.rowfile import RowFile

_TEXTS = ("taken_at", "tags")  # empty where unknown, not null


@dataclass(frozen=True)
class There:
    """The M pictures that the set has, in the order of their keys."""

    keys: list[str]
    shas: list[str]  # of the JPEGs
    ids: np.ndarray  # str [M], object
    owners: np.ndarray  # str [M], object
    splits: np.ndarray  # str [M]
    hashes: np.ndarray  # uint8 [M, 32]
    quality: np.ndarray  # int [M]; one that was not kept is taken for good enough to match

    @classmethod
    def read(cls, root: Path, manifest: Manifest, tables: Tables) -> "There":
        """Raises DamagedShardError."""
        found: dict[str, tuple[str, bytes, int]] = {}
        for shard in manifest.shards:
            with MappedShard(root, shard) as mapped:
                for key in mapped.places:
                    sha = hashlib.sha256(mapped.member(key, "jpg")).hexdigest()
                    try:
                        known = json.loads(bytes(mapped.member(key, "json")))
                        pdq, quality = bytes.fromhex(known["pdq"]), int(known.get("quality", MIN_QUALITY))
                    except (ValueError, TypeError, KeyError, RecursionError):
                        text = f"{root / shard.file}: {key}.json: no perceptual hash; the one that was packed"
                        raise DamagedShardError(text, hint="pack again") from None
                    found[key] = sha, pdq, quality
        rows = tables.labels.sort_by("key")
        keys: list[str] = rows["key"].to_pylist()
        if set(keys) != set(found):
            raise DamagedShardError(f"{root}: the pictures of the shards are not those of the labels; the same", hint=f"peoria verify {root}")
        ids, owners = (np.array(rows[name].to_pylist(), object) for name in ("id", "owner"))
        hashes = np.frombuffer(b"".join(found[key][1] for key in keys), np.uint8).reshape(-1, 32)
        of_split = np.array(rows["split"].to_pylist(), "U5")
        return cls(keys, [found[key][0] for key in keys], ids, owners, of_split, hashes, np.array([found[key][2] for key in keys]))


def joined_labels(labels: "pa.Table", outcome: Outcome, kept_columns: Sequence[str]) -> "pa.Table":
    """Old rows and new ones, with the columns of both: unknown where one of them has not the column."""
    import pyarrow as pa

    new = pa.concat_tables(outcome.labels())
    columns = {}
    for name in dict.fromkeys((*labels.column_names, *new.column_names)):
        kinds = [part.schema.field(name).type for part in (labels, new) if name in part.column_names]
        parts = [(part[name].to_pylist() if name in part.column_names else ["" if name in _TEXTS else None] * len(part)) for part in (labels, new)]
        known = [kind for kind, values in zip(kinds, parts, strict=False) if any(value is not None for value in values)] or kinds
        alike = all(kind.equals(known[0]) for kind in known)
        values = [*parts[0], *parts[1]]
        if name in ("uploaded_at", "observed_at"):
            columns[name] = pa.chunked_array([pa.array(values, pa.timestamp("s", tz="UTC"))])
        elif alike:
            columns[name] = pa.chunked_array([pa.array(values, known[0])])
        else:  # a column kept on request that holds numbers here and texts there
            columns[name] = pa.chunked_array([pa.array([None if value is None else str(value) for value in values], pa.string())])
    return in_order(columns, kept_columns)


def joined_pairs(tables: Tables, staged: "RowFile", good: np.ndarray, there: There, outcome: Outcome, rule: SplitRule) -> "pa.Table":
    """Those that are on record, and pairs with a new picture on at least one side; an old picture stays with the copy that it has."""
    import pyarrow as pa

    assert tables.pairs is not None
    kept = set(outcome.kept.tolist())
    old_lines = tables.pairs.to_pylist()
    again = set(staged.texts("id", good).tolist())  # left out before, and tried again
    old_lines = [line for line in old_lines if line["id_a"] not in again and line["id_b"] not in again]
    paired: tuple[set[str], set[str]] = (set(), set())  # by whether the owners are the same
    for line in old_lines:
        paired[line["owner_a"] == line["owner_b"]].update((line["id_a"], line["id_b"]))
    num_old = len(there.ids)
    hashes = np.concatenate([there.hashes, staged.hashes("pdq", good, 32)])
    quality = np.concatenate([there.quality, staged.numbers("quality", good)])
    owners = np.concatenate([there.owners, staged.texts("owner", good)])
    of = {row["key"]: row for row in tables.labels.to_pylist()}
    new_rows = staged.take(good, ["id", "owner", "views", "favorites", "uploaded_at"]).to_pylist()
    splits_of = [SPLITS[outcome.split[row]] if row in kept else None for row in good.tolist()]

    def side(at: int) -> dict[str, Any]:
        if at < num_old:
            return {name: of[there.keys[at]].get(name) for name in ("id", "owner", "split", "views", "favorites", "uploaded_at")}
        return new_rows[at - num_old] | {"split": splits_of[at - num_old]}

    lines = []
    for i, j, bits in zip(*(found.tolist() for found in near_identical_pairs(hashes, quality, owners, rule.near_duplicate_bits)), strict=True):
        a, b = side(i), side(j)
        taken = paired[a["owner"] == b["owner"]]
        if j >= num_old and a["id"] not in taken and b["id"] not in taken:
            lines.append({f"{name}_a": value for name, value in a.items()} | {f"{name}_b": value for name, value in b.items()} | {"bits": bits})
    return pa.Table.from_pylist([*old_lines, *lines], tables.pairs.schema)
