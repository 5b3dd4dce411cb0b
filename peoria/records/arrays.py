"""Arrays of a sweep's folder, read without trust: a file of npz may be cut off, damaged or none."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from peoria.errors import RecordError


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an npz file, by name.

    Raises:
        RecordError: it is not there, or cannot be read whole.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:  # by a file of ours: left to numpy, a damaged one stays open
            return {name: stored[name] for name in stored.files}
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror or error}; a file of a sweep's folder") from None
    except (ValueError, EOFError, KeyError, TypeError, AttributeError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise RecordError(f"{path}: damaged ({str(error)[:100] or type(error).__name__}); the arrays that were written") from None
