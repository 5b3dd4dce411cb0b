"""The digests that name a packed set, over what it says and not over how a writer laid it out."""

import hashlib
import json
import math
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

import pyarrow as pa


def labels_sha256(table: pa.Table) -> str:
    """Over the rows in their order, each as one line of JSON with sorted keys; times as ISO 8601 in UTC, NaN as null.

    The same for a table just made and for the one read back from labels.parquet, whatever the widths and units of its columns.
    """
    digest = hashlib.sha256()
    for batch in table.to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            line = json.dumps({name: _plain(value) for name, value in row.items()}, sort_keys=True, separators=(",", ":"), allow_nan=False)
            digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def pictures_sha256(keys: Iterable[str], shas: Iterable[str]) -> str:
    """Over (key, sha256 of the packed JPEG, hex) in the order of the keys."""
    digest = hashlib.sha256()
    for key, sha in zip(keys, shas, strict=True):
        digest.update(f"{key} {sha}\n".encode())
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
