"""Further questions of a finished sweep, answered from what the one opening of the test split left: nothing here opens it again."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from peoria.baselines.context import NAME as CONTEXT
from peoria.data.subsets import Subset
from peoria.records.trials import TrialRecord
from peoria.stats import metrics
from peoria.stats.bootstrap import bootstrap_spearman
from peoria.stats.ceiling import content_ceiling, count_noise, upper_end
from peoria.stats.combine import on_top_of_context
from peoria.stats.estimates import Estimate, Resampling, num_units
from peoria.stats.learning_curve import HeldOut, LearningCurvePoint, leak, learning_curve
from peoria.stats.metrics import Floats, expected_best_of, expected_best_of_curve
from peoria.stats.strata import calibration, within_months
from peoria.verdict.judged import Judged
from peoria.verdict.scores import Scored

MIN_LATER = 100  # pictures of test after the cutoff, for the time split


def answer(scored: Scored, judged: Judged, trials: list[TrialRecord]) -> dict[str, Any]:
    """Plain JSON values by question; one that these data or this sweep cannot answer is None.

    ``selection``: the winner's curse. ``learning_curve``, ``leak``, ``time``: of the follow-ups. ``on_top_of_context``: of the shipped checkpoint.
    ``noise``: white noise among the test pictures. ``content``: `content_ceiling` of views. ``count_noise`` (by target), ``upper_end``,
    ``within_months``, ``calibration``: see the functions of these names.
    """
    from scipy.stats import rankdata

    resampling = Resampling()
    labels, winner = scored.labels, judged.winners["views"]
    score = scored.predictors[judged.name("views")].score("views")
    shipped = scored.predictors[f"trial-{winner.key}"].views
    assert score is not None
    assert shipped is not None
    found: dict[str, Any] = {
        "selection": selection(trials, winner, float(scored.extra["val-se"]), metrics.spearman(shipped, labels.views), score, labels.views),
        "learning_curve": growth(scored, judged, score, resampling),
        "leak": None,
        "time": later(scored, judged, score, resampling),
        "on_top_of_context": with_context(scored, judged, resampling),
        "noise": noise(scored.extra["noise"], shipped),
        "content": content(scored.extra, resampling),
        "count_noise": {"views": count_noise(labels.views, labels.owners, resampling)},
        "upper_end": upper_end(shipped, labels.views, labels.owners, resampling),
        "within_months": None,
        "calibration": calibration(shipped, rankdata(labels.views) / len(labels), labels.owners, resampling),
    }
    if labels.favorites is not None:
        found["count_noise"]["favorites"] = count_noise(labels.favorites, labels.owners, resampling)
    if labels.uploaded_at is not None:
        found["within_months"] = within_months(shipped, labels.views, labels.uploaded_at, labels.owners, resampling)
    if "leak-score|random" in scored.extra and (scored.extra["leak-owners|random"] != "").any():
        found["leak"] = leak(held_out(scored, "random"), held_out(scored, "owner"), resampling)
    return found


def with_context(scored: Scored, judged: Judged, resampling: Resampling) -> dict[str, Any] | None:
    """`on_top_of_context` of the shipped checkpoint, with what no combination needs: the correlation of image and views given the context."""
    context, shipped = scored.predictors.get(CONTEXT), scored.predictors[f"trial-{judged.winners['views'].key}"]
    if context is None or context.views is None or shipped.views is None:
        return None
    image, known, views = (scored.extra[f"val|{name}"] for name in ("image", "context", "views"))
    return on_top_of_context(image, known, views, shipped.views, context.views, scored.labels.views, scored.labels.owners, resampling)


def content(extra: Mapping[str, np.ndarray], resampling: Resampling) -> dict[str, Any] | None:
    """`content_ceiling` of the views of near-duplicates in the whole packed set, rejected pictures too, whatever part of it the sweep is of."""
    if "copies|views_a" not in extra:
        return None
    views_a, views_b, owner_a, owner_b = (extra[f"copies|{name}"] for name in ("views_a", "views_b", "owner_a", "owner_b"))
    return content_ceiling(views_a, views_b, owner_a, owner_b, resampling)


def held_out(scored: Scored, name: str) -> HeldOut:
    """What was stored of one side of the leak."""
    return HeldOut(scored.extra[f"leak-score|{name}"], scored.extra[f"leak-views|{name}"], scored.extra[f"leak-owners|{name}"])


def selection(trials: list[TrialRecord], winner: TrialRecord, val_se: float, on_test: float, again: Floats, views: np.ndarray) -> dict[str, Any]:
    """The winner's curse: what the best trial showed on val beside what it shows on test, and what luck alone would have shown.

    Returns:
        ``val``, ``test``: ρ of the winner itself; ``seeds``: ρ on test of its settings with each fresh seed; ``num_trials``; ``luck``: what the
        best of so many trials without skill would show on this val split, on average; ``curve``: the expected best val ρ of n of the trials
        (Tang et al. 2020), n = 1 first; a trial that was stopped early counts with its last value, so that the curve errs on the low side.
    """
    values = [trial.metrics.get("val/rho_views", 0.0) for trial in trials if trial.purpose == "search"]
    return {
        "val": winner.metrics["val/rho_views"],
        "test": on_test,
        "seeds": [metrics.spearman(row, views) for row in again],
        "num_trials": len(values),
        "luck": expected_best_of(len(values), val_se),
        "curve": [float(value) for value in expected_best_of_curve(values)],
    }


def growth(scored: Scored, judged: Judged, score: Floats, resampling: Resampling) -> dict[str, Any] | None:
    """The learning curve over nested owner subsets; the whole is the mean of the recipe's seeds, every other point a single training."""
    labels = scored.labels
    subsets = [trial for trial in judged.subsets if Subset.parse(str(trial.config.subset)).kind == "owners"]
    if not subsets:
        return None
    columns = {trial.key: scored.extra[f"subset|{trial.key}"] for trial in subsets} | {f"#{k}": row for k, row in enumerate(score)}
    samples = bootstrap_spearman(columns, labels.views, labels.owners, **resampling.draws)
    points = []
    for trial in subsets:
        num_owners, num_pictures = scored.extra[f"sizes|{trial.key}"].tolist()
        value = metrics.spearman(columns[trial.key], labels.views)
        share = Subset.parse(str(trial.config.subset)).share
        points.append(LearningCurvePoint(share, num_owners, num_pictures, value, samples[trial.key]))
    whole = np.mean([samples[f"#{k}"] for k in range(len(score))], axis=0)
    value = float(np.mean([metrics.spearman(row, labels.views) for row in score]))
    num_owners, num_pictures = scored.extra["sizes|all"].tolist()
    points.append(LearningCurvePoint(1.0, num_owners, num_pictures, value, whole))
    return learning_curve(points, labels.owners, resampling)


def later(scored: Scored, judged: Judged, score: Floats, resampling: Resampling) -> dict[str, Any] | None:
    """The time split, a second frozen test: test pictures from the cutoff on, by the recipe trained on all of train and on what was before it.

    Returns:
        ``cutoff``, ``num_pictures``, ``num_owners``; ``past`` (trained before the cutoff only), ``all`` (the recipe), ``difference`` (past − all)
        {value, low, high}; ``statement``.
    """
    found = [trial for trial in judged.subsets if Subset.parse(str(trial.config.subset)).kind == "before"]
    labels = scored.labels
    if not found or labels.uploaded_at is None:
        return None
    trial = found[0]
    cutoff = np.datetime64(Subset.parse(str(trial.config.subset)).day, "s")
    rows = np.flatnonzero(labels.uploaded_at >= cutoff)
    if len(rows) < MIN_LATER or labels.views[rows].min() == labels.views[rows].max():
        return None
    test = labels.take(rows)
    columns = {"past": scored.extra[f"subset|{trial.key}"][rows]} | {f"#{k}": row[rows] for k, row in enumerate(score)}
    samples = bootstrap_spearman(columns, test.views, test.owners, **resampling.draws)
    units = num_units(test.owners)
    effective = metrics.effective_owners(test.owners)
    past = Estimate(metrics.spearman(columns["past"], test.views), samples["past"], effective)
    seeds = range(len(score))
    whole = Estimate(
        float(np.mean([metrics.spearman(columns[f"#{k}"], test.views) for k in seeds])), np.mean([samples[f"#{k}"] for k in seeds], axis=0), effective
    )
    difference = asdict((past - whole).interval())
    day = str(cutoff.astype("datetime64[D]"))
    said = "does worse on later pictures" if difference["high"] < 0 else "shows no evidence of doing worse on later pictures"
    return {
        "cutoff": day,
        "num_pictures": len(rows),
        "num_owners": units,
        "past": asdict(past.interval()),
        "all": asdict(whole.interval()),
        "difference": difference,
        "statement": f"A model of the past {said}: trained on pictures from before {day} and judged on {len(rows):,} of other owners from then on.",
    }


def noise(of_noise: np.ndarray, of_test: np.ndarray) -> dict[str, Any]:
    """Where pictures of white noise would rank among the test pictures (the paper, section 1: "very few images of noise are widely popular").

    Returns:
        ``num``; ``places``: the 5, 50 and 95 % quantiles of their places, in shares of the test pictures that score lower; ``statement``.
    """
    places = np.searchsorted(np.sort(of_test), of_noise) / len(of_test)
    low, middle, high = (float(value) for value in np.quantile(places, [0.05, 0.5, 0.95]))
    said = "the model knows that noise is not popular" if high < 0.5 else "the model does not know that noise is unpopular: it never saw any"
    text = f"White noise scores above {100 * middle:.0f} % of the test pictures ({100 * low:.0f} to {100 * high:.0f} %): {said}."
    return {"num": len(of_noise), "places": {"0.05": low, "0.5": middle, "0.95": high}, "statement": text}
