"""Which trial won: the one place that decides it.

Words, never mixed. The **leader for views** (or for favourites) has the highest last ``val/rho_views`` (``val/gini_fav``) of the search so far. The
**candidates** are the first `NUM_CANDIDATES` by that number. One number of a small val split is luck for the most part, so each candidate is trained
again with `SEEDS_TO_CHOOSE` fresh seeds, and the **winner** is the candidate with the highest mean over these alone; it is what the verdict judges
and what is predicted with. A sweep without fresh seeds has its leader for a winner. The trial that is **best by objective** has the highest last
objective, which is what the searcher maximises, and decides nothing. All among finished trials of the searched space alone: never a curve's maximum,
never a pruned or a diverged trial, never a near-constant network; the earlier one among equals.
"""

import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from peoria.records.schema import SweepRecord
from peoria.records.trials import TrialRecord

TARGET_METRICS = {"views": "val/rho_views", "favorites": "val/gini_fav"}
TARGET_WORDS = {"views": "views", "favorites": "favourites"}
SEARCH_ENDS = ("done", "pruned", "diverged")  # of a searched trial that counts towards those wanted
FURTHER_ENDS = ("done", "diverged")  # of any other: one that failed is tried again
NUM_CANDIDATES = 3
SEEDS_TO_CHOOSE = 2
NEAR_CONSTANT = 1e-6  # of the scale of the scores: some ten roundings of a float32, whose order is that of a CPU's sums


def seed_key(of: str, number: int) -> str:
    """The key of the ``number``-th training of trial ``of`` with a fresh seed, counted from 1."""
    return f"{of}-seed-{number}"


def is_near_constant(metrics: Mapping[str, float]) -> bool:
    """Whether a network gives all val pictures the same score, but for rounding or for a few pictures.

    Args:
        metrics: of its last evaluation, keys with the split. One that does not tell is taken to differ.
    """
    return any(metrics.get(name, 1.0) <= NEAR_CONSTANT for name in ("val/score_sd", "val/score_spread"))


class Standings:
    """The finished searched trials so far, entered in any order."""

    def __init__(self) -> None:
        self._ranked: list[tuple[float, int, str]] = []  # by objective, best first
        self._best: dict[str, list[tuple[float, int, str]]] = {}  # by target, the first few
        self._near_constant: list[tuple[int, str]] = []

    def add(self, key: str, objective: float, metrics: Mapping[str, float]) -> None:
        """
        Args:
            metrics: of the last evaluation, keys with the split.
        """
        bisect.insort(self._ranked, (-objective, len(key), key))
        if is_near_constant(metrics):
            bisect.insort(self._near_constant, (len(key), key))
            return
        for target, metric in TARGET_METRICS.items():
            if metric in metrics:
                bisect.insort(best := self._best.setdefault(target, []), (-metrics[metric], len(key), key))
                del best[NUM_CANDIDATES:]

    @property
    def candidates(self) -> dict[str, tuple[str, ...]]:
        """By target, where its metric is known, the keys of the first `NUM_CANDIDATES`, the leader first."""
        return {target: tuple(key for _, _, key in self._best[target]) for target in TARGET_METRICS if target in self._best}

    @property
    def leaders(self) -> dict[str, str]:
        """By target, where its metric is known, the leader's key."""
        return {target: keys[0] for target, keys in self.candidates.items()}

    def may_win(self, seeds: int) -> set[str]:
        """Keys of the trials that the winners are chosen among, where the sweep trains so many fresh seeds."""
        return {key for keys in self.candidates.values() for key in (keys if seeds else keys[:1])}

    @property
    def near_constant(self) -> tuple[str, ...]:
        """Keys of networks that cannot win."""
        return tuple(key for _, key in self._near_constant)

    @property
    def by_objective(self) -> list[str]:
        """Keys, the best by objective first."""
        return self.best(len(self._ranked))

    def best(self, num: int) -> list[str]:
        """The first ``num`` of them."""
        return [key for _, _, key in self._ranked[:num]]


@dataclass(frozen=True)
class Choice:
    """Who leads and who won, as far as the ends of trials tell; each by target."""

    over: bool
    """Whether the search is."""
    leaders: dict[str, str]
    candidates: dict[str, tuple[str, ...]]
    winners: dict[str, str]
    """Of a sweep with fresh seeds none until the search is over and all that this choice waits for have ended."""
    fresh: dict[str, dict[str, float]]
    """By candidate: the mean of the target's metric over its fresh seeds; of those that have all ended."""
    near_constant: tuple[str, ...]
    """Keys of finished trials that cannot win."""
    waits_for: tuple[str, ...]
    """Keys of the fresh seeds that have not ended yet."""

    def said(self, target: str, metrics: Mapping[str, float]) -> str:
        """Words for the winner, or the leader, of a target, with the measure that chose it: ``winner for views (rho_views +0.619)``.

        Args:
            metrics: of its last evaluation in the search.
        """
        name, value = TARGET_METRICS[target].removeprefix("val/"), metrics[TARGET_METRICS[target]]
        if target not in self.winners:
            return f"leader for {TARGET_WORDS[target]} ({name} {value:+.3f})"
        key, num = self.winners[target], len(self.candidates[target])
        if num == 1:
            return f"winner for {TARGET_WORDS[target]} ({name} {value:+.3f})"
        return f"winner for {TARGET_WORDS[target]} ({name} {self.fresh[target][key]:+.3f} by fresh seeds, best of {num}; {value:+.3f} in the search)"

    def said_of(self, trials: Mapping[str, TrialRecord]) -> list[tuple[str, str]]:
        """`said` and the key, of the winner or leader of each target.

        Args:
            trials: by key.
        """
        return [(self.said(target, trials[key].metrics), key) for target, key in (self.leaders | self.winners).items()]

    @property
    def passed_over(self) -> str:
        """Which finished trials cannot win, and why; "" where there is none."""
        keys = self.near_constant
        return f"near-constant on val, so no candidate{'s' if len(keys) > 1 else ''}: {', '.join(keys)}" if keys else ""


def choose(standings: Standings, ended: Mapping[str, Mapping[str, float]], *, seeds: int, over: bool) -> Choice:
    """By what is stored alone, so that the order in which trials ended, and what was killed in between, changes nothing.

    Args:
        ended: by key of each trial beyond the search that has ended, its last metrics; {} of one that diverged, which counts as ranking nothing.
        seeds: fresh seeds that the sweep trains of a winner; 0: its leaders are its winners.
        over: whether the search is.
    """
    leaders, candidates = standings.leaders, standings.candidates
    if not seeds:
        return Choice(over, leaders, {target: (key,) for target, key in leaders.items()}, leaders, {}, standings.near_constant, ())
    winners: dict[str, str] = {}
    fresh: dict[str, dict[str, float]] = {target: {} for target in candidates}
    waits: dict[str, None] = {}
    for target, keys in candidates.items():
        for of in keys:
            needed = [seed_key(of, number) for number in range(1, SEEDS_TO_CHOOSE + 1)]
            if missing := [key for key in needed if key not in ended]:
                waits |= dict.fromkeys(missing if len(keys) > 1 else ())
            else:
                fresh[target][of] = sum(_ranks(ended[key], TARGET_METRICS[target]) for key in needed) / SEEDS_TO_CHOOSE
        if over and (len(keys) == 1 or len(fresh[target]) == len(keys)):  # with one there is nothing to choose
            winners[target] = max(keys, key=lambda of: fresh[target].get(of, 0.0))
    return Choice(over, leaders, candidates, winners, fresh, standings.near_constant, tuple(waits))


def _ranks(metrics: Mapping[str, float], metric: str) -> float:
    return 0.0 if is_near_constant(metrics) else metrics.get(metric, 0.0)


def standings(trials: Iterable[TrialRecord]) -> Standings:
    """Of all trials of a sweep; those that do not count are left out."""
    found = Standings()
    for trial in trials:
        if trial.purpose == "search" and trial.status == "done" and trial.objective is not None:
            found.add(trial.key, trial.objective, trial.metrics)
    return found


def to_begin(wanted: int, budget: int | None, *, ended: int, seen: int) -> int:
    """Searched trials that are still to be begun or to be ended.

    Args:
        wanted: that the sweep asks for.
        budget: pictures that they may see; None: any number.
        ended: of them, as done, pruned or diverged.
        seen: pictures of all that have ended, in whatever way.
    """
    return 0 if budget is not None and seen >= budget else max(0, wanted - ended)


def left_of_search(trials: Iterable[TrialRecord], wanted: int, budget: int | None) -> int:
    """`to_begin` by the ends of all ``trials`` of a sweep; at least those that have begun and not ended."""
    searched = [trial for trial in trials if trial.purpose == "search"]
    ended, seen = sum(trial.status in SEARCH_ENDS for trial in searched), sum(trial.pictures for trial in searched)
    return max(sum(trial.status == "running" for trial in searched), to_begin(wanted, budget, ended=ended, seen=seen))


def choice_of(trials: list[TrialRecord], *, seeds: int, wanted: int, budget: int | None = None) -> Choice:
    """
    Args:
        trials: all of a sweep.
        seeds: fresh seeds that the sweep trains of a winner.
        wanted: searched trials that the sweep asks for.
        budget: pictures that these may see; None: any number.
    """
    searched = [trial for trial in trials if trial.purpose == "search"]
    over = not left_of_search(searched, wanted, budget)
    ended = {
        trial.key: trial.metrics if trial.status == "done" else {} for trial in trials if trial.purpose == "reseed" and trial.status in FURTHER_ENDS
    }
    return choose(standings(searched), ended, seeds=seeds, over=over)


def choice_in(sweep: SweepRecord, trials: list[TrialRecord]) -> Choice:
    """`choice_of` all trials of a sweep, as its record asks for them."""
    return choice_of(trials, seeds=sweep.seeds, wanted=sweep.trials, budget=sweep.pictures)


def winners_of(sweep: SweepRecord, trials: list[TrialRecord]) -> dict[str, TrialRecord]:
    """The winner for ``views`` and, where favourites are known, for ``favorites``; those that are known."""
    by_key = {trial.key: trial for trial in trials}
    return {target: by_key[key] for target, key in choice_in(sweep, trials).winners.items()}


def best_by_objective(trials: list[TrialRecord]) -> TrialRecord | None:
    """None where no searched trial has finished."""
    by_key = {trial.key: trial for trial in trials}
    return next((by_key[key] for key in standings(trials).best(1)), None)
