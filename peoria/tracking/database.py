"""Where MLflow keeps what it is sent when nobody named a server: a SQLite file, made whole."""

import os
import uuid
from pathlib import Path
from typing import Any


def default_tracking_uri(home: Path) -> str:
    """MLFLOW_TRACKING_URI, or a database in ``home``; its artifacts lie beside it in ``mlartifacts``."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home.absolute()}/mlflow.db"


def sqlite_file(uri: str) -> Path | None:
    """The file of a SQLite address, or None."""
    return Path(uri.removeprefix("sqlite:///")).absolute() if uri.startswith("sqlite:///") else None


def prepare_sqlite(path: Path) -> None:
    """Makes MLflow's database at ``path`` whole or not at all. Its migrations take about 10 s, and one killed among them leaves a database
    that MLflow refuses for good ("out-of-date database schema"); two at once break each other."""
    if path.exists():
        return
    import logging

    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path.parent.mkdir(parents=True, exist_ok=True)
    # a name of its own for each try: SqlAlchemyStore keeps an engine a name, and that of a failed try holds a file that is gone
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    for name in ("alembic", "mlflow.store.db.utils"):
        logging.getLogger(name).setLevel(logging.WARNING)  # a line a migration otherwise
    make: Any = SqlAlchemyStore  # untyped
    try:
        make(f"sqlite:///{temporary}", (path.parent / "mlartifacts").as_uri()).engine.dispose()
        os.link(temporary, path)
    except FileExistsError:
        pass  # another sweep was faster
    finally:
        temporary.unlink(missing_ok=True)
