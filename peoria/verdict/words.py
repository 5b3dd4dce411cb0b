"""How targets, predictors and numbers are called in every sentence of a verdict."""

from collections.abc import Sequence
from typing import NamedTuple

from peoria.stats import estimates
from peoria.verdict.schema import Difference, Measure, Predictor, Target
from peoria.verdict.values import Interval


class Names(NamedTuple):
    """How one target is called, and its measures' keys."""

    name: str
    popularity: str
    symbol: str
    pooled: Measure
    given_context: Measure
    within_owner: Measure
    pair_share: Measure
    neighbours: Measure


TARGETS: dict[Target, Names] = {
    "views": Names("Views", "views", "ρ", "rho_views", "rho_given_context", "pair_accuracy", "pair_share", "rho_neighbours"),
    "favorites": Names("Favourites", "favourites", "Gini", "gini_fav", "fav_given_context", "fav_pair_accuracy", "fav_pair_share", "fav_neighbours"),
}


def estimate(found: Interval | estimates.Interval, sign: bool = False) -> str:
    """``0.213 [0.190, 0.236]``; with a sign where it is a difference."""
    value, low, high = (number(one, sign) for one in (found.value, found.low, found.high))
    return f"{value} [{low}, {high}]"


def other_way(found: Interval, chance: float = 0.0) -> str:
    """What is added to an estimate whose whole interval lies below chance."""
    return ", which points the other way" if found.high < chance else ""


def number(value: float, sign: bool = False) -> str:
    return f"{value:{'+' if sign else ''}.3f}".replace("-", "−")


def percent(found: Interval) -> str:
    return f"{100 * found.value:.1f} % [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def named(predictor: Predictor | Difference) -> str:
    """How a sentence calls a predictor: "the colour ridge baseline", "the paper's regression"."""
    return f"the {predictor.label} baseline" if predictor.kind in ("learned", "context", "trivial") else predictor.label


def first_capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def listed(parts: Sequence[str], last: str = "and") -> str:
    return f" {last} ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)
