"""JSON as the files of a sweep's folder hold it: written whole, read strictly."""

import json
from pathlib import Path
from typing import Any

from peoria.errors import RecordError
from shards.files import write_atomic


def write_json(path: Path, value: Any) -> None:
    """Whole or not at all, with sorted keys; raises ValueError for NaN and infinity."""
    write_atomic(path, (json.dumps(value, sort_keys=True, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """What is in a file of the folder, whatever it is.

    Raises:
        RecordError: it is not there, or no JSON: NaN, infinity and a key that stands twice are none either.
    """

    def refused(token: str) -> None:
        raise ValueError(f"{token} is no number")

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key stands twice")
        return found

    try:
        return json.loads(path.read_bytes(), parse_constant=refused, object_pairs_hook=once)
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}; a file of a sweep's folder") from None
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: not JSON ({str(error)[:100]}); it is written whole by `peoria sweep`") from None
