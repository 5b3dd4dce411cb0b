"""What is known of a picture without looking at it, what that alone ranks, and what the image adds on top of it."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from peoria.baselines.fit import MOST_FEATURES, Baseline, Features, age_days, age_features, all_baselines, learned
from peoria.config.sweep import TrialConfig
from peoria.data.dataset import Dataset, SplitData
from peoria.data.filters import tags_of
from peoria.errors import PeoriaError
from peoria.stats.bootstrap import bootstrap_spearman
from peoria.stats.confounds import bootstrap_given_age, given_age
from peoria.stats.estimates import MIN_OWNERS, Resampling, num_units
from peoria.stats.metrics import Floats, effective_owners, rankable, spearman
from peoria.verdict.sentences import estimate
from shards.labels import Labels

NAME = "context"
NUM_TAGS = 200  # the most frequent of train, as columns of their own: with the other features below MOST_FEATURES, so that none is projected away
MIN_TAGGED = 10  # pictures of train, for a tag to have a column
MIN_PICTURES = 100  # for a spline of 7 numbers


def context_baseline(dataset: Dataset, tasks: tuple[str, ...]) -> Baseline | None:
    """Ridge and logistic regression as every learnt baseline, on all that is known without the image; ``None`` where nothing is.

    Age in days and its logarithm; hour and weekday of upload (UTC), each as a point on a circle; the number of tags, and which of train's most
    frequent tags are there; and where val shares owners with train, the owner's mean log views in train, without the picture itself.
    """
    parts = _parts(dataset)
    if not parts:
        return None

    def features(split: SplitData) -> np.ndarray:
        return np.concatenate([part(split) for part in parts.values()], axis=1)

    return replace(learned(NAME, f"context ({', '.join(parts)})", features, dataset, tasks), kind="context")


def every_baseline(dataset: Dataset, config: TrialConfig, tasks: tuple[str, ...]) -> list[Baseline]:
    """`all_baselines`, and the context's where there is any."""
    context = context_baseline(dataset, tasks)
    return [*all_baselines(dataset, config, tasks), *([] if context is None else [context])]


@dataclass(frozen=True)
class Combination:
    """rank of y ≈ constant + ``context``·rank of the context score + ``image``·rank of the image score, both weights ≥ 0; fitted on val."""

    context: float
    image: float
    context_val: Floats  # sorted
    image_val: Floats  # sorted

    def score(self, context: ArrayLike, image: ArrayLike) -> Floats:
        """The combined score [N]; a picture's does not depend on which others are asked about. Without a weight for the image, the context's."""
        if self.image == 0:
            return np.asarray(context, np.float64)
        return self.context * _place(self.context_val, context) + self.image * _place(self.image_val, image)


def combine(image_val: ArrayLike, context_val: ArrayLike, y_val: ArrayLike) -> Combination:
    """Fits a `Combination` to val by least squares; ``y_val`` [N] may be views, or 0 and 1.

    Scores enter as ranks, for those of different tasks have different scales and tails. Weights are not negative: each score was
    trained to rise with y, and one that is read upside down because it happened to fall on val would be luck of val.
    """
    from scipy.optimize import nnls
    from scipy.stats import rankdata

    context, image, y = (np.asarray(column, np.float64) for column in (context_val, image_val, y_val))
    if not context.shape == image.shape == y.shape:
        raise PeoriaError(f"val: {len(context):,} context scores, {len(image):,} image scores, {len(y):,} counts; one each a picture is needed")
    columns = [rankdata(column) / len(y) if rankable(column) else np.zeros(len(y)) for column in (context, image, y)]
    x_context, x_image, target = (column - column.mean() for column in columns)
    weights, _ = nnls(np.stack([x_context, x_image], axis=1), target)
    return Combination(float(weights[0]), float(weights[1]), np.sort(context), np.sort(image))


def on_top_of_context(
    image_val: ArrayLike,
    context_val: ArrayLike,
    views_val: ArrayLike,
    image_test: ArrayLike,
    context_test: ArrayLike,
    views_test: ArrayLike,
    owners_test: ArrayLike,
    resampling: Resampling,
) -> dict[str, Any]:
    """What the image adds to the context: ρ on test with both, combined on val, less ρ with context alone, on the same resamples.

    ``image_given_context`` needs no fit on val: the rank correlation of image score and views with a smooth function of the context score
    removed from both (`confounds.given_age`). It shows what is there to be added; the difference, what a simple sum gets of it.

    Returns:
        ``num_val``, ``num_test``, ``num_owners``; ``weights`` {context, image}, of ranks; ``rho_context``, ``rho_image``, ``rho_both``,
        ``difference`` and ``image_given_context`` {value, low, high}, the last ``None`` below 100 pictures; ``adds``; ``statement``.
    """
    combination = combine(image_val, context_val, views_val)
    scores = {
        "context": np.asarray(context_test, np.float64),
        "image": np.asarray(image_test, np.float64),
        "both": combination.score(context_test, image_test),
    }
    samples = bootstrap_spearman(scores, views_test, owners_test, **resampling.draws)
    values, units = {name: spearman(score, views_test) for name, score in scores.items()}, num_units(owners_test)
    effective = effective_owners(owners_test)
    given = None
    if len(scores["image"]) >= MIN_PICTURES and np.isfinite(scores["context"]).all():
        drawn = bootstrap_given_age({"image": scores["image"]}, views_test, scores["context"], owners_test, **resampling.draws)["image"]
        given = resampling.estimate(given_age(scores["image"], views_test, scores["context"]), drawn, effective)
    difference = resampling.estimate(values["both"] - values["context"], samples["both"] - samples["context"], effective)
    found: dict[str, Any] = {f"rho_{name}": resampling.estimate(values[name], samples[name], effective) for name in scores}
    adds = units >= MIN_OWNERS and difference["low"] > 0
    found |= {
        "num_val": len(np.asarray(views_val)),
        "num_test": len(scores["image"]),
        "num_owners": units,
        "weights": {"context": combination.context, "image": combination.image},
        "difference": difference,
        "image_given_context": given,
        "adds": adds,
    }
    return found | {"statement": _said(found)}


def _said(found: dict[str, Any]) -> str:
    if found["num_owners"] < MIN_OWNERS:
        return f"Too little to judge what the image adds: {found['num_owners']} owners, where at least {MIN_OWNERS} are needed."
    text = f"ρ {estimate(found['rho_context'])} from context alone, {estimate(found['difference'], sign=True)} with the image"
    said = f"The image adds to what is known without it: {text}" if found["adds"] else f"No evidence that the image adds to the context: {text}"
    given = found["image_given_context"]
    return f"{said}{'' if given is None else f'; given the context, image and views correlate with ρ = {estimate(given)}'}."


def _place(sorted_val: Floats, score: ArrayLike) -> Floats:
    """The share of val at or below each score, ties half: [N]. A score without a number has the middle."""
    score = np.asarray(score, np.float64)
    place = (np.searchsorted(sorted_val, score, "left") + np.searchsorted(sorted_val, score, "right")) / (2 * len(sorted_val))
    return np.where(np.isfinite(score), place, 0.5)


def _parts(dataset: Dataset) -> dict[str, Features]:
    """The features that these data allow, by name; each is fitted on train and gives float64 [N, F] of any split."""
    train, val = dataset.train.labels, dataset.val.labels
    parts: dict[str, Features] = {}
    if train.uploaded_at is not None and np.isfinite(age_days(train)).any():
        parts |= {"age": age_features(dataset), "time of upload": time_of_upload}
    if train.tags is not None and any(text.strip() for text in train.tags.tolist()):
        parts["tags"] = _tag_features(train)
    if (np.isin(val.owners, train.owners) & (val.owners != "")).any():
        parts["owner history"] = _owner_history(dataset)
    return parts


def time_of_upload(split: SplitData) -> np.ndarray:
    """Hour and weekday (UTC) as cosine and sine, float64 [N, 4]; zeros where the date is unknown."""
    uploaded = split.labels.uploaded_at
    assert uploaded is not None
    seconds = np.where(np.isnat(uploaded), 0, uploaded.astype("datetime64[s]").astype(np.int64))
    angles = [2 * np.pi * (seconds % period) / period for period in (86_400, 7 * 86_400)]
    columns = np.stack([function(angle) for angle in angles for function in (np.cos, np.sin)], axis=1)
    return np.where(np.isnat(uploaded)[:, None], 0.0, columns)


def _tag_features(train: Labels) -> Features:
    assert train.tags is not None
    counted = Counter(tag for text in train.tags.tolist() for tag in tags_of(text))
    frequent = sorted((tag for tag in counted if counted[tag] >= MIN_TAGGED), key=lambda tag: (-counted[tag], tag))[:NUM_TAGS]
    column = {tag: k for k, tag in enumerate(frequent, start=2)}
    assert len(column) + 2 < MOST_FEATURES

    def features(split: SplitData) -> np.ndarray:
        assert split.labels.tags is not None
        rows = [tags_of(text) for text in split.labels.tags.tolist()]
        found = np.zeros((len(rows), 2 + len(column)))
        for out, tags in zip(found, rows, strict=True):
            out[:2] = len(tags), np.log1p(len(tags))
            out[[column[tag] for tag in tags if tag in column]] = 1.0
        return found

    return features


def _owner_history(dataset: Dataset) -> Features:
    """Mean log views of the owner's other pictures in train, and the logarithm of how many they are, float64 [N, 2]; train's mean without any."""
    train = dataset.train.labels
    logs = np.log1p(train.views.astype(np.float64))
    names, unit = np.unique(train.owners, return_inverse=True)
    totals, sizes = np.bincount(unit, weights=logs), np.bincount(unit).astype(np.float64)

    def features(split: SplitData) -> np.ndarray:
        owners = split.labels.owners
        at = np.minimum(np.searchsorted(names, owners), len(names) - 1)
        known = (names[at] == owners) & (owners != "")
        total, size = np.where(known, totals[at], 0.0), np.where(known, sizes[at], 0.0)
        if split is dataset.train:
            total, size = np.where(known, total - logs, 0.0), np.where(known, size - 1, 0.0)  # of the others
        mean = np.divide(total, size, out=np.full(len(owners), logs.mean()), where=size > 0)
        return np.stack([mean, np.log1p(size)], axis=1)

    return features
