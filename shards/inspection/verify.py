"""Whether a packed set is whole and as it was packed: every problem found, as a line that names the file."""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shards.digests import pictures_sha256
from shards.errors import ShardsError
from shards.files import read_plain
from shards.labels import OPTIONAL_COUNTS, TIMES, read_labels, read_packed
from shards.manifest import LABELS, LEDGER, MANIFEST, NEAR_DUPLICATES, SPLITS, Manifest, Shard
from shards.read.openings import OPENINGS, torn_lines
from shards.read.shard_set import NUM_THREADS
from shards.read.tar_index import MappedShard, check_paths, shard_path
from shards.words import counted

_PAIRS = [f"{name}_{side}" for side in "ab" for name in ("id", "split", "owner", "views")]
_NULLABLE = (*OPTIONAL_COUNTS, *TIMES)
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


def unproven(root: Path) -> list[str]:
    """What the set in ``root``, whole or not, holds no digest of: a line each."""
    manifest = Manifest.load(Path(root))
    none = manifest.manifest_sha256 is None
    return [
        f"{root / MANIFEST}: no manifest_sha256, for it was packed before there was one; packed anew it has one, with the same identity"
    ] * none + [f"{path}: left by a change of the set; peoria compact {root} removes it" for path in leftovers(root, manifest)]


def leftovers(root: Path, manifest: Manifest) -> list[Path]:
    """Tables of an earlier or an unfinished state of the set, which no reader takes for its own: a change that was interrupted left them."""
    stems = "|".join(re.escape(name.removesuffix(".parquet")) for name in (LABELS, LEDGER, NEAR_DUPLICATES))
    known = {manifest.file_of(name) for name in (LABELS, LEDGER, NEAR_DUPLICATES)}
    found = re.compile(rf"({stems})(-[0-9]{{5,}})?\.parquet")
    return [Path(root, name) for name in sorted(os.listdir(root)) if found.fullmatch(name) and name not in known]


def _read_shard(root: Path, shard: Shard) -> tuple[list[str], dict[str, str]]:
    """Its problems, and the sha256 of each picture by key."""
    try:
        with MappedShard(root, shard) as mapped:
            problems = [
                f"{shard_path(root, shard)}: {key}.json: no JSON object; what is known of the picture"
                for key in mapped.places
                if not _is_object(bytes(mapped.member(key, "json")))
            ]
            return problems, {key: hashlib.sha256(mapped.member(key, "jpg")).hexdigest() for key in mapped.places}
    except ShardsError as error:
        return list(error.problems), {}


def _is_object(data: bytes) -> bool:
    try:
        return isinstance(json.loads(data.decode()), dict)
    except (ValueError, RecursionError):
        return False


def _changed_files(root: Path, manifest: Manifest) -> list[str]:
    problems = []
    kept = manifest.keeps_pairs or os.path.lexists(root / manifest.file_of(NEAR_DUPLICATES))  # sets packed before it was kept have none
    for name in map(manifest.file_of, (LABELS, LEDGER, *([NEAR_DUPLICATES] if kept else []))):
        try:
            found = hashlib.sha256(read_plain(root / name)).hexdigest()
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
    try:
        labels, ledger = read_labels(root, manifest), read_packed(root, LEDGER, manifest, ["status", "key"])
        kept = os.path.lexists(root / manifest.file_of(NEAR_DUPLICATES))
        pairs = read_packed(root, NEAR_DUPLICATES, manifest, _PAIRS) if kept else None
    except ShardsError as error:
        return list(error.problems)
    problems = []
    labels_file, ledger_file, pairs_file = (manifest.file_of(name) for name in (LABELS, LEDGER, NEAR_DUPLICATES))
    rows = dict(zip(labels["key"].to_pylist(), labels["split"].to_pylist(), strict=True))
    if len(rows) < len(labels):
        problems.append(f"{root / labels_file}: {len(labels) - len(rows)} keys stand in more than one row; one row each")
    for file, lonely, other in (
        (labels_file, rows.keys() - pictures.keys(), "picture"),
        ("shards", pictures.keys() - rows.keys(), f"row in {labels_file}"),
    ):
        if lonely:
            problems.append(f"{root / file}: {len(lonely)} keys have no {other}, first {min(lonely)}; one each")
    moved = [key for key, (split, _) in pictures.items() if rows.get(key, split) != split]
    if moved:
        lie = f"{counted(len(moved), 'picture')} {'lies' if len(moved) == 1 else 'lie'}"
        problems.append(f"{root / labels_file}: {lie} in the shards of another split, first {min(moved)}; one split each")
    keys = sorted(pictures)
    if pictures_sha256(keys, [pictures[key][1] for key in keys]) != manifest.pictures_sha256:
        problems.append(f"{root / MANIFEST}: pictures_sha256 does not fit the pictures of the shards; the digest that was packed")
    num_kept = ledger["status"].to_pylist().count("kept")
    counts = (("num_kept", manifest.num_kept, num_kept), ("num_rejected", manifest.num_rejected, len(ledger) - num_kept))
    for name, said, found in (*counts, ("source.num_rows" if not manifest.added else "all tables", manifest.num_rows, len(ledger))):
        if said != found:
            problems.append(f"{root / ledger_file}: {found} rows for {name}; {said}, as {MANIFEST} says")
    if {key for key in ledger["key"].to_pylist() if key is not None} != rows.keys():
        problems.append(f"{root / ledger_file}: the keys of the kept rows are not those of {labels_file}; the same")
    for column in _NULLABLE:
        without = labels[column].null_count if column in labels.column_names else 0
        told = manifest.unknown[column].num if column in manifest.unknown else 0
        if without != told and (told or column in OPTIONAL_COUNTS):  # sets packed before do not count unknown times
            problems.append(f"{root / labels_file}: {without} rows without {column}; {told}, as {MANIFEST} says")
    if pairs is not None:
        packed = {row["id"]: tuple(row.values()) for row in labels.select(["id", "split", "owner", "views"]).to_pylist()}
        for side in "ab":
            columns = [pairs[f"{name}_{side}"].to_pylist() for name in ("id", "split", "owner", "views")]
            wrong = [row[0] for row in zip(*columns, strict=True) if packed.get(row[0], row if row[1] is None else None) != row]
            if wrong:
                are = f"{counted(len(wrong), 'picture')} {'is' if len(wrong) == 1 else 'are'}"
                problems.append(f"{root / pairs_file}: {are} not as in {labels_file}, first id {wrong[0]!r}; the same")
    return problems


def _strange_files(root: Path, manifest: Manifest) -> list[str]:
    known = {root / shard.file for shard in manifest.shards}
    problems = []
    for split in SPLITS:
        try:
            entries = sorted((root / split).iterdir())
        except FileNotFoundError:  # without pictures
            continue
        except OSError as error:
            problems.append(f"{root / split}: {error.strerror}; a folder of shards")
            continue
        problems += [f"{entry}: not in {MANIFEST}; only shards in the folders of the splits" for entry in entries if entry not in known]
    return problems


def _torn_openings(root: Path) -> list[str]:
    try:
        return [f"{root / OPENINGS}: line {number} cannot be read; one opening a line" for number in torn_lines(root)]
    except ShardsError as error:
        return list(error.problems)
