"""What the test split says of the searched recipe, the paper's settings and the baselines: numbers with intervals, and what may be said of them.

Pure: the same scores, labels and seed give the same bytes, on any day and any machine.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from peoria.baselines.context import NAME as CONTEXT
from peoria.errors import ReportError
from peoria.stats import metrics
from peoria.stats.clusters import Clusters
from peoria.stats.estimates import LEVEL, MIN_EFFECTIVE, MIN_OWNERS, Estimate, Resampling, enough_owners, holm
from peoria.stats.metrics import Floats, rankable
from peoria.stats.sensitivity import robustness
from peoria.verdict.left_out import left_out
from peoria.verdict.measures import PAIR_DAYS, Known, Measured, measure
from peoria.verdict.predictors import BASELINES, CHEAP, KINDS, PredictorScores
from peoria.verdict.schema import (
    AboveChance,
    Cause,
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
    Units,
    Wider,
)
from peoria.verdict.sentences import with_sentences
from peoria.verdict.values import Interval
from peoria.verdict.vaults import Shown
from peoria.verdict.words import TARGETS, Names
from shards.labels import Labels

SMALL = 0.1  # a correlation below it is called small (Cohen 1988, "Statistical Power Analysis for the Behavioral Sciences")
MIN_SEEDS = 3  # of a recipe: with 2, intervals hold the truth in 87 % (simulated)


def judge(
    scores: Mapping[str, PredictorScores],
    labels: Labels,
    clusters: Clusters,
    *,
    winners: Mapping[Target, str],
    opening: int = 1,
    shown: Shown | None = None,
    num_resamples: int = 2000,
    seed: int = 0,
) -> Judgement:
    """The numbers of the test split with 95 % intervals over resampled owners (of a recipe: over owners and seeds), and the sentences by rule.

    Differences are on the same resamples. ``in_the_picture`` needs skill of four kinds: pooled, given all known context, within owner, and against
    neighbours in time; every other claim needs that too, so that no line shows what another puts down to something else. To ask several bounds at
    once needs no correction for their number (Berger 1982, "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24:295-300).
    Where single trials are listed, ``p_holm`` is corrected for how many are (Holm 1979).

    Args:
        clusters: the owners of the test pictures.
        winners: for each target the name of the predictor that is judged; chosen on val. A score of context with it added is the predictor
            ``context+NAME``.
        opening: its number on record.
        shown: what it shows of test; None: all of it, as the openings before did.

    Raises:
        ReportError: a winner without a score, a score that does not fit, or views that are all the same.
    """
    _check(scores, labels, winners)
    ordered = sorted(scores.values(), key=lambda predictor: (predictor.name not in winners.values(), KINDS.index(predictor.kind)))
    known, resampling = Known(labels, clusters), Resampling(num_resamples, seed)
    measured: dict[Target, Measured] = {}
    for target in (target for target in TARGETS if target in winners):
        rows = labels.counted(target)[0]  # a picture whose favourites are unknown is judged by views alone
        of_rows = known if len(rows) == len(labels) else Known(labels.take(rows), clusters.take(rows))
        measured[target] = measure(target, [predictor.take(rows) for predictor in ordered], winners[target], of_rows, resampling)
    test = _test(known, {target: found.pairs for target, found in measured.items()})
    looks = opening if shown is None else 1  # at these pictures
    targets = {target: _target(target, ordered, found, winners[target], test.enough_owners, looks) for target, found in measured.items()}
    estimates = {name: of for found in measured.values() for name, of in found.estimates.items()}
    numbers = Judgement(
        level=LEVEL,
        num_resamples=num_resamples,
        seed=seed,
        min_owners=MIN_OWNERS,
        small_effect=SMALL,
        pair_days=PAIR_DAYS,
        test=test,
        # each look may claim by luck in (1 − level)/2 of cases; whatever ties looks at the same pictures together, the sum is the most
        openings=Openings(number=opening, false_claims_at_most=min(1.0, looks * (1 - LEVEL) / 2), **({} if shown is None else _vaults(shown))),
        predictors=tuple(_predictor(p, estimates) for p in ordered),
        targets=Targets(views=targets["views"], favorites=targets.get("favorites")),
        left_out=left_out(_score(scores[winners["views"]], "views"), labels, clusters, Resampling(num_resamples, seed)),
    )
    return with_sentences(numbers)


def _vaults(shown: Shown) -> dict[str, Any]:
    return {
        "first_vault": shown.first,
        "last_vault": shown.last,
        "num_vaults": shown.num_vaults,
        "owner_share": shown.num_owners / max(shown.num_all, 1),
        "owners_sealed": shown.num_sealed,
    }


def _predictor(scores: PredictorScores, estimates: Mapping[Measure, Mapping[str, Estimate]]) -> Predictor:
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


def _target(target: Target, predictors: Sequence[PredictorScores], measured: Measured, winner: str, enough: bool, looks: int) -> TargetVerdict:
    """The yes and no of one target, each from bounds."""
    names, estimates = TARGETS[target], measured.estimates
    pooled = estimates[names.pooled]
    best = pooled[winner]
    given, within, share, near = (
        estimates[key][winner] if key in estimates else None for key in (names.given_context, names.within_owner, names.pair_share, names.neighbours)
    )
    own = measured.own_scale.get(winner)
    scales = [found for found in (near, own) if found is not None]
    neighbours = min(scales, key=lambda found: found.interval().low, default=None)
    scores = _score(next(p for p in predictors if p.name == winner), target)
    enough = enough and measured.num_owners >= MIN_OWNERS and measured.effective >= MIN_EFFECTIVE
    seeds = (len(scores) == 1 or len(scores) >= MIN_SEEDS) and any(rankable(row) for row in scores)
    sure = enough and seeds
    above = AboveChance(
        pooled=sure and best.above(0.0),
        given_context=None if given is None else sure and given.above(0.0),
        within_owner=None if within is None else sure and within.above(0.5),
        neighbours=None if neighbours is None else sure and neighbours.above(0.0),
    )
    wider = () if neighbours is None else tuple(_wider(name, neighbours.widened(times**0.5)) for name, times in sorted(measured.wider.items()))
    control = measured.control
    confounded = sure and control is not None and control.above(0.0)
    shown = bool(above.pooled and above.given_context and above.within_owner and above.neighbours and all(check.holds for check in wider))
    # what comes and goes within an owner reaches a picture and not all of its neighbours: it has to show more than others' views show of it
    shown = shown and not (confounded and control is not None and neighbours is not None and neighbours.interval().low <= control.interval().high)
    undated = measured.undated_pairs
    shown = shown and (undated is None or undated.above(0.5)) and not (undated is None and not measured.all_dated)
    differences = tuple(
        _difference(p, winner, names, measured) for p in predictors if p.name in pooled and p.name != winner and p.kind != "combined"
    )  # fmt: skip
    baselines = [found for found in differences if found.kind in BASELINES]
    cheap = [found for found in differences if found.name in CHEAP]
    deep = min(cheap, key=lambda found: (found.difference.low, found.name), default=None)
    context = gain = None
    if (combined := f"{CONTEXT}+{winner}") in pooled:
        gain = pooled[combined] - pooled[CONTEXT]
        label = next(p.label for p in predictors if p.name == CONTEXT)
        context = ContextGain(label=label, without_image=interval(pooled[CONTEXT]), with_image=interval(pooled[combined]), difference=interval(gain))
    return TargetVerdict(
        predictor=winner,
        num_seeds=len(scores),
        num_diverged=int(sum(not rankable(row) for row in scores)) if len(scores) > 1 else 0,
        pooled=interval(best),
        given_context=None if given is None else interval(given),
        within_owner=None if within is None else interval(within),
        pair_share=None if share is None else interval(share),
        neighbours=_of_both(scales) if scales else None,
        control=None if control is None else interval(control),
        wider=wider,
        enough_owners=enough,
        enough_seeds=seeds,
        above_chance=above,
        in_the_picture=shown,
        confounded=confounded,
        explained_by=None if shown or not above.pooled else _cause(target, best, given, within, scales, control, measured),
        robustness=None if not scales else robustness(_of_both(scales).low),
        known_strength=measured.known_strength,
        above_chance_after_openings=sure and best.above(0.0, 1 - (1 - LEVEL) / looks),
        deep=deep,
        deep_shown=shown and bool(cheap) and all(found.more for found in cheap),
        context=context,
        context_shown=shown and gain is not None and gain.above(0.0),
        differences=differences,
        beats_all_baselines=shown and all(found.more for found in baselines) if baselines else None,
        detectable=Detectable(
            pooled=best.detectable,
            given_context=None if given is None else given.detectable,
            within_owner=None if within is None else within.detectable,
            neighbours=None if neighbours is None else neighbours.detectable,
            deep=None if deep is None else (best - pooled[deep.name]).detectable,
            context=None if gain is None else gain.detectable,
        ),
        single_trials=_single_trials(pooled, predictors),
    )


def _of_both(scales: Sequence[Estimate]) -> Interval:
    """The lower number, and bounds that hold on every scale: so neither what is shown nor what is small is so on one alone."""
    found = [scale.interval() for scale in scales]
    return Interval(value=min(of.value for of in found), low=min(of.low for of in found), high=max(of.high for of in found))


def _cause(
    target: Target,
    best: Estimate,
    given: Estimate | None,
    within: Estimate | None,
    scales: Sequence[Estimate],
    control: Estimate | None,
    measured: Measured,
) -> Cause | None:
    """What explains a correlation that is not in the picture; None where that is not decided.

    Held fixed, a cause leaves less than a small effect, and what it takes away is above 0 itself. What an owner's pictures share is named only
    where context takes little: a date that is wrong is shared by an owner's pictures, too. For favourites none is named: a Gini and what is left of a
    correlation are not on one scale, so that nothing can be said of the difference.
    """
    if given is None or target == "favorites":
        return None
    if given.interval().high < SMALL:
        elsewhere = (within is not None and within.above(0.5)) or any(scale.above(0.0) for scale in scales)
        return "context" if measured.all_dated and (best - given).above(0.0) and not elsewhere else None
    here = measured.given_in_time
    if not scales or within is None or here is None or not given.above(0.0) or given.value < best.value / 2:
        return None
    left = _of_both(scales)
    if left.high >= SMALL or here.interval().low <= left.high:
        return None
    if control is None:
        return None
    if control.above(0.0):
        return "change" if within.above(0.5) else None
    return "owner" if within.interval().high < 0.5 + SMALL / 2 and control.interval().high < SMALL else None


def _score(predictor: PredictorScores, target: Target) -> Floats:
    score = predictor.score(target)
    assert score is not None
    return score


def _wider(name: str, found: Estimate) -> Wider:
    return Wider.model_validate({"group": name, "interval": interval(found), "holds": found.above(0.0)})


def _difference(other: PredictorScores, winner: str, names: Names, measured: Measured) -> Difference:
    def gap(key: Measure) -> Estimate | None:
        of = measured.estimates.get(key, {})
        return of[winner] - of[other.name] if winner in of and other.name in of else None

    pooled, given, within, near = gap(names.pooled), gap(names.given_context), gap(names.within_owner), gap(names.neighbours)
    assert pooled is not None
    own = measured.own_scale
    if near is not None and winner in own and other.name in own:
        near = min(near, own[winner] - own[other.name], key=lambda found: found.interval().low)
    return Difference(
        name=other.name,
        label=other.label,
        kind=other.kind,
        difference=interval(pooled),
        given_context=None if given is None else interval(given),
        within_owner=None if within is None else interval(within),
        neighbours=None if near is None else interval(near),
        more=all(found is None or found.above(0.0) for found in (pooled, given, within, near)),
        p=pooled.p_value(),
        p_is_floor=pooled.p_is_floor(),
    )


def _single_trials(pooled: Mapping[str, Estimate], predictors: Sequence[PredictorScores]) -> tuple[SingleTrial, ...]:
    """Every single trained network that was tested, against chance: p-values by bootstrap, and Holm's over all that are listed."""
    shown = [p for p in predictors if p.kind in ("shipped", "paper") and p.name in pooled]
    p_values = [pooled[p.name].p_value() for p in shown]
    return tuple(
        SingleTrial(name=p.name, label=p.label, p=one, p_holm=corrected, p_is_floor=pooled[p.name].p_is_floor())
        for p, one, corrected in zip(shown, p_values, holm(p_values), strict=True)
    )


def _test(known: Known, pairs: Mapping[Target, Pairs]) -> SplitSummary:
    """Counts of the test split, and the smallest effect that it could have shown."""
    labels, clusters = known.labels, known.clusters
    se = metrics.standard_error(labels.views, clusters)
    dated = int(np.isfinite(labels.age_days()).sum())
    rows, favorites = labels.counted("favorites")
    counted = clusters.take(rows) if 0 < len(rows) < len(labels) else None
    return SplitSummary(
        num_pictures=len(labels),
        num_owners=len(clusters.names),
        num_units=clusters.num,
        effective_owners=clusters.effective,
        enough_owners=enough_owners(clusters) and len(clusters.names) > 0,
        unknown_owner_share=float(1 - clusters.known.mean()),
        favorited_share=float((favorites >= 1).mean()) if len(favorites) else None,
        favorites_known=None if counted is None else Units(num_units=counted.num, effective_owners=counted.effective),
        num_dated=dated,
        context=() if known.of_rows is None else known.of_rows.parts,
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
    if "favorites" in winners and np.unique(labels.counted("favorites")[1] >= 1).size < 2:
        problems.append("winners: one for favorites, of which the test split has one class only")
    if len(labels) < 3 or labels.views.min() == labels.views.max():
        problems.append(f"views: {len(labels):,} test pictures with one number of views; at least 3 pictures with different views are needed")
    if problems:
        raise ReportError(*problems)
