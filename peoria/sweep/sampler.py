"""How Optuna draws and prunes for a sweep, so that a kill at any instant changes neither."""

import bisect
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import optuna
from optuna.samplers._lazy_random_state import LazyRandomState
from optuna.samplers._tpe.sampler import default_gamma
from optuna.search_space.group_decomposed import _SearchSpaceGroup
from optuna.trial import FrozenTrial, TrialState

from peoria.config.sweep import Sweep
from peoria.data.streams import SweepStream, derived_seed

Distributions = dict[str, optuna.distributions.BaseDistribution]


class FinishedTrials:
    """What TPE looks at of the trials that have ended, kept from trial to trial: Optuna's own reads and sorts all of them for each parameter."""

    def __init__(self) -> None:
        self._ranked: list[tuple[int, float, float, int]] = []  # best first; the number comes last
        self._values: dict[str, np.ndarray] = {}  # parameter → its value of each trial number as Optuna stores it, NaN where there is none
        self._size = 0  # of each of these
        self._spaces: dict[frozenset[str], tuple[int, Distributions]] = {}  # names drawn together → the first trial with them

    def __len__(self) -> int:
        return len(self._ranked)

    def add(self, trial: FrozenTrial) -> None:
        """A trial that Optuna knows as COMPLETE or PRUNED."""
        rank: tuple[int, float, float]
        if trial.state == TrialState.COMPLETE:
            assert trial.value is not None
            rank = (0, -trial.value, 0.0)
        else:
            step, value = max(trial.intermediate_values.items(), default=(-1, 0.0))
            rank = (1, -step, -value)
        bisect.insort(self._ranked, (*rank, trial.number))
        self._make_room(trial.number)
        for name, distribution in trial.distributions.items():
            column = self._values.setdefault(name, np.full(self._size, np.nan))
            column[trial.number] = distribution.to_internal_repr(trial.params[name])
        names = frozenset(trial.distributions)
        if names not in self._spaces or trial.number < self._spaces[names][0]:
            self._spaces[names] = (trial.number, trial.distributions)

    def _make_room(self, number: int) -> None:
        if number >= self._size:
            more = np.full(2 * number + 1 - self._size, np.nan)
            self._values = {name: np.append(column, more) for name, column in self._values.items()}
            self._size += len(more)

    def calculate(self, study: optuna.Study, use_cache: bool) -> _SearchSpaceGroup:
        """The parameters in groups that are drawn together, in the order in which going through all trials by number would find them."""
        group = _SearchSpaceGroup()
        for _, space in sorted(self._spaces.values(), key=lambda found: found[0]):
            group.add_distributions(space)
        return group

    def split(self, names: Iterable[str], running: dict[int, list[float]]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The values of the best trials and of all others, by number of trial.

        Args:
            running: the values of trials that have not ended, by number; they count among the others.
        """
        self._make_room(max(running, default=0))
        values = np.array([self._values.get(name, np.full(self._size, np.nan)) for name in names])  # [parameter, trial]
        for number, point in running.items():
            values[:, number] = point
        best = np.zeros(self._size, bool)
        best[[number for *_, number in self._ranked[: default_gamma(len(self))]]] = True
        there = ~np.isnan(values).any(axis=0)
        below, above = ({name: column[rows] for name, column in zip(names, values, strict=True)} for rows in (there & best, there & ~best))
        return below, above


class TrialSampler(optuna.samplers.TPESampler):
    """TPE over the joint space of a task, seeded for each trial by its number, and by the parameter's name where one is drawn alone.

    So a trial whose drawing was cut short by a kill gets the rest of what it would have got. It draws what Optuna's own would draw with that seed,
    but from ``finished``, to which whoever tells Optuna of a trial's end adds it; so that its time hardly grows with the sweep.
    """

    def __init__(self, sweep: Sweep) -> None:
        with warnings.catch_warnings():
            # `group` keeps the parameters of one task together; it has been called experimental since 2021.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            super().__init__(multivariate=True, group=True, n_startup_trials=sweep.startup_per_task * len(sweep.space.task))
        self._sweep_seed = sweep.seed
        self.finished = self._group_decomposed_search_space = FinishedTrials()

    def _begin(self, study: optuna.Study, trial: FrozenTrial, name: str = "") -> None:
        seed = derived_seed(self._sweep_seed, trial.number, SweepStream.SAMPLER, *name.encode())
        self._rng = LazyRandomState(seed)
        self._random_sampler = optuna.samplers.RandomSampler(seed)
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        self._running = {other.number: self._get_params(other, study) for other in running if other.number != trial.number}

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: Distributions) -> dict[str, Any]:
        self._begin(study, trial)
        return super().sample_relative(study, trial, search_space)

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: Any) -> Any:
        self._begin(study, trial, param_name)
        return super().sample_independent(study, trial, param_name, param_distribution)

    def _sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: Distributions) -> dict[str, Any]:
        return self._sample(study, trial, search_space) if search_space and len(self.finished) >= self._n_startup_trials else {}

    def _sample(self, study: optuna.Study, trial: FrozenTrial, search_space: Distributions) -> dict[str, Any]:
        running = {
            number: [distribution.to_internal_repr(params[name]) for name, distribution in search_space.items()]
            for number, params in self._running.items()
            if search_space.keys() <= params.keys()
        }
        values = self.finished.split(search_space, running)
        below, above = (self._parzen_estimator_cls(found, search_space, self._parzen_estimator_parameters) for found in values)
        samples = below.sample(self._rng.rng, self._n_ei_candidates)
        best = self._compare(samples, self._compute_acquisition_func(samples, below, above))
        return {name: distribution.to_external_repr(best[name]) for name, distribution in search_space.items()}
