"""A network on a frozen split: its outputs for every picture, and the metrics by which trials are compared."""

from typing import TYPE_CHECKING

import numpy as np

from peoria.data.images import CENTRE_PX, CROP_PX, Pictures
from peoria.data.targets import is_known, known_counts
from peoria.errors import ConfigError
from peoria.records.selection import is_near_constant
from peoria.stats import metrics
from peoria.tasks import FittedTask
from shards.labels import Labels

if TYPE_CHECKING:
    import torch

    from peoria.models import PopularityNet

BATCH_SIZE = 250


def forward_all(
    net: "PopularityNet", pixels: Pictures, *, device: "torch.device", autocast: "torch.dtype | None", held: "list[torch.Tensor] | None" = None
) -> np.ndarray:
    """Outputs for the centre crops of all pictures, float64 [N, num_outputs]; dropout off, no flips.

    Args:
        held: keeps the crops on the device from one call to the next of the same pictures; empty at first. None: none are kept.
    """
    import torch

    from peoria.data.prefetch import Prefetcher

    size = min(BATCH_SIZE, len(pixels))

    def fill(start: int, out: np.ndarray) -> int:
        stop = min(start + BATCH_SIZE, len(pixels))
        fill_centre(pixels, start, stop, out)
        return stop - start if device.type == "cpu" else size  # batches of one size, or cuDNN chooses its algorithms anew; what is too much is cut

    starts = range(0, len(pixels), BATCH_SIZE)
    feeder = None if held else Prefetcher(fill, [((size, CROP_PX, CROP_PX, 3), np.uint8)], device, step=BATCH_SIZE, stop=len(pixels))
    was_training = net.training
    net.eval()
    outputs = []
    with torch.inference_mode(), torch.autocast(device.type, autocast, enabled=autocast is not None):
        for number, start in enumerate(starts):
            if feeder is None:
                assert held is not None
                crops = held[number]
            else:
                (crops,) = feeder.batch(start)
                if held is not None:
                    held.append(crops.clone())
            outputs.append(net(net.preprocess(crops)).float())  # stays on the device: it would have to wait for us at each batch
        found = torch.cat(outputs)[: len(pixels)].cpu().numpy()
    net.train(was_training)
    return found.astype(np.float64)


def fill_centre(pixels: Pictures, start: int, stop: int, out: np.ndarray) -> None:
    """The central crops of pictures ``start`` to ``stop`` into ``out`` (uint8 [≥ n, 227, 227, 3]): `Pictures.centre` without an array of its own."""
    pixels.crops(np.arange(start, stop), np.tile((CENTRE_PX, CENTRE_PX, 0), (stop - start, 1)), out)


def has_both_classes(labels: Labels) -> bool:
    """Whether some pictures were favourited and some, as is known, were not, so that ``gini_fav`` is defined."""
    _, favorites = labels.counted("favorites")
    return bool((favorites >= 1).any() and (favorites < 1).any())


def objective_name(val: Labels) -> str:
    """The one number that the searcher maximises: ``rank_mean``, or ``rho_views`` where no favourites are known in val, or those of one class.

    Raises:
        ConfigError: the val split cannot rank anything.
    """
    if len(val) < 3 or val.views.min() == val.views.max():
        raise ConfigError(f"val: {len(val)} pictures with one number of views; at least 3 pictures with different views are needed")
    return "rank_mean" if has_both_classes(val) else "rho_views"


def rank_metrics(views_score: np.ndarray, favorites_score: np.ndarray, labels: Labels) -> dict[str, float]:
    """``rho_views``, and where favourites are known ``gini_fav`` and ``auc_fav``, of those pictures, and ``rank_mean``; keys without the split."""
    found = {"rho_views": metrics.spearman(views_score, labels.views)}
    if has_both_classes(labels):
        known, favorites = labels.counted("favorites")
        found["gini_fav"] = metrics.gini(favorites_score[known], favorites >= 1)
        found["auc_fav"] = (found["gini_fav"] + 1) / 2
        found["rank_mean"] = metrics.rank_mean(found["rho_views"], found["gini_fav"])
    return found


def score_spread(score: np.ndarray, outputs: np.ndarray, target_sd: float = 0.0) -> float:
    """From the 5th to the 95th of 100 scores, over the largest output, the target's standard deviation as the loss sees it, or 1, whichever is most:
    about 1e-7 where float32 tells no picture from another, 0 where nine in ten have the same score."""
    low, high = np.quantile(score, (0.05, 0.95), method="inverted_cdf") if len(score) else (0.0, 0.0)
    return float((high - low) / max(1.0, target_sd, float(np.abs(outputs).max(initial=0.0))))


def network_metrics(fitted: FittedTask, outputs: np.ndarray, labels: Labels) -> dict[str, float]:
    """All metrics of a network's outputs on a split; keys without the split, values not finite left out.

    A near-constant score counts as a constant one, whose ranks give 0: their order is that of a CPU's sums. ``d2`` is 1 − loss / loss of the task's
    reference constant, on the same pictures: those whose target is known, as all native losses. Where it is known for none there are none of these.
    """
    score, target_sd = fitted.score(outputs), 0.0
    if is_known(labels, fitted.target):
        known, y = known_counts(labels, fitted.target)
        target_sd = float(np.std(fitted.encode(y)))
    spread = {"score_sd": float(np.std(score)), "score_spread": score_spread(score, outputs, target_sd)}
    ranked = np.zeros_like(score) if is_near_constant({f"val/{name}": value for name, value in spread.items()}) else score
    found = rank_metrics(ranked, ranked, labels)
    if not is_known(labels, fitted.target):
        found |= spread
    else:
        native = fitted.losses(fitted.predict(outputs[known]), y)
        reference = next(c for c in fitted.constants(len(y)) if c.name == fitted.reference)
        name, loss = next(iter(native.items()))
        baseline = fitted.losses(reference.prediction, y)[name]
        found |= {**native, **spread, f"{name}_{fitted.reference.replace(' ', '_')}": baseline}
        if baseline > 0:
            found["d2"] = metrics.d2(loss, baseline)
    return {key: float(value) for key, value in found.items() if np.isfinite(value)}
