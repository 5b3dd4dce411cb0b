"""Geometry of the report's figures: numbers in, places in percent and SVG paths out. Text is set beside them by the page, so that it stays legible
at any width."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from peoria.verdict.values import Interval

SIZE = 1000  # side of the square in which paths are drawn; the page stretches it
DOT = "h.1"  # a short stroke with round ends is a dot, round however the page stretches the square
Scale = Literal["linear", "log", "log1p"]
SCALES: dict[Scale, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "linear": (float, float),
    "log": (math.log10, lambda place: 10.0**place),
    "log1p": (lambda value: math.log10(1 + value), lambda place: 10.0**place - 1),
}
Shape = Literal["line", "dots", "area", "whiskers"]


class Place(NamedTuple):
    """An interval's places on an axis, in percent from its low end."""

    low: float
    value: float
    high: float


@dataclass(frozen=True)
class Tick:
    """A place on an axis, in percent from its low end, with a number or a text."""

    at: float
    value: float = 0.0
    text: str | None = None  # instead of the number


@dataclass(frozen=True)
class Axis:
    """From ``low`` to ``high``, both as the scale has them (log: of the logarithm)."""

    low: float
    high: float
    scale: Scale = "linear"

    @classmethod
    def around(cls, values: Iterable[float], scale: Scale = "linear", air: float = 0.05) -> "Axis":
        """With a little air around ``values``, never empty; what is not finite, or not positive on a logarithmic axis, is left out."""
        places = [SCALES[scale][0](value) for value in values if math.isfinite(value) and (scale != "log" or value > 0)] or [0.0]
        low, high = min(places), max(places)
        air = air * (high - low) or 0.1 * abs(high) or 0.1
        return cls(0.0 if scale == "log1p" and low <= air else low - air, high + air, scale)

    def at(self, value: float) -> float:
        """In percent from the low end."""
        return round(100 * (SCALES[self.scale][0](value) - self.low) / (self.high - self.low), 3) + 0.0

    def place(self, found: Interval) -> Place:
        return Place(self.at(found.low), self.at(found.value), self.at(found.high))

    def ticks(self, about: int = 5) -> list[Tick]:
        """Round numbers inside, each with its place."""
        back = SCALES[self.scale][1]
        if self.scale == "linear":
            values = ticks(self.low, self.high, about)
        else:
            powers = range(math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9) + 1)
            values = [10.0**k for k in powers if k % max(1, math.ceil(len(powers) / 7)) == 0]
            if len(values) < 2:
                values = [step * 10.0**k for k in range(math.floor(self.low), math.ceil(self.high)) for step in (1, 2, 5)]
            if sum(back(self.low) <= value <= back(self.high) for value in values) < 2:
                values = ticks(back(self.low), back(self.high), about)
            if self.scale == "log1p":
                values = [0.0, *(value for value in values if value > 0)]
        return [Tick(self.at(value), value) for value in values if self.low - 1e-9 <= SCALES[self.scale][0](value) <= self.high + 1e-9]


@dataclass(frozen=True)
class Mark:
    """What is drawn: a line or dots through (x, y), an area or whiskers over (x, low, high)."""

    kind: Shape
    points: Sequence[Sequence[float]]
    role: str  # class of the style sheet
    label: str = ""  # told where the pointer rests


@dataclass(frozen=True)
class Drawn:
    """A mark as an SVG path."""

    role: str
    label: str
    path: str


@dataclass(frozen=True)
class Reference:
    """A line across a chart."""

    value: float
    role: str
    label: str = ""
    at: float = 0.0  # its place in percent, once it is drawn


@dataclass(frozen=True)
class Plot:
    """Marks on two axes, in the order in which they are drawn."""

    marks: tuple[Drawn, ...] = ()
    references: tuple[Reference, ...] = ()
    x_ticks: Sequence[Tick] = ()
    y_ticks: Sequence[Tick] = ()
    log: bool = False  # the y axis


@dataclass(frozen=True)
class Row:
    """A row of a strip: an interval, or dots, or both; places once it is drawn."""

    label: str
    kind: str  # class of the style sheet
    text: str
    found: Interval | None = None
    dots: tuple[float, ...] = ()
    note: str = ""
    at: Place | None = None


@dataclass(frozen=True)
class Strip:
    """Rows on one axis."""

    rows: tuple[Row, ...]  # their dots as places
    ticks: Sequence[Tick]
    chance: float | None  # its place
    lines: tuple[Reference, ...]


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers within [low, high], steps of 1, 2 or 5 times a power of ten, around ``about`` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    return [round(k * step, 12) + 0.0 for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def strip(rows: Sequence[Row], chance: float | None = 0.0, lines: Sequence[Reference] = (), others: Iterable[float] = ()) -> Strip:
    """Rows of one axis, which shows ``chance`` and ``others`` too."""
    values = [end for row in rows if row.found for end in (row.found.low, row.found.value, row.found.high)]
    values += [dot for row in rows for dot in row.dots] + [line.value for line in lines]
    axis = Axis.around([*values, *others, *([] if chance is None else [chance])])
    return Strip(
        tuple(replace(row, at=axis.place(row.found) if row.found else None, dots=tuple(axis.at(dot) for dot in row.dots)) for row in rows),
        axis.ticks(4),
        None if chance is None else axis.at(chance),
        tuple(replace(line, at=axis.at(line.value)) for line in lines),
    )


def plot(x: Axis, y: Axis, marks: Iterable[Mark], references: Iterable[Reference] = (), names: Sequence[tuple[float, str]] | None = None) -> Plot:
    """Marks on two axes, drawn in their order.

    Args:
        references: horizontal lines.
        names: (x, text) instead of round numbers along x.
    """
    return Plot(
        tuple(Drawn(mark.role, mark.label, path) for mark in marks if (path := _path(mark, x, y))),
        tuple(replace(reference, at=y.at(reference.value)) for reference in references),
        x.ticks(4) if names is None else [Tick(x.at(value), text=text) for value, text in names],
        y.ticks(),
        log=y.scale == "log",
    )


def curve_chart(curves: Iterable[Mark], references: Sequence[Reference] = (), *, log: bool | None = None) -> Plot:
    """Curves over pictures seen.

    Args:
        curves: lines through (step, value), ascending; what is not finite is left out.
        log: a logarithmic y axis; ``None`` for one where values are positive and span more than a factor of 20.
    """
    lines = [replace(curve, points=[(x, y) for x, y in curve.points if math.isfinite(y)]) for curve in curves]
    lines = [line for line in lines if line.points]
    values = [y for line in lines for _, y in line.points] + [reference.value for reference in references]
    if not lines:
        return Plot()
    if log is None:
        log = min(values) > 0 and max(values) > 20 * min(values)
    x = Axis(0.0, float(max(x for line in lines for x, _ in line.points)) or 1.0)
    return plot(x, Axis.around(values, "log" if log else "linear"), lines, references)


def _path(mark: Mark, x: Axis, y: Axis) -> str:
    def to(a: float, b: float) -> str:
        return f"{SIZE * x.at(a) / 100:.1f} {SIZE * (1 - y.at(b) / 100):.1f}"

    points = [point for point in mark.points if all(math.isfinite(value) for value in point)]
    if not points:
        return ""
    if mark.kind == "dots":
        return "".join(f"M{to(a, b)}{DOT}" for a, b in points)
    if mark.kind == "whiskers":
        return "".join(f"M{to(a, low)}L{to(a, high)}" for a, low, high in points)
    if mark.kind == "area":
        return "M" + "L".join([to(a, high) for a, _, high in points] + [to(a, low) for a, low, _ in reversed(points)]) + "Z"
    return "M" + "L".join(to(a, b) for a, b in points) + DOT  # the short last step makes a curve of one point a dot
