"""Where MLflow keeps things when nobody named a server."""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from peoria.errors import ConfigError
from peoria.tracking.database import default_tracking_uri, prepare_sqlite, refuse_tracking
from peoria.tracking.projection import Tracker
from tests.helpers.mlflow_held import KilledError
from tests.helpers.sweep_folder import whole_sweep


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


NAMES = [
    "a?b",
    "a%20b",
    "%2e%2e",
    "a#b",
    "a b",
    'it\'s "quoted"',
    "ümläut",
    "猫",
    "a\nb",
    "-x",
    "a&b;c|d",
    "$HOME",
    b"bytes\xff".decode("utf-8", "surrogateescape"),
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_database_lies_where_the_home_is(name: str, migrated_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    home = tmp_path / "homes" / name
    home.mkdir(parents=True)
    shutil.copy(migrated_database, home / "mlflow.db")
    folder = whole_sweep(home / "demo")
    uri = default_tracking_uri(home)
    assert uri == default_tracking_uri(home)  # the same each time
    assert Tracker(uri).project(folder.folder).runs == 10
    with closing(sqlite3.connect(home / "mlflow.db")) as database:
        assert database.execute("select count(*) from runs").fetchone() == (10,)
        assert database.execute("pragma integrity_check").fetchone() == ("ok",)
    assert [path.name for path in home.glob("mlartifacts/*/artifacts/report.html")] == ["report.html"]
    assert [path.name for path in (tmp_path / "homes").iterdir()] == [name]  # and nowhere else


@pytest.mark.parametrize("name", ["a?b", "a%20b"])
def test_control_an_address_does_not_hold_every_name(name: str, tmp_path: Path) -> None:
    from sqlalchemy.engine import make_url

    assert make_url(f"sqlite:///{tmp_path}/{name}/mlflow.db").database != f"{tmp_path}/{name}/mlflow.db"


def test_a_database_is_made_under_a_strange_name(tmp_path: Path) -> None:
    home = tmp_path / "a?b%20c"
    prepare_sqlite(home / "mlflow.db")
    assert [path.name for path in home.iterdir()] == ["mlflow.db"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a?b%20c"]


def test_a_path_that_sqlite_does_not_take_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = tmp_path / "/".join(["x" * 200] * 4)
    home.mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"mlflow.db: \d{3} bytes; SQLite takes a path of 450"):
        default_tracking_uri(home)
    with pytest.raises(sqlite3.OperationalError, match="unable to open"), closing(sqlite3.connect(home / "mlflow.db")) as database:  # control
        database.execute("create table t (a)")
    for length in (449, 450, 451):
        short = tmp_path / ("y" * 200) / ("z" * (length - len(str(tmp_path)) - 202 - len("/mlflow.db")))
        if length == 451:
            with pytest.raises(ConfigError, match="451 bytes"):
                default_tracking_uri(short)
        else:
            short.mkdir(parents=True)
            for file in ("mlflow.db", f".mlflow.db.{'0' * 32}.tmp"):  # the longest that is made there
                with closing(sqlite3.connect(short / file)) as database:
                    database.execute("create table t (a)")
                    database.commit()


def test_a_link_of_somebody_else_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    temporary, home = tmp_path / "temporary", tmp_path / "a?b"
    temporary.mkdir()
    home.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    uri = default_tracking_uri(home)
    assert uri.startswith(f"sqlite:///{temporary}/")
    link = Path(uri.removeprefix("sqlite:///")).parent
    link.unlink()
    link.symlink_to(tmp_path)  # elsewhere
    assert default_tracking_uri(home) == uri
    assert link.resolve() == home
    link.parent.chmod(0o777)  # where anybody may have put it
    assert not default_tracking_uri(home).startswith(f"sqlite:///{temporary}/")


@pytest.mark.parametrize(
    "uri",
    [
        "htp:/what",
        "http://h/m?a=1",
        "htp://what",
        "http://",
        "https:///x",
        "http://host:99999",
        "http://host:port",
        "nowhere",
        "postgres://h/d",
        "http://[::1",
    ],
)
def test_an_address_that_is_none_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match=r"--tracking: .*; http://HOST:PORT"):
        refuse_tracking(uri)


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:5000", "https://host/path", "sqlite:////tmp/x.db", "postgresql+psycopg://a:b@h/d", "file:///tmp", "/tmp", "databricks"]
)
def test_control_an_address_that_may_be_one_is_not(uri: str) -> None:
    refuse_tracking(uri)
