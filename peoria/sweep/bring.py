"""A sweep in a bucket, brought to this machine to be read."""

from pathlib import Path

from peoria.errors import ReportError
from peoria.records.folder import SweepFolder
from peoria.records.home import Home
from peoria.sweep.check import keeps_model
from peoria.sweep.lock import holder
from peoria.sweep.mirror import READING, fetch_models, take_up
from shards.files import locked
from shards.store import open_store


def bring(home: Home, name: str, *, models: bool = False) -> None:
    """Brings the record of a sweep in a bucket to this machine, for reading, unless a process of this machine writes it; with ``models`` also the
    weights and scores that are kept.

    Raises:
        ReportError: there is no such sweep.
        RecordError: a step of its record is damaged.
        StoreError: the store cannot be used.
    """
    if Path(name).name != name:
        raise ReportError(f"sweep {name}: the name of a sweep, as `peoria sweep` printed it; no path")
    folder, url = SweepFolder.of(home.path, name), home.sweep_url(name)
    if url is None:
        return
    store = open_store(url)
    folder.path.mkdir(parents=True, exist_ok=True)
    with locked(folder.path / READING):
        if holder(folder) is None:
            take_up(folder, store, lambda text: None)
    if not folder.definition.exists():
        raise ReportError(f"sweep {name}: none in {home}", hint="peoria sweep begins one there")
    if models:
        fetch_models(store, keeps_model(folder))
