"""What a driver tells a worker, and what a worker tells it back: plain JSON between any two processes."""

import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote_from_bytes, unquote_to_bytes

from pydantic import BaseModel, ConfigDict, PlainSerializer, PlainValidator, ValidationInfo

from peoria.config.trial import TrialConfig
from peoria.plugins import Sent
from peoria.records.points import Curve
from shards.addresses import is_url


def _path(given: str | Path, info: ValidationInfo) -> Path:
    return Path(os.fsdecode(unquote_to_bytes(given)) if info.mode == "json" and isinstance(given, str) else given)


def _address(given: str | Path, info: ValidationInfo) -> str | Path:
    return str(given) if is_url(given) else _path(given, info)


# A name of a folder is bytes, of which JSON holds only those that are UTF-8; percent-encoded it holds all.
AnyPath = Annotated[Path, PlainValidator(_path), PlainSerializer(lambda path: quote_from_bytes(os.fsencode(path), safe="/ "), when_used="json")]
Address = Annotated[
    str | Path,
    PlainValidator(_address),
    PlainSerializer(lambda given: given if isinstance(given, str) else quote_from_bytes(os.fsencode(given), safe="/ "), when_used="json"),
]


class RemotePlace(BaseModel):
    """Where a trial's files lie in a bucket."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sweep: str
    """The URL of all that belongs to the sweep."""
    attempt: str
    """Under which this try of the trial puts its files; later ones sort after earlier ones."""


class TrialSpec(BaseModel):
    """A trial to run, or to go on with: everything a worker needs to know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    folder: AnyPath
    """The trial's own, absolute."""
    config: TrialConfig
    shards: Address
    """The packed set: an absolute path, or a URL."""
    cache: AnyPath
    """Where the node keeps its decoded copy, absolute."""
    cache_bytes: int | None
    """What that may take; None: what leaves a tenth of the disk, or 5 GB, free."""
    control: str | None
    where: str | None
    identity: str = ""
    """Of the data that the sweep is on; "": not compared."""
    stop_file: Path | None = None
    """While it is there, the trial writes where it is and ends as ``interrupted``."""
    plugin_texts: Sent = ()
    """Of the files among ``config.plugins``."""
    remote: RemotePlace | None = None
    """Where the trial's files go to; None: ``folder`` is where they stay."""


class TrialReport(BaseModel):
    """One evaluation of a trial on the whole val split, or its end."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")

    step: int
    """The set point, in pictures seen."""
    status: Literal["running", "done", "diverged", "failed", "infeasible", "interrupted"]
    """``failed``: by an exception of its own; ``infeasible``: it needs more memory than there is; ``interrupted``: by what is around it (no room,
    other software, a stop), which is no end of the trial."""
    objective: float | None = None
    metrics: dict[str, float] = {}
    """Of val, keys with the split."""
    points: Curve = []
    """What the curves gained since the report before; of one that a checkpoint sends again, the whole curve."""
    error: str | None = None
    """Of one that ended otherwise than done, with the traceback where it is the trial's own; of one that was interrupted, why."""
    stopped: bool = False
    """Of one that was interrupted: it was told to stop, and has written where it is."""
    preempted: bool = False
    """Interrupted because its node is being taken away: it has written where it is, and its worker leaves."""
    note: str = ""
    """What the user should know of it: a checkpoint that was damaged."""
