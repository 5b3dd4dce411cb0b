"""A table of real trainings that a search can be replayed on, made in minutes: small nets on the demo's kind of pictures.

Each setting of a grid is trained as often as there are replicates, each with first weights and an order of its own; all settings of one task and one
cut are one matrix product. A net has one hidden layer on the principal components of 20×20 pixels: that layer learns as a trunk does, the next one as
a head, with `peoria.training.optim`'s multiples, momentum and decay and a cosine. Loss, scale and score are those of the product's tasks, the cut is
its outlier filter. Val is cut into subsets of a small sweep's size, so that the luck of a val split can be drawn anew; what is true of a setting is
the mean of its replicates on test.
"""

import csv
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata

from peoria.config.space import LogUniform, Space
from peoria.config.sweep import Sweep
from peoria.config.trial import TrialConfig
from peoria.data.synthetic import EFFECT_WEIGHTS, plant
from peoria.data.targets import kept_by_outlier_filter, known_counts
from peoria.tasks import get_task
from peoria.tasks.base import FittedTask
from peoria.training.optim import Schedule
from shards.labels import Labels

SUBSETS, IN_SUBSET, NUM_TEST, NUM_TRAIN = 8, 235, 2400, 2000
SIDE, COMPONENTS, HIDDEN, REPLICATES = 20, 192, 64, 3
RATES, MULTIPLIERS, CUTS = 15, 4, (None, 3.0, 1.0)
MOMENTUM, DECAY = 0.9, 5e-4
TYPICAL = 1e-3  # Caffe's
# By world: what is planted, the power of a component's standard deviation that it is divided by, and what all are multiplied by. The best rates of
# the first lie a decade and a half from what is typical, before a cliff; those of the second are near, on a slope that ends in one.
WORLDS: dict[str, tuple[str, float, float]] = {"both": ("both", 1.0, 1.0), "arrangement": ("arrangement", 0.5, 10.0)}


def sweep_on_table(seed: int = 0, **changes: Any) -> Sweep:
    """What is searched: the space that the table's cells divide evenly."""
    space = Space(learning_rate=LogUniform(1e-5, 1.0, typical=TYPICAL), head_multiplier=LogUniform(1.0, 100.0, typical=10.0), outlier_sd=CUTS)
    shared = {"net": "tiny", "target_scale": "log1p", "pictures": 8000, "batch_size": 50, "evaluations": 8, "curve_points": 40, "schedule": "cosine"}
    return Sweep(name="replayed", shards="nowhere", space=space, shared=shared, seed=seed, **changes)


def a_trial() -> TrialConfig:
    return sweep_on_table().trial({"task": "regression", "learning_rate": TYPICAL}, seed=0, threads=1)


def middles(span: LogUniform, parts: int) -> np.ndarray:
    """Of equal parts of a logarithmic axis: a uniform draw is as often nearest to each."""
    low, high = np.log(span.low), np.log(span.high)
    return np.exp(low + (high - low) * (np.arange(parts) + 0.5) / parts)


@dataclass(frozen=True)
class Table:
    """C cells (task, cut, rate, multiplier; in that order, the last one fastest), R replicates, P evaluation points, S subsets of val."""

    name: str
    axes: tuple[tuple[Any, ...], ...]
    val: np.ndarray  # float32 [C, R, P, S], the objective; NaN from where it diverged
    test: np.ndarray  # float64 [C, R]; 0 of one that diverged, which ranks nothing

    @cached_property
    def truth(self) -> np.ndarray:
        """float64 [C]: what each setting is worth."""
        return self.test.mean(axis=1)

    @cached_property
    def regret(self) -> np.ndarray:
        """float64 [C]: what is lost by each, as a share of the best one's worth; 1 of one that ranks nothing."""
        return 1 - self.truth / self.truth.max()

    def cell(self, point: dict[str, Any]) -> int:
        """The one that stands for a drawn point: of its task and cut, and nearest on the logarithmic axes."""
        tasks, cuts, rates, multipliers = self.axes
        found = tasks.index(point["task"]), cuts.index(point["outlier_sd"])
        near = (
            int(np.abs(np.log(point[name]) - np.log(values)).argmin())
            for name, values in (("learning_rate", rates), ("head_multiplier", multipliers))
        )
        return int(np.ravel_multi_index((*found, *near), tuple(map(len, self.axes))))

    def point(self, cell: int) -> dict[str, Any]:
        at = np.unravel_index(cell, tuple(map(len, self.axes)))
        return dict(
            zip(("task", "outlier_sd", "learning_rate", "head_multiplier"), (axis[i] for axis, i in zip(self.axes, at, strict=True)), strict=True)
        )

    def shuffled(self, seed: int) -> "Table":
        """The same curves, each at a cell drawn by chance, so that val tells nothing of test."""
        return replace(self, val=self.val[np.random.default_rng(seed).permutation(len(self.val))])


def made(name: str, work: Path) -> Table:
    """Trains what the table holds; pictures are kept in ``work``."""
    world, power, scale = WORLDS[name]
    x, labels = pictures(world, work)
    train, val, test, _ = np.split(np.random.default_rng(0).permutation(len(x)), np.cumsum([NUM_TRAIN, SUBSETS * IN_SUBSET, NUM_TEST]))
    x = components(x, train, power, scale)
    space = sweep_on_table().space
    rates, multipliers = middles(space.span("hybrid", "learning_rate"), RATES), middles(space.span("hybrid", "head_multiplier"), MULTIPLIERS)
    parts = []
    for number, (task, cut) in enumerate(product(space.task, space.outlier_sd)):
        of_train = labels.take(train)
        rows = np.flatnonzero(kept_by_outlier_filter(of_train, cut))
        target = get_task(task).default_target
        y = known_counts(of_train, target)[1]
        fitted = get_task(task).fit(y, y[rows], "log1p", target)
        nets = Nets(fitted, rates, multipliers, seed=number)
        parts.append(nets.train(x[train][rows], fitted.encode(y[rows]), (x[val], labels.take(val)), (x[test], labels.take(test))))
    return Table(
        name,
        (space.task, space.outlier_sd, tuple(rates.tolist()), tuple(multipliers.tolist())),
        *(np.concatenate(part) for part in zip(*parts, strict=True)),
    )


def pictures(world: str, work: Path) -> tuple[np.ndarray, Labels]:
    """Pixels, float32 [N, SIDE, SIDE, 3], and counts of a planted world."""
    import cv2

    folder, num = work / f"planted-{world}", NUM_TRAIN + SUBSETS * IN_SUBSET + NUM_TEST
    if not (folder / "metadata.csv").exists():  # written last
        plant(folder, num_pictures=num, seed=0, **EFFECT_WEIGHTS[world])
    with (folder / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = []
    for row in rows:
        image = cv2.imread(str(folder / row["path"]))
        assert image is not None
        height, width = image.shape[:2]
        side, top, left = min(height, width), (height - min(height, width)) // 2, (width - min(height, width)) // 2
        found.append(cv2.resize(image[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA))
    columns = {name: np.array([int(row[name]) for row in rows]) for name in ("views", "favorites", "comments")}
    names = {
        "keys": np.array([row["id"] for row in rows]),
        "ids": np.array([row["id"] for row in rows]),
        "owners": np.array([row["owner"] for row in rows]),
    }
    return np.stack(found).astype(np.float32), Labels(**names, **columns)


def components(x: np.ndarray, train: np.ndarray, power: float, scale: float) -> np.ndarray:
    """The first principal components of train, each divided by its sd to that power, the largest made ``scale``; float32 [N, COMPONENTS]."""
    flat = x.reshape(len(x), -1).astype(np.float64)
    flat -= flat[train].mean(axis=0)
    values, vectors = np.linalg.eigh(flat[train].T @ flat[train] / len(train))
    sd = np.sqrt(np.maximum(values, values[-1] * 1e-9))[::-1][:COMPONENTS]
    return (flat @ vectors[:, ::-1][:, :COMPONENTS] * (scale / sd**power / (sd ** (1 - power)).max())).astype(np.float32)


class Nets:
    """The nets of one task and cut: S settings (rate, multiplier), R replicates."""

    def __init__(self, fitted: FittedTask, rates: np.ndarray, multipliers: np.ndarray, seed: int) -> None:
        self.fitted, self.seed = fitted, seed
        settings = [(rate, multiplier) for rate in rates for multiplier in multipliers]
        self.num, outputs = len(settings), fitted.num_outputs
        draw = torch.Generator().manual_seed(seed)
        self.trunk = torch.randn(REPLICATES, COMPONENTS, self.num, HIDDEN, generator=draw) * (2 / COMPONENTS) ** 0.5
        self.trunk_bias = torch.zeros(REPLICATES, 1, self.num, HIDDEN)
        self.head = torch.randn(REPLICATES, self.num, HIDDEN, outputs, generator=draw) * 0.01
        self.head_bias = torch.zeros(REPLICATES, 1, self.num, outputs)
        self.parameters = (self.trunk, self.trunk_bias, self.head, self.head_bias)
        rate, multiplier = (torch.tensor(column, dtype=torch.float32) for column in zip(*settings, strict=True))
        by_setting = (rate[:, None], 2 * rate[:, None], (rate * multiplier)[:, None, None], (2 * rate * multiplier)[:, None])
        self.updates = tuple(zip(by_setting, (DECAY, 0.0, DECAY, 0.0), strict=True))  # as `peoria.training.optim.make_optimizer` groups them

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """[R, N, S, outputs] of ``x`` [R, N, COMPONENTS]."""
        hidden = torch.bmm(x, self.trunk.reshape(len(x), COMPONENTS, -1)).view(len(x), -1, self.num, HIDDEN)
        return torch.einsum("rnsh,rsho->rnso", torch.relu(hidden + self.trunk_bias), self.head) + self.head_bias

    def train(self, x: np.ndarray, y: np.ndarray, val: tuple[np.ndarray, Labels], test: tuple[np.ndarray, Labels]) -> tuple[np.ndarray, np.ndarray]:
        """The parts of `Table.val` [S, R, P, subsets] and `Table.test` [S, R]."""
        config = a_trial()
        schedule, size = Schedule("cosine", config.pictures), config.batch_size
        points, pixels, encoded = config.evaluation_points(), torch.from_numpy(x), torch.from_numpy(y)
        orders = [np.random.default_rng((self.seed, replicate)) for replicate in range(REPLICATES)]
        passes = -(-config.pictures // len(x)) + 1
        rows = torch.from_numpy(np.stack([np.concatenate([order.permutation(len(x)) for _ in range(passes)]) for order in orders]))
        steps = [torch.zeros_like(parameter) for parameter in self.parameters]
        for parameter in self.parameters:
            parameter.requires_grad_()
        on_val = []
        for seen in range(0, config.pictures, size):
            batch = rows[:, seen : seen + size]
            found = self.outputs(pixels[batch]).transpose(1, 2)  # [R, S, batch, outputs]
            wanted = encoded[batch][:, None].expand(REPLICATES, self.num, size)
            loss = self.fitted.loss(found.reshape(-1, found.shape[-1]), wanted.reshape(-1)) * REPLICATES * self.num  # the sum of each net's mean
            grads = torch.autograd.grad(loss, self.parameters)
            with torch.no_grad():
                for parameter, step, grad, (rate, decay) in zip(self.parameters, steps, grads, self.updates, strict=True):
                    step.mul_(MOMENTUM).add_(grad).add_(parameter, alpha=decay)
                    parameter.sub_(step * (rate * schedule.factor(seen)))
                if seen + size in points:
                    on_val.append(self.objective(*val, SUBSETS))
        ended = self.objective(*test, 1)[..., 0]
        return np.stack(on_val, axis=2), np.nan_to_num(ended, nan=0.0).astype(np.float64)

    @torch.no_grad()
    def objective(self, x: np.ndarray, labels: Labels, subsets: int) -> np.ndarray:
        """`rank_mean` on each of ``subsets`` equal parts of the pictures, float32 [S, R, subsets]; NaN of a net that has diverged."""
        found = self.outputs(torch.from_numpy(x).expand(REPLICATES, *x.shape)).permute(2, 0, 1, 3).numpy()  # [S, R, N, outputs]
        whole = np.isfinite(found).all(axis=(2, 3))
        flat = np.where(whole[..., None, None], found, 0).reshape(-1, found.shape[-1])
        scores = self.fitted.score(flat).reshape(self.num * REPLICATES, len(x))
        parts = np.split(np.arange(len(x)), subsets)
        values = np.stack([rank_mean(scores[:, part], labels.views[part], np.asarray(labels.favorites)[part] >= 1) for part in parts], axis=-1)
        return np.where(whole[..., None], values.reshape(self.num, REPLICATES, subsets), np.nan).astype(np.float32)


def rank_mean(scores: np.ndarray, views: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """As `peoria.stats.metrics` has it, of many scores at once, float64 [scores, N] → [scores]; 0 of a constant one."""
    ranks, of_views = rankdata(scores, axis=1), rankdata(views)
    centred, views_centred = ranks - ranks.mean(axis=1, keepdims=True), of_views - of_views.mean()
    length = np.sqrt((centred**2).sum(axis=1) * (views_centred**2).sum())
    rho = np.divide(centred @ views_centred, length, out=np.zeros(len(scores)), where=length > 0)
    ones = int(positive.sum())
    area = (ranks[:, positive].sum(axis=1) - ones * (ones + 1) / 2) / (ones * (len(positive) - ones))
    result: np.ndarray = (rho + 2 * area - 1) / 2
    return result
