"""One cell of a table, read as a time."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from shards.sources.cells import NUMBER, Bad, Unreadable, is_empty, shown

BAD_YEAR = "a bare year is not a date"
ACCEPTED = "ISO 8601 or unix seconds"
# As unix seconds, 1973 to 2100. Fewer digits are a year or a date in ISO 8601's basic form, more are milliseconds.
_UNIX_SECONDS = (100_000_000, 4_102_444_800)
_LONGEST = 100  # characters of a date
UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
_FIRST, _LAST = datetime(1973, 1, 1, tzinfo=UTC), datetime(2101, 1, 1, tzinfo=UTC)  # before the first: what stands for no date
_YEAR = re.compile(r"[0-9]{4}(\.0*)?")
_YEAR_FIRST = re.compile(r"([0-9]{4})([-/.:])([0-9]{1,2})\2([0-9]{1,2})(?:[T ,]+(.*))?", re.DOTALL)
_YEAR_LAST = re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})(?:[T ,]+(.*))?", re.DOTALL)
_SHORT_YEAR = re.compile(r"[0-9]{1,2}([-/.])[0-9]{1,2}\1[0-9]{2}(?![0-9])")
_COMPACT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})([0-9]{2})")
_CLOCK = re.compile(r"(?<![0-9:])([0-9]{1,2}):([0-9]{2})(?::([0-9]{2})(?:[.,][0-9]+)?)?\s*([AaPp]\.?[Mm]\.?)?")
_ZONE = re.compile(r"(?:(?:Z|UTC|GMT)?\s*([+-])([0-9]{2}):?([0-9]{2})(?:\s*(?:UTC|GMT))?|Z|UTC|GMT)", re.IGNORECASE)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LONG = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december")
_MONTH = {name: number for names in (_MONTHS, _LONG) for number, name in enumerate(names, 1)} | {"sept": 9}
_DAYS = re.compile(r"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*", re.IGNORECASE)


@dataclass(frozen=True)
class DateStyle:
    """How a column writes times where one cell alone does not say."""

    unit: str = "seconds"  # of bare numbers
    day_first: bool | None = None  # of 03/10/2024; None: the column does not say


ISO = DateStyle()


class Undecided(Bad):
    """A date whose day and month may be either way round."""


def as_time(value: Any, style: DateStyle = ISO) -> datetime | None:
    """ISO 8601 (UTC where it names no zone), a date that no two people would read in two ways, or unix time; cut to whole seconds; empty is None."""
    if is_empty(value):
        return None
    if isinstance(value, datetime):
        return _within(_utc(value), value)
    if isinstance(value, date):
        return _within(datetime(value.year, value.month, value.day, tzinfo=UTC), value)
    if isinstance(value, Unreadable):
        raise Bad("bad_date", str(value))
    text = str(value).strip()
    if is_bare_year(value):
        raise Bad("bad_date", f"{text}: {BAD_YEAR}; {ACCEPTED}")
    if (found := number_of(value)) is not None:
        seconds = found / UNITS[style.unit]
        if _UNIX_SECONDS[0] <= seconds <= _UNIX_SECONDS[1]:
            return datetime.fromtimestamp(int(seconds), UTC)
        if seconds > _UNIX_SECONDS[1] and not _COMPACT.fullmatch(text):
            raise Bad("bad_date", f"{text} {style.unit} is after 2100{' (milliseconds?)' if style == ISO else ''}; {ACCEPTED}")
    try:
        if len(text) > _LONGEST:
            raise ValueError
        time = _of_text(text, style)
    except (ValueError, OverflowError) as error:
        if isinstance(error, Bad):
            raise
        raise Bad("bad_date", f"{shown(value)} is not a date; {ACCEPTED}") from None
    return _within(time, value)


def number_of(value: Any) -> Decimal | None:
    """The number that a value is, or is written as."""
    text = str(value).strip()
    return Decimal(text) if not isinstance(value, (bool, date)) and NUMBER.fullmatch(text) else None


def unit_of(value: Any) -> str | None:
    """In what unit a bare number would be a time of 1973 to 2100."""
    number = number_of(value)
    if number is None:
        return None
    return next((unit for unit, scale in UNITS.items() if _UNIX_SECONDS[0] * scale <= number <= _UNIX_SECONDS[1] * scale), None)


def day_first(value: Any) -> bool | None:
    """Whether a date as 13/10/2024 has its day first; None where it may be either way, or is not of that form."""
    match = _YEAR_LAST.fullmatch(str(value).strip())
    if match is None or match[2] == "." or (int(match[1]) > 12) == (int(match[3]) > 12):
        return None
    return int(match[1]) > 12


def says_nothing(value: Any) -> bool:
    """Whether day and month of a date as 05/05/2024 are the same number: it is one of its column, and does not tell how the others are read."""
    match = _YEAR_LAST.fullmatch(str(value).strip())
    return match is not None and match[2] != "." and int(match[1]) == int(match[3])


def is_bare_year(value: Any) -> bool:
    return not isinstance(value, (bool, date)) and bool(_YEAR.fullmatch(str(value).strip()))


def _of_text(text: str, style: DateStyle) -> datetime:
    """Raises ValueError for what is no date, Bad where that has a reason."""
    try:
        return _utc(datetime.fromisoformat(text))
    except ValueError:
        pass
    if match := _COMPACT.fullmatch(text):
        return datetime(*(int(part) for part in match.groups()), tzinfo=UTC)  # type: ignore[misc,arg-type]
    if match := _YEAR_FIRST.fullmatch(text):
        return _at(int(match[1]), int(match[3]), int(match[4]), match[5] or "")
    if match := _YEAR_LAST.fullmatch(text):
        first, second, year = int(match[1]), int(match[3]), int(match[4])
        is_first = True if match[2] == "." else style.day_first  # with points the day comes first everywhere
        if first == second:
            is_first = True
        if is_first is None:
            raise Undecided("bad_date", f"{shown(text)} may have its day or its month first; {ACCEPTED}")
        return _at(year, second, first, match[5] or "") if is_first else _at(year, first, second, match[5] or "")
    if _SHORT_YEAR.match(text):
        raise Bad("bad_date", f"{shown(text)} has a year of two digits; {ACCEPTED}")
    return _of_words(text)


def _of_words(text: str) -> datetime:
    """A date with the month's name, in English, as mail, Twitter, Apache and people write it."""
    clock = _CLOCK.search(text)
    time = clock[0] if clock else ""
    rest = text.replace(time, " ", 1) if clock else text
    if match := re.search(rf"(?<=[\s\d]){_ZONE.pattern}(?=\s|$|\))", rest, re.IGNORECASE) if clock else None:
        time, rest = f"{time} {match[0]}", rest[: match.start()] + " " + rest[match.end() :]
    words = [word for word in re.split(r"[\s,/-]+", rest.replace("()", "")) if word]
    if words and _DAYS.fullmatch(words[0].rstrip(".")):
        words = words[1:]
    months = [word for word in words if word.rstrip(".").casefold() in _MONTH]
    years = [word for word in words if re.fullmatch("[0-9]{4}", word)]
    days = [match[1] for word in words if (match := re.fullmatch("([0-9]{1,2})(?:st|nd|rd|th)?", word))]
    if not (len(months) == len(years) == len(days) == 1 and len(words) == 3):
        raise ValueError
    return _at(int(years[0]), _MONTH[months[0].rstrip(".").casefold()], int(days[0]), time)


def _at(year: int, month: int, day: int, time: str) -> datetime:
    """Raises ValueError where the day has no such time."""
    match = re.fullmatch(rf"(?:{_CLOCK.pattern})?\s*(?:{_ZONE.pattern})?", time.strip(), re.IGNORECASE)
    if match is None:
        raise ValueError
    hours, minutes, seconds, half, sign, zone_hours, zone_minutes = match.groups()
    hour = int(hours or 0)
    if half:
        if not 1 <= hour <= 12:
            raise ValueError
        hour = hour % 12 + (12 if half[0] in "Pp" else 0)
    offset = timedelta(hours=int(zone_hours or 0), minutes=int(zone_minutes or 0))
    local = datetime(year, month, day, hour, int(minutes or 0), int(seconds or 0), tzinfo=UTC)
    return local + offset if sign == "-" else local - offset


def _within(time: datetime, value: Any) -> datetime:
    if not _FIRST <= time < _LAST:
        raise Bad("bad_date", f"{shown(str(value))} is before 1973 or after 2100; {ACCEPTED}")
    return time


def _utc(time: datetime) -> datetime:
    aware = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    return aware - timedelta(microseconds=aware.microsecond)
