"""What a network has to beat: constants that never look, and cheap models that look once. All on the same pictures as every trial.

A learnt baseline has one model for views and one for favourites, where a network has to serve both with a single score: the comparison
favours the baseline.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from peoria.data.dataset import Dataset, SplitData
from peoria.data.targets import counts, is_known, known_counts
from peoria.stats import metrics
from peoria.tasks import Task, get_task
from peoria.training.evaluate import rank_metrics
from shards.labels import Labels

if TYPE_CHECKING:
    pass

Features = Callable[[SplitData], np.ndarray]  # → float64 [N, F]
FOLDS = 5  # of the logistic regression, each with both classes
RIDGE_ALPHAS = np.logspace(-2, 4, 13)
SMALL = 1_000_000  # numbers of train, up to which one thread fits them: more wait for each other for ten times as long as they compute
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


def trivial(task: Task, dataset: Dataset, target: str, seed: int = 0) -> Baseline:
    """The constants of one task, fitted on unfiltered train; its ``losses`` are named ``LOSS (CONSTANT)``."""
    _, y_train = known_counts(dataset.train.labels, target)
    fitted = task.fit(y_train, y_train, "standard", target)

    def predict(split: SplitData) -> BaselineScores:
        found: dict[str, float] = {}
        if not is_known(split.labels, target):
            return BaselineScores(None, None, found)
        _, y = known_counts(split.labels, target)
        for constant in fitted.constants(len(y), seed):
            for name, value in fitted.losses(constant.prediction, y).items():
                found[f"{name} ({constant.name})"] = value
                if constant.name == fitted.reference:
                    found[name] = value  # under the network's own key, so that a chart shows both
        return BaselineScores(None, None, found)

    return Baseline(f"trivial-{task.name}", f"constants ({task.name})", "trivial", predict)


def random_score(seed: int = 0) -> Baseline:
    """A score drawn from a normal distribution: what chance looks like on exactly these pictures."""

    def predict(split: SplitData) -> BaselineScores:
        score = np.random.default_rng((seed, len(split))).standard_normal(len(split))
        return BaselineScores(score, score, {})

    return Baseline("random-score", "random score", "trivial", predict)


def learned(name: str, label: str, features: Features, dataset: Dataset, tasks: tuple[str, ...]) -> Baseline:
    """Ridge on log views (rank and count) and on the bin, logistic regression on favourited, from the same features of unfiltered train; of
    favourites, of the pictures where they are known.

    The penalty is chosen by leave-one-out error on train (ridge) or 5-fold cross-validation (logistic); val plays no part.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegressionCV, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    x_train, train = features(dataset.train), dataset.train.labels

    def model(last: Any, y: np.ndarray, rows: np.ndarray | None = None) -> Any:
        x = x_train if rows is None or len(rows) == len(x_train) else x_train[rows]
        wide = [PCA(MOST_FEATURES, random_state=0)] if min(x.shape) > MOST_FEATURES else []
        with threadpool_limits(1 if x.size <= SMALL else None, user_api="blas"):
            return make_pipeline(StandardScaler(), *wide, last).fit(x, y)

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
    rows, favorites = train.counted("favorites")
    if min(np.bincount((favorites >= 1).astype(np.int64), minlength=2)) >= FOLDS:
        logistic = LogisticRegressionCV(
            Cs=np.logspace(-4, 1, 6), cv=FOLDS, scoring="neg_log_loss", max_iter=500, l1_ratios=(0.0,), use_legacy_attributes=False
        )
        favourited = model(logistic, favorites >= 1, rows)

    def predict(split: SplitData) -> BaselineScores:
        x = features(split)
        score = log_views.predict(x)
        losses: dict[str, float] = {}
        if views is not None:
            predicted = views.predict(x)
            losses |= {"half_mse_views": metrics.half_mse(predicted, split.labels.views), "mse_views": metrics.mse(predicted, split.labels.views)}
        if hybrid is not None:
            losses |= hybrid.losses(bins.predict(x), counts(split.labels, "views"))
        by_favorites = score
        known, of_split = split.labels.counted("favorites")
        if favourited is not None and len(known):
            by_favorites = favourited.predict_proba(x)[:, 1]
            probability, positive = by_favorites[known], of_split >= 1
            losses |= {
                "log_loss_fav": metrics.log_loss(probability, positive),
                "brier_fav": metrics.brier(probability, positive),
                "accuracy_fav": metrics.accuracy(probability, positive),
            }
        return BaselineScores(score, by_favorites, losses)

    return Baseline(name, label, "learned", predict)
