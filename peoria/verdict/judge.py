"""What the test split says of the searched recipe, the paper's settings and the baselines: numbers with intervals, and what may be said of them.

Pure: the same scores, labels and seed give the same bytes, on any day and any machine.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from peoria.baselines.context import NAME as CONTEXT
from peoria.errors import ReportError
from peoria.stats import bootstrap, confounds, metrics
from peoria.stats.clusters import Clusters
from peoria.stats.estimates import LEVEL, MIN_EFFECTIVE, MIN_OWNERS, Estimate, holm
from peoria.stats.metrics import Floats
from peoria.verdict.predictors import BASELINES, CHEAP, KINDS, PredictorScores
from peoria.verdict.schema import (
    AboveChance,
    ContextGain,
    Detectable,
    Difference,
    Judgement,
    Measure,
    Openings,
    Pairs,
    Predictor,
    SingleTrial,
    SplitSummary,
    Target,
    Targets,
    TargetVerdict,
)
from peoria.verdict.sentences import TARGETS, with_sentences
from peoria.verdict.values import Interval
from shards.labels import Labels

MIN_DATED = 100  # pictures with a date, for a spline of 7 numbers
PAIR_DAYS = 30.0


Estimates = dict[Measure, dict[str, Estimate]]  # by measure and predictor


def judge(
    scores: Mapping[str, PredictorScores],
    labels: Labels,
    clusters: Clusters,
    *,
    winners: Mapping[Target, str],
    on_val: Mapping[str, Mapping[str, float]] | None = None,
    opening: int = 1,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Judgement:
    """The numbers of the test split with 95 % intervals over resampled owners (of a recipe: over owners and seeds), and the sentences by rule.

    Differences are on the same resamples. ``in_the_picture`` needs skill given age and within owner. ``beats_all_baselines`` needs every lower
    bound of a difference to a baseline above 0; to ask this of all at once needs no correction for their number. Where single trials are
    listed, ``p_holm`` is corrected for how many are (Holm 1979).

    Args:
        clusters: the owners of the test pictures.
        winners: for each target the name of the predictor that is judged; chosen on val. A score of context with it added is the predictor
            ``context+NAME``.
        on_val: by predictor, its ``rho_views`` and ``gini_fav`` on val, for the choice of the cheap image model.
        opening: how many times the test split has been opened by now.

    Raises:
        ReportError: a winner without a score, a score that does not fit, or views that are all the same.
    """
    _check(scores, labels, winners)
    ordered = sorted(scores.values(), key=lambda predictor: (predictor.name not in winners.values(), KINDS.index(predictor.kind)))
    estimates: Estimates = {}
    pairs: dict[Target, Pairs] = {}
    for target in TARGETS:
        if target in winners:
            found, pairs[target] = _of_target(target, ordered, labels, clusters, {"num_resamples": num_resamples, "seed": seed})
            estimates |= found
    test = _test(labels, clusters, pairs)
    targets = {t: _target(t, ordered, estimates, winners[t], on_val or {}, test.enough_owners, opening) for t in TARGETS if t in winners}
    numbers = Judgement(
        level=LEVEL,
        num_resamples=num_resamples,
        seed=seed,
        min_owners=MIN_OWNERS,
        pair_days=PAIR_DAYS,
        test=test,
        # each opening may claim by luck in (1 − level)/2 of cases; whatever ties the openings together, the sum is the most
        openings=Openings(number=opening, false_claims_at_most=min(1.0, opening * (1 - LEVEL) / 2)),
        predictors=tuple(_predictor(p, estimates) for p in ordered),
        targets=Targets(views=targets["views"], favorites=targets.get("favorites")),
    )
    return with_sentences(numbers)


def _predictor(scores: PredictorScores, estimates: Estimates) -> Predictor:
    score = scores.score("views")
    return Predictor(
        name=scores.name,
        label=scores.label,
        kind=scores.kind,
        losses={key: value for key, value in sorted(scores.losses.items()) if np.isfinite(value)},
        num_seeds=0 if score is None else len(score),
        **{measure: interval(found[scores.name]) for measure, found in estimates.items() if scores.name in found},
    )


def interval(found: Estimate) -> Interval:
    return Interval.model_validate(found.interval())


def _of_target(
    target: Target, predictors: Sequence[PredictorScores], labels: Labels, clusters: Clusters, resampling: dict[str, int]
) -> tuple[Estimates, Pairs]:
    """All measures of one target for every predictor that scores it, and how many pairs of one owner there are."""
    names = TARGETS[target]
    if target == "views":
        y: Floats = labels.views.astype(np.float64)
    else:
        assert labels.favorites is not None
        y = (labels.favorites >= 1).astype(np.float64)
    columns = {f"{p.name}#{k}": row for p in predictors if (score := p.score(target)) is not None for k, row in enumerate(score)}
    found: Estimates = {}

    def enter(measure: Measure, values: Mapping[str, float], samples: Mapping[str, Floats], effective: float) -> None:
        found[measure] = {}
        for p in predictors:
            if own := [name for name in columns if name.rpartition("#")[0] == p.name]:
                rows = np.stack([samples[name] for name in own])
                joined = bootstrap.over_seeds(rows, resampling["seed"]) if len(own) > 1 else rows[0]
                found[measure][p.name] = Estimate(float(np.mean([values[name] for name in own])), joined, effective)

    if target == "views":
        samples = bootstrap.bootstrap_spearman(columns, y, clusters, **resampling)
        enter(names.pooled, {name: metrics.spearman(score, y) for name, score in columns.items()}, samples, clusters.effective)
    else:
        samples = bootstrap.bootstrap_gini(columns, y, clusters, **resampling)
        enter(names.pooled, {name: metrics.gini(score, y > 0) for name, score in columns.items()}, samples, clusters.effective)
    days = labels.age_days()
    dated = np.isfinite(days)
    if dated.sum() >= MIN_DATED and np.unique(y[dated]).size > 1:
        owners_dated = clusters.take(dated)
        of_dated = {name: score[dated] for name, score in columns.items()}
        samples = confounds.bootstrap_given_age(of_dated, y[dated], days[dated], owners_dated, **resampling)
        values = {name: confounds.given_age(score, y[dated], days[dated]) for name, score in of_dated.items()}
        enter(names.given_age, values, samples, owners_dated.effective)
    known = dated.any()
    pairs = confounds.within_owner_pairs(clusters, labels.uploaded_at if known else None, y, PAIR_DAYS, days if known else None)
    if pairs.owners.num >= MIN_OWNERS and pairs.owners.effective >= MIN_EFFECTIVE:
        pair_samples = confounds.bootstrap_pair_accuracy(columns, pairs, **resampling)
        assert pair_samples is not None
        values = {name: confounds.pair_accuracy(score, pairs) or 0.0 for name, score in columns.items()}
        enter(names.within_owner, values, pair_samples, pairs.owners.effective)
    return found, Pairs(num=len(pairs.more), num_owners=pairs.owners.num)


def _target(
    target: Target,
    predictors: Sequence[PredictorScores],
    estimates: Estimates,
    winner: str,
    on_val: Mapping[str, Mapping[str, float]],
    enough: bool,
    opening: int,
) -> TargetVerdict:
    """The yes and no of one target, each from a lower bound."""
    names = TARGETS[target]
    pooled = estimates[names.pooled]
    best = pooled[winner]
    given_age, within_owner = (estimates[measure][winner] if measure in estimates else None for measure in (names.given_age, names.within_owner))
    above = AboveChance(
        pooled=enough and best.above(0.0),
        given_age=None if given_age is None else enough and given_age.above(0.0),
        within_owner=None if within_owner is None else enough and within_owner.above(0.5),
    )
    gaps = {p.name: best - pooled[p.name] for p in predictors if p.name in pooled and p.name != winner and p.kind != "combined"}
    differences = tuple(
        Difference(
            name=p.name,
            label=p.label,
            kind=p.kind,
            difference=interval(gaps[p.name]),
            p=gaps[p.name].p_value(),
        )
        for p in predictors
        if p.name in gaps
    )
    baselines = [found for found in differences if found.kind in BASELINES]
    deep = max((d for d in differences if d.name in CHEAP), key=lambda d: _cheap_place(d.name, on_val, names.pooled), default=None)
    context = gain = None
    if (combined := f"{CONTEXT}+{winner}") in pooled:
        gain = pooled[combined] - pooled[CONTEXT]
        label = next(p.label for p in predictors if p.name == CONTEXT)
        context = ContextGain(label=label, without_image=interval(pooled[CONTEXT]), with_image=interval(pooled[combined]), difference=interval(gain))
    return TargetVerdict(
        predictor=winner,
        num_seeds=_num_seeds(predictors, winner, target),
        pooled=interval(best),
        given_age=None if given_age is None else interval(given_age),
        within_owner=None if within_owner is None else interval(within_owner),
        enough_owners=enough,
        above_chance=above,
        in_the_picture=bool(above.given_age and above.within_owner),
        above_chance_after_openings=enough and best.above(0.0, 1 - (1 - LEVEL) / opening),
        deep=deep,
        context=context,
        differences=differences,
        beats_all_baselines=above.pooled and all(found.difference.low > 0 for found in baselines) if baselines else None,
        detectable=Detectable(
            pooled=best.detectable,
            given_age=None if given_age is None else given_age.detectable,
            within_owner=None if within_owner is None else within_owner.detectable,
            deep=None if deep is None else gaps[deep.name].detectable,
            context=None if gain is None else gain.detectable,
        ),
        single_trials=_single_trials(pooled, predictors),
    )


def _cheap_place(name: str, on_val: Mapping[str, Mapping[str, float]], measure: Measure) -> tuple[float, int]:
    """By its value on val; among equals the one that `CHEAP` names first."""
    return on_val.get(name, {}).get(measure, -np.inf), -CHEAP.index(name)


def _num_seeds(predictors: Sequence[PredictorScores], name: str, target: Target) -> int:
    score = next(p for p in predictors if p.name == name).score(target)
    assert score is not None
    return len(score)


def _single_trials(pooled: Mapping[str, Estimate], predictors: Sequence[PredictorScores]) -> tuple[SingleTrial, ...]:
    """Every single trained network that was tested, against chance: p-values by bootstrap, and Holm's over all that are listed."""
    shown = [p for p in predictors if p.kind in ("shipped", "paper") and p.name in pooled]
    p_values = [pooled[p.name].p_value() for p in shown]
    return tuple(
        SingleTrial(name=p.name, label=p.label, p=one, p_holm=corrected) for p, one, corrected in zip(shown, p_values, holm(p_values), strict=True)
    )


def _test(labels: Labels, clusters: Clusters, pairs: Mapping[Target, Pairs]) -> SplitSummary:
    """Counts of the test split, and the smallest effect that it could have shown."""
    se = metrics.standard_error(labels.views, clusters)
    dated = int(np.isfinite(labels.age_days()).sum())
    return SplitSummary(
        num_pictures=len(labels),
        num_owners=len(clusters.names),
        num_units=clusters.num,
        effective_owners=clusters.effective,
        enough_owners=clusters.num >= MIN_OWNERS and clusters.effective >= MIN_EFFECTIVE,
        unknown_owner_share=float(1 - clusters.known.mean()),
        favorited_share=None if labels.favorites is None else float((labels.favorites >= 1).mean()),
        num_dated=dated,
        pairs_near_in_time=dated > 0,
        standard_error=se,
        detectable_rho=metrics.detectable(se),
        pairs_views=pairs["views"],
        pairs_favorites=pairs.get("favorites"),
    )


def _check(scores: Mapping[str, PredictorScores], labels: Labels, winners: Mapping[Target, str]) -> None:
    problems = []
    if "views" not in winners:
        problems.append("winners: none for views; one is judged")
    for target, name in winners.items():
        if name not in scores or scores[name].score(target) is None:
            problems.append(f"{name}: no {target} score; what is judged needs one")
    for p in scores.values():
        for target in TARGETS:
            score = p.score(target)
            if score is not None and score.shape[1:] != (len(labels),):
                problems.append(f"{p.name}: {target} score of shape {score.shape}; one value for each of the {len(labels):,} test pictures")
    if "favorites" in winners and (labels.favorites is None or np.unique(labels.favorites >= 1).size < 2):
        problems.append("winners: one for favorites, of which the test split has one class only")
    if len(labels) < 3 or labels.views.min() == labels.views.max():
        problems.append(f"views: {len(labels):,} test pictures with one number of views; at least 3 pictures with different views are needed")
    if problems:
        raise ReportError(*problems)
