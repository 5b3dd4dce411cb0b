"""What the test split says of the searched recipe, the paper's settings and the baselines: numbers with intervals, and what may be said of them.

Pure: the same scores, labels and seed give the same bytes, on any day and any machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from peoria.baselines.context import NAME as CONTEXT
from peoria.errors import ReportError
from peoria.records.schema import rounded
from peoria.stats import bootstrap, confounds, metrics
from peoria.stats.clusters import Clusters
from peoria.stats.estimates import LEVEL, MIN_EFFECTIVE, MIN_OWNERS, Estimate, holm
from peoria.stats.metrics import Floats
from peoria.verdict.predictors import BASELINES, CHEAP, KINDS, PredictorScores
from peoria.verdict.sentences import TARGETS, headline, lines, notes
from shards.labels import Labels

MIN_DATED = 100  # pictures with a date, for a spline of 7 numbers
PAIR_DAYS = 30.0


Estimates = dict[str, dict[str, Estimate]]  # measure → predictor → estimate


def judge(
    scores: Mapping[str, PredictorScores],
    labels: Labels,
    clusters: Clusters,
    *,
    winners: Mapping[str, str],
    on_val: Mapping[str, Mapping[str, float]] | None = None,
    opening: int = 1,
    num_resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """The verdict as plain JSON values, floats rounded to 6 decimals.

    Every estimate is ``{"value", "low", "high"}``, a 95 % interval over resampled owners (of a recipe: over owners and seeds), differences on the
    same resamples. Under ``targets``, for ``views`` and, where known, ``favorites``: the winner, its ``pooled``, ``given_age`` and
    ``within_owner`` skill; ``deep`` against the cheap image model that did best on val; ``context`` without and with the image; and three
    ``lines`` that say it. ``in_the_picture`` needs skill given age and within owner. ``beats_all_baselines`` needs every lower bound of a
    difference to a baseline above 0; to ask this of all at once needs no correction for their number. Where single trials are listed, ``p_holm``
    is corrected for how many are (Holm 1979).

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
    test = _test(labels, clusters)
    ordered = sorted(scores.values(), key=lambda predictor: (predictor.name not in winners.values(), KINDS.index(predictor.kind)))
    estimates: Estimates = {}
    for target in TARGETS:
        if target in winners:
            estimates |= _of_target(target, ordered, labels, clusters, test, {"num_resamples": num_resamples, "seed": seed})
    targets = {t: _target(t, ordered, estimates, winners[t], on_val or {}, test, opening) for t in TARGETS if t in winners}
    predictors = [
        {"name": p.name, "label": p.label, "kind": p.kind, "losses": {key: v for key, v in sorted(p.losses.items()) if np.isfinite(v)}}
        | {"num_seeds": len(score) if (score := p.score("views")) is not None else 0}
        | {measure: asdict(found[p.name].interval()) for measure, found in estimates.items() if p.name in found}
        for p in ordered
    ]
    verdict: dict[str, Any] = rounded(
        {
            "level": LEVEL,
            "num_resamples": num_resamples,
            "seed": seed,
            "min_owners": MIN_OWNERS,
            "pair_days": PAIR_DAYS,
            "test": test,
            # each opening may claim by luck in (1 − level)/2 of cases; whatever ties the openings together, the sum is the most
            "openings": {"number": opening, "false_claims_at_most": min(1.0, opening * (1 - LEVEL) / 2)},
            "predictors": predictors,
            "targets": targets,
        }
    )
    for target, found in verdict["targets"].items():
        found["lines"] = lines(target, verdict)
    return verdict | {"headline": headline(verdict), "notes": notes(verdict)}


def _of_target(
    target: str, predictors: Sequence[PredictorScores], labels: Labels, clusters: Clusters, test: dict[str, Any], resampling: dict[str, int]
) -> dict[str, dict[str, Estimate]]:
    """All measures of one target for every predictor that scores it; what is known of the test split is noted in ``test``."""
    names = TARGETS[target]
    if target == "views":
        y: Floats = labels.views.astype(np.float64)
    else:
        assert labels.favorites is not None
        y = (labels.favorites >= 1).astype(np.float64)
    columns = {f"{p.name}#{k}": row for p in predictors if (score := p.score(target)) is not None for k, row in enumerate(score)}
    found: Estimates = {}

    def enter(measure: str, values: Mapping[str, float], samples: Mapping[str, Floats], effective: float) -> None:
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
    test[f"pairs_{target}"] = {"num": len(pairs.more), "num_owners": pairs.owners.num}
    if pairs.owners.num >= MIN_OWNERS and pairs.owners.effective >= MIN_EFFECTIVE:
        pair_samples = confounds.bootstrap_pair_accuracy(columns, pairs, **resampling)
        assert pair_samples is not None
        values = {name: confounds.pair_accuracy(score, pairs) or 0.0 for name, score in columns.items()}
        enter(names.within_owner, values, pair_samples, pairs.owners.effective)
    return found


def _target(
    target: str,
    predictors: Sequence[PredictorScores],
    estimates: Estimates,
    winner: str,
    on_val: Mapping[str, Mapping[str, float]],
    test: dict[str, Any],
    opening: int,
) -> dict[str, Any]:
    """The yes and no of one target, each from a lower bound."""
    names = TARGETS[target]
    enough = test["enough_owners"]
    pooled = estimates[names.pooled]
    best = pooled[winner]
    held = {"pooled": (best, 0.0)}
    for what, measure, chance in (("given_age", names.given_age, 0.0), ("within_owner", names.within_owner, 0.5)):
        if measure in estimates:
            held[what] = (estimates[measure][winner], chance)
    above = {what: enough and found.above(chance) for what, (found, chance) in held.items()}
    differences: list[dict[str, Any]] = [
        {"name": p.name, "label": p.label, "kind": p.kind, "difference": asdict((difference := best - pooled[p.name]).interval())}
        | {"p": difference.p_value()}
        for p in predictors
        if p.name in pooled and p.name != winner and p.kind != "combined"
    ]
    baselines = [found for found in differences if found["kind"] in BASELINES]
    detectable = {what: found.detectable for what, (found, _) in held.items()}
    deep = context = None
    cheap = [name for name in CHEAP if name in pooled]
    if cheap:
        comparator = max(cheap, key=lambda name: on_val.get(name, {}).get(names.pooled, -np.inf))
        deep = next(found for found in differences if found["name"] == comparator)
        detectable["deep"] = (best - pooled[comparator]).detectable
    combined = f"{CONTEXT}+{winner}"
    if combined in pooled:
        gain = pooled[combined] - pooled[CONTEXT]
        label = next(p.label for p in predictors if p.name == CONTEXT)
        context = {
            "label": label,
            "without": asdict(pooled[CONTEXT].interval()),
            "with": asdict(pooled[combined].interval()),
            "difference": asdict(gain.interval()),
        }
        detectable["context"] = gain.detectable
    return {
        "winner": winner,
        "num_seeds": _num_seeds(predictors, winner, target),
        **{what: asdict(found.interval()) for what, (found, _) in held.items()},
        "enough_owners": enough,
        "above_chance": above,
        "in_the_picture": all(above.get(what, False) for what in ("given_age", "within_owner")),
        "above_chance_after_openings": enough and best.above(0.0, 1 - (1 - LEVEL) / opening),
        "deep": deep,
        "context": context,
        "differences": differences,
        "beats_all_baselines": above["pooled"] and all(found["difference"]["low"] > 0 for found in baselines) if baselines else None,
        "detectable": detectable,
        "single_trials": _single_trials(pooled, predictors),
    }


def _num_seeds(predictors: Sequence[PredictorScores], name: str, target: str) -> int:
    score = next(p for p in predictors if p.name == name).score(target)
    assert score is not None
    return len(score)


def _single_trials(pooled: Mapping[str, Estimate], predictors: Sequence[PredictorScores]) -> list[dict[str, Any]]:
    """Every single trained network that was tested, against chance: p-values by bootstrap, and Holm's over all that are listed."""
    shown = [p for p in predictors if p.kind in ("shipped", "paper") and p.name in pooled]
    p_values = [pooled[p.name].p_value() for p in shown]
    return [
        {"name": p.name, "label": p.label, "p": one, "p_holm": corrected} for p, one, corrected in zip(shown, p_values, holm(p_values), strict=True)
    ]


def _test(labels: Labels, clusters: Clusters) -> dict[str, Any]:
    """Counts of the test split, and the smallest effect that it could have shown."""
    se = metrics.standard_error(labels.views, clusters)
    dated = int(np.isfinite(labels.age_days()).sum())
    return {
        "num_pictures": len(labels),
        "num_owners": len(clusters.names),
        "num_units": clusters.num,
        "effective_owners": clusters.effective,
        "enough_owners": clusters.num >= MIN_OWNERS and clusters.effective >= MIN_EFFECTIVE,
        "unknown_owner_share": float(1 - clusters.known.mean()),
        "favorited_share": None if labels.favorites is None else float((labels.favorites >= 1).mean()),
        "num_dated": dated,
        "pairs_near_in_time": dated > 0,
        "standard_error": se,
        "detectable_rho": metrics.detectable(se),
    }


def _check(scores: Mapping[str, PredictorScores], labels: Labels, winners: Mapping[str, str]) -> None:
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
