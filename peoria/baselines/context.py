"""What is known of a picture without looking at it, what that alone ranks, and what the image adds on top of it."""

from collections import Counter
from dataclasses import replace

import numpy as np

from peoria.baselines.fit import MOST_FEATURES, Baseline, Features, learned
from peoria.data.dataset import Dataset, SplitData
from peoria.data.filters import tags_of
from shards.labels import Labels

NAME = "context"
NUM_TAGS = 200  # the most frequent of train, as columns of their own: with the other features below MOST_FEATURES, so that none is projected away
MIN_TAGGED = 10  # pictures of train, for a tag to have a column


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


def _parts(dataset: Dataset) -> dict[str, Features]:
    """The features that these data allow, by name; each is fitted on train and gives float64 [N, F] of any split."""
    train, val = dataset.train.labels, dataset.val.labels
    parts: dict[str, Features] = {}
    if np.isfinite(train.age_days()).any():
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


def age_features(dataset: Dataset) -> Features:
    """Age at which the counts were read, in days, and its logarithm, float64 [N, 2]: the picture is not looked at."""
    uploaded = dataset.train.labels.uploaded_at
    assert uploaded is not None
    newest = np.nanmax(uploaded)
    reference = dataset.train.labels.age_days(newest)
    latest, middle = np.nanmax(reference), np.nanmedian(reference)

    def features(split: SplitData) -> np.ndarray:
        days = split.labels.age_days(newest)
        days = np.where(np.isfinite(days), days, middle)
        return np.stack([days, np.log1p(np.clip(days, 0, latest))], axis=1)

    return features
