"""One MLflow for all tests: a database that was migrated once, and a real server on loopback."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow_process import MlflowServer

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # before anything imports mlflow


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty MLflow database; its migrations take about 10 s."""
    from peoria.stores import prepare_sqlite

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
