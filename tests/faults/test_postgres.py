"""Sweeps with PostgreSQL as Optuna's storage and as MLflow's: restarted, away, stopped, connections dropped; nothing lost, nothing doubled."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from mlflow.exceptions import MlflowException

from peoria.config.sweep import Sweep
from peoria.databases import address
from peoria.records.folder import SweepFolder
from peoria.records.schema import Holder, RunState
from peoria.sweep.lock import sweep_lock
from peoria.sweep.resources import RunOptions
from peoria.sweep.run import SweepResult, run_sweep
from peoria.sweep.trial_store import TrialStore
from peoria.tracking.projection import Delivered, Tracker
from peoria.tracking.projector import Projector
from tests.helpers.played import run
from tests.helpers.postgres import Gateway, Postgres
from tests.helpers.small import small_sweep

FULL = os.environ.get("PEORIA_TEST_FULL") == "1"


@pytest.fixture
def mlflow_database(postgres: Postgres) -> Iterator[Callable[[str], str]]:
    """Makes an MLflow database in PostgreSQL: its migrations run once, the others are copies."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    if not postgres.execute("SELECT 1 FROM pg_database WHERE datname = 'mlflow'", database="postgres"):
        url = postgres.make("mlflow")
        SqlAlchemyStore(address(url), (postgres.folder / "artifacts").as_uri()).engine.dispose()

    def make(name: str) -> str:
        postgres.execute(f'CREATE DATABASE "{name}" TEMPLATE mlflow', database="postgres")
        return postgres.url(name)

    yield make
    for engine in SqlAlchemyStore._engine_map.values():  # psycopg warns of connections that are left open; a process that ends closes them
        engine.dispose()


# -- what Optuna holds


def played(folder: SweepFolder, sweep: Sweep, url: str | None, on_step: Callable[..., None] = lambda assignment, step: None) -> dict[str, object]:
    """A sweep whose trials are played: what Optuna has of each in the end."""
    with sweep_lock(folder, url, lambda line: None) as lease:
        store = TrialStore(folder, sweep, storage_url=url, lease=lease)
        run(store, on_step)
        return stored(store)


def stored(store: TrialStore) -> dict[str, object]:
    return {
        f"{study.study_name} {trial.number}": (trial.state, trial.values, trial.params, trial.user_attrs, trial.intermediate_values)
        for study in (store.searched, store.unsearched)
        for trial in study.get_trials()
    }


@pytest.mark.slow
def test_connections_dropped_at_random_moments(postgres: Postgres, postgres_url: str, tmp_path: Path) -> None:
    sweep, dice, kills = small_sweep(tmp_path, trials=200 if FULL else 30), random.Random(1), list[threading.Timer]()

    def dropping(assignment: object, step: int) -> None:
        """In a moment, most often in the midst of an entry; no oftener than there are entries, so that the sweep gets on however slow it is."""
        if dice.random() < 0.5:
            kills.append(threading.Timer(dice.uniform(0, 0.03), postgres.kill_connections, (postgres_url.rpartition("/")[2],)))
            kills[-1].start()

    undisturbed = played(SweepFolder.of(tmp_path / "journal", "small"), sweep, None)
    found = played(SweepFolder.of(tmp_path / "database", "small"), sweep, postgres_url, dropping)
    for kill in kills:
        kill.join()
    assert len(kills) > 20
    assert found == undisturbed


@pytest.mark.slow
def test_a_server_that_accepts_and_never_answers_is_noticed(postgres: Postgres, postgres_url: str, tmp_path: Path) -> None:
    said: list[str] = []
    study = optuna.create_study(study_name="small", storage=_storage(postgres_url, said))
    began = time.monotonic()
    postgres.signal(signal.SIGSTOP)
    waking = threading.Timer(25.0, postgres.signal, (signal.SIGCONT,))
    waking.start()
    try:
        trial = study.ask()
    finally:
        waking.cancel()
        postgres.signal(signal.SIGCONT)
    assert 20 < time.monotonic() - began < 60
    assert trial.number == 0
    assert len(study.get_trials()) == 1
    for line in said:
        assert "trying again for 60 s" in line or "back after" in line


def _storage(url: str, said: list[str]) -> optuna.storages.BaseStorage:
    from peoria.sweep.storage import open_storage

    return open_storage(Path("unused"), url, None, said.append)[0]


# -- whole sweeps


def small(shards: Path) -> Sweep:
    return small_sweep(shards, trials=2, seeds=3)


def objectives(folder: SweepFolder) -> dict[str, tuple[str, float | None]]:
    found = {path.parent.name: json.loads(path.read_text()) for path in sorted(folder.path.glob("trials/*/outcome.json"))}
    return {key: (outcome["status"], outcome["objective"]) for key, outcome in found.items()}


@pytest.fixture(scope="module")
def undisturbed(planted_shards: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    options = RunOptions(home=tmp_path_factory.mktemp("journal"), cache_dir=home / "cache", local=True, tracking="off")
    return run_sweep(small(planted_shards), options, lambda line: None)


def in_mlflow(url: str) -> dict[str, tuple[str, int, int]]:
    """Of each run its status, and how many points it has and how many different ones."""
    from mlflow import MlflowClient

    client, found = MlflowClient(tracking_uri=address(url)), {}
    experiment = client.get_experiment_by_name("peoria")
    for tracked in client.search_runs([experiment.experiment_id]):
        history = [(m.key, m.step) for name in tracked.data.metrics for m in client.get_metric_history(tracked.info.run_id, name)]
        name = next((key for kind in ("trial", "baseline", "mean") if (key := tracked.data.tags.get(f"peoria.{kind}"))), "sweep")
        assert name not in found  # no twins
        found[name] = (tracked.info.status, len(history), len(set(history)))
    return found


@pytest.mark.slow
def test_both_stores_restarted_and_away_in_mid_sweep(
    postgres: Postgres,
    postgres_url: str,
    mlflow_database: Callable[[str], str],
    undisturbed: SweepResult,
    planted_shards: Path,
    home: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tracking, said, dice, ended = mlflow_database("tracked"), [], random.Random(2), 0
    leaving = list[threading.Thread]()
    absences = iter([0.0, 10.0, 0.0])  # a restart, 10 s away, a restart
    in_turn, gone = threading.Lock(), threading.Semaphore(0)  # the next may be due before the server is back

    def away() -> None:
        with in_turn:
            time.sleep(dice.uniform(0, 0.5))
            postgres.away(next(absences), gone.release)

    def say(line: str) -> None:
        nonlocal ended
        said.append(line)
        if " done " in line or " pruned " in line:
            ended += 1
            if ended in (1, 2, 4):
                leaving.append(threading.Thread(target=away))
                leaving[-1].start()
                assert gone.acquire(timeout=90)  # the sweep goes on while it is away, however quick its trials are

    options = RunOptions(home=tmp_path, cache_dir=home / "cache", local=True, tracking=tracking, storage=postgres_url)
    result = run_sweep(small(planted_shards), options, say)
    for thread in leaving:
        thread.join()
    assert len(leaving) == 3
    assert result.complete
    assert objectives(result.folder) == objectives(undisturbed.folder)
    assert any("trying again for 60 s" in line for line in said)
    assert any("back after" in line for line in said)
    printed = capsys.readouterr()
    assert "Traceback" not in "".join(said) + printed.out + printed.err
    assert result.undelivered == ""
    found = in_mlflow(tracking)
    assert set(objectives(result.folder)) <= set(found)
    assert {status for status, _, _ in found.values()} <= {"FINISHED", "KILLED"}
    assert all(points == different for _, points, different in found.values())
    Tracker(whole := mlflow_database("undisturbed")).project(result.folder)
    assert found == in_mlflow(whole)  # all of it, as in one go
    assert all(found[key][1] > 10 for key in objectives(result.folder))  # of a pruned one too


@pytest.mark.slow
def test_a_tracking_database_that_cannot_be_reached_is_told_with_its_reason(undisturbed: SweepResult, postgres: Postgres) -> None:
    for url, words in (
        (postgres.url("nowhere"), 'database "nowhere" does not exist'),
        (postgres.url(password="another-secret"), "password authentication failed"),
        (postgres.url().replace("postgresql://", "postgresql+psycopg2://"), "pip install 'peoria[postgresql]'"),
    ):
        told = Projector(Tracker(url), undisturbed.folder).close(timeout_s=20)
        assert words in told
        assert "secret" not in told


@pytest.mark.slow
def test_answers_of_mlflows_database_that_are_lost_double_nothing(
    postgres: Postgres, mlflow_database: Callable[[str], str], undisturbed: SweepResult
) -> None:
    whole, disturbed, gateway = mlflow_database("whole"), mlflow_database("answers_lost"), Gateway(postgres)
    Tracker(whole).project(undisturbed.folder)
    tracker, errors = Tracker(postgres.url("answers_lost", port=gateway.port)), 0
    for _ in range(200):
        gateway.lose = 1
        try:
            delivered = tracker.project(undisturbed.folder)
        except MlflowException:
            errors += 1
            continue
        gateway.lose = 0
        if delivered == Delivered():
            break
        tracker.forget()
    gateway.close()
    assert errors > 10
    assert in_mlflow(disturbed) == in_mlflow(whole)


COMMAND = """
import sys
from pathlib import Path
import optuna
import peoria
import peoria.sweep.database_storage as database_storage
from peoria.databases import address
from tests.helpers.small import small_sweep

kind, shards = sys.argv.pop(1), sys.argv.pop(1)
if kind == "bare":  # the control: Optuna's own storage
    database_storage.DatabaseStorage = lambda url, lease, say: optuna.storages.RDBStorage(address(url).replace("{", "{{").replace("}", "}}"))
if kind == "impatient":
    database_storage.AWAY_S = 3.0
peoria.main(small_sweep(Path(shards), trials=2, seeds=3))
"""


class Command:
    """The sweep as a command of its own, in a process group of its own."""

    def __init__(self, folder: Path, kind: str, shards: Path, cache: Path, url: str) -> None:
        self.folder, self.log = SweepFolder.of(folder, "small"), folder / "log"
        folder.mkdir(exist_ok=True)
        words = [sys.executable, "-c", COMMAND, kind, str(shards), "--home", str(folder), "--cache", str(cache), "--local", "--tracking", "off"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([*words, "--storage", url], stdout=log, stderr=log, start_new_session=True)

    @property
    def said(self) -> str:
        return self.log.read_text()

    def wait_for_trials(self, number: int) -> None:
        deadline = time.monotonic() + 240
        while len(objectives(self.folder)) < number:
            assert self.process.poll() is None, self.said[-3000:]
            assert time.monotonic() < deadline, self.said[-3000:]
            time.sleep(0.02)

    def end(self) -> int:
        return self.process.wait(timeout=240)

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@pytest.fixture
def commands(planted_shards: Path, home: Path) -> Iterator[Callable[[Path, str, str], Command]]:
    begun: list[Command] = []

    def begin(folder: Path, kind: str, url: str) -> Command:
        begun.append(Command(folder, kind, planted_shards, home / "cache", url))
        return begun[-1]

    yield begin
    for command in begun:
        command.kill()


@pytest.mark.slow
def test_a_server_that_stays_away_ends_the_command_and_the_same_command_goes_on(
    postgres: Postgres, postgres_url: str, undisturbed: SweepResult, commands: Callable[[Path, str, str], Command], tmp_path: Path
) -> None:
    impatient = commands(tmp_path, "impatient", postgres_url)
    impatient.wait_for_trials(1)
    postgres.stop()
    try:
        assert impatient.end() == 3
    finally:
        postgres.start()
    *_, problem, hint = impatient.said.splitlines()
    assert problem.startswith("storage postgresql://127.0.0.1:")
    assert problem.endswith(" s")
    assert hint == "hint: the same command goes on when it is back"
    assert "Traceback" not in impatient.said
    assert "se%20cret" not in impatient.said
    assert RunState.read(impatient.folder.finished).status == "interrupted"
    again = commands(tmp_path, "as it is", postgres_url)
    assert again.end() == 0, again.said[-3000:]
    assert objectives(again.folder) == objectives(undisturbed.folder)


@pytest.mark.slow
def test_control_optunas_own_storage_ends_at_the_first_dropped_connection(
    postgres: Postgres, postgres_url: str, commands: Callable[[Path, str, str], Command], tmp_path: Path
) -> None:
    bare = commands(tmp_path, "bare", postgres_url)
    bare.wait_for_trials(1)
    while bare.process.poll() is None:  # one that nobody uses just then is opened again without a word
        postgres.kill_connections(postgres_url.rpartition("/")[2])
        time.sleep(0.05)
    assert bare.end() == 2
    assert "one that answers, at an address that is right" in bare.said
    assert len(objectives(bare.folder)) < 4


@pytest.mark.slow
def test_two_homes_one_database(postgres_url: str, undisturbed: SweepResult, commands: Callable[[Path, str, str], Command], tmp_path: Path) -> None:
    first = commands(tmp_path / "first", "as it is", postgres_url)
    first.wait_for_trials(1)
    os.killpg(first.process.pid, signal.SIGSTOP)  # not to be done before the second has come
    second = commands(tmp_path / "second", "as it is", postgres_url)
    assert second.end() == 2
    held = Holder.read(first.folder.holder)
    assert "sweep small: held in postgresql://127.0.0.1:" in second.said
    assert f" by process {held.pid} on {held.host} since " in second.said
    assert "Traceback" not in second.said
    assert objectives(second.folder) == {}
    first.kill()
    after_a_kill = commands(tmp_path / "second", "as it is", postgres_url)  # dead or only away: the lease says for how long that is left open
    assert after_a_kill.end() == 2
    again = commands(tmp_path / "first", "as it is", postgres_url)  # its own home need not wait
    assert again.end() == 0, again.said[-3000:]
    assert objectives(again.folder) == objectives(undisturbed.folder)
