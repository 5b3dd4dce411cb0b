"""What all tests share: one MLflow (a database that was migrated once, and a real server on loopback) and one small packed set."""

import csv
import gc
import os
import shutil
import uuid
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from peoria.data.dataset import Dataset, open_dataset
from peoria.data.synthetic import EFFECT_WEIGHTS, plant
from peoria.sweep.resources import GPU_DEVICES
from shards.labels import Labels
from shards.manifest import SplitRule
from shards.pack.pack import pack
from shards.read.openings import OPENINGS
from tests.helpers.cuda import only_gpu
from tests.helpers.mlflow_process import MlflowServer
from tests.helpers.postgres import Postgres

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # before anything imports mlflow
os.environ["RAY_ADDRESS"] = "local"  # whatever cluster this machine may be a node of is none of a test's


def pytest_configure(config: pytest.Config) -> None:
    """A CPU's promises (equal bits) are tested on the CPU, also where there is a GPU: ``device: auto`` sees one under ``-m gpu`` alone."""
    if not only_gpu(config.option.markexpr) and any(map(os.path.exists, GPU_DEVICES)):  # asking torch, or CUDA, would settle what they see
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(["-1"] * 8)  # none, but as many as Ray may be told of where tests pretend some


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not only_gpu(config.option.markexpr):
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="-m gpu runs it"))


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
def postgres() -> Iterator[Postgres]:
    """The session's PostgreSQL server, for tests that take it away for a while; they bring it back."""
    server = Postgres()
    yield server
    server.close()


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """The address of an empty database of this test's own."""
    yield postgres.make(f"test_{uuid.uuid4().hex[:12]}")
    with warnings.catch_warnings():  # of Optuna's own storages, which a control leaves open
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by tests that only read; holds the decoded copy."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def planted_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 planted pictures with owners and dates, packed by the first split rule: sets that are there already go through everything too."""
    root = tmp_path_factory.mktemp("planted")
    plant(root / "pictures", num_pictures=600, seed=3, **EFFECT_WEIGHTS["both"])
    pack(root / "pictures" / "metadata.csv", root / "shards", keep=("oracle",), processes=2, split_rule=SplitRule(version=1))
    return root / "shards"


@pytest.fixture(scope="session")
def vaulted_shards(planted_shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same pictures, many of an owner of their own and three fifths of them test: three vaults, of some 150, 75 and 75 owners; never to be
    changed."""
    pictures, root = planted_shards.parent / "pictures", tmp_path_factory.mktemp("vaulted")
    with (pictures / "metadata.csv").open(newline="") as file:
        rows = [row | {"owner": f"owner{int(row['id']) // 2 if int(row['id']) < 200 else row['id']}"} for row in csv.DictReader(file)]
    with (root / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    rule = SplitRule(train=0.3, val=0.1, test=0.6)
    pack(root / "metadata.csv", root / "shards", keep=("oracle",), pictures=pictures, processes=2, split_rule=rule)
    return root / "shards"


@pytest.fixture(autouse=True)
def sealed(request: pytest.FixtureRequest) -> None:
    """What another test opened of the shared set is sealed again: its test split is one vault, which can be opened once."""
    if "planted_shards" in request.fixturenames:
        (request.getfixturevalue("planted_shards") / OPENINGS).unlink(missing_ok=True)


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
