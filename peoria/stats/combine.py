"""Two scores of one picture, image and context, joined into one on val."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from peoria.errors import PeoriaError
from peoria.stats.metrics import Floats, rankable


@dataclass(frozen=True)
class Combination:
    """rank of y ≈ constant + ``context``·rank of the context score + ``image``·rank of the image score, both weights ≥ 0; fitted on val."""

    context: float
    image: float
    context_val: Floats  # sorted
    image_val: Floats  # sorted

    def score(self, context: ArrayLike, image: ArrayLike) -> Floats:
        """The combined score [N]; a picture's does not depend on which others are asked about. Without a weight for the image, the context's."""
        if self.image == 0:
            return np.asarray(context, np.float64)
        return self.context * _place(self.context_val, context) + self.image * _place(self.image_val, image)


def combine(image_val: ArrayLike, context_val: ArrayLike, y_val: ArrayLike) -> Combination:
    """Fits a `Combination` to val by least squares; ``y_val`` [N] may be views, or 0 and 1.

    Scores enter as ranks, for those of different tasks have different scales and tails. Weights are not negative: each score was
    trained to rise with y, and one that is read upside down because it happened to fall on val would be luck of val.
    """
    from scipy.optimize import nnls
    from scipy.stats import rankdata

    context, image, y = (np.asarray(column, np.float64) for column in (context_val, image_val, y_val))
    if not context.shape == image.shape == y.shape:
        raise PeoriaError(f"val: {len(context):,} context scores, {len(image):,} image scores, {len(y):,} counts; one each a picture is needed")
    columns = [rankdata(column) / len(y) if rankable(column) else np.zeros(len(y)) for column in (context, image, y)]
    x_context, x_image, target = (column - column.mean() for column in columns)
    weights, _ = nnls(np.stack([x_context, x_image], axis=1), target)
    return Combination(float(weights[0]), float(weights[1]), np.sort(context), np.sort(image))


def _place(sorted_val: Floats, score: ArrayLike) -> Floats:
    """The share of val at or below each score, ties half: [N]. A score without a number has the middle."""
    score = np.asarray(score, np.float64)
    place = (np.searchsorted(sorted_val, score, "left") + np.searchsorted(sorted_val, score, "right")) / (2 * len(sorted_val))
    return np.where(np.isfinite(score), place, 0.5)
