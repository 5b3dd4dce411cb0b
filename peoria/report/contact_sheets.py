"""Contact sheets: the test pictures that the model ranks highest and lowest, and those that it is most wrong about."""

import base64
from typing import Any

import numpy as np

from peoria.verdict.contact_rows import SHEETS
from shards.labels import Labels

JPEG_QUALITY = 80


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
