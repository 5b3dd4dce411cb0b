"""What the place within a pass explains of a loss: most of it where each pass has one order, nothing where each is shuffled."""

from pathlib import Path

import numpy as np
import pytest

from peoria.data.dataset import Dataset
from peoria.errors import PeoriaError
from peoria.paper.oscillation import oscillation, softmax_losses
from peoria.records.folder import TrialFolder
from peoria.training.loop import train
from tests.helpers.small import trial_config


@pytest.mark.parametrize("seed", range(3))
def test_a_fixed_order_comes_back_and_a_shuffled_one_does_not(seed: int) -> None:
    assert oscillation(softmax_losses("fixed", seed=seed), 80) > 0.9
    assert abs(oscillation(softmax_losses("shuffled", seed=seed), 80)) < 0.1


def test_noise_is_at_chance_for_any_length_of_a_pass() -> None:
    random = np.random.default_rng(0)
    for batches in (4, 5.5, 50, 80.3):
        found = [oscillation(random.standard_normal(int(8 * batches)), batches) for _ in range(200)]
        assert np.mean(found) == pytest.approx(0, abs=4 * np.std(found) / np.sqrt(200) + 0.02)


def test_a_trend_is_no_oscillation() -> None:
    steps = np.arange(1000)
    noise = np.random.default_rng(0).standard_normal(1000)
    falling = 50 * np.exp(-steps / 200) + noise
    assert abs(oscillation(falling, 50)) < 0.1
    assert oscillation(falling + 2 * np.sin(2 * np.pi * steps / 50), 50) == pytest.approx(2 / 3, abs=0.06)  # variances 2 and 1
    assert abs(oscillation(falling + 2 * np.sin(2 * np.pi * steps / 50), 37)) < 0.1  # another period is not that of the pass


def test_batches_that_lie_across_the_end_of_a_pass() -> None:
    """Where a pass is no whole number of batches those of one place overlap in part, and the periodicity is weaker."""
    hardness = np.random.default_rng(0).standard_normal(4010)
    losses = np.tile(hardness, 12)[: 4010 * 12 // 50 * 50].reshape(-1, 50).mean(axis=1)
    assert 0.4 < oscillation(losses, 4010 / 50) < 0.9
    shuffled = np.concatenate([np.random.default_rng(k).permutation(hardness) for k in range(12)])[: len(losses) * 50].reshape(-1, 50).mean(axis=1)
    assert abs(oscillation(shuffled, 4010 / 50)) < 0.1


def test_a_constant_loss_does_not_oscillate() -> None:
    assert oscillation(np.ones(100), 10) == 0.0


def test_too_short_a_curve_is_refused() -> None:
    with pytest.raises(PeoriaError, match=r"losses: 29 losses, 10 a pass; at least 3 passes of at least 4 losses are needed to see a periodicity"):
        oscillation(np.arange(29.0), 10)
    with pytest.raises(PeoriaError, match=r"losses: 100 losses, 3.5 a pass"):
        oscillation(np.arange(100.0), 3.5)


@pytest.mark.parametrize("order", ["fixed", "shuffled"])
def test_training_in_either_order(order: str, dataset: Dataset, tmp_path: Path) -> None:
    """The product's own training, a point of the curve a batch."""
    num = len(dataset.train)
    batch_size = num // 8
    length = 12 * 8 * batch_size
    config = trial_config(task="hybrid", target_scale="standard", order=order, outlier_sd=None, batch_size=batch_size, pictures=length,
                          curve_points=96, evaluations=1, learning_rate=1e-3, schedule="constant")  # fmt: skip
    losses = [values["train/loss"] for report in train(config, dataset, TrialFolder(tmp_path)) for _, values in report.points]
    assert len(losses) == 96
    found = oscillation(np.array(losses), num / batch_size)
    assert found > 0.5 if order == "fixed" else abs(found) < 0.3
