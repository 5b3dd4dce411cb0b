"""What every part of a verdict is made of: frozen models, numbers rounded alike, intervals."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Model(BaseModel):
    """A part of ``verdict.json``: unknown keys are refused, and every number is finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True, allow_inf_nan=False)


def six_decimals(value: float) -> float:
    """So that the last bits of another processor do not show; −0.0 as 0.0."""
    return round(float(value), 6) + 0.0


Number = Annotated[float, AfterValidator(six_decimals)]


class Interval(Model):
    """An estimate with its 95 % interval, by resampled owners (of a recipe: by owners and seeds)."""

    value: Number = Field(description="the estimate, in the unit of what is estimated")
    low: Number = Field(description="lower bound")
    high: Number = Field(description="upper bound")
