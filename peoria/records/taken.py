"""What a sweep takes from another one when it begins."""

from pydantic import BaseModel, ConfigDict

from peoria.records.schema import Record


class TakenPoint(BaseModel):
    """A point of another sweep's trial."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    key: str
    """Of that trial."""
    task: str
    learning_rate: float
    head_multiplier: float
    outlier_sd: float | None
    objective: float
    """That it reached there."""
    seed: int | None = None
    """That it was trained with, where it is taken over as it was trained; None: it is trained here."""


class TakenPoints(Record):
    """``from.json``: the points of another sweep that this one began with."""

    sealed = True
    sweep: str
    """The other's name."""
    sweep_id: str
    identity: str
    """Of the pictures and counts that it ran on."""
    objective: str
    """That its trials are ordered by."""
    points: tuple[TakenPoint, ...]
    """The best first."""
