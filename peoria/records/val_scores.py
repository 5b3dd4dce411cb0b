"""The scores of every val picture, as a trial or a baseline leaves them: intervals and new metrics then need no retraining."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shards.files import write_atomic


@dataclass(frozen=True)
class ValScores:
    """Row ``i`` is picture ``i`` of val. ``views`` and ``favorites`` are the same array for a network."""

    keys: np.ndarray  # str [N]
    views: np.ndarray  # float64 [N]
    favorites: np.ndarray  # float64 [N]

    def write(self, path: Path) -> None:
        """Whole or not at all; one array where both scores are the same."""
        buffer = io.BytesIO()
        if self.favorites is self.views:
            np.savez(buffer, keys=self.keys, scores=self.views)
        else:
            np.savez(buffer, keys=self.keys, views=self.views, favorites=self.favorites)
        write_atomic(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> "ValScores":
        with np.load(path, allow_pickle=False) as stored:
            names = ("scores", "scores") if "scores" in stored.files else ("views", "favorites")
            views = np.asarray(stored[names[0]], np.float64)
            favorites = views if names[0] == names[1] else np.asarray(stored[names[1]], np.float64)
            return cls(stored["keys"], views, favorites)
