"""What is in a packed set: the paper's Tables 1 and 2 and Figure 2, for the whole and for each split, and what was left out and why."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from shards.files import remove_stale, write_atomic
from shards.inspection.count_tables import CountTables
from shards.inspection.histograms import ViewsHistogram, draw
from shards.labels import OPTIONAL_COUNTS, TIMES
from shards.manifest import LABELS, LEDGER, NEAR_DUPLICATES, SPLITS
from shards.pack.judged import warnings_of
from shards.pack.kept import Kept, Reading
from shards.read.openings import TestOpening
from shards.read.shard_set import ShardSet
from shards.words import counted

if TYPE_CHECKING:
    import pyarrow as pa

_WIDTH = 100  # of a line, in letters; tables of large numbers are wider


def describe(root: Path | ShardSet) -> dict[str, Any]:
    """Sums over the set, or the one in a folder; no row of it. Raises ShardsError and DamagedShardError.

    ``parts`` holds "total" and each split that has pictures: ``num_pictures``, ``share`` of all, ``num_owners``, ``num_unknown_owners``,
    ``largest_owner_share``, ``counts`` (Table 1: mean, sd with n - 1, max, share_zero, for each count that the table had, of the pictures where it is
    known), ``correlations`` (Table 2: Pearson, upper triangle as "views favorites"; null where a count does not vary) and ``unknown``, the number of
    pictures without an optional count or time, where there are some. ``near_duplicates`` is the number of pairs of nearly the same picture by
    ``other_owner`` and ``same_owner``, rejected pictures too; null in a set that did not keep them. ``warnings`` is what will stand in the way of a
    study (`shards.pack.judged`), a line each. ``unreadable_counts`` is the number of rows left
    out for a count that was missing or could not be read, by the first such count; ``unreadable`` that of kept pictures with an optional value
    that could not be read, by its name, with an example.
    """
    shard_set = root if isinstance(root, ShardSet) else ShardSet(root)
    shard_set.check_counted()
    manifest, reading = shard_set.manifest, Reading()
    shard_set.each_group(LABELS, reading.add)
    kept = reading.kept()
    parts = {"total": _part(kept, len(kept))} | {name: _part(part, len(kept)) for name in SPLITS if len(part := kept.of_split(name))}
    reasons, unreadable_counts = _left_out(shard_set)
    return {
        "table": manifest.source.table,
        "identity": manifest.identity,
        "num_rows": manifest.num_rows,
        "num_kept": manifest.num_kept,
        "num_rejected": manifest.num_rejected,
        "rejected": reasons,
        "unreadable_counts": unreadable_counts,
        "unreadable": {name: [of.num_unreadable, of.example] for name, of in manifest.unknown.items() if of.num_unreadable},
        "num_shards": len(manifest.shards),
        "num_bytes": sum(shard.bytes for shard in manifest.shards),
        "uploaded_at": _range(kept, "uploaded_at"),
        "observed_at": _range(kept, "observed_at"),
        "near_duplicates": _num_pairs(shard_set),
        "parts": parts,
        "warnings": list(warnings_of(kept, manifest.split_rule)),
    }


def near_duplicates(shard_set: ShardSet, opening: TestOpening | None = None) -> dict[str, np.ndarray] | None:
    """Counts and owners of pairs of nearly the same picture, of all splits and of rejected pictures too, but of test only what the opening shows;
    None where the set did not keep them.

    ``views_a`` and ``views_b`` are int64 [P], ``owner_a`` and ``owner_b`` str [P]; each picture is in at most one pair of different owners
    and in at most one of one owner. Test pictures are among them: raises TestSplitClosedError without an opening on record, and
    DamagedShardError where the file is not the one that was packed.
    """
    shard_set.check_open("test", opening)
    table = _pairs(shard_set, ["id_a", "id_b", "split_a", "split_b"])
    if table is None:
        return None
    shown = set(shard_set.labels("test", opening).ids.tolist())
    sides = [zip(table[f"split_{side}"].to_pylist(), table[f"id_{side}"].to_pylist(), strict=True) for side in "ab"]
    mask = [all(split != "test" or one in shown for split, one in pair) for pair in zip(*sides, strict=True)]
    table = table.filter(np.array(mask, bool))
    views = {name: table[name].to_numpy() for name in ("views_a", "views_b")}
    return views | {name: np.array(table[name].to_pylist(), dtype=np.str_) for name in ("owner_a", "owner_b")}


def render_text(found: dict[str, Any]) -> str:
    """``found`` as lines to read, each column as wide as its widest cell."""
    lines = [
        f"{found['table']}: {counted(found['num_rows'], 'row')} = {found['num_kept']:,} kept + {found['num_rejected']:,} left out",
        f"{counted(found['num_shards'], 'shard')}, {found['num_bytes'] / 1e6:,.1f} MB; identity {found['identity'][:16]}",
    ]
    lines += [f"{name}: {found[name][0]} to {found[name][1]}" for name in ("uploaded_at", "observed_at") if found[name]]
    lines += [f"  left out, {reason}: {num:,}" for reason, num in found["rejected"].items()]
    lines += [f"  unreadable, {name}: {num:,}, first {example}" for name, (num, example) in found["unreadable"].items()]
    pairs = found["near_duplicates"]
    said = "not kept by this packed set" if pairs is None else f"{pairs['other_owner']:,} pairs of different owners, {pairs['same_owner']:,} of one"
    lines.append(f"near-duplicates: {said}")
    parts, total = found["parts"], found["parts"]["total"]
    header = ["", "pictures", "share", "owners", "unknown", "largest owner"]
    lines += ["", *_columns([header, *([name, *_of_owners(part)] for name, part in parts.items())])]
    unknown = [name for name in (*OPTIONAL_COUNTS, *TIMES) if name in total["unknown"]]
    if unknown:
        rows = [[name, *(f"{part['unknown'].get(of, 0) / part['num_pictures']:.2%}" for of in unknown)] for name, part in parts.items()]
        lines += ["", *_columns([["Unknown for", *unknown], *rows])]
    rows = [[f"{name:10}{count}", *_of_counts(row)] for name, part in parts.items() for count, row in part["counts"].items()]
    lines += ["", "Popularity (paper, Table 1)", *_columns([["", "mean", "sd", "max", "zeros"], *rows])]
    pairs = list(total["correlations"])
    if pairs:
        rows = [
            [name, *("no variation" if (of := part["correlations"][pair]) is None else f"{of:.2f}" for pair in pairs)] for name, part in parts.items()
        ]
        lines += ["", "Pearson correlations (paper, Table 2)", *_columns([["", *(pair.replace(" ", ", ") for pair in pairs)], *rows])]
    if found["warnings"]:
        lines += ["", *(line for text in found["warnings"] for line in wrap(f"warning: {text}", _WIDTH, subsequent_indent="  "))]
    return "\n".join(lines) + "\n"


def _columns(rows: list[list[str]]) -> list[str]:
    """Cells under one another, the first column to the left, the others to the right, each as wide as its widest cell."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]) for row in rows]


def _of_owners(part: dict[str, Any]) -> list[str]:
    largest = "" if part["largest_owner_share"] is None else f"{part['largest_owner_share']:.2%}"
    return [f"{part['num_pictures']:,}", f"{part['share']:.2%}", f"{part['num_owners']:,}", f"{part['num_unknown_owners']:,}", largest]


def _of_counts(row: dict[str, Any]) -> list[str]:
    sd = "" if row["sd"] is None else f"{row['sd']:,.2f}"
    return [f"{row['mean']:,.2f}", sd, f"{row['max']:,}", f"{row['share_zero']:.1%}"]


def write_description(root: Path | ShardSet, found: dict[str, Any], out: Path) -> list[Path]:
    """Writes describe.json, describe.txt and describe.png (the paper's Figure 2) into ``out``, ``found`` being `describe` of ``root``. Raises
    ShardsError and DamagedShardError."""
    shard_set = root if isinstance(root, ShardSet) else ShardSet(root)
    views: list[np.ndarray] = []
    shard_set.each_group(LABELS, lambda group: views.append(group["views"].to_numpy()), ["views"])
    files = {
        "describe.json": (json.dumps(found, sort_keys=True, indent=1, allow_nan=False) + "\n").encode(),
        "describe.txt": render_text(found).encode(),
        "describe.png": draw(ViewsHistogram.of(np.concatenate(views))),
    }
    for name, data in files.items():
        remove_stale(out, below=False, of=name)
        write_atomic(out / name, data)
    return [out / name for name in files]


def _part(kept: Kept, num_all: int) -> dict[str, Any]:
    tables, sizes = CountTables.of({"views": kept.views, **kept.counts}), kept.sizes
    return {
        "num_pictures": len(kept),
        "share": len(kept) / num_all,
        "num_owners": len(sizes),
        "num_unknown_owners": kept.num_unknown_owners,
        "largest_owner_share": int(sizes.max()) / len(kept) if len(sizes) else None,
        "counts": {
            name: {"mean": row.mean, "sd": row.sd, "max": row.max, "share_zero": row.share_zero} for name, row in tables.table_1.items()
        },
        "correlations": tables.table_2,
        "unknown": kept.unknown,
    }  # fmt: skip


def _num_pairs(shard_set: ShardSet) -> dict[str, int] | None:
    table = _pairs(shard_set)
    if table is None:
        return None
    import pyarrow.compute as pc

    same = pc.sum(pc.equal(table["owner_a"], table["owner_b"])).as_py() or 0
    return {"other_owner": len(table) - same, "same_owner": same}


def _pairs(shard_set: ShardSet, more: Sequence[str] = ()) -> "pa.Table | None":
    """near_duplicates.parquet, test counts and all; None where the manifest knows of none. Raises DamagedShardError."""
    if not shard_set.manifest.keeps_pairs:
        return None
    return shard_set.packed(NEAR_DUPLICATES, ["owner_a", "owner_b", "views_a", "views_b", *more])


def _left_out(shard_set: ShardSet) -> tuple[dict[str, int], dict[str, int]]:
    """The rows left out: by reason, most frequent first; and those left out for a count, by the count: of what is packed now views alone, for no row
    needs another; sets packed before left out rows for each count."""
    import pyarrow.compute as pc

    reasons, counts = Counter[str](), Counter[str]()

    def take(group: "pa.Table") -> None:
        reasons.update({str(found["values"]): int(found["counts"]) for found in pc.value_counts(group["reason"].drop_null()).to_pylist()})
        counts.update(detail.split(":")[0] for detail in group.filter(pc.equal(group["reason"], "bad_count"))["detail"].to_pylist())

    shard_set.each_group(LEDGER, take, ["reason", "detail"])
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))), dict(counts)


def _range(kept: Kept, name: str) -> list[str] | None:
    times = kept.times.get(name, np.zeros(0, "datetime64[s]"))
    times = times[~np.isnat(times)]
    return [str(time)[:10] for time in (times.min(), times.max())] if len(times) else None
