"""A database as the storage of a sweep: what is said where it cannot be used, and what becomes of dropped connections."""

import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from optuna.exceptions import StorageInternalError
from optuna.trial import TrialState

import peoria.sweep.database_storage as module
from peoria import databases
from peoria.errors import StorageAwayError, SweepError
from peoria.sweep.database_storage import DatabaseStorage
from peoria.sweep.lease import Lease
from peoria.sweep.storage import open_storage
from tests.helpers.mlflow_process import free_port
from tests.helpers.postgres import Gateway, Postgres

optuna.logging.set_verbosity(optuna.logging.WARNING)


def refused(url: str, folder: Path) -> list[str]:
    """What opening says, first by the lease, then by the storage."""
    said = []
    for opening in (lambda: Lease(url, "small", folder, print), lambda: open_storage(folder / "journal", url)):
        with pytest.raises(SweepError) as caught:
            opening()
        said.append(str(caught.value))
    for text in said:
        found, hint = text.splitlines()
        assert found.startswith("storage ")
        assert hint.startswith("hint: ")
        assert "secret" not in text
    return said


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql+pymysql://me:secret@h/d", "storage mysql+pymysql://h/d: no driver for it is installed"),
        ("postgresql+psycopg2://me:secret@h/d", "hint: pip install 'peoria[postgresql]', and an address postgresql://USER:PASSWORD@HOST:PORT/NAME"),
        ("nosuch://me:secret@h/d", "storage nosuch://h/d: no such kind of database is known"),
        ("me:secret@h/d", "storage h/d: not the address of a database"),
        ("postgresql://me:secret@h:port/d", "storage postgresql://h:port/d: not the address of a database"),
        ("", "storage (empty): not the address of a database"),
        ("postgresql://me:secret@no.such.host.invalid/d", "hint: is the server up, and are host and port right?"),
        ("sqlite:////no/such/folder/x.db", "storage sqlite:////no/such/folder/x.db: unable to open database file"),
        ("sqlite:////proc/version", "storage sqlite:////proc/version: "),
    ],
)
def test_an_address_that_leads_nowhere(url: str, words: str, tmp_path: Path) -> None:
    assert all(words in text for text in refused(url, tmp_path))


def test_no_server(tmp_path: Path) -> None:
    port = free_port()
    for text in refused(f"postgresql://me:secret@127.0.0.1:{port}/d", tmp_path):
        assert text.splitlines()[0].endswith(f"port {port} failed: Connection refused")


def test_the_driver_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    databases._bounded_connection.cache_clear()
    for text in refused("postgresql://me:secret@h/d", tmp_path):
        assert "no driver for it is installed" in text
        assert "pip install 'peoria[postgresql]'" in text
    databases._bounded_connection.cache_clear()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("hello" * 500)
    assert all("file is not a database" in text for text in refused(f"sqlite:///{tmp_path}/x", tmp_path))


def test_what_the_server_refuses(postgres: Postgres, tmp_path: Path) -> None:
    def first_lines(url: str) -> str:
        return "\n".join(text.splitlines()[0].partition(": ")[2] for text in refused(url, tmp_path))

    assert 'password authentication failed for user "peoria"' in first_lines(postgres.url(password="another-secret"))
    assert 'database "nowhere" does not exist' in first_lines(postgres.url("nowhere"))
    postgres.make("weak")
    postgres.execute("CREATE USER weak PASSWORD 'secret'", database="weak")
    assert "permission denied for schema public" in first_lines(postgres.url("weak", user="weak", password="secret"))
    read_only = postgres.make("read_only")
    postgres.execute("ALTER DATABASE read_only SET default_transaction_read_only = on")
    assert "in a read-only transaction" in first_lines(read_only)


def test_tables_of_another_optuna(postgres: Postgres, postgres_url: str, tmp_path: Path) -> None:
    open_storage(tmp_path / "journal", postgres_url)
    database = postgres_url.rpartition("/")[2]
    for version in ("v2.4.0.a", "v9.0.0.a"):  # older, newer
        postgres.execute(f"UPDATE alembic_version SET version_num = '{version}'", database=database)
        with pytest.raises(SweepError, match=r"its tables are of another version of Optuna; those of 5\.\d+\.\d+ are needed\nhint: ") as caught:
            open_storage(tmp_path / "journal", postgres_url)
        assert len(str(caught.value).splitlines()) == 2


def test_many_sweeps_may_begin_an_empty_database_at_once(postgres_url: str, tmp_path: Path) -> None:
    errors: list[SweepError] = []
    begun: list[int] = []

    def begin(n: int) -> None:
        try:
            Lease(postgres_url, f"sweep-{n}", tmp_path, print).give_back()
            open_storage(tmp_path / "journal", postgres_url)
        except SweepError as error:
            errors.append(error)
        else:
            begun.append(n)

    threads = [threading.Thread(target=begin, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(begun) == list(range(6))


# -- answers that were lost


@pytest.fixture
def gateway(postgres: Postgres) -> Iterator[Gateway]:
    between = Gateway(postgres)
    yield between
    between.close()


def test_an_entry_whose_acknowledgement_was_lost_is_entered_once(postgres: Postgres, postgres_url: str, gateway: Gateway) -> None:
    said: list[str] = []
    storage = DatabaseStorage(postgres.url(postgres_url.rpartition("/")[2], port=gateway.port), None, said.append)
    study = optuna.create_study(study_name="small", storage=storage)

    def losing(call: Callable[[], object], answers: int = 1) -> object:
        gateway.lose, gateway.lost = answers, 0
        found = call()
        gateway.lose = 0
        assert gateway.lost >= 1
        return found

    trial = losing(study.ask)
    assert isinstance(trial, optuna.Trial)
    assert len(study.get_trials()) == 1
    losing(lambda: trial.suggest_float("x", 0, 1))
    losing(lambda: trial.report(0.5, 1))
    losing(lambda: trial.set_user_attr("a", 1))
    losing(lambda: study.tell(trial, 0.5))
    losing(lambda: study.enqueue_trial({"x": 0.25}))
    begun = losing(study.ask, 3)  # the one that waits is begun, though the answer to that is lost
    assert isinstance(begun, optuna.Trial)
    assert begun.number == 1
    losing(lambda: study.tell(begun, state=TrialState.FAIL))
    with pytest.raises(ValueError, match="Cannot tell a COMPLETE trial"):
        study.tell(trial, 0.7)  # another value for a trial that has ended is refused as ever
    other = losing(lambda: optuna.create_study(study_name="other", storage=storage, load_if_exists=True))
    assert isinstance(other, optuna.Study)
    assert other.get_trials() == []
    first, second = study.get_trials()
    assert (first.state, first.value, first.user_attrs, first.intermediate_values) == (TrialState.COMPLETE, 0.5, {"a": 1}, {1: 0.5})
    assert second.state == TrialState.FAIL
    assert said == []  # one dropped connection is no news


def test_control_optuna_alone_makes_a_second_trial_and_ends_at_a_dropped_connection(postgres: Postgres, postgres_url: str, gateway: Gateway) -> None:
    url = databases.address(postgres.url(postgres_url.rpartition("/")[2], port=gateway.port)).replace("{", "{{").replace("}", "}}")
    bare = optuna.storages.RDBStorage(url)
    study = optuna.create_study(study_name="small", storage=bare)
    gateway.lose = 1
    trial = study.ask()
    assert len(study.get_trials()) == 2  # its own retry does not know of the first
    postgres.kill_connections(postgres_url.rpartition("/")[2])
    with pytest.raises(StorageInternalError, match="invalid data in the commit"):
        trial.report(0.5, 1)
    bare.engine.dispose()


# -- a server that is away


def test_a_server_that_stays_away_ends_the_run_in_one_line(
    postgres_url: str, gateway: Gateway, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AWAY_S", 3.0)
    said: list[str] = []
    storage = DatabaseStorage(postgres_url, None, said.append)
    study = optuna.create_study(study_name="small", storage=storage)
    postgres.stop()
    try:
        with pytest.raises(StorageAwayError, match=r"Connection refused; away for \d+ s\nhint: the same command goes on when it is back") as caught:
            study.ask()
    finally:
        postgres.start()
    assert caught.value.exit_code == 3
    assert len(str(caught.value).splitlines()) == 2
    assert len(said) == 1
    assert said[0].endswith("Connection refused; trying again for 3 s")
    assert study.ask().number == 0
    assert len(said) == 1


def test_a_server_that_comes_back_is_gone_on_with(postgres: Postgres, postgres_url: str) -> None:
    said: list[str] = []
    study = optuna.create_study(study_name="small", storage=DatabaseStorage(postgres_url, None, said.append))
    postgres.stop()
    threading.Timer(2.0, postgres.start).start()
    assert study.ask().number == 0
    assert len(study.get_trials()) == 1
    assert len(said) == 2
    assert " back after " in said[1]


def test_a_server_that_starts_or_drops_connections_while_it_is_opened(
    postgres: Postgres, postgres_url: str, gateway: Gateway, tmp_path: Path
) -> None:
    url, said = postgres.url(postgres_url.rpartition("/")[2], port=gateway.port), []
    gateway.starting = 8  # libpq asks more than once a try
    lease = Lease(url, "small", tmp_path, said.append)
    assert [line.partition(": ")[2] for line in said] == ["the database system is starting up; trying again for 60 s"]
    gateway.starting, gateway.lose = 1, 2
    open_storage(tmp_path / "journal", url, lease)
    assert gateway.lost == 2
    lease.give_back()
    gateway.lose = 1
    Lease(url, "small", tmp_path, print).give_back()  # the answer to its own entry was lost
    assert gateway.lost == 3


def test_a_locked_file_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    study = optuna.create_study(study_name="small", storage=DatabaseStorage(f"sqlite:///{tmp_path}/x.db?timeout=0.2", None, said.append))
    other = sqlite3.connect(tmp_path / "x.db", check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    threading.Timer(3.0, other.rollback).start()
    assert study.ask().number == 0
    assert said[0].endswith("database is locked; trying again for 60 s")
    assert " back after " in said[1]
    time.sleep(0.1)
    other.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(module, "AWAY_S", 1.0)
    with pytest.raises(StorageAwayError, match="database is locked; away for"):
        study.ask()
    other.rollback()
    other.close()
    assert len(study.get_trials()) == 1
