"""Random streams: each draws from a seed, a number of its own and a position, so that any part can be drawn anew and none disturbs another.

The numbers are part of what a seed means: once given, they stay.
"""

from enum import IntEnum

import numpy as np


class TrialStream(IntEnum):
    """Streams of a training run, by the run's seed and a position in it."""

    ORDER = 0  # the permutation of a pass
    AUGMENTATION = 1  # crops and flips
    DROPOUT = 2
    FROZEN_CROP = 3  # which of its cached crops a picture is seen by


class SweepStream(IntEnum):
    """Streams of a sweep, by the sweep's seed and the number of a trial."""

    SEARCHED = 0  # the seed of a trial of the searched space
    UNSEARCHED = 1  # of one with the paper's settings
    FOLLOW_UP = 2  # of one that has the settings of another
    START_UP = 8  # by a number of four trials: which of them is drawn anywhere
    SAMPLER = 7  # what the sampler draws a trial's settings with


def generator(seed: int, stream: TrialStream, position: int) -> np.random.Generator:
    """The generator of a stream at a position."""
    return np.random.default_rng((seed, stream, position))


def torch_seed(seed: int, stream: TrialStream, position: int) -> int:
    """A seed of 63 bits, which torch takes, for a stream at a position."""
    return int(np.random.SeedSequence((seed, stream, position)).generate_state(1, np.uint64)[0] >> 1)


def derived_seed(seed: int, trial: int, stream: SweepStream, *further: int) -> int:
    """A seed of 32 bits for a trial of a sweep, by the sweep's seed; ``further`` numbers tell apart what a trial needs several of."""
    return int(np.random.SeedSequence((seed, trial, stream, *further)).generate_state(1)[0])
