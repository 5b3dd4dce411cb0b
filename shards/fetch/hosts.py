"""What is known of a host while pictures of it are fetched: how long it is to be left alone, and when it is given up."""

import asyncio
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from shards.errors import PictureError
from shards.fetch.rules import TRIED_AGAIN

AWAY_AFTER = 8  # attempts, one after another, that nobody answered


class Failed(PictureError):
    """One attempt."""

    def __init__(self, reason: str, detail: str, *, after: float = 0.0, unreached: bool = False, is_last: bool = False) -> None:
        super().__init__(reason, detail)
        self.after = after  # seconds that the server wants to be left alone
        self.unreached = unreached  # no connection came about
        self.unanswered = unreached or reason == "fetch_timeout"
        self.is_last = is_last or reason not in TRIED_AGAIN


@dataclass
class Host:
    """What is known of one; times by the loop's clock."""

    slots: asyncio.Semaphore
    not_before: float = 0.0
    wait: float = 0.0  # the last one for a connection
    has_answered: bool = False
    num_unanswered: int = 0  # attempts, one after another
    unanswered_since: float = 0.0
    last: Failed | None = None  # of these
    users: int = 0

    def answered(self) -> None:
        self.has_answered, self.wait, self.num_unanswered = True, 0.0, 0

    def unanswered(self, failed: Failed, now: float, backoff: float, most: float) -> None:
        if not self.num_unanswered:
            self.unanswered_since = now
        self.num_unanswered, self.last = self.num_unanswered + 1, failed
        if failed.unreached and self.not_before <= now:  # the first of those that were under way
            self.wait = min(max(2 * self.wait, backoff), most)
            self.not_before = now + self.wait

    def given_up(self, now: float, patience: float) -> Failed | None:
        """Why, where its pictures are not tried any more in this run; a host that never answered is given up sooner."""
        is_away = self.num_unanswered >= AWAY_AFTER and now >= self.unanswered_since + patience / (1 if self.has_answered else 10)
        return self.last if is_away else None


def retry_after_seconds(header: str | None) -> float:
    """What a header Retry-After says, a number of seconds or a date; 0 for what is neither."""
    text = (header or "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?", text):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max((date - datetime.now(UTC)).total_seconds(), 0.0)
