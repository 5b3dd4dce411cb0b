"""Which test pictures the contact sheets show, and their thumbnails."""

import numpy as np

from peoria.data.images import Pictures, TakenPictures
from peoria.records.trials import TrialRecord
from peoria.tasks import get_task
from peoria.training.attribution import COARSE_PX, occlusion, shaded
from peoria.training.checkpoint import load_model

NUM = 12  # pictures a sheet
SIDE_PX = 112
SHEETS = {
    "top": "Ranked highest",
    "bottom": "Ranked lowest",
    "overrated": "Ranked high, viewed little",
    "underrated": "Ranked low, viewed much",
}


def sheet_rows(score: np.ndarray, views: np.ndarray, num: int = NUM) -> dict[str, np.ndarray]:
    """Rows int64 [≤ num] of each sheet, the most telling first. ``score`` and ``views`` are [N]; ties go by the order of the rows."""
    from scipy.stats import rankdata

    gap = rankdata(score) - rankdata(views)
    orders = {"top": -score, "bottom": score, "overrated": -gap, "underrated": gap}
    return {name: np.argsort(order, kind="stable")[:num] for name, order in orders.items()}


def thumbnails(pixels: Pictures, rows: np.ndarray) -> np.ndarray:
    """The centre crops of these pictures, small: uint8 [K, 112, 112, 3]."""
    import cv2

    crops = [pixels.centre(row, row + 1)[0] for row in np.asarray(rows).tolist()]
    return np.stack([cv2.resize(crop, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA) for crop in crops])


def moved_by(trial: TrialRecord, pixels: Pictures, rows: np.ndarray, shown: np.ndarray, sd: float) -> np.ndarray:
    """The thumbnails ``shown``, uint8 [K, 112, 112, 3], under a map of what moved the trial's score of the pictures at ``rows``; ``sd`` is that of
    the scores that they are among. Likewise uint8 [K, 112, 112, 3]."""
    net, card = load_model(trial.folder)
    fitted, taken = get_task(card.config.task, card.config.plugins).restore(card.task), TakenPictures(pixels, np.asarray(rows))
    moved = occlusion(net, fitted, taken, step_px=COARSE_PX)
    return shaded(shown, moved / max(sd, 1e-12))
