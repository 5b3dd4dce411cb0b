"""A pass that is killed after any of its calls is made whole by the next: nothing lost, nothing twice."""

import time
from pathlib import Path

import pytest

from peoria.tracking.projection import Tracker
from tests.helpers.mlflow_held import FaultyClient, KilledError, client_of, everything, history, runs_of
from tests.helpers.sweep_folder import WrittenSweep


@pytest.fixture
def small(tmp_path: Path) -> WrittenSweep:
    folder = WrittenSweep(tmp_path / "demo")
    folder.trial("0000")
    for step in range(10, 8001, 30):  # 267 points of 4 metrics: two batches
        folder.point("0000", step, train_loss=1 / step, val_loss=2 / step, val_rank_mean=0.1)
    folder.outcome("0000")
    folder.trial("0001")
    folder.points("0001", 1)
    folder.baseline()
    folder.report()
    folder.finish()
    return folder


@pytest.mark.parametrize("survivor", [False, True], ids=["new process", "same tracker"])
def test_the_next_pass_makes_it_whole(small: WrittenSweep, mlflow_sqlite: str, survivor: bool) -> None:
    undisturbed = Tracker(mlflow_sqlite, experiment="undisturbed")
    client, _ = undisturbed._connect(small.folder)
    counting = FaultyClient(client, 0)
    undisturbed._client = counting
    undisturbed.project(small.folder)
    expected = everything(mlflow_sqlite, "undisturbed")
    assert counting.num_calls > 20
    for at in range(1, counting.num_calls + 1):
        tracker = Tracker(mlflow_sqlite, experiment=f"killed at {at}")
        tracker._client = FaultyClient(client, at)
        with pytest.raises(KilledError):
            tracker.project(small.folder)
        (tracker if survivor else Tracker(mlflow_sqlite, experiment=f"killed at {at}")).project(small.folder)
        assert everything(mlflow_sqlite, f"killed at {at}") == expected, at


def test_control_a_naive_repeat_doubles_the_curve(small: WrittenSweep, mlflow_sqlite: str) -> None:
    from mlflow.entities import Metric

    Tracker(mlflow_sqlite).project(small.folder)
    client, run = client_of(mlflow_sqlite), runs_of(mlflow_sqlite)["0001"]
    for metric in client.get_metric_history(run.info.run_id, "train/loss"):
        client.log_batch(run.info.run_id, metrics=[Metric(metric.key, metric.value, int(time.time() * 1000), metric.step)])
    steps = [step for step, _, _ in history(mlflow_sqlite, run)["train/loss"]]
    assert steps == [2000, 2000]


def test_a_twin_made_by_a_request_that_was_given_up_is_removed(small: WrittenSweep, mlflow_sqlite: str) -> None:
    Tracker(mlflow_sqlite).project(small.folder)
    expected = everything(mlflow_sqlite)
    client = client_of(mlflow_sqlite)
    for run in runs_of(mlflow_sqlite).values():
        tags = {key: value for key, value in run.data.tags.items() if key != "artifacts"}  # which comes later
        client.create_run(run.info.experiment_id, start_time=run.info.start_time, tags=tags, run_name=run.info.run_name)
    with pytest.raises(AssertionError, match="0000"):  # they are there
        everything(mlflow_sqlite)
    Tracker(mlflow_sqlite).project(small.folder)
    assert everything(mlflow_sqlite) == expected


def test_a_tracker_that_met_an_error_asks_again_what_is_there(small: WrittenSweep, mlflow_sqlite: str) -> None:
    tracker = Tracker(mlflow_sqlite)
    for _ in range(2):  # it now knows the runs
        tracker.project(small.folder)
    small.trial("0002")
    small.points("0002")
    client, _ = tracker._connect(small.folder)
    tracker._client = FaultyClient(client, 2)
    with pytest.raises(KilledError):  # the run was made, and the answer did not come
        tracker.project(small.folder)
    assert "0002" in runs_of(mlflow_sqlite)
    tracker.project(small.folder)
    steps = [step for step, _, _ in history(mlflow_sqlite, runs_of(mlflow_sqlite)["0002"])["train/loss"]]
    assert steps == [2000, 4000, 6000, 8000]
