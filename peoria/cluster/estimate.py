"""What a sweep will take: seconds of its trials by what was probed, the time until it is over on so many nodes, and what that costs."""

import bisect
import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from peoria.cluster.prices import Offer, Prices, offers
from peoria.cluster.probe import Probe
from peoria.sweep.resources import trials_on_gpus
from peoria.sweep.workload import Workload

DECODING_THREADS = 8  # most that decode at a time


class Alternative(NamedTuple):
    """A type of node, so many of them."""

    offer: Offer
    nodes: int
    wall_s: float
    money: float


@dataclass(frozen=True)
class Estimate:
    """Seconds of the parts of a sweep, on the device that was probed."""

    work: Workload
    probe: Probe
    num_train: int
    num_val: int
    frozen_crops: int
    """Of a train picture, through a frozen trunk; 0 where the trunk is trained."""
    trunk_baseline: bool
    """Whether a baseline looks at every picture with the net."""
    gpus_per_trial: float
    """0: trials run on CPUs."""
    cpus_per_trial: int

    def trial_s(self, pictures: float, share: float = 1.0) -> float:
        """A training of ``pictures`` pictures, of which it sees a ``share``."""
        evaluations = bisect.bisect_right(self.work.evaluations, share + 1e-9)
        seen = pictures * share * self.probe.picture_s
        return self.probe.fixed_s + seen + evaluations * (self.probe.evaluation_s + self.num_val * self.probe.val_s)

    @property
    def first_s(self) -> list[float]:
        """Of each training of the paper's points and the search, in order."""
        return [self.trial_s(pictures) for pictures in self.work.paper] + [self.trial_s(self.work.length, share) for share in self.work.shares]

    @property
    def after_s(self) -> list[float]:
        """Of each follow-up."""
        return [self.trial_s(self.work.length)] * self.work.follow_ups

    @property
    def stages_s(self) -> tuple[list[float], list[float], list[float]]:
        """Of each training; none of a stage begins before the stage before it is over: the search, what chooses the winners, what waits for them."""
        return self.first_s, self.after_s[: self.work.to_choose], self.after_s[self.work.to_choose :]

    @property
    def trials_s(self) -> float:
        """Of all trainings, one after another."""
        return sum(self.first_s) + sum(self.after_s)

    @property
    def baselines_s(self) -> float:
        """Looking at every picture once, before the first trial starts."""
        return (self.num_train + self.num_val) * (self.probe.baseline_s + self.trunk_baseline * self.probe.val_s)

    def device_s(self, workers: int) -> float:
        """GPU-seconds (CPU-seconds without) that trials hold, with so many workers to be started."""
        return (self.trials_s + workers * self.probe.cold_s) * (self.gpus_per_trial or self.cpus_per_trial)

    def node_s(self, cpus: int, speed: float = 1.0) -> float:
        """What a node does once before its first trial: its decoded copy, and the features of a frozen trunk."""
        decoding = (self.num_train + self.num_val) * self.probe.decode_s / min(cpus, DECODING_THREADS)
        return decoding + (self.num_train * self.frozen_crops + self.num_val * bool(self.frozen_crops)) * self.probe.crop_s / speed

    def slots(self, gpus: int, cpus: int) -> int:
        """Trials at a time on a node; 0 where none fits."""
        if not self.gpus_per_trial:
            return cpus // self.cpus_per_trial
        return min(trials_on_gpus(self.gpus_per_trial, gpus), cpus // self.cpus_per_trial)

    def wall_s(self, nodes: int, slots: int, cpus: int, speed: float = 1.0) -> float:
        """From the first node that works to the last trial's end: baselines, each node's own preparation, the search, then the follow-ups."""
        training = sum(makespan(stage, nodes * slots) for stage in self.stages_s)
        return self.baselines_s + self.node_s(cpus, speed) + (self.probe.cold_s + training) / speed


def makespan(lengths: Sequence[float], slots: int) -> float:
    """Until the last of so many ends, each begun in order where one before it ended."""
    free = [0.0] * slots
    for length in lengths:
        heapq.heapreplace(free, free[0] + length)
    return max(free)


def most_useful(work: Workload, slots: int) -> int:
    """Nodes beyond which some would stay without a trial."""
    return max(1, -(-max(work.trials + len(work.paper), work.follow_ups) // slots))


def alternatives(found: Estimate, prices: Prices, nodes: Sequence[int]) -> list[Alternative]:
    """Every type at each of its prices, by so many nodes; a type that no trial fits on is left out. A node is paid from its launch until it has been
    idle for long enough, the head for all of it."""
    table = []
    for offer in offers(prices):
        slots = found.slots(offer.type.gpus, offer.type.cpus)
        if not slots or bool(found.gpus_per_trial) != bool(offer.type.gpus):
            continue
        for num in sorted({min(num, most_useful(found.work, slots)) for num in nodes}):
            wall = found.wall_s(num, slots, offer.type.cpus, offer.type.speed or 1.0) + 60 * prices.boot_minutes
            hours = (wall + 60 * prices.idle_minutes) / 3600
            table.append(Alternative(offer, num, wall, hours * (num * offer.price + prices.head)))
    return table
