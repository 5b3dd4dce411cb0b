"""How much a sweep is to train: which trainings, and how many pictures each will see before it ends or is pruned.

Pruning depends on what trials reach, which nobody knows before. Expected is what the pruner's own rule leaves of trials that come one after another,
in an order that says nothing of their quality, and that keep their rank from rung to rung; a sweep that has run in part tells its own share.
"""

import bisect
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from peoria.config.paper_recipe import paper_points
from peoria.config.sweep import Sweep
from peoria.config.trial import TrialConfig
from peoria.records.selection import FURTHER_ENDS, NUM_CANDIDATES, SEARCH_ENDS, Choice, choice_of
from peoria.records.trials import TrialRecord
from peoria.sweep.follow_ups import FollowUp, follow_ups
from peoria.sweep.pruner import falls_behind, sweep_rungs

MOST_SIMULATED = 40_000  # trials, over all simulated sweeps
MANY_SWEEPS = 400
ENOUGH_ENDED = 6  # searched trials of the sweep itself, to go by their share


@dataclass(frozen=True)
class Workload:
    """What remains to be trained. Trainings beyond the search are those of different candidates for each target: at most so many."""

    trials: int
    """Of the searched space."""
    shares: tuple[float, ...]
    """Of each of them: the part of the length that it sees, as expected; in the order in which they run."""
    length: int
    """Of a searched trial, in pictures."""
    paper: tuple[int, ...]
    """Pictures of each of the paper's points."""
    reseeds: int
    """Trainings of candidates and winners with fresh seeds."""
    subsets: int
    """Trainings of the views' winner on parts of train."""
    evaluations: tuple[float, ...]
    """The shares of its length at which a whole training evaluates all of val, ascending."""
    measured: bool = False
    """Whether the share is that of the sweep's own trials."""
    to_choose: int = 0
    """Of those with fresh seeds: how many the choice of the winners, and so all others, wait for."""

    @property
    def share(self) -> float:
        """Of a searched trial's length, the mean."""
        return sum(self.shares) / len(self.shares) if self.shares else 1.0

    @property
    def follow_ups(self) -> int:
        return self.reseeds + self.subsets

    @property
    def trainings(self) -> int:
        return self.trials + len(self.paper) + self.follow_ups

    @property
    def pictures(self) -> int:
        """Train pictures seen, repeats counted, by all trainings together, as expected."""
        return round(self.length * sum(self.shares)) + sum(self.paper) + self.length * self.follow_ups


def any_trial(sweep: Sweep) -> TrialConfig:
    """A trial of the sweep, for what all of them have in common."""
    return sweep.trial({"task": sweep.space.task[0], "learning_rate": 1e-3}, seed=0, threads=1)


def workload(sweep: Sweep, *, favorites: bool, cutoff: str | None, trials: Sequence[TrialRecord] = ()) -> Workload:
    """
    Args:
        favorites: whether they are known, so that two trials may win.
        cutoff: the cutoff date; None where too few dates are known.
        trials: of the sweep's record, where it has one.
    """
    config = any_trial(sweep)
    ended = [trial for trial in trials if trial.purpose == "search" and trial.status in SEARCH_ENDS]
    there = {trial.key for trial in trials if trial.status in FURTHER_ENDS and trial.purpose != "search"}
    paper = paper_points(sweep.space.task, sweep.shared) if sweep.paper else {}
    left = max(0, sweep.trials - len(ended))
    choice = choice_of(list(trials), seeds=sweep.seeds, wanted=sweep.trials, budget=sweep.pictures)
    if not choice.over:
        choice = _most(sweep, ("views", "favorites") if favorites else ("views",))
    first, later = _stages(sweep, choice, cutoff)
    shares = expected_shares(sweep, len(ended) + left)[len(ended) :]
    measured = len(ended) >= ENOUGH_ENDED
    if measured:
        own = sum(seen(trial) for trial in ended) / (config.pictures * len(ended))
        shares = (own,) * left
    if sweep.pictures is not None:
        seen_before = sum(trial.pictures for trial in trials if trial.purpose == "search")
        shares = _within(shares, (sweep.pictures - seen_before) / config.pictures)
        left = len(shares)
    return Workload(
        trials=left,
        shares=shares,
        length=config.pictures,
        paper=tuple(int(point["pictures"]) for key, point in paper.items() if key not in there),
        reseeds=sum(further.purpose == "reseed" and further.key not in there for further in (*first, *later)),
        subsets=sum(further.purpose == "subset" and further.key not in there for further in later),
        evaluations=tuple(point / config.pictures for point in config.evaluation_points()),
        measured=measured,
        to_choose=sum(further.key not in there for further in first),
    )


def _most(sweep: Sweep, targets: tuple[str, ...]) -> Choice:
    """Of a search that is over and whose targets share as few candidates as they can: more is never trained."""
    num = min(NUM_CANDIDATES, sweep.trials) if sweep.seeds else 1
    keys = [str(number) for number in range(min(sweep.trials, num * len(targets)))]
    return Choice(True, {}, dict(zip(targets, (tuple(keys[:num]), tuple(keys[-num:])), strict=False)), {}, {}, (), ())


def _stages(sweep: Sweep, choice: Choice, cutoff: str | None) -> tuple[list[FollowUp], list[FollowUp]]:
    """What the winners are chosen by, and what follows once they are. Of targets without a winner yet the first candidates stand in, or the last, so
    that two are counted where there may be two."""
    unknown = {target: keys[0 if target == "views" else -1] for target, keys in choice.candidates.items()}
    configs = dict.fromkeys((key for keys in choice.candidates.values() for key in keys), any_trial(sweep))
    first = follow_ups(sweep, replace(choice, winners={}), configs, cutoff)
    whole = follow_ups(sweep, replace(choice, winners=unknown | choice.winners), configs, cutoff)
    return first, [further for further in whole if further not in first]


def _within(shares: tuple[float, ...], budget: float) -> tuple[float, ...]:
    """Those of the trials that are begun before ``budget`` lengths are seen."""
    before = itertools.accumulate(shares, initial=0.0)
    return tuple(share for share, sum_before in zip(shares, before, strict=False) if sum_before < budget)


def seen(trial: TrialRecord) -> int:
    """Pictures that a trial has seen, as far as it has reported."""
    points = trial.points()
    return points[-1][0] if points else 0


def expected_shares(sweep: Sweep, trials: int) -> tuple[float, ...]:
    """Of the length that each of ``trials`` trials sees, as expected of the pruner: the simulated sweep whose mean is nearest to that of all."""
    config, rungs = any_trial(sweep), sweep_rungs(sweep)
    if not rungs or not trials:
        return (1.0,) * trials
    number = max(1, min(MANY_SWEEPS, MOST_SIMULATED // trials))
    runs = [_simulated(rungs, sweep.reduction_factor, config.pictures, trials, random.Random(turn)) for turn in range(number)]
    mean = sum(map(sum, runs)) / number
    return min(runs, key=lambda run: abs(sum(run) - mean))


def _simulated(rungs: tuple[int, ...], factor: int, length: int, trials: int, draws: random.Random) -> tuple[float, ...]:
    reached: dict[int, list[float]] = {rung: [] for rung in rungs}
    shares = []
    for _ in range(trials):
        value, end = draws.random(), length
        for rung in rungs:
            bisect.insort(reached[rung], value)
            if falls_behind(value, reached[rung], factor):
                end = rung
                break
        shares.append(end / length)
    return tuple(shares)
