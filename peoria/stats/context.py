"""What is left of a rank correlation when all that the table knows of a picture beside the picture is held fixed.

Age, hour, weekday and season of upload and the tags raise views whatever is shown, and a score can tell each of them from the picture. So all are
partialled out of both, flexibly, by regressions fitted to other owners, and what is left of the score is correlated with what is left of the views:
a test of conditional independence by two regressions (Shah & Peters 2020, "The hardness of conditional independence testing and the
generalised covariance measure", Annals of Statistics 48:1514-1538). It needs no model of how score and context add up, as a comparison of two
predictions does.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from peoria.errors import PeoriaError
from peoria.stats.bootstrap import bootstrap_sums
from peoria.stats.clusters import Clusters
from peoria.stats.columns import Columns, Differences
from peoria.stats.metrics import Floats, normal_scores, rankable

DAY_S, YEAR_DAYS = 86_400, 365.2425
FINE_ROWS = 500  # pictures, for 10 columns of age, with effects that are gone in a few months; 6 of fewer
OWNERS_A_COLUMN, MIN_LEFT = 10, 12  # owners for each column of age or season; columns that these leave, for products of them
# Slots of a day, whose products with the weekday take the place of waves where there are pictures for them: what begins at an hour is no wave
SLOTS = (96, 48)
MIN_ROWS = 100  # pictures, for the smallest context
MIN_TAGGED, MOST_TAGS = 5, 250  # pictures with a tag that has a column of its own; the most frequent ones
ROWS_A_COLUMN, ROWS_A_SLOT, ROWS_A_TAG = 15, 17, 6  # pictures for each column that may be fitted
FOLDS, FOLDS_SEED = 5, 0
SMOOTH_PENALTY = 1e-3  # on columns of unit spread
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # of products, one of which is chosen by fit to other owners
CHUNK = 16_384  # differences held at once: 16,384 · 300 columns · 8 bytes = 39 MB


@dataclass(frozen=True, eq=False)
class Context:
    """What is known of N pictures without looking at them, as columns of mean 0 and spread 1."""

    parts: tuple[str, ...]  # of "age", "season", "hour", "weekday", "tags"
    # [N, M + P]: functions of one part each (each tag has a column, for one that is shrunk leaves some of itself in score and views alike), then
    # products of two parts, which are more than small splits can bear, and so penalised as they need
    columns: Columns
    num_smooth: int  # M
    apart: NDArray[np.bool_]  # [M + P], what sets neighbours in time apart: all but age, season, and what goes with age

    def placed(self, rows: NDArray[np.int64], num: int) -> "Context":
        """Of ``num`` pictures, of which these are ``rows``; 0 for the others."""
        if len(rows) == num:
            return self
        return Context(self.parts, self.columns.placed(rows, num), self.num_smooth, self.apart)

    @classmethod
    def of(
        cls, age_days: ArrayLike | None, uploaded_at: ArrayLike | None, tags: Sequence[set[str]] | None, owners: float = math.inf
    ) -> "Context | None":
        """
        Args:
            age_days: [N], finite; with ``uploaded_at`` (datetime64 [N], no NaT) or None where no dates are known.
            tags: of each picture; None where the table has none.
            owners: that the pictures are worth, `Clusters.effective`. An owner uploads within weeks, so few owners say little of age and season,
                and a regression of many columns on them fits their luck.

        Returns:
            None of fewer than 100 pictures, and where nothing is known.
        """
        smooth: dict[str, Floats] = {}
        of_the_day = by_age = np.empty((0, 0))  # products
        slots = None  # in the place of those of the day
        num = len(tags) if tags is not None else 0
        if age_days is not None and uploaded_at is not None:
            age, seconds = np.asarray(age_days, np.float64), np.asarray(uploaded_at, "datetime64[s]").astype(np.int64)
            num = len(age)
            if num and not np.isfinite(age).all():
                raise PeoriaError(f"age_days: a finite age for each of the {num:,} pictures is needed")
            if num >= MIN_ROWS:
                smooth, of_the_day, by_age = _of_time(age, seconds, owners / OWNERS_A_COLUMN)
                slots = _slots(seconds)
        if num < MIN_ROWS:
            return None
        tagged = np.empty((num, 0)) if tags is None else _unit(_of_tags(tags, num // ROWS_A_TAG))
        parts = {name: _unit(columns) for name, columns in smooth.items()}
        parts = {name: columns for name, columns in parts.items() if columns.shape[1]}
        of_the_day, by_age = (columns if columns.size else np.empty((num, 0)) for columns in (of_the_day, by_age))
        if tagged.shape[1]:
            parts["tags"] = tagged
        if not parts:
            return None
        num_smooth = sum(columns.shape[1] for columns in parts.values())
        num_of_day = of_the_day.shape[1] if slots is None else len(np.unique(slots))
        if (num_smooth + num_of_day + by_age.shape[1]) * ROWS_A_COLUMN > num:
            by_age = by_age[:, :0]
        if (num_smooth + num_of_day) * ROWS_A_COLUMN > num:
            of_the_day, slots = of_the_day[:, :0], None
        if slots is not None:
            of_the_day = of_the_day[:, :0]
        dense = np.concatenate([*parts.values(), of_the_day, by_age], axis=1)
        columns = Columns(dense) if slots is None else Columns.at_places(dense, slots)
        lasting = [name in ("age", "season") for name, of in parts.items() for _ in range(of.shape[1])]
        lasting += [*[False] * of_the_day.shape[1], *[True] * by_age.shape[1]]
        lasting += [False] * (columns.shape[1] - len(lasting))
        return cls(parts=tuple(parts), columns=columns, num_smooth=num_smooth, apart=~np.array(lasting, bool))


def bootstrap_given_context(
    scores: Mapping[str, ArrayLike], views: ArrayLike, context: Context, clusters: Clusters, num_resamples: int = 2000, seed: int = 0
) -> dict[str, tuple[float, Floats]]:
    """Correlation of what context leaves of each score [N] and of the views [N], and the same over resampled owners: name → (value, [B]); 0.0 where
    a score ranks nothing. The regressions are those of the whole split; that of other owners they would be others is in the spread of the samples, by
    a factor of √(1 + 2k/n), k columns of age and season and n effective owners (found by simulation)."""
    left = residuals(np.stack([np.asarray(column, np.float64) for column in (views, *scores.values())]), context, clusters)
    found = correlations(left[0], dict(zip(scores, left[1:], strict=True)), clusters, num_resamples, seed)
    wider = math.sqrt(1 + 2 * int((~context.apart[: context.num_smooth]).sum()) / max(clusters.effective, 1.0))
    return {name: (value, value + wider * (samples - value)) for name, (value, samples) in found.items()}


def correlations(y: Floats, columns: Mapping[str, Floats], clusters: Clusters, num_resamples: int, seed: int) -> dict[str, tuple[float, Floats]]:
    """Σxy / √(Σx²·Σy²) of each column [N] and ``y`` [N], of mean 0 both, and over resampled clusters."""
    stacked = np.stack(list(columns.values()))
    terms = np.concatenate([(y * y)[None], stacked * y, stacked**2])
    return dict(zip(columns, ratios(terms, clusters, num_resamples, seed), strict=True))


def ratios(terms: Floats, clusters: Clusters, num_resamples: int, seed: int) -> list[tuple[float, Floats]]:
    """Of terms [1 + 2C, N] — that of y, C products, C squares — each product's sum over the root of the squares': C times (value, [B])."""
    num = len(terms) // 2

    def of(sums: Floats) -> Floats:
        norm = sums[:, :1] * sums[:, 1 + num :]
        return np.divide(sums[:, 1 : 1 + num], np.sqrt(np.maximum(norm, 0)), out=np.zeros_like(norm), where=norm > 0)

    whole, drawn = of(terms.sum(axis=1)[None])[0], of(bootstrap_sums(terms, clusters, num_resamples, seed))
    return [(float(whole[k]), drawn[:, k]) for k in range(num)]


def slopes_of_differences(apart: Callable[[slice], Differences], target: Floats, ridge: float) -> Floats:
    """Least squares of ``target`` [C, P] on differences in context, ``apart(rows)`` of K columns a chunk at a time: [K, C], 0 for a column that has
    none.

    ``ridge`` is on columns of unit length: for those that are one another's sum.
    """
    gram, cross = np.zeros(()), np.zeros(())
    for rows in chunks(target.shape[1]):
        part = apart(rows)
        gram, cross = gram + part.gram(), cross + part.products(target[:, rows].T)
    size = np.sqrt(np.diag(gram))
    kept = size > 1e-9 * np.sqrt(target.shape[1])
    of_unit_length = gram[np.ix_(kept, kept)] / np.outer(size[kept], size[kept])
    slopes = np.zeros(cross.shape)
    slopes[kept] = np.linalg.solve(of_unit_length + ridge * np.eye(len(of_unit_length)), cross[kept] / size[kept, None]) / size[kept, None]
    return slopes


def chunks(num: int) -> list[slice]:
    """Of ``num`` rows."""
    return [slice(start, start + CHUNK) for start in range(0, num, CHUNK)]


def residuals(values: Floats, context: Context, clusters: Clusters) -> Floats:
    """Normal scores of each row of ``values`` [C, N] less what a regression on the context, fitted to the pictures of other owners, expects: [C, N].

    Ridge regression; the penalty of products is the one that fits best over all folds of owners. All zeros where the values
    rank nothing.
    """
    usable = np.array([rankable(row) for row in values])
    y = np.stack([normal_scores(row, row) if good else np.zeros(len(row)) for row, good in zip(values, usable, strict=True)], axis=1)
    fold = np.random.default_rng(FOLDS_SEED).permutation(clusters.num)[clusters.units] % FOLDS

    def x(k: int) -> Floats:  # a fold at a time: all would be as much memory again as the context takes
        return np.concatenate([np.ones((int((fold == k).sum()), 1)), context.columns[fold == k]], axis=1)

    grams, crosses = (np.stack(sums) for sums in zip(*((part.T @ part, part.T @ y[fold == k]) for k in range(FOLDS) for part in [x(k)]), strict=True))
    num_further = context.columns.shape[1] - context.num_smooth
    smooth = np.concatenate([[0.0], np.full(context.num_smooth, SMOOTH_PENALTY)])
    penalties = [np.concatenate([smooth, np.full(num_further, of)]) for of in (PENALTIES if num_further else PENALTIES[:1])]
    left = np.empty((len(penalties), *y.shape))
    for k in np.unique(fold):
        own, part = fold == k, x(k)
        gram, cross = grams.sum(axis=0) - grams[k], crosses.sum(axis=0) - crosses[k]
        for of, penalty in zip(left, penalties, strict=True):
            of[own] = y[own] - (part @ np.linalg.solve(gram + np.diag(penalty) * (~own).sum(), cross) if (~own).any() else 0.0)
    best = np.einsum("pnc,pnc->pc", left, left).argmin(axis=0)
    found = np.stack([left[which, :, column] for column, which in enumerate(best)], axis=1)
    found[:, ~usable] = 0.0
    found -= found.mean(axis=0)
    return np.ascontiguousarray(found.T)


def _of_time(age: Floats, seconds: NDArray[np.int64], most: float) -> tuple[dict[str, Floats], Floats, Floats]:
    """Functions of age, season, hour and weekday (UTC); products of hour and weekday; and of age and each of the others. ``most``: columns of what
    lasts."""
    days = seconds / DAY_S
    weekday = np.floor(days % 7).astype(int)
    num = int(min(max(0.6 * most, 3), 6 if len(age) < FINE_ROWS else 10))
    knots = tuple(k / (num - 2) for k in range(1, num - 2))
    num_waves = int(min(max((min(most, 100.0) - num) // 2, 1), 4))
    few = most < 5  # a parabola of age, and no season
    times = [age, days] if _apart(age, -days) else [age]
    time = np.concatenate([_parabola(of) if few else _spline(of, knots) for of in times], axis=1)
    smooth = {"age": time, "season": _waves(days / YEAR_DAYS, 0 if few else num_waves), "hour": _waves(days, 4), "weekday": np.eye(7)[weekday][:, 1:]}
    coarse, day = _spline(age, ())[:, :3], _waves(days, 2)
    by_age = [_crossed(coarse, columns) for columns in (_waves(days / YEAR_DAYS, 2), day[:, :2], smooth["weekday"])]
    products = np.concatenate(by_age, axis=1)
    of_the_day = _unit(_crossed(smooth["hour"], smooth["weekday"]))
    return smooth, of_the_day, _unit(products[:, :0] if most < num + 2 * num_waves + MIN_LEFT else products)


def _slots(seconds: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The part of the week (UTC) of each picture, as short as there are pictures for; None of too few for any."""
    slots = next((num for num in SLOTS if 7 * num * ROWS_A_SLOT <= len(seconds)), 0)
    return np.floor(seconds / DAY_S % 7 * slots).astype(np.int64) if slots else None


def _of_tags(tags: Sequence[set[str]], most: int) -> Floats:
    """How many tags (logarithm), and a column for each of the most frequent: [N, T]."""
    counted = Counter(tag for of in tags for tag in of)
    if not counted:
        return np.empty((len(tags), 0))
    frequent = sorted((tag for tag, num in counted.items() if num >= MIN_TAGGED), key=lambda tag: (-counted[tag], tag))
    frequent = frequent[: min(MOST_TAGS, most)]
    place = {tag: k for k, tag in enumerate(frequent, start=1)}
    found = np.zeros((len(tags), 1 + len(frequent)))
    for row, of in zip(found, tags, strict=True):
        row[0] = np.log1p(len(of))
        row[[place[tag] for tag in of if tag in place]] = 1.0
    return found


def _apart(age: Floats, other: Floats) -> bool:
    """Whether the counts were read at so different times that age and date are two things."""
    return bool(np.ptp(age - other) > 1)


def _spline(values: Floats, knots: tuple[float, ...]) -> Floats:
    """Cubic B-splines of the rank of ``values``, less one, as they sum to 1: [N, 3 + knots]."""
    from scipy.interpolate import BSpline
    from scipy.stats import rankdata

    ranks = (rankdata(values) - 0.5) / len(values)
    basis: Floats = BSpline.design_matrix(ranks, np.concatenate([[0.0] * 4, knots, [1.0] * 4]), 3).toarray()
    return basis[:, 1:]


def _parabola(values: Floats) -> Floats:
    from scipy.stats import rankdata

    ranks = (rankdata(values) - 0.5) / len(values)
    return np.stack([ranks, ranks**2], axis=1)


def _waves(turns: Floats, num: int) -> Floats:
    """The first ``num`` harmonics: [N, 2·num], in pairs of cosine and sine."""
    waves = [of(2 * np.pi * k * turns) for k in range(1, num + 1) for of in (np.cos, np.sin)]
    return np.stack(waves, axis=1) if waves else np.empty((len(turns), 0))


def _crossed(a: Floats, b: Floats) -> Floats:
    return (a[:, :, None] * b[:, None, :]).reshape(len(a), -1)


def _unit(columns: Floats) -> Floats:
    """Of mean 0 and spread 1; columns that are one value for all are left out."""
    columns = columns - columns.mean(axis=0)
    spread = columns.std(axis=0)
    kept = spread > 1e-6
    found: Floats = columns[:, kept]
    found /= spread[kept]
    return found
