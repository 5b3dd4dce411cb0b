"""The settings of one training run, checked before anything runs."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from peoria.config.paper_recipe import PAPER, PAPER_NET
from peoria.config.space import Positive
from peoria.data.subsets import Subset
from peoria.data.targets import Target, TargetScale
from peoria.tasks import get_task, task_names

Count = Annotated[int, Field(ge=1)]


class TrialConfig(BaseModel):
    """One training run, whole: two trials with equal settings on equal data, threads and device give equal weights."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    # What is searched (the paper's own words).
    task: str
    learning_rate: Positive  # of the trunk; the head's is × head_multiplier
    head_multiplier: Positive = 20.0  # of the last layer's weights; its biases get twice that (Caffe's recipe)
    outlier_sd: Positive | None = 6.0  # training pictures above mean + this many sd are left out; None: all stay
    # What is predicted.
    target: Target | None = None  # None: the task's own, views or favourites
    target_scale: TargetScale = "standard"  # standard: learning rates of tasks on one scale; raw: the paper's
    # The network.
    net: str = "caffenet"
    head: Literal["fc", "pool"] = "fc"
    weights: str | None = None  # "torchvision", a file, or None for random weights
    weights_prefix: str | None = None  # of the keys in that file; None: guessed by shape
    trunk: Literal["trained", "frozen"] = "trained"
    frozen_crops: Count | None = None  # of a frozen trunk: random crops of a train picture whose features are kept and drawn from; None: 2
    # The length, in training pictures seen, repeats counted: a tighter outlier filter makes a shorter epoch, so epochs do not compare.
    pictures: Count = 1_000_000
    batch_size: Count = 50
    evaluations: Count = 8  # of the whole val split, evenly spaced, the last at the end
    curve_points: Count = 40  # of the training loss; a multiple of `evaluations`
    # What is learnt from, and in which order.
    subset: str | None = None  # of train, as in owners:0.25, pictures:0.8, before:2014-05-01; None: all of it
    order: Literal["shuffled", "fixed"] = "shuffled"  # of a pass; fixed: every pass that of the first, as Caffe's data layers read
    # The solver (Caffe's Flickr-style recipe).
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 5e-4
    schedule: Literal["constant", "step", "cosine"] = "step"
    schedule_gamma: Positive = 0.1
    schedule_pictures: Count = 1_000_000  # a step each so many pictures: 20,000 iterations of 50
    # The run.
    seed: Annotated[int, Field(ge=0)] = 0
    threads: Count = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @field_validator("task")
    @classmethod
    def _known(cls, task: str) -> str:
        if task not in task_names():
            raise ValueError(f"{task!r}; one of {', '.join(task_names())}")
        return task

    @model_validator(mode="after")
    def _fits_together(self) -> "TrialConfig":
        if self.curve_points % self.evaluations:
            raise ValueError(f"curve_points: {self.curve_points}; a multiple of evaluations ({self.evaluations})")
        if self.pictures < self.curve_points * self.batch_size:
            least = self.curve_points * self.batch_size
            raise ValueError(f"pictures: {self.pictures}; at least {least}, a batch for each of the {self.curve_points} curve_points")
        if self.subset is not None:
            Subset.parse(self.subset)
        if self.trunk == "frozen" and self.weights is None:
            raise ValueError("trunk: 'frozen' with no weights; a frozen trunk needs weights that were loaded")
        if self.trunk != "frozen" and self.frozen_crops is not None:
            raise ValueError(
                f"frozen_crops: {self.frozen_crops} with trunk {self.trunk!r}; a trunk that is trained sees a new crop each time, "
                "only a frozen one keeps some"
            )
        return self

    @property
    def target_name(self) -> str:
        return self.target or get_task(self.task).default_target

    @property
    def num_frozen_crops(self) -> int:
        return self.frozen_crops or 2

    def set_points(self) -> tuple[int, ...]:
        """Pictures seen at which the training loss is noted, ascending; the last is the length."""
        return tuple(self.pictures * k // self.curve_points for k in range(1, self.curve_points + 1))

    def evaluation_points(self) -> tuple[int, ...]:
        """The set points at which val is evaluated and the trial reports."""
        every = self.curve_points // self.evaluations
        return self.set_points()[every - 1 :: every]


def trial_label(key: str, config: TrialConfig) -> str:
    """A trial's label, by its settings. With the paper's (key ``paper-TASK``) it bears the paper's own name only where net, weights, length and the
    whole net's training are the paper's too."""
    if key == f"paper-{config.task}":
        same = all(getattr(config, name) == value for name, value in PAPER_NET.items()) and config.weights is not None
        same = same and config.pictures == PAPER[config.task]["pictures"].value and config.trunk == "trained" and config.subset is None
        frozen = ", frozen trunk" if config.trunk == "frozen" else ""
        return f"the paper's {config.task}" if same else f"the paper's hyper-parameters on {config.net} ({config.task}){frozen}"
    cut = "no cut" if config.outlier_sd is None else f"{config.outlier_sd:g} sd"
    trunk = ", frozen trunk" if config.trunk == "frozen" else ""
    part = f", {config.subset}" if config.subset else ""
    order = ", fixed order" if config.order == "fixed" else ""
    return f"{key} {config.task} lr {config.learning_rate:.1e} ×{config.head_multiplier:.0f} {cut}{trunk}{part}{order}"
