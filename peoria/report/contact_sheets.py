"""Contact sheets: the test pictures that the model ranks highest and lowest, and those that it is most wrong about."""

import base64
from typing import Any

import numpy as np

from peoria.data.images import Pictures
from shards.labels import Labels

NUM = 12  # pictures a sheet
SIDE_PX = 112
JPEG_QUALITY = 80
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


def sheets(score: np.ndarray, labels: Labels, rows: dict[str, np.ndarray], pictures: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """What a page shows: by sheet its title and pictures, each with ``image`` (a data address), its id, true counts, and its place by score and
    by views among the test pictures, in percent from the bottom."""
    from scipy.stats import rankdata

    by_score, by_views = (100 * (rankdata(values) - 0.5) / len(labels) for values in (score, labels.views))
    return [
        {
            "name": name,
            "title": title,
            "pictures": [
                {
                    "image": data_address(picture),
                    "id": str(labels.ids[row]),
                    "views": int(labels.views[row]),
                    "favorites": None if labels.favorites is None else int(labels.favorites[row]),
                    "by_score": round(float(by_score[row]), 1),
                    "by_views": round(float(by_views[row]), 1),
                }
                for row, picture in zip(rows[name].tolist(), pictures[name], strict=True)
            ],
        }
        for name, title in SHEETS.items()
    ]


def data_address(picture: np.ndarray) -> str:
    """A JPEG inside the page itself; ``picture`` is uint8 [H, W, 3]."""
    import simplejpeg

    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=JPEG_QUALITY, colorspace="RGB")
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
