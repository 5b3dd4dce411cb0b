"""What a report leaves beside its page: the test pictures as a table, and its contact sheets as one picture."""

import csv
import io
from collections.abc import Mapping, Sequence

import numpy as np

from peoria.report.contact_sheets import JPEG_QUALITY, Sheet
from peoria.verdict.contact_rows import NUM, SIDE_PX
from shards.labels import Labels

LINE_PX, GAP_PX = 18, 6


def predictions_csv(score: np.ndarray, labels: Labels) -> str:
    """A line for each test picture that was opened, the highest score first: its score [N], the share of them below it in percent, its counts, and
    its place by views. Favourites are empty where they are unknown."""
    from scipy.stats import rankdata

    places = [np.round(100 * (rankdata(values) - 0.5) / max(len(labels), 1), 2) for values in (score, labels.views)]
    known = dict(zip(*(of.tolist() for of in labels.counted("favorites")), strict=True))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(("id", "score", "score_percentile", "views", "views_percentile", "favorites"))
    for row in np.argsort(-score, kind="stable").tolist():
        table.writerow((labels.ids[row], f"{score[row]:.6g}", places[0][row], int(labels.views[row]), places[1][row], known.get(row, "")))
    return text.getvalue()


def contact_jpeg(sheets: Sequence[Sheet], pictures: Mapping[str, np.ndarray]) -> bytes:
    """All sheets below each other, each a row of pictures under its title, with their true views. ``pictures`` is by sheet, uint8 [K, H, W, 3]."""
    from PIL import Image, ImageDraw, ImageFont

    row_px = SIDE_PX + 2 * LINE_PX + 2 * GAP_PX
    page = Image.new("RGB", (NUM * (SIDE_PX + GAP_PX) + GAP_PX, max(len(sheets), 1) * row_px + GAP_PX), "white")
    drawn, font = ImageDraw.Draw(page), ImageFont.load_default()
    for number, sheet in enumerate(sheets):
        top = GAP_PX + number * row_px
        drawn.text((GAP_PX, top), sheet.title, "black", font)
        for place, (about, picture) in enumerate(zip(sheet.pictures, pictures[sheet.name], strict=True)):
            left = GAP_PX + place * (SIDE_PX + GAP_PX)
            page.paste(Image.fromarray(np.ascontiguousarray(picture)), (left, top + LINE_PX))
            drawn.text((left, top + LINE_PX + SIDE_PX + 2), f"{about.views:,} views", "black", font)
    file = io.BytesIO()
    page.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()
