"""Rows that a pack would lose, and whether so many that it should stop and ask: a loss that depends on the count is a loss of the study."""

import re
from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from shards.errors import ShardsError
from shards.fetch.rules import REASONS
from shards.pack.prepare import HEALS
from shards.pack.result import first_of_each
from shards.pack.rowfile import RowFile
from shards.words import counted

MAX_LOST_SHARE = 0.05  # of the rows, for a count that cannot be read
MIN_LOST = 10  # fewer never stop a pack
_CELL = re.compile(r"views: (['\"])(.*?)\1 is not a number")


def check_losses(rows: RowFile, name: str) -> None:
    """Raises ShardsError where too many rows have no count that can be read, or where what cannot be read are numbers written otherwise (1,234),
    which are those of some pictures and not of others."""
    lost = rows.table.select(["row", "reason", "detail"]).filter(pc.equal(rows.table["reason"], "bad_count"))
    if len(lost) < MIN_LOST:
        return
    details = lost["detail"].to_pylist()
    cells = [match[2] if (match := _CELL.match(detail)) else None for detail in details]
    written = sum(cell is not None and any(sign.isdigit() for sign in cell) for cell in cells)
    share = len(lost) / len(rows)
    if share <= MAX_LOST_SHARE and written < MIN_LOST:
        return
    shapes = Counter(_shape(cell) for cell in cells if cell is not None)
    found = [f"{num:,} like {shape!r}" for shape, num in shapes.most_common(3)]
    found += [f"{num:,} {text}" for text, num in Counter(_other(detail) for detail in details if not _CELL.match(detail)).most_common(2)]
    why = "numbers that are written otherwise" if share <= MAX_LOST_SHARE else f"at most {MAX_LOST_SHARE:.0%}"
    examples = zip(lost["row"].to_pylist(), details, strict=True)
    raise ShardsError(
        f"{name}: {counted(len(lost), 'row')} of {len(rows):,} ({share:.1%}) would be lost, for their views cannot be read; {why}",
        *[f"row {row}: {detail[:200]}" for row, detail in list(examples)[:3]],
        f"what they hold: {', '.join(found)}",
        hint="mend the column, or name another with --column views=COLUMN; --accept-losses leaves these rows out. What was done so far stays",
    )


def nothing_left(rows: pa.Table) -> ShardsError:
    """``rows`` have the columns row, reason and detail, no reason is null."""
    counts = Counter({str(found["values"]): int(found["counts"]) for found in pc.value_counts(rows["reason"]).to_pylist()})
    firsts = first_of_each(rows, sorted(counts))
    problems = [f"row {row}: {detail} ({reason}: {counted(counts[reason], 'row')})" for reason, (row, detail) in firsts.items()]
    again = "; the same command tries again" if set(counts) & HEALS else ""
    way = "mend the table, or name the folder that its paths start from: --pictures DIR"
    if "forbidden_address" in counts:
        way = "pictures of a private network: name their host, --fetch-from HOST[:PORT]"
    elif counts.keys() <= REASONS.keys():
        way = "is the network up, and are the addresses right?"
    hint = f"{way}{again}"
    return ShardsError(f"no picture left of {counted(len(rows), 'row')}; at least one", *problems, hint=hint)


def _shape(cell: str) -> str:
    """1,234 and 5,678 look alike."""
    return re.sub(r"[^\W\d_]+", "a", re.sub(r"\d+", "9", cell))


def _other(detail: str) -> str:
    text = detail.split(";")[0].removeprefix("views: ")
    return re.sub(r"^[+-]?[\d.eE+-]+ is ", "", text)
