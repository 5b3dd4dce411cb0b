"""What the test split says of the best network, the paper's settings and the baselines: numbers with intervals, and what may be said of them.

Pure: the same scores, labels and seed give the same bytes, on any day and any machine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from peoria import bootstrap, confounds, metrics
from peoria.baselines import age_days
from peoria.errors import ReportError
from peoria.metrics import Floats
from peoria.statements import headline, statements
from shards.labels import Labels

LEVEL = 0.95
MIN_OWNERS = 20  # a bootstrap over fewer units gives intervals that are far too narrow: of one owner, with no width at all
MIN_DATED = 100  # pictures with a date, for a spline of 7 numbers
PAIR_DAYS = 30.0
KINDS = ("best", "paper", "learned", "trivial", "oracle")


@dataclass(frozen=True)
class PredictorScores:
    """One predictor on the test split. ``views`` and ``favorites`` are the same array for a network, and ``None`` for a constant."""

    name: str
    label: str
    kind: Literal["best", "paper", "trivial", "learned", "oracle"]  # oracle: of planted pictures, what a perfect reader of them would score
    views: np.ndarray | None  # float64 [N]
    favorites: np.ndarray | None  # float64 [N]
    losses: dict[str, float] = field(default_factory=dict)


def judge(scores: Mapping[str, PredictorScores], labels: Labels, *, num_resamples: int = 2000, seed: int = 0) -> dict[str, Any]:
    """The verdict as plain JSON values, floats rounded to 6 decimals.

    Every estimate is ``{"value", "low", "high"}``, a 95 % percentile interval over resampled owners; ``differences`` are best − other on the
    same resamples. ``beats_all_baselines`` is true where every lower bound of a difference to a learned or trivial predictor is above 0, for
    views and, where known, favourites. To ask this of all of them at once needs no correction for their number; a single sentence
    about one of them is not corrected either. ``in_the_picture`` is true only where both ρ given upload age and the pair accuracy
    within owners exist and are above chance.

    Raises:
        ReportError: no best predictor or more than one, a score that does not fit, or views that are all the same.
    """
    _check(scores, labels)
    ordered = sorted(scores.values(), key=lambda predictor: KINDS.index(predictor.kind))
    views = {p.name: np.asarray(p.views, np.float64) for p in ordered if p.views is not None}
    resampling = {"num_resamples": num_resamples, "seed": seed}
    test = _test(labels)

    estimates: dict[str, dict[str, tuple[float, Floats]]] = {}
    samples = bootstrap.bootstrap_spearman(views, labels.views, labels.owners, **resampling)
    estimates["rho_views"] = {name: (metrics.spearman(score, labels.views), samples[name]) for name, score in views.items()}
    if test["favorited_share"] not in (None, 0.0, 1.0):
        assert labels.favorites is not None
        positive = labels.favorites >= 1
        favorites = {p.name: np.asarray(p.favorites, np.float64) for p in ordered if p.favorites is not None}
        samples = bootstrap.bootstrap_gini(favorites, positive, labels.owners, **resampling)
        estimates["gini_fav"] = {name: (metrics.gini(score, positive), samples[name]) for name, score in favorites.items()}
    days = _days(labels)
    dated = np.isfinite(days)
    test["num_dated"] = int(dated.sum())
    if test["num_dated"] >= MIN_DATED:
        of_dated = {name: score[dated] for name, score in views.items()}
        samples = confounds.bootstrap_given_age(of_dated, labels.views[dated], days[dated], labels.owners[dated], **resampling)
        values = {name: confounds.given_age(score, labels.views[dated], days[dated]) for name, score in of_dated.items()}
        estimates["rho_given_age"] = {name: (values[name], samples[name]) for name in views}
    pairs = confounds.within_owner_pairs(labels.owners, labels.uploaded_at if dated.any() else None, labels.views, PAIR_DAYS)
    test |= {"num_pairs": len(pairs.more), "num_pair_owners": len(np.unique(pairs.owner)), "pairs_near_in_time": bool(dated.any())}
    pair_samples = confounds.bootstrap_pair_accuracy(views, pairs, **resampling)
    if pair_samples is not None and test["num_pair_owners"] >= MIN_OWNERS:
        accuracies = {name: confounds.pair_accuracy(score, pairs) or 0.0 for name, score in views.items()}
        estimates["pair_accuracy"] = {name: (accuracies[name], pair_samples[name]) for name in views}

    best = next(p for p in ordered if p.kind == "best")
    predictors = [
        {"name": p.name, "label": p.label, "kind": p.kind, "losses": {key: v for key, v in sorted(p.losses.items()) if np.isfinite(v)}}
        | {key: _estimate(*found[p.name]) for key, found in estimates.items() if p.name in found}
        for p in ordered
    ]
    differences = [
        {"name": p.name, "label": p.label, "kind": p.kind}
        | {
            key: _estimate(estimates[key][best.name][0] - estimates[key][p.name][0], estimates[key][best.name][1] - estimates[key][p.name][1])
            for key in ("rho_views", "gini_fav")
            if p.name in estimates.get(key, {}) and best.name in estimates[key]
        }
        for p in ordered
        if p is not best and p.views is not None
    ]
    verdict: dict[str, Any] = {
        "level": LEVEL,
        "num_resamples": num_resamples,
        "seed": seed,
        "min_owners": MIN_OWNERS,
        "pair_days": PAIR_DAYS,
        "test": test,
        "predictors": predictors,
        "differences": differences,
    }
    verdict = _rounded(verdict | _findings(predictors[0], differences, test))
    return verdict | {"headline": headline(verdict), "statements": statements(verdict)}


def _findings(best: dict[str, Any], differences: Sequence[dict[str, Any]], test: dict[str, Any]) -> dict[str, Any]:
    """The yes and no of the verdict, each from a lower bound."""
    enough = test["num_units"] >= MIN_OWNERS
    above = {key: enough and best[key]["low"] > chance for key, chance in CHANCE.items() if key in best}
    baselines = [d for d in differences if d["kind"] in ("learned", "trivial")]
    beats = {
        key: above[key] and all(d[key]["low"] > 0 for d in baselines if key in d)
        for key in ("rho_views", "gini_fav")
        if any(key in d for d in baselines)
    }
    return {
        "enough_owners": enough,
        "above_chance": above,
        "in_the_picture": all(above.get(key, False) for key in ("rho_views", "rho_given_age", "pair_accuracy")),
        "beats": beats,
        "beats_all_baselines": bool(beats) and all(beats.values()),
    }


CHANCE = {"rho_views": 0.0, "gini_fav": 0.0, "rho_given_age": 0.0, "pair_accuracy": 0.5}


def _test(labels: Labels) -> dict[str, Any]:
    """Counts of the test split, and the smallest effect that it could have shown."""
    known = np.asarray(labels.owners).astype(str) != ""
    se = metrics.standard_error(labels.views, labels.owners)
    return {
        "num_pictures": len(labels),
        "num_owners": len(np.unique(labels.owners[known])),
        "num_units": len(metrics.owner_units(labels.owners)[1]),
        "unknown_owner_share": float(1 - known.mean()),
        "favorited_share": None if labels.favorites is None else float((labels.favorites >= 1).mean()),
        "standard_error": se,
        "detectable_rho": metrics.detectable(se),
    }


def _days(labels: Labels) -> Floats:
    """Age in days, float64 [N], NaN where unknown."""
    if labels.uploaded_at is None or np.isnat(labels.uploaded_at).all():
        return np.full(len(labels), np.nan)
    return age_days(labels)


def _check(scores: Mapping[str, PredictorScores], labels: Labels) -> None:
    best = [p.name for p in scores.values() if p.kind == "best"]
    problems = []
    if len(best) != 1:
        problems.append(f"scores: {len(best)} predictors of kind 'best' ({', '.join(best) or 'none'}); exactly one is judged")
    for p in scores.values():
        for column, score in (("views", p.views), ("favorites", p.favorites)):
            if score is None and p.kind == "best":
                problems.append(f"{p.name}: no {column} score; the best predictor needs one")
            elif score is not None and np.shape(score) != (len(labels),):
                problems.append(f"{p.name}: {column} score of shape {np.shape(score)}; one value for each of the {len(labels):,} test pictures")
    if len(labels) < 3 or labels.views.min() == labels.views.max():
        problems.append(f"views: {len(labels):,} test pictures with one number of views; at least 3 pictures with different views are needed")
    if problems:
        raise ReportError(*problems)


def _estimate(value: float, samples: Floats) -> dict[str, float]:
    low, high = bootstrap.interval(samples, LEVEL)
    return {"value": value, "low": low, "high": high}


def _rounded(value: Any) -> Any:
    """Floats to 6 decimals, so that the last bits of another processor do not show; −0.0 as 0.0."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    return round(float(value), 6) + 0.0 if isinstance(value, (float, np.floating)) else value
