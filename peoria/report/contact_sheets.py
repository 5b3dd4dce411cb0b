"""Contact sheets: the test pictures that the model ranks highest and lowest, and those that it is most wrong about."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from peoria.verdict.contact_rows import SHEETS
from shards.labels import Labels

JPEG_QUALITY = 80


@dataclass(frozen=True)
class SheetPicture:
    """A test picture with its true counts."""

    image: str  # a data address
    id: str
    views: int
    favorites: int | None
    by_score: float  # its place by score among the test pictures, in percent from the bottom
    by_views: float  # likewise by views
    moved: str | None = None  # a data address: the picture under a map of what moved its score; None where there is none


@dataclass(frozen=True)
class Sheet:
    """Pictures of one kind, the most telling first."""

    name: str
    title: str
    pictures: tuple[SheetPicture, ...]


def sheets(
    score: np.ndarray,
    labels: Labels,
    rows: Mapping[str, np.ndarray],
    pictures: Mapping[str, np.ndarray],
    moved: Mapping[str, np.ndarray] | None = None,
) -> list[Sheet]:
    """What a page shows. ``score`` is [N]; the others are by sheet: ``rows`` int64 [K], ``pictures`` and ``moved`` uint8 [K, H, W, 3], the latter the
    same pictures under maps of what moved their scores, where there are any."""
    from scipy.stats import rankdata

    by_score, by_views = (100 * (rankdata(values) - 0.5) / len(labels) for values in (score, labels.views))

    known = dict(zip(*(of.tolist() for of in labels.counted("favorites")), strict=True))

    def shown(row: int, picture: np.ndarray, under: np.ndarray | None) -> SheetPicture:
        return SheetPicture(
            image=data_address(picture),
            id=str(labels.ids[row]),
            views=int(labels.views[row]),
            favorites=known.get(row),
            by_score=round(float(by_score[row]), 1),
            by_views=round(float(by_views[row]), 1),
            moved=None if under is None else data_address(under),
        )

    return [
        Sheet(name, title, tuple(map(shown, rows[name].tolist(), pictures[name], (moved or {}).get(name, [None] * len(rows[name])))))
        for name, title in SHEETS.items()
    ]


def data_address(picture: np.ndarray) -> str:
    """A JPEG inside the page itself; ``picture`` is uint8 [H, W, 3]."""
    import simplejpeg

    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(picture), quality=JPEG_QUALITY, colorspace="RGB")
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
