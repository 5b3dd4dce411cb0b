"""What is searched: the task, the learning rate and head multiplier of each task, and the outlier threshold."""

import math
from dataclasses import KW_ONLY
from statistics import NormalDist
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from peoria.config.settings import Settings, about, documented
from peoria.tasks import task_names

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
OURS = "ours"
YOURS = "the sweep file"
RANGES = "a `LogUniform`, or one a task: `{'hybrid': LogUniform(1e-5, 1e-3), …}`"
RANGES_OF_A_TASK = ("learning_rate", "head_multiplier")
TASKS = "`regression`, `classification`, `hybrid`, or one of your own"


@dataclass(frozen=True, config=ConfigDict(extra="forbid", strict=True))
class LogUniform:
    """A number drawn evenly on a logarithmic axis, both ends included."""

    low: Annotated[Positive, about("the low end", unit="that of the setting", source=YOURS)]
    high: Annotated[Positive, about("the high end", unit="that of the setting", source=YOURS)]
    _: KW_ONLY
    typical: Annotated[
        Positive | None,
        about(
            "what most start-up points lie about; None: they lie anywhere",
            unit="that of the setting",
            source=YOURS,
            accepts="a number from low to high, or `None`",
        ),
    ] = None
    width: Annotated[
        Positive, about("the standard deviation of these, on the logarithmic axis", unit="decades", source="ours: measured, docs/log.md")
    ] = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> "LogUniform":
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}; low <= high is needed")
        if self.typical is not None and not self.low <= self.typical <= self.high:
            raise ValueError(f"typical {self.typical} is outside {self.low} to {self.high}; low <= typical <= high is needed")
        return self

    def about_typical(self, draw: float) -> float:
        """The value of a start-up point: normally distributed about ``typical`` on the logarithmic axis, cut off at both ends.

        Args:
            draw: a uniform one, 0 to 1.
        """
        assert self.typical is not None
        normal = NormalDist(math.log10(self.typical), self.width)
        low, high = normal.cdf(math.log10(self.low)), normal.cdf(math.log10(self.high))
        place = min(max(low + draw * (high - low), 1e-12), 1 - 1e-12)
        return min(max(10 ** normal.inv_cdf(place), self.low), self.high)


LogUniform.__doc__ = documented(LogUniform)


class Space(Settings):
    """The searched space. Learning rates mean another thing for another loss, so both ranges are drawn apart for each task, and a
    mapping from task to range gives each its own.

    Defaults: from the recipe on standardised targets; thresholds apply to train only.
    """

    task: Annotated[
        tuple[str, ...], about("the tasks among which it draws", unit="names", source="sections 4.1 to 4.3", accepts=f"each once: {TASKS}")
    ] = ("regression", "classification", "hybrid")
    learning_rate: Annotated[
        LogUniform | dict[str, LogUniform],
        about("the learning rates, evenly on a logarithmic axis", unit="factor of the gradient", source="about Caffe's 1e-3", accepts=RANGES),
    ] = LogUniform(1e-6, 1e-2, typical=1e-3)
    head_multiplier: Annotated[
        LogUniform | dict[str, LogUniform],
        about("how much faster the last layer learns, likewise", unit="factor of learning_rate", source="about section 4.1's 20", accepts=RANGES),
    ] = LogUniform(1.0, 100.0, typical=20.0)
    outlier_sd: Annotated[
        tuple[Positive | None, ...],
        about(
            "the outlier cuts among which it draws; None: no cut",
            unit="standard deviations",
            source="about section 4.1's 6",
            accepts="one or more: a number > 0, or `None`",
        ),
    ] = (None, 10.0, 6.0, 4.0, 3.0, 2.0)

    @field_validator("task")
    @classmethod
    def _some_tasks(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        if not tasks or len(set(tasks)) != len(tasks):
            raise ValueError(f"{tasks!r}; one or more of {', '.join(task_names())} or of a plugin's, each once")
        return tasks  # whether each is known its sweep tells, which names the plugins

    @field_validator("outlier_sd")
    @classmethod
    def _some(cls, values: tuple[float | None, ...]) -> tuple[float | None, ...]:
        if not values:
            raise ValueError("no threshold; at least one, None for no outlier filter")
        return values

    @model_validator(mode="after")
    def _every_task_has_ranges(self) -> "Space":
        for name in RANGES_OF_A_TASK:
            ranges = getattr(self, name)
            if isinstance(ranges, dict) and set(ranges) != set(self.task):
                raise ValueError(f"{name}: ranges for {', '.join(sorted(ranges))}; one for each of {', '.join(self.task)}")
        return self

    def span(self, task: str, name: str) -> LogUniform:
        """The range of ``name``, one of RANGES_OF_A_TASK, for ``task``."""
        ranges: LogUniform | dict[str, LogUniform] = getattr(self, name)
        return ranges[task] if isinstance(ranges, dict) else ranges

    def suggest(self, trial: "BaseTrial") -> dict[str, Any]:
        """Draws one point; the parameters of a task carry its name, so that the searcher never mixes their scales."""
        task = trial.suggest_categorical("task", self.task)
        point: dict[str, Any] = {"task": task}
        for name in RANGES_OF_A_TASK:
            span = self.span(task, name)
            point[name] = trial.suggest_float(f"{task}/{name}", span.low, span.high, log=True)
        point["outlier_sd"] = trial.suggest_categorical("outlier_sd", self.outlier_sd)
        return point

    def named(self, point: dict[str, Any]) -> dict[str, Any]:
        """A point in the names of :meth:`suggest`, as the searcher's queue takes it; missing values are left to the searcher."""
        task = point["task"]
        names = {"learning_rate": f"{task}/learning_rate", "head_multiplier": f"{task}/head_multiplier"}
        return {names.get(name, name): value for name, value in point.items()}
