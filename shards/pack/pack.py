"""Packs a table of pictures into shards: rows → pictures made ready → splits → tars, labels, ledger, and the manifest last.

Killed at any moment and started again it ends with the same bytes. Nothing it writes holds a time or a place.
"""

import hashlib
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shards.cpus import usable_cpus
from shards.digests import labels_sha256, pictures_sha256
from shards.errors import ShardsError
from shards.files import write_atomic
from shards.images.near_duplicates import near_identical_pairs
from shards.manifest import LABELS, LEDGER, MANIFEST, NEAR_DUPLICATES, SPLITS, Manifest, PictureRule, Shard, Source, SplitRule
from shards.pack import splits, staging
from shards.pack.layout import MAX_SHARD_SIZE, PlannedShard, lay_out
from shards.pack.ledger import labels_table, ledger_table, near_duplicates_table
from shards.pack.staging import STAGING, Progress, parquet_bytes
from shards.sources.rows import PictureRow, Rejection, Table, read_table


@dataclass(frozen=True)
class PackResult:
    root: Path
    manifest: Manifest
    rejected: dict[str, int]  # by reason, most frequent first
    kept: dict[str, int]  # by split, all three
    shares: dict[str, float]  # realised share of the kept pictures, by split
    largest_owner: str  # "" where every owner is unknown
    largest_owner_shares: dict[str, float]  # the largest owner's share of each split, whoever that is there
    num_unknown_owners: int  # kept pictures without an owner; all of them: split by picture, leakage by owner not controlled
    unmapped_columns: tuple[str, ...]  # columns of the table that were dropped
    already_packed: bool  # nothing was done, the set was there

    @property
    def owners_unknown(self) -> bool:
        return self.num_unknown_owners == self.manifest.num_kept

    def text(self) -> str:
        """What became of the table, for people."""
        kept, rejected = self.manifest.num_kept, self.manifest.num_rejected
        lines = [f"{self.root}: {kept:,} kept + {rejected:,} rejected = {kept + rejected:,} rows{' (packed before)' if self.already_packed else ''}"]
        lines += [f"  rejected  {count:,} {reason}" for reason, count in self.rejected.items()]
        for split, count in self.kept.items():
            share = "" if self.owners_unknown or not count else f"; the largest owner has {self.largest_owner_shares[split]:.1%} of it"
            lines.append(f"  {split:<9} {count:,} pictures, {self.shares[split]:.1%}{share}")
        if self.owners_unknown:
            lines.append("  owners unknown: split by picture; intervals are per picture, leakage by owner is not controlled")
        if self.unmapped_columns:
            lines.append(f"  dropped   columns {', '.join(self.unmapped_columns)} (--keep NAME keeps one, --column FIELD=NAME maps one)")
        lines.append(f"  identity  {self.manifest.identity}")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Plan:
    source: Source
    picture_rule: PictureRule
    split_rule: SplitRule
    shard_size: int
    pictures: str | None  # as given; what an unfinished pack is held to, and the manifest does not hold

    def lasting(self) -> dict[str, Any]:
        """What the manifest of a finished set can be held against."""
        rules = {"picture_rule": self.picture_rule.model_dump(), "split_rule": self.split_rule.model_dump()}
        return {"source": self.source.model_dump(mode="json"), "shard_size": self.shard_size, **rules}


def pack(
    table_path: Path,
    out: Path,
    *,
    columns: Mapping[str, str] | None = None,
    keep: Sequence[str] = (),
    pictures: Path | None = None,
    processes: int | None = None,
    shard_size: int = 1000,
    split_rule: SplitRule | None = None,
    progress: Progress | None = None,
) -> PackResult:
    """Packs the table's pictures into ``out``, a new or empty folder, or one where the same pack was begun or finished.

    ``columns`` maps our fields to the table's columns, ``keep`` names further columns for labels.parquet, ``pictures`` is the folder that
    paths start from (default: the table's), ``processes`` how many prepare pictures at once (default: the cores).

    Raises TableError for the table as a whole, ShardsError for the folder or where no picture is left. A row never raises: it is a line of
    the ledger.
    """
    table_path, out = Path(table_path), Path(out)
    rule = split_rule or SplitRule()
    splits.check_rule(rule)
    if not 1 <= shard_size <= MAX_SHARD_SIZE:
        raise ShardsError(f"shard_size: {shard_size}; 1 to {MAX_SHARD_SIZE}")
    if processes is not None and processes < 1:
        raise ShardsError(f"processes: {processes}; at least 1")
    if pictures is not None and not Path(pictures).is_dir():
        raise ShardsError(f"pictures: {pictures}; a folder")
    table = read_table(table_path, columns, keep, pictures)
    source = Source(table=table_path.name, sha256=table.sha256, num_rows=table.num_rows, columns=table.columns, kept_columns=table.kept_columns)
    plan = _Plan(source, PictureRule(), rule, shard_size, None if pictures is None else str(pictures))
    done = _finished(out, plan, table)
    if done is not None:
        return done
    _check_folder(out)
    (out / STAGING).mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(out / STAGING / "lock", timeout=0):
            done = _finished(out, plan, table)  # by another pack, a moment ago
            return done or _pack(out, plan, table, Path(pictures or table_path.parent), processes or usable_cpus(), progress or _silent)
    except filelock.Timeout:
        raise ShardsError(f"{out}: another pack is at work there; one at a time", hint="wait until it ends") from None


def _pack(out: Path, plan: _Plan, table: Table, folder: Path, processes: int, progress: Progress) -> PackResult:
    work = out / STAGING
    staging.bind(work, plan.lasting() | {"pictures": plan.pictures, "chunk_rows": staging.CHUNK_ROWS, "versions": staging.versions()})
    for torn in out.rglob(".*.tmp"):  # of a writer that was killed
        torn.unlink()
    staging.prepare_all(work, table.rows, folder, plan.picture_rule, processes, progress)
    staged = staging.load(work, len(table.rows)).to_pylist()
    assert [line["row"] for line in staged] == [row.row for row in table.rows]
    good = [i for i, line in enumerate(staged) if line["reason"] is None]
    rows, lines = [table.rows[i] for i in good], [staged[i] for i in good]
    rejections = [*table.rejections, *_picture_rejections(table.rows, staged)]
    if not rows:
        shutil.rmtree(work)  # what was found is not to be held against the next try
        raise _nothing_left(table, rejections)
    hashes = np.frombuffer(b"".join(line["pdq"] for line in lines), np.uint8).reshape(-1, 32)
    quality = np.array([line["quality"] for line in lines])
    layout = lay_out(rows, hashes, quality, plan.split_rule, plan.shard_size)
    rejections += layout.rejections
    known = {row.row: split for row, split in zip(rows, layout.splits, strict=True)}

    shards: list[Shard] = []
    for planned in layout.shards:
        progress("shards", len(shards), len(layout.shards))
        shards.append(_write_shard(out, planned, rows, lines, table))
    progress("shards", len(shards), len(layout.shards))

    places = [place for planned in layout.shards for place in planned.places]
    keys = [key for planned in layout.shards for key in planned.keys]
    kept = [rows[place] for place in places]
    kept_splits = [layout.splits[place] for place in places]
    labels = labels_table(table, kept, keys, kept_splits)
    ledger = ledger_table(rejections, kept, keys, kept_splits, known)
    assert ledger["row"].to_pylist() == list(range(table.num_rows)), "every row of the table is a line of the ledger, once"
    # Of all pictures that could be read: nearly every pair across splits has lost one of the two by now.
    pairs = near_identical_pairs(hashes, quality, np.array([row.owner for row in rows], dtype=object), plan.split_rule.near_duplicate_bits)
    split_of = dict(zip(places, kept_splits, strict=True))
    copies = near_duplicates_table(rows, [split_of.get(place) for place in range(len(rows))], *pairs)
    files = {LABELS: parquet_bytes(labels), LEDGER: parquet_bytes(ledger), NEAR_DUPLICATES: parquet_bytes(copies)}
    for name, data in files.items():
        write_atomic(out / name, data)
    manifest = Manifest(
        source=plan.source,
        picture_rule=plan.picture_rule,
        split_rule=plan.split_rule,
        shard_size=plan.shard_size,
        shards=tuple(shards),
        num_kept=len(kept),
        num_rejected=len(rejections),
        pictures_sha256=pictures_sha256(keys, [lines[place]["jpeg_sha256"] for place in places]),
        labels_sha256=labels_sha256(labels),
        files_sha256={name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
    )
    manifest.write(out)
    shutil.rmtree(work, ignore_errors=True)
    return _result(out, manifest, labels, ledger, table, already_packed=False)


def _write_shard(out: Path, planned: PlannedShard, rows: Sequence[PictureRow], lines: Sequence[dict[str, Any]], table: Table) -> Shard:
    """Writes the tar, also where a pack that was interrupted wrote one: what lies there may have changed, and writing is the cheap part."""
    data = _tar(out / STAGING, planned, rows, lines, table)
    write_atomic(out / planned.file, data)
    return Shard(
        file=planned.file, split=planned.split, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), num_samples=len(planned.keys)
    )  # fmt: skip


def _tar(work: Path, planned: PlannedShard, rows: Sequence[PictureRow], lines: Sequence[dict[str, Any]], table: Table) -> bytes:
    from webdataset.writer import TarWriter  # imports torch

    sink = io.BytesIO()
    with TarWriter(sink, user="peoria", group="peoria", mtime=0, encoder=False, compress=False) as tar:
        for key, place in zip(planned.keys, planned.places, strict=True):
            row, line = rows[place], lines[place]
            sidecar = {"id": row.id, "source": row.path, "width": line["width"], "height": line["height"]}
            sidecar |= {"sha256": line["original_sha256"], "pdq": line["pdq"].hex()}
            sidecar |= {name: getattr(row, name) for name in ("licence", "page") if name in table.columns}
            jpeg = staging.read_jpeg(work, line["chunk"], line["offset"], line["bytes"])
            tar.write({"__key__": key, "jpg": jpeg, "json": json.dumps(sidecar, sort_keys=True, allow_nan=False).encode()})
    return sink.getvalue()


def _picture_rejections(rows: Sequence[PictureRow], staged: Sequence[dict[str, Any]]) -> list[Rejection]:
    return [Rejection(row.row, row.id, line["reason"], line["detail"]) for row, line in zip(rows, staged, strict=True) if line["reason"] is not None]


def _nothing_left(table: Table, rejections: Sequence[Rejection]) -> ShardsError:
    counts = Counter(rejection.reason for rejection in rejections)
    first = {rejection.reason: rejection for rejection in reversed(rejections)}
    problems = [f"row {first[reason].row}: {first[reason].detail} ({reason}: {counts[reason]} rows)" for reason in sorted(counts)]
    return ShardsError(
        f"no picture left of {table.num_rows} rows; at least one", *problems, hint="mend the table, or name the folder of the pictures"
    )


def _check_folder(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise ShardsError(f"{out}: a file; a new or empty folder", hint="choose another folder")
    if out.exists() and not (out / STAGING).exists() and (found := sorted(os.listdir(out))):
        raise ShardsError(f"{out}: holds {', '.join(found[:5])}; a new or empty folder", hint="choose another folder")


def _finished(out: Path, plan: _Plan, table: Table) -> PackResult | None:
    """The set that is there already; None where there is none. Raises ShardsError where it is another plan's."""
    if not (out / MANIFEST).is_file():
        return None
    manifest = Manifest.load(out)
    there = _Plan(manifest.source, manifest.picture_rule, manifest.split_rule, manifest.shard_size, None)
    differs = staging.changes(there.lasting(), plan.lasting())
    if differs:
        raise ShardsError(*[f"{out}: packed with another {line}" for line in differs], hint="pack into another folder")
    shutil.rmtree(out / STAGING, ignore_errors=True)  # killed after the manifest was written
    return _result(out, manifest, pq.read_table(out / LABELS), pq.read_table(out / LEDGER), table, already_packed=True)


def _result(out: Path, manifest: Manifest, labels: pa.Table, ledger: pa.Table, table: Table, already_packed: bool) -> PackResult:
    by_split: dict[str, Counter[str]] = {split: Counter[str]() for split in SPLITS}
    for split, owner in zip(labels["split"].to_pylist(), labels["owner"].to_pylist(), strict=True):
        by_split[split][owner] += 1
    kept = {split: counts.total() for split, counts in by_split.items()}
    owned = {split: Counter({owner: n for owner, n in counts.items() if owner}) for split, counts in by_split.items()}
    largest = sum(owned.values(), Counter[str]()).most_common(1)
    reasons = Counter(reason for reason in ledger["reason"].to_pylist() if reason is not None)
    return PackResult(
        root=out,
        manifest=manifest,
        rejected=dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        kept=kept,
        shares={split: number / manifest.num_kept for split, number in kept.items()},
        largest_owner=largest[0][0] if largest else "",
        largest_owner_shares={split: max(counts.values(), default=0) / max(1, kept[split]) for split, counts in owned.items()},
        num_unknown_owners=sum(counts[""] for counts in by_split.values()),
        unmapped_columns=table.unmapped_columns,
        already_packed=already_packed,
    )


def _silent(what: str, done: int, total: int) -> None:
    pass
