"""What became of a table, for people."""

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from shards.manifest import SPLITS, Manifest
from shards.pack.judged import warnings_of
from shards.pack.kept import NUMBERS, Kept
from shards.sources.rows import Table
from shards.words import counted


@dataclass(frozen=True, repr=False)
class PackResult:
    """What became of a table, shown in words."""

    root: Path | str  # or the address
    manifest: Manifest
    rejected: dict[str, int]  # by reason, most frequent first
    examples: dict[str, tuple[int, str]]  # of each reason: the first row, and its detail
    kept: dict[str, int]  # by split, all three
    shares: dict[str, float]  # realised share of the kept pictures, by split
    largest_owner: str  # "" where every owner is unknown
    largest_owner_shares: dict[str, float]  # the largest owner's share of each split, whoever that is there
    num_unknown_owners: int  # kept pictures without an owner; all of them: split by picture, leakage by owner not controlled
    unmapped_columns: tuple[str, ...]  # columns of the table that were dropped
    already_packed: bool  # nothing was done, the set was there
    remarks: tuple[str, ...] = ()  # what was taken for granted while the table was read
    warnings: tuple[str, ...] = ()  # what will stand in the way of a study, the worst first
    healed: int | None = None  # of the rows that were tried again; None: none was
    fetched: str = ""  # from addresses, in a line

    @property
    def owners_unknown(self) -> bool:
        return self.num_unknown_owners == self.manifest.num_kept

    def __repr__(self) -> str:
        return self.text()

    def text(self) -> str:
        """What became of the table, for people."""
        kept, rejected = self.manifest.num_kept, self.manifest.num_rejected
        before = " (packed before)" if self.already_packed else ""
        lines = [f"{self.root}: {kept:,} kept + {rejected:,} rejected = {counted(kept + rejected, 'row')}{before}"]
        if self.healed is not None:
            lines.append(f"  healed    {counted(self.healed, 'row')} of those that were tried again")
        if self.fetched:
            lines.append(f"  {self.fetched.replace('fetched ', 'fetched   ', 1)}")
        lines += [f"  read as   {remark}" for remark in self.remarks]
        for reason, count in self.rejected.items():
            row, detail = self.examples[reason]
            lines += [f"  rejected  {count:,} {reason}", f"            row {row}: {_short(detail)}"]
        if self.rejected:
            lines.append(f"            all of a reason: peoria ledger {shlex.quote(str(self.root))} --reason {next(iter(self.rejected))}")
        for name, unknown in self.manifest.unknown.items():
            bad = f", {unknown.num_unreadable:,} of them unreadable, first {unknown.example}" if unknown.num_unreadable else ""
            lines.append(f"  unknown   {name} of {counted(unknown.num, 'picture')}, which {'stays' if unknown.num == 1 else 'stay'}{bad}")
        for split, count in self.kept.items():
            share = "" if self.owners_unknown or not count else f"; the largest owner has {self.largest_owner_shares[split]:.1%} of it"
            lines.append(f"  {split:<9} {counted(count, 'picture')}, {self.shares[split]:.1%}{share}")
        if self.owners_unknown:
            lines.append("  owners unknown: split by picture; intervals are per picture, leakage by owner is not controlled")
        if not self.manifest.has_counts:
            lines.append(f"  no counts yet: peoria recount {self.root} TABLE puts them in, and until then nothing can be learned from the set")
        if self.unmapped_columns:
            lines.append(f"  dropped   columns {', '.join(self.unmapped_columns)} (--keep NAME keeps one, --column FIELD=NAME maps one)")
        lines += [f"  warning   {warning}" for warning in self.warnings]
        lines.append(f"  identity  {self.manifest.identity}")
        return "\n".join(lines)


RESULT_LABELS, RESULT_LEDGER = NUMBERS, ("row", "reason", "detail")  # the columns that a result is made of


def result(out: Path | str, manifest: Manifest, labels: pa.Table, ledger: pa.Table, table: Table, already_packed: bool) -> PackResult:
    owned: dict[str, Counter[str]] = {split: Counter[str]() for split in SPLITS}
    counts = labels.select(["split", "owner"]).group_by(["split", "owner"]).aggregate([([], "count_all")])
    for split, owner, num in zip(*(counts[name].to_pylist() for name in ("split", "owner", "count_all")), strict=True):
        owned[split][owner] += num
    kept = {split: of_split.total() for split, of_split in owned.items()}
    unknown = sum(of_split.pop("", 0) for of_split in owned.values())
    totals = sum(owned.values(), Counter[str]())
    largest = max(totals, key=lambda owner: (totals[owner], owner), default="")
    lost = ledger.select(list(RESULT_LEDGER)).filter(pc.is_valid(ledger["reason"]))
    reasons = Counter({str(found["values"]): int(found["counts"]) for found in pc.value_counts(lost["reason"]).to_pylist()})
    rejected = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return PackResult(
        root=out,
        manifest=manifest,
        rejected=rejected,
        examples=first_of_each(lost, rejected),
        kept=kept,
        shares={split: number / manifest.num_kept for split, number in kept.items()},
        largest_owner=largest,
        largest_owner_shares={split: max(of_split.values(), default=0) / max(1, kept[split]) for split, of_split in owned.items()},
        num_unknown_owners=unknown,
        unmapped_columns=table.unmapped_columns,
        already_packed=already_packed,
        remarks=table.remarks,
        warnings=warnings_of(Kept.of([labels]), manifest.split_rule) if manifest.has_counts else (),
    )


def first_of_each(lost: pa.Table, reasons: Sequence[str] | dict[str, int]) -> dict[str, tuple[int, str]]:
    """Row and detail of the first line of each reason."""
    firsts = {reason: lost.slice(pc.index(lost["reason"], reason).as_py(), 1).to_pylist()[0] for reason in reasons}
    return {reason: (line["row"], line["detail"] or "") for reason, line in firsts.items()}


def _short(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:297]}..."
