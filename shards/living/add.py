"""Pictures added to a packed set: made ready and laid out beside those that are there, in shards of their own; no shard that is there is written.

What is there stays: its owners keep their splits, and a new picture gives way to an old one of another split, whichever.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from shards.cpus import usable_cpus
from shards.digests import pairs_sha256
from shards.errors import ShardsError, TableError
from shards.fetch import FetchRules
from shards.files import read_plain
from shards.images.near_duplicates import MIN_QUALITY, near_duplicates, nearest_within
from shards.living.change import ADDING, Tables, changing, commit, state_of
from shards.living.joined import There, joined_labels, joined_pairs
from shards.living.remove import REASON, shard_number
from shards.manifest import Manifest, PictureRule, Shard
from shards.manifest import Source as Packed
from shards.pack import splits, staging
from shards.pack.layout import Layout, LeftOut, shards_of
from shards.pack.ledger import Outcome
from shards.pack.losses import check_losses, nothing_left
from shards.pack.owners import hashed_owners
from shards.pack.prepare import prepare_all
from shards.pack.staging import Progress
from shards.pack.tars import TarWriter
from shards.sources.rows import PictureRow, Rejection, Table, read_source
from shards.sources.source import Source
from shards.words import counted

if TYPE_CHECKING:
    import pyarrow as pa

    from shards.pack.rowfile import RowFile

IN_SET, GONE = "in_set", "removed_before"


@dataclass(frozen=True)
class Added:
    """What became of a table whose pictures were to be added."""

    root: Path
    manifest: Manifest
    kept: dict[str, int]  # new pictures by split
    rejected: dict[str, int]  # rows by reason, most frequent first
    examples: dict[str, tuple[int, str]]  # of each: the first row, of this table, and its detail
    num_owners: int  # of the new pictures, that the set did not have
    remarks: tuple[str, ...] = ()

    def text(self) -> str:
        """For people."""
        lines = [f"{self.root}: {counted(sum(self.kept.values()), 'picture')} added, {self.manifest.num_kept:,} in all"]
        lines += [f"  read as   {remark}" for remark in self.remarks]
        for reason, num in self.rejected.items():
            row, detail = self.examples[reason]
            lines += [f"  rejected  {num:,} {reason}", f"            row {row}: {detail}"]
        lines += [f"  {split:<9} {counted(num, 'new picture')}" for split, num in self.kept.items() if num]
        if self.num_owners:
            lines.append(f"  owners    {self.num_owners:,} new")
        lines.append(f"  identity  {self.manifest.identity}")
        return "\n".join(lines)


def add(
    root: Path,
    source: Source,
    columns: Mapping[str, str] | None = None,
    *,
    path_pattern: str | None = None,
    drop: Sequence[str] = (),
    processes: int | None = None,
    accept_losses: bool = False,
    fetch: FetchRules | None = None,
    salt: bytes | None = None,
    caches: Sequence[Path] = (),
    progress: Progress | None = None,
) -> Added:
    """Adds pictures to the set in ``root``, by the rules that it was packed by; it has another identity then. Killed at any moment and called again
    it goes on. A row whose id is in the set, or was removed from it, is left out; one that was left out earlier is tried again.

    Args:
        source: rows with pictures.
        columns: our fields to its columns; of those not given as the set was packed, where the source has such a column.
        salt: of the hashes of owners, in a set that has them.
        caches: as of `shards.living.remove.remove`.

    Raises:
        TableError: the source as a whole cannot be read, or has not the columns that the set keeps.
        ShardsError: the set was made by another picture rule, another addition is unfinished, or no new picture is left.
    """
    root, progress = Path(root), progress or (lambda what, done, total: None)
    with changing(root) as before:
        _refuse_rule(root, before)
        tables, work = Tables.read(root, before), root / ADDING
        if tables.labels["views"].null_count:  # the set has no counts yet
            drop = (*drop, "views")
        table = read_source(source, _columns(source, before, columns), before.source.kept_columns, drop, path_pattern)
        packed = _packed(table, before)
        work.mkdir(exist_ok=True)
        how = {"staging": staging.FORMAT, "chunk_rows": staging.CHUNK_ROWS, "versions": staging.versions()}
        _bind(work, how | {"add": packed.model_dump(mode="json"), "to": state_of(before), "fetch": (fetch or FetchRules()).decisive()})
        rows = staging.stage_rows(work, hashed_owners(_new(table, tables), before.source, salt), table.kept_columns)
        if not accept_losses:
            check_losses(rows, source.name)
        prepare_all(work, rows, table.pictures, before.picture_rule, progress, processes=processes or usable_cpus(), fetch=fetch)
        staged = staging.load(work, rows)
        good = np.flatnonzero(staged.is_null("reason"))
        there = There.read(root, before, tables)
        layout = _lay_out(staged, good, there, before)
        outcome = Outcome.of(staged, good, layout, table.columns, table.kept_columns)
        if not len(outcome.kept):
            return _nothing_new(root, work, before, outcome, table)
        writer = TarWriter(root, work, before.picture_rule, table.columns, staged)
        shards: list[Shard] = []
        for planned in layout.shards:
            progress("shards", len(shards), len(layout.shards))
            shards.append(writer.write(planned, good[np.array(planned.places)]))
        progress("shards", len(shards), len(layout.shards))
        ledger = _ledger(outcome, before.num_rows)
        after = Tables(
            joined_labels(tables.labels, outcome, before.source.kept_columns),
            _concat([tables.ledger, ledger]),
            None if tables.pairs is None else joined_pairs(tables, staged, good, there, outcome, before.split_rule),
        )
        manifest = commit(
            root,
            before,
            after,
            "add",
            caches,
            shards=(*before.shards, *shards),
            pictures_sha256=pairs_sha256(chain(zip(there.keys, there.shas, strict=True), outcome.pictures())),
            added=(*before.added, packed),
        )
        shutil.rmtree(work, ignore_errors=True)
        return _result(root, manifest, outcome, there, table)


def _packed(table: Table, before: Manifest) -> Packed:
    about: dict[str, Any] = {"columns": table.columns, "kept_columns": table.kept_columns, "owners_hashed": before.source.owners_hashed}
    try:
        return Packed(table=table.source.name, sha256=table.sha256, num_rows=table.num_rows, **about)
    except ValidationError:  # half a character, or one that steers a terminal
        raise TableError(f"{table.source.name!a}: a name that cannot be kept, of the table or of a column; plain Unicode text") from None


def _bind(work: Path, plan: dict[str, Any]) -> None:
    """As `staging.bind`, in whose words the folder that may be deleted is the set. What `tidy` leaves is of the set as it is."""
    if (work / "plan.json").exists():
        differs = staging.changes(json.loads(read_plain(work / "plan.json")), json.loads(json.dumps(plan)))
        if differs:
            problems = [f"{work.parent}: an unfinished addition with another {line}" for line in differs]
            raise ShardsError(*problems, hint=f"add as before to finish it, or delete {work}")
    staging.bind(work, plan)


def _refuse_rule(root: Path, before: Manifest) -> None:
    was, now = before.picture_rule.version, PictureRule().version
    if was != now:
        raise ShardsError(
            f"{root}: its pictures were made by version {was} of the picture rule; version {now}, by which new ones would be made",
            hint="pack all pictures again into another folder: two rules in one set would be a difference that a network sees",
        )


def _columns(source: Source, before: Manifest, columns: Mapping[str, str] | None) -> dict[str, str]:
    header, given = set(source.header()), dict(columns or {})
    own = getattr(source, "suggested", {}).items()
    given = {field: name for field, name in own if field not in given and name not in given.values()} | given
    taken = set(given.values())
    return {field: name for field, name in before.source.columns.items() if name in header and name not in taken and field != name} | given


def _new(table: Table, tables: Tables) -> Iterator[PictureRow | Rejection]:
    """The rows, those that the set has or was to forget left out."""
    kept = set(tables.labels["id"].to_pylist())
    gone = {one for one, reason in zip(tables.ledger["id"].to_pylist(), tables.ledger["reason"].to_pylist(), strict=True) if reason == REASON}
    for row in table.read():
        if isinstance(row, Rejection):
            yield row
        elif row.id in kept:
            yield Rejection(row.row, row.id, IN_SET, "id: the set has a picture of that id; new ones")
        elif row.id in gone:
            yield Rejection(row.row, row.id, GONE, "id: it was removed from the set; pictures that were not")
        else:
            yield row


def _lay_out(staged: "RowFile", good: np.ndarray, there: There, before: Manifest) -> Layout:
    rule = before.split_rule
    ids, owners = staged.texts("id", good), staged.texts("owner", good)
    hashes, quality = staged.hashes("pdq", good, 32), staged.numbers("quality", good)
    fixed = {str(owner): str(split) for owner, split in zip(there.owners, there.splits, strict=True) if owner}
    all_owners, all_ids = np.concatenate([there.owners, owners]), np.concatenate([there.ids, ids])
    split = splits.assign(all_owners, all_ids, rule, fixed)[len(there.ids) :]
    left_out = []
    counts = Counter((there.owners[there.splits != "train"]).tolist())
    keep = np.ones(len(ids), bool)
    for i in splits.shuffle_order(ids, rule).tolist():
        if split[i] != "train" and owners[i]:
            counts[owners[i]] += 1
            if counts[owners[i]] > rule.max_per_owner:
                keep[i] = False
                detail = f"owner {str(owners[i])!r} has more than {rule.max_per_owner} pictures in {split[i]}"
                left_out.append(LeftOut(i, "owner_cap", detail))
    for name in ("train", "val", "test"):
        query = np.flatnonzero(keep & (split == name) & (quality >= MIN_QUALITY))
        base = np.flatnonzero((there.splits != name) & (there.quality >= MIN_QUALITY))
        nearest, bits = nearest_within(hashes[query], there.hashes[base], rule.near_duplicate_bits)
        for at in np.flatnonzero(nearest >= 0).tolist():
            keep[query[at]] = False
            copy = base[nearest[at]]
            left_out.append(_near(int(query[at]), int(bits[at]), there.keys[copy], there.ids[copy], there.splits[copy]))
    left = np.flatnonzero(keep)
    keeper, bits = near_duplicates(hashes[left], quality[left], split[left], rule.near_duplicate_bits)
    keep[left[keeper >= 0]] = False
    first = max((int(shard_number(shard)) for shard in before.shards), default=-1) + 1
    shards = shards_of(ids, split, keep, rule, before.shard_size, first)
    key_of = {place: key for shard in shards for key, place in zip(shard.keys, shard.places, strict=True)}
    for at in np.flatnonzero(keeper >= 0).tolist():
        copy = int(left[keeper[at]])
        left_out.append(_near(int(left[at]), int(bits[at]), key_of[copy], ids[copy], split[copy]))
    return Layout(shards, split, left_out)


def _near(place: int, bits: int, key: str, one: str, split: str) -> LeftOut:
    return LeftOut(place, "near_duplicate", f"{bits} of 256 bits from {key} (id {str(one)!r}), which is in {split}")


def _ledger(outcome: Outcome, offset: int) -> "pa.Table":
    import pyarrow as pa
    import pyarrow.compute as pc

    ledger = pa.concat_tables(outcome.ledger())
    return ledger.set_column(0, ledger.schema.field("row"), pc.add(ledger["row"], offset))


def _concat(tables: "Sequence[pa.Table]") -> "pa.Table":
    import pyarrow as pa

    return pa.concat_tables(tables)


def _nothing_new(root: Path, work: Path, before: Manifest, outcome: Outcome, table: Table) -> Added:
    """Raises ShardsError where that has another cause than that all is there."""
    import pyarrow as pa

    ledger = pa.concat_tables(outcome.ledger())
    shutil.rmtree(work)  # what was found is not to be held against the next try
    there = any(source.sha256 == table.sha256 for source in (before.source, *before.added))
    if not there and not set(ledger["reason"].to_pylist()) <= {IN_SET, GONE}:
        raise nothing_left(ledger.select(["row", "reason", "detail"]))
    return replace(_counts(root, before, ledger), remarks=table.remarks)


def _result(root: Path, manifest: Manifest, outcome: Outcome, there: There, table: Table) -> Added:
    import pyarrow as pa

    found = _counts(root, manifest, pa.concat_tables(outcome.ledger()))
    owners = set(outcome.staged.take(outcome.kept, ["owner"])["owner"].to_pylist()) - {"", *there.owners.tolist()}
    return replace(found, num_owners=len(owners), remarks=table.remarks)


def _counts(root: Path, manifest: Manifest, ledger: "pa.Table") -> Added:
    kept: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    examples: dict[str, tuple[int, str]] = {}
    columns = (ledger[name].to_pylist() for name in ("row", "status", "split", "reason", "detail"))
    for row, status, split, reason, detail in zip(*columns, strict=True):
        if status == "kept":
            kept[split] += 1
        else:
            reasons[reason] += 1
            examples.setdefault(reason, (row, detail or ""))
    rejected = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return Added(root, manifest, {split: kept[split] for split in ("train", "val", "test")}, rejected, examples, 0)
