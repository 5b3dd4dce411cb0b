"""Simulated studies of which it is known what may be claimed: a val and a test split of owners, trials, and what the product says of the best.

Looks, fame and views are all alike within an owner, owners' sizes have a heavy tail, and packing's cap is put on them.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from scipy.stats import beta

from peoria.stats import bootstrap, metrics
from peoria.stats.clusters import Clusters
from peoria.stats.context import Context, bootstrap_given_context
from peoria.stats.estimates import Estimate
from peoria.stats.metrics import Floats
from peoria.stats.neighbours import bootstrap_neighbours, series
from peoria.stats.pairs import bootstrap_pairs, within_owner_pairs

DAY_S = 86_400
READ = np.datetime64("2016-01-01T00:00:00", "s")
DAYS_BACK = 1000  # owners start uploading at any time of these before the counts were read
PAIR_DAYS = 30.0
NUM_LOOKS = 8  # qualities of a picture that a trial may have learnt to look at


@dataclass(frozen=True)
class World:
    """A split's size, and what looks and log-views are made of. Each quantity is standard normal; the weights need not sum to anything."""

    num_owners: int = 120
    pictures: float = 5.0  # median of an owner, before the cap; log-normal
    size_spread: float = 1.5  # standard deviation of the log of that
    cap: int | None = 20
    icc: float = 0.5  # of every quality of a picture but fame and age
    burst_days: float = 60.0  # all of an owner's uploads lie within
    seen: float = 0.0  # how much of the picture's own appeal a score shows
    fame_seen: float = 0.0
    age_seen: float = 0.0
    noise_seen: float = 1.0  # whatever else the score goes by
    appeal: float = 0.0  # how much of the picture's own appeal is in its views
    fame: float = 0.0
    age: float = 0.0
    luck: float = 1.0


def of_rho(latent: float, **sizes: float) -> World:
    """Score and log-views are jointly normal with correlation ``latent``, between owners as within. Spearman's ρ of this population is
    6/π·asin(latent / 2) in closed form, whatever the sizes of owners, for these depend on nothing (`true_rho`)."""
    return World(seen=latent, noise_seen=float(np.sqrt(1 - latent**2)), appeal=1.0, luck=0.0, **sizes)  # type: ignore[arg-type]


def true_rho(latent: float) -> float:
    return float(6 / np.pi * np.arcsin(latent / 2))


def latent_of(rho: float) -> float:
    return float(2 * np.sin(np.pi * rho / 6))


class Split(NamedTuple):
    """One simulated split. Trials see ``looks`` by weights of their own; ``base`` is what all of them see."""

    clusters: Clusters  # owners
    uploaded_at: np.ndarray  # datetime64 [N]
    age_days: Floats  # [N]
    base: Floats  # [N]
    looks: Floats  # [N, NUM_LOOKS], times the weight of noise_seen
    views: Floats  # [N]

    def score(self, weights: Floats) -> Floats:
        """Of a trial with ``weights`` [NUM_LOOKS] of unit length: [N]."""
        return self.base + np.einsum("nd,d->n", self.looks, weights)


def split(rng: np.random.Generator, world: World) -> Split:
    sizes = 1 + np.floor(np.exp(rng.normal(np.log(world.pictures), world.size_spread, world.num_owners)))
    sizes = np.minimum(sizes, world.cap or np.inf).astype(int)
    owner = np.repeat(np.arange(world.num_owners), sizes)
    n = len(owner)

    def alike() -> Floats:
        between, within = rng.normal(size=world.num_owners)[owner], rng.normal(size=n)
        return np.sqrt(world.icc) * between + np.sqrt(1 - world.icc) * within

    age_days = rng.uniform(world.burst_days, DAYS_BACK, world.num_owners)[owner] - rng.uniform(0, world.burst_days, n)
    age = (age_days - DAYS_BACK / 2) / (DAYS_BACK / np.sqrt(12))
    fame, appeal = rng.normal(size=world.num_owners)[owner], alike()
    logs = world.appeal * appeal + world.fame * fame + world.age * age + world.luck * alike()
    return Split(
        clusters=Clusters.of(owner),
        uploaded_at=READ - (age_days * DAY_S).astype("timedelta64[s]"),
        age_days=age_days,
        base=world.seen * appeal + world.fame_seen * fame + world.age_seen * age,
        looks=world.noise_seen * np.stack([alike() for _ in range(NUM_LOOKS)], axis=1),
        views=np.floor(np.exp(4.2 + 1.3 * logs)),
    )


def trial_weights(rng: np.random.Generator, num_trials: int) -> Floats:
    """[num_trials, NUM_LOOKS], each of unit length."""
    weights = rng.normal(size=(num_trials, NUM_LOOKS))
    return weights / np.sqrt((weights**2).sum(axis=1, keepdims=True))


def pooled(s: Split, score: Floats, num_resamples: int, seed: int) -> Estimate:
    samples = bootstrap.bootstrap_spearman({"s": score}, s.views, s.clusters, num_resamples, seed)["s"]
    return Estimate(metrics.spearman(score, s.views), samples, s.clusters.effective)


def gini(s: Split, score: Floats, num_resamples: int, seed: int, at_least: float) -> Estimate:
    """Of the pictures with ``at_least`` so many views against the others."""
    positive = s.views >= at_least
    samples = bootstrap.bootstrap_gini({"s": score}, positive, s.clusters, num_resamples, seed)["s"]
    return Estimate(metrics.gini(score, positive), samples, s.clusters.effective)


def context_of(s: Split) -> Context | None:
    return Context.of(s.age_days, s.uploaded_at, None, s.clusters.effective)


def given_context(s: Split, score: Floats, num_resamples: int, seed: int) -> Estimate:
    context = context_of(s)
    assert context is not None
    return Estimate(*bootstrap_given_context({"s": score}, s.views, context, s.clusters, num_resamples, seed)["s"], s.clusters.effective)


def in_pairs(s: Split, score: Floats, num_resamples: int, seed: int, hold_context: bool = True) -> Estimate:
    """Within owners; ``hold_context=False``: the plain share of pairs in the right order, as a control."""
    pairs = within_owner_pairs(s.clusters, s.uploaded_at, s.views, PAIR_DAYS)
    found = bootstrap_pairs({"s": score}, pairs, context_of(s), num_resamples, seed)["s"]
    return Estimate(*(found.adjusted if hold_context else found.plain), pairs.owners.effective)


def against_neighbours(s: Split, score: Floats, num_resamples: int, seed: int) -> list[Estimate]:
    """By ranks and on the values' own scale; both have to hold."""
    of = series(s.clusters, s.uploaded_at, PAIR_DAYS)
    context = Context.of(s.age_days[of.rows], s.uploaded_at[of.rows], None, s.clusters.effective)
    found = bootstrap_neighbours({"s": score}, np.log1p(s.views), of, context, num_resamples, seed)["s"]
    return [Estimate(*scale, of.owners.effective) for scale in found]


def best_of_trials(rng: np.random.Generator, world: World, num_trials: int) -> tuple[Split, Floats]:
    """A study up to its test split: (test, the score there of the trial that did best on a val split half as large)."""
    val = split(rng, World(**(vars(world) | {"num_owners": max(world.num_owners // 2, 2)})))
    test = split(rng, world)
    weights = trial_weights(rng, num_trials)
    best = int(np.argmax([metrics.spearman(val.score(w), val.views) for w in weights]))
    return test, test.score(weights[best])


def one_trial(rng: np.random.Generator, world: World) -> tuple[Split, Floats]:
    test = split(rng, world)
    return test, test.score(trial_weights(rng, 1)[0])


def run(study: Callable[[int], Any], seeds: Iterable[int], processes: int = 2) -> list[Any]:
    """``study`` of each seed, in the order of the seeds; ``study`` can be pickled. A process computes on one thread."""
    seeds = list(seeds)
    with patch.dict(os.environ, OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1"), ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        return list(pool.map(study, seeds, chunksize=max(1, len(seeds) // (8 * processes))))


def sampled(full: int, sample: int) -> int:
    """How often to repeat: ``sample`` times, or ``full`` where PEORIA_TEST_FULL is set. Thresholds follow the count by the binomial."""
    return full if os.environ.get("PEORIA_TEST_FULL") else sample


def upper_bound(hits: int, of: int, confidence: float = 0.95) -> float:
    """Clopper & Pearson's (1934) upper bound of a share, of a two-sided interval."""
    return 1.0 if hits == of else float(beta.ppf((1 + confidence) / 2, hits + 1, of - hits))
