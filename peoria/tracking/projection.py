"""MLflow as a projection of the sweep folder, never the record: a pass delivers what is missing, whatever happened to the passes before it.

One parent run a sweep, one child a trial, a baseline and a mean of fresh seeds, found by their tags. A run is created with all the tags that name
it, in one request; a point is delivered whole, with a metric that holds its own step, so that a run tells by itself what it has.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peoria.databases import address, is_database, refuse_unreachable
from peoria.errors import PeoriaError
from peoria.records.folder import SweepFolder
from peoria.records.schema import SweepRecord
from peoria.tracking.changes import Changes
from peoria.tracking.database import artifacts_beside, default_tracking_uri, prepare_sqlite, quiet, set_environment, sqlite_file
from peoria.tracking.held import Held, held_runs, naming_tags
from peoria.tracking.reader import SweepReader
from peoria.tracking.runs import TrackedRun
from peoria.tracking.sent import MAX_METRICS, batches, dataset, deliver_artifacts, test_metrics
from peoria.tracking.views import State, comparison_view, for_the_page, sweep_view, write_view
from peoria.tracking.words import EXPERIMENT_NOTE, NOTE

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["MAX_METRICS", "Delivered", "Tracker", "batches", "default_tracking_uri"]

# MLflow's pages then open on training runs, not on traces of language models.
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development", NOTE: EXPERIMENT_NOTE}


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


class TrackingError(PeoriaError):
    """What answers is no MLflow that can be understood."""


class _Asked:
    """A client whose calls are known to be under way."""

    def __init__(self, tracker: "Tracker", client: Any) -> None:
        self._tracker, self._client = tracker, client

    def __getattr__(self, name: str) -> Any:
        return self._tracker._asking(getattr(self._client, name))


class Tracker:
    """Projects a sweep's folder to the MLflow at ``uri`` (a server's address, or a database).

    Where this process writes the folder it tells ``changes``, and a pass costs what has changed; else each pass looks at all trials.
    """

    def __init__(self, uri: str, *, experiment: str = "peoria", changes: Changes | None = None) -> None:
        self.uri, self.experiment, self._changes = uri, experiment, changes
        self.asked_at: float | None = None  # when the call began that MLflow has not yet answered, on the monotonic clock
        self._client: Any = None
        self._reader: SweepReader | None = None
        self._known: dict[tuple[str, str], Held] = {}
        self._ask_all = True  # what MLflow holds, at the next pass
        self._doubt: dict[tuple[str, str], int] = {}  # runs that were just made, or whose delivery failed: when they started, in ms
        self._sweep: tuple[str, ...] = ()
        self._view: State | None = None  # of the sweep, as it was last written
        self.no_view = ""  # why the view could not be written: it is a convenience, and its lack no failure of a delivery

    def project(self, folder: SweepFolder) -> Delivered:
        """One pass: everything that the folder tells and MLflow lacks. A second pass finds nothing to do.

        Raises:
            RecordError: a file of the folder is not there or damaged.
            PeoriaError: the experiment was deleted.
            TrackingError: what answers is no MLflow.
            MlflowException, SQLAlchemyError, OSError: the server is away or refuses; what was not delivered is found missing by the next pass.
        """
        if self._reader is None or self._reader.folder != folder:
            self._reader, self._ask_all = SweepReader(folder, self._changes), True
        if not self._reader.look() and not self._ask_all and not self._doubt:
            return Delivered()
        about = SweepRecord.read(folder.definition)
        # The start tells a sweep from one of the same name and data whose folder was thrown away; a sweep that goes on keeps it.
        sweep = (about.name, about.identity, str(int(about.started_at * 1000)))
        if sweep != self._sweep:
            self._sweep, self._known, self._ask_all = sweep, {}, True
            self._reader.all_again()
        client, experiment = self._connect(folder)
        self._ask(client, experiment)
        runs, delivered = [for_the_page(run) for run in self._reader.read()], Delivered()
        try:
            while runs:
                delivered += self._deliver(client, experiment, about, runs[0])
                runs.pop(0)
        finally:
            if runs:  # an error half way
                self._reader.again((run.key for run in runs if run.kind == "trial"), around=True)
                self._doubt[runs[0].kind, runs[0].key] = runs[0].started_ms
        self._show(client, experiment)
        return delivered

    def _show(self, client: "MlflowClient", experiment: str) -> None:
        """Writes the sweep's saved view, and that of all sweeps, where it is new or has changed."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        sweep = self._known["sweep", ""]
        view = sweep_view(self._sweep[0], sweep.run_id, sweep.params)
        if view == self._view:
            return
        try:
            write_view(client, experiment, self._sweep[0], view)
            write_view(client, experiment, None, comparison_view())
        except (MlflowException, SQLAlchemyError, OSError, TrackingError) as error:
            self.no_view = f"{type(error).__name__}: {error}"
            return
        self._view, self.no_view = view, ""

    def forget(self) -> None:
        """Makes the next pass ask MLflow what it holds."""
        self._ask_all = True

    def _ask(self, client: "MlflowClient", experiment: str) -> None:
        """What MLflow holds, of all runs or of those in doubt: a request that timed out may have been carried out, or have made a twin. What it holds
        otherwise than was thought is delivered again."""
        assert self._reader is not None
        if self._ask_all:
            found, asked = held_runs(client, experiment, self._sweep), {*self._known, *self._doubt}
        elif self._doubt:
            found, asked = held_runs(client, experiment, self._sweep, since_ms=min(self._doubt.values())), set(self._doubt)
        else:
            return
        other = {key for key in asked if key not in found or key not in self._known or not self._known[key].is_what(found[key])}
        self._reader.again((key for kind, key in other if kind == "trial"), around=any(kind != "trial" for kind, _ in other))
        self._known = {key: run for key, run in self._known.items() if key not in asked} | found
        self._ask_all, self._doubt = False, {}

    def _connect(self, folder: SweepFolder) -> tuple["MlflowClient", str]:
        """The client, and the id of the experiment, made if absent."""
        set_environment()
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        database = sqlite_file(self.uri)
        if self._client is None:
            quiet()
            if database:
                prepare_sqlite(database)
            elif is_database(self.uri):
                refuse_unreachable(self.uri)  # MLflow itself tries ten times, for minutes
            self._client = _Asked(self, self._asking(MlflowClient)(tracking_uri=address(self.uri)))
        found = self._client.get_experiment_by_name(self.experiment)
        if found is None:
            try:
                # a database has no server that keeps artifacts: they go beside it, not into whatever folder this process runs in
                beside = folder.path.absolute().parents[1] / "mlartifacts"
                location = artifacts_beside(database) if database else beside.as_uri() if is_database(self.uri) else None
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
        self._describe(str(found.experiment_id), found.tags.get(NOTE, ""))
        return self._client, str(found.experiment_id)

    def _describe(self, experiment: str, note: str) -> None:
        """A description that somebody wrote stays; ours, of another version, is renewed."""
        if note != EXPERIMENT_NOTE and (not note.strip() or note.startswith(EXPERIMENT_NOTE.partition(":")[0] + ":")):
            self._client.set_experiment_tag(experiment, NOTE, EXPERIMENT_NOTE)

    def _asking(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """``call``, with ``asked_at`` set meanwhile. What it raises of kinds that nobody names is an answer too, and one that cannot be used."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        def asked(*args: Any, **kwargs: Any) -> Any:
            self.asked_at = time.monotonic()
            try:
                return call(*args, **kwargs)
            except (MlflowException, SQLAlchemyError, OSError, ValueError):
                raise
            except Exception as error:
                raise TrackingError(f"{type(error).__name__}: {error}; an answer of an MLflow") from error
            finally:
                self.asked_at = None

        return asked

    def _deliver(self, client: "MlflowClient", experiment: str, sweep: SweepRecord, run: TrackedRun) -> Delivered:
        from mlflow.entities import Param, RunTag

        tags = run.tags | naming_tags(run, self._sweep)
        if run.kind != "sweep":
            tags["mlflow.parentRunId"] = self._known["sweep", ""].run_id
        have, num_runs = self._known.get((run.kind, run.key)), 0
        if have is None:
            made = client.create_run(experiment, start_time=run.started_ms, tags=tags, run_name=run.name)
            have, num_runs = Held(made.info.run_id, run.started_ms, tags=dict(tags)), 1
            self._known[run.kind, run.key] = have
            self._doubt[run.kind, run.key] = run.started_ms
        # A param never changes in MLflow; a setting that did (more trials asked for) is told by a tag.
        params = {key: value for key, value in run.params.items() if key not in have.params}
        tags |= {f"now.{key}": value for key, value in run.params.items() if have.params.get(key, value) != value}
        tags = {key: value for key, value in tags.items() if have.tags.get(key) != value}
        missing = [point for point in run.points if point.step > have.last_step]
        test = test_metrics(run.test, have)
        first, *others = [*batches(missing, have.started_ms, len(params) + len(tags) + len(test))] or [[]]
        if params or tags or first or test:  # in one request: a run costs a server few of them
            entities = {"params": [Param(*item) for item in params.items()], "tags": [RunTag(*item) for item in tags.items()]}
            client.log_batch(have.run_id, metrics=[*first, *test], **entities)
            have.params |= params
            have.tags |= tags
            have.test |= {metric.key: metric.value for metric in test}
            have.last_step = first[-1].step if first else have.last_step
        for batch in others:
            client.log_batch(have.run_id, metrics=batch)
            have.last_step = batch[-1].step
        if not have.has_dataset:
            client.log_inputs(have.run_id, datasets=[dataset(sweep)])
            have.has_dataset = True
        num_artifacts = deliver_artifacts(client, run, have)
        num_statuses = 0
        if run.status == "RUNNING" and have.status != "RUNNING":  # a sweep that goes on
            client.update_run(have.run_id, status="RUNNING")
            num_statuses = 1
        elif run.status != "RUNNING" and (have.status != run.status or (run.ended_ms is not None and have.ended_ms != run.ended_ms)):
            client.set_terminated(have.run_id, status=run.status, end_time=run.ended_ms)
            num_statuses = 1
        have.status, have.ended_ms = run.status, run.ended_ms
        return Delivered(num_runs, len(missing) + bool(test), len(params), len(tags), num_statuses, num_artifacts)
