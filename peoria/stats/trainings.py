"""One setting trained several times with fresh seeds, judged on the same pictures as another: numbers that hold the luck of training.

What two ways of training differ by is told by neither one training a side nor owners alone: the same settings give another score with another seed.
So each side is the mean of its trainings, its interval resamples owners and seeds, and a difference is paired over owners, not over seeds.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from peoria.stats.bootstrap import bootstrap_spearman, over_seeds
from peoria.stats.clusters import Clusters
from peoria.stats.estimates import Estimate, Resampling
from peoria.stats.metrics import spearman

MIN_SEEDS = 3  # trainings a side; of two the spread tells next to nothing (t has one degree of freedom: 12.7 standard errors)
NEGLIGIBLE = 0.02  # of ρ: a difference that is smaller for sure is called so


def of_trainings(sides: Mapping[str, ArrayLike], y: ArrayLike, clusters: Clusters, resampling: Resampling) -> dict[str, Estimate]:
    """The mean ρ with ``y`` [N] of the trainings of each side, scores [S, N] by name; the same resamples of owners for all.

    A side of one training has ``num_seeds`` 1: its interval holds the luck of owners alone, and nothing should be claimed of it.
    """
    rows = {name: np.atleast_2d(np.asarray(scores, np.float64)) for name, scores in sides.items()}
    columns = {f"{name}#{k}": row for name, scores in rows.items() for k, row in enumerate(scores)}
    drawn = bootstrap_spearman(columns, y, clusters, **resampling.draws)
    found = {}
    for place, (name, scores) in enumerate(rows.items()):
        samples = np.stack([drawn[f"{name}#{k}"] for k in range(len(scores))])
        value = float(np.mean([spearman(row, y) for row in scores]))
        variance = float(samples.mean(axis=1).var(ddof=1) / len(scores)) if len(scores) > 1 else 0.0
        # each side draws its own seeds: with one stream for all, the luck of both would go away in their difference
        found[name] = Estimate(value, over_seeds(samples, resampling.seed + place), clusters.effective, variance, len(scores))
    return found
