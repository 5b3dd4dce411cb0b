"""Geometry of the report's figures: numbers in, places in percent and SVG paths out. Text is set beside them by the page, so that it stays legible
at any width."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SIZE = 1000  # side of the square in which paths are drawn; the page stretches it


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers within [low, high], steps of 1, 2 or 5 times a power of ten, around ``about`` of them."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    return [round(k * step, 12) + 0.0 for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def interval_chart(rows: Sequence[Mapping[str, Any]], key: str, chance: float = 0.0) -> dict[str, Any]:
    """Rows that have an estimate ``key``, each with ``at``: the places of low, value and high in percent of an axis that shows ``chance``."""
    shown = [row for row in rows if key in row]
    low, high = span([chance, *(row[key][end] for row in shown for end in ("low", "high"))])

    def at(value: float) -> float:
        return percent(value, low, high)

    return {
        "rows": [{**row, "at": {end: at(row[key][end]) for end in ("low", "value", "high")}} for row in shown],
        "ticks": [{"at": at(tick), "value": tick} for tick in ticks(low, high)],
        "chance": at(chance),
        "key": key,
    }


def line_chart(lines: Iterable[Mapping[str, Any]], references: Iterable[Mapping[str, Any]] = (), *, log: bool | None = None) -> dict[str, Any]:
    """Curves over pictures seen.

    Args:
        lines: each with ``points``, (step, value) ascending; other keys are passed on.
        references: horizontal lines, each with ``value``.
        log: a logarithmic y axis; ``None`` for one where values are positive and span more than a factor of 20.
    """
    lines = [{**line, "points": [(x, y) for x, y in line["points"] if math.isfinite(y)]} for line in lines]
    lines, references = [line for line in lines if line["points"]], list(references)
    values = [y for line in lines for _, y in line["points"]] + [reference["value"] for reference in references]
    if not values:
        return {"lines": [], "references": [], "x_ticks": [], "y_ticks": [], "log": False}
    if log is None:
        log = min(values) > 0 and max(values) > 20 * min(values)
    scale = math.log10 if log else float
    low, high = span([scale(value) for value in values])
    longest = max((x for line in lines for x, _ in line["points"]), default=1) or 1
    powers = [10.0**k for k in range(math.ceil(low), math.floor(high) + 1)] if log else []
    y_ticks = powers if len(powers) > 1 else [10.0**tick for tick in ticks(low, high)] if log else ticks(low, high)

    def place(x: float, y: float) -> str:
        return f"{SIZE * x / longest:.1f} {SIZE * (1 - percent(scale(y), low, high) / 100):.1f}"

    return {
        # The short last step makes a curve of one point a dot.
        "lines": [{**line, "path": "M" + "L".join(place(x, y) for x, y in line["points"]) + "h.1"} for line in lines],
        "references": [{**reference, "at": percent(scale(reference["value"]), low, high)} for reference in references],
        "x_ticks": [{"at": percent(tick, 0, longest), "value": tick} for tick in ticks(0, longest, 4)],
        "y_ticks": [{"at": percent(scale(tick), low, high), "value": tick} for tick in y_ticks],
        "log": log,
    }


def percent(value: float, low: float, high: float) -> float:
    return round(100 * (value - low) / (high - low), 3) + 0.0


def span(values: Sequence[float]) -> tuple[float, float]:
    """An axis with a little air around ``values``, never empty."""
    low, high = min(values), max(values)
    air = 0.05 * (high - low) or 0.1 * abs(high) or 0.1
    return low - air, high + air
