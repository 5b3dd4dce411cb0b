"""A swept set of seconds, for tests that hand its models on."""

from pathlib import Path

import numpy as np
import pytest

from peoria.records.folder import SweepFolder
from peoria.records.whole import trial_scores
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import run_sweep
from shards.read.shard_set import ShardSet
from tests.helpers.small import small_sweep


@pytest.fixture(scope="module")
def swept(planted_shards: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the sweep ``small``: one trial, which wins; not to be changed but by reports."""
    root = tmp_path_factory.mktemp("swept")
    run_sweep(small_sweep(planted_shards, trials=1), RunOptions(home=root, cache_dir=home / "cache", local=True, tracking="off"))
    return root


@pytest.fixture(scope="module")
def val(swept: Path, planted_shards: Path) -> tuple[list[Path], np.ndarray]:
    """The original files of some val pictures, and the scores that the sweep's own evaluation gave them, float64 [8]."""
    labels = ShardSet(planted_shards).labels("val")
    (trial,) = SweepFolder.of(swept, "small").trials()
    scores = trial_scores(trial)
    assert list(scores.keys) == list(labels.keys)
    images = planted_shards.parent / "pictures" / "images"
    return [next(images.glob(f"{int(one):06d}.*")) for one in labels.ids[:8]], scores.views[:8]
