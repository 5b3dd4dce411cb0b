"""What an MLflow holds, for tests that compare it with what it should; and a client that is killed."""

from collections.abc import Callable
from typing import Any

History = dict[str, list[tuple[int, float, int]]]


def client_of(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri)


def runs_of(uri: str, experiment: str = "peoria") -> dict[str, Any]:
    """Runs by name; two of one name fail the test."""
    client = client_of(uri)
    runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id], max_results=1000)
    named = {run.info.run_name: run for run in runs}
    assert len(named) == len(runs), sorted(run.info.run_name for run in runs)
    return named


def history(uri: str, run: Any) -> History:
    client = client_of(uri)
    return {key: sorted((m.step, m.value, m.timestamp) for m in client.get_metric_history(run.info.run_id, key)) for key in run.data.metrics}


def everything(uri: str, experiment: str = "peoria") -> dict[str, Any]:
    """All that MLflow holds, run ids replaced by names: two stores that hold the same compare equal."""
    client, runs = client_of(uri), runs_of(uri, experiment)
    names = {run.info.run_id: name for name, run in runs.items()}
    held = {}
    for name, run in runs.items():
        tags = dict(run.data.tags)
        if "mlflow.parentRunId" in tags:
            tags["mlflow.parentRunId"] = names[tags["mlflow.parentRunId"]]
        files = sorted(file.path for file in client.list_artifacts(run.info.run_id) if not file.is_dir)
        inputs = [(data.dataset.name, data.dataset.digest) for data in run.inputs.dataset_inputs]
        held[name] = (run.data.params, tags, history(uri, run), run.info.status, run.info.start_time, run.info.end_time, files, inputs)
    return held


class KilledError(BaseException):
    """Stands for the end of the process."""


class FaultyClient:
    """A client whose ``at``-th call is the last: the server did it, and the answer never came. (Killed before a call is killed after the last.)"""

    def __init__(self, client: Any, at: int) -> None:
        self.client, self.at, self.num_calls = client, at, 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self.client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.num_calls += 1
            answer = method(*args, **kwargs)
            if self.num_calls == self.at:
                raise KilledError
            return answer

        return call
