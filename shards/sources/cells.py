"""One cell of a table, read as a text, a name or a count."""

import json
import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

MAX_COUNT = 2**63 - 1
MAX_NAME = 1000  # characters of an id or an owner: arrays of text take the longest one for all
MAX_PATH = 4096  # characters
MAX_WHOLE = 2**53  # up to here floating numbers hold every whole one
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?")
_NOTHING = {"nan", "null", "none", "<na>"}  # in lower case: what programs write where there is nothing, and nobody as a name
_UNKNOWN = _NOTHING | {"nat", "nil", "na", "n/a", "n.a.", "#n/a", "#nv", "(null)", "undefined", "missing", "unknown", ".", "-", "--", "–", "—", "?"}
_UNKNOWN |= {"\\n"}  # MySQL's and PostgreSQL's
_DIGITS = r"[0-9]{1,3}"
_ENDS = {",": r"(?:\.[0-9]*)?", ".": "(?:,[0-9]*)?"}
_GROUPED = {  # by what parts the thousands: a number written with it
    ",": re.compile(rf"{_DIGITS}(?:,[0-9]{{2,3}})*,[0-9]{{3}}{_ENDS[',']}"),  # also 12,34,567, as in India
    ".": re.compile(rf"{_DIGITS}(?:\.[0-9]{{3}})+{_ENDS['.']}"),
    " ": re.compile(rf"{_DIGITS}(?:[ \u00a0\u2009\u202f][0-9]{{3}})+(?:[.,][0-9]*)?"),
    "'": re.compile(rf"{_DIGITS}(?:['\u2019][0-9]{{3}})+(?:[.,][0-9]*)?"),
    "_": re.compile(rf"{_DIGITS}(?:_[0-9]{{3}})+(?:\.[0-9]*)?"),
}
_SEPARATORS = {",": ",", ".": ".", " ": " \u00a0\u2009\u202f", "'": "'\u2019", "_": "_"}


class Bad(ValueError):
    """A cell that cannot be used: the reason for the ledger and the detail, ``<found>; <accepted>``."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(detail)


class Unreadable(str):
    """What stands for a value that Python has no object for, and says what it is: ``<found>; <accepted>``."""


class Rounded(float):
    """A number of a column of 32- or 16-bit floats beyond the whole numbers that these tell apart."""


@dataclass(frozen=True)
class CountStyle:
    """How a column writes whole numbers."""

    thousands: str = ""  # what parts the thousands: one of ``, . ' _`` and a blank; "": nothing
    decimal: str = "."

    def plain(self, text: str) -> str:
        """The number as programs write it; what is written otherwise stays as it is."""
        sign, digits = (text[0], text[1:]) if text[:1] in ("+", "-") else ("", text)
        if self.thousands and _GROUPED[self.thousands].fullmatch(digits):
            whole, decimal, rest = digits, "", ""
            for mark in ",.":
                if mark != self.thousands and mark in digits:
                    whole, decimal, rest = *digits.partition(mark)[:1], ".", digits.partition(mark)[2]
            for separator in _SEPARATORS[self.thousands]:
                whole = whole.replace(separator, "")
            return sign + whole + decimal + rest
        if self.decimal == "," and re.fullmatch(r"[0-9]+,[0-9]*", digits):
            return sign + digits.replace(",", ".")
        return text


PLAIN = CountStyle()


def grouped_by(text: str) -> str | None:
    """What parts the thousands of a number that is written with something between them; None of another text."""
    return next((mark for mark, pattern in _GROUPED.items() if pattern.fullmatch(text)), None)


def is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value)) or (isinstance(value, str) and not value.strip())


def is_unknown(value: Any) -> bool:
    """Whether an optional value is not there: empty, or one of the words by which programs say so."""
    return is_empty(value) or (isinstance(value, str) and value.strip().casefold() in _UNKNOWN)


def is_nothing(value: Any) -> bool:
    """Whether an id or a path is not there: empty, or a word that no person would choose."""
    return is_empty(value) or (isinstance(value, str) and value.strip().casefold() in _NOTHING)


def as_text(value: Any) -> str:
    """The value as the table wrote it; lists and mappings as JSON; empty and NaN as ""."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, Unreadable):
        raise Bad("bad_text", str(value))
    if isinstance(value, (list, dict)):
        value = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    text = str(value)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Bad("bad_text", f"{shown(text)} holds half a character; Unicode text") from None
    return text


def as_name(value: Any, whole: bool = False) -> str:
    """A text without the blanks around it; ``whole`` where the column holds whole numbers that a program has written with a point."""
    text = as_text(value).strip()
    if whole:
        text = as_whole(text)
    if len(text) > MAX_NAME:
        raise Bad("bad_text", f"{len(text)} characters; at most {MAX_NAME}")
    return text


def as_whole(text: str) -> str:
    """``1.0`` and ``1e3`` as 1 and 1000; a text that is no whole number, or has no point or exponent, as it is."""
    if text.lstrip("+-").isdecimal() or not NUMBER.fullmatch(text):
        return text
    number = Decimal(text)
    return str(int(number)) if abs(number) <= MAX_WHOLE and number == number.to_integral_value() else text


def as_count(value: Any, style: CountStyle = PLAIN) -> int:
    """A whole number from 0 to 2^63 - 1; 12.0 is 12."""
    accepted = "a whole number from 0"
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    if is_empty(value):
        raise Bad("bad_count", f"empty; {accepted}")
    text = str(value).strip()
    if style != PLAIN and isinstance(value, str):
        text = style.plain(text)
    if isinstance(value, bool) or not NUMBER.fullmatch(text):
        raise Bad("bad_count", f"{shown(value)} is not a number; {accepted}")
    number = Decimal(text)
    if number < 0:
        raise Bad("bad_count", f"{text} is negative; {accepted}")
    if number > MAX_COUNT:
        raise Bad("bad_count", f"{text} does not fit 64 bits; {accepted}")
    if number != number.to_integral_value():
        raise Bad("bad_count", f"{text} is fractional; {accepted}")
    return int(number)


def shown(value: Any) -> str:
    text = ascii(str(value) if isinstance(value, Unreadable) else value)
    return text if len(text) <= 60 else text[:57] + "..."
