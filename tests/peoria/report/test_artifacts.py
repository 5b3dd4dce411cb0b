"""The table of predictions and the contact sheet that lie beside a report."""

import csv
import io

import numpy as np
from PIL import Image

from peoria.report.artifacts import contact_jpeg, predictions_csv
from peoria.report.contact_sheets import sheets
from peoria.verdict.contact_rows import SHEETS, SIDE_PX, sheet_rows
from shards.labels import Labels

NUM = 20


def labels() -> Labels:
    numbers = np.arange(NUM)
    ids = np.array([f"a,{number}" for number in numbers])  # a comma, which a table has to quote
    return Labels(keys=numbers.astype(str), ids=ids, owners=np.full(NUM, "o"), views=10 * numbers, favorites=numbers % 2)


def test_the_table_has_each_picture_once_the_highest_score_first() -> None:
    score = np.random.default_rng(0).permutation(NUM) / 10
    rows = list(csv.DictReader(io.StringIO(predictions_csv(score, labels()))))
    assert [float(row["score"]) for row in rows] == sorted(score, reverse=True)
    assert {row["id"] for row in rows} == set(labels().ids)
    assert all(float(row["score"]) == score[int(row["views"]) // 10] for row in rows)
    assert [float(row["score_percentile"]) for row in rows] == [100 * (place + 0.5) / NUM for place in range(NUM - 1, -1, -1)]
    assert {row["favorites"] for row in rows} == {"0", "1"}


def test_favourites_that_nobody_knows_are_empty() -> None:
    unknown = Labels(keys=labels().keys, ids=labels().ids, owners=labels().owners, views=labels().views)
    assert {row["favorites"] for row in csv.DictReader(io.StringIO(predictions_csv(np.arange(NUM) / 1.0, unknown)))} == {""}


def test_the_contact_sheet_shows_each_picture_in_its_place() -> None:
    score = np.arange(NUM) / 1.0
    rows = sheet_rows(score, labels().views)
    red = {name: np.zeros((len(found), SIDE_PX, SIDE_PX, 3), np.uint8) for name, found in rows.items()}
    red["bottom"][3] = (200, 0, 0)
    page = np.asarray(Image.open(io.BytesIO(contact_jpeg(sheets(score, labels(), rows, red), red))))
    reddish = (page[..., 0] > 150) & (page[..., 1] < 60)
    down, right = np.nonzero(reddish)
    assert abs(len(down) - SIDE_PX**2) < 0.05 * SIDE_PX**2
    assert page.shape[0] * 1 / len(SHEETS) < down.min() < down.max() < page.shape[0] * 2 / len(SHEETS)  # the second sheet
    assert page.shape[1] * 3 / 12 < right.min() < right.max() < page.shape[1] * 4 / 12 + 1  # its fourth picture
