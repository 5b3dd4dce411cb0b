"""A network on a frozen split: its outputs for every picture, and the metrics by which trials are compared."""

from typing import TYPE_CHECKING

import numpy as np

from peoria.data.images import CENTRE_PX, CROP_PX, Pictures
from peoria.data.targets import counts
from peoria.errors import ConfigError
from peoria.stats import metrics
from peoria.tasks import FittedTask
from shards.labels import Labels

if TYPE_CHECKING:
    import torch

    from peoria.models import PopularityNet

BATCH_SIZE = 250


def forward_all(net: "PopularityNet", pixels: Pictures, *, device: "torch.device", autocast: "torch.dtype | None") -> np.ndarray:
    """Outputs for the centre crops of all pictures, float64 [N, num_outputs]; dropout off, no flips."""
    import torch

    from peoria.data.prefetch import Prefetcher

    def fill(start: int, out: np.ndarray) -> int:
        stop = min(start + BATCH_SIZE, len(pixels))
        fill_centre(pixels, start, stop, out)
        return stop - start

    shape = (min(BATCH_SIZE, len(pixels)), CROP_PX, CROP_PX, 3)
    feeder = Prefetcher(fill, [(shape, np.uint8)], device, step=BATCH_SIZE, stop=len(pixels))
    was_training = net.training
    net.eval()
    outputs = []
    with torch.inference_mode(), torch.autocast(device.type, autocast, enabled=autocast is not None):
        for start in range(0, len(pixels), BATCH_SIZE):
            (crops,) = feeder.batch(start)
            outputs.append(net(net.preprocess(crops)).float())  # stays on the device: it would have to wait for us at each batch
        found = torch.cat(outputs).cpu().numpy()
    net.train(was_training)
    return found.astype(np.float64)


def fill_centre(pixels: Pictures, start: int, stop: int, out: np.ndarray) -> None:
    """The central crops of pictures ``start`` to ``stop`` into ``out`` (uint8 [≥ n, 227, 227, 3]): `Pictures.centre` without an array of its own."""
    pixels.crops(np.arange(start, stop), np.tile((CENTRE_PX, CENTRE_PX, 0), (stop - start, 1)), out)


def has_both_classes(labels: Labels) -> bool:
    """Whether some pictures were favourited and some were not, so that ``gini_fav`` is defined."""
    return labels.favorites is not None and bool((labels.favorites >= 1).any() and (labels.favorites < 1).any())


def objective_name(val: Labels) -> str:
    """The one number that the searcher maximises: ``rank_mean``, or ``rho_views`` where the table has no favourites.

    Raises:
        ConfigError: the val split cannot rank anything.
    """
    if len(val) < 3 or val.views.min() == val.views.max():
        raise ConfigError(f"val: {len(val)} pictures with one number of views; at least 3 pictures with different views are needed")
    if val.favorites is None:
        return "rho_views"
    if not has_both_classes(val):
        found = int((val.favorites >= 1).sum())
        raise ConfigError(
            f"val: {found:,} of {len(val):,} pictures have a favourite; both classes are needed to rank by rank_mean",
            hint="pack more pictures, or pack without the favorites column to search on views alone",
        )
    return "rank_mean"


def rank_metrics(views_score: np.ndarray, favorites_score: np.ndarray, labels: Labels) -> dict[str, float]:
    """``rho_views``, and where favourites are known ``gini_fav``, ``auc_fav`` and ``rank_mean``; keys without the split."""
    found = {"rho_views": metrics.spearman(views_score, labels.views)}
    if has_both_classes(labels):
        assert labels.favorites is not None
        found["gini_fav"] = metrics.gini(favorites_score, labels.favorites >= 1)
        found["auc_fav"] = (found["gini_fav"] + 1) / 2
        found["rank_mean"] = metrics.rank_mean(found["rho_views"], found["gini_fav"])
    return found


def network_metrics(fitted: FittedTask, outputs: np.ndarray, labels: Labels) -> dict[str, float]:
    """All metrics of a network's outputs on a split; keys without the split, values not finite left out.

    ``d2`` is 1 − loss / loss of the task's reference constant, on the same pictures.
    """
    y = counts(labels, fitted.target)
    score = fitted.score(outputs)
    native = fitted.losses(fitted.predict(outputs), y)
    reference = next(c for c in fitted.constants(len(y)) if c.name == fitted.reference)
    name, loss = next(iter(native.items()))
    baseline = fitted.losses(reference.prediction, y)[name]
    found = {**rank_metrics(score, score, labels), **native, "score_sd": float(np.std(score))}
    found[f"{name}_{fitted.reference.replace(' ', '_')}"] = baseline
    if baseline > 0:
        found["d2"] = metrics.d2(loss, baseline)
    return {key: float(value) for key, value in found.items() if np.isfinite(value)}
