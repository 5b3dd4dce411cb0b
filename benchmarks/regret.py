"""How much a sweep must train until it has what random search has at its end: replayed on tables of real trainings (`benchmarks.planted_table`).

The product's own sampler, start-up and pruner drive Optuna's study; a drawn point trains as the nearest cell does, by a replicate drawn anew for each
trial, judged on a subset of val drawn anew for each sweep. Random search draws every parameter evenly.

- Pictures: all that were trained, those of pruned and diverged trials included. Everybody trains one trial after another until BUDGET lengths and a
  quarter more are spent.
- The incumbent: the finished trial with the best last objective on val. Its regret: what its setting is truly worth (the mean of the replicates on
  test) less than the best one, as a share of the best one's; 1 while nothing has finished.
- A figure: pictures until the mean regret over all sweeps is as low as that of those who are compared with at BUDGET, over BUDGET; FURTHEST where it
  is not. Its interval: the 2.5th and 97.5th of 100 when the sweeps of both are resampled, world by world. The floor is judged on the end that speaks
  against it.

Controls of the same run: random search against itself, and product against random where val tells nothing, where nobody may gain; and an oracle that
draws the settings that are truly best: where it is not far below what a searcher has to reach, the tables could tell nobody apart.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import optuna
from optuna.trial import TrialState

from benchmarks.figures import Figure, Measured, Setting
from benchmarks.planted_table import REPLICATES, SUBSETS, WORLDS, Table, a_trial, made, sweep_on_table
from peoria.config.sweep import Sweep
from peoria.sweep.pruner import RungPruner, sweep_rungs
from peoria.sweep.queued import enqueue_points, enqueue_startup
from peoria.sweep.sampler import TrialSampler
from peoria.sweep.study import DIVERGED_VALUE

SEARCHER = Figure(
    "searcher", "pictures until the search is where random search with the same pruner is at its end, against these", 0.8, 0.6, lower_is_better=True
)
PRUNER = Figure(
    "pruner", "… random search with the pruner's rungs, against fewer and later ones (a third from 1/8 and 3/8)", 0.9, 0.75, lower_is_better=True
)
WHOLE = Figure("search", "… the search with its rungs, against random search with these", None, None, lower_is_better=True)
NULL = Figure("searcher_null", "… random search against random search with other seeds (control: no gain, the upper end is at least)", 1.0, 1.0)
SHUFFLED = Figure(
    "searcher_shuffled", "regret of the search over random's where val tells nothing (control: no gain, the upper end is at least)", 1.0, 1.0
)
ORACLE = Figure("searcher_oracle", "… whoever knows the best settings (control: else the tables cannot tell)", 0.1, 0.1, lower_is_better=True)

SWEEPS, MANY, FEW = 240, 720, 80  # on each world: of the search; of random search, which costs a tenth; where val is shuffled
BUDGET, FURTHEST = 12, 1.25  # lengths of a trial, beyond which luck of val hides what more pictures bring; times that
KNOWN = 0.005  # of all cells, truly best, that the oracle draws
FEWER = {"rungs": (0.125, 0.375), "reduction_factor": 3}
RESAMPLES = 2000


@dataclass(frozen=True)
class Moment:
    """The end of a trial."""

    pictures: int  # trained by then, in all
    regret: float  # of the incumbent


def searcher_regret(setting: Setting) -> Iterator[Measured]:
    tables = [made(name, setting.work) for name in WORLDS]
    yield from figures(tables)


def figures(tables: list[Table]) -> Iterator[Measured]:
    """Each kind of search is replayed with seeds of its own."""

    def of(search: Callable[[Table, int], list[Moment]], block: int, num: int = MANY) -> list[np.ndarray]:
        return [np.stack([regrets(search(table, seed)) for seed in range(block * MANY, block * MANY + num)]) for table in tables]

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    detail: dict[str, object] = {"sweeps": SWEEPS * len(tables), "random_sweeps": MANY * len(tables), "budget_lengths": BUDGET}
    random, late = of(random_search, 0), of(partial(random_search, changes=FEWER), 1)
    ours = of(product_search, 4, SWEEPS)
    yield ratio(SEARCHER, ours, random, detail)
    yield ratio(WHOLE, ours, late, detail)
    yield ratio(PRUNER, random, late, detail)
    yield ratio(NULL, of(random_search, 2), random, detail)
    yield ratio(ORACLE, of(oracle, 3, SWEEPS), random, detail)
    blind, blind_random = (of(partial(search, shuffled=True), block, FEW) for search, block in ((product_search, 5), (random_search, 6)))
    at = [resampled(side, stream, place(1.0)) for stream, side in enumerate((blind, blind_random))]
    value = float(at[0][0] / at[1][0])
    yield Measured(SHUFFLED, value, interval=ends(at[0] / at[1]), detail=detail | {"sweeps": FEW * len(tables), "random_sweeps": FEW * len(tables)})


EVENLY = np.linspace(0, FURTHEST, 501)[1:]  # where regrets are read off, in budgets


def regrets(moments: list[Moment]) -> np.ndarray:
    """Of the incumbent once so many pictures are trained, float64 [EVENLY]."""
    ends_at = np.array([0, *(moment.pictures for moment in moments)])
    values = np.array([1.0, *(moment.regret for moment in moments)])
    found: np.ndarray = values[np.searchsorted(ends_at, EVENLY * BUDGET * a_trial().pictures, side="right") - 1]
    return found


def place(budgets: float) -> int:
    """Of so many budgets, among EVENLY."""
    return int(np.searchsorted(EVENLY, budgets - 1e-9))


def resampled(worlds: list[np.ndarray], stream: int, at: int | None = None) -> np.ndarray:
    """Mean regrets over all sweeps, as they are and RESAMPLES times over as many drawn from each world: [1 + RESAMPLES, EVENLY], or at one place."""
    rng, found = np.random.default_rng(stream), []
    for sweeps in worlds:
        num = len(sweeps)
        weights = np.vstack([np.full(num, 1 / num), rng.multinomial(num, np.full(num, 1 / num), RESAMPLES) / num])
        found.append(weights @ (sweeps if at is None else sweeps[:, at]))
    return np.mean(found, axis=0)


def ratio(figure: Figure, ours: list[np.ndarray], theirs: list[np.ndarray], detail: dict[str, object]) -> Measured:
    """In the bootstrap the two sides are drawn apart."""
    budget = place(1.0)
    target, curves = resampled(theirs, 0, budget), resampled(ours, 1)
    below = curves <= target[:, None]
    found = np.where(below.any(axis=1), EVENLY[below.argmax(axis=1)], FURTHEST)
    quarters = [round(float(curves[0, place(share)]), 5) for share in (0.25, 0.5, 0.75, 1.0)]
    told = {"target_regret": round(float(target[0]), 5), "regret_at_quarters": quarters}
    worlds = {name: round(one(a, b[:, budget].mean()), 3) for name, a, b in zip(WORLDS, ours, theirs, strict=True)}
    return Measured(figure, float(found[0]), interval=ends(found), detail=detail | told | {"worlds": worlds})


def one(ours: np.ndarray, target: float) -> float:
    below = ours.mean(axis=0) <= target
    return float(EVENLY[below.argmax()]) if below.any() else FURTHEST


def ends(found: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(found[1:], (0.025, 0.975))
    return float(low), float(high)


# -- who searches


def product_search(table: Table, seed: int, *, shuffled: bool = False) -> list[Moment]:
    """The product's sampler and start-up, one trial after another."""
    sweep = sweep_on_table(seed)
    sampler = TrialSampler(sweep)
    return list(replayed(table, sweep, sampler, sampler, shuffled=shuffled))


def random_search(table: Table, seed: int, *, changes: dict[str, object] | None = None, shuffled: bool = False) -> list[Moment]:
    """The same pruner without the searcher."""
    return list(replayed(table, sweep_on_table(seed, **(changes or {})), optuna.samplers.RandomSampler(seed), shuffled=shuffled))


def oracle(table: Table, seed: int) -> list[Moment]:
    """Draws from the cells that are truly best."""
    return list(replayed(table, sweep_on_table(seed), optuna.samplers.RandomSampler(seed), known=True))


def replayed(
    table: Table,
    sweep: Sweep,
    sampler: optuna.samplers.BaseSampler,
    ours: TrialSampler | None = None,
    *,
    shuffled: bool = False,
    known: bool = False,
) -> Iterator[Moment]:
    """A sweep by the product's pruner.

    Args:
        ours: the sampler, where it is the product's, which is told of trials that end and begins with the start-up.
        shuffled: val is another setting's.
        known: points are drawn among the best cells.
    """
    pruner, dice = RungPruner(sweep_rungs(sweep), sweep.reduction_factor), np.random.default_rng((sweep.seed, 11))
    study = optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)
    pruner.remember([])
    seen = table.shuffled(sweep.seed) if shuffled else table
    best_cells = np.argsort(-table.truth)[: max(1, round(KNOWN * len(table.truth)))]
    subset, config = int(dice.integers(SUBSETS)), a_trial()
    startup = enqueue_points(study, sweep) if ours is not None else []
    pictures, best, regret = 0, -math.inf, 1.0
    while pictures < FURTHEST * BUDGET * config.pictures:
        enqueue_startup(study, startup)
        trial = study.ask()
        cell = int(dice.choice(best_cells)) if known else table.cell(sweep.space.suggest(trial))
        curve = seen.val[cell, dice.integers(REPLICATES), :, subset]
        state, value, step = TrialState.PRUNED, None, 0
        for step, value in zip(config.evaluation_points(), map(float, curve), strict=True):
            if math.isnan(value):
                state, value = TrialState.COMPLETE, DIVERGED_VALUE
                break
            trial.report(value, step)
            pruner.entered(step, value)
            if step == config.pictures:
                state = TrialState.COMPLETE
            elif step in pruner.rungs and trial.should_prune():
                break
        told = study.tell(trial, value if state == TrialState.COMPLETE else None, state=state)
        if ours is not None:
            ours.finished.add(told)
        pictures += step
        if state == TrialState.COMPLETE and step == config.pictures and value is not None and value > best:
            best, regret = value, float(table.regret[cell])
        yield Moment(pictures, regret)
