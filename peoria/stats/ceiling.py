"""How well any score could do: the noise of counting, what copies of one picture earn, and whether the score tells a picture's upper end."""

import math
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from peoria.errors import PeoriaError
from peoria.stats.bootstrap import bootstrap_spearman, owner_weights
from peoria.stats.estimates import MIN_OWNERS, Estimate, Resampling, num_units
from peoria.stats.metrics import Floats, effective_owners, rankable, spearman, spearman_brown
from peoria.stats.strata import deciles
from peoria.verdict.sentences import estimate

MIN_PAIRS = 30
MOSTLY_ZERO = 0.5  # a larger share of zeros makes a correlation of halves say little
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
MIN_IN_DECILE = 40  # pictures; of these the 5 % quantile is the second lowest
MIN_COUNT = 5  # below it the lower end has no room to fall, and its slope says nothing


def count_noise(counts: ArrayLike, owners: ArrayLike, resampling: Resampling, num_thinnings: int = 5) -> dict[str, Any] | None:
    """The highest ρ that a score could reach with these counts [N] if it knew each picture's true rate: what is lost to counting alone.

    Where counts are Poisson, halves v₁ ~ Binomial(v, ½) and v₂ = v − v₁ are independent given the rate. Their ρ, stepped up to whole
    counts (2ρ/(1 + ρ): Spearman 1910, Brown 1910), is the reliability: ρ between two readings of the counts. Its root is the highest
    correlation with the rate itself (Spearman 1904). Both are exact for variables without ties, and at most that where most counts are 0.

    Returns:
        ``half`` (ρ of halves), ``reliability`` and ``ceiling`` {value, low, high} (``None`` where most counts are 0 and halves do not correlate
        for sure), ``num_pictures``, ``num_thinnings``, ``zero_share``,
        ``upper_bound_only`` and ``statement``; ``None`` where the counts rank nothing.
    """
    counts = np.asarray(counts, np.int64)
    if not rankable(counts.astype(np.float64)):
        return None
    rng = np.random.default_rng(resampling.seed)
    values, samples = [], np.zeros(resampling.num_resamples)
    for _ in range(num_thinnings):
        first = rng.binomial(counts, 0.5)
        values.append(spearman(first, counts - first))
        samples += bootstrap_spearman({"half": first}, counts - first, owners, **resampling.draws)["half"] / num_thinnings
    half = float(np.mean(values))
    reliability = asdict(Estimate(float(spearman_brown(half)), spearman_brown(samples), effective_owners(owners)).interval())
    ceiling = {key: math.sqrt(value) for key, value in reliability.items()}  # a root keeps the order, and so the quantiles
    zero_share = float((counts == 0).mean())
    loose = zero_share > MOSTLY_ZERO
    if loose and not reliability["low"] > 0:
        statement = f"What counting noise alone leaves cannot be told: {100 * zero_share:.0f} % of the counts are 0, and halves do not correlate."
        return {"half": half, "reliability": None, "ceiling": None, "num_pictures": len(counts), "num_thinnings": num_thinnings} | {
            "zero_share": zero_share,
            "upper_bound_only": True,
            "statement": statement,
        }
    said = f"Counting noise alone leaves ρ = {estimate(ceiling)} {'at most ' if loose else ''}to a score that knows every picture's true rate"
    return {
        "half": half,
        "reliability": reliability,
        "ceiling": ceiling,
        "num_pictures": len(counts),
        "num_thinnings": num_thinnings,
        "zero_share": zero_share,
        "upper_bound_only": loose,
        "statement": f"{said}{f'; {100 * zero_share:.0f} % of the counts are 0' if loose else ''}.",
    }


def content_ceiling(
    counts_a: ArrayLike, counts_b: ArrayLike, owners_a: ArrayLike, owners_b: ArrayLike, resampling: Resampling
) -> dict[str, dict[str, Any]]:
    """ρ of counts between the two pictures of P nearly identical pairs; a picture should be in one pair only.

    What two uploads of one picture share is the picture (``other_owner``), or the picture and its owner (``same_owner``). The root of their ρ
    is the most that a score of what they share could reach (Spearman 1904). Pairs are taken both ways round, as neither picture is the
    first. Pairs with an owner in common, also by way of further pairs, are resampled together. Copies are no random pictures: what is
    uploaded twice is said of such pictures only.

    Returns:
        ``other_owner`` and ``same_owner``, each with ``num_pairs``, ``num_units``, ``rho`` and ``ceiling`` {value, low, high} (``None`` below
        30 pairs or 20 units) and ``statement``; pairs with an unknown owner are in neither.
    """
    a, b = np.asarray(counts_a, np.float64), np.asarray(counts_b, np.float64)
    of_a, of_b = np.asarray(owners_a).astype(str), np.asarray(owners_b).astype(str)
    if not len(a) == len(b) == len(of_a) == len(of_b):
        raise PeoriaError(f"pairs: {len(a):,}, {len(b):,}, {len(of_a):,} and {len(of_b):,} values; two counts and two owners a pair are needed")
    known = (of_a != "") & (of_b != "")
    groups = {"other_owner": ("different owners", known & (of_a != of_b)), "same_owner": ("the same owner", known & (of_a == of_b))}
    return {name: _pairs(a[at], b[at], of_a[at], of_b[at], whose, resampling) for name, (whose, at) in groups.items()}


def upper_end(score: ArrayLike, counts: ArrayLike, owners: ArrayLike, resampling: Resampling) -> dict[str, Any] | None:
    """Whether the score tells how far a picture may get, more than how far it gets: quantiles of the counts by decile of the score.

    The paper (section 6.3) holds it possible that images tell a *potential to become popular*. A potential shows as upper quantiles that
    rise with the score while lower ones do not; a score that multiplies all views raises both alike. Slopes are those of log(1 + quantile)
    over the deciles, from the lowest score to the highest. In each resample of owners the deciles are those of the whole split.

    Returns:
        ``deciles``, lowest score first: ``decile`` (1 to 10), ``num_pictures`` and ``quantiles`` {"0.05": {value, low, high}, …};
        ``slopes`` {"0.05", "0.5", "0.95"}, ``slope_difference`` (0.95 less 0.05) and ``top_to_bottom`` {"0.05", "0.95"}, the factor between
        1 + quantile of the highest and the lowest decile, {value, low, high} each; ``shape``: ``upper_end`` (a potential), ``whole``,
        ``lower_end``, ``none`` or ``unknown``; ``statement``. ``None`` where a decile has fewer than 40 pictures.
    """
    score, counts = np.asarray(score, np.float64), np.asarray(counts, np.float64)
    if not rankable(score):
        return None
    decile = deciles(score)
    sizes = np.bincount(decile, minlength=10)
    if sizes.min() < MIN_IN_DECILE:
        return None
    units, effective = num_units(owners), effective_owners(owners)
    quantiles = _Quantiles.of(decile, counts)
    value = quantiles(np.ones((1, len(counts))))[0]
    samples = np.concatenate([quantiles(weights) for weights in owner_weights(owners, **resampling.draws)])
    samples = samples[np.isfinite(samples).all(axis=(1, 2))]  # without those that drew nothing of a decile

    place = (np.arange(10) - 4.5) / 10
    slope, slopes = (np.einsum("...dq,d->...q", np.log1p(found), place) / (place @ place) for found in (value, samples))
    factor, factors = ((1 + found[..., 9, :]) / (1 + found[..., 0, :]) for found in (value, samples))
    at = {str(q): k for k, q in enumerate(QUANTILES)}
    found: dict[str, Any] = {
        "deciles": [
            {
                "decile": d + 1,
                "num_pictures": int(sizes[d]),
                "quantiles": {name: asdict(Estimate(value[d, k], samples[:, d, k], effective).interval()) for name, k in at.items()},
            }
            for d in range(10)
        ],
        "slopes": {q: asdict(Estimate(slope[at[q]], slopes[:, at[q]], effective).interval()) for q in ("0.05", "0.5", "0.95")},
        "slope_difference": asdict(Estimate(slope[-1] - slope[0], slopes[:, -1] - slopes[:, 0], effective).interval()),
        "top_to_bottom": {q: asdict(Estimate(factor[at[q]], factors[:, at[q]], effective).interval()) for q in ("0.05", "0.95")},
    }
    near_zero = int((value[:, 0] < MIN_COUNT).sum())
    shape = "unknown" if units < MIN_OWNERS or near_zero > 1 else _shape(found)
    return found | {"shape": shape, "statement": _said(found, shape, units)}


class _Quantiles(NamedTuple):
    """Counts in order within each decile, for quantiles under weights."""

    order: NDArray[np.intp]  # [N], by decile, then count
    ends: NDArray[np.intp]  # [10], where each decile ends
    counts: Floats  # [N], in that order

    @classmethod
    def of(cls, decile: NDArray[np.int64], counts: Floats) -> "_Quantiles":
        order = np.lexsort((counts, decile))
        return cls(order, np.cumsum(np.bincount(decile, minlength=10)), counts[order])

    def __call__(self, weights: ArrayLike) -> Floats:
        """The smallest count at which a share q of the weights [b, N] of its decile is reached: [b, 10, 5], NaN without weight."""
        passed = np.cumsum(np.asarray(weights)[:, self.order], axis=1)
        tops = passed[:, self.ends - 1].astype(np.float64)
        totals = np.diff(tops, axis=1, prepend=0.0)
        wanted = (tops - totals)[..., None] + totals[..., None] * np.array(QUANTILES) - 1e-6  # so that rounding does not pass by a whole share
        places = np.stack([np.searchsorted(row, at) for row, at in zip(passed, wanted, strict=True)])
        return np.where(totals[..., None] > 0, self.counts[np.minimum(places, len(self.counts) - 1)], np.nan)


def _pairs(a: Floats, b: Floats, of_a: NDArray[np.str_], of_b: NDArray[np.str_], whose: str, resampling: Resampling) -> dict[str, Any]:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names, owner = np.unique(np.concatenate([of_a, of_b]), return_inverse=True)
    graph = coo_array((np.ones(len(a)), (owner[: len(a)], owner[len(a) :])), shape=(len(names), len(names)))
    unit = connected_components(graph, directed=False)[1][owner] if len(a) else owner
    units = len(np.unique(unit))
    found: dict[str, Any] = {"num_pairs": len(a), "num_units": units, "rho": None, "ceiling": None}
    if len(a) < MIN_PAIRS or units < MIN_OWNERS:
        needed = f"at least {MIN_PAIRS} pairs in {MIN_OWNERS} groups of owners are needed"
        return found | {"statement": f"Copies of one picture by {whose}: {len(a):,} pairs in {units:,} groups; {needed}."}
    one, other = np.concatenate([a, b]), np.concatenate([b, a])
    samples = bootstrap_spearman({"pair": one}, other, unit.astype(str), **resampling.draws)["pair"]
    found["rho"] = asdict(Estimate(spearman(one, other), samples, effective_owners(unit.astype(str))).interval())
    found["ceiling"] = {key: math.sqrt(max(value, 0.0)) for key, value in found["rho"].items()}
    what = "their content" if whose.startswith("different") else "their content and owner"
    said = f"counts correlate with ρ = {estimate(found['rho'])}, so that a score of {what} could reach {estimate(found['ceiling'])} at most"
    return found | {"statement": f"Copies of one picture by {whose} ({len(a):,} pairs): {said}."}


def _shape(found: dict[str, Any]) -> str:
    low, high, difference = found["slopes"]["0.05"], found["slopes"]["0.95"], found["slope_difference"]
    if difference["low"] > 0 and high["low"] > 0:
        return "upper_end"
    if difference["high"] < 0 and low["low"] > 0:
        return "lower_end"
    return "whole" if low["low"] > 0 and high["low"] > 0 else "none"


def _said(found: dict[str, Any], shape: str, units: int) -> str:
    high, low = (f"× {estimate(found['top_to_bottom'][q])}" for q in ("0.95", "0.05"))
    text = f"From the lowest to the highest tenth of the score the 95 % quantile goes {high}, the 5 % quantile {low}"
    if units < MIN_OWNERS:
        return f"Too little to judge whether the score tells a potential: {units} owners, where at least {MIN_OWNERS} are needed."
    still = " and the lower end does not measurably rise" if not found["slopes"]["0.05"]["low"] > 0 else ""
    meaning = {
        "upper_end": f"the upper end rises more than the lower{still}: the score tells a potential more than an outcome",
        "lower_end": "the lower end rises more than the upper: the score tells what a picture gets at least",
        "whole": "no evidence of a potential apart from the outcome, as both ends rise alike",
        "none": "no evidence that the score sets a potential",
        "unknown": f"the lower end lies below a count of {MIN_COUNT} and has no room to fall, so that nothing can be said of a potential",
    }
    return f"{text}: {meaning[shape]}."
