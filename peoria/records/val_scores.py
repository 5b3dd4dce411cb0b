"""The scores of every val picture, as a trial or a baseline leaves them: intervals and new metrics then need no retraining."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from peoria.errors import RecordError
from peoria.records.arrays import read_arrays
from shards.files import write_atomic


@dataclass(frozen=True)
class ValScores:
    """Row ``i`` is picture ``i`` of val. ``views`` and ``favorites`` are the same array for a network."""

    keys: np.ndarray  # str [N]
    views: np.ndarray  # float64 [N]
    favorites: np.ndarray  # float64 [N]

    def write(self, path: Path) -> str:
        """Whole or not at all; one array where both scores are the same. Returns the file's sha256, hex."""
        buffer = io.BytesIO()
        if self.favorites is self.views:
            np.savez(buffer, keys=self.keys, scores=self.views)
        else:
            np.savez(buffer, keys=self.keys, views=self.views, favorites=self.favorites)
        write_atomic(path, buffer.getvalue())
        return hashlib.sha256(buffer.getbuffer()).hexdigest()

    @classmethod
    def read(cls, path: Path) -> "ValScores":
        """
        Raises:
            RecordError: it is not there, damaged, or holds something else.
        """
        stored = read_arrays(path)
        names = ("scores", "scores") if "scores" in stored else ("views", "favorites")
        if not {"keys", *names} <= stored.keys() or any(stored[name].shape != stored["keys"].shape for name in names):
            raise RecordError(f"{path}: {', '.join(sorted(stored)) or 'nothing'}; keys and a score for each")
        views = np.asarray(stored[names[0]], np.float64)
        favorites = views if names[0] == names[1] else np.asarray(stored[names[1]], np.float64)
        return cls(stored["keys"], views, favorites)
