"""The counts and the context of one split, as arrays in the order of its pictures."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Labels:
    """Row ``i`` of every array belongs to picture ``i`` of the split; pictures are in the order of their keys.

    Counts are raw (int64). A column that the table did not have is ``None``; a single unknown owner is ``""`` and a single unknown time
    is ``NaT``.
    """

    keys: np.ndarray  # str [N], digits only
    ids: np.ndarray  # str [N]
    owners: np.ndarray  # str [N]
    views: np.ndarray  # int64 [N]
    favorites: np.ndarray | None = None  # int64 [N]
    comments: np.ndarray | None = None  # int64 [N]
    uploaded_at: np.ndarray | None = None  # datetime64[s] [N]
    observed_at: np.ndarray | None = None  # datetime64[s] [N], when the counts were read
    tags: np.ndarray | None = None  # str [N], as the table gave them
    extra: dict[str, np.ndarray] = field(default_factory=dict)  # columns kept on request, object [N]

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, rows: np.ndarray) -> "Labels":
        """The same columns at ``rows`` (a mask or indices)."""

        def at(column: np.ndarray | None) -> np.ndarray | None:
            return None if column is None else column[rows]

        return Labels(
            keys=self.keys[rows],
            ids=self.ids[rows],
            owners=self.owners[rows],
            views=self.views[rows],
            favorites=at(self.favorites),
            comments=at(self.comments),
            uploaded_at=at(self.uploaded_at),
            observed_at=at(self.observed_at),
            tags=at(self.tags),
            extra={name: column[rows] for name, column in self.extra.items()},
        )
