"""The settings of one trial and of a sweep, checked before anything runs: all problems at once, each with what is accepted."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from peoria.config.paper_recipe import paper_points
from peoria.config.space import Positive, Space
from peoria.config.trial import Count, TrialConfig
from peoria.data.filters import Filter
from peoria.errors import ConfigError

Question = Literal["learning-curve", "leak", "time"]


class Point(BaseModel):
    """A point queued by hand; what is left out is drawn."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    task: str
    learning_rate: Positive | None = None
    head_multiplier: Positive | None = None
    outlier_sd: Positive | Literal["drawn"] | None = "drawn"

    def given(self) -> dict[str, Any]:
        point: dict[str, Any] = {"task": self.task}
        point |= {name: value for name in ("learning_rate", "head_multiplier") if (value := getattr(self, name)) is not None}
        return point if self.outlier_sd == "drawn" else point | {"outlier_sd": self.outlier_sd}


SEARCHED = ("task", "learning_rate", "head_multiplier", "outlier_sd", "seed", "threads")
EXAMPLE = 'the least is: from peoria import Sweep; SWEEP = Sweep(name="mine", shards="data/shards/mine")'
RUNTIME_FIELDS = ("trials", "queue", "shards", "question")  # may change between runs of one sweep; anything else makes it another sweep


class Sweep(BaseModel):
    """A question, the space that is searched for its answer, and what every trial shares."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    question: str = ""
    shards: str  # a folder that `peoria pack` made
    where: str | None = None  # only these of its pictures, as in tag=beach or tag=beach|ocean; None: all
    trials: Count = 60  # finished or pruned trials of the searched space; the paper's are extra
    space: Space = Space()
    shared: dict[str, Any] = {}  # fields of TrialConfig that all trials have in common
    queue: tuple[Point, ...] = ()  # tried first
    paper: bool = False  # run the paper's three experiments too, outside the searched space
    startup_per_task: Count = 4  # random points of each task before the searcher models anything
    prune: bool = True
    reduction_factor: Annotated[int, Field(ge=2)] = 3  # of the pruner: one in so many goes past each rung
    seed: Annotated[int, Field(ge=0)] = 0
    seeds: Annotated[int, Field(ge=0)] = 5  # how often each winner's settings are trained again, for the recipe that is judged; 0: the trial itself
    questions: tuple[Question, ...] = ("learning-curve", "leak", "time")  # asked of the winner by further trials, once it is known

    @model_validator(mode="after")
    def _shared_is_a_trial(self) -> "Sweep":
        if self.where is not None:
            Filter.parse(self.where)
        searched = sorted(set(self.shared) & set(SEARCHED))
        if searched:
            raise ValueError(f"shared: {', '.join(searched)}; what is searched or drawn for each trial has no shared value")
        points = {task: ({"task": task, "learning_rate": 1e-3}, "shared.") for task in self.space.task}
        if self.paper:
            points |= {key: (point, f"{key}: ") for key, point in paper_points(self.space.task, self.shared).items()}
        for point, where in points.values():
            try:
                TrialConfig.model_validate({**self.shared, **point})
            except ValidationError as error:
                raise ValueError("\n".join(_problems(error, where, TrialConfig))) from None
        return self

    def trial(self, point: dict[str, Any], *, seed: int, threads: int) -> TrialConfig:
        return TrialConfig.model_validate({**self.shared, **point, "seed": seed, "threads": threads})

    def definition(self) -> dict[str, Any]:
        """What makes it this sweep and no other, as plain JSON values."""
        return self.model_dump(mode="json", exclude=set(RUNTIME_FIELDS))


def _problems(error: ValidationError, prefix: str, model: type[BaseModel]) -> list[str]:
    lines = []
    for problem in error.errors():
        text = problem["msg"].removeprefix("Value error, ")
        where = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            text = f"unknown key; the keys are {', '.join(model.model_fields)}"
        elif where and problem["type"] != "value_error":
            text = f"{problem['input']!r}; {text}"
        lines += [f"{prefix}{where}{': ' if where else ''}{line}" for line in text.splitlines()]
    return lines


def load_sweep(path: str | Path) -> Sweep:
    """The one ``SWEEP`` value of a sweep file.

    Raises:
        ConfigError: no such file, it does not run, or it has no ``SWEEP``.
    """
    import runpy

    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; a sweep file is Python with one SWEEP value", hint=EXAMPLE)
    try:
        found = runpy.run_path(str(path), run_name="peoria_sweep_file")
    except ValidationError as error:
        model: type[BaseModel] = {"Space": Space, "Point": Point}.get(error.title, Sweep)  # type: ignore[assignment]
        raise ConfigError(*_problems(error, f"{path}: ", model)) from None
    except SyntaxError as error:
        raise ConfigError(f"{path}: line {error.lineno}: {error.msg}; a sweep file is Python") from None
    if not isinstance(found.get("SWEEP"), Sweep):
        raise ConfigError(f"{path}: no SWEEP; a sweep file ends with SWEEP = Sweep(...)", hint=EXAMPLE)
    sweep: Sweep = found["SWEEP"]
    return sweep
