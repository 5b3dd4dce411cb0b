"""A finished set packed again because some of its rows may have healed, without a picture of it being decoded or fetched twice.

What is in the shards is taken from there: for each kept picture a line in ``restored.arrow`` says where its JPEG lies. Only rows that failed for a
reason that can heal, and those that owners' caps and near-duplicates took out, which are in no shard, are made ready. Where none has healed the set
stays as it is. Else the manifest goes first, so that from then on the same command without ``retry`` finishes; then the shards move into
``.staging/old``, in one step, and new ones are written from there. Killed before, there is the old set; after, an unfinished one that goes on.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shards.files import read_plain, sync_folder
from shards.images.pdq import pdq
from shards.labels import read_packed
from shards.manifest import LEDGER, MANIFEST, SPLITS, Manifest
from shards.pack import staging
from shards.pack.prepare import HEALS
from shards.pack.rowfile import RowFile, write_rows
from shards.pack.staging import LINES, OLD, RESTORED
from shards.read.shard_set import decode_picture
from shards.read.tar_index import MappedShard

_LAID_OUT = ("owner_cap", "near_duplicate")  # made ready, and in no shard
_SCHEMA = pa.schema([*LINES, pa.field("chunk", pa.int64())])  # -1 - the number of the shard, into which ``offset`` points


def clear_stale(out: Path, work: Path) -> None:
    """Of a finished set: removes what is not a retry of this very set."""
    restored = work / RESTORED
    same = os.path.lexists(restored) and not os.path.lexists(work / OLD) and RowFile(restored).schema.metadata == _mark(out)
    if not same:
        staging.clear(work)


def restore(out: Path, work: Path, manifest: Manifest, rows: RowFile) -> np.ndarray:
    """Writes what is in the shards, and what cannot heal, into ``restored.arrow``; the rows that can, int64, are returned."""
    ledger = read_packed(out, LEDGER, manifest, ["reason", "detail", "key"])
    reasons = ledger["reason"].to_numpy(zero_copy_only=False)
    can_heal = np.flatnonzero(np.isin(reasons, list(HEALS)))
    if not os.path.lexists(work / RESTORED):
        refused = ~rows.is_null("reason")  # while the table was read
        ledger = ledger.append_column("row", pa.array(np.arange(len(ledger))))
        lost = np.array([reason is not None and reason not in HEALS and reason not in _LAID_OUT for reason in reasons]) & ~refused
        row_of = {key: row for row, key in enumerate(ledger["key"].to_pylist()) if key is not None}
        lines = [_lines_of(ledger.filter(pa.array(lost)).select(["row", "reason", "detail"])), *_kept(out, manifest, row_of)]
        table = pa.concat_tables(lines).sort_by("row")
        write_rows(work / RESTORED, _SCHEMA.with_metadata(_mark(out)), [table])
    return can_heal


def num_healed(work: Path, can_heal: np.ndarray) -> int:
    """Of these rows, those whose pictures are there now."""
    num = 0
    for chunk in np.unique(can_heal // staging.CHUNK_ROWS).tolist():
        lines = staging.read_lines(work, chunk)
        good = lines["row"].to_numpy()[lines["reason"].is_null().to_numpy()]
        num += int(np.isin(can_heal, good).sum())
    return num


def begin(out: Path, work: Path) -> None:
    """From here on the set is an unfinished one; does what of that was not done before."""
    (out / MANIFEST).unlink(missing_ok=True)
    sync_folder(out)
    if not (work / OLD).exists():
        moving = work / f"{OLD}.moving"
        moving.mkdir(exist_ok=True)
        for split in SPLITS:
            if (out / split).exists() and not (moving / split).exists():
                os.rename(out / split, moving / split)
        os.rename(moving, work / OLD)
        sync_folder(work)


def _mark(out: Path) -> dict[bytes, bytes]:
    return {b"manifest": hashlib.sha256(read_plain(out / MANIFEST)).hexdigest().encode()}


def _kept(out: Path, manifest: Manifest, row_of: dict[str, int]) -> Iterator[pa.Table]:
    pixels = np.empty((manifest.picture_rule.crop_px, manifest.picture_rule.crop_px, 3), np.uint8)
    for shard in manifest.shards:
        lines = []
        with MappedShard(out, shard) as mapped:
            for key, places in mapped.places.items():
                known = json.loads(bytes(mapped.member(key, "json")))
                jpeg = bytes(mapped.member(key, "jpg"))
                if "quality" not in known:  # packed before it was kept: near enough, for it only says whether the picture is flat
                    decode_picture(jpeg, pixels)
                    known["quality"] = pdq(pixels)[1]
                offset, num_bytes = places["jpg"]
                line: dict[str, Any] = {"row": row_of[key], "chunk": -1 - int(key[:5]), "offset": offset, "bytes": num_bytes}
                line |= {name: known[name] for name in ("width", "height", "quality")}
                line |= {
                    "pdq": bytes.fromhex(known["pdq"]),
                    "original_sha256": bytes.fromhex(known["sha256"]),
                    "jpeg_sha256": hashlib.sha256(jpeg).digest(),
                }
                lines.append(line)
        yield pa.Table.from_pylist(lines, _SCHEMA)


def _lines_of(lost: pa.Table) -> pa.Table:
    """Without a picture."""
    columns = [lost[name] if name in lost.column_names else pa.nulls(len(lost), _SCHEMA.field(name).type) for name in _SCHEMA.names]
    return pa.table(columns, schema=_SCHEMA)
