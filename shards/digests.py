"""The digests that name a packed set, over what it says and not over how a writer laid it out."""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from shards.files import told


def labels_sha256(table: pa.Table | Iterable[pa.Table]) -> str:
    """Over the rows in their order (of tables: one after another), each as one line of JSON with sorted keys; times as ISO 8601 in UTC, NaN as null.

    The same for a table just made and for the one read back from labels.parquet, whatever the widths and units of its columns.
    """
    digest = hashlib.sha256()
    tables = [table] if isinstance(table, pa.Table) else table
    for batch in chain.from_iterable(part.to_batches(max_chunksize=10_000) for part in tables):
        for row in batch.to_pylist():
            line = json.dumps({name: _plain(value) for name, value in row.items()}, sort_keys=True, separators=(",", ":"), allow_nan=False)
            digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def files_sha256(paths: Sequence[Path]) -> str:
    """Of one file its own digest; of several, over their digests. Raises FileError."""
    digests = []
    for path in paths:
        with told(path, "a file that can be read"), path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    return digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()


def pictures_sha256(keys: Iterable[str], shas: Iterable[str]) -> str:
    """Over (key, sha256 of the packed JPEG, hex) in the order of the keys."""
    return pairs_sha256(zip(keys, shas, strict=True))


def pairs_sha256(pictures: Iterable[tuple[str, str]]) -> str:
    """As `pictures_sha256`, of keys and digests in pairs."""
    digest = hashlib.sha256()
    for key, sha in pictures:
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
