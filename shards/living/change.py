"""One change of a packed set: what is new is written under names that nothing has yet, and the manifest, last and at once, makes it the set.

Killed at any moment it leaves the set as it was or as it is to be, whole, and at most files that belong to neither, which the next change removes.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shards.cache.decoded import copies
from shards.cache.files import remove as remove_cached
from shards.cache.files import room_lock
from shards.digests import labels_sha256
from shards.errors import DamagedShardError, ShardsError
from shards.files import locked, read_plain, remove_stale, told, write_atomic
from shards.inspection.verify import leftovers
from shards.labels import read_labels, read_packed
from shards.manifest import LABELS, LEDGER, MANIFEST, NEAR_DUPLICATES, SPLITS, Ancestor, Change, Manifest, Unknown
from shards.pack.ledger import GROUP_ROWS, LEDGER_SCHEMA
from shards.pack.staging import parquet_bytes
from shards.read.shard_set import ShardSet
from shards.read.tar_index import check_paths
from shards.sources.columns import FIELDS

if TYPE_CHECKING:
    import pyarrow as pa

LOCK = ".change.lock"
ADDING = ".adding"  # beside the shards: what of an addition is made ready
PAIR_COLUMNS = tuple(f"{name}_{side}" for name in ("id", "owner", "split", "views", "favorites", "uploaded_at") for side in "ab")
TEXTS_OF_LABELS = ("key", "id", "split", "owner", "views", "favorites", "comments", "uploaded_at", "observed_at", "taken_at", "tags")
_NULLABLE = ("favorites", "comments", "uploaded_at", "observed_at")
_SHARD = re.compile(r"[0-9]+(-[0-9]+)?\.tar")
_WRITABLE = "a folder that can be written to"


@dataclass(frozen=True)
class Tables:
    """The tables beside the shards; ``pairs`` is None in a set that was packed before near-duplicates were kept."""

    labels: "pa.Table"
    ledger: "pa.Table"
    pairs: "pa.Table | None"

    @classmethod
    def read(cls, root: Path, manifest: Manifest) -> "Tables":
        """Raises DamagedShardError where they are not those of the set."""
        labels = read_labels(root, manifest)
        ledger = read_packed(root, LEDGER, manifest, LEDGER_SCHEMA.names).cast(LEDGER_SCHEMA)
        pairs = read_packed(root, NEAR_DUPLICATES, manifest, (*PAIR_COLUMNS, "bits")) if manifest.keeps_pairs else None
        return cls(labels, ledger, pairs)


@contextmanager
def changing(root: Path) -> Iterator[Manifest]:
    """The manifest of the set in ``root``, which nobody else changes meanwhile; what an interrupted change left is removed.

    Raises:
        ShardsError: no packed set, or somebody else is changing it.
        FileError: it cannot be written to.
    """
    Manifest.load(root)  # before a lock is made in a folder that is no set
    with told(root, _WRITABLE):
        try:
            with locked(root / LOCK, wait=False):
                manifest = Manifest.load(root)
                _refuse_incomplete(root, manifest)
                tidy(root, manifest)
                yield manifest
        except BlockingIOError:
            raise ShardsError(f"{root}: another process is changing the set; one at a time", hint="wait until it ends") from None


def _refuse_incomplete(root: Path, manifest: Manifest) -> None:
    """Raises DamagedShardError where a file that the manifest names is not there: what is there instead is then no leftover to be removed; and
    ShardsError where a folder is a link."""
    check_paths(root, manifest)
    links = [root / name for name in (ADDING, *SPLITS) if (root / name).is_symlink()]
    if links:  # what is written there would land elsewhere
        raise ShardsError(*[f"{link}: a link; a folder" for link in links], hint="copy the set, links followed, and change the copy")
    names = [shard.file for shard in manifest.shards] + [manifest.file_of(name) for name in (LABELS, LEDGER)]
    missing = [f"{root / name}: no such file; the one that {MANIFEST} names" for name in names if not os.path.lexists(root / name)]
    if missing:
        raise DamagedShardError(*missing, hint=f"nothing was changed; peoria verify {root} says what is wrong")


def commit(root: Path, before: Manifest, tables: Tables, change: Change | None, caches: Sequence[Path] = (), **fields: Any) -> Manifest:
    """The set after a change: its tables, then its manifest, with ``fields`` of its own; then what belongs to the set before is removed.

    Args:
        change: that made another identity, which the set's openings are held to by its lineage; None where the identity stays.
        caches: folders that decoded copies of the set as it was are removed from, but for those in use.
    """
    old = ShardSet(root)
    generation = before.generation + 1
    update: dict[str, Any] = {
        "generation": generation, "labels_sha256": labels_sha256(tables.labels), "unknown": unknown_in(tables, before),
        "num_kept": len(tables.labels), "num_rejected": len(tables.ledger) - len(tables.labels), **fields,
    }  # fmt: skip
    after = Manifest(**(dict(before) | update))
    named = {LABELS: tables.labels, LEDGER: tables.ledger} | ({} if tables.pairs is None else {NEAR_DUPLICATES: tables.pairs})
    files = {after.file_of(name): parquet_bytes(_groups(table)) for name, table in named.items()}
    lineage = tuple(ancestor for ancestor in before.lineage if ancestor.identity not in (before.identity, after.identity))
    if after.identity != before.identity:
        assert change is not None
        num_vaults = old.vaults.num
        lineage = (*lineage, Ancestor(identity=before.identity, num_vaults=num_vaults, change=change))
    digests = {name: hashlib.sha256(found).hexdigest() for name, found in files.items()}
    after = Manifest(**(dict(after) | {"files_sha256": digests, "lineage": lineage}))
    for name, found in files.items():
        write_atomic(root / name, found)
    own = {} if before.shards == after.shards else {folder: copies(old, folder) for folder in caches}
    _clear(own)  # before the set is another, so that who is killed between finds them by their names again
    after = after.write(root)
    tidy(root, after)
    _clear(own)
    return after


def _groups(table: "pa.Table") -> "Iterator[pa.Table]":
    return (table.slice(start, GROUP_ROWS) for start in range(0, max(1, len(table)), GROUP_ROWS))


def _clear(own: dict[Path, set[Path]]) -> None:
    for folder, paths in own.items():
        if folder.is_dir():
            with told(folder, "a folder whose files can be removed"), room_lock(folder):
                for path in sorted(paths):
                    remove_cached(path)


def state_of(manifest: Manifest) -> dict[str, Any]:
    """What an unfinished addition is to: another change ends it, so that it leaves nothing of its pictures."""
    return {"identity": manifest.identity, "generation": manifest.generation}


def tidy(root: Path, manifest: Manifest) -> list[Path]:
    """Removes files that belong to an earlier or an unfinished state of the set, and says which."""
    gone = remove_stale(root)
    plan = root / ADDING / "plan.json"
    if plan.parent.is_dir() and not plan.parent.is_symlink():
        try:
            to = json.loads(read_plain(plan)).get("to")
        except (OSError, ValueError, AttributeError, RecursionError):  # none yet, or torn: nothing was made ready
            to = None
        if to != state_of(manifest):
            with told(plan.parent, "a folder that can be removed"):
                shutil.rmtree(plan.parent)
            gone.append(plan.parent)
    known = {shard.file for shard in manifest.shards}
    strange = [
        path
        for split in SPLITS
        if (root / split).is_dir() and not (root / split).is_symlink()
        for path in sorted((root / split).iterdir())
        if _SHARD.fullmatch(path.name) and f"{split}/{path.name}" not in known
    ]
    for path in (*leftovers(root, manifest), *strange):
        with told(path, "a file that can be removed"), suppress(FileNotFoundError):
            path.unlink()
            gone.append(path)
    return gone


def chosen(table: "pa.Table", rows: Iterable[bool]) -> "pa.Table":
    import pyarrow as pa

    return table.filter(pa.array(list(rows), pa.bool_()))


def in_order(columns: "dict[str, pa.ChunkedArray]", kept: Sequence[str]) -> "pa.Table":
    """Columns of labels.parquet in the order that a pack gives them."""
    import pyarrow as pa

    return pa.table({name: columns[name] for name in (*TEXTS_OF_LABELS, *kept) if name in columns})


def parted(detail: str | None, names: Sequence[str]) -> list[tuple[str, str]]:
    """The detail of a kept row as (name, ``name: <found>; <accepted>``) of each optional value that could not be read."""
    if not detail:
        return []
    one_of = "|".join(map(re.escape, names))
    parts = re.split(rf"; (?=(?:{one_of}): )", detail)
    return [(part.partition(": ")[0], part) for part in parts]


def unread_names(manifest: Manifest) -> tuple[str, ...]:
    return (*FIELDS, *manifest.source.kept_columns)


def unknown_in(tables: Tables, manifest: Manifest) -> dict[str, Unknown]:
    """As `shards.pack.ledger.Outcome.unknown`, of the tables of a set that is there."""
    unread: dict[str, list[str]] = {}
    kept = chosen(tables.ledger, (status == "kept" for status in tables.ledger["status"].to_pylist()))
    for row, detail in zip(kept["row"].to_pylist(), kept["detail"].to_pylist(), strict=True):
        for name, part in parted(detail, unread_names(manifest)):
            unread.setdefault(name, []).append(f"row {row}: {part}")
    found = {}
    for name in unread_names(manifest):
        bad = unread.get(name, [])
        num = tables.labels[name].null_count if name in _NULLABLE and name in tables.labels.column_names else len(bad)
        if num:
            example = bad[0] if bad else ""
            found[name] = Unknown(num=num, num_unreadable=len(bad), example=example if len(example) <= 200 else f"{example[:197]}...")
    return found
