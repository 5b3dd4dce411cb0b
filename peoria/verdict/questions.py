"""Further questions of a finished sweep, answered from what the one opening of the test split left: nothing here opens it again."""

from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from peoria.data.subsets import Subset
from peoria.records.trials import TrialRecord
from peoria.stats import metrics
from peoria.stats.ceiling import ContentCeiling, content_ceiling, count_noise, upper_end
from peoria.stats.estimates import Resampling
from peoria.stats.learning_curve import Leak, LearningCurve, LearningCurvePoint, TimeSplit, leak, learning_curve, time_split
from peoria.stats.metrics import Floats, expected_best_of, expected_best_of_curve
from peoria.stats.noise import noise_places
from peoria.stats.strata import calibration, within_months
from peoria.stats.trainings import of_trainings
from peoria.verdict import answers, question_sentences
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
    counts = {name: (of, clusters.take(rows)) for name in ("views", "favorites") for rows, of in [labels.counted(name)] if len(rows)}
    copies = content(scored, resampling)
    calibrated = calibration(shipped, rankdata(labels.views) / len(labels), clusters, resampling)
    months = None
    if labels.uploaded_at is not None:
        months = within_months(shipped, labels.views, labels.uploaded_at, clusters, resampling)
    ends = upper_end(shipped, labels.views, clusters, resampling)
    twice = {"views": copies.same_owner} if copies is not None else {}  # of other counts copies are not kept
    noise_of_counts = {
        name: _kept(CountNoise, count_noise(*of, resampling), partial(question_sentences.said_of_count_noise, copies=twice.get(name)))
        for name, of in counts.items()
    }
    return Questions(
        selection=selection(trials, winner, scored.val_se, metrics.spearman(shipped, labels.views), score, labels.views),
        learning_curve=_kept(answers.LearningCurve, growth(scored, judged, score, resampling), question_sentences.said_of_learning_curve),
        leak=_kept(answers.Leak, what_leaks(scored, resampling), question_sentences.said_of_leak),
        time=_kept(answers.TimeSplit, later(scored, judged, score, resampling), question_sentences.said_of_time),
        noise=_kept(answers.Noise, noise_places(scored.noise, shipped), question_sentences.said_of_noise),
        content=None if copies is None else _content(copies),
        count_noise=CountNoises(**noise_of_counts),
        upper_end=_kept(answers.UpperEnd, ends, lambda found: question_sentences.said_of_upper_end(found, clusters.num)),
        within_months=None if months is None else answers.WithinMonths.model_validate(months),
        calibration=None if calibrated is None else answers.Calibration.model_validate(calibrated),
    )


def _kept(model: type[M], found: T | None, sentence: Callable[[T], str]) -> M | None:
    """A result as the verdict keeps it, with its sentence."""
    return None if found is None else model.model_validate(asdict(found) | {"statement": sentence(found)})


def _content(found: ContentCeiling) -> Content:
    other = _kept(Copies, found.other_owner, lambda pairs: question_sentences.said_of_copies(pairs, one_owner=False))
    same = _kept(Copies, found.same_owner, lambda pairs: question_sentences.said_of_copies(pairs, one_owner=True))
    assert other is not None
    assert same is not None
    return Content(other_owner=other, same_owner=same)


def what_leaks(scored: TestScores, resampling: Resampling) -> Leak | None:
    """`leak` of the recipe on a share of train's pictures."""
    if scored.leak is None or not (scored.leak.random.owners != "").any():
        return None
    return leak(scored.leak.random.held_out, scored.leak.owner.held_out, resampling)


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
    """The learning curve over nested owner subsets; the whole is the recipe. A share that was trained once and diverged then has no point."""
    parts = _trained(judged, "owners")
    sides = {part: np.stack([scored.subsets[trial.key].score for trial in trials]) for part, trials in parts.items() if _ranks(trials)}
    if not sides:
        return None
    rho = of_trainings(sides | {"all": score}, scored.labels.views, scored.clusters, resampling)
    sizes = {part: scored.subsets[parts[part][0].key].size for part in sides}
    points = [LearningCurvePoint(Subset.parse(part).share, of.num_owners, of.num_pictures, rho[part]) for part, of in sizes.items()]
    return learning_curve([*points, LearningCurvePoint(1.0, scored.train.num_owners, scored.train.num_pictures, rho["all"])], scored.clusters)


def later(scored: TestScores, judged: Judged, score: Floats, resampling: Resampling) -> TimeSplit | None:
    """The time split, a second frozen test: test pictures from the cutoff on, by the recipe trained on what was before it and on its control."""
    labels, past = scored.labels, _trained(judged, "before")
    if not past or labels.uploaded_at is None:
        return None
    (part, trials), *_ = past.items()
    day = Subset.parse(part).day
    control = [trial for of, drawn in _trained(judged, "matched").items() if Subset.parse(of).day == day for trial in drawn]
    rows = np.flatnonzero(labels.uploaded_at >= np.datetime64(day, "s"))
    if not control or len(rows) < MIN_LATER or labels.views[rows].min() == labels.views[rows].max():
        return None
    of_past, of_control = (np.stack([scored.subsets[trial.key].score[rows] for trial in side]) for side in (trials, control))
    return time_split(of_past, of_control, score[:, rows], labels.views[rows], scored.clusters.take(rows), day, resampling)


def _trained(judged: Judged, kind: str) -> dict[str, list[TrialRecord]]:
    """The trainings on parts of train of this kind, by part; one that diverged ranks nothing, as a seed of the recipe does."""
    found: dict[str, list[TrialRecord]] = {}
    for trial in judged.subsets:
        if Subset.parse(part := str(trial.config.subset)).kind == kind:
            found.setdefault(part, []).append(trial)
    return found


def _ranks(trials: list[TrialRecord]) -> bool:
    return len(trials) > 1 or trials[0].status == "done"
