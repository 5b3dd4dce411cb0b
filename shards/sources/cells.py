"""One cell of a table, read as a count, a time or a text."""

import json
import math
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

BAD_YEAR = "a bare year is not a date"
MAX_COUNT = 2**63 - 1
MAX_NAME = 1000  # characters of an id or an owner: arrays of text take the longest one for all
# As unix seconds, 1973 to 2100. Fewer digits are a year or a date in ISO 8601's basic form, more are milliseconds.
_UNIX_SECONDS = (100_000_000, 4_102_444_800)
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?")
_YEAR = re.compile(r"[0-9]{4}(\.0*)?")


class Bad(ValueError):
    """A cell that cannot be used: the reason for the ledger and the detail, ``<found>; <accepted>``."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(detail)


def is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or (isinstance(value, str) and not value.strip())


def as_text(value: Any) -> str:
    """The value as the table wrote it; lists and mappings as JSON; empty and NaN as ""."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (list, dict)):
        value = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    text = str(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Bad("bad_text", f"{text!a} holds half a character; Unicode text") from None
    return text


def as_name(value: Any) -> str:
    text = as_text(value)
    if len(text) > MAX_NAME:
        raise Bad("bad_text", f"{len(text)} characters; at most {MAX_NAME}")
    return text


def as_count(value: Any) -> int:
    """A whole number from 0 to 2^63 - 1; 12.0 is 12."""
    accepted = "a whole number from 0"
    if is_empty(value):
        raise Bad("bad_count", f"empty; {accepted}")
    text = str(value).strip()
    if isinstance(value, bool) or not _NUMBER.fullmatch(text):
        raise Bad("bad_count", f"{_shown(value)} is not a number; {accepted}")
    number = Decimal(text)
    if number < 0:
        raise Bad("bad_count", f"{text} is negative; {accepted}")
    if number > MAX_COUNT:
        raise Bad("bad_count", f"{text} does not fit 64 bits; {accepted}")
    if number != number.to_integral_value():
        raise Bad("bad_count", f"{text} is fractional; {accepted}")
    return int(number)


def as_time(value: Any) -> datetime | None:
    """ISO 8601 (UTC where it names no zone) or unix seconds, cut to whole seconds; empty is None."""
    accepted = "ISO 8601 or unix seconds"
    if is_empty(value):
        return None
    if isinstance(value, datetime):
        return _utc(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    text = str(value).strip()
    if is_bare_year(value):
        raise Bad("bad_date", f"{text}: {BAD_YEAR}; {accepted}")
    if _NUMBER.fullmatch(text) and not isinstance(value, bool):
        seconds = Decimal(text)
        if _UNIX_SECONDS[0] <= seconds <= _UNIX_SECONDS[1]:
            return datetime.fromtimestamp(int(seconds), UTC)
        if seconds > _UNIX_SECONDS[1]:
            raise Bad("bad_date", f"{text} seconds is after 2100 (milliseconds?); {accepted}")
    try:
        return _utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise Bad("bad_date", f"{_shown(value)} is not a date; {accepted}") from None


def is_bare_year(value: Any) -> bool:
    return not isinstance(value, (bool, date)) and bool(_YEAR.fullmatch(str(value).strip()))


def _utc(time: datetime) -> datetime:
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return aware - timedelta(microseconds=aware.microsecond)


def _shown(value: Any) -> str:
    text = ascii(value)
    return text if len(text) <= 60 else text[:57] + "..."
