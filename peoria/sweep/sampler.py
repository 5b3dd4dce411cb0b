"""TPE for a sweep: seeded so that a kill at any instant changes no draw, from finished trials kept in memory."""

import bisect
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import optuna

# Not public, so pyproject.toml admits one minor version of Optuna. All else about the sampler is public; with the public TPESampler in place of these
# a draw around the 1,000th trial costs three times as much, for it reads and sorts all trials for each group of parameters.
from optuna.samplers._tpe.sampler import _ParzenEstimator, _ParzenEstimatorParameters, default_gamma, default_weights
from optuna.trial import FrozenTrial, TrialState

from peoria.config.space import RANGES_OF_A_TASK
from peoria.config.sweep import Sweep
from peoria.data.streams import SweepStream, derived_seed

Distributions = dict[str, optuna.distributions.BaseDistribution]
Params = dict[str, Any]  # Optuna's: by parameter, its value

# As in Optuna's TPESampler where nothing is said.
ONE_IN = 4  # random points that are drawn evenly, whatever is typical: where that is wrong, the search finds out
NUM_CANDIDATES = 24
PARZEN = _ParzenEstimatorParameters(prior_weight=1.0, consider_magic_clip=True, consider_endpoints=False, weights=default_weights, multivariate=True)


class Columns:
    """Values of parameters by trial number: float64 [numbers up to now], as Optuna stores them, NaN where there is none."""

    def __init__(self) -> None:
        self._columns: dict[str, np.ndarray] = {}
        self._size = 0  # of each of these
        self.size = 0  # numbers up to the highest that was set

    def set(self, number: int, params: Params, distributions: Distributions) -> None:
        if number >= self._size:
            more = np.full(2 * number + 1 - self._size, np.nan)
            self._columns = {name: np.append(column, more) for name, column in self._columns.items()}
            self._size += len(more)
        self.size = max(self.size, number + 1)
        for name, value in params.items():
            column = self._columns.setdefault(name, np.full(self._size, np.nan))
            column[number] = distributions[name].to_internal_repr(value)

    def clear(self, number: int) -> None:
        for column in self._columns.values():
            column[number] = np.nan

    def of(self, space: Distributions, size: int) -> np.ndarray:
        """[parameter of ``space``, number below ``size``]."""
        found = np.full((len(space), size), np.nan)
        for row, name in zip(found, space, strict=True):
            if name in self._columns:
                row[: self.size] = self._columns[name][: self.size]
        return found


class RunningTrials:
    """What the trials under way were drawn as, read again only of those that have changed."""

    def __init__(self) -> None:
        self.columns = Columns()
        self._read: dict[int, Params] = {}  # by number, what was read last: Optuna puts another in its place when one is drawn

    def read(self, trials: Iterable[FrozenTrial], drawn: Mapping[int, tuple[Params, Distributions]], without: int) -> None:
        """
        Args:
            trials: all that are running.
            drawn: by number, what was drawn together, which its task may not ask for.
            without: the trial that is being drawn.
        """
        before, self._read = self._read, {}
        for trial in trials:
            number, now = trial.number, trial.params
            if number == without:
                continue
            if before.pop(number, None) is not now:
                params, distributions = drawn.get(number, ({}, {}))
                self.columns.set(number, params | now, distributions | trial.distributions)
            self._read[number] = now
        for number in before:  # they have ended
            self.columns.clear(number)


class FinishedTrials:
    """The finished trials as TPE sees them, kept from trial to trial: Optuna's own reads and sorts all of them for each group of parameters."""

    def __init__(self) -> None:
        self._ranked: list[tuple[int, float, float, int]] = []  # best first; the number comes last
        self._columns = Columns()
        self._spaces: dict[frozenset[str], tuple[int, Distributions]] = {}  # names drawn together → the first trial with them

    def __len__(self) -> int:
        return len(self._ranked)

    def add(self, trial: FrozenTrial) -> None:
        """Adds a trial that Optuna knows as COMPLETE or PRUNED."""
        rank: tuple[int, float, float]
        if trial.state == TrialState.COMPLETE:
            assert trial.value is not None
            rank = (0, -trial.value, 0.0)
        else:
            step, value = max(trial.intermediate_values.items(), default=(-1, 0.0))
            rank = (1, -step, -value)
        bisect.insort(self._ranked, (*rank, trial.number))
        self._columns.set(trial.number, trial.params, trial.distributions)
        names = frozenset(trial.distributions)
        if names not in self._spaces or trial.number < self._spaces[names][0]:
            self._spaces[names] = (trial.number, trial.distributions)

    def groups(self) -> list[Distributions]:
        """The parameters in groups that are drawn together: each is whole in every trial, or not there at all.

        They come in the order in which going through all trials by number would find them, their parameters by name, without those of one value.
        """
        found: list[Distributions] = []
        for _, space in sorted(self._spaces.values(), key=lambda first: first[0]):
            parts = [{name: group[name] for name in group if (name in space) == inside} for group in found for inside in (True, False)]
            known = {name for group in found for name in group}
            found = [part for part in (*parts, {name: space[name] for name in space if name not in known}) if part]
        groups = [{name: group[name] for name in sorted(group) if not group[name].single()} for group in found]
        return [group for group in groups if group]

    def split(self, space: Distributions, running: Columns) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The values of the best trials and of all others, float64 [trials with all of ``space``] for each parameter, by number of trial.

        Args:
            running: of the trials that have not ended; they count among the others.
        """
        size = max(self._columns.size, running.size)
        values, under_way = self._columns.of(space, size), running.of(space, size)
        not_ended = ~np.isnan(under_way).any(axis=0)
        values[:, not_ended] = under_way[:, not_ended]
        best = np.zeros(size, bool)
        best[[number for *_, number in self._ranked[: default_gamma(len(self))]]] = True
        there = ~np.isnan(values).any(axis=0)
        below, above = ({name: column[rows] for name, column in zip(space, values, strict=True)} for rows in (there & best, there & ~best))
        return below, above


class TrialSampler(optuna.samplers.BaseSampler):
    """TPE (tree-structured Parzen estimator) over the joint space of a task, seeded for each trial by its number, and by the parameter's name where
    one is drawn alone.

    So a trial whose drawing was cut short by a kill gets the rest of what it would have got. It draws what Optuna's ``TPESampler(multivariate=True,
    group=True)`` would draw with that seed, but from ``finished``, to which whoever tells Optuna of a trial's end adds it; so that its time hardly
    grows with the sweep.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._sweep_seed = sweep.seed
        self._space, self._num_startup = sweep.space, sweep.startup_per_task * len(sweep.space.task)
        self.finished = FinishedTrials()
        self._running = RunningTrials()
        self._drawn: dict[int, tuple[Params, Distributions]] = {}  # by number of a running trial, what its task does not ask for included

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> Distributions:
        return {name: distribution for group in self.finished.groups() for name, distribution in group.items()}

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: Distributions) -> Params:
        if len(self.finished) < self._num_startup:
            return {}
        rng, running = np.random.RandomState(self._seed(trial)), self._under_way(study, trial)
        params: Params = {}
        distributions: Distributions = {}
        for group in self.finished.groups():
            params |= self._sample(group, running, rng)
            distributions |= group
        self._drawn[trial.number] = params, distributions
        return params

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: Any) -> Any:
        seed = self._seed(trial, param_name)
        if len(self.finished) < self._num_startup:
            task, _, name = param_name.rpartition("/")
            span = self._space.span(task, name) if name in RANGES_OF_A_TASK else None
            if span is None or span.typical is None or self._is_even(trial.number):
                return optuna.samplers.RandomSampler(seed).sample_independent(study, trial, param_name, param_distribution)
            return span.about_typical(np.random.default_rng(seed).random())
        space = {param_name: param_distribution}
        return self._sample(space, self._under_way(study, trial), np.random.RandomState(seed))[param_name]

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        self._drawn.pop(trial.number, None)

    def _is_even(self, number: int) -> bool:
        """Of each ONE_IN trials in a row one, drawn for them together."""
        return derived_seed(self._sweep_seed, number // ONE_IN, SweepStream.START_UP) % ONE_IN == number % ONE_IN

    def _seed(self, trial: FrozenTrial, name: str = "") -> int:
        return derived_seed(self._sweep_seed, trial.number, SweepStream.SAMPLER, *name.encode())

    def _under_way(self, study: optuna.Study, trial: FrozenTrial) -> Columns:
        self._running.read(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)), self._drawn, trial.number)
        return self._running.columns

    def _sample(self, space: Distributions, running: Columns, rng: np.random.RandomState) -> Params:
        """Of ``NUM_CANDIDATES`` points drawn as the best trials lie, the one that is likeliest under these against all others."""
        below, above = (_ParzenEstimator(values, space, PARZEN) for values in self.finished.split(space, running))
        points = below.sample(rng, NUM_CANDIDATES)
        chosen = int(np.argmax(below.log_pdf(points) - above.log_pdf(points)))
        return {name: distribution.to_external_repr(points[name][chosen].item()) for name, distribution in space.items()}
