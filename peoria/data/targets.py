"""What is predicted, apart from how: the count (``target``), its scale, and the outlier filter that keeps "land mines" out of training.

Source: the paper, section 4.1 (removal of pictures more than six standard deviations above the mean).
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from peoria.errors import ConfigError
from shards.labels import Labels

Target = Literal["views", "favorites", "comments", "views_per_day"]
TargetScale = Literal["raw", "standard", "log1p"]
SHORT = {"views": "views", "favorites": "fav", "comments": "comments", "views_per_day": "views_per_day"}  # as metric names write them
LARGEST_LOG = 30.0  # e^30 is 10^13 views: more than anything has, and far from overflow


def known_counts(labels: Labels, target: str) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the pictures whose target is known, int64 [K], ascending, and the target in its own unit (a count, or views a day), float64 [K].

    A picture whose favourites, comments or dates are unknown has no part in what is fitted to them or measured by them; views are always known.

    Raises:
        ConfigError: the packed set has no such column, or no value in it for any of these pictures.
    """
    if target == "views_per_day":
        if labels.uploaded_at is None or labels.observed_at is None:
            raise ConfigError("target: views_per_day; it needs the columns uploaded_at and observed_at", hint="use target='views'")
        days = labels.age_days()  # NaN where unknown: as a float, NaT is the smallest number
        rows = np.flatnonzero(np.isfinite(days))
        if not len(rows):
            raise ConfigError("target: views_per_day; no picture has both uploaded_at and observed_at", hint="use target='views'")
        return rows, labels.views[rows] / np.maximum(days[rows], 1.0)
    rows, column = labels.counted(target)
    if not len(rows):
        raise ConfigError(f"target: {target}; the packed set has no such column", hint="use target='views', or pack a table that has it")
    return rows, column.astype(np.float64)


def counts(labels: Labels, target: str) -> np.ndarray:
    """The target of every picture, float64 [N].

    Raises:
        ConfigError: as `known_counts`, or it is unknown for some.
    """
    rows, y = known_counts(labels, target)
    if len(rows) < len(labels):
        raise ConfigError(f"target: {target}; unknown for {len(labels) - len(rows):,} of {len(labels):,} pictures; known for each")
    return y


def is_known(labels: Labels, target: str) -> bool:
    """Whether the target is known for any of these pictures."""
    if target == "views_per_day":
        return bool(np.isfinite(labels.age_days()).any()) and labels.observed_at is not None
    return len(labels.counted(target)[0]) > 0


def kept_by_outlier_filter(labels: Labels, outlier_sd: float | None) -> np.ndarray:
    """Which pictures of train stay, bool [N]: no count more than ``outlier_sd`` standard deviations above the mean of unfiltered train, where it is
    known; what is not known leaves nobody out.

    One-sided, and once (the paper, section 4.1). Only ever applied to train: a split that is filtered by a hyper-parameter rewards the
    tightest cut with no learning at all.
    """
    keep = np.ones(len(labels), dtype=bool)
    if outlier_sd is None:
        return keep
    for name in ("views", "favorites", "comments"):
        rows, column = labels.counted(name)
        if len(rows):
            keep[rows] &= column <= column.mean() + outlier_sd * column.std()
    return keep


@dataclass(frozen=True)
class Scale:
    """Maps a target to what the network fits: t = (g(y) − mean) / sd with g = log1p or the identity."""

    kind: TargetScale
    mean: float = 0.0
    sd: float = 1.0

    @classmethod
    def fit(cls, kind: TargetScale, kept: np.ndarray) -> "Scale":
        """Mean and standard deviation of the KEPT training pictures; raw leaves the target as it is."""
        if kind == "raw":
            return cls(kind)
        values = np.log1p(kept) if kind == "log1p" else kept
        sd = float(values.std())
        return cls(kind, float(values.mean()), sd if sd > 0 else 1.0)

    def forward(self, y: np.ndarray) -> np.ndarray:
        return ((np.log1p(y) if self.kind == "log1p" else y) - self.mean) / self.sd

    def inverse(self, t: np.ndarray) -> np.ndarray:
        """Back to the target's own unit."""
        values = np.asarray(t, dtype=np.float64) * self.sd + self.mean
        return np.expm1(np.clip(values, 0.0, LARGEST_LOG)) if self.kind == "log1p" else values
