"""Labels of which some pictures lack a count."""

from dataclasses import replace

import numpy as np

from peoria.data.dataset import SplitData
from shards.counts import Counts, counts_of
from shards.labels import Labels


def known_in_part(column: Counts | None, share_unknown: float, seed: int = 0) -> tuple[Counts | None, np.ndarray]:
    """The column without some of its values, and bool [N], which are left."""
    assert isinstance(column, np.ndarray)
    known = np.random.default_rng(seed).random(len(column)) >= share_unknown
    return counts_of(column[known], known), known


def without_favorites(labels: Labels, share: float, seed: int = 0) -> tuple[Labels, np.ndarray]:
    """The labels without the favourites of a share of the pictures, and bool [N], whose are left."""
    favorites, known = known_in_part(labels.favorites, share, seed)
    return replace(labels, favorites=favorites), known


def split_without_favorites(split: SplitData, share: float, seed: int = 0) -> tuple[SplitData, np.ndarray]:
    labels, known = without_favorites(split.labels, share, seed)
    return replace(split, labels=labels), known
