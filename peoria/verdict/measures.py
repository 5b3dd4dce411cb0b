"""Every measure of one target for every predictor that scores it, with resamples that differences and rules are made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from peoria.data.filters import tags_of
from peoria.stats import bootstrap, metrics
from peoria.stats.clusters import Clusters
from peoria.stats.context import Context, bootstrap_given_context
from peoria.stats.estimates import Estimate, Resampling, enough_owners
from peoria.stats.metrics import Floats
from peoria.stats.neighbours import (
    Series,
    bootstrap_control,
    bootstrap_neighbours,
    contributions,
    enough_differences,
    explained_by_context,
    series,
    two_way,
)
from peoria.stats.pairs import bootstrap_pairs, within_owner_pairs
from peoria.verdict.predictors import PredictorScores
from peoria.verdict.schema import Measure, Pairs, Target
from peoria.verdict.words import TARGETS
from shards.labels import Labels

PAIR_DAYS = 30.0
PAIRS_A_COLUMN = 5  # for each column of context: with fewer the fit takes out what is the picture's
MOST_OF_A_TAG = 0.1  # of the pictures, for a tag to be a group
Columns = dict[str, Floats]  # by predictor and seed, "NAME#K"
Enter = Callable[[Measure | None, Mapping[str, tuple[float, Floats]], float], dict[str, Estimate]]


@dataclass
class Measured:
    """One target. A measure that these data do not allow is missing."""

    estimates: dict[Measure, dict[str, Estimate]]  # by predictor
    own_scale: dict[str, Estimate] = field(default_factory=dict)  # `neighbours` on the scores' own scale
    control: Estimate | None = None  # of the judged predictor
    undated_pairs: Estimate | None = None  # of the judged predictor, all pairs of an owner, dated or not; where some dates are unknown
    given_in_time: Estimate | None = None  # of the judged predictor, context held fixed, of the pictures with neighbours in time alone
    known_strength: float | None = None  # of what the table knows and neighbours do not share, of the judged predictor
    wider: dict[str, float] = field(default_factory=dict)  # by what else pictures may be alike in: times the variance over owners alone
    pairs: Pairs = field(default_factory=lambda: Pairs(num=0, num_owners=0))
    all_dated: bool = True  # or none is: measures of all and of dated pictures are of the same ones
    num_owners: int = 0  # that carry the pooled measure: with pictures of the rarer class
    effective: float = 0.0  # likewise


@dataclass(frozen=True, eq=False)
class Known:
    """The test split's context and its pictures in time, worked out once for both targets."""

    labels: Labels
    clusters: Clusters

    @cached_property
    def days(self) -> Floats:
        return self.labels.age_days()

    @cached_property
    def rows(self) -> np.ndarray:
        """Pictures whose context is known: with a date, where any have one."""
        dated = np.isfinite(self.days)
        return np.flatnonzero(dated) if dated.any() else np.arange(len(self.labels))

    @property
    def whole(self) -> bool:
        """Whether the context of every picture is known."""
        return len(self.rows) == len(self.labels)

    @cached_property
    def uploaded_at(self) -> np.ndarray | None:
        """Without the dates of pictures whose age is unknown, for when their counts were read is not known."""
        if self.labels.uploaded_at is None or not self.dated:
            return None
        return np.where(np.isfinite(self.days), self.labels.uploaded_at, np.datetime64("NaT", "s"))

    @cached_property
    def dated(self) -> bool:
        return bool(np.isfinite(self.days).any())

    def context(self, rows: np.ndarray) -> Context | None:
        owners = self.clusters.take(rows).effective
        tags = None if self.labels.tags is None else [tags_of(text) for text in self.labels.tags[rows].tolist()]
        if not self.dated:
            return Context.of(None, None, tags, owners)
        assert self.labels.uploaded_at is not None
        return Context.of(self.days[rows], self.labels.uploaded_at[rows], tags, owners)

    @cached_property
    def of_rows(self) -> Context | None:
        return self.context(self.rows)

    @cached_property
    def series(self) -> Series | None:
        return None if self.uploaded_at is None else series(self.clusters, self.uploaded_at, PAIR_DAYS)

    def groups(self, rows: np.ndarray) -> dict[str, Clusters]:
        """What else than an owner pictures may be alike in: the day of upload, and the most frequent of a picture's tags."""
        found = {}
        if self.dated and self.labels.uploaded_at is not None:
            found["day"] = Clusters.of(self.labels.uploaded_at[rows].astype("datetime64[D]"))
        if self.labels.tags is not None:
            of = [tags_of(text) for text in self.labels.tags.tolist()]
            counted: dict[str, int] = {}
            for tags in of:
                for tag in tags:
                    counted[tag] = counted.get(tag, 0) + 1
            telling = {tag for tag, num in counted.items() if num <= MOST_OF_A_TAG * len(of)}  # one that many have groups nothing
            first = [min(tags & telling, key=lambda tag: (-counted[tag], tag), default="") for tags in of]
            if any(first):
                found["tag"] = Clusters.of(np.array(first)[rows])
        return found


def measure(target: Target, predictors: Sequence[PredictorScores], winner: str, known: Known, resampling: Resampling) -> Measured:
    """All measures of one target for every predictor that scores it."""
    names, labels, clusters, draws = TARGETS[target], known.labels, known.clusters, resampling.draws
    if target == "views":
        y: Floats = labels.views.astype(np.float64)
        log_y = np.log1p(y)
        rare = clusters
    else:
        y = log_y = (labels.counted("favorites")[1] >= 1).astype(np.float64)
        rare = clusters.take(y == float(y.mean() < 0.5))
    columns: Columns = {f"{p.name}#{k}": row for p in predictors if (score := p.score(target)) is not None for k, row in enumerate(score)}
    found = Measured({}, all_dated=known.whole, num_owners=rare.num, effective=min(clusters.effective, rare.effective))

    def enter(measure: Measure | None, drawn: Mapping[str, tuple[float, Floats]], effective: float) -> dict[str, Estimate]:
        of = {p.name: _joined([drawn[name] for name in own], effective, resampling.seed) for p in predictors if (own := _own(columns, p.name))}
        if measure is not None:
            found.estimates[measure] = of
        return of

    if target == "views":
        samples = bootstrap.bootstrap_spearman(columns, y, clusters, **draws)
        values = {name: metrics.spearman(score, y) for name, score in columns.items()}
    else:
        samples = bootstrap.bootstrap_gini(columns, y, clusters, **draws)
        values = {name: metrics.gini(score, y > 0) for name, score in columns.items()}
    enter(names.pooled, {name: (values[name], samples[name]) for name in columns}, found.effective)
    rows, context = known.rows, known.of_rows
    if context is not None and np.unique(y[rows]).size > 1:
        of_rows, owners = {name: score[rows] for name, score in columns.items()}, clusters.take(rows)
        enter(names.given_context, bootstrap_given_context(of_rows, y[rows], context, owners, **draws), min(owners.effective, found.effective))
    pairs = within_owner_pairs(clusters, known.uploaded_at, y, PAIR_DAYS)
    found.pairs = Pairs(num=len(pairs.more), num_owners=pairs.owners.num)
    if not known.whole and known.dated:
        found.undated_pairs = _undated_pairs(columns, y, winner, known, resampling)
    fits = context is None or len(pairs.more) >= PAIRS_A_COLUMN * context.columns.shape[1]
    if enough_owners(pairs.owners) and fits:
        of_pairs = bootstrap_pairs(columns, pairs, None if context is None else context.placed(rows, len(y)), **draws)
        enter(names.pair_share, {name: shares.plain for name, shares in of_pairs.items()}, pairs.owners.effective)
        enter(names.within_owner, {name: shares.adjusted for name, shares in of_pairs.items()}, pairs.owners.effective)
    in_time = known.series
    if in_time is not None and enough_owners(in_time.owners) and np.unique(y[in_time.rows]).size > 1:
        in_middle = in_time.rows[in_time.middle]
        rarer = in_time.owners if target == "views" else Clusters.of(clusters.units[in_middle][y[in_middle] == float(y.mean() < 0.5)])
        if enough_owners(rarer):
            effective = min(in_time.owners.effective, rarer.effective)
            _neighbours(found, enter, names.neighbours, columns, log_y, winner, known, in_time, effective, resampling)
    return found


def _undated_pairs(columns: Columns, y: Floats, winner: str, known: Known, resampling: Resampling) -> Estimate | None:
    """The plain share of all pairs of an owner: pictures may be dated for a reason, and looks and views go together among the dated alone."""
    pairs = within_owner_pairs(known.clusters, None, y)
    if not enough_owners(pairs.owners):
        return None
    drawn = bootstrap_pairs({name: columns[name] for name in _own(columns, winner)}, pairs, None, **resampling.draws)
    return _joined([shares.plain for shares in drawn.values()], pairs.owners.effective, resampling.seed)


def _neighbours(
    found: Measured,
    enter: Enter,
    name: Measure,
    columns: Columns,
    y: Floats,
    winner: str,
    known: Known,
    of: Series,
    effective: float,
    resampling: Resampling,
) -> None:
    draws = resampling.draws
    context = known.context(of.rows)
    if not enough_differences(of, context):
        return
    drawn = bootstrap_neighbours(columns, y, of, context, **draws)
    enter(name, {column: both.ranks for column, both in drawn.items()}, effective)
    found.own_scale = enter(None, {column: both.values for column, both in drawn.items()}, effective)
    judged = {column: columns[column] for column in _own(columns, winner)}
    control = bootstrap_control(judged, y, of, context, **draws)
    owners = next(iter(control.values()))[2] if control else None
    if owners is not None and enough_owners(owners):
        found.control = _joined([(value, samples) for value, samples, _ in control.values()], owners.effective, resampling.seed)
    if context is not None and context.apart.any():
        found.known_strength = float(np.mean(list(explained_by_context(judged, y, of, context).values())))
    middle = of.rows[of.middle]
    if (there := known.context(middle)) is not None and np.unique(y[middle]).size > 1:
        of_middle = {column: score[middle] for column, score in judged.items()}
        given = bootstrap_given_context(of_middle, y[middle], there, known.clusters.take(middle), **draws)
        found.given_in_time = _joined(list(given.values()), effective, resampling.seed)
    terms = np.mean([contributions(score, y, of, context) for score in judged.values()], axis=0)
    for group, clusters in known.groups(of.rows[of.middle]).items():
        found.wider[group] = two_way(terms, of.owners, clusters)


def _own(columns: Columns, predictor: str) -> list[str]:
    return [name for name in columns if name.rpartition("#")[0] == predictor]


def _joined(seeds: Sequence[tuple[float, Floats]], effective: float, seed: int) -> Estimate:
    """One number of all trainings of a recipe."""
    value = float(np.mean([value for value, _ in seeds]))
    if len(seeds) == 1:
        return Estimate(value, seeds[0][1], effective)
    rows = np.stack([samples for _, samples in seeds])
    return Estimate(value, bootstrap.over_seeds(rows, seed), effective, bootstrap.seed_variance(rows), len(seeds))
