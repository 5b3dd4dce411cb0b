"""What is sent of a run beside its settings: points in batches, files without secrets, the data set that it learnt from."""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peoria.records.schema import SweepRecord
from peoria.redact import scrub_file, scrub_text
from peoria.tracking.curves import OBJECTIVE, MetricPoint
from peoria.tracking.held import Held
from peoria.tracking.runs import TrackedRun
from peoria.tracking.verdict_file import TestNumbers
from peoria.tracking.words import set_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

MAX_METRICS = 1000  # in one log_batch: mlflow.utils.validation.MAX_METRICS_PER_BATCH, and MAX_ENTITIES_PER_BATCH with params and tags
_BINARY = {".jpg", ".png", ".parquet"}


def batches(points: list[MetricPoint], started_ms: int, beside: int = 0) -> Iterator[list["Metric"]]:
    """Whole points, at most MAX_METRICS metrics a batch, of the first less those ``beside`` it; timestamps by the step, so that a repeat is the same
    row. The objective comes first in each, for MLflow's page of comparison opens on the metric that a run was given first."""
    from mlflow.entities import Metric

    batch: list[Metric] = []
    room = MAX_METRICS - beside
    for point in points:
        metrics = [Metric(key, value, started_ms + point.step, point.step) for key, value in point.metrics.items()]
        if batch and len(batch) + len(metrics) > room:
            yield sorted(batch, key=_is_not_the_objective)
            batch, room = [], MAX_METRICS
        batch = batch + metrics
    if batch:
        yield sorted(batch, key=_is_not_the_objective)


def _is_not_the_objective(metric: "Metric") -> bool:
    return bool(metric.key != OBJECTIVE)


def test_metrics(test: TestNumbers | None, held: Held) -> list["Metric"]:
    """Those numbers of the test split that MLflow holds otherwise. A later opening has a higher step; the same one, judged again, a later time."""
    from mlflow.entities import Metric

    if test is None:
        return []
    return [Metric(key, value, test.at_ms, test.step) for key, value in test.metrics.items() if held.test.get(key) != value]


def deliver_artifacts(client: "MlflowClient", run: TrackedRun, have: Held) -> int:
    """Sends the files that are new or changed, without secrets. Their digests stand in a tag, written last: a repeat after a kill overwrites the
    same file."""
    stamps = {name: ((about := path.stat()).st_mtime_ns, about.st_size) for name, path in run.artifacts.items()}
    new = {name: path for name, path in run.artifacts.items() if have.stamps.get(name) != stamps[name]}
    if not new:
        return 0
    had = json.loads(have.tags.get("artifacts", "{}"))
    files = {scrub_text(name): _without_secrets(name, path.read_bytes()) for name, path in new.items()}
    now = {name: hashlib.sha256(data).hexdigest()[:16] for name, data in files.items()}
    changed = sorted(name for name in now if had.get(name) != now[name])
    with tempfile.TemporaryDirectory(prefix="peoria-") as folder:  # of copies without secrets: the files themselves stay as they are
        for name in changed:
            copy = Path(folder) / name
            copy.write_bytes(files[name])
            client.log_artifact(have.run_id, str(copy))
    if changed:
        have.tags["artifacts"] = json.dumps(had | now, sort_keys=True)
        client.set_tag(have.run_id, "artifacts", have.tags["artifacts"])
    have.stamps = stamps
    return len(changed)


def _without_secrets(name: str, data: bytes) -> bytes:
    return data if Path(name).suffix in _BINARY else scrub_file(name, data)  # a picture's bytes are no text


def dataset(sweep: SweepRecord) -> Any:
    """The packed set, by name and digest, as an input of every run of the sweep."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    about = {"num_train": sweep.num_train, "num_val": sweep.num_val, "val_keys_sha256": sweep.val_keys_sha256}
    source = json.dumps({"identity": sweep.identity})
    data = Dataset(name=set_name(sweep), digest=sweep.identity[:36], source_type="local", source=source, profile=json.dumps(about, sort_keys=True))
    return DatasetInput(data, tags=[InputTag("mlflow.data.context", "training")])
