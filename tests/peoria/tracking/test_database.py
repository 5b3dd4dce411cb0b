"""Where MLflow keeps things when nobody named a server."""

from pathlib import Path
from typing import Any

import pytest

from peoria.tracking.database import default_tracking_uri, prepare_sqlite
from tests.helpers.mlflow_held import KilledError


def test_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert default_tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert default_tracking_uri(tmp_path) == "http://127.0.0.1:5000"


def test_a_database_is_made_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow.store.db.utils as utils

    def killed(engine: Any) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(utils, "_upgrade_db", killed)
        with pytest.raises(KilledError):
            prepare_sqlite(tmp_path / "mlflow.db")
    assert not (tmp_path / "mlflow.db").exists()
    prepare_sqlite(tmp_path / "mlflow.db")
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
