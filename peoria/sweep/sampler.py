"""The searcher: what the next trial of a sweep is, seeded so that a kill at any instant changes no draw."""

import bisect
from functools import cache
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState
from scipy.special import ndtri
from threadpoolctl import ThreadpoolController

from peoria.config.space import RANGES_OF_A_TASK, Space
from peoria.config.sweep import Sweep
from peoria.data.streams import SweepStream, derived_seed
from peoria.errors import RecordError
from peoria.sweep.queued import START_UP
from peoria.sweep.study import DIVERGED_VALUE
from peoria.sweep.surrogate import Trend, stays_finite

Distributions = dict[str, optuna.distributions.BaseDistribution]

ONE_IN = 4  # random points that are drawn evenly, whatever is typical: where that is wrong, the search finds out
RATE_SCALES = (0.35, 0.5, 0.7)  # of a trend, one for each draw
EVENLY, NEARBY, HOPEFUL = 150, 75, 60  # candidates; those of them that are drawn among
PARENTS = 6  # the best trials, and any as good as these, near which NEARBY lie
NEAR_RATE, NEAR_MULTIPLIER, NEW_TASK, NEW_CUT = 0.06, 0.12, 0.2, 0.3  # how near: standard deviations; chances of a task, a cut drawn anew
OPTIMISM = 2.0  # standard deviations
WORTH, CAUTION = 4.0, 0.25  # see `TrialSampler._best`
MOST = 128  # trials that a draw is reckoned from, so that its cost does not grow with the sweep: the best half, and the latest others


@cache
def blas() -> ThreadpoolController:
    return ThreadpoolController()


class Settings:
    """Trials' settings as `peoria.sweep.surrogate` takes them."""

    def __init__(self, space: Space) -> None:
        self._space, self._cuts = space, tuple(dict.fromkeys(space.outlier_sd))
        self._spans = {
            (task, name): (np.log(span.low), max(np.log(span.high) - np.log(span.low), 1e-12))
            for task in space.task
            for name in RANGES_OF_A_TASK
            for span in [space.span(task, name)]
        }
        self.distributions: Distributions = {"task": CategoricalDistribution(space.task), "outlier_sd": CategoricalDistribution(space.outlier_sd)}
        for task, name in self._spans:
            span = space.span(task, name)
            self.distributions[f"{task}/{name}"] = FloatDistribution(span.low, span.high, log=True)

    def point(self, params: dict[str, Any]) -> list[float] | None:
        """Of a trial's parameters; None of one that is not drawn to its end, or of another space."""
        task = params.get("task", "")
        if task not in self._space.task or params.get("outlier_sd", "") not in self._cuts:
            return None
        if any(f"{task}/{name}" not in params for name in RANGES_OF_A_TASK):
            return None
        places = [self._place(task, name, params[f"{task}/{name}"]) for name in RANGES_OF_A_TASK]
        return [self._space.task.index(task), self._cuts.index(params["outlier_sd"]), *places]

    def params(self, point: np.ndarray) -> dict[str, Any]:
        """The other way round."""
        task, cut = self._space.task[int(point[0])], self._cuts[int(point[1])]
        return {"task": task, "outlier_sd": cut} | {
            f"{task}/{name}": self._value(task, name, place) for name, place in zip(RANGES_OF_A_TASK, point[2:], strict=True)
        }

    def evenly(self, num: int, rng: np.random.Generator) -> np.ndarray:
        """Anywhere, float64 [num, 4]."""
        tasks, cuts = (rng.integers(len(values), size=num) for values in (self._space.task, self._cuts))
        return np.column_stack([tasks, cuts, rng.random((num, 2))])

    def near(self, points: np.ndarray, num: int, rng: np.random.Generator) -> np.ndarray:
        """Each near one of ``points``, float64 [num, 4]."""
        found, others = points[rng.integers(len(points), size=num)], self.evenly(num, rng)
        found[:, 2:] = np.clip(found[:, 2:] + rng.standard_normal((num, 2)) * (NEAR_RATE, NEAR_MULTIPLIER), 0, 1)
        return np.where(np.column_stack([rng.random((num, 2)) < (NEW_TASK, NEW_CUT), np.zeros((num, 2), bool)]), others, found)

    def _place(self, task: str, name: str, value: float) -> float:
        low, width = self._spans[task, name]
        return float((np.log(value) - low) / width)

    def _value(self, task: str, name: str, place: float) -> float:
        (low, width), span = self._spans[task, name], self._space.span(task, name)
        return float(np.clip(np.exp(low + place * width), span.low, span.high))


class FinishedTrials:
    """What the searcher knows of the trials that have ended."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._points: dict[int, list[float]] = {}  # by number
        self._ranked: list[tuple[int, float, float, int]] = []  # best first; the number comes last
        self._diverged: list[int] = []

    def __len__(self) -> int:
        return len(self._points)

    def add(self, trial: FrozenTrial) -> None:
        """Adds a trial that Optuna knows as COMPLETE or PRUNED. The former rank by their values, before the latter, of which those that came furthest
        are the better ones, by their last values.

        Raises:
            RecordError: it is of another space.
        """
        point = self._settings.point(trial.params)
        if point is None:
            raise RecordError(f"trial {trial.number}: {trial.params}; settings of the sweep's own space")
        self._points[trial.number] = point
        if trial.state == TrialState.COMPLETE:
            assert trial.value is not None
            if trial.value <= DIVERGED_VALUE:
                bisect.insort(self._diverged, trial.number)
                return
            rank: tuple[int, float, float] = (0, -trial.value, 0.0)
        else:
            step, value = max(trial.intermediate_values.items(), default=(-1, 0.0))
            rank = (1, -step, -value)
        bisect.insort(self._ranked, (*rank, trial.number))

    def known(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Settings of those that have not diverged, best first, float64 [N, 4]; how good these were, as normal quantiles of their ranks, equal ones
        the same; settings of those that have diverged [D, 4]. Each at most MOST."""
        num = len(self._ranked)
        numbers, chosen = np.array([number for *_, number in self._ranked], dtype=int), np.ones(num, bool)
        results = np.array([result for *result, _ in self._ranked]).reshape(-1, 3)
        first = np.flatnonzero(np.r_[True, (results[1:] != results[:-1]).any(axis=1)][:num])  # of those that are equal
        sizes = np.diff(np.r_[first, num])
        ranks = np.repeat(first + (sizes - 1) / 2, sizes)
        if num > MOST:
            chosen[MOST // 2 :] = False
            chosen[MOST // 2 + np.argsort(numbers[MOST // 2 :])[-(MOST - MOST // 2) :]] = True
        values = ndtri((num - ranks - 0.5) / max(num, 1))
        return self._at(numbers[chosen].tolist()), values[chosen], self._at(self._diverged[-MOST:])

    def _at(self, numbers: list[int]) -> np.ndarray:
        return np.array([self._points[number] for number in numbers], dtype=float).reshape(-1, 4)


class TrialSampler(optuna.samplers.BaseSampler):
    """Random points for the start-up, and until as many trials have ended; then Thompson sampling on a slow trend over all tasks and cuts
    (`peoria.sweep.surrogate`).

    Each draw is seeded by the number of its trial, a random one also by the parameter's name: so a trial whose drawing was cut short by a kill gets
    the rest of what it would have got. Whoever tells Optuna of a trial's end adds it to ``finished``.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._sweep_seed, self._space, self._num_startup = sweep.seed, sweep.space, sweep.startup_per_task * len(sweep.space.task)
        self._settings = Settings(sweep.space)
        self.finished = FinishedTrials(self._settings)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> Distributions:
        return self._settings.distributions

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: Distributions) -> dict[str, Any]:
        """The best candidate; of the tasks that it is not of, which a trial queued by hand may ask for, the ranges' values of their best."""
        if len(self.finished) < self._num_startup or str(trial.user_attrs.get("origin")).startswith(START_UP):
            return {}
        rng = np.random.default_rng(self._seed(trial))
        with blas().limit(limits=1, user_api="blas"):  # a second thread gains nothing of matrices so small, and waits for a core that trains
            best = self._best(rng, self._under_way(study, trial))
        found: dict[str, Any] = {}
        for point in best:
            found = self._settings.params(point) | found
        return found

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: Any) -> Any:
        seed = self._seed(trial, param_name)
        task, _, name = param_name.rpartition("/")
        span = self._space.span(task, name) if name in RANGES_OF_A_TASK else None
        if span is None or span.typical is None or self._is_even(trial.number):
            return optuna.samplers.RandomSampler(seed).sample_independent(study, trial, param_name, param_distribution)
        return span.about_typical(np.random.default_rng(seed).random())

    def _best(self, rng: np.random.Generator, running: np.ndarray) -> np.ndarray:
        """Candidates, the first one of each task, best first.

        Among the most hopeful candidates (by mean and OPTIMISM standard deviations) one function of the posterior decides. A divergence is cheap, for
        it shows early, and the best rates often lie just below those that diverge: so the chance of one takes little, the CAUTION-th power of that of
        ending well from what the function says, WORTH standard deviations added, that is nearly always above 0.
        """
        finite, values, diverged = self.finished.known()
        candidates = self._settings.evenly(EVENLY, rng)
        if not len(finite):
            chances = stays_finite(candidates, finite, diverged)
            return candidates[[rng.choice(len(candidates), p=chances / chances.sum())]]
        parents = finite[values >= values[min(PARENTS, len(values)) - 1]]
        candidates = np.vstack([candidates, self._settings.near(parents, NEARBY, rng)])
        trend = Trend(finite, values, running, candidates, float(rng.choice(RATE_SCALES)))
        hopeful = np.argsort(-(trend.mean + OPTIMISM * trend.sd), kind="stable")[:HOPEFUL]
        worth = (trend.sample(hopeful, rng) + WORTH) * stays_finite(candidates[hopeful], finite, diverged) ** CAUTION
        ordered = candidates[hopeful[np.argsort(-worth, kind="stable")]]
        return ordered[np.sort(np.unique(ordered[:, 0], return_index=True)[1])]

    def _under_way(self, study: optuna.Study, trial: FrozenTrial) -> np.ndarray:
        """Settings of the latest others that run, float64 [R, 4], R ≤ MOST."""
        others = [one for one in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)) if one.number != trial.number]
        points = [self._settings.point(one.params) for one in others[-MOST:]]
        return np.array([point for point in points if point is not None], dtype=float).reshape(-1, 4)

    def _is_even(self, number: int) -> bool:
        """Of each ONE_IN trials in a row one, drawn for them together."""
        return derived_seed(self._sweep_seed, number // ONE_IN, SweepStream.START_UP) % ONE_IN == number % ONE_IN

    def _seed(self, trial: FrozenTrial, name: str = "") -> int:
        return derived_seed(self._sweep_seed, trial.number, SweepStream.SAMPLER, *name.encode())
