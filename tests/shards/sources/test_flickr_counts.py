"""Counts from a Flickr that answers as it documents, and from one that does not."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from shards.errors import TableError
from shards.fetch.hosts import retry_after_seconds
from shards.sources import flickr_api
from shards.sources.flickr_api import FlickrError, elsewhere, key_of
from shards.sources.flickr_counts import Counted, Plan, count, plan
from shards.sources.pictures import Folder
from shards.sources.source import Pictures, Record
from tests.helpers.flickr_server import KEY, FlickrServer, flickr_server
from tests.helpers.manual_clock import ManualClock
from tests.helpers.yfcc_rows import Photo

PHOTOS = [Photo(str(100 + n), f"{n % 5}@N00", 10 * n, n % 3, n, tags=("Beach", f"t,{n}"), secret=f"ab{n}") for n in range(12)]


class Rows:
    """A table of ids, and whatever else (`shards.sources.source.Source`)."""

    name = "photos.parquet"
    pictures: Pictures = Folder(Path())

    def __init__(self, *rows: Record) -> None:
        self.rows = rows

    def header(self) -> Sequence[str]:
        return list(self.rows[0])

    def records(self) -> Any:
        yield from self.rows

    def sha256(self) -> str:
        return ""


def of(photos: Sequence[Photo] = PHOTOS) -> Rows:
    return Rows(*({"id": photo.id, "path": "http://farm8.staticflickr.com/old.jpg", "device": "a camera"} for photo in photos))


class Study:
    """A folder, a clock, and a server that goes by it."""

    def __init__(self, folder: Path, server: FlickrServer, clock: ManualClock) -> None:
        self.folder, self.server, self.clock = folder, server, clock
        self.told: list[tuple[int, int, str]] = []

    def count(self, source: Rows | None = None, per_hour: int = 3600, key: str = KEY) -> Counted:
        clock = self.clock
        return count(
            source or of(),
            self.folder / "counts.parquet",
            self.folder / "answers",
            key,
            per_hour=per_hour,
            url=self.server.url,
            progress=lambda *now: self.told.append(now),
            clock=clock,
            sleep=clock.sleep,
        )

    @property
    def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = pq.read_table(self.folder / "counts.parquet").to_pylist()
        return found


@pytest.fixture
def study(tmp_path: Path) -> Any:
    clock = ManualClock()
    with flickr_server(PHOTOS, clock) as server:
        yield Study(tmp_path, server, clock)


def test_the_table_has_what_flickr_answered(study: Study) -> None:
    assert plan(of(), study.folder / "answers").queries == 24
    found = study.count()
    assert (found.pictures, found.rows, found.queries) == (12, 12, 24)
    row = study.rows[7]
    assert row == {
        "id": "107",
        "path": f"{study.server.url}/7046/107_ab7.jpg",
        "owner": "2@N00",
        "views": 70,
        "favorites": 1,
        "comments": 7,
        "uploaded_at": "1331840483",
        "observed_at": row["observed_at"],
        "taken_at": "2012-03-15 10:21:03",
        "tags": '["Beach", "t,7"]',
        "page": "https://www.flickr.com/photos/2@N00/107/",
        "licence": "Attribution License",
        "device": "a camera",
    }
    assert row["observed_at"].startswith("2027-01-15T08:00:")
    assert study.told[-1] == (12, 12, "")
    assert plan(of(), study.folder / "answers").text().splitlines()[0] == "12 pictures, 12 of them answered before"
    # again, and of a larger table: nothing is asked twice
    assert study.count().queries == 0
    assert study.count(of([*PHOTOS, Photo("999")])).queries == 1
    assert max(study.server.answered.values()) == 1
    assert set(study.server.paths) == {"/services/rest/"}  # no key in an address


HEALING = [429, 500, 502, 503, 403, 404, 0, 105, 106, 201, 10, 77, "html", "cut", "empty", "other", "no views", "redirect", "drop", "echo"]


def test_what_heals_is_asked_again(study: Study) -> None:
    photos = [Photo(str(500 + n), views=n) for n in range(len(HEALING))]
    study.server.photos = {photo.id: photo for photo in photos}
    for photo, fault in zip(photos, HEALING, strict=True):
        study.server.fault(photo.id, fault, fault)
    found = study.count(of(photos))
    assert (found.pictures, found.queries) == (len(HEALING), 4 * len(HEALING))
    assert [row["views"] for row in study.rows] == [photo.views for photo in photos]
    waits = [waits.rpartition("; again in ") for _, _, waits in study.told if waits]
    for n, fault in enumerate(HEALING):
        said = [wait for _, _, wait in waits[2 * n : 2 * n + 2]]
        assert said == (["7 s", "7 s"] if isinstance(fault, int) and fault > 300 else ["2 s", "4 s"]), fault  # the server's word, or ours
    assert len({text for text, _, _ in waits}) > 10
    assert KEY not in str(waits)


def test_gone_is_gone_and_the_others_are_not(study: Study) -> None:
    study.server.fault("101", 1)
    study.server.fault("102", 2)
    study.server.photos["103"] = Photo("103", media="video")
    rows = [*of().rows, {"id": "5050"}, {"id": ""}, {"id": "a7"}, {"id": None}, {"id": "104"}]
    found = study.count(Rows(*rows))
    assert dict(found.gone) == {"not_found": 2, "no_permission": 1}
    assert (found.videos, found.no_id, found.pictures, found.rows) == (1, 3, 10, 17)
    assert found.pictures + found.gone.total() + found.videos + found.no_id + found.unanswered == found.rows
    assert found.queries == 2 * 9 + 4  # of what is gone, and of a video, no favourites
    assert [row["id"] for row in study.rows] == ["100", *map(str, range(104, 112)), "104"]
    for said in ("2 not found", "1 not permitted", "1 are videos", "3 without a Flickr id"):
        assert f"left out: {said}" in found.text()
    lines = (study.folder / "answers" / "answers.jsonl").read_text().splitlines()
    assert {line["id"]: line["gone"] for line in map(json.loads, lines) if "gone" in line} == {
        "101": "not_found",
        "102": "no_permission",
        "5050": "not_found",
    }
    assert study.count(Rows(*rows)).queries == 0


def test_what_the_table_has_stays_and_what_it_lacks_comes_from_the_answer(study: Study) -> None:
    row = {"id": 104, "path": "mine/104.jpg", "owner": "me", "tags": ["own"], "uploaded_at": "NaN", "licence": None, "views": 3}
    study.count(Rows(row, {**row, "id": "105", "path": ""}))
    first, second = study.rows
    assert (first["path"], first["owner"], first["tags"], first["views"]) == ("mine/104.jpg", "me", '["own"]', 40)
    assert (first["uploaded_at"], first["licence"], first["taken_at"]) == ("1331840483", "Attribution License", "2012-03-15 10:21:03")
    assert second["path"] == f"{study.server.url}/7046/105_ab5.jpg"


@pytest.mark.parametrize(
    ("key", "fault", "said"), [("0" * 32, None, "refuses this key"), (KEY, 112, r"code 112 \(as documented\); the API as it was")]
)
def test_what_does_not_heal_stops_at_once(study: Study, key: str, fault: object, said: str) -> None:
    if fault is not None:
        study.server.fault("", fault)
    with pytest.raises(FlickrError, match=said) as stopped:
        study.count(key=key)
    assert len(study.server.queries) == 1
    assert "hint: " in str(stopped.value)
    assert key not in str(stopped.value)
    assert not (study.folder / "counts.parquet").exists()


def test_a_picture_that_gets_no_answer_holds_up_no_other_and_is_asked_again_later(study: Study) -> None:
    study.server.fault("103", *[500] * 10)
    found = study.count()
    assert (found.pictures, found.unanswered) == (11, 1)
    assert "1 not answered (HTTP 500); the same command asks again" in found.text()
    assert found.queries == 22 + 2 * 5
    again = study.count()
    assert (again.pictures, again.unanswered, again.queries) == (12, 0, 2)


def test_an_outage_is_waited_for_and_not_for_ever(study: Study) -> None:
    study.server.fault("", *["drop"] * 30)
    with pytest.raises(FlickrError, match=r"no answer so far: no connection .*; one\nhint: the same command goes on"):
        study.count()  # from the beginning: a network that is not there
    assert len(study.server.queries) == 3 * 5 + 1
    study.server.faults.clear()
    for photo in PHOTOS[4:8]:
        study.server.fault(photo.id, *[105] * 40)
    began = study.clock.now
    found = study.count()  # three pictures in a row get none; the fourth is waited for, some hours
    assert found.pictures == 9
    assert study.clock.now - began > 3 * 3600
    study.server.faults.clear()
    study.server.fault("104", None, None)  # answers; then two days of nothing
    for photo in PHOTOS[5:]:
        study.server.fault(photo.id, *[503] * 1000)
    study.server.photos |= {str(n): Photo(str(n)) for n in range(200, 210)}
    for n in range(200, 210):
        study.server.fault(str(n), *[503] * 1000)
    began = study.clock.now
    with pytest.raises(FlickrError, match=r"no answer for 24 hours: HTTP 503"):
        study.count(of([*PHOTOS, *(Photo(str(n)) for n in range(200, 210))]))
    assert 24 * 3600 < study.clock.now - began < 25 * 3600


@pytest.mark.parametrize(("per_hour", "refused"), [(120, False), (240, True)])
def test_the_limit_of_the_key_is_kept(tmp_path: Path, per_hour: int, refused: bool) -> None:
    """With the control: twice as fast, and the server refuses; all are answered all the same."""
    clock, photos = ManualClock(), [Photo(str(n)) for n in range(100)]
    with flickr_server(photos, clock, per_hour=120) as server:
        study = Study(tmp_path, server, clock)
        assert study.count(of(photos), per_hour).pictures == 100
    assert (server.refused > 0) == refused


def test_what_it_will_cost_is_said_in_words() -> None:
    for queries, said in ((0, "0 minutes"), (1, "1 minute"), (5000, "84 minutes"), (20_000, "5.6 hours"), (800_000, "9.3 days")):
        assert Plan(9, 0, queries, queries * 3600 / 3580).text().endswith(f" to make, {said}")


def test_keys_and_stand_ins() -> None:
    assert key_of({"FLICKR_API_KEY": f" {KEY}\n"}) == KEY
    assert key_of({"PEORIA_FLICKR_KEY": KEY, "FLICKR_API_KEY": "x" * 32}) == KEY
    for environment in ({}, {"PEORIA_FLICKR_KEY": ""}, {"PEORIA_FLICKR_KEY": "secret-with-$igns-in-it"}, {"FLICKR_API_KEY": "shorter"}):
        with pytest.raises(FlickrError, match="PEORIA_FLICKR_KEY in the environment") as refused:
            key_of(environment)
        assert not any(value and value in str(refused.value) for value in environment.values())
    assert elsewhere({}) is None
    assert elsewhere({"PEORIA_FLICKR_URL": "http://127.0.0.1:8080/"}) == "http://127.0.0.1:8080"
    for url in (
        "https://127.0.0.1:1",
        "http://example.org:80",
        "http://127.0.0.1",
        "http://127.0.0.1.example.org:80",
        "http://u@127.0.0.1:8",
        "http://[::1",
    ):
        with pytest.raises(FlickrError, match="a stand-in on this machine"):
            elsewhere({"PEORIA_FLICKR_URL": url})


def test_a_table_without_ids(study: Study) -> None:
    with pytest.raises(TableError, match="id: no such column; the table has name"):
        study.count(Rows({"name": "a"}))
    with pytest.raises(TableError, match="no row with a Flickr id"):
        study.count(Rows({"id": "a"}))


@pytest.mark.parametrize("said", ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "Mon, 01 Jan 2024 00:00:00 +99999999999999", "soon", ""])
def test_a_time_to_wait_until_that_no_calendar_has(said: str) -> None:
    assert retry_after_seconds(said) == 0
    assert [retry_after_seconds(number) for number in ("7", "1.5", "nan", "-3")] == [7, 1.5, 0, 0]
    assert retry_after_seconds("Fri, 31 Dec 9999 23:59:59 GMT") > flickr_api.MAX_RETRY_AFTER_S
