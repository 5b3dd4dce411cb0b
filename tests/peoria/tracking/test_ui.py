"""`peoria ui`: what is wrong is told in a line, and the server ends with whoever looked."""

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from peoria.cli import run_command
from peoria.errors import ConfigError, PeoriaError
from peoria.tracking.database import sqlite_address
from peoria.tracking.projection import Tracker
from peoria.tracking.ui import Server, find_page, run_links
from peoria.tracking.views import PREFIX, view_id
from tests.helpers.mlflow_held import client_of
from tests.helpers.mlflow_process import free_port
from tests.helpers.sweep_folder import whole_sweep


@pytest.fixture
def home(migrated_database: Path, tmp_path: Path) -> Path:
    """With the sweep demo in its MLflow."""
    shutil.copy(migrated_database, tmp_path / "mlflow.db")
    Tracker(sqlite_address(tmp_path / "mlflow.db")).project(whole_sweep(tmp_path / "sweeps" / "demo").folder)
    return tmp_path


def said(home: Path, *words: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert run_command(None, ["ui", *words, "--home", str(home), "--no-open"], for_good=False) == 2
    out, error = capsys.readouterr()
    assert "Traceback" not in out + error
    return error


def test_a_sweep_that_is_not_there_is_told_with_those_that_are(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    line, hint = said(home, "dmeo", capsys=capsys).splitlines()
    assert line.startswith("dmeo: no such sweep in MLflow at sqlite:///")
    assert line.endswith("one of demo")
    assert hint == "hint: did you mean demo?"


def test_a_home_without_mlflow_gets_no_database(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert f"{tmp_path / 'mlflow.db'}: no MLflow there" in said(tmp_path, "demo", capsys=capsys)
    assert list(tmp_path.iterdir()) == []


def test_nothing_that_a_sweep_wrote_is_told(mlflow_sqlite: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no experiment 'peoria'; one that a sweep has written" in said(tmp_path, "--tracking", mlflow_sqlite, capsys=capsys)


@pytest.mark.parametrize(("revision", "whose"), [("ffffffffffff", "an unknown, newer MLflow"), ("older", "an older MLflow")])
def test_a_database_of_another_mlflow_is_told(home: Path, revision: str, whose: str) -> None:
    import mlflow

    if revision == "older":
        revision = sorted((Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions").glob("*_*.py"))[0].name.partition("_")[0]
    with sqlite3.connect(home / "mlflow.db") as database:
        (had,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
        assert had != revision
        database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    database.close()
    shutil.move(home / "mlflow.db", home / "other.db")  # MLflow keeps a store a name
    with pytest.raises(ConfigError, match=f"other.db: a database of {whose} than {mlflow.__version__}; one of this version"):
        find_page(sqlite_address(home / "other.db"), "demo")


def test_off_and_addresses_that_are_none_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(tmp_path, "--tracking", "off", capsys=capsys).startswith("--tracking: 'off'; where MLflow is")
    assert "no such kind of address" in said(tmp_path, "--tracking", "gopher://x", capsys=capsys)


def test_a_port_that_is_taken_is_told(home: Path, tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--port: {port}: address already in use; a free port"):
            Server(sqlite_address(home / "mlflow.db"), tmp_path / "log", port=port)
    assert Server(sqlite_address(home / "mlflow.db"), tmp_path / "log", port=port).port == port  # the control


def test_the_view_of_an_older_peoria_is_written(home: Path) -> None:
    uri = sqlite_address(home / "mlflow.db")
    client = client_of(uri)
    (experiment,) = [found for found in client.search_experiments() if found.name == "peoria"]
    for sweep in ("demo", None):
        client.delete_experiment_tag(experiment.experiment_id, PREFIX + view_id(sweep))
        assert find_page(uri, sweep) == experiment.experiment_id
        assert PREFIX + view_id(sweep) in client.get_experiment(experiment.experiment_id).tags


def test_of_a_server_the_link_is_printed(mlflow_server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = whole_sweep(tmp_path / "sweeps" / "linked").folder
    Tracker(mlflow_server).project(folder)
    assert run_command(None, ["ui", "linked", "--tracking", mlflow_server, "--home", str(tmp_path)], for_good=False) == 0
    assert capsys.readouterr().out.startswith(f"{mlflow_server}/#/experiments/")
    assert not (tmp_path / "mlflow-ui.log").exists()
    links = run_links(mlflow_server, folder.read_definition())
    assert set(links) == {"", *(trial.key for trial in folder.trials())}
    assert all(link.startswith(f"{mlflow_server}/#/experiments/") for link in links.values())


def test_a_server_that_is_away_is_told(tmp_path: Path) -> None:
    folder = whole_sweep(tmp_path / "sweeps" / "demo").folder
    with pytest.raises(PeoriaError, match=r"MLflow at http://127\.0\.0\.1"):
        run_links(f"http://127.0.0.1:{free_port()}", folder.read_definition())


def test_a_server_that_ends_at_once_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(PeoriaError, match=r"MLflow's server: .*; one that starts"), Server(f"nonsense://{tmp_path}", log):
        pass
    assert log.stat().st_size > 0


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_server_ends_with_us(home: Path, how: signal.Signals) -> None:
    """However we end; killed, by the other end of a pipe."""
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    words = [sys.executable, "-m", "peoria", "ui", "demo", "--home", str(home), "--no-open"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == f"MLflow's server is starting; what it says: {home / 'mlflow-ui.log'}\n"
    link = process.stdout.readline()
    address = f"http://127.0.0.1:{link.split(':')[2].partition('/')[0]}/health"
    assert urllib.request.urlopen(address, timeout=30).status == 200  # the control
    process.send_signal(how)
    out, error = process.communicate(timeout=60)
    assert process.returncode == {signal.SIGINT: 0, signal.SIGTERM: 143, signal.SIGKILL: -9}[how]
    assert (out + error).count("Traceback") == 0
    deadline = time.monotonic() + 60
    while answers(address):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=5).close()
    except OSError:
        return False
    return True
