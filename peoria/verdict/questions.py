"""Further questions of a finished sweep, answered from what the one opening of the test split left: nothing here opens it again."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from peoria.baselines.context import NAME as CONTEXT
from peoria.data.subsets import Subset
from peoria.records.trials import TrialRecord
from peoria.stats import metrics
from peoria.stats.bootstrap import bootstrap_spearman
from peoria.stats.ceiling import ContentCeiling, content_ceiling, count_noise, upper_end
from peoria.stats.combine import OnTopOfContext, on_top_of_context
from peoria.stats.estimates import Estimate, Resampling
from peoria.stats.learning_curve import Leak, LearningCurve, LearningCurvePoint, TimeSplit, leak, learning_curve
from peoria.stats.metrics import Floats, expected_best_of, expected_best_of_curve
from peoria.stats.noise import noise_places
from peoria.stats.strata import calibration, within_months
from peoria.verdict import sentences
from peoria.verdict.judged import Judged
from peoria.verdict.scores import TestScores

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MIN_LATER = 100  # pictures of test after the cutoff, for the time split
T = TypeVar("T", bound="DataclassInstance")


@dataclass(frozen=True)
class Selection:
    """The winner's curse: what the winner for views showed on val beside what it shows on test. All are Spearman's ρ with views."""

    val: float
    test: float  # the same weights
    seeds: tuple[float, ...]  # on test, of its settings with each fresh seed
    num_trials: int
    luck: float  # what the best of so many trials without skill shows on this val split, on average
    curve: tuple[float, ...]  # the expected best val ρ of n of the trials (Tang et al. 2020), n = 1 first


def answer(scored: TestScores, judged: Judged, trials: list[TrialRecord]) -> dict[str, Any]:
    """Plain JSON values by question, most with a sentence, ``statement``; one that these data or this sweep cannot answer is None.

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
    clusters = scored.clusters
    counts = {"views": labels.views} | ({} if labels.favorites is None else {"favorites": labels.favorites})
    copies = content(scored, resampling)
    months = None
    if labels.uploaded_at is not None:
        months = within_months(shipped, labels.views, labels.uploaded_at, clusters, resampling)
    return {
        "selection": _plain(selection(trials, winner, scored.val_se, metrics.spearman(shipped, labels.views), score, labels.views)),
        "learning_curve": _plain(growth(scored, judged, score, resampling), lambda found: sentences.said_of_learning_curve(found, clusters.num)),
        "leak": _plain(what_leaks(scored, resampling), sentences.said_of_leak),
        "time": _plain(later(scored, judged, score, resampling), sentences.said_of_time),
        "on_top_of_context": _plain(with_context(scored, judged, resampling), sentences.said_of_context),
        "noise": _plain(noise_places(scored.noise, shipped), sentences.said_of_noise),
        "content": None
        if copies is None
        else {
            "other_owner": _plain(copies.other_owner, lambda found: sentences.said_of_copies(found, one_owner=False)),
            "same_owner": _plain(copies.same_owner, lambda found: sentences.said_of_copies(found, one_owner=True)),
        },
        "count_noise": {name: _plain(count_noise(of, clusters, resampling), sentences.said_of_count_noise) for name, of in counts.items()},
        "upper_end": _plain(upper_end(shipped, labels.views, clusters, resampling), lambda found: sentences.said_of_upper_end(found, clusters.num)),
        "within_months": _plain(months),
        "calibration": _plain(calibration(shipped, rankdata(labels.views) / len(labels), clusters, resampling)),
    }


def _plain(found: T | None, sentence: Callable[[T], str] | None = None) -> dict[str, Any] | None:
    """A result's fields, with ``statement`` where it has a sentence."""
    return None if found is None else asdict(found) | ({} if sentence is None else {"statement": sentence(found)})


def what_leaks(scored: TestScores, resampling: Resampling) -> Leak | None:
    """`leak` of the recipe on a share of train's pictures."""
    if scored.leak is None or not (scored.leak.random.owners != "").any():
        return None
    return leak(scored.leak.random.held_out, scored.leak.owner.held_out, resampling)


def with_context(scored: TestScores, judged: Judged, resampling: Resampling) -> OnTopOfContext | None:
    """`on_top_of_context` of the shipped checkpoint, with what no combination needs: the correlation of image and views given the context."""
    context, shipped = scored.predictors.get(CONTEXT), scored.predictors[f"trial-{judged.winners['views'].key}"]
    val = scored.context_on_val
    if val is None or context is None or context.views is None or shipped.views is None:
        return None
    return on_top_of_context(val.image, val.context, val.views, shipped.views, context.views, scored.labels.views, scored.clusters, resampling)


def content(scored: TestScores, resampling: Resampling) -> ContentCeiling | None:
    """`content_ceiling` of the views of near-duplicates in the whole packed set, rejected pictures too, whatever part of it the sweep is of."""
    pairs = scored.copies
    return None if pairs is None else content_ceiling(pairs.views_a, pairs.views_b, pairs.owner_a, pairs.owner_b, resampling)


def selection(trials: list[TrialRecord], winner: TrialRecord, val_se: float, on_test: float, again: Floats, views: np.ndarray) -> Selection:
    """The winner's curse; a trial that was stopped early counts with its last value, so that the curve errs on the low side."""
    values = [trial.metrics.get("val/rho_views", 0.0) for trial in trials if trial.purpose == "search"]
    return Selection(
        val=winner.metrics["val/rho_views"],
        test=on_test,
        seeds=tuple(metrics.spearman(row, views) for row in again),
        num_trials=len(values),
        luck=expected_best_of(len(values), val_se),
        curve=tuple(expected_best_of_curve(values).tolist()),
    )


def growth(scored: TestScores, judged: Judged, score: Floats, resampling: Resampling) -> LearningCurve | None:
    """The learning curve over nested owner subsets; the whole is the mean of the recipe's seeds, every other point a single training."""
    labels = scored.labels
    subsets = [trial for trial in judged.subsets if Subset.parse(str(trial.config.subset)).kind == "owners"]
    if not subsets:
        return None
    columns = {trial.key: scored.subsets[trial.key].score for trial in subsets} | {f"#{k}": row for k, row in enumerate(score)}
    samples = bootstrap_spearman(columns, labels.views, scored.clusters, **resampling.draws)
    points = []
    for trial in subsets:
        size = scored.subsets[trial.key].size
        value = metrics.spearman(columns[trial.key], labels.views)
        share = Subset.parse(str(trial.config.subset)).share
        points.append(LearningCurvePoint(share, size.num_owners, size.num_pictures, value, samples[trial.key]))
    whole = np.mean([samples[f"#{k}"] for k in range(len(score))], axis=0)
    value = float(np.mean([metrics.spearman(row, labels.views) for row in score]))
    points.append(LearningCurvePoint(1.0, scored.train.num_owners, scored.train.num_pictures, value, whole))
    return learning_curve(points, scored.clusters)


def later(scored: TestScores, judged: Judged, score: Floats, resampling: Resampling) -> TimeSplit | None:
    """The time split, a second frozen test: test pictures from the cutoff on, by the recipe trained on all of train and on what was before it."""
    found = [trial for trial in judged.subsets if Subset.parse(str(trial.config.subset)).kind == "before"]
    labels = scored.labels
    if not found or labels.uploaded_at is None:
        return None
    trial = found[0]
    cutoff = np.datetime64(Subset.parse(str(trial.config.subset)).day, "s")
    rows = np.flatnonzero(labels.uploaded_at >= cutoff)
    if len(rows) < MIN_LATER or labels.views[rows].min() == labels.views[rows].max():
        return None
    test, clusters = labels.take(rows), scored.clusters.take(rows)
    columns = {"past": scored.subsets[trial.key].score[rows]} | {f"#{k}": row[rows] for k, row in enumerate(score)}
    samples = bootstrap_spearman(columns, test.views, clusters, **resampling.draws)
    past = Estimate(metrics.spearman(columns["past"], test.views), samples["past"], clusters.effective)
    seeds = [f"#{k}" for k in range(len(score))]
    mean = float(np.mean([metrics.spearman(columns[seed], test.views) for seed in seeds]))
    whole = Estimate(mean, np.mean([samples[seed] for seed in seeds], axis=0), clusters.effective)
    day = str(cutoff.astype("datetime64[D]"))
    return TimeSplit(day, len(rows), clusters.num, past.interval(), whole.interval(), (past - whole).interval())
