"""Further questions of a finished sweep, answered from what the one opening of the test split left: nothing here opens it again."""

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

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
from peoria.verdict import answers, sentences
from peoria.verdict.answers import Content, Copies, CountNoise, CountNoises, Questions, Selection
from peoria.verdict.judged import Judged
from peoria.verdict.scores import TestScores
from peoria.verdict.values import Model

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

MIN_LATER = 100  # pictures of test after the cutoff, for the time split
T = TypeVar("T", bound="DataclassInstance")
M = TypeVar("M", bound=Model)


def answer(scored: TestScores, judged: Judged, trials: list[TrialRecord]) -> Questions:
    """Numbers and sentence of each question; one that these data or this sweep cannot answer is None."""
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
    calibrated = calibration(shipped, rankdata(labels.views) / len(labels), clusters, resampling)
    months = None
    if labels.uploaded_at is not None:
        months = within_months(shipped, labels.views, labels.uploaded_at, clusters, resampling)
    on_top = with_context(scored, judged, resampling)
    ends = upper_end(shipped, labels.views, clusters, resampling)
    noise_of_counts = {name: _kept(CountNoise, count_noise(of, clusters, resampling), sentences.said_of_count_noise) for name, of in counts.items()}
    return Questions(
        selection=selection(trials, winner, scored.val_se, metrics.spearman(shipped, labels.views), score, labels.views),
        learning_curve=_kept(
            answers.LearningCurve, growth(scored, judged, score, resampling), lambda found: sentences.said_of_learning_curve(found, clusters.num)
        ),
        leak=_kept(answers.Leak, what_leaks(scored, resampling), sentences.said_of_leak),
        time=_kept(answers.TimeSplit, later(scored, judged, score, resampling), sentences.said_of_time),
        on_top_of_context=_kept(answers.OnTopOfContext, on_top, sentences.said_of_context),
        noise=_kept(answers.Noise, noise_places(scored.noise, shipped), sentences.said_of_noise),
        content=None if copies is None else _content(copies),
        count_noise=CountNoises(**noise_of_counts),
        upper_end=_kept(answers.UpperEnd, ends, lambda found: sentences.said_of_upper_end(found, clusters.num)),
        within_months=None if months is None else answers.WithinMonths.model_validate(months),
        calibration=None if calibrated is None else answers.Calibration.model_validate(calibrated),
    )


def _kept(model: type[M], found: T | None, sentence: Callable[[T], str]) -> M | None:
    """A result as the verdict keeps it, with its sentence."""
    return None if found is None else model.model_validate(asdict(found) | {"statement": sentence(found)})


def _content(found: ContentCeiling) -> Content:
    other = _kept(Copies, found.other_owner, lambda pairs: sentences.said_of_copies(pairs, one_owner=False))
    same = _kept(Copies, found.same_owner, lambda pairs: sentences.said_of_copies(pairs, one_owner=True))
    assert other is not None
    assert same is not None
    return Content(other_owner=other, same_owner=same)


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
