"""Features of a picture for cheap image models: colours and edges, and a frozen trunk."""

from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from peoria.baselines.fit import Features
from peoria.data.dataset import Dataset, SplitData
from peoria.data.images import centre_crops
from peoria.training.evaluate import BATCH_SIZE
from shards.errors import NoRoomError

if TYPE_CHECKING:
    from peoria.config.trial import TrialConfig


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
        hue, saturated, value = cv2.split(hsv)
        channels = cv2.split(rgb)
        angle = hue * np.float32(np.pi / 90)  # OpenCV's hue runs to 180
        saturation = saturated.astype(np.float32)
        planes = [np.cos(angle) * saturation, np.sin(angle) * saturation, saturation, value, *channels]
        row[:14] = [value for plane in planes for value in (plane.mean(), plane.std())]
        hues = cv2.calcHist([hsv], [0, 1], None, [184, 256], [0, 184, 0, 256]).reshape(8, 23, 256).sum(axis=1) @ np.arange(256.0)
        row[14:22] = hues / max(hues.sum(), 1.0)
        levels = np.bincount(grey.ravel(), minlength=256) / grey.size
        row[22:26] = levels.reshape(4, 64).sum(axis=1)
        red, green, blue = (channel.astype(np.float32) for channel in channels)
        rg, yb = red - green, 0.5 * (red + green) - blue
        across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)  # whole numbers
        row[26] = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
        row[27] = grey.std()
        row[28] = (across * across + down * down > 100**2).mean()
        row[29] = np.log1p(cv2.Laplacian(grey, cv2.CV_32F).var())
        row[30] = -(levels[levels > 0] * np.log2(levels[levels > 0])).sum()
    return rows


def trunk_features(config: "TrialConfig", dataset: Dataset) -> Features:
    """What the sweep's own trunk says of a picture before any training on counts, float64 [N, F]; of train and val from the node's cache."""

    def features(split: SplitData) -> np.ndarray:
        from peoria.models import build, to_device
        from peoria.training.frozen_features import CENTRE, FrozenTrunk

        weights: dict[str, Any] = {"weights": config.weights, "weights_prefix": config.weights_prefix}
        net, _ = build(config.net, head=config.head, num_outputs=1, **weights, seed=config.seed, plugins=config.plugins)
        to_device(net, config.net, config.device)
        trunk = FrozenTrunk(net, config, dataset.identity)
        folder = dataset.cache if split is dataset.train or split is dataset.val else None  # test is looked at once
        try:
            found = trunk.features(split, CENTRE, folder, dataset.cache_bytes)
        except NoRoomError:
            found = trunk.features(split, CENTRE, None)
        return found[:, 0].astype(np.float64)

    return features
