"""Counts of pictures from the Flickr API, joined to a table of their ids: a question or two a picture, days of them, interrupted at any moment."""

import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shards.addresses import is_url
from shards.errors import TableError
from shards.sources.cells import Bad, as_text, is_unknown
from shards.sources.flickr_answers import QUERIES, Answers
from shards.sources.flickr_api import FlickrApi, FlickrError, Unavailable, address_of, licence_of
from shards.sources.flickr_bucket import PER_HOUR, Bucket
from shards.sources.source import BadRow, Record, Source
from shards.sources.written import check_out, write_table
from shards.words import counted

COUNTS = ("views", "favorites", "comments")
COLUMNS = ("id", "path", "owner", *COUNTS, "uploaded_at", "observed_at", "taken_at", "tags", "page", "licence")
TRIES = 5  # of a question, 2, 4, 8, 16 s apart; then the picture is left for the end
OUTAGE = 3  # pictures in a row without an answer: then the next is waited for
FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 600.0
GIVE_UP_S = 24 * 3600.0

Progress = Callable[[int, int, str], None]
"""Is told (pictures answered for, pictures in all, why it waits or "")."""


@dataclass
class Counted:
    """What came of a table."""

    out: Path
    rows: int = 0  # of the table given
    pictures: int = 0  # rows with counts, written
    gone: Counter[str] = field(default_factory=Counter)  # rows, by why
    videos: int = 0
    no_id: int = 0
    unanswered: int = 0
    last_said: str = ""  # instead of an answer
    queries: int = 0  # made now
    answers: Path = Path()

    def text(self) -> str:
        lines = [f"{self.out}: {counted(self.pictures, 'picture')} with counts, of {counted(self.rows, 'row')}"]
        for num, said in (
            (self.gone["not_found"], "not found: deleted or private since"),
            (self.gone["no_permission"], "not permitted to see"),
            (self.videos, "are videos"),
            (self.no_id, "without a Flickr id, which is a number"),
            (self.unanswered, f"not answered ({self.last_said}); the same command asks again"),
        ):
            if num:
                lines.append(f"  left out: {num:,} {said}")
        return "\n".join([*lines, f"  {counted(self.queries, 'query', 'queries')} made now; all answers: {self.answers}"])


@dataclass(frozen=True)
class Plan:
    """What a table will cost."""

    pictures: int  # different ids
    answered: int  # of these nothing more is asked
    queries: int  # at most: of a picture that is gone the second is not made
    seconds: float

    def text(self) -> str:
        hours = self.seconds / 3600
        lasts = f"{hours / 24:,.1f} days" if hours >= 48 else f"{hours:,.1f} hours" if hours >= 2 else counted(math.ceil(hours * 60), "minute")
        return (
            f"{counted(self.pictures, 'picture')}, {self.answered:,} of them answered before\n"
            f"  at most {counted(self.queries, 'query', 'queries')} to make, {lasts}"
        )


def plan(source: Source, answers: Path, per_hour: int = PER_HOUR) -> Plan:
    """What `count` would ask; it asks nothing and writes nothing. Raises TableError, FileError."""
    burst = max(1, per_hour // 360)
    with Answers(answers, read_only=True) as known:
        ids = _ids(source)
        asks = [known.next_ask(identity) for identity in ids]
    queries = 2 * asks.count("info") + asks.count("favorites")
    return Plan(len(ids), asks.count(None), queries, queries * 3600 / (per_hour - 2 * burst))


def count(
    source: Source,
    out: Path,
    answers: Path,
    key: str,
    *,
    per_hour: int = PER_HOUR,
    url: str | None = None,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], object] = time.sleep,
) -> Counted:
    """Asks what is not answered yet, and writes the table of pictures with counts, Parquet, once all has been asked.

    Args:
        source: rows with an ``id``; what else they have is kept, and taken from the answers where it is empty. ``path`` becomes the address of
            the picture as it is now, unless it is a file's.
        answers: the folder of what was answered before, and of what was asked when.
        per_hour: queries, of this folder.
        url: a stand-in for Flickr.

    Raises:
        TableError: no column ``id``, no row with one.
        FlickrError: the key is refused; no answer for a day, or none from the beginning.
        FileError, NoRoomError: what is to be written cannot be.
    """
    check_out(out)
    with Answers(answers) as known, Bucket(answers / QUERIES, per_hour, clock, sleep) as bucket, FlickrApi(key, url) as api:
        ids = _ids(source)
        asking = _Asking(known, bucket, api, progress, clock, sleep, total=len(ids))
        late = [identity for identity in ids if not asking.all_of(identity)]
        for identity in late:
            asking.all_of(identity)
        found = Counted(out, last_said=asking.last_said, queries=asking.queries, answers=known.path)
        more = [name for name in source.header() if name not in COLUMNS]
        write_table(out, (*COLUMNS, *more), COUNTS, _rows(source, known, url, found))
    return found


class _Asking:
    """The questions of one run, one after another: the limit leaves a second for each."""

    def __init__(
        self,
        known: Answers,
        bucket: Bucket,
        api: FlickrApi,
        progress: Progress | None,
        clock: Callable[[], float],
        sleep: Callable[[float], object],
        total: int,
    ) -> None:
        self._known, self._bucket, self._api, self._clock, self._sleep = known, bucket, api, clock, sleep
        self._progress, self._total, self._done = progress, total, 0
        self._failed_in_row = 0
        self._answered_at: float | None = None
        self.queries, self.last_said = 0, ""

    def all_of(self, identity: str) -> bool:
        """Whether all of a picture is answered, asked now where it was not."""
        while (ask := self._known.next_ask(identity)) is not None:
            answer = self._answer(ask, identity)
            if answer is None:
                return False
            now = datetime.fromtimestamp(int(self._clock()), UTC)
            self._known.put(identity, ask, f"{now:%Y-%m-%dT%H:%M:%SZ}", answer)
        self._done += 1
        self._tell("")
        return True

    def _answer(self, ask: str, identity: str) -> dict[str, Any] | None:
        """None where there is none now, and others are to be asked meanwhile."""
        wait_s, tries = FIRST_WAIT_S, 0
        while True:
            self._bucket.take()
            self.queries += 1
            try:
                answer = self._api.ask(ask, identity)
            except Unavailable as problem:
                tries += 1
                self.last_said = problem.said
                outage = self._failed_in_row >= OUTAGE
                if not outage and tries == TRIES:
                    self._failed_in_row += 1
                    return None
                if outage and (self._answered_at is None or self._clock() - self._answered_at > GIVE_UP_S):
                    since = "so far" if self._answered_at is None else f"for {GIVE_UP_S / 3600:.0f} hours"
                    raise FlickrError(f"Flickr: no answer {since}: {problem.said}; one", hint="the same command goes on from here") from None
                pause_s = max(problem.retry_after_s, wait_s)
                self._tell(f"{problem.said}; again in {pause_s:,.0f} s")
                self._sleep(pause_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            else:
                self._failed_in_row, self._answered_at = 0, self._clock()
                return answer

    def _tell(self, waits: str) -> None:
        if self._progress is not None:
            self._progress(self._done, self._total, waits)


def _identity(record: Record | BadRow) -> str | None:
    """The id of a photo; None where the row has none."""
    text = "" if isinstance(record, BadRow) else str(record.get("id", "")).strip()
    return text if text.isascii() and text.isdigit() and len(text) <= 20 else None


def _ids(source: Source) -> list[str]:
    if "id" not in source.header():
        raise TableError(f"{source.name}: id: no such column; the table has {', '.join(source.header())}", hint="name the column of Flickr's ids so")
    ids = dict.fromkeys(identity for record in source.records() if (identity := _identity(record)) is not None)
    if not ids:
        raise TableError(f"{source.name}: no row with a Flickr id; a number, as in www.flickr.com/photos/OWNER/ID")
    return list(ids)


def _rows(source: Source, known: Answers, url: str | None, found: Counted) -> Iterator[Record]:
    """Each row that has counts, whole; ``found`` counts the others."""
    more = [name for name in source.header() if name not in COLUMNS]
    for record in source.records():
        found.rows += 1
        identity = _identity(record)
        if identity is None or isinstance(record, BadRow):
            found.no_id += 1
            continue
        info, favorites = known.get(identity, "info"), known.get(identity, "favorites")
        gone = next((answer["gone"] for answer in (info, favorites) if answer is not None and "gone" in answer), None)
        if gone is not None:
            found.gone[gone] += 1
        elif info is not None and info["media"] == "video":
            found.videos += 1
        elif info is None or favorites is None:
            found.unanswered += 1
        else:
            found.pictures += 1
            yield _row(record, more, info, favorites["total"], url)


def _text(value: Any) -> str:
    try:
        return as_text(value)
    except Bad:  # half a character, which no file of text can hold
        return str(value).encode(errors="replace").decode()


def _row(record: Record, more: Sequence[str], info: dict[str, Any], favorites: int, url: str | None) -> Record:
    answered = {name: info[name] for name in ("owner", "uploaded_at", "taken_at", "page")} | {
        "licence": licence_of(info["licence"]),
        "tags": json.dumps(info["tags"], ensure_ascii=False) if info["tags"] else "",
    }
    given = {name: _text(record.get(name)) for name in (*more, *answered, "path")}
    address, path = address_of(info, url), given["path"]
    return {
        **given,
        **{name: value for name, value in answered.items() if is_unknown(given[name])},
        "id": info["id"],
        "path": address if address and (not path or is_url(path)) else path,
        "views": info["views"],
        "comments": info["comments"],
        "favorites": favorites,
        "observed_at": info["observed_at"],
    }
