"""One small packed set of planted pictures for all tests of the study."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from peoria.config import Sweep, TrialConfig
from peoria.data import Dataset, open_dataset
from peoria.plant import PLANTS, plant
from peoria.space import LogUniform, Space
from shards.labels import Labels
from shards.pack import pack

os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # no cluster is joined here; the executor's own tests set what they need


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by tests that only read; holds the decoded copy."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def planted_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 planted pictures with owners and dates, packed."""
    root = tmp_path_factory.mktemp("planted")
    plant(root / "pictures", num_pictures=600, seed=3, **PLANTS["both"])
    pack(root / "pictures" / "metadata.csv", root / "shards", keep=("oracle",), processes=2)
    return root / "shards"


@pytest.fixture(scope="session")
def dataset(planted_shards: Path, home: Path) -> Dataset:
    return open_dataset(planted_shards, home / "cache")


def trial_config(**changes: object) -> TrialConfig:
    """A trial of seconds."""
    settings: dict[str, object] = {
        "task": "regression",
        "learning_rate": 3e-3,
        "head_multiplier": 5.0,
        "net": "tiny",
        "target_scale": "log1p",
        "pictures": 640,
        "batch_size": 16,
        "evaluations": 4,
        "curve_points": 20,
        "schedule": "cosine",
        "seed": 1,
    }
    return TrialConfig.model_validate(settings | changes)


def small_sweep(shards: Path, **changes: object) -> Sweep:
    """A sweep of seconds."""
    settings: dict[str, object] = {
        "name": "small",
        "shards": str(shards),
        "trials": 4,
        "space": Space(
            task=("regression", "hybrid"),
            learning_rate=LogUniform(1e-3, 1e-2),
            head_multiplier=LogUniform(1, 10),
            outlier_sd=(None, 3.0),
        ),
        "shared": trial_config().model_dump(include={"net", "target_scale", "pictures", "batch_size", "evaluations", "curve_points", "schedule"}),
        "startup_per_task": 1,
    }
    return Sweep.model_validate(settings | changes)


@pytest.fixture
def make_labels() -> Callable[..., Labels]:
    def make(views: np.ndarray, favorites: np.ndarray | None = None, **columns: np.ndarray) -> Labels:
        keys = np.array([f"{i:09d}" for i in range(len(views))])
        return Labels(keys=keys, ids=keys, owners=columns.pop("owners", np.full(len(views), "")), views=views, favorites=favorites, **columns)

    return make
