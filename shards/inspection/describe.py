"""What is in a packed set: the paper's Tables 1 and 2 and Figure 2, for the whole and for each split, and what was left out and why."""

import hashlib
import io
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shards.errors import DamagedShardError, ShardsError
from shards.files import write_atomic
from shards.inspection.count_tables import COUNTS, CountTables
from shards.inspection.histograms import ViewsHistogram, draw
from shards.manifest import LEDGER, NEAR_DUPLICATES, SPLITS
from shards.read.openings import TestOpening
from shards.read.shard_set import ShardSet

if TYPE_CHECKING:
    import pyarrow as pa


def describe(root: Path) -> dict[str, Any]:
    """Sums over the set; no row of it. Raises ShardsError and DamagedShardError.

    ``parts`` holds "total" and each split that has pictures: ``num_pictures``, ``share`` of all, ``num_owners``, ``num_unknown_owners``,
    ``largest_owner_share``, ``counts`` (Table 1: mean, sd with n - 1, max, share_zero, for each count that the table had) and
    ``correlations`` (Table 2: Pearson, upper triangle as "views favorites"; null where a count does not vary). ``near_duplicates`` is the number
    of pairs of nearly the same picture by ``other_owner`` and ``same_owner``, rejected pictures too; null in a set that did not keep them.
    """
    shard_set = ShardSet(root)
    manifest, table = shard_set.manifest, shard_set.table
    split = np.array(table["split"].to_pylist(), dtype=np.str_)
    parts = {"total": _part(table, len(table))}
    for name in SPLITS:
        if (split == name).any():
            parts[name] = _part(table.filter(split == name), len(table))
    return {
        "table": manifest.source.table,
        "identity": manifest.identity,
        "num_rows": manifest.source.num_rows,
        "num_kept": manifest.num_kept,
        "num_rejected": manifest.num_rejected,
        "rejected": _reasons(root),
        "num_shards": len(manifest.shards),
        "num_bytes": sum(shard.bytes for shard in manifest.shards),
        "uploaded_at": _range(table, "uploaded_at"),
        "observed_at": _range(table, "observed_at"),
        "near_duplicates": _num_pairs(shard_set),
        "parts": parts,
    }


def near_duplicates(shard_set: ShardSet, opening: TestOpening | None = None) -> dict[str, np.ndarray] | None:
    """Counts and owners of pairs of nearly the same picture, of all splits and of rejected pictures too; None where the set did not keep them.

    ``views_a`` and ``views_b`` are int64 [P], ``owner_a`` and ``owner_b`` str [P]; each picture is in at most one pair of different owners
    and in at most one of one owner. Test pictures are among them: raises TestSplitClosedError without an opening on record, and
    DamagedShardError where the file is not the one that was packed.
    """
    shard_set.check_open("test", opening)
    table = _pairs(shard_set)
    if table is None:
        return None
    views = {name: table[name].to_numpy() for name in ("views_a", "views_b")}
    return views | {name: np.array(table[name].to_pylist(), dtype=np.str_) for name in ("owner_a", "owner_b")}


def render_text(found: dict[str, Any]) -> str:
    """``found`` as lines to read, 100 columns at most."""
    lines = [
        f"{found['table']}: {found['num_rows']:,} rows = {found['num_kept']:,} kept + {found['num_rejected']:,} left out",
        f"{found['num_shards']:,} shards, {found['num_bytes'] / 1e6:,.1f} MB; identity {found['identity'][:16]}",
    ]
    lines += [f"{name}: {found[name][0]} to {found[name][1]}" for name in ("uploaded_at", "observed_at") if found[name]]
    lines += [f"  left out, {reason}: {num:,}" for reason, num in found["rejected"].items()]
    pairs = found["near_duplicates"]
    said = "not kept by this packed set" if pairs is None else f"{pairs['other_owner']:,} pairs of different owners, {pairs['same_owner']:,} of one"
    lines.append(f"near-duplicates: {said}")
    lines += ["", f"{'':12}{'pictures':>10}{'share':>9}{'owners':>9}{'unknown':>9}{'largest owner':>15}"]
    for name, part in found["parts"].items():
        largest = "" if part["largest_owner_share"] is None else f"{part['largest_owner_share']:.2%}"
        lines.append(
            f"{name:12}{part['num_pictures']:>10,}{part['share']:>9.2%}{part['num_owners']:>9,}{part['num_unknown_owners']:>9,}{largest:>15}"
        )
    lines += ["", "Popularity (paper, Table 1)", f"{'':22}{'mean':>12}{'sd':>12}{'max':>13}{'zeros':>9}"]
    for name, part in found["parts"].items():
        for count, row in part["counts"].items():
            sd = "" if row["sd"] is None else f"{row['sd']:,.2f}"
            lines.append(f"{name:10}{count:12}{row['mean']:>12,.2f}{sd:>12}{row['max']:>13,}{row['share_zero']:>9.1%}")
    columns = list(found["parts"]["total"]["correlations"])
    if columns:
        lines += ["", "Pearson correlations (paper, Table 2)", f"{'':10}" + "".join(f"{pair.replace(' ', ', '):>22}" for pair in columns)]
        for name, part in found["parts"].items():
            values = ["no variation" if part["correlations"][pair] is None else f"{part['correlations'][pair]:.2f}" for pair in columns]
            lines.append(f"{name:10}" + "".join(f"{value:>22}" for value in values))
    return "\n".join(lines) + "\n"


def write_description(root: Path, found: dict[str, Any], out: Path) -> list[Path]:
    """Writes describe.json, describe.txt and describe.png (the paper's Figure 2) into ``out``, ``found`` being `describe` of ``root``. Raises
    ShardsError and DamagedShardError."""
    views = ViewsHistogram.of(ShardSet(root).table["views"].to_numpy())
    files = {
        "describe.json": (json.dumps(found, sort_keys=True, indent=1, allow_nan=False) + "\n").encode(),
        "describe.txt": render_text(found).encode(),
        "describe.png": draw(views),
    }
    try:
        for name, data in files.items():
            write_atomic(out / name, data)
    except OSError as error:
        raise ShardsError(f"{out}: {error.strerror}; a folder that can be written to") from None
    return [out / name for name in files]


def _part(table: "pa.Table", num_all: int) -> dict[str, Any]:
    tables = CountTables.of({name: table[name].to_numpy() for name in COUNTS if name in table.column_names})
    owners = Counter(owner for owner in table["owner"].to_pylist() if owner)
    return {
        "num_pictures": len(table),
        "share": len(table) / num_all,
        "num_owners": len(owners),
        "num_unknown_owners": len(table) - owners.total(),
        "largest_owner_share": max(owners.values()) / len(table) if owners else None,
        "counts": {
            name: {"mean": row.mean, "sd": row.sd, "max": row.max, "share_zero": row.share_zero} for name, row in tables.table_1.items()
        },
        "correlations": tables.table_2,
    }  # fmt: skip


def _num_pairs(shard_set: ShardSet) -> dict[str, int] | None:
    table = _pairs(shard_set)
    if table is None:
        return None
    same = sum(a == b for a, b in zip(table["owner_a"].to_pylist(), table["owner_b"].to_pylist(), strict=True))
    return {"other_owner": len(table) - same, "same_owner": same}


def _pairs(shard_set: ShardSet) -> "pa.Table | None":
    """near_duplicates.parquet, test counts and all; None where the manifest knows of none. Raises DamagedShardError."""
    import pyarrow.parquet as pq

    path, packed = shard_set.root / NEAR_DUPLICATES, shard_set.manifest.files_sha256.get(NEAR_DUPLICATES)
    if packed is None:
        return None
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DamagedShardError(f"{path}: {error.strerror}; the one that was packed", hint="fetch it again, or pack again") from None
    if (found := hashlib.sha256(data).hexdigest()) != packed:
        raise DamagedShardError(f"{path}: sha256 {found[:16]}…; {packed[:16]}… was packed", hint="fetch it again, or pack again")
    return pq.read_table(io.BytesIO(data))


def _reasons(root: Path) -> dict[str, int]:
    """Most frequent first."""
    import pyarrow.parquet as pq

    if not (root / LEDGER).is_file():
        raise DamagedShardError(f"{root / LEDGER}: missing; one line for every row of the table", hint="peoria verify names all that is wrong")
    reasons = Counter(reason for reason in pq.read_table(root / LEDGER, columns=["reason"])["reason"].to_pylist() if reason)
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


def _range(table: "pa.Table", name: str) -> list[str] | None:
    times = [time for time in table[name].to_pylist() if time is not None] if name in table.column_names else []
    return [f"{time:%Y-%m-%d}" for time in (min(times), max(times))] if times else None
