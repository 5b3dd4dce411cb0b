"""What a sweep was to take, kept in its record from its start, so that its report can say what it took."""

import time
from contextlib import suppress
from pathlib import Path

from peoria.records.folder import SweepFolder
from peoria.records.home import Home
from peoria.records.schema import PlannedWork
from peoria.sweep.workload import Workload
from shards.errors import MissingObjectError
from shards.files import write_atomic
from shards.store import open_store


def planned_file(home: Path, name: str) -> Path:
    """Where `peoria plan` leaves what it found."""
    return home / _object(name)


def _object(name: str) -> str:
    return f"plans/{name}.json"


def keep_planned(home: Home, name: str, planned: PlannedWork) -> None:
    """Where the sweep will find it, on whatever machine it runs."""
    path = planned_file(home.path, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    planned.write(path)
    if home.url is not None:
        open_store(home.url).put(_object(name), path)


def planned_work(work: Workload, identity: str, *, device: str | None = None, trial_seconds: float | None = None) -> PlannedWork:
    return PlannedWork(
        identity=identity,
        trainings=work.trainings,
        pictures=work.pictures,
        device=device,
        trial_seconds=trial_seconds,
        planned_at=time.time(),
    )


def write_planned(folder: SweepFolder, home: Home, work: Workload, identity: str) -> None:
    """Once, when the sweep begins: as `peoria plan` found it, where it was asked of the same trainings and data, or else without seconds."""
    if folder.plan.exists():
        return
    path = planned_file(home.path, folder.name)
    if home.url is not None:
        with suppress(MissingObjectError):
            write_atomic(path, open_store(home.url).get(_object(folder.name)))
    now, before = planned_work(work, identity), PlannedWork.read_if_there(path)
    same = before is not None and (before.identity, before.trainings, before.pictures) == (now.identity, now.trainings, now.pictures)
    (before if same and before is not None else now).write(folder.plan)
