import numpy as np

from peoria.data.streams import SweepStream, TrialStream, derived_seed, generator, torch_seed


def test_the_numbers_of_the_streams_stay_as_they_were_given() -> None:
    """Another number is another order, another crop: trials that were begun could not go on, and a seed would mean something else."""
    assert [stream.value for stream in TrialStream] == [0, 1, 2, 3]
    assert [stream.value for stream in SweepStream] == [0, 1, 2, 8, 7]
    assert generator(5, TrialStream.FROZEN_CROP, 40).random() == np.random.default_rng((5, 3, 40)).random()
    assert torch_seed(5, TrialStream.DROPOUT, 40) == int(np.random.SeedSequence((5, 2, 40)).generate_state(1, np.uint64)[0] >> 1) < 2**63
    assert derived_seed(5, 12, SweepStream.FOLLOW_UP, 3) == int(np.random.SeedSequence((5, 12, 2, 3)).generate_state(1)[0])
    assert derived_seed(5, 12, SweepStream.SEARCHED) == int(np.random.SeedSequence((5, 12, 0)).generate_state(1)[0])
