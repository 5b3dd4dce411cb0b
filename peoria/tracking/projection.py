"""MLflow as a projection of the sweep folder, never the record: a pass delivers what is missing, whatever happened to the passes before it.

One parent run a sweep, one child a trial and a baseline, found by their tags. A run is created with all the tags that name it, in one request;
a point is delivered whole, with a metric that holds its own step, so that a run tells by itself what it has.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from peoria.errors import PeoriaError
from peoria.records.folder import SweepFolder
from peoria.records.schema import SweepRecord
from peoria.tracking.curves import MetricPoint
from peoria.tracking.database import default_tracking_uri, prepare_sqlite, sqlite_file
from peoria.tracking.runs import TrackedRun, folder_stamp, read_sweep

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

__all__ = ["Delivered", "Tracker", "default_tracking_uri"]

MAX_METRICS = 1000  # in one log_batch: mlflow.utils.validation.MAX_METRICS_PER_BATCH
# MLflow's pages then open on training runs, not on traces of language models.
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
_ENVIRONMENT = {  # set before mlflow is first imported, where the user has not
    "MLFLOW_DISABLE_TELEMETRY": "true",  # nothing goes to another host than the one that was named
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines a trial otherwise
    # MLflow itself tries seven times, for minutes, posts of new runs too (which then exist twice). The projector has its own back-off.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


@dataclass(frozen=True)
class Delivered:
    """What one or more passes wrote."""

    runs: int = 0
    points: int = 0
    params: int = 0
    tags: int = 0
    statuses: int = 0
    artifacts: int = 0

    def __add__(self, other: "Delivered") -> "Delivered":
        return Delivered(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


@dataclass
class _Known:
    """What a run in MLflow is known to hold."""

    run_id: str
    started_ms: int  # as MLflow has it: timestamps stay the same even if the folder's start is written anew
    last_step: int = -1
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    status: str = "RUNNING"
    ended_ms: int | None = None
    has_dataset: bool = False


class Tracker:
    """Projects sweep folders to the MLflow at ``uri`` (a server's address, or a database)."""

    def __init__(self, uri: str, *, experiment: str = "peoria") -> None:
        self.uri, self.experiment = uri, experiment
        self._client: MlflowClient | None = None
        self._done: object = None  # stamp of the folder whose last pass was whole
        self._known: dict[tuple[str, str], _Known] | None = None  # after such a pass; None: ask MLflow
        self._sweep: tuple[str, ...] = ()

    def project(self, folder: SweepFolder) -> Delivered:
        """One pass: everything that the folder tells and MLflow lacks. A second pass finds nothing to do.

        Raises:
            RecordError: a file of the folder is not there or damaged.
            PeoriaError: the experiment was deleted.
            MlflowException, OSError: the server is away or refuses; what was not delivered is found missing by the next pass.
        """
        stamp = (folder, folder_stamp(folder.path))
        if stamp == self._done:
            return Delivered()
        self._done = None
        runs = read_sweep(folder)
        about = SweepRecord.read(folder.definition)
        # The start tells a sweep from one of the same name and data whose folder was thrown away; a sweep that goes on keeps it.
        sweep = (about.name, about.identity, str(runs[0].started_ms))
        known = self._known if sweep == self._sweep else None
        self._sweep, self._known = sweep, None  # after an error half way nothing is taken for known
        client, experiment = self._connect()
        if known is None:
            known = _found(client, experiment, sweep)
        delivered = Delivered()
        for run in runs:
            delivered += self._deliver(client, experiment, run, known)
        if not delivered.runs:  # else the next pass asks again: a request that timed out may have made a twin meanwhile
            self._known, self._done = known, stamp
        return delivered

    def forget(self) -> None:
        """Makes the next pass ask MLflow what it holds."""
        self._done = self._known = None

    def _connect(self) -> tuple["MlflowClient", str]:
        """The client, and the id of the experiment, made if absent."""
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        database = sqlite_file(self.uri)
        if self._client is None:
            if database:
                prepare_sqlite(database)
            self._client = MlflowClient(tracking_uri=self.uri)
        found = self._client.get_experiment_by_name(self.experiment)
        if found is None:
            try:
                # a database has no server that keeps artifacts: they go beside it, not into whatever folder this process runs in
                location = (database.parent / "mlartifacts").as_uri() if database else None
                return self._client, self._client.create_experiment(self.experiment, artifact_location=location, tags=_EXPERIMENT_TAGS)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = self._client.get_experiment_by_name(self.experiment)  # another sweep was faster
        if found is None or found.lifecycle_stage != "active":
            raise PeoriaError(
                f"MLflow experiment {self.experiment!r}: deleted; an active one is needed",
                hint=f"mlflow experiments restore --experiment-id {found.experiment_id if found else '?'}",
            )
        return self._client, str(found.experiment_id)

    def _deliver(self, client: "MlflowClient", experiment: str, run: TrackedRun, known: dict[tuple[str, str], _Known]) -> Delivered:
        from mlflow.entities import Param, RunTag

        tags = run.tags | _naming_tags(run, self._sweep)
        if run.kind != "sweep":
            tags["mlflow.parentRunId"] = known["sweep", ""].run_id
        have, num_runs = known.get((run.kind, run.key)), 0
        if have is None:
            made = client.create_run(experiment, start_time=run.started_ms, tags=tags, run_name=run.name)
            have, num_runs = _Known(made.info.run_id, run.started_ms, tags=dict(tags)), 1
            known[run.kind, run.key] = have
        # A param never changes in MLflow; a setting that did (more trials asked for) is told by a tag.
        params = {key: value for key, value in run.params.items() if key not in have.params}
        tags |= {f"now.{key}": value for key, value in run.params.items() if have.params.get(key, value) != value}
        tags = {key: value for key, value in tags.items() if have.tags.get(key) != value}
        if params or tags:
            client.log_batch(have.run_id, params=[Param(*item) for item in params.items()], tags=[RunTag(*item) for item in tags.items()])
            have.params |= params
            have.tags |= tags
        missing = [point for point in run.points if point.step > have.last_step]
        for batch in batches(missing, have.started_ms):
            client.log_batch(have.run_id, metrics=batch)
            have.last_step = batch[-1].step
        if run.kind == "sweep" and not have.has_dataset:
            client.log_inputs(have.run_id, datasets=[_dataset(self._sweep[1], run)])
            have.has_dataset = True
        num_artifacts = _deliver_artifacts(client, run, have)
        num_statuses = 0
        if run.status == "RUNNING" and have.status != "RUNNING":  # a sweep that goes on
            client.update_run(have.run_id, status="RUNNING")
            num_statuses = 1
        elif run.status != "RUNNING" and (have.status != run.status or (run.ended_ms is not None and have.ended_ms != run.ended_ms)):
            client.set_terminated(have.run_id, status=run.status, end_time=run.ended_ms)
            num_statuses = 1
        have.status, have.ended_ms = run.status, run.ended_ms
        return Delivered(num_runs, len(missing), len(params), len(tags), num_statuses, num_artifacts)


def _naming_tags(run: TrackedRun, sweep: tuple[str, ...]) -> dict[str, str]:
    tags = dict(zip(("peoria.sweep", "peoria.identity", "peoria.started_ms"), sweep, strict=True))
    return tags if run.kind == "sweep" else tags | {f"peoria.{run.kind}": run.key}


def _found(client: "MlflowClient", experiment: str, sweep: tuple[str, ...]) -> dict[tuple[str, str], _Known]:
    """What MLflow holds of a sweep: all runs, with the last value of each metric, in one search."""
    by_key: dict[tuple[str, str], list[Any]] = {}
    names = zip(("sweep", "identity", "started_ms"), sweep, strict=True)
    condition = " and ".join(f"tags.`peoria.{name}` = '{value}'" for name, value in names)
    token: str | None = None
    while True:
        page = client.search_runs([experiment], condition, max_results=1000, page_token=token)
        for run in page:
            kind = next((kind for kind in ("trial", "baseline") if f"peoria.{kind}" in run.data.tags), "sweep")
            by_key.setdefault((kind, run.data.tags.get(f"peoria.{kind}", "") if kind != "sweep" else ""), []).append(run)
        token = page.token
        if not token:
            break
    known = {}
    for key, twins in by_key.items():
        first, *others = sorted(twins, key=lambda run: run.info.run_id)
        for other in others:  # made by a request that was given up but reached the server all the same
            client.delete_run(other.info.run_id)
        known[key] = _known(first, "trials_ended" if key[0] == "sweep" else "pictures_seen")
    return known


def _known(run: Any, marker: str) -> _Known:
    # log_batch writes the metrics of a request and their last values in one transaction (mlflow/store/tracking/sqlalchemy_store.py,
    # _log_metrics_once: one session, one commit after _update_latest_metrics_if_necessary), so that the marker's last value is there
    # exactly if the points up to it are. A repeated row has equal key, value, timestamp and step, which that store drops.
    return _Known(
        run_id=run.info.run_id,
        started_ms=run.info.start_time,
        last_step=int(run.data.metrics.get(marker, -1)),
        params=dict(run.data.params),
        tags=dict(run.data.tags),
        status=run.info.status,
        ended_ms=run.info.end_time,
        has_dataset=bool(run.inputs and run.inputs.dataset_inputs),
    )


def batches(points: list[MetricPoint], started_ms: int) -> Iterator[list["Metric"]]:
    """Whole points, at most MAX_METRICS metrics a batch; timestamps by the step, so that a repeat is the same row."""
    from mlflow.entities import Metric

    batch: list[Metric] = []
    for point in points:
        metrics = [Metric(key, value, started_ms + point.step, point.step) for key, value in point.metrics.items()]
        if batch and len(batch) + len(metrics) > MAX_METRICS:
            yield batch
            batch = []
        batch = batch + metrics
    if batch:
        yield batch


def _deliver_artifacts(client: "MlflowClient", run: TrackedRun, have: _Known) -> int:
    """Sends the files that are new or changed. Their digests stand in a tag, written last: a repeat after a kill overwrites the same file."""
    if not run.artifacts:
        return 0
    had = json.loads(have.tags.get("artifacts", "{}"))
    now = {name: hashlib.sha256(path.read_bytes()).hexdigest()[:16] for name, path in run.artifacts.items()}
    changed = sorted(name for name in now if had.get(name) != now[name])
    for name in changed:
        client.log_artifact(have.run_id, str(run.artifacts[name]))
    if changed:
        have.tags["artifacts"] = json.dumps(had | now, sort_keys=True)
        client.set_tag(have.run_id, "artifacts", have.tags["artifacts"])
    return len(changed)


def _dataset(identity: str, run: TrackedRun) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    profile = json.dumps({"num_val": run.params.get("num_val"), "val_keys_sha256": run.tags.get("val_keys_sha256")}, sort_keys=True)
    data = Dataset(name="shards", digest=identity[:36], source_type="local", source=json.dumps({"identity": identity}), profile=profile)
    return DatasetInput(data, tags=[InputTag("mlflow.data.context", "training")])
