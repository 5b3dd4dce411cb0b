"""Whether a packed set is whole and as it was packed: every problem found, as a line that names the file."""

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shards.digests import pictures_sha256
from shards.errors import ShardsError
from shards.labels import read_labels
from shards.manifest import LABELS, LEDGER, MANIFEST, NEAR_DUPLICATES, SPLITS, Manifest, Shard
from shards.read.openings import OPENINGS, openings
from shards.read.shard_set import NUM_THREADS
from shards.read.tar_index import MappedShard, check_paths

_PACK_AGAIN = "the one that was packed"


def verify(root: Path) -> list[str]:
    """Reads every byte of the set in ``root``. Returns ``<file>: <found>; <accepted>``, one a problem; [] when the set is whole."""
    root = Path(root)
    try:
        manifest = Manifest.load(root)
        check_paths(root, manifest)
    except ShardsError as error:
        return list(error.problems)
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        read = list(pool.map(lambda shard: _read_shard(root, shard), manifest.shards))
    problems = [problem for found, _ in read for problem in found]
    problems += _changed_files(root, manifest)
    if not problems:  # what follows compares the files with one another, which says something only where each is whole
        pictures = {key: (shard.split, sha) for shard, (_, shas) in zip(manifest.shards, read, strict=True) for key, sha in shas.items()}
        problems += _disagreements(root, manifest, pictures)
    return problems + _strange_files(root, manifest) + _torn_openings(root)


def _read_shard(root: Path, shard: Shard) -> tuple[list[str], dict[str, str]]:
    """Its problems, and the sha256 of each picture by key."""
    try:
        with MappedShard(root, shard) as mapped:
            return [], {key: hashlib.sha256(mapped.member(key, "jpg")).hexdigest() for key in mapped.places}
    except ShardsError as error:
        return list(error.problems), {}


def _changed_files(root: Path, manifest: Manifest) -> list[str]:
    problems = []
    kept = NEAR_DUPLICATES in manifest.files_sha256 or (root / NEAR_DUPLICATES).exists()  # sets packed before it was kept have none
    for name in (LABELS, LEDGER, *([NEAR_DUPLICATES] if kept else [])):
        try:
            found = hashlib.sha256((root / name).read_bytes()).hexdigest()
        except OSError as error:
            problems.append(f"{root / name}: {error.strerror}; {_PACK_AGAIN}")
            continue
        packed = manifest.files_sha256.get(name)
        if packed is None:
            problems.append(f"{root / MANIFEST}: files_sha256: nothing for {name}; its sha256")
        elif found != packed:
            problems.append(f"{root / name}: sha256 {found[:16]}…; {packed[:16]}… was packed")
    return problems


def _disagreements(root: Path, manifest: Manifest, pictures: Mapping[str, tuple[str, str]]) -> list[str]:
    """``pictures`` is (split, sha256 of the JPEG) by key, from the shards."""
    import pyarrow.parquet as pq

    try:
        labels = read_labels(root, manifest)
    except ShardsError as error:
        return list(error.problems)
    problems = []
    rows = dict(zip(labels["key"].to_pylist(), labels["split"].to_pylist(), strict=True))
    if len(rows) < len(labels):
        problems.append(f"{root / LABELS}: {len(labels) - len(rows)} keys stand in more than one row; one row each")
    for file, lonely, other in ((LABELS, rows.keys() - pictures.keys(), "picture"), ("shards", pictures.keys() - rows.keys(), f"row in {LABELS}")):
        if lonely:
            problems.append(f"{root / file}: {len(lonely)} keys have no {other}, first {min(lonely)}; one each")
    moved = [key for key, (split, _) in pictures.items() if rows.get(key, split) != split]
    if moved:
        problems.append(f"{root / LABELS}: {len(moved)} pictures lie in the shards of another split, first {min(moved)}; one split each")
    keys = sorted(pictures)
    if pictures_sha256(keys, [pictures[key][1] for key in keys]) != manifest.pictures_sha256:
        problems.append(f"{root / MANIFEST}: pictures_sha256 does not fit the pictures of the shards; the digest that was packed")
    ledger = pq.read_table(root / LEDGER, columns=["status", "key"])
    num_kept = ledger["status"].to_pylist().count("kept")
    counts = (("num_kept", manifest.num_kept, num_kept), ("num_rejected", manifest.num_rejected, len(ledger) - num_kept))
    for name, said, found in (*counts, ("source.num_rows", manifest.source.num_rows, len(ledger))):
        if said != found:
            problems.append(f"{root / LEDGER}: {found} rows for {name}; {said}, as {MANIFEST} says")
    if {key for key in ledger["key"].to_pylist() if key is not None} != rows.keys():
        problems.append(f"{root / LEDGER}: the keys of the kept rows are not those of {LABELS}; the same")
    if (root / NEAR_DUPLICATES).exists():
        packed = {row["id"]: tuple(row.values()) for row in labels.select(["id", "split", "owner", "views"]).to_pylist()}
        pairs = pq.read_table(root / NEAR_DUPLICATES)
        for side in "ab":
            columns = [pairs[f"{name}_{side}"].to_pylist() for name in ("id", "split", "owner", "views")]
            wrong = [row[0] for row in zip(*columns, strict=True) if packed.get(row[0], row if row[1] is None else None) != row]
            if wrong:
                problems.append(f"{root / NEAR_DUPLICATES}: {len(wrong)} pictures are not as in {LABELS}, first id {wrong[0]!r}; the same")
    return problems


def _strange_files(root: Path, manifest: Manifest) -> list[str]:
    known = {root / shard.file for shard in manifest.shards}
    return [
        f"{entry}: not in {MANIFEST}; only shards in the folders of the splits"
        for split in SPLITS
        if (root / split).is_dir()
        for entry in sorted((root / split).iterdir())
        if entry not in known
    ]


def _torn_openings(root: Path) -> list[str]:
    path = root / OPENINGS
    lines = len(path.read_bytes().splitlines()) if path.exists() else 0
    readable = {opening.number for opening in openings(root)}
    return [f"{path}: line {number} cannot be read; one opening a line" for number in range(1, lines + 1) if number not in readable]
