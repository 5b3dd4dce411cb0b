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
SECONDS_PER_DAY = 86_400
LARGEST_LOG = 30.0  # e^30 is 10^13 views: more than anything has, and far from overflow


def counts(labels: Labels, target: str) -> np.ndarray:
    """The target in its own unit (a count, or views a day), float64 [N].

    Raises:
        ConfigError: the packed set has no such column.
    """
    if target == "views":
        return labels.views.astype(np.float64)
    if target == "views_per_day":
        if labels.uploaded_at is None or labels.observed_at is None:
            raise ConfigError("target: views_per_day; it needs the columns uploaded_at and observed_at", hint="use target='views'")
        days = (labels.observed_at - labels.uploaded_at).astype(np.float64) / SECONDS_PER_DAY
        if not np.isfinite(days).all():
            raise ConfigError("target: views_per_day; every picture needs uploaded_at and observed_at", hint="use target='views'")
        return labels.views / np.maximum(days, 1.0)
    column = {"favorites": labels.favorites, "comments": labels.comments}[target]
    if column is None:
        raise ConfigError(f"target: {target}; the packed set has no such column", hint="use target='views', or pack a table that has it")
    return column.astype(np.float64)


def kept_by_outlier_filter(labels: Labels, outlier_sd: float | None) -> np.ndarray:
    """Which pictures of train stay, bool [N]: no count more than ``outlier_sd`` standard deviations above the mean of unfiltered train.

    One-sided, and once (the paper, section 4.1). Only ever applied to train: a split that is filtered by a hyper-parameter rewards the
    tightest cut with no learning at all.
    """
    keep = np.ones(len(labels), dtype=bool)
    if outlier_sd is None:
        return keep
    for column in (labels.views, labels.favorites, labels.comments):
        if column is not None:
            keep &= column <= column.mean() + outlier_sd * column.std()
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
