"""A figure, what it must reach and what it should, and how its value is judged."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ON_OWN = "_on_own_pictures"  # the names of figures end so that were measured on a set given by --pictures


@dataclass(frozen=True)
class Figure:
    """What is measured; ``floor`` fails the run, ``aim`` is where it should be. None for both: told, never judged."""

    name: str
    text: str
    floor: float | None
    aim: float | None
    unit: str = "x"
    lower_is_better: bool = False

    def reaches(self, value: float, wanted: float) -> bool:
        return value <= wanted if self.lower_is_better else value >= wanted


@dataclass(frozen=True)
class Measured:
    """A figure's value, or why there is none."""

    figure: Figure
    value: float | None
    why: str = ""  # why it was not run
    detail: dict[str, Any] = field(default_factory=dict)  # what the value was made of
    interval: tuple[float, float] | None = None  # of 95 %; its upper end is judged, where there is one

    @property
    def judged(self) -> float | None:
        return self.value if self.interval is None else self.interval[1]

    @property
    def verdict(self) -> str:
        if self.value is None or self.judged is None:
            return "not run"
        if self.figure.floor is None or self.figure.aim is None:
            return "told"
        if not self.figure.reaches(self.judged, self.figure.floor):
            return "below floor"
        return "aim" if self.figure.reaches(self.judged, self.figure.aim) else "floor"

    @property
    def text(self) -> str:
        """The value, with its unit; "" where there is none."""
        return "" if self.value is None else value_text(self.value, self.interval, self.figure.unit)


def value_text(value: float, interval: Sequence[float] | None, unit: str) -> str:
    between = "" if interval is None else f" [{interval[0]:.3g}, {interval[1]:.3g}]"
    return f"{value:.3g}{between} {unit}"


class NotRunError(Exception):
    """A figure cannot be measured here; the text says why."""


@dataclass(frozen=True)
class Setting:
    """How the suite runs."""

    work: Path  # made pictures and packed sets; kept between runs
    rounds: int
    peers: str  # the Python that has the other projects' packages
    pictures: Path | None = None  # a packed set to measure on in addition


Group = Callable[[Setting], Iterable[Measured]]


def not_run(figures: Iterable[Figure], why: str) -> list[Measured]:
    return [Measured(figure, None, why) for figure in figures]
