"""Whether pictures that are left out of a measure, for something of theirs is unknown, are like those that stay."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from peoria.errors import PeoriaError
from peoria.stats import metrics
from peoria.stats.bootstrap import bootstrap_gini
from peoria.stats.clusters import Clusters
from peoria.stats.estimates import Estimate, Interval, Resampling, enough_owners

ALIKE = 0.05  # places in 1: a difference that the whole interval stays below is called none


@dataclass(frozen=True)
class PlaceDifference:
    """The mean place of the pictures left out less that of the kept ones, in the order of one number, as a share of all places: −½ to ½."""

    difference: Interval
    answer: Literal["higher", "lower", "alike", "not decided"]  # of the pictures left out


@dataclass(frozen=True)
class Compared:
    """The pictures that are left out, beside those that stay."""

    num: int  # pictures
    share: float  # of all
    num_owners: int  # units that have some: owners, and each picture of an unknown owner
    differences: dict[str, PlaceDifference] | None  # by the number that is compared; None where either side has too few owners


def compare(left_out: ArrayLike, numbers: dict[str, ArrayLike], clusters: Clusters, resampling: Resampling) -> Compared:
    """How pictures that are left out differ from the kept ones.

    The mean place of those left out (rank among all N, over N, ties at their average) less that of the kept is the probability that one of the former
    is above one of the latter, ties counting half, less ½: half of `metrics.gini`. It has no scale: a few very popular pictures do not decide it. Its
    interval is over resampled owners.

    Args:
        left_out: bool [N], some of which are true and some false.
        numbers: of each picture [N], by name: its views, or the mean place of a score.

    Raises:
        PeoriaError: all pictures are left out, or none, or a number does not fit.
    """
    out = np.asarray(left_out, bool)
    if not 0 < out.sum() < len(out):
        raise PeoriaError(f"left_out: {int(out.sum()):,} of {len(out):,} pictures; some, and not all")
    sides = [clusters.take(out), clusters.take(~out)]
    found = None
    if all(map(enough_owners, sides)):
        effective = min(side.effective for side in sides)  # the smaller side decides how sure it is
        samples = bootstrap_gini(numbers, out, clusters, **resampling.draws)
        found = {
            name: _answered(Estimate(metrics.gini(of, out) / 2, samples[name] / 2, effective).interval()) for name, of in numbers.items()
        }  # fmt: skip
    return Compared(int(out.sum()), float(out.mean()), sides[0].num, found)


def _answered(difference: Interval) -> PlaceDifference:
    if difference.low > -ALIKE and difference.high < ALIKE:
        return PlaceDifference(difference, "alike")
    return PlaceDifference(difference, "higher" if difference.low > 0 else "lower" if difference.high < 0 else "not decided")
