"""What all tests share: one MLflow (a database that was migrated once, and a real server on loopback) and one small packed set."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from peoria.data.dataset import Dataset, open_dataset
from peoria.data.synthetic import EFFECT_WEIGHTS, plant
from shards.labels import Labels
from shards.pack.pack import pack
from tests.helpers.mlflow_process import MlflowServer

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # before anything imports mlflow


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database; its migrations take about 10 s."""
    from peoria.tracking.database import prepare_sqlite

    path = tmp_path_factory.mktemp("migrated") / "mlflow.db"
    prepare_sqlite(path)
    return path


@pytest.fixture
def mlflow_sqlite(migrated_database: Path, tmp_path: Path) -> str:
    """The address of an empty database of this test's own."""
    path = tmp_path / "mlflow" / "mlflow.db"
    path.parent.mkdir()
    shutil.copy(migrated_database, path)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def mlflow_server_process(migrated_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """The session's server, for tests that take it away for a while; they bring it back."""
    database = tmp_path_factory.mktemp("server") / "mlflow.db"
    shutil.copy(migrated_database, database)
    server = MlflowServer(database)
    server.start()
    yield server
    server.kill()


@pytest.fixture
def mlflow_server(mlflow_server_process: MlflowServer) -> str:
    """The address of the session's MLflow server."""
    return mlflow_server_process.uri


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by tests that only read; holds the decoded copy."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def planted_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 planted pictures with owners and dates, packed."""
    root = tmp_path_factory.mktemp("planted")
    plant(root / "pictures", num_pictures=600, seed=3, **EFFECT_WEIGHTS["both"])
    pack(root / "pictures" / "metadata.csv", root / "shards", keep=("oracle",), processes=2)
    return root / "shards"


@pytest.fixture(scope="session")
def dataset(planted_shards: Path, home: Path) -> Dataset:
    return open_dataset(planted_shards, home / "cache")


@pytest.fixture
def make_labels() -> Callable[..., Labels]:
    def make(views: np.ndarray, favorites: np.ndarray | None = None, **columns: np.ndarray) -> Labels:
        keys = np.array([f"{i:09d}" for i in range(len(views))])
        return Labels(keys=keys, ids=keys, owners=columns.pop("owners", np.full(len(views), "")), views=views, favorites=favorites, **columns)

    return make


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a tiny trunk that was not trained: it knows something of colour all the same."""
    from safetensors.torch import save_file

    from peoria.models import build

    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file(build("tiny", num_outputs=1, seed=9)[0].trunk.state_dict(), path)
    return path


@pytest.fixture
def here(dataset: Dataset, tmp_path: Path) -> Dataset:
    """The small data set with a cache of this test's own."""
    return replace(dataset, cache=tmp_path / "cache")
