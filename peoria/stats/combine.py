"""Two scores of one picture, image and context, joined into one on val and judged on test."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from peoria.errors import PeoriaError
from peoria.stats.bootstrap import bootstrap_spearman
from peoria.stats.clusters import Clusters
from peoria.stats.confounds import bootstrap_given_age, given_age
from peoria.stats.estimates import MIN_OWNERS, Estimate, Interval, Resampling
from peoria.stats.metrics import Floats, rankable, spearman

MIN_PICTURES = 100  # for a spline of 7 numbers


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


@dataclass(frozen=True)
class Weights:
    """What a `Combination` gives to the rank of each score."""

    context: float
    image: float


@dataclass(frozen=True)
class OnTopOfContext:
    """Spearman's ρ with views on test, of context, of the image, and of both."""

    num_val: int  # pictures
    num_test: int
    num_owners: int  # of test, as they are resampled
    weights: Weights
    rho_context: Interval
    rho_image: Interval
    rho_both: Interval
    difference: Interval  # both less context
    image_given_context: Interval | None  # None below 100 pictures
    adds: bool  # of enough owners, and the difference is above 0 for sure


def on_top_of_context(
    image_val: ArrayLike,
    context_val: ArrayLike,
    views_val: ArrayLike,
    image_test: ArrayLike,
    context_test: ArrayLike,
    views_test: ArrayLike,
    clusters_test: Clusters,
    resampling: Resampling,
) -> OnTopOfContext:
    """What the image adds to the context: ρ on test with both, combined on val, less ρ with context alone, on the same resamples.

    ``image_given_context`` needs no fit on val: the rank correlation of image score and views with a smooth function of the context score
    removed from both (`confounds.given_age`). It shows what is there to be added; the difference, what a simple sum gets of it.
    """
    combination = combine(image_val, context_val, views_val)
    scores = {
        "context": np.asarray(context_test, np.float64),
        "image": np.asarray(image_test, np.float64),
        "both": combination.score(context_test, image_test),
    }
    samples = bootstrap_spearman(scores, views_test, clusters_test, **resampling.draws)
    effective = clusters_test.effective
    rho = {name: Estimate(spearman(score, views_test), samples[name], effective) for name, score in scores.items()}
    given = None
    if len(scores["image"]) >= MIN_PICTURES and np.isfinite(scores["context"]).all():
        drawn = bootstrap_given_age({"image": scores["image"]}, views_test, scores["context"], clusters_test, **resampling.draws)["image"]
        given = Estimate(given_age(scores["image"], views_test, scores["context"]), drawn, effective).interval()
    difference = (rho["both"] - rho["context"]).interval()
    return OnTopOfContext(
        num_val=len(np.asarray(views_val)),
        num_test=len(scores["image"]),
        num_owners=clusters_test.num,
        weights=Weights(combination.context, combination.image),
        rho_context=rho["context"].interval(),
        rho_image=rho["image"].interval(),
        rho_both=rho["both"].interval(),
        difference=difference,
        image_given_context=given,
        adds=clusters_test.num >= MIN_OWNERS and difference.low > 0,
    )


def _place(sorted_val: Floats, score: ArrayLike) -> Floats:
    """The share of val at or below each score, ties half: [N]. A score without a number has the middle."""
    score = np.asarray(score, np.float64)
    place = (np.searchsorted(sorted_val, score, "left") + np.searchsorted(sorted_val, score, "right")) / (2 * len(sorted_val))
    return np.where(np.isfinite(score), place, 0.5)
