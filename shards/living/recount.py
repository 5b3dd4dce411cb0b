"""New counts of the pictures of a set, by their ids: other labels, the same pictures; no shard is written."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shards.digests import labels_sha256
from shards.errors import ShardsError
from shards.living.change import Tables, changing, commit, in_order, parted, unread_names
from shards.living.counts import COUNTS, read_counts
from shards.living.remove import REASON as REMOVED
from shards.manifest import Manifest
from shards.pack.ledger import LEDGER_SCHEMA
from shards.sources.rows import PictureRow, Rejection
from shards.sources.source import Source
from shards.words import counted

if TYPE_CHECKING:
    import pyarrow as pa

Missing = Literal["refuse", "keep"]
Note = Callable[[int, str, str, str], object]


@dataclass
class Reason:
    """Rows of a table that gave no counts: how many, and the first."""

    num: int = 0
    row: int = 0
    example: str = ""

    def add(self, row: int, detail: str) -> None:
        """One more."""
        if not self.num:
            self.row, self.example = row, detail
        self.num += 1


@dataclass(frozen=True)
class Recounted:
    """What became of a table of new counts."""

    root: Path
    manifest: Manifest
    num_new: int  # pictures with new counts
    num_old: int  # that the table lacks, with their counts as they were
    columns: tuple[str, ...]  # that are new for those pictures
    reasons: dict[str, Reason] = field(default_factory=dict)  # of the rows that gave nothing
    remarks: tuple[str, ...] = ()  # what was taken for granted while the table was read
    changed: bool = True

    def text(self) -> str:
        """For people."""
        lines = [f"{self.root}: {', '.join(self.columns)} of {counted(self.num_new, 'picture')}{'' if self.changed else ', as they were before'}"]
        if self.num_old:
            lines.append(f"  kept      {counted(self.num_old, 'picture')} that the table lacks, with the counts they had")
        for reason, of in sorted(self.reasons.items(), key=lambda item: (-item[1].num, item[0])):
            lines.append(f"  {'unknown' if reason == UNREAD else 'left out':<9} {of.num:,} {reason}, first row {of.row}: {of.example}")
        lines += [f"  table     {remark}" for remark in self.remarks]
        for name in self.columns:
            if (unknown := self.manifest.unknown.get(name)) is not None:
                lines.append(f"  unknown   {name} of {counted(unknown.num, 'picture')}, which {'stays' if unknown.num == 1 else 'stay'}")
        lines.append(f"  identity  {self.manifest.identity}")
        return "\n".join(lines)


NOT_IN_SET, LEFT_OUT, UNREAD = "not_in_set", "left_out_at_packing", "unreadable_value"


def recount(
    root: Path,
    source: Source,
    columns: Mapping[str, str] | None = None,
    *,
    missing: Missing = "refuse",
    drop: Sequence[str] = (),
    note: Note = lambda *line: None,
) -> Recounted:
    """Puts new counts into the set in ``root``, which has another identity then; the pictures, and what else is known of them, stay.

    Args:
        source: rows with ids and counts; no pictures are asked of it.
        columns: our fields to its columns.
        missing: what becomes of pictures that the table lacks: nothing of the whole is done, or they keep their counts.
        drop: counts that the set has and the table has not, and that it is to lose.
        note: is told of each row that gave nothing, or a value that cannot be read: row, id, reason, detail.

    Raises:
        TableError: the source as a whole cannot be read.
        ShardsError: pictures of the set, or counts that it has, are not in the table; nothing has changed.
    """
    _refuse_drop(drop)
    root, table = Path(root), read_counts(source, columns)
    name, given = source.name, [name for name in COUNTS if name in table.columns]
    with changing(root) as before:
        tables = Tables.read(root, before)
        ids: list[str] = tables.labels["id"].to_pylist()
        known = dict(zip(tables.ledger["id"].to_pylist(), tables.ledger["reason"].to_pylist(), strict=True))
        _refuse_columns(root, name, [of for of in COUNTS if of in tables.labels.column_names and of not in given and of not in drop])
        new, reasons = _by_id(table.read(), set(ids), known, _in_pairs(tables), note)
        lacking = [one for one in ids if one not in new]
        if lacking and (missing == "refuse" or tables.labels["views"].null_count):  # of a set without counts there are none to keep
            raise ShardsError(
                f"{name}: no counts for {len(lacking):,} of {counted(len(ids), 'picture')} of {root}, first id {lacking[0]!r}; a row for each",
                *[f"{name}: row {of.row}: {of.example} ({reason}: {counted(of.num, 'row')})" for reason, of in reasons.items()],
                hint=_SAME_IDS if len(lacking) == len(ids) and NOT_IN_SET in reasons else _LACKING_HINT,
            )
        if len(lacking) == len(ids):
            raise ShardsError(f"{name}: no row is of a picture of {root}; the same ids", hint=_SAME_IDS)
        taken = [of for of in given if of not in drop]
        after = Tables(_labels(tables.labels, before, new, taken, drop), _ledger(tables.ledger, before, new), _pairs(tables.pairs, new, taken, drop))
        found = Recounted(root, before, len(ids) - len(lacking), len(lacking), tuple(taken), reasons, table.remarks, changed=False)
        if labels_sha256(after.labels) == before.labels_sha256 and after.ledger.equals(tables.ledger):
            return found
        return replace(found, manifest=commit(root, before, after, "recount"), changed=True)


_LACKING_HINT = "--missing keep leaves them the counts that they have; peoria remove takes pictures out"
_SAME_IDS = "--column id=COLUMN names the column of the ids, which are paths in a set of a folder"


def _refuse_drop(drop: Sequence[str]) -> None:
    for name in drop:
        if name not in COUNTS[1:]:
            raise ShardsError(f"drop: {name!r}; {', '.join(COUNTS[1:])}")


def _refuse_columns(root: Path, name: str, lacks: list[str]) -> None:
    if lacks:
        problems = [f"{name}: {of}: no column for it, and {root} has {of} that were read at another time; new ones too" for of in lacks]
        flags = " ".join(f"--drop {of}" for of in lacks)
        raise ShardsError(*problems, hint=f"--column {lacks[0]}=COLUMN names it; {flags} takes the old out of the set")


def _in_pairs(tables: Tables) -> set[str]:
    if tables.pairs is None:
        return set()
    return {*tables.pairs["id_a"].to_pylist(), *tables.pairs["id_b"].to_pylist()}


def _by_id(
    rows: Iterable[PictureRow | Rejection], ids: set[str], known: dict[str, Any], in_pairs: set[str], note: Note
) -> tuple[dict[str, PictureRow], dict[str, Reason]]:  # fmt: skip
    new: dict[str, PictureRow] = {}
    reasons: dict[str, Reason] = {}

    def told(row: PictureRow | Rejection, reason: str, detail: str) -> None:
        reasons.setdefault(reason, Reason()).add(row.row, detail)
        note(row.row, row.id, reason, detail)

    for row in rows:
        if isinstance(row, Rejection):
            told(row, row.reason, row.detail)
            continue
        if row.id in ids or row.id in in_pairs:
            new[row.id] = row
        if row.id not in ids:
            told(row, NOT_IN_SET if row.id not in known else REMOVED if known[row.id] == REMOVED else LEFT_OUT, f"id {row.id!r}")
            continue
        for of, detail in row.unread:
            if of in COUNTS:
                told(row, UNREAD, detail)
    return new, reasons


def _labels(labels: "pa.Table", before: Manifest, new: dict[str, PictureRow], given: Sequence[str], drop: Sequence[str]) -> "pa.Table":
    import pyarrow as pa

    kinds = {"observed_at": pa.timestamp("s", tz="UTC")}
    columns = {name: labels[name] for name in labels.column_names if name not in drop}
    for name in given:
        old = labels[name].to_pylist() if name in labels.column_names else [None] * len(labels)
        values = [getattr(new[one], name) if one in new else was for one, was in zip(labels["id"].to_pylist(), old, strict=True)]
        columns[name] = pa.chunked_array([pa.array(values, kinds.get(name, pa.int64()))])
    return in_order(columns, before.source.kept_columns)


def _ledger(ledger: "pa.Table", before: Manifest, new: dict[str, PictureRow]) -> "pa.Table":
    """With what could not be read of the new counts in the place of what could not be read of the old ones."""
    import pyarrow as pa

    details, names = ledger["detail"].to_pylist(), unread_names(before)
    for at, (one, status) in enumerate(zip(ledger["id"].to_pylist(), ledger["status"].to_pylist(), strict=True)):
        if status == "kept" and one in new and (details[at] is not None or new[one].unread):
            stays = [detail for name, detail in parted(details[at], names) if name not in COUNTS]
            stays += [detail for name, detail in new[one].unread if name in COUNTS]
            details[at] = "; ".join(stays) or None
    return ledger.set_column(LEDGER_SCHEMA.get_field_index("detail"), LEDGER_SCHEMA.field("detail"), pa.array(details, pa.string()))


def _pairs(pairs: "pa.Table | None", new: dict[str, PictureRow], given: Sequence[str], drop: Sequence[str]) -> "pa.Table | None":
    """Both with new counts or both with old ones: what two numbers of different times differ by says nothing of the pictures."""
    import pyarrow as pa

    if pairs is None:
        return None
    lines = [line for line in pairs.to_pylist() if (line["id_a"] in new) == (line["id_b"] in new)]
    for line in lines:
        for side in "ab":
            row = new.get(line[f"id_{side}"])
            for name in ("views", "favorites"):
                if row is not None and name in given:
                    line[f"{name}_{side}"] = getattr(row, name)
                elif name in drop:
                    line[f"{name}_{side}"] = None
    return pa.Table.from_pylist(lines, pairs.schema)
