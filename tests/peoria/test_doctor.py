"""`peoria doctor`: each thing that sweeps stand on is looked at for what it is, and one that is wrong fails with a hint."""

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from peoria import doctor
from peoria.borders import told
from peoria.doctor import Check, examine
from peoria.records.home import Home
from peoria.tracking.health import newest_schema
from tests.helpers.local_cluster import free_ports
from tests.helpers.s3_server import s3_server


def looked(home: Home, monkeypatch: pytest.MonkeyPatch, storage: str | None = None, tracking: str | None = "off") -> dict[str, Check]:
    """All but the start of a Ray, which a test of its own does."""
    monkeypatch.setattr(doctor, "_ray", lambda: Check("", "ok", "left out here"))
    return {check.name: check for check in examine(home, None, storage, tracking)}


def test_a_machine_that_can_run_sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_sqlite: str) -> None:
    found = looked(Home(tmp_path), monkeypatch, tracking=mlflow_sqlite)
    assert list(found) == [
        "python",
        "packages",
        "extras",
        "torch",
        "cores",
        "memory",
        "files",
        "disk",
        "/dev/shm",
        "home",
        "clock",
        "optuna",
        "mlflow",
        "fonts",
        "ray",
    ]
    for name in ("python", "home", "clock", "optuna", "mlflow", "fonts"):
        assert found[name].result == "ok", found[name]
    assert found["packages"].result in ("ok", "warn"), found["packages"]
    assert "answers" in found["mlflow"].found
    assert not list(tmp_path.glob(".doctor*"))  # nothing is left


def test_what_is_wrong_is_named_and_hides_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mlflow_sqlite: str) -> None:
    old = Path(mlflow_sqlite.removeprefix("sqlite:///"))
    with sqlite3.connect(old) as database:
        database.execute("update alembic_version set version_num = 'c0ffee'")
    database.close()
    (tmp_path / "file").write_text("no folder")
    (port,) = free_ports(1)
    found = looked(Home(tmp_path / "file"), monkeypatch, f"postgresql://nobody@127.0.0.1:{port}/x", mlflow_sqlite)
    assert [name for name, check in found.items() if check.result == "fail"] == ["home", "clock", "optuna", "mlflow"]
    assert str(tmp_path / "file") in found["home"].found
    assert "database: OperationalError" in found["optuna"].found
    assert found["mlflow"].found.endswith(f"schema c0ffee, and this MLflow has {newest_schema()}")
    assert all(found[name].hint for name in ("optuna", "mlflow"))
    (tmp_path / "mlflow.db").write_bytes(b"not a database at all, and long enough")
    found = looked(Home(tmp_path), monkeypatch, tracking=f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert "no database of MLflow" in found["mlflow"].found
    found = looked(Home(tmp_path), monkeypatch, tracking=f"http://127.0.0.1:{port}")
    assert found["mlflow"].result == "fail"
    assert found["mlflow"].found.startswith("MLflow: ")


def test_an_error_of_ours_is_no_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Check:
        raise KeyError("ours")

    monkeypatch.setattr(doctor, "_fonts", broken)
    with pytest.raises(KeyError, match="ours") as caught:
        looked(Home(tmp_path), monkeypatch)
    assert told(caught.value) is None


def test_a_bucket_and_its_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server(tmp_path) as s3:
        s3.request("PUT", "/bucket")
        for name, value in s3.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PEORIA_RECORDS", str(tmp_path / "records"))
        found = looked(Home.of("s3://bucket/peoria"), monkeypatch)
        assert (found["home"].result, found["clock"].result) == ("ok", "ok"), found
        import time

        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 3600)  # the control: a clock that is wrong
        found = {check.name: check for check in [doctor._clock(Home.of("s3://bucket/peoria"))]}
        assert found[""].result == "fail"
        assert "ahead of" in found[""].found


@pytest.mark.slow
def test_all_of_it_starts_a_ray_and_says_so_as_json(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "peoria", "doctor", "--home", str(tmp_path), "--tracking", "off", "--json"]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    found = json.loads(ran.stdout)
    results = {check["name"]: check["result"] for check in found["checks"]}
    assert results["ray"] == "ok", found
    assert ran.returncode == (0 if found["ok"] else 1) == int("fail" in results.values())
    assert ran.stderr == ""
