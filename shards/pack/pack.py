"""Packs a table of pictures into shards: rows → pictures made ready → splits → tars, labels, ledger, and the manifest last.

Killed at any moment and started again it ends with the same bytes. Nothing it writes holds a time or a place.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from shards.cpus import usable_cpus
from shards.digests import labels_sha256, pairs_sha256
from shards.errors import FileError, ShardsError, TableError
from shards.fetch import FetchRules
from shards.files import locked, remove_stale, told, write_atomic
from shards.images.near_duplicates import near_identical_pairs
from shards.labels import read_labels, read_packed
from shards.manifest import (
    LABELS,
    LEDGER,
    MANIFEST,
    MAX_SHARD_SIZE,
    NEAR_DUPLICATES,
    SPLITS,
    Manifest,
    PictureRule,
    Shard,
    Source,
    SplitRule,
)
from shards.pack import retry, splits, staging
from shards.pack.layout import lay_out
from shards.pack.ledger import Outcome
from shards.pack.losses import check_losses, nothing_left
from shards.pack.owners import check_of, hashed_owners
from shards.pack.prepare import HEALS, prepare_all
from shards.pack.result import RESULT_LABELS, RESULT_LEDGER, PackResult, result
from shards.pack.rowfile import RowFile
from shards.pack.staging import STAGING, Progress, parquet_bytes
from shards.pack.tars import TarWriter
from shards.pack.workers import Units
from shards.sources.opened import read_origin
from shards.sources.rows import Table

__all__ = ["PackResult", "Packing", "Plan", "Preparing", "pack", "planned", "refuse_other", "result"]


@dataclass(frozen=True)
class Plan:
    source: Source
    picture_rule: PictureRule
    split_rule: SplitRule
    shard_size: int
    pictures: str | None  # as given; what an unfinished pack is held to, and the manifest does not hold
    fetch: FetchRules
    reading: "Reading"
    owner_salt: bytes | None = field(default=None, repr=False)

    def lasting(self) -> dict[str, Any]:
        """What the manifest of a finished set can be held against."""
        rules = {"picture_rule": self.picture_rule.model_dump(), "split_rule": self.split_rule.model_dump()}
        return {"source": self.source.model_dump(mode="json"), "shard_size": self.shard_size, **rules}

    def staged(self) -> dict[str, Any]:
        """What an unfinished pack is held to as well."""
        how = {"staging": staging.FORMAT, "chunk_rows": staging.CHUNK_ROWS, "versions": staging.versions(), "fetch": self.fetch.decisive()}
        how |= {name: self.reading.get(name) for name in ("encoding", "format")}
        return self.lasting() | {"pictures": self.pictures, **how}


class Reading(TypedDict, total=False):
    """How the rows of a table are read, beside the names of its columns."""

    drop: Sequence[str]
    """Fields that are left unread."""
    path_pattern: str | None
    """The path of a picture, made of columns: ``img/{id}.jpg``."""
    encoding: str | None
    """Of the table's text; None: UTF-8, or what its first bytes say."""
    format: str | None
    """One of `shards.sources.tables.FORMATS`; None: by the suffix."""


class Packing(Reading, total=False):
    """How a table is to be packed; `planned` has what holds where one is not given."""

    columns: Mapping[str, str] | None
    """Our fields to the table's columns."""
    keep: Sequence[str]
    """Further columns for labels.parquet."""
    pictures: Path | str | None
    """The folder, or the address, that paths start from; None: the table's."""
    kind: str | None
    """Of the origin, one of `shards.sources.opened.KINDS`; None: found."""
    shard_size: int
    split_rule: SplitRule | None
    fetch: FetchRules | None
    owner_salt: bytes | None
    """That owners are hashed with (`shards.pack.owners`); None: they stay as the table names them."""


class Preparing(TypedDict, total=False):
    """What of a pack decides nothing of its bytes."""

    processes: int | None
    """How many prepare pictures at once; None: the cores."""
    units: Units | None
    """Where pictures are prepared instead."""
    accept_losses: bool
    """Whether rows whose views cannot be read are left out however many they are."""
    retry: bool
    """Whether rows that failed for a reason that can heal (`shards.pack.prepare.HEALS`) are tried again."""
    progress: Progress | None


class How(Packing, Preparing, total=False):
    pass


def pack(table_path: Path | str, out: Path, **how: Unpack[How]) -> PackResult:
    """Packs the table's pictures into ``out``, a new or empty folder, or one where the same pack was begun or finished.

    Raises TableError for the table as a whole, NoRoomError and ShardsError for the folder, where no picture is left, or where too many rows would be
    lost for their views. A row never raises: it is a line of the ledger.
    """
    out = Path(out)
    preparing, packing = parted(how)
    plan, table = planned(table_path, **packing)
    processes = preparing.get("processes")
    if processes is not None and processes < 1:
        raise ShardsError(f"processes: {processes}; at least 1")
    with _going_on(out), ExitStack() as stack:
        again = preparing.get("retry", False)
        done = _finished(out, plan, table)
        if done is not None and done.manifest.generation and again:
            raise ShardsError(
                f"{out}: the set was changed after it was packed; one that was not", hint=f"peoria add {out} TABLE tries those rows again"
            )
        if done is not None and not (again and HEALS & set(done.rejected)):
            return _tidied(out, done, again)
        if done is None:
            _check_folder(out)
        (out / STAGING).mkdir(parents=True, exist_ok=True)
        try:
            stack.enter_context(locked(out / STAGING / "lock", wait=False))
        except BlockingIOError:
            raise ShardsError(f"{out}: another pack is at work there; one at a time", hint="wait until it ends") from None
        done = _finished(out, plan, table)  # by another pack, a moment ago
        if done is not None and not again:
            return _tidied(out, done, again)
        return _pack(out, plan, table, done, preparing)


@contextmanager
def _going_on(out: Path) -> Iterator[None]:
    """What the system says of any file has a next step."""
    try:
        with told(out, "a folder that can be written to"):
            yield
    except FileError as error:
        if error.hint:
            raise
        hint = "mend that, or choose another folder with --out; the same command goes on where this stopped"
        raise FileError(*error.problems, hint=hint, code=error.errno, said=error.strerror or "") from None


def parted(how: How) -> tuple[Preparing, Packing]:
    preparing = {name: value for name, value in how.items() if name in Preparing.__annotations__}
    return preparing, {name: value for name, value in how.items() if name not in preparing}  # type: ignore[return-value]


def planned(
    table_path: Path | str,
    columns: Mapping[str, str] | None = None,
    keep: Sequence[str] = (),
    pictures: Path | str | None = None,
    shard_size: int = 1000,
    split_rule: SplitRule | None = None,
    fetch: FetchRules | None = None,
    kind: str | None = None,
    owner_salt: bytes | None = None,
    **reading: Unpack[Reading],
) -> tuple[Plan, Table]:
    """What `pack` would make of its arguments, and the table; raises as it does."""
    rule = split_rule or SplitRule()
    splits.check_rule(rule)
    if not 1 <= shard_size <= MAX_SHARD_SIZE:
        raise ShardsError(f"shard_size: {shard_size}; 1 to {MAX_SHARD_SIZE}")
    table = read_origin(os.fspath(table_path), kind, pictures, columns or {}, keep, **reading)
    name = table.source.name
    try:
        source = Source(table=name, sha256=table.sha256, num_rows=table.num_rows, columns=table.columns, kept_columns=table.kept_columns)
        source = source.model_copy(update={"owners_hashed": "" if owner_salt is None else check_of(owner_salt)})
    except ValidationError:  # half a character, or one that steers a terminal
        raise TableError(f"{name!a}: a name that cannot be kept, of the table or of a column; plain Unicode text") from None
    return Plan(
        source, PictureRule(), rule, shard_size, None if pictures is None else str(pictures), fetch or FetchRules(), reading, owner_salt
    ), table


def _pack(out: Path, plan: Plan, table: Table, done: PackResult | None, how: Preparing) -> PackResult:
    """``done`` is the finished set that is there, some of whose rows may have healed."""
    work, progress, processes = out / STAGING, how.get("progress") or _silent, how.get("processes") or usable_cpus()
    if done is not None:
        retry.clear_stale(out, work)
    staging.bind(work, plan.staged())
    remove_stale(out)
    rows = staging.stage_rows(work, hashed_owners(table.read(), plan.source, plan.owner_salt), table.kept_columns)
    if rows.is_null("reason").any() and not how.get("accept_losses"):
        check_losses(rows, plan.source.table)
    can_heal = np.zeros(0, np.int64) if done is None else retry.restore(out, work, done.manifest, rows)
    fetched = prepare_all(
        work,
        rows,
        table.pictures,
        plan.picture_rule,
        progress,
        processes=processes,
        units=how.get("units"),
        fetch=plan.fetch,
        retry=how.get("retry", False),
    )
    healed = None
    if done is not None:
        healed = retry.num_healed(work, can_heal)
        if not healed:
            return _tidied(out, done, retried=True)
    if (work / staging.RESTORED).exists():
        retry.begin(out, work)
    staged = staging.load(work, rows)
    del rows
    good = np.flatnonzero(staged.is_null("reason"))
    if not len(good):
        reasons = staged.table.select(list(RESULT_LEDGER))
        shutil.rmtree(work)  # what was found is not to be held against the next try
        raise nothing_left(reasons)
    manifest, brief = _write(out, plan, table, staged, good, progress)
    shutil.rmtree(work, ignore_errors=True)
    return replace(result(out, manifest, *brief, table, already_packed=False), healed=healed, fetched=fetched)


def _write(out: Path, plan: Plan, table: Table, staged: RowFile, good: np.ndarray, progress: Progress) -> tuple[Manifest, tuple[pa.Table, pa.Table]]:
    """Everything but what is staged; also the columns of the labels and of the ledger that a result is made of."""
    hashes, quality, owners = staged.hashes("pdq", good, 32), staged.numbers("quality", good), staged.texts("owner", good)
    layout = lay_out(staged.texts("id", good), owners, hashes, quality, plan.split_rule, plan.shard_size)
    pairs = near_identical_pairs(hashes, quality, owners, plan.split_rule.near_duplicate_bits)
    outcome = Outcome.of(staged, good, layout, table.columns, table.kept_columns)
    del hashes, quality, owners
    tar_writer = TarWriter(out, out / staging.STAGING, plan.picture_rule, table.columns, staged)
    shards: list[Shard] = []
    for planned in layout.shards:
        progress("shards", len(shards), len(layout.shards))
        shards.append(tar_writer.write(planned, good[np.array(planned.places)]))
    progress("shards", len(shards), len(layout.shards))
    del layout, tar_writer
    pa.default_memory_pool().release_unused()
    brief: tuple[list[pa.Table], list[pa.Table]] = ([], [])

    def noted(tables: Iterator[pa.Table], kept: list[pa.Table], names: Sequence[str]) -> Iterator[pa.Table]:
        for part in tables:
            kept.append(part.select([name for name in names if name in part.column_names]))
            yield part

    tables = {
        LABELS: noted(outcome.labels(), brief[0], RESULT_LABELS),
        LEDGER: noted(outcome.ledger(), brief[1], RESULT_LEDGER),
        # Of all pictures that could be read: nearly every pair across splits has lost one of the two by now.
        NEAR_DUPLICATES: iter([outcome.near_duplicates(good[pairs[0]], good[pairs[1]], pairs[2])]),
    }
    files = {}
    for name, parts in tables.items():
        data = parquet_bytes(parts)
        pa.default_memory_pool().release_unused()
        write_atomic(out / name, data)
        files[name] = hashlib.sha256(data).hexdigest()
    manifest = Manifest(
        source=plan.source,
        picture_rule=plan.picture_rule,
        split_rule=plan.split_rule,
        shard_size=plan.shard_size,
        shards=tuple(shards),
        num_kept=len(outcome.kept),
        num_rejected=len(staged) - len(outcome.kept),
        unknown=outcome.unknown(),
        pictures_sha256=pairs_sha256(outcome.pictures()),
        labels_sha256=labels_sha256(outcome.labels()),
        files_sha256=files,
    )
    return manifest.write(out), (pa.concat_tables(brief[0]), pa.concat_tables(brief[1]))


def _check_folder(out: Path) -> None:
    links = [out / name for name in (STAGING, *SPLITS) if (out / name).is_symlink()]
    if links:  # what is written there would land elsewhere
        raise ShardsError(*[f"{link}: a link; a folder" for link in links], hint="choose another folder")
    if out.exists() and not out.is_dir():
        raise ShardsError(f"{out}: a file; a new or empty folder", hint="choose another folder")
    if out.exists() and not (out / STAGING).exists() and (found := sorted(os.listdir(out))):
        raise ShardsError(f"{out}: holds {', '.join(found[:5])}; a new or empty folder", hint="choose another folder")


def _finished(out: Path, plan: Plan, table: Table) -> PackResult | None:
    """The set that is there already; None where there is none. Raises ShardsError where it is another plan's."""
    if not (out / MANIFEST).is_file():
        return None
    manifest = Manifest.load(out)
    refuse_other(str(out), manifest, plan)
    return result(out, manifest, read_labels(out, manifest), read_packed(out, LEDGER, manifest, RESULT_LEDGER), table, already_packed=True)


def _tidied(out: Path, done: PackResult, retried: bool) -> PackResult:
    shutil.rmtree(out / STAGING, ignore_errors=True)  # killed after the manifest was written, or nothing has healed
    remove_stale(out)
    return replace(done, healed=0) if retried else done


def refuse_other(out: str, manifest: Manifest, plan: Plan) -> None:
    """Raises ShardsError where the set that is there is another plan's."""
    there = Plan(manifest.source, manifest.picture_rule, manifest.split_rule, manifest.shard_size, None, FetchRules(), {})
    differs = staging.changes(there.lasting(), plan.lasting())
    if differs:
        raise ShardsError(*[f"{out}: packed with another {line}" for line in differs], hint="pack into another folder")


def _silent(what: str, done: int, total: int) -> None:
    pass
