"""What a control plants that can be seen: measures of a picture, and white noise."""

import hashlib
from pathlib import Path

import numpy as np

from peoria.data.controls import Control
from peoria.data.images import STORED_PX, ArrayPictures, Pictures, centre_crops
from peoria.stats.metrics import normal_scores
from shards.cache.mapped import built_once
from shards.errors import NoRoomError

STEP_PX = 4  # every fourth pixel of every fourth row is measured, symmetrically: a mirror measures the same ones
WARMTH, TOP, GLOBAL = 0, 1, slice(2, None)  # columns of `measure`
NUM_MEASURES = 2 + 12 + 2 + 8 + 8
MEASURE_VERSION = 1  # of what `measure` gives; another is another file
MOST_NOISE = 500


def seen_in_pictures(name: str, train: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """s of ``colour`` and ``arrangement``, float64 [N], from the measures of train and of the split at hand: `measure` of both."""
    if Control.parse(name).kind == "colour":
        return normal_scores(train[:, WARMTH], measured[:, WARMTH])
    mean, sd = train[:, GLOBAL].mean(axis=0, dtype=np.float64), train[:, GLOBAL].std(axis=0, dtype=np.float64)

    def design(of: np.ndarray) -> np.ndarray:
        return np.column_stack([np.ones(len(of)), (of[:, GLOBAL] - mean) / np.where(sd > 0, sd, 1.0)])

    weights = np.linalg.lstsq(design(train), train[:, TOP].astype(np.float64), rcond=1e-6)[0]
    return normal_scores(*(of[:, TOP] - design(of) @ weights for of in (train, measured)))


def measured_once(pictures: Pictures, folder: Path, about: str, budget_bytes: int | None) -> np.ndarray:
    """`measure` of the pictures, float32 [N, NUM_MEASURES], mapped from a file of the cache ``folder``, which the first process makes; in memory
    where it has no room. ``about`` names the pictures: data and split."""
    digest = hashlib.sha256(f"measures {MEASURE_VERSION}\n{about}".encode()).hexdigest()[:16]
    shape = (len(pictures), NUM_MEASURES)
    try:
        found = built_once(
            folder / f"{digest}.f32", np.float32, shape, lambda out: measure(pictures, out), what="measures", budget_bytes=budget_bytes
        )
        return np.asarray(found)
    except NoRoomError:
        out = np.empty(shape, np.float32)
        measure(pictures, out)
        return out


def measure(pictures: Pictures, out: np.ndarray) -> None:
    """Fills ``out`` (float32 [N, NUM_MEASURES]) from the centre crops: warmth (mean red less mean blue), mean brightness of the upper half less
    the lower half's, and statistics that no exchange of the halves would change."""
    import cv2

    cv2.setNumThreads(1)  # trials run beside this
    rows = iter(out)
    for crops in centre_crops(pictures, 16):  # few enough to stay in a core's cache
        for rgb, row in zip(np.ascontiguousarray(crops[:, 1::STEP_PX, 1::STEP_PX]), rows, strict=False):
            hsv, grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV), cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
            half = len(grey) // 2  # the middle row is in neither
            (means, sds), (of_hsv, sds_hsv) = cv2.meanStdDev(rgb), cv2.meanStdDev(hsv)
            row[WARMTH] = means[0, 0] - means[2, 0]
            row[TOP] = cv2.mean(grey[:half])[0] - cv2.mean(grey[-half:])[0]
            saturation = hsv[..., 1].ravel()
            hues = np.bincount(hsv[..., 0].ravel() // 23, weights=saturation, minlength=8)
            row[2:14] = [*means[:, 0], *sds[:, 0], *of_hsv[1:, 0], *sds_hsv[1:, 0], grey.mean(), grey.std()]
            row[14:16] = cv2.norm(grey[1:], grey[:-1], cv2.NORM_L1) / grey.size, cv2.norm(grey[:, 1:], grey[:, :-1], cv2.NORM_L1) / grey.size
            row[16:24] = hues / max(hues.sum(), 1.0)
            row[24:32] = np.bincount(grey.ravel() >> 5, minlength=8) / grey.size


def noise_pictures(num: int, seed: int) -> ArrayPictures:
    """White noise: every pixel of every colour drawn alone, evenly from 0 to 255. No picture of it is popular (the paper, section 1)."""
    assert 0 < num <= MOST_NOISE, num
    return ArrayPictures(np.random.default_rng(seed).integers(0, 256, (num, STORED_PX, STORED_PX, 3), dtype=np.uint8))
