"""What a network has to beat: constants that never look, and cheap models that look once. All on the same pictures as every trial.

A learnt baseline has one model for views and one for favourites, where a network has to serve both with a single score: the comparison
favours the baseline.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from peoria.data.dataset import Dataset, SplitData
from peoria.data.images import centre_crops
from peoria.data.subsets import subset_mask
from peoria.data.targets import counts
from peoria.stats import metrics
from peoria.tasks import get_task
from peoria.training.evaluate import BATCH_SIZE, has_both_classes, rank_metrics
from shards.errors import NoRoomError
from shards.labels import Labels

if TYPE_CHECKING:
    from peoria.config.sweep import TrialConfig

Features = Callable[[SplitData], np.ndarray]  # → float64 [N, F]
RIDGE_ALPHAS = np.logspace(-2, 4, 13)
MOST_FEATURES = 256  # of a learnt baseline; wider ones go through principal components of train


@dataclass(frozen=True)
class Baseline:
    """A fitted baseline: call :meth:`predict` on any split."""

    name: str
    label: str
    kind: Literal["trivial", "learned", "context"]
    predict: Callable[[SplitData], "BaselineScores"]


@dataclass(frozen=True)
class BaselineScores:
    """Scores of one split, float64 [N] each, and native losses by ``NAME`` or ``NAME (constant)``; constants rank nothing."""

    views: np.ndarray | None
    favorites: np.ndarray | None
    losses: dict[str, float]

    def metrics(self, labels: Labels) -> dict[str, float]:
        """Keys without the split; a constant's rank metrics are 0 by definition."""
        if self.views is None or self.favorites is None:
            zero = np.zeros(len(labels))
            return {**rank_metrics(zero, zero, labels), **self.losses}
        return {**rank_metrics(self.views, self.favorites, labels), **self.losses}


def trivial(task_name: str, dataset: Dataset, target: str, seed: int = 0) -> Baseline:
    """The constants of one task, fitted on uncut train; its ``losses`` are named ``LOSS (CONSTANT)``."""
    y_train = counts(dataset.train.labels, target)
    fitted = get_task(task_name).fit(y_train, y_train, "standard", target)

    def predict(split: SplitData) -> BaselineScores:
        y = counts(split.labels, target)
        found = {}
        for constant in fitted.constants(len(y), seed):
            for name, value in fitted.losses(constant.prediction, y).items():
                found[f"{name} ({constant.name})"] = value
                if constant.name == fitted.reference:
                    found[name] = value  # under the network's own key, so that a chart shows both
        return BaselineScores(None, None, found)

    return Baseline(f"trivial-{task_name}", f"constants ({task_name})", "trivial", predict)


def random_score(seed: int = 0) -> Baseline:
    """A score drawn from a normal distribution: what chance looks like on exactly these pictures."""

    def predict(split: SplitData) -> BaselineScores:
        score = np.random.default_rng((seed, len(split))).standard_normal(len(split))
        return BaselineScores(score, score, {})

    return Baseline("random-score", "random score", "trivial", predict)


def learned(name: str, label: str, features: Features, dataset: Dataset, tasks: tuple[str, ...]) -> Baseline:
    """Ridge on log views (rank and count) and on the bin, logistic regression on favourited, from the same features of uncut train.

    The penalty is chosen by leave-one-out error on train (ridge) or 5-fold cross-validation (logistic); val plays no part.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegressionCV, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x_train, train = features(dataset.train), dataset.train.labels

    def model(last: Any, y: np.ndarray) -> Any:
        wide = [PCA(MOST_FEATURES, random_state=0)] if min(x_train.shape) > MOST_FEATURES else []
        return make_pipeline(StandardScaler(), *wide, last).fit(x_train, y)

    def ridge(y: np.ndarray) -> Any:
        return model(RidgeCV(RIDGE_ALPHAS), y)

    log_views = ridge(np.log1p(train.views))
    views = ridge(train.views.astype(np.float64)) if "regression" in tasks else None
    hybrid = None
    if "hybrid" in tasks:
        y_train = counts(train, "views")
        hybrid = get_task("hybrid").fit(y_train, y_train, "standard", "views")
        bins = ridge(hybrid.bins(y_train).astype(np.float64))  # type: ignore[attr-defined]
    favourited = None
    if has_both_classes(train):
        assert train.favorites is not None
        logistic = LogisticRegressionCV(
            Cs=np.logspace(-4, 1, 6), cv=5, scoring="neg_log_loss", max_iter=500, l1_ratios=(0.0,), use_legacy_attributes=False
        )
        favourited = model(logistic, train.favorites >= 1)

    def predict(split: SplitData) -> BaselineScores:
        x = features(split)
        score = log_views.predict(x)
        losses: dict[str, float] = {}
        if views is not None:
            predicted = views.predict(x)
            losses |= {"half_mse_views": metrics.half_mse(predicted, split.labels.views), "mse_views": metrics.mse(predicted, split.labels.views)}
        if hybrid is not None:
            losses |= hybrid.losses(bins.predict(x), counts(split.labels, "views"))
        favorites = score
        if favourited is not None and split.labels.favorites is not None:
            probability = favourited.predict_proba(x)[:, 1]
            favorites = probability
            positive = split.labels.favorites >= 1
            losses |= {
                "log_loss_fav": metrics.log_loss(probability, positive),
                "brier_fav": metrics.brier(probability, positive),
                "accuracy_fav": metrics.accuracy(probability, positive),
            }
        return BaselineScores(score, favorites, losses)

    return Baseline(name, label, "learned", predict)


def colour_and_edges(split: SplitData) -> np.ndarray:
    """What can be said of a picture without knowing where anything is, float64 [N, 31]; from the centre crop that networks see.

    Mean and standard deviation of hue (its cosine and sine, weighted by saturation: grey has no hue), saturation, value, red, green and
    blue; shares of eight hues (weighted likewise) and of four levels of brightness; Hasler and Süsstrunk's colourfulness M³ (SPIE 5007,
    2003); contrast; edge density (share of pixels whose Sobel magnitude is above 100); sharpness (log variance of the Laplacian); entropy.
    """
    import cv2

    cv2.setNumThreads(1)  # trials run beside this
    rows = np.empty((len(split), 31))
    for row, rgb in zip(rows, chain.from_iterable(centre_crops(split.pixels, BATCH_SIZE)), strict=True):
        hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        angle = hsv[..., 0] * np.float32(np.pi / 90)  # OpenCV's hue runs to 180
        saturation = hsv[..., 1].astype(np.float32)
        planes = [np.cos(angle) * saturation, np.sin(angle) * saturation, saturation, hsv[..., 2], *np.moveaxis(rgb, -1, 0)]
        row[:14] = [value for plane in planes for value in (plane.mean(), plane.std())]
        hues = np.bincount(hsv[..., 0].ravel() // 23, weights=saturation.ravel(), minlength=8)
        row[14:22] = hues / max(hues.sum(), 1.0)
        levels = np.bincount(grey.ravel(), minlength=256) / grey.size
        row[22:26] = levels.reshape(4, 64).sum(axis=1)
        red, green, blue = (rgb[..., channel].astype(np.float32) for channel in range(3))
        rg, yb = red - green, 0.5 * (red + green) - blue
        edges = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
        row[26] = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
        row[27] = grey.std()
        row[28] = (edges > 100).mean()
        row[29] = np.log1p(cv2.Laplacian(grey, cv2.CV_32F).var())
        row[30] = -(levels[levels > 0] * np.log2(levels[levels > 0])).sum()
    return rows


def trunk_features(config: "TrialConfig", dataset: Dataset) -> Features:
    """What the sweep's own trunk says of a picture before any training on counts, float64 [N, F]; of train and val from the node's cache."""

    def features(split: SplitData) -> np.ndarray:
        from peoria.models import build, place
        from peoria.training.frozen_features import CENTRE, FrozenTrunk

        net, _ = build(config.net, head=config.head, num_outputs=1, weights=config.weights, weights_prefix=config.weights_prefix, seed=config.seed)
        place(net, config.net, config.device)
        trunk = FrozenTrunk(net, config, dataset.identity)
        folder = dataset.cache if split is dataset.train or split is dataset.val else None  # test is looked at once
        try:
            found = trunk.features(split, CENTRE, folder, dataset.cache_bytes)
        except NoRoomError:
            found = trunk.features(split, CENTRE, None)
        return found[:, 0].astype(np.float64)

    return features


def age_features(dataset: Dataset) -> Features:
    """Age at which the counts were read, in days, and its logarithm, float64 [N, 2]: the picture is not looked at."""
    uploaded = dataset.train.labels.uploaded_at
    assert uploaded is not None
    newest = np.nanmax(uploaded)
    reference = age_days(dataset.train.labels, newest)
    latest, middle = np.nanmax(reference), np.nanmedian(reference)

    def features(split: SplitData) -> np.ndarray:
        days = age_days(split.labels, newest)
        days = np.where(np.isfinite(days), days, middle)
        return np.stack([days, np.log1p(np.clip(days, 0, latest))], axis=1)

    return features


def age_days(labels: Labels, newest: np.datetime64 | None = None) -> np.ndarray:
    """Days from upload to the reading of the counts, float64 [N], NaN where unknown.

    Where the table does not say when the counts were read: to ``newest``, or to the newest upload of these labels.
    """
    assert labels.uploaded_at is not None
    until: Any = labels.observed_at
    if until is None:
        until = newest if newest is not None else np.nanmax(labels.uploaded_at)
    return np.asarray((until - labels.uploaded_at) / np.timedelta64(1, "D"), dtype=np.float64)


def all_baselines(dataset: Dataset, config: "TrialConfig", tasks: tuple[str, ...]) -> list[Baseline]:
    """Every baseline that these data allow, fitted on uncut train, or on the subset of it that trials learn from.

    Args:
        config: any trial of the sweep; gives the net, the weights, the target and the subset that trials share.
    """
    if config.subset is not None:
        subset = subset_mask(dataset.train.labels, config.subset, dataset.identity)
        dataset = replace(dataset, train=dataset.train.take(np.flatnonzero(subset)))
    train = dataset.train.labels
    found = [trivial(task, dataset, config.target or get_task(task).default_target) for task in tasks]
    found.append(random_score())
    found.append(learned("colour-ridge", "colour ridge", colour_and_edges, dataset, tasks))
    if config.weights is not None:
        found.append(learned("frozen-trunk-ridge", "frozen-trunk ridge", trunk_features(config, dataset), dataset, tasks))
    if train.uploaded_at is not None and np.isfinite(age_days(train)).any():
        found.append(replace(learned("age-only", "age only", age_features(dataset), dataset, tasks), kind="context"))
    return found
