"""How often a score has two pictures of one owner, near in time, in the order of their views: what an owner's fame cannot help.

Two shares are told. The plain one is a share of pairs and nothing else. Of the other, what the context tells of the order (age, hour, weekday,
season, tags) is taken out first: in 30 days something of age is left between the two of a pair, and the hour is another for each.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from peoria.stats.bootstrap import bootstrap_sums
from peoria.stats.clusters import Clusters
from peoria.stats.columns import Differences
from peoria.stats.context import Context, chunks, slopes_of_differences
from peoria.stats.metrics import Floats, rankable

RIDGE = 1e-6  # for columns that are one another's sum


class Pairs(NamedTuple):
    """Pairs of pictures of one owner with different views."""

    more: NDArray[np.int64]  # [P], index of the picture with more views
    fewer: NDArray[np.int64]  # [P]
    owners: Clusters  # of the pairs
    order: NDArray[np.float64]  # [P], 1 where the one with more views was uploaded later, −1 earlier, 0 at once; all 0 without dates


def within_owner_pairs(clusters: Clusters, uploaded_at: ArrayLike | None, views: ArrayLike, max_days: float = 30) -> Pairs:
    """All pairs of one known owner, at most ``max_days`` apart in upload, with different views.

    ``uploaded_at`` (datetime64 [N], NaT where unknown) may be ``None``: then all pairs of an owner. A picture without owner, or without date in a
    set with dates, is in no pair.
    """
    views = np.asarray(views)
    units = clusters.units  # an unknown owner has a cluster of one picture, and so no pair
    rows, seconds = np.arange(len(views)), np.zeros(len(views), np.int64)
    if uploaded_at is not None:
        uploaded = np.asarray(uploaded_at, "datetime64[s]")
        seconds = uploaded.astype(np.int64)
        rows = np.flatnonzero(~np.isnat(uploaded))
    rows = rows[np.lexsort((seconds[rows], units[rows]))]
    first, second = [], []
    for lag in range(1, len(rows)):
        a, b = rows[:-lag], rows[lag:]
        near = (units[a] == units[b]) & (seconds[b] - seconds[a] <= max_days * 86_400)
        if not near.any():  # sorted by time within owners: a longer lag only lies farther apart
            break
        first.append(a[near])
        second.append(b[near])
    i, j = (np.concatenate(side) if side else np.empty(0, np.int64) for side in (first, second))
    differ = views[i] != views[j]
    i, j = i[differ], j[differ]
    i_has_more = views[i] > views[j]
    more, fewer = np.where(i_has_more, i, j), np.where(i_has_more, j, i)
    return Pairs(more, fewer, Clusters.of(units[i]), np.sign(seconds[more] - seconds[fewer]).astype(np.float64))


class PairShares(NamedTuple):
    """Of one score, each with its resamples [B]; ½ is chance."""

    plain: tuple[float, Floats]  # share of pairs in the right order, ties half
    adjusted: tuple[float, Floats]  # less what the context puts right; the plain one where nothing is known


def bootstrap_pairs(
    scores: Mapping[str, ArrayLike], pairs: Pairs, context: Context | None, num_resamples: int = 2000, seed: int = 0
) -> dict[str, PairShares]:
    """Shares of each score [N] over resampled owners, those with pairs; {} without pairs.

    Of the sign of a pair's difference in score, and of that in views, what the pair's difference in context tells is taken by least squares, fitted
    once to all pairs; ½ + ½·(the mean product of what is left, over its spread). It is the linear model of paired comparisons with a fixed effect
    for each owner, which a difference within an owner leaves out, and with the same function of the context for all.

    Args:
        context: of all N pictures; rows that are in no pair do not matter.
    """
    if not len(pairs.more):
        return {}
    columns = [np.asarray(score, np.float64) for score in scores.values()]
    signs = [np.sign(c[pairs.more] - c[pairs.fewer]) if rankable(c) else np.zeros(len(pairs.more)) for c in columns]
    signed = np.stack([np.ones(len(pairs.more)), *signs])  # the first: the picture with more views has more views
    left = signed if context is None else _without_context(signed, pairs, context)
    before, after = (signed**2).sum(axis=1), (left**2).sum(axis=1)
    kept = np.sqrt(np.divide(after, before, out=np.ones_like(after), where=before > 0))
    scale = np.maximum(kept[0] * kept[1:], 1e-9)[:, None]
    terms = np.concatenate([np.ones((1, len(pairs.more))), (1 + signed[1:]) / 2, (1 + left[:1] * left[1:] / scale) / 2])
    whole, drawn = terms.mean(axis=1), bootstrap_sums(terms, pairs.owners, num_resamples, seed)
    shares, num = (drawn[:, 1:] / drawn[:, :1]).T, len(columns)
    return {
        name: PairShares((float(whole[1 + k]), shares[k]), (float(whole[1 + num + k]), shares[num + k])) for k, name in enumerate(scores)
    }  # fmt: skip


def _without_context(signed: Floats, pairs: Pairs, context: Context) -> Floats:
    """[C, P] less a linear function of the pairs' differences in context, and of which is later."""
    x = context.columns

    def apart(rows: slice) -> Differences:
        dense, places = x.differences(pairs.more[rows], pairs.fewer[rows])
        return Differences(np.concatenate([pairs.order[rows, None], dense], axis=1), places)

    slopes = slopes_of_differences(apart, signed, RIDGE)
    left = signed.copy()
    for rows in chunks(len(pairs.more)):
        left[:, rows] -= (apart(rows) @ slopes).T
    return left
