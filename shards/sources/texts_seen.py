"""What a column of names or of times holds as a whole: numbers that were ids once, blanks, words for nothing, units, the order of day and month."""

import unicodedata
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from shards.sources.cells import MAX_NAME, MAX_WHOLE, NUMBER, Bad, Rounded, is_unknown
from shards.sources.dates import DateStyle, Undecided, as_time, day_first, is_bare_year, says_nothing, unit_of
from shards.words import counted

_MAX_CASES = 50_000  # names that are compared without regard to case, at most


@dataclass
class NamesSeen:
    """A column of ids, of owners, or of what a path is made of."""

    num_values: int = 0
    num_trimmed: int = 0
    num_unknown: int = 0
    unknown: str = ""  # the first word for nothing
    numbers_only: bool = True
    floating: str = ""  # the first that was written with a point or an exponent
    fraction: bool = False
    lost: str = ""  # the first that is beyond the whole numbers that a float can hold, or that a spreadsheet has cut
    cases: dict[str, str] = field(default_factory=dict)
    two_cases: tuple[str, str] | None = None

    def see(self, value: Any, *, cases: bool = False) -> None:
        if value is None:
            return
        text = value if isinstance(value, str) else str(value)
        if not text or (text.isspace()):
            return
        stripped = text.strip()
        self.num_trimmed += len(stripped) != len(text)
        if is_unknown(stripped):
            if isinstance(value, str):
                self.num_unknown += 1
                self.unknown = self.unknown or stripped
            return
        self.num_values += 1
        if self.numbers_only:
            self._see_number(value, stripped)
        if cases and self.two_cases is None and len(self.cases) < _MAX_CASES and len(stripped) <= MAX_NAME:
            first = self.cases.setdefault(_looks(stripped), stripped)
            if first != stripped:
                self.two_cases = (first, stripped)

    def _see_number(self, value: Any, text: str) -> None:
        if (digits := text.removeprefix("-")).isdecimal():
            self.numbers_only = not (digits[0] == "0" and len(digits) > 1)
        elif text[0] == "+" or not NUMBER.fullmatch(text):
            self.numbers_only = False
        else:
            number = Decimal(text)
            self.floating = self.floating or text
            self.fraction = self.fraction or number != number.to_integral_value()
            if abs(number) > MAX_WHOLE or isinstance(value, Rounded) or ("E+" in text and len(text) <= 11):
                self.lost = self.lost or text

    @property
    def whole(self) -> bool:
        """Whether the column is of whole numbers, some of which a program has written with a point."""
        return bool(self.numbers_only and self.floating and not self.fraction)

    def problem(self) -> str:
        """``<found>; <accepted>`` of a column whose numbers cannot be told apart any more; "" for none."""
        if self.whole and self.lost:
            return f"numbers that have lost digits, as {self.lost}; text, or whole numbers up to 2^53"
        return ""

    def remarks(self, name: str, *, owner: bool) -> list[str]:
        found = []
        if self.whole:
            found.append(f"{name}: whole numbers written with a point, as {self.floating}, are read as whole numbers")
        if self.num_trimmed:
            found.append(f"{name}: blanks around {counted(self.num_trimmed, 'value')} are cut off")
        if owner and self.num_unknown:
            found.append(f"{name}: unknown in {counted(self.num_unknown, 'row')} that say so, as {self.unknown!r}")
        if self.two_cases:
            one, other = self.two_cases
            if one.casefold() == other.casefold():
                found.append(f"{name}: names that differ in case alone are two owners, as {one!r} and {other!r}")
            else:
                found.append(f"{name}: names that look alike are two owners, as {one!a} and {other!a}")
        return found


def _looks(name: str) -> str:
    """The same for two names that a reader takes for one: in another case, with other blanks or invisible letters, or composed otherwise."""
    if not name.isascii():
        name = "".join(letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
    return " ".join(name.split()).casefold()


@dataclass
class DatesSeen:
    """A column of times."""

    num_values: int = 0
    num_years: int = 0
    num_read: int = 0  # that are times whatever the others are
    num_undecided: int = 0
    num_turned: int = 0  # that are no times as they stand, but may be with the day first or last
    units: dict[str, int] = field(default_factory=dict)
    first: dict[bool, str] = field(default_factory=dict)  # by whether the day comes first, an example that says so
    number: str = ""
    year: str = ""
    bad: str = ""  # why the first is no time

    def see(self, value: Any) -> None:
        if is_unknown(value):
            return
        self.num_values += 1
        if (unit := unit_of(value)) is not None:
            self.units[unit] = self.units.get(unit, 0) + 1
            self.number = self.number or str(value).strip()
            return
        if is_bare_year(value):
            self.num_years += 1
            self.year = self.year or str(value)
            return
        if (first := day_first(value)) is not None:
            self.first.setdefault(first, str(value).strip())
            self.num_turned += 1
            return
        try:
            as_time(value)
            self.num_read += not says_nothing(value)
            self.num_undecided += says_nothing(value)
        except Undecided as bad:
            self.num_undecided += 1
            self.bad = self.bad or bad.detail
        except Bad as bad:
            self.bad = self.bad or bad.detail

    def style(self) -> DateStyle:
        unit = next(iter(self.units)) if len(self.units) == 1 else "seconds"
        return DateStyle(unit, next(iter(self.first)) if len(self.first) == 1 else None)

    def is_blank(self, style: DateStyle) -> bool:
        """Whether there are values, and none of them can be read."""
        turned = self.num_turned + self.num_undecided if style.day_first is not None else 0
        return self.num_values > 0 and not (self.num_read + turned + self.units.get(style.unit, 0))

    def why(self, style: DateStyle) -> str:
        """Why the first is no time."""
        if len(self.first) == 2:
            return f"{self.first[True]!r} has its day first and {self.first[False]!r} its month; ISO 8601 or unix seconds"
        return self.bad

    def remark(self, name: str, style: DateStyle) -> str:
        found = []
        if style.unit != "seconds":
            found.append(f"unix {style.unit}, as {self.number}")
        if style.day_first is not None:
            order = "the day" if style.day_first else "the month"
            found.append(f"{order} comes first, as {self.first[style.day_first]!r} says")
        elif len(self.first) == 2:
            found.append(f"{self.first[True]!r} has its day first and {self.first[False]!r} its month: dates of that form are unknown")
        return f"{name}: {'; '.join(found)}" if found else ""
