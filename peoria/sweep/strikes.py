"""Trials that their surroundings interrupt: how soon each is tried again, and when trying is given up."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

TRIES_ON_A_NODE = 6  # without a further step, one after another
NODES = 3  # that a trial could not make a step on: it is not the node
LONGEST_WAIT_S = 60.0


@dataclass
class _Trial:
    step: int  # reached when it was handed out, or at its last interruption
    nodes: Counter[str] = field(default_factory=Counter)  # strikes by node
    not_before_s: float = 0.0
    all_steps: int = 0  # of all trials, when its first strike fell


class Strikes:
    """A strike is an interruption without a further step since the last one; with one, the count begins again. In this run alone: who starts the
    sweep again wants another try.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._trials: dict[str, _Trial] = {}

    def handed_out(self, key: str, step: int) -> None:
        """Or: it has come so far, whatever ended it."""
        trial = self._trials.setdefault(key, _Trial(step))
        if step > trial.step:
            trial.step = step
            trial.nodes.clear()

    def interrupted(self, key: str, step: int, node: str, all_steps: int) -> float:
        """Counts, and returns the seconds that the trial waits for its next try.

        Args:
            all_steps: how many all trials have made so far.
        """
        trial = self._trials.setdefault(key, _Trial(step))
        if step > trial.step:
            trial.step = step
            trial.nodes.clear()
            return self.wait(key, 0.0)
        if not trial.nodes:
            trial.all_steps = all_steps
        trial.nodes[node] += 1
        return self.wait(key, min(LONGEST_WAIT_S, 2.0 ** (trial.nodes.total() - 1)))

    def wait(self, key: str, seconds: float) -> float:
        self._trials.setdefault(key, _Trial(-1)).not_before_s = self._clock() + seconds
        return seconds

    def left(self, key: str) -> float:
        """Seconds until the trial may be handed out, at least 0."""
        trial = self._trials.get(key)
        return 0.0 if trial is None else max(0.0, trial.not_before_s - self._clock())

    def given_up(self, key: str) -> bool:
        """Whether it is tried no more: a node's strikes count together as one towards `NODES`, and alone up to `TRIES_ON_A_NODE`."""
        nodes = self._trials[key].nodes
        return len(nodes) >= NODES or max(nodes.values(), default=0) >= TRIES_ON_A_NODE

    def others_went_on(self, key: str, all_steps: int) -> bool:
        """Whether any other trial has made a step since this one's first strike."""
        return all_steps > self._trials[key].all_steps
