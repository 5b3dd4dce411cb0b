"""In what style a column writes its counts: one that the whole column shows, or none."""

import re
from dataclasses import dataclass, field
from typing import Any

from shards.sources.cells import NUMBER, PLAIN, CountStyle, Rounded, grouped_by

_ONE_POINT = re.compile(r"[1-9][0-9]{0,2}\.[0-9]{3}")  # thousands, or a fraction of three digits
_COMMA = re.compile(r"[0-9]+,[0-9]*")
_WORDS = "[kmbt]|mio|mrd|mil|tsd|mln|thousand|million|billion|lakh|crore|万|亿|千|천|만|억"
_ROUNDED = re.compile(  # 1.2K, 3 Mio, 1.2万, 10,000+, >1000: the popular ones have lost their digits
    rf"[<>~≈≤≥]\s*[0-9][0-9.,' ]*|[0-9][0-9.,']*\s*(?:{_WORDS})\.?\+?|[0-9][0-9.,' ]*\+", re.IGNORECASE
)
_NAMED = {",": "commas", ".": "points", " ": "blanks", "'": "apostrophes", "_": "underscores"}
_SURE = 10  # so many numbers as 12.000, and no others, are whole numbers with three decimals


@dataclass
class CountsSeen:
    """A column of counts, value by value; the first of each kind is kept."""

    grouped: dict[str, str] = field(default_factory=dict)  # by what parts the thousands, an example
    rounded: list[str] = field(default_factory=list)
    num_rounded: int = 0
    one_point: str = ""  # as 1.234: thousands, or a fraction
    num_one_point: int = 0
    num_point_zeros: int = 0  # of them, as 1.000
    point: str = ""  # a decimal point that can be nothing else
    comma: str = ""  # a decimal comma that can be nothing else
    exponent: str = ""
    num_values: int = 0
    short: str = ""  # the first that a short float may have rounded

    def see(self, value: Any) -> None:
        self.num_values += 1
        if isinstance(value, Rounded):
            self.short = self.short or str(value)
        if not isinstance(value, str) or (value.isascii() and value.isdigit()):
            return
        text = value.strip().lstrip("+-")
        if NUMBER.fullmatch(text):
            if "e" in text or "E" in text:
                self.exponent = self.exponent or text
            elif _ONE_POINT.fullmatch(text):
                self.one_point = self.one_point or text
                self.num_one_point += 1
                self.num_point_zeros += text.endswith(".000")
            elif "." in text:
                self.point = self.point or text
        elif (mark := grouped_by(text)) is not None and not text.startswith("0"):
            self.grouped.setdefault(mark, text)
        elif _COMMA.fullmatch(text):
            self.comma = self.comma or text
        elif _ROUNDED.fullmatch(text):
            self.num_rounded += 1
            self.rounded = (self.rounded or []) + [text] if len(self.rounded) < 3 else self.rounded

    def style(self) -> tuple[CountStyle, str]:
        """How to read the column, and what is wrong with it: "" for nothing, else ``<found>; <accepted>``."""
        accepted = "whole numbers in one style, as 1234567"
        if self.rounded:
            examples = ", ".join(repr(text) for text in self.rounded)
            return PLAIN, f"{self.num_rounded:,} of {self.num_values:,} are rounded ({examples}), the popular ones; {accepted}"
        shown = dict(self.grouped)
        point, comma = self.point, self.comma
        if self.one_point and (shown.get(".") or comma):
            shown.setdefault(".", self.one_point)
        elif self.one_point and (point or (self.num_point_zeros == self.num_values >= _SURE)):
            point = point or self.one_point
        elif self.one_point and not shown:
            return PLAIN, f"{self.one_point!r} may be a number of thousands or a fraction, and no other value tells; {accepted}"
        elif self.one_point:
            shown.setdefault(".", self.one_point)
        two = list(shown.values())
        two += [point] if point and "." in shown else []
        two += [comma] if comma and "," in shown else []
        two += [point, comma] if point and comma else []
        if len(two) > 1:
            return PLAIN, f"two styles, as {two[0]!r} and {two[1]!r}; {accepted}"
        return CountStyle(next(iter(shown), ""), "," if comma else "."), ""

    def remark(self, name: str, style: CountStyle) -> str:
        """What is said of a style that is taken; "" of the plain one."""
        if self.short:
            return f"{name}: a column of short floats, which have rounded the largest counts, as {float(self.short):,.0f}"
        if style.thousands:
            example = self.grouped.get(style.thousands) or self.one_point
            return f"{name}: thousands are parted by {_NAMED[style.thousands]}: {example!r} is {style.plain(example)}"
        if self.one_point and not self.point:
            return f"{name}: points are decimal points: {self.one_point!r} is {int(float(self.one_point))}"
        if style.decimal == ",":
            return f"{name}: a comma is the decimal point: {self.comma!r} is {style.plain(self.comma)}"
        return f"{name}: some are written with an exponent, as {self.exponent!r}, maybe rounded" if self.exponent else ""
