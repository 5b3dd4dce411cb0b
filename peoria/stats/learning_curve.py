"""Would more data help, and what does a split that ignores owners flatter by: rank correlation against the size of train, and the leak."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from peoria.errors import PeoriaError
from peoria.stats.bootstrap import bootstrap_spearman
from peoria.stats.estimates import MIN_OWNERS, Estimate, Resampling, num_units
from peoria.stats.metrics import Floats, effective_owners, spearman
from peoria.verdict.sentences import estimate

EXPONENTS = np.geomspace(0.05, 2.0, 40)  # of the power law; published curves lie between 0.07 and 0.5 (Hestness et al. 2017)
FURTHER = (2, 10)  # times the data
MIN_POINTS = 3  # the power law has three numbers


@dataclass(frozen=True)
class LearningCurvePoint:
    """The same recipe trained on a nested share of train's owners (`peoria.data.subsets`), judged on the same pictures as every other point."""

    fraction: float
    num_owners: int
    num_pictures: int
    value: float  # ρ
    samples: Floats  # [B], the same resamples at each point


@dataclass(frozen=True)
class HeldOut:
    """Pictures that were not trained on: score, views and owner, [N] each."""

    score: ArrayLike
    views: ArrayLike
    owners: ArrayLike


def learning_curve(points: Sequence[LearningCurvePoint], owners: ArrayLike, resampling: Resampling, *, most: float = 1.0) -> dict[str, Any]:
    """ρ(n) = a − b·n^(−c) through the points, b ≥ 0, a ≤ ``most``, by least squares on the values and again on each resample (power law:
    Hestness et al. 2017; the usual choice among curves: Viering and Loog 2022).

    Intervals hold the luck of the evaluated owners. They hold neither that of the training runs nor that the law may be another one.

    Args:
        owners: [N], of the pictures on which all points were judged.
        most: a ceiling known from elsewhere, as that of counting noise.

    Returns:
        ``points``, smallest first: ``fraction``, ``num_owners``, ``num_pictures``, ``rho`` {value, low, high}; ``last_doubling`` {value, low,
        high}, ρ of all less ρ of half; ``still_rising``, true where its lower bound is above 0; ``None`` both without these two points.
        ``fit`` {a, b, c, sse, curve: [[n, ρ], …]} and ``further``: [{times, num_pictures, rho {value, low, high}}, …]; ``None`` and empty with
        fewer than 3 points. ``statement``.
    """
    ordered = sorted(points, key=lambda point: point.num_pictures)
    if not ordered or len({point.num_pictures for point in ordered}) < len(ordered) or len({len(point.samples) for point in ordered}) > 1:
        raise PeoriaError(f"points: {[point.num_pictures for point in ordered]} pictures; at least one point, of different sizes, same resamples")
    units, effective, by_fraction = num_units(owners), effective_owners(owners), {point.fraction: point for point in ordered}
    doubling = None
    if 1.0 in by_fraction and 0.5 in by_fraction:
        whole, half = by_fraction[1.0], by_fraction[0.5]
        doubling = asdict(Estimate(whole.value - half.value, whole.samples - half.samples, effective).interval())
    found: dict[str, Any] = {
        "points": [
            {
                "fraction": p.fraction,
                "num_owners": p.num_owners,
                "num_pictures": p.num_pictures,
                "rho": asdict(Estimate(p.value, p.samples, effective).interval()),
            }
            for p in ordered
        ],
        "last_doubling": doubling,
        "still_rising": None if doubling is None else bool(units >= MIN_OWNERS and doubling["low"] > 0),
        "fit": None,
        "further": [],
    }
    if len(ordered) >= MIN_POINTS:
        sizes = np.array([point.num_pictures for point in ordered], np.float64)
        a, b, c, sse = (column[0] for column in fit_power_law(sizes, np.array([[point.value for point in ordered]]), most))
        a_s, b_s, c_s, _ = fit_power_law(sizes, np.stack([point.samples for point in ordered], axis=1), most)
        for times in FURTHER:
            n = times * sizes[-1]
            rho = asdict(Estimate(a - b * n**-c, a_s - b_s * n**-c_s, effective).interval())
            found["further"].append({"times": times, "num_pictures": int(n), "rho": rho})
        grid = np.geomspace(sizes[0], FURTHER[-1] * sizes[-1], 40)
        curve = [[float(n), float(a - b * n**-c)] for n in grid]
        found["fit"] = {"a": float(a), "b": float(b), "c": float(c), "sse": float(sse), "curve": curve}
    return found | {"statement": _said(found, units)}


def fit_power_law(sizes: Floats, values: Floats, most: float = 1.0) -> tuple[Floats, Floats, Floats, Floats]:
    """(a, b, c, sum of squared errors), [B] each, of ``values`` [B, P] at ``sizes`` [P]; the bounds are those of `learning_curve`.

    For one c the rest is linear, so that c is tried on a grid of 40 and a and b are exact.
    """
    best = np.full(len(values), np.inf)
    a, b, c = (np.zeros(len(values)) for _ in range(3))
    for exponent in EXPONENTS:
        x = sizes**-exponent
        centred = x - x.mean()
        slope = np.maximum(-(values @ centred) / (centred @ centred), 0.0)
        level = values.mean(axis=1) + slope * x.mean()
        over = level > most  # the best on that edge has its own b
        slope = np.where(over, np.maximum((most - values) @ x / (x @ x), 0.0), slope)
        level = np.minimum(level, most)
        sse = ((values - level[:, None] + slope[:, None] * x) ** 2).sum(axis=1)
        better = sse < best
        best[better], a[better], b[better], c[better] = sse[better], level[better], slope[better], exponent
    return a, b, c, best


def leak(random_split: HeldOut, owner_split: HeldOut, resampling: Resampling) -> dict[str, Any]:
    """What a split that ignores owners flatters by: ρ on held-out pictures of train's owners less ρ on pictures of other owners.

    The two sets have no owner in common, so owners of each are resampled on their own, and the difference is not paired.

    Returns:
        ``random``, ``owner``: {num_pictures, num_owners, rho {value, low, high}}; ``difference`` {value, low, high}; ``leaks``; ``statement``.
    """
    known = [set(np.asarray(part.owners).astype(str)) - {""} for part in (random_split, owner_split)]
    if both := known[0] & known[1]:
        raise PeoriaError(f"owners: {len(both):,} are in both sets, first {min(both)!r}; those of the owner split must not be train's")
    found: dict[str, Any] = {}
    values, samples, units, effective = [], [], [], []
    for name, part, draws in (("random", random_split, resampling), ("owner", owner_split, replace(resampling, seed=resampling.seed + 1))):
        values.append(spearman(part.score, part.views))
        samples.append(bootstrap_spearman({name: part.score}, part.views, part.owners, **draws.draws)[name])
        units.append(num_units(part.owners))
        effective.append(effective_owners(part.owners))
        rho = asdict(Estimate(values[-1], samples[-1], effective[-1]).interval())
        found[name] = {"num_pictures": len(np.asarray(part.score)), "num_owners": units[-1], "rho": rho}
    difference = asdict(Estimate(values[0] - values[1], samples[0] - samples[1], min(effective)).interval())
    enough = min(units) >= MIN_OWNERS
    leaks = enough and difference["low"] > 0
    said = f"ρ {estimate(difference, sign=True)} on other pictures of train's owners against pictures of owners never seen"
    if not enough:
        said = f"Too little to judge what a random split would flatter by: {min(units)} owners, where at least {MIN_OWNERS} are needed."
    elif leaks:
        said = f"A random split would flatter: {said}."
    else:
        said = f"No evidence that a random split would flatter: {said}."
    return found | {"difference": difference, "leaks": leaks, "statement": said}


def _said(found: dict[str, Any], units: int) -> str:
    doubling, further = found["last_doubling"], found["further"]
    if units < MIN_OWNERS:
        return f"Too little to judge whether more data would help: {units} owners, where at least {MIN_OWNERS} are needed."
    if doubling is None:
        return "Whether more data would help cannot be told: a run on half of the owners, and one on all of them, are needed."
    text = f"from half of the owners to all of them ρ changes by {estimate(doubling, sign=True)}"
    text = f"Still rising: {text}." if found["still_rising"] else f"No evidence that more data would help: {text}."
    if further:
        guesses = " and ".join(f"{estimate(point['rho'])} with {point['times']} times the pictures" for point in further)
        text += f" If the power law holds, ρ would be {guesses}."
    return text
