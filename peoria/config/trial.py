"""The settings of one training run, checked before anything runs."""

import hashlib
import json
import math
import operator
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from peoria.config.paper_recipe import PAPER, PAPER_NET
from peoria.config.settings import Settings, about
from peoria.config.space import OURS, TASKS, Positive
from peoria.data.subsets import Subset
from peoria.data.targets import Target, TargetScale
from peoria.plugins import Plugins
from peoria.tasks import get_task, task_names

Count = Annotated[int, Field(ge=1)]
CAFFE = "Caffe's `finetune_flickr_style`"
SOLVER = "Caffe's `solver.prototxt`"
SEARCHED = "drawn by the search"


class TrialConfig(Settings):
    """One training run, whole: two trials with equal settings on equal data, and on a CPU with equal threads and software, give equal weights; on a
    GPU up to rounding."""

    plugins: Annotated[
        Plugins,
        Field(exclude_if=operator.not_),
        about("that nets and tasks may be of: name to sha256", unit="digests", source="the sweep", accepts="set by the sweep"),
    ] = {}  # noqa: RUF012 - pydantic copies it
    # What is searched (the paper's own words).
    task: Annotated[
        str, about("how the question is posed: the loss, the head and the score", unit="name", source="sections 4.1 to 4.3", accepts=TASKS)
    ]
    learning_rate: Annotated[
        Positive, about("of the trunk's weights, at the start; the head's is × head_multiplier", unit="factor of the gradient", source=SEARCHED)
    ]
    head_multiplier: Annotated[
        Positive,
        about("how much faster the last layer's weights learn; its biases twice that", unit="factor of learning_rate", source="section 4.1: 20"),
    ] = 20.0
    outlier_sd: Annotated[
        Positive | None,
        about(
            "training pictures whose count lies above mean + this many standard deviations are left out; None: all stay",
            unit="standard deviations",
            source="section 4.1: 6",
        ),
    ] = 6.0
    # What is predicted.
    target: Annotated[
        Target | None, about("the count that is predicted; None: the task's own, views or favourites", unit="name", source="sections 4.1 to 4.3")
    ] = None
    target_scale: Annotated[
        TargetScale,
        about("how the count enters the loss; standard: mean 0 and sd 1, so that rates of tasks compare; raw: the paper's", unit="name", source=OURS),
    ] = "standard"
    # The network.
    net: Annotated[
        str,
        about(
            "the network",
            unit="name",
            source="section 4: CaffeNet",
            accepts="`caffenet`, `tiny`, a classifier of torchvision, `timm:NAME`, `open_clip:NAME`, a plugin's",
        ),
    ] = "caffenet"
    head: Annotated[
        Literal["fc", "pool"],
        about(
            "fc: the net's own last layers, the last one new; pool: one new layer on the mean of the last feature map",
            unit="name",
            source=f"{CAFFE}: fc",
        ),
    ] = "fc"
    weights: Annotated[
        str | None,
        about(
            "what the trunk starts from; None: random numbers",
            unit="file",
            source=OURS,
            accepts="a `.caffemodel`, `.safetensors` or `.pth` file, `torchvision`, `None`",
        ),
    ] = None
    weights_prefix: Annotated[str | None, about("what keys of that file begin with; None: guessed by shapes", unit="text", source=OURS)] = None
    trunk: Annotated[
        Literal["trained", "frozen"],
        about(
            "trained: fine-tuning; frozen: what was loaded stays, and the head alone learns (a linear probe)", unit="name", source=f"{CAFFE}: trained"
        ),
    ] = "trained"
    frozen_crops: Annotated[
        Count | None, about("random crops of a train picture whose features a frozen trunk keeps; None: 2", unit="crops a picture", source=OURS)
    ] = None
    # The length: a tighter outlier filter makes a shorter epoch, so epochs do not compare.
    pictures: Annotated[
        Count, about("how long it trains: training pictures seen, repeats counted", unit="pictures", source="section 4.1: 20,000 iterations, of 50")
    ] = 1_000_000
    batch_size: Annotated[Count, about("pictures a step", unit="pictures", source="Caffe's `train_val.prototxt`: 50")] = 50
    evaluations: Annotated[
        Count,
        about("how often the whole val split is evaluated, evenly spaced, the last at the end; rungs are evaluated too", unit="times", source=OURS),
    ] = 8
    curve_points: Annotated[
        Count, about("points of the curve of the training loss; a multiple of evaluations, each at least a batch", unit="points", source=OURS)
    ] = 40
    rungs: Annotated[
        tuple[float, ...],
        Field(strict=False, exclude_if=operator.not_),  # JSON has lists; a trial without any is what it was before there were any
        about(
            "of a sweep that prunes: the shares of the length at which val is evaluated beside that",
            unit="shares",
            source="the sweep",
            accepts="set by the sweep",
        ),
    ] = ()
    # What is learnt from, and in which order.
    subset: Annotated[
        str | None,
        about(
            "a part of train; None: all of it",
            unit="rule",
            source=OURS,
            accepts="`owners:SHARE`, `pictures:SHARE`, `before:YYYY-MM-DD`, `matched:YYYY-MM-DD/DRAW`, `None`",
        ),
    ] = None
    order: Annotated[
        Literal["shuffled", "fixed"],
        about("of each pass; fixed: every pass that of the first, as Caffe's data layers read", unit="name", source=f"{OURS}; Caffe: fixed"),
    ] = "shuffled"
    # The solver.
    momentum: Annotated[float, Field(ge=0, lt=1), about("share of the last step that is kept", unit="factor", source=f"{SOLVER}: 0.9")] = 0.9
    weight_decay: Annotated[
        float, Field(ge=0), about("share of a weight that is added to its gradient; of biases none", unit="factor", source=f"{SOLVER}: 0.0005")
    ] = 5e-4
    schedule: Annotated[
        Literal["constant", "step", "cosine"],
        about("of the learning rate; cosine: down to 0 at the end", unit="name", source=f"{SOLVER}: step"),
    ] = "step"
    schedule_gamma: Annotated[
        Positive,
        about("what each step of schedule='step' multiplies the rate by", unit="factor", source=f"{SOLVER}: 0.1", accepts="a number > 0, ≤ 1"),
    ] = 0.1
    schedule_pictures: Annotated[
        Count, about("pictures between two steps of schedule='step'", unit="pictures", source=f"{SOLVER}: 20,000 iterations, of 50")
    ] = 1_000_000
    # The run.
    seed: Annotated[int, Field(ge=0), about("of first weights, order, crops and dropout", unit="number", source=OURS)] = 0
    threads: Annotated[Count, about("CPU threads", unit="threads", source=OURS)] = 1
    device: Annotated[Literal["auto", "cpu", "cuda"], about("where it computes; auto: on a GPU where there is one", unit="name", source=OURS)] = (
        "auto"
    )

    @field_validator("task")
    @classmethod
    def _known(cls, task: str, about: ValidationInfo) -> str:
        if not about.data.get("plugins") and task not in task_names():  # a record is read without running a plugin; a sweep looks itself
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
    def sha256(self) -> str:
        """Of the settings as JSON with sorted keys, hex: names them in all that a trial leaves."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()

    def __hash__(self) -> int:
        return hash(self.sha256)  # plugins by name are a dict, which has none

    @property
    def target_name(self) -> str:
        return self.target or get_task(self.task, self.plugins).default_target

    @property
    def num_frozen_crops(self) -> int:
        return self.frozen_crops or 2

    def set_points(self) -> tuple[int, ...]:
        """Pictures seen at which the training loss is noted, ascending; the last is the length."""
        return tuple(self.pictures * k // self.curve_points for k in range(1, self.curve_points + 1))

    def evaluation_points(self) -> tuple[int, ...]:
        """The set points at which val is evaluated and the trial reports, ascending."""
        every = self.curve_points // self.evaluations
        return tuple(sorted({*self.set_points()[every - 1 :: every], *self.rung_points()}))

    def rung_points(self) -> tuple[int, ...]:
        """Those of them where the pruner compares trials: the first set points at or after its shares of the length, ascending; never the end."""
        points = self.set_points()
        found = {points[math.ceil(share * self.curve_points - 1e-9) - 1] for share in self.rungs}
        return tuple(sorted(found - {self.pictures}))


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
