"""Whether MLflow's store is there and of this MLflow's schema, looked at without changing it."""

import os
import sqlite3
from pathlib import Path

from peoria.databases import address, is_database, refuse_unreachable
from peoria.tracking.database import quiet, refuse_tracking, sqlite_file

ANSWER_S = 5


def store_trouble(uri: str) -> str:
    """What is wrong with MLflow's store at ``uri``; "" where nothing is, or where a file is still to be made.

    Raises:
        ConfigError: it is no address that MLflow could ever be at.
        MlflowException, SQLAlchemyError, OSError: it does not answer, as `peoria.borders.told` says it.
    """
    refuse_tracking(uri)
    path = sqlite_file(uri)
    if path is not None:
        return _of_a_file(path)
    quiet()
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"], os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = str(ANSWER_S), "0"
    from mlflow import MlflowClient

    if is_database(uri):
        refuse_unreachable(uri)  # MLflow itself tries ten times, for minutes
    MlflowClient(address(uri)).search_experiments(max_results=1)  # a server answers for its own database
    return ""


def _of_a_file(path: Path) -> str:
    if not path.exists():
        return ""
    try:
        opened = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=ANSWER_S)
        try:
            found = [row[0] for row in opened.execute("select version_num from alembic_version")]
        finally:
            opened.close()
    except sqlite3.Error as error:
        return f"no database of MLflow ({error})"
    wanted = newest_schema()
    return "" if found == [wanted] else f"schema {', '.join(found) or 'none'}, and this MLflow has {wanted}"


def newest_schema() -> str:
    """The revision that this MLflow's databases have."""
    from importlib.util import find_spec

    from alembic.config import Config
    from alembic.script import ScriptDirectory

    spec = find_spec("mlflow")
    assert spec is not None
    assert spec.origin is not None
    config = Config()
    config.set_main_option("script_location", str(Path(spec.origin).parent / "store" / "db_migrations"))
    return str(ScriptDirectory.from_config(config).get_current_head())
