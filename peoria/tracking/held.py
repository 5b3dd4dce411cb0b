"""What MLflow holds of a sweep's runs, asked in one search, and how they are found there."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from peoria.tracking.runs import TrackedRun

if TYPE_CHECKING:
    from mlflow import MlflowClient

_KINDS = ("trial", "baseline", "mean")  # each with a tag that holds its key; a run without is the sweep's own


@dataclass
class Held:
    """What a run in MLflow is known to hold."""

    run_id: str
    started_ms: int  # as MLflow has it: timestamps stay the same even if the folder's start is written anew
    last_step: int = -1
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    status: str = "RUNNING"
    ended_ms: int | None = None
    has_dataset: bool = False
    test: dict[str, float] = field(default_factory=dict)  # numbers of the test split
    stamps: dict[str, tuple[int, int]] = field(default_factory=dict)  # by artifact: modified ns and bytes of the file that was compared last

    def is_what(self, found: "Held") -> bool:
        """Whether MLflow, asked again, holds just this."""
        same = (self.run_id, self.last_step, self.status, self.ended_ms) == (found.run_id, found.last_step, found.status, found.ended_ms)
        return same and all(getattr(self, name).items() <= getattr(found, name).items() for name in ("params", "tags", "test"))


def naming_tags(run: TrackedRun, sweep: tuple[str, ...]) -> dict[str, str]:
    """By which `held_runs` knows a run."""
    tags = dict(zip(("peoria.sweep", "peoria.identity", "peoria.started_ms"), sweep, strict=True))
    return tags if run.kind == "sweep" else tags | {f"peoria.{run.kind}": run.key}


def held_runs(client: "MlflowClient", experiment: str, sweep: tuple[str, ...], since_ms: int | None = None) -> dict[tuple[str, str], Held]:
    """What MLflow holds of a sweep: all runs, or those that started ``since_ms``, with the last value of each metric, in one search."""
    by_key: dict[tuple[str, str], list[Any]] = {}
    names = zip(("sweep", "identity", "started_ms"), sweep, strict=True)
    condition = " and ".join(f"tags.`peoria.{name}` = '{value}'" for name, value in names)
    if since_ms is not None:
        condition += f" and attributes.start_time >= {since_ms}"
    token: str | None = None
    while True:
        page = client.search_runs([experiment], condition, max_results=1000, page_token=token)
        for run in page:
            kind = next((kind for kind in _KINDS if f"peoria.{kind}" in run.data.tags), "sweep")
            by_key.setdefault((kind, run.data.tags.get(f"peoria.{kind}", "") if kind != "sweep" else ""), []).append(run)
        token = page.token
        if not token:
            break
    known = {}
    for key, twins in by_key.items():
        first, *others = sorted(twins, key=lambda run: run.info.run_id)
        for other in others:  # made by a request that was given up but reached the server all the same
            client.delete_run(other.info.run_id)
        known[key] = _held(first, "trials_ended" if key[0] == "sweep" else "pictures_seen")
    return known


def _held(run: Any, marker: str) -> Held:
    # log_batch writes the metrics of a request and their last values in one transaction (mlflow/store/tracking/sqlalchemy_store.py,
    # _log_metrics_once: one session, one commit after _update_latest_metrics_if_necessary), so that the marker's last value is there
    # exactly if the points up to it are. A repeated row has equal key, value, timestamp and step, which that store drops.
    return Held(
        run_id=run.info.run_id,
        started_ms=run.info.start_time,
        last_step=int(run.data.metrics.get(marker, -1)),
        params=dict(run.data.params),
        tags=dict(run.data.tags),
        status=run.info.status,
        ended_ms=run.info.end_time,
        has_dataset=bool(run.inputs and run.inputs.dataset_inputs),
        test={name: value for name, value in run.data.metrics.items() if name.startswith("test/")},
    )
