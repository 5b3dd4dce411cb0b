"""The sweep never waits for MLflow; what a server that was away missed comes later, once."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from peoria.records.folder import SweepFolder
from peoria.tracking.projection import Delivered, Tracker
from peoria.tracking.projector import Projector
from tests.helpers.mlflow_held import everything, history, runs_of
from tests.helpers.mlflow_process import MlflowServer
from tests.helpers.sweep_folder import WrittenSweep, whole_sweep

RUNNING = "0005"


class Scripted(Tracker):
    """A tracker whose passes do what the script says; the last entry stays."""

    def __init__(self, *script: Callable[[], Delivered]) -> None:
        super().__init__("http://ann:hunter2@tracker")
        self.script, self.num_passes, self.seen = list(script), 0, threading.Semaphore(0)

    def project(self, sweep_dir: Path) -> Delivered:
        step = self.script[min(self.num_passes, len(self.script) - 1)]
        self.num_passes += 1
        try:
            return step()
        finally:
            self.seen.release()


def away() -> Delivered:
    raise ConnectionError("no route to http://ann:hunter2@tracker")


def good() -> Delivered:
    return Delivered(points=1)


def test_errors_are_kept_and_tried_again(tmp_path: Path) -> None:
    tracker = Scripted(away, away, good)
    projector = Projector(tracker, SweepFolder(tmp_path), period_s=0.01)
    for _ in range(4):
        tracker.seen.acquire()
    assert projector.close() == ""
    assert projector.delivered.points == tracker.num_passes - 2


def test_what_was_not_delivered_is_told_without_the_login(tmp_path: Path) -> None:
    text = Projector(Scripted(away), SweepFolder(tmp_path), period_s=0.01).close()
    assert "MLflow at http://tracker: " in text
    assert f"ConnectionError: no route to http://tracker; not all was delivered\nhint: all points are kept in {tmp_path};" in text
    assert "hunter2" not in text


def test_close_does_not_wait_for_a_pass_that_hangs(tmp_path: Path) -> None:
    answer = threading.Event()

    def hang() -> Delivered:
        answer.wait()
        return Delivered()

    tracker = Scripted(hang)
    projector = Projector(tracker, SweepFolder(tmp_path), period_s=0.01)
    assert "no answer within 0.1 s; not all was delivered" in projector.close(timeout_s=0.1)  # would hang here for ever otherwise
    answer.set()
    projector._thread.join()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_of_our_own_is_told_too(tmp_path: Path) -> None:
    def wrong() -> Delivered:
        raise KeyError("a bug")

    assert "the projector ended by an error of its own" in Projector(Scripted(wrong), SweepFolder(tmp_path), period_s=0.01).close()


def test_to_a_database(tmp_path: Path, mlflow_sqlite: str) -> None:
    folder = whole_sweep(tmp_path / "demo")
    projector = Projector(Tracker(mlflow_sqlite), folder.folder, period_s=0.01)
    folder.point("0005", 4000, train_loss=0.5)
    folder.finish()
    assert projector.close(60) == ""
    assert Tracker(mlflow_sqlite).project(folder.folder) == Delivered()
    assert [step for step, _, _ in history(mlflow_sqlite, runs_of(mlflow_sqlite)[RUNNING])["train/loss"]] == [2000, 4000]


class TestServer:
    """Names of sweeps differ, for the server is the session's."""

    def test_holds_what_a_database_holds(self, tmp_path: Path, mlflow_server: str, mlflow_sqlite: str) -> None:
        folder = whole_sweep(tmp_path / "over-http")
        assert Tracker(mlflow_server, experiment="over-http").project(folder.folder).artifacts == 3
        Tracker(mlflow_sqlite, experiment="over-http").project(folder.folder)
        over_http, direct = everything(mlflow_server, "over-http"), everything(mlflow_sqlite, "over-http")
        assert over_http == direct
        assert Tracker(mlflow_server, experiment="over-http").project(folder.folder) == Delivered()

    @pytest.mark.slow
    def test_stopped_then_killed_then_back(self, tmp_path: Path, mlflow_server_process: MlflowServer) -> None:
        uri = mlflow_server_process.uri
        folder = WrittenSweep(tmp_path / "away")
        folder.trial("0005", pictures=20_000)
        projector = Projector(Tracker(uri, experiment="away"), folder.folder, period_s=0.05, longest_wait_s=0.5)
        folder.point("0005", 2000, train_loss=1.0)
        mlflow_server_process.signal(signal.SIGSTOP)
        # The server answers nobody from here to its death, so that a call of ours that waited for it would wait for ever.
        for step in range(4000, 12_001, 2000):
            folder.point("0005", step, train_loss=1.0)
        assert "not all was delivered" in projector.close(timeout_s=0.5)
        second = Projector(Tracker(uri, experiment="away"), folder.folder, period_s=0.05, longest_wait_s=0.5)
        mlflow_server_process.kill()
        projector._thread.join()
        folder.point("0005", 14_000, train_loss=1.0)
        while not second.error:
            assert second._thread.is_alive()
        mlflow_server_process.start()
        folder.point("0005", 16_000, train_loss=1.0)
        assert second.close(timeout_s=120) == ""
        run = runs_of(uri, "away")[RUNNING]
        curves = history(uri, run)
        assert [step for step, _, _ in curves["train/loss"]] == [step for step, _, _ in curves["pictures_seen"]] == list(range(2000, 16_001, 2000))
