"""The settings of one trial and of a sweep, checked before anything runs: all problems at once, each with what is accepted."""

import itertools
import traceback
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator, model_validator

from peoria.config.paper_recipe import paper_points
from peoria.config.problems import problems_of
from peoria.config.settings import Settings, about
from peoria.config.space import OURS, RANGES_OF_A_TASK, TASKS, YOURS, LogUniform, Positive, Space
from peoria.config.trial import Count, TrialConfig
from peoria.data.filters import Filter
from peoria.errors import ConfigError
from peoria.plugins import Plugins, find_plugin, first_line, told
from peoria.tasks import task_names

Question = Literal["learning-curve", "leak", "time"]


class Point(Settings):
    """A point queued by hand; what is left out is drawn."""

    task: Annotated[str, about("its task", unit="name", source=YOURS, accepts=TASKS)]
    learning_rate: Annotated[Positive | None, about("of the trunk; None: drawn", unit="factor of the gradient", source=YOURS)] = None
    head_multiplier: Annotated[Positive | None, about("of the last layer; None: drawn", unit="factor of learning_rate", source=YOURS)] = None
    outlier_sd: Annotated[Positive | Literal["drawn"] | None, about("the outlier cut; None: no cut", unit="standard deviations", source=YOURS)] = (
        "drawn"
    )

    def given(self) -> dict[str, Any]:
        point: dict[str, Any] = {"task": self.task}
        point |= {name: value for name in ("learning_rate", "head_multiplier") if (value := getattr(self, name)) is not None}
        return point if self.outlier_sd == "drawn" else point | {"outlier_sd": self.outlier_sd}

    def outside(self, space: Space) -> list[str]:
        """What of it lies outside the space, which the searcher could not learn from, each with what is accepted."""
        given = self.given()
        of_choices: dict[str, tuple[Any, ...]] = {"task": space.task, "outlier_sd": space.outlier_sd}
        found = [f"{name} {given[name]!r}; one of {of_choices[name]}" for name in of_choices if name in given and given[name] not in of_choices[name]]
        for name in RANGES_OF_A_TASK if self.task in space.task else ():
            span = space.span(self.task, name)
            if name in given and not span.low <= given[name] <= span.high:
                found.append(f"{name} {given[name]:g}; {span.low:g} to {span.high:g}, the range of {self.task}")
        return found


class Plugin(BaseModel):
    """A file, or an installed package, that nets and tasks of the sweep may be of."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str
    sha256: str
    path: str = ""  # as the sweep file has it; of a record's: ""


RECORDED = "recorded"  # in the context of a validation: of a sweep that was begun, by whatever rule there was then
EARLIEST_RUNG = 0.05  # of the length; before that an order of trials says too little: measured, docs/log.md
FEWEST_SEEDS = 3  # whose spread says enough of the luck of training
SEARCHED = ("task", "learning_rate", "head_multiplier", "outlier_sd", "seed", "threads")
EXAMPLE = 'the least is: from peoria import Sweep; SWEEP = Sweep(name="mine", shards="data/shards/mine")'
RUNTIME_FIELDS = ("trials", "pictures", "queue", "shards", "question")  # may change between runs of one sweep; anything else makes it another sweep


class Sweep(Settings):
    """A question, the space that is searched for its answer, and what every trial shares."""

    name: Annotated[
        str,
        Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$"),
        about("of the sweep and of its folder", unit="text", source=YOURS, accepts="1 to 64 of a–z, 0–9, `_`, `-`, first a letter or digit"),
    ]
    question: Annotated[str, about("what it asks, in words, for the report", unit="text", source=YOURS)] = ""
    shards: Annotated[
        str,
        about("the packed set", unit="folder or address", source=YOURS, accepts="a folder that `peoria pack` made, or its address in a bucket"),
    ]
    plugins: Annotated[
        tuple[str | Plugin, ...],
        about(
            "what has nets and tasks of one's own", unit="files", source=YOURS, accepts="paths of files, names of installed packages; docs/plugins.md"
        ),
    ] = ()
    where: Annotated[
        str | None,
        about(
            "only these of its pictures, in train, val and test; None: all",
            unit="filter",
            source=OURS,
            accepts="`tag=beach,ocean`, `owner=ann`, `None`",
        ),
    ] = None
    trials: Annotated[
        Count, about("trials of the search that end as done, pruned or diverged; what follows the search is extra", unit="trials", source=OURS)
    ] = 60
    pictures: Annotated[
        Count | None,
        about(
            "of train that these may see in all, repeats counted: once as many are seen no further one is begun; None: any number",
            unit="pictures",
            source=OURS,
        ),
    ] = None
    space: Annotated[Space, about("what is searched", unit="settings", source="below", accepts="a `Space`")] = Space()
    shared: Annotated[
        dict[str, Any],
        about(
            "settings of a trial that all trials have in common",
            unit="settings",
            source="below",
            accepts="those of `TrialConfig` but what is searched, `seed` and `threads`",
        ),
    ] = {}  # noqa: RUF012 - pydantic copies it
    queue: Annotated[
        tuple[Point, ...], about("points that are tried first", unit="points", source=OURS, accepts="`Point(…)` within `space`, any number")
    ] = ()
    paper: Annotated[bool, about("run the paper's three experiments too, outside the searched space", unit="yes or no", source=OURS)] = False
    startup_per_task: Annotated[Count, about("random points of each task before the searcher models anything", unit="trials", source=OURS)] = 2
    prune: Annotated[bool, about("stop trials early that others of the same length are better than", unit="yes or no", source=OURS)] = True
    rungs: Annotated[
        tuple[float, ...],
        about(
            "of the pruner: the shares of the length at which trials are compared; val is evaluated there too",
            unit="shares",
            source="ours: measured, docs/log.md",
            accepts=f"one or more, ascending, each ≥ {EARLIEST_RUNG:g} and < 1",
        ),
    ] = (0.05, 0.125, 0.25, 0.5)
    reduction_factor: Annotated[
        int, Field(ge=2), about("of the pruner: one trial in so many goes past each rung", unit="trials", source="ours: measured, docs/log.md")
    ] = 2
    seed: Annotated[int, Field(ge=0), about("of what the searcher draws", unit="number", source=OURS)] = 0
    seeds: Annotated[
        int,
        Field(ge=0),
        about(
            "how often each winner's settings are trained again; their mean is judged. 0: the trial itself is",
            unit="trainings",
            source="ours: simulated, docs/statistics.md",
            accepts=f"0, or a whole number ≥ {FEWEST_SEEDS}",
        ),
    ] = 5
    questions: Annotated[
        tuple[Question, ...],
        about(
            "asked of the winner by further trainings, once it is known",
            unit="names",
            source=OURS,
            accepts=f"any of {', '.join(f'`{name}`' for name in get_args(Question))}",
        ),
    ] = ("learning-curve", "leak", "time")

    @field_validator("rungs")
    @classmethod
    def _late_enough(cls, rungs: tuple[float, ...], about: ValidationInfo) -> tuple[float, ...]:
        least = 0.0 if (about.context or {}).get(RECORDED) else EARLIEST_RUNG
        if not rungs or not all(low < high for low, high in itertools.pairwise((*rungs, 1.0))) or rungs[0] < least:
            raise ValueError(
                f"{rungs!r}; one or more shares of the length, ascending, each at least {EARLIEST_RUNG:g} and below 1; prune=False: none"
            )
        return rungs

    @field_validator("seeds")
    @classmethod
    def _enough_seeds(cls, seeds: int, about: ValidationInfo) -> int:
        if 0 < seeds < FEWEST_SEEDS and not (about.context or {}).get(RECORDED):
            raise ValueError(
                f"{seeds}; 0 (the judged network is the one that the search trained, no luck of training is known) or at least {FEWEST_SEEDS}: "
                "the interval of so few does not hold, that of 2 in 87 % of studies"
            )
        return seeds

    @field_validator("plugins", mode="before")
    @classmethod
    def _found(cls, given: Any, about: ValidationInfo) -> Any:
        if isinstance(given, dict) and (about.context or {}).get(RECORDED):  # whose texts lie in the record
            return tuple(Plugin(name=name, sha256=sha256) for name, sha256 in given.items())
        if given == []:  # of JSON
            return ()
        if not isinstance(given, tuple) or not all(isinstance(one, str | Plugin) for one in given):
            raise ValueError(f"{given!r}; a tuple of paths and packages, as in ('my_nets.py',)")
        found = tuple(
            one if isinstance(one, Plugin) else Plugin(**dict(zip(("name", "sha256"), find_plugin(one), strict=True)), path=one) for one in given
        )
        names = [one.name for one in found]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)}; each name once")
        return found

    @model_validator(mode="after")
    def _shared_is_a_trial(self, about: ValidationInfo) -> "Sweep":
        if self.where is not None:
            Filter.parse(self.where)
        if not (about.context or {}).get(RECORDED):  # a record is read without running a plugin
            known = task_names(self.digests)
            if unknown := [task for task in self.space.task if task not in known]:
                raise ValueError(f"task: {', '.join(map(repr, unknown))}; one or more of {', '.join(known)}")
        if outside := [f"queue.{number}: {text}" for number, queued in enumerate(self.queue) for text in queued.outside(self.space)]:
            raise ValueError("\n".join(outside))
        if own := sorted({"plugins", "rungs"} & set(self.shared)):
            raise ValueError(f"shared: {', '.join(own)}; the sweep's own, as in Sweep(plugins=('my_nets.py',), rungs=(0.125, 0.5))")
        searched = sorted(set(self.shared) & set(SEARCHED))
        if searched:
            raise ValueError(f"shared: {', '.join(searched)}; what is searched or drawn for each trial has no shared value")
        points = {task: ({"task": task, "learning_rate": 1e-3}, "shared.") for task in self.space.task}
        if self.paper:
            points |= {key: (point, f"{key}: ") for key, point in paper_points(self.space.task, self.shared).items()}
        for point, where in points.values():
            try:
                TrialConfig.model_validate({**self.shared, **point, **self._own})
            except ValidationError as error:
                raise ValueError("\n".join(problems_of(error, where, TrialConfig))) from None
        return self

    def trial(self, point: dict[str, Any], *, seed: int, threads: int) -> TrialConfig:
        return TrialConfig.model_validate({**self.shared, **point, "seed": seed, "threads": threads, **self._own})

    @property
    def _own(self) -> dict[str, Any]:
        """What it gives each of its trials beside what they share."""
        return {"plugins": self.digests, "rungs": self.rungs if self.prune else ()}

    @property
    def digests(self) -> Plugins:
        """Of its plugins, by name: the sha256 of what is run."""
        return {one.name: one.sha256 for one in self.plugins if isinstance(one, Plugin)}

    @property
    def plugin_files(self) -> tuple[str, ...]:
        """Paths of those of its plugins that are files."""
        return tuple(one.path for one in self.plugins if isinstance(one, Plugin) and one.path.endswith(".py"))

    def definition(self) -> dict[str, Any]:
        """What makes it this sweep and no other, as plain JSON values."""
        plugins = {"plugins": self.digests} if self.plugins else {}  # a sweep without any is defined as it was before there were any
        return self.model_dump(mode="json", exclude={*RUNTIME_FIELDS, "plugins"}) | plugins


MODELS: dict[str, type[Any]] = {model.__name__: model for model in (LogUniform, Point, Space, Sweep, TrialConfig)}


def load_sweep(path: str | Path) -> Sweep:
    """The one ``SWEEP`` value of a sweep file.

    Raises:
        ConfigError: no such file, it does not run, or it has no ``SWEEP``.
    """
    import runpy

    path = Path(path)
    if not path.is_file():
        there = "a folder" if path.is_dir() else "no regular file" if path.exists() else "no such file"
        raise ConfigError(f"{path}: {there}; a sweep file is Python with one SWEEP value", hint=EXAMPLE)
    try:
        found = runpy.run_path(str(path), run_name="peoria_sweep_file")
    except KeyboardInterrupt:
        raise
    except ValidationError as error:
        raise ConfigError(*problems_of(error, f"{path}: ", MODELS.get(error.title, Sweep))) from None
    except BaseException as error:  # noqa: BLE001 - it is the user's code: what it raises, SystemExit too, is theirs to mend
        raise ConfigError(_of_the_users_code(path, error), hint="it runs by itself with: python FILE") from None
    if not isinstance(found.get("SWEEP"), Sweep):
        raise ConfigError(f"{path}: no SWEEP; a sweep file ends with SWEEP = Sweep(...)", hint=EXAMPLE)
    sweep: Sweep = found["SWEEP"]
    return sweep


def _of_the_users_code(path: Path, error: BaseException) -> str:
    """What went wrong in a sweep file, with the line of that file."""
    holds = "a sweep file is Python"
    if isinstance(error, SystemExit):
        holds = "a sweep file holds one SWEEP value and ends by itself"
    elif not isinstance(error, SyntaxError) and any(frame.filename == str(path) for frame in traceback.extract_tb(error.__traceback__)):
        holds = "a sweep file runs and holds one SWEEP value"
    elif isinstance(error, OSError | ValueError) and not isinstance(
        error, SyntaxError
    ):  # before a line of it ran: not readable, or bytes that are no text
        return f"{path}: {first_line(error)}; {holds}"
    return f"{path}: {told(error, lambda file: file == str(path), holds)}"
