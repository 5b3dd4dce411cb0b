"""What a driver tells a worker, and what a worker tells it back: plain JSON between any two processes."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from peoria.config.trial import TrialConfig
from peoria.records.points import Curve


class TrialSpec(BaseModel):
    """A trial to run, or to go on with: everything a worker needs to know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    folder: Path
    """The trial's own, absolute."""
    config: TrialConfig
    shards: Path
    """The packed set, absolute."""
    cache: Path
    """Where the node keeps its decoded copy, absolute."""
    cache_bytes: int | None
    """What that may take; None: what leaves a tenth of the disk free."""
    control: str | None
    where: str | None


class TrialReport(BaseModel):
    """One evaluation of a trial on the whole val split, or its end."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")

    step: int
    """The set point, in pictures seen."""
    status: Literal["running", "done", "diverged", "failed"]
    objective: float | None = None
    metrics: dict[str, float] = {}
    """Of val, keys with the split."""
    points: Curve = []
    """What the curves gained since the report before."""
    error: str | None = None
    """Of one that diverged or failed, with the traceback."""
