"""Favourites and dates that some test pictures lack: who is judged by what, and what is said of those left out."""

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from peoria.stats.clusters import Clusters
from peoria.verdict.judge import judge
from peoria.verdict.left_out import LeftOut, Place, said_of_left_out, said_of_rows
from peoria.verdict.predictors import PredictorScores
from peoria.verdict.schema import Judgement, Measure, Target
from peoria.verdict.values import Interval
from shards.counts import counts_of
from shards.labels import Labels
from tests.helpers.unknown import without_favorites
from tests.helpers.worlds import judged, world

SOME = {"num_owners": 120, "of_owner": 5, "shape": 0.8, "fame": 0.4}
WINNERS: dict[Target, str] = {"views": "recipe-0007", "favorites": "recipe-0007"}
FAVOURITES = [name for name in get_args(Measure) if "fav" in name]
VIEWS = [name for name in get_args(Measure) if "fav" not in name]


def partly(**of_world: float) -> tuple[dict[str, PredictorScores], Labels, np.ndarray]:
    scores, labels = world(1, **(SOME | of_world))  # type: ignore[arg-type]
    labels, known = without_favorites(labels, 0.3)
    return scores, labels, known


def of_rows(scores: dict[str, PredictorScores], rows: np.ndarray) -> dict[str, PredictorScores]:
    def at(score: np.ndarray | None) -> np.ndarray | None:
        return None if score is None else score[..., rows]

    return {name: replace(p, views=at(p.views), favorites=at(p.favorites)) for name, p in scores.items()}


def test_favourites_are_judged_where_they_are_known_and_views_everywhere() -> None:
    scores, labels, known = partly()
    found = judged(scores, labels)
    rows = np.flatnonzero(known)
    of_known = judge(of_rows(scores, rows), labels.take(rows), Clusters.of(labels.owners[rows]), winners=WINNERS, num_resamples=200)
    of_views = judged(scores, replace(labels, favorites=None))
    for predictor in found.predictors:
        alone, by_views = of_known.predictor(predictor.name), of_views.predictor(predictor.name)
        assert alone is not None
        assert by_views is not None
        assert [predictor.measure(name) for name in FAVOURITES] == [alone.measure(name) for name in FAVOURITES]
        assert [predictor.measure(name) for name in VIEWS] == [by_views.measure(name) for name in VIEWS]
    assert found.targets.favorites is not None
    assert of_known.targets.favorites is not None
    assert found.targets.favorites.differences == of_known.targets.favorites.differences
    assert found.test.favorited_share == pytest.approx((labels.counted("favorites")[1] >= 1).mean(), abs=1e-6)
    assert found.test.pairs_favorites == of_known.test.pairs_favorites
    assert found.test.num_pictures == len(labels)


def test_favourites_of_too_few_owners_are_not_judged() -> None:
    scores, labels = world(1, **SOME)  # type: ignore[arg-type]
    assert isinstance(labels.favorites, np.ndarray)
    known = np.arange(len(labels)) < 60  # of 12 owners
    found = judged(scores, replace(labels, favorites=counts_of(labels.favorites[known], known)))
    assert found.targets.views.enough_owners
    assert found.targets.favorites is not None
    assert not found.targets.favorites.enough_owners
    few = "too little to judge: 12 owners whose favourites are known in test, where at least 20 are needed."
    assert [line.text for line in found.targets.favorites.lines] == [few] * 3


def note(found: Judgement, start: str) -> str:
    [said] = [text for text in found.notes if text.startswith(start)]
    return said


def test_what_is_left_out_is_a_note() -> None:
    scores, labels, known = partly()
    found = judged(scores, labels)
    [left] = found.left_out
    assert (left.label, left.num) == ("favorites", int((~known).sum()))
    assert note(found, "Favourites unknown").startswith(f"Favourites unknown for {100 * (~known).mean():.1f} % of the test pictures: ")
    assert not any(text.startswith("Upload dates unknown") for text in found.notes)


def test_pictures_that_lack_favourites_for_a_reason_are_told_from_those_that_do_not() -> None:
    """The most viewed owners show no favourites: a verdict on the rest says that it is of others; where they are lacking by chance it does not."""
    scores, labels = world(2, num_owners=300, of_owner=6, fame=1.0, shape=0.5)
    assert isinstance(labels.favorites, np.ndarray)
    famous = np.log1p(labels.views).reshape(300, 6).mean(axis=1).argsort()[-90:]
    hidden = np.isin(labels.owners.astype(int), famous)
    found = judged(scores, replace(labels, favorites=counts_of(labels.favorites[~hidden], ~hidden)))
    [left] = found.left_out
    assert left.views is not None
    assert left.score is not None
    assert (left.views.answer, left.score.answer) == ("higher", "higher")
    said = note(found, "Favourites unknown for 30.0 % of the test pictures: by views these lie higher than the others (+")
    assert said.endswith("what is said of favourites is said of the others alone.")
    by_chance = judged(scores, without_favorites(labels, 0.3, 5)[0]).left_out[0]
    assert by_chance.views is not None
    assert by_chance.views.answer in ("alike", "not decided")
    assert judged(scores, labels).left_out == ()


def test_unknown_dates_are_a_note_too() -> None:
    scores, labels = world(3, num_owners=200, of_owner=5, age=1.0, shape=0.5)
    assert labels.uploaded_at is not None
    unknown = np.random.default_rng(0).random(len(labels)) < np.where(labels.views > np.median(labels.views), 0.3, 0.05)
    found = judged(scores, replace(labels, uploaded_at=np.where(unknown, np.datetime64("NaT"), labels.uploaded_at)))
    [left] = found.left_out
    assert (left.label, left.num) == ("uploaded_at", int(unknown.sum()))
    said = note(found, f"Upload dates unknown for {100 * unknown.mean():.1f} % of the test pictures: by views these lie higher than the others")
    assert "by score these lie higher" in said
    assert said.endswith("what is said given age is said of the others alone.")
    assert judged(scores, replace(labels, uploaded_at=None, observed_at=None)).left_out == ()
    assert labels.observed_at is not None
    uncounted = judged(scores, replace(labels, observed_at=np.where(unknown, np.datetime64("NaT"), labels.observed_at)))
    assert note(uncounted, "Dates of counting unknown").split(": ")[1] == said.split(": ")[1]


def test_the_words_of_each_answer() -> None:
    def left(views: Place | None, score: Place | None, num_owners: int = 40) -> str:
        return said_of_left_out(LeftOut(label="favorites", num=30, share=0.301, num_owners=num_owners, views=views, score=score))

    lower = Place(difference=Interval(value=-0.12, low=-0.2, high=-0.04), answer="lower")
    alike = Place(difference=Interval(value=0.001, low=-0.02, high=0.022), answer="alike")
    unsure = Place(difference=Interval(value=0.01, low=-0.08, high=0.1), answer="not decided")
    assert left(lower, alike) == (
        "Favourites unknown for 30.1 % of the test pictures: by views these lie lower than the others (−12.0 [−20.0, −4.0] places in 100); "
        "by score these lie like the others, within 5 places in 100 (+0.1 [−2.0, +2.2] places in 100); "
        "what is said of favourites is said of the others alone."
    )
    assert "whether these lie like the others by score is not decided (+1.0 [−8.0, +10.0] places in 100)" in left(lower, unsure)
    assert "whether these are like the others cannot be told, of 7 owners, too few on one side" in left(None, None, num_owners=7)
    assert "cannot be told, too few owners on one side" in left(None, None)


def test_rows_that_were_left_out_and_values_that_could_not_be_read() -> None:
    from peoria.verdict.tables import PackedPart, PackedParts, PackedSet, PartCounts

    counts = PartCounts.model_validate({"views": {"mean": 1, "sd": 1, "max": 1, "share_zero": 0}})
    part = PackedPart(num_pictures=1, share=1, num_owners=1, num_unknown_owners=0, largest_owner_share=1, counts=counts, correlations={})
    data = PackedSet(
        table="t.csv", identity="", num_rows=10_000, num_kept=9000, num_rejected=1000, rejected={"bad_count": 233}, num_shards=1, num_bytes=1,
        unreadable_counts={"views": 230, "comments": 3}, unreadable={"favorites": (90, "row 4: favorites: '1,234' is not a number")},
        uploaded_at=None, observed_at=None, near_duplicates=None, parts=PackedParts(total=part),
    )  # fmt: skip
    assert said_of_rows(data) == (
        "2.3 % of the table's rows were left out for missing or unreadable views.",
        "3 of the table's 10,000 rows were left out for missing or unreadable comments; packed again they would stay.",
        "favorites could not be read for 90 of the 9,000 packed pictures, where it counts as unknown: "
        "first row 4: favorites: '1,234' is not a number.",
    )
