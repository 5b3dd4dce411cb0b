"""The lease on a sweep in its database: two homes, one database, one process at a time."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import sqlalchemy as sql

from peoria.errors import SweepError
from peoria.records.folder import SweepFolder
from peoria.sweep import lease as module
from peoria.sweep.lease import LEASES, Lease, LeaseLostError
from peoria.sweep.lock import sweep_lock
from peoria.sweep.storage import open_storage

HOLD = """
import sys, time
from pathlib import Path
from peoria.records.folder import SweepFolder
from peoria.sweep.lock import sweep_lock
with sweep_lock(SweepFolder(Path(sys.argv[1])), sys.argv[2]):
    print("held", flush=True)
    time.sleep(120)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/shared.db" if request.param == "sqlite" else str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def database(url: str) -> sql.Engine:
    return module.engine(module.address(url))


def home(tmp_path: Path, name: str) -> SweepFolder:
    return SweepFolder.of(tmp_path / name, "small")


def quiet(line: str) -> None: ...


def expire(database: sql.Engine) -> None:
    """As if its holder had been away for an hour."""
    with database.begin() as connection:
        connection.execute(sql.update(LEASES).values(until=LEASES.c.until - 3600))


def rows(database: sql.Engine) -> list[sql.Row[tuple[object, ...]]]:
    with database.begin() as connection:
        return list(connection.execute(sql.select(LEASES)))


def test_a_second_home_is_told_who_holds_the_sweep_and_until_when(url: str, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(home(tmp_path, "first").path), url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with sweep_lock(home(tmp_path, "second")):  # control: its folder alone is free
            pass
        with pytest.raises(SweepError) as caught, sweep_lock(home(tmp_path, "second"), url):
            pass
        with sweep_lock(SweepFolder.of(tmp_path / "second", "another"), url):  # another sweep in that database is another matter
            pass
        process.kill()
    problem, hint = str(caught.value).splitlines()
    assert f"by process {process.pid} on " in problem
    assert problem.count(" UTC") == 2  # since, until
    assert hint.startswith("hint: ")
    said: list[str] = []
    with sweep_lock(home(tmp_path, "first"), url, said.append):  # the same command in the same home goes on at once
        pass
    assert said == []


def test_a_lease_that_ran_out_is_taken_over_and_that_is_said(url: str, database: sql.Engine, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(home(tmp_path, "first").path), url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    with pytest.raises(SweepError, match="unless it goes on"), sweep_lock(home(tmp_path, "second"), url):  # dead, but who knows?
        pass
    expire(database)
    said: list[str] = []
    with sweep_lock(home(tmp_path, "second"), url, said.append):
        assert len(rows(database)) == 1
    assert len(said) == 1
    assert f"was held by process {process.pid} on " in said[0]
    assert "is taken over" in said[0]
    assert rows(database) == []  # given back


def test_one_of_many_that_come_at_once_gets_it(url: str, tmp_path: Path) -> None:
    words = [[sys.executable, "-c", HOLD, str(home(tmp_path, f"home-{n}").path), url] for n in range(4)]
    processes = [subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for line in words]
    try:
        deadline = time.monotonic() + 60
        while sum(process.poll() is None for process in processes) > 1:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        (holding,) = [process for process in processes if process.poll() is None]
        assert holding.stdout is not None
        assert holding.stdout.readline() == "held\n"
    finally:
        for process in processes:
            process.kill()
    errors = [process.communicate()[1] for process in processes if process is not holding]
    assert all("SweepError: sweep small: held in " in error for error in errors), errors
    holding.communicate()


def test_a_lease_is_renewed_while_its_process_lives(url: str, database: sql.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RENEW_S", 0.1)
    with sweep_lock(home(tmp_path, "first"), url) as lease:
        assert lease is not None
        before = rows(database)[0].until
        expire(database)
        deadline = time.monotonic() + 30
        while rows(database)[0].until <= before:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        lease.refuse_if_lost()  # it had run out, but nobody took it


def test_a_holder_that_lost_its_lease_writes_nothing_more(url: str, database: sql.Engine, tmp_path: Path) -> None:
    first = Lease(url, "small", tmp_path, quiet)
    storage, _ = open_storage(tmp_path / "journal", url, first, quiet)
    study = optuna.create_study(study_name="small", storage=storage)
    trial = study.ask()
    (tmp_path / "other").mkdir()
    expire(database)
    second = Lease(url, "small", tmp_path / "other", quiet)  # while the first was asleep
    attempts: list[Callable[[], object]] = [
        study.ask,
        lambda: trial.report(0.5, 1),
        lambda: trial.set_user_attr("a", 1),
        lambda: trial.suggest_float("x", 0, 1),
        lambda: study.tell(trial, 0.5),
        lambda: study.set_user_attr("a", 1),
        lambda: optuna.create_study(study_name="new", storage=storage),
    ]
    for attempt in attempts:
        with pytest.raises(LeaseLostError, match="another took the sweep over; nothing more is written"):
            attempt()
        first.lost = False  # each is refused by the database, not by what the one before has learnt
    other, _ = open_storage(tmp_path / "journal", url, second, quiet)
    found = optuna.load_study(study_name="small", storage=other)
    assert [(one.state.name, one.params, one.user_attrs, one.intermediate_values) for one in found.get_trials()] == [("RUNNING", {}, {}, {})]
    assert found.user_attrs == {}
    found.ask()  # the second one writes
    first.lost = True
    first.give_back()
    assert len(rows(database)) == 1  # the second's own
    second.give_back()
    assert rows(database) == []
    bare, _ = open_storage(tmp_path / "journal", url, None, quiet)  # control: without the lease the storage takes anything from anybody
    optuna.load_study(study_name="small", storage=bare).ask()
    assert len(found.get_trials()) == 3


def test_a_kind_of_database_without_a_known_clock_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(module._NOW, "sqlite")
    with pytest.raises(SweepError, match="a database of sqlite; one of postgresql, mysql, mariadb is needed"):
        Lease(f"sqlite:///{tmp_path}/shared.db", "small", tmp_path, quiet)


def test_one_that_nobody_renews_is_waited_for_and_one_that_is_renewed_is_not(
    url: str, database: sql.Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the home in a bucket asks: the machine that held it may be gone. Control: nobody else waits."""
    for name in ("first", "second"):
        home(tmp_path, name).path.mkdir(parents=True)
    monkeypatch.setattr(module, "RENEW_S", 1e6)
    monkeypatch.setattr(module, "LEASE_S", 6.0)
    gone, said = Lease(url, "small", home(tmp_path, "first").path, quiet), list[str]()
    with pytest.raises(SweepError, match="one process at a time runs a sweep"):
        Lease(url, "small", home(tmp_path, "second").path, quiet)
    second = Lease(url, "small", home(tmp_path, "second").path, said.append, wait=True)
    assert "taken over at" in said[0]
    assert "is taken over" in said[-1]
    gone.give_back()
    assert [row.place for row in rows(database)] == [second.place]
    second.give_back()

    monkeypatch.setattr(module, "RENEW_S", 0.5)
    living = Lease(url, "small", home(tmp_path, "first").path, quiet)
    with pytest.raises(SweepError, match="one process at a time runs a sweep"):
        Lease(url, "small", home(tmp_path, "second").path, quiet, wait=True)
    living.give_back()
