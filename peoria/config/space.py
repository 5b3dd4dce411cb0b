"""What is searched: the task, the learning rate and head multiplier of each task, and the outlier threshold."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from peoria.tasks import task_names

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class LogUniform:
    """A number drawn evenly on a logarithmic axis, both ends included."""

    low: Positive
    high: Positive

    @model_validator(mode="after")
    def _ordered(self) -> "LogUniform":
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}; low <= high is needed")
        return self


class Space(BaseModel):
    """The searched space. Learning rates mean another thing for another loss, so both ranges are drawn apart for each task, and a
    mapping from task to range gives each its own.

    Defaults: from the recipe on standardised targets; thresholds apply to train only.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    task: tuple[str, ...] = ("regression", "classification", "hybrid")
    learning_rate: LogUniform | dict[str, LogUniform] = LogUniform(1e-6, 1e-2)
    head_multiplier: LogUniform | dict[str, LogUniform] = LogUniform(1.0, 100.0)
    outlier_sd: tuple[Positive | None, ...] = (None, 10.0, 6.0, 4.0, 3.0, 2.0)

    @field_validator("task")
    @classmethod
    def _known(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [task for task in tasks if task not in task_names()]
        if unknown or not tasks or len(set(tasks)) != len(tasks):
            raise ValueError(f"{tasks!r}; one or more of {', '.join(task_names())}, each once")
        return tasks

    @field_validator("outlier_sd")
    @classmethod
    def _some(cls, values: tuple[float | None, ...]) -> tuple[float | None, ...]:
        if not values:
            raise ValueError("no threshold; at least one, None for no outlier filter")
        return values

    @model_validator(mode="after")
    def _every_task_has_ranges(self) -> "Space":
        for name in ("learning_rate", "head_multiplier"):
            ranges = getattr(self, name)
            if isinstance(ranges, dict) and set(ranges) != set(self.task):
                raise ValueError(f"{name}: ranges for {', '.join(sorted(ranges))}; one for each of {', '.join(self.task)}")
        return self

    def suggest(self, trial: "BaseTrial") -> dict[str, Any]:
        """Draws one point; the parameters of a task carry its name, so that the searcher never mixes their scales."""
        task = trial.suggest_categorical("task", self.task)
        point: dict[str, Any] = {"task": task}
        for name in ("learning_rate", "head_multiplier"):
            ranges = getattr(self, name)
            span = ranges[task] if isinstance(ranges, dict) else ranges
            point[name] = trial.suggest_float(f"{task}/{name}", span.low, span.high, log=True)
        point["outlier_sd"] = trial.suggest_categorical("outlier_sd", self.outlier_sd)
        return point

    def named(self, point: dict[str, Any]) -> dict[str, Any]:
        """A point in the names of :meth:`suggest`, as the searcher's queue takes it; missing values are left to the searcher."""
        task = point["task"]
        names = {"learning_rate": f"{task}/learning_rate", "head_multiplier": f"{task}/head_multiplier"}
        return {names.get(name, name): value for name, value in point.items()}
