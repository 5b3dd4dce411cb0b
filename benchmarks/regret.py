"""How much a sweep must train until it has what random search has at its end: replayed on a table of real trials (`benchmarks.recorded`).

Both sides draw from the table's space, one trial at a time, and a drawn point gets the curve of the nearest recorded run. Ours is the product's
own record (`TrialStore` with its sampler and pruner), nothing queued by hand. Random search draws every parameter evenly from the same space and
prunes by the same rule. What follows was settled before the first value was seen:

- Pictures: all that were trained, those of pruned and diverged trials included, each up to the report that ended it.
- The incumbent after a trial: the finished trial with the best last objective on val, the earlier one among equals. Its regret: the best test score
  of the whole table less its own. Before a trial has finished there is none, and the regret is infinite.
- The target: the median over SEEDS of random search's regret after TRIALS trials.
- A sweep matches it at the end of the first trial from which on, to its own end after TRIALS trials, its regret is never above the target.
  One that does not match counts as NEVER times random search's pictures at full budget.
- The value: the median over SEEDS of our pictures until matched, over the median of random search's pictures at full budget.

Told beside it, and added after the first value was seen, because that value says less than it seems to: on this table random search's own regret on
test hardly falls with more pictures. Val has 235 of them; among the best tenth of the runs val says nothing of test, so that luck decides both
what is chosen and when the target is met: over seeds 0-19 the value is 0.18, over 200-219 it is 2. So it is told and not judged. The same figure of
the regret on val, which is all that a searcher can lower, has no such luck in it, and is judged in its stead.
"""

import math
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from benchmarks.figures import Figure, Measured, Setting
from benchmarks.recorded import DATA, Run, Table
from peoria.config.sweep import Sweep
from peoria.config.trial import TrialConfig
from peoria.records.folder import SweepFolder
from peoria.records.schema import TrialStart
from peoria.sweep.pruner import RungPruner, rungs
from peoria.sweep.trial_store import TrialStore
from peoria.training.messages import TrialReport

REGRET = Figure(
    "searcher_regret",
    "pictures until the sweep has the test regret that random search with the same pruner has at its end, against random search's (mostly luck)",
    None,
    None,
    lower_is_better=True,
)
ON_VAL = Figure("searcher_regret_on_val", "… of the regret on val, which is what is searched (2: not reached)", 0.5, 0.25, lower_is_better=True)
TRIALS = 60  # of a sweep where nothing is said
SEEDS = range(20)
NEVER = 2.0
STATES = {"done": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "diverged": TrialState.FAIL}


@dataclass(frozen=True)
class Moment:
    """The end of a trial."""

    pictures: int  # trained by then, in all
    regret: float  # of the incumbent, on test
    on_val: float = math.inf  # the same on val


def searcher_regret(setting: Setting) -> Iterator[Measured]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    table = Table.load(DATA / "recorded-both.json")
    random = [random_search(table, seed) for seed in SEEDS]
    ours = [sweep(table, seed) for seed in SEEDS]
    value, detail = compared(ours, random)
    yield Measured(REGRET, value, detail=detail | {"runs": len(table.runs), "best_test": table.best_test})
    value, detail = compared(*([[Moment(m.pictures, m.on_val) for m in found] for found in side] for side in (ours, random)))
    yield Measured(ON_VAL, value, detail=detail)


def compared(ours: list[list[Moment]], random: list[list[Moment]]) -> tuple[float, dict[str, Any]]:
    """The value, and what it was made of; a list of moments for each seed."""
    target = statistics.median(found[-1].regret for found in random)
    budget = statistics.median(found[-1].pictures for found in random)
    ratios = [share(matched(found, target), budget) for found in ours]
    of_pairs = [share(matched(a, b[-1].regret), b[-1].pictures) for a, b in zip(ours, random, strict=True)]
    detail = {
        "trials": len(random[0]),
        "seeds": len(random),
        "target_regret": round(target, 5),
        "random_pictures": round(budget),
        "our_pictures_in_all": round(statistics.median(found[-1].pictures for found in ours)),
        "our_regret_at_the_end": round(statistics.median(found[-1].regret for found in ours), 5),
        "our_regret_at_quarters": at_quarters(ours, budget),
        "random_regret_at_quarters": at_quarters(random, budget),
        "never_matched": sum(matched(found, target) is None for found in ours),
        "ratios": sorted(round(ratio, 3) for ratio in ratios),
        # Told beside, never judged: each seed against its own random search, and random search by our rule.
        "median_of_pairs": round(statistics.median(of_pairs), 3),
        "ratios_of_random": sorted(round(share(matched(found, target), budget), 3) for found in random),
    }
    return statistics.median(ratios), detail


def at_quarters(found: list[list[Moment]], budget: float) -> list[float]:
    """The median regret once a quarter, a half, three quarters and all of ``budget`` are trained; after the last trial that ended by then."""
    regrets = ([next((m.regret for m in reversed(moments) if m.pictures <= budget * k / 4), math.inf) for moments in found] for k in (1, 2, 3, 4))
    return [round(statistics.median(quarter), 5) for quarter in regrets]


def share(pictures: int | None, budget: float) -> float:
    return NEVER if pictures is None else pictures / budget


def matched(moments: list[Moment], target: float) -> int | None:
    """Pictures at the end of the first trial from which on no regret is above ``target``; None where the last one is."""
    found = None
    for moment in reversed(moments):
        if moment.regret > target:
            break
        found = moment.pictures
    return found


def sweep(table: Table, seed: int, trials: int = TRIALS) -> list[Moment]:
    """The product's own sweep."""
    with tempfile.TemporaryDirectory() as folder:
        return list(replayed(TrialStore(SweepFolder(Path(folder)), asked(table, seed, trials)), table))


def replayed(store: TrialStore, table: Table) -> Iterator[Moment]:
    pictures = 0
    while (assignment := store.ask()) is not None:
        for step, status, objective in reports(table.nearest(assignment.config), assignment.config):
            if not store.report(assignment.key, TrialReport(step=step, status=status, objective=objective)):
                break
        pictures += step
        best = next(iter(store.standings.by_objective), None)
        yield moment(table, pictures, None if best is None else TrialStart.read(store.folder.trial(best).start).config)


def random_search(table: Table, seed: int, trials: int = TRIALS) -> list[Moment]:
    """The same trials and the same pruner without the searcher."""
    sweep = asked(table, seed, trials)
    any_trial = sweep.trial({"task": sweep.space.task[0], "learning_rate": 1e-3}, seed=0, threads=1)
    pruner = RungPruner(rungs(any_trial, sweep.reduction_factor), sweep.reduction_factor)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed), pruner=pruner)
    moments, pictures = [], 0
    best: tuple[float, TrialConfig] | None = None
    for _ in range(trials):
        trial = study.ask()
        config = sweep.trial(sweep.space.suggest(trial), seed=0, threads=1)
        for step, status, objective in reports(table.nearest(config), config):
            if objective is not None:
                trial.report(objective, step)
            if status == "running" and trial.should_prune():
                status = "pruned"
            if status != "running":
                break
        study.tell(trial, objective if status == "done" else None, state=STATES[status])
        if status == "done" and objective is not None and (best is None or objective > best[0]):
            best = objective, config
        pictures += step
        moments.append(moment(table, pictures, best[1] if best else None))
    return moments


def asked(table: Table, seed: int, trials: int) -> Sweep:
    return table.sweep.model_copy(update={"seed": seed, "trials": trials, "queue": (), "paper": False, "prune": True, "seeds": 0, "questions": ()})


def reports(run: Run, config: TrialConfig) -> Iterator[tuple[int, str, float | None]]:
    """Step, status and objective of each report of a trial that does as ``run`` did."""
    points = config.evaluation_points()
    for step, value in zip(points, run.val, strict=False):
        yield step, "done" if step == config.pictures else "running", value
    if run.test is None:
        yield points[len(run.val)], "diverged", None


def moment(table: Table, pictures: int, incumbent: TrialConfig | None) -> Moment:
    run = None if incumbent is None else table.nearest(incumbent)
    if run is None or run.test is None:
        return Moment(pictures, math.inf)
    return Moment(pictures, table.best_test - run.test, table.best_val - run.val[-1])
