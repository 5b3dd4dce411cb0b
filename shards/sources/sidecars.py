"""What is said of a picture in a file beside it: KEY.json or a text, in a tar or in a folder."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any

from shards.sources.cells import Bad
from shards.sources.held import printable
from shards.sources.source import BadRow, Record

MOST_BYTES = 16 * 2**20
MOST_COLUMNS = 10_000  # names of fields that are remembered


def left_out(detail: str, reason: str = "bad_row", id: str = "") -> BadRow:
    """A row that is none, in words that a ledger can hold."""
    return BadRow(printable(detail), reason, printable(id))


def refuse_long(num_bytes: int) -> None:
    """Raises Bad for a sidecar that is none."""
    if num_bytes > MOST_BYTES:
        raise Bad("bad_row", f"{num_bytes:,} bytes; at most {MOST_BYTES:,}")


def fields(data: bytes, text: str = "") -> Record:
    """The fields of a JSON object, nested ones by dots: ``{"stats": {"views": 3}}`` is ``{"stats.views": 3}``; or one field of this name, a ``text``.
    Raises Bad."""
    try:
        if text:
            return {text: data.decode("utf-8-sig").strip()}
        value = json.loads(data)
        if isinstance(value, dict):
            return _flat(value)
    except (ValueError, RecursionError):
        pass
    raise Bad("bad_row", "not UTF-8; a text" if text else "not a JSON object; one object")


def _flat(value: dict[str, Any], prefix: str = "") -> Record:
    found: Record = {}
    for name, inner in value.items():
        found |= _flat(inner, f"{prefix}{name}.") if isinstance(inner, dict) and inner else {f"{prefix}{name}": inner}
    return found


def placed(path: str, said: Record) -> Record:
    """What is said, and where the picture is; a path that the sidecar names is ``json.path``."""
    return {"json.path" if name == "path" else name: value for name, value in said.items()} | {"path": path}


def looked_through(rows: Iterable[tuple[Record | BadRow, int]], names: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """All columns, ``names`` first, and a digest of the rows and of the sizes of their pictures, whose bytes are not read."""
    found, digest = dict.fromkeys(names), hashlib.sha256()
    for row, size in rows:
        if not isinstance(row, BadRow) and len(found) < MOST_COLUMNS:
            found |= dict.fromkeys(row)
        said = [row.reason, row.id, row.detail] if isinstance(row, BadRow) else row
        digest.update(json.dumps([said, size], sort_keys=True).encode() + b"\n")
    return tuple(found), digest.hexdigest()
