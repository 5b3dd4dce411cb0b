"""One training run: settings and a data set in, reports out. Knows nothing of the sweep it may be part of.

Everything random is derived from (seed, position in the stream), so a run that is killed at any instant and resumed on the same CPU
and number of threads ends with the same bits as one that was not; on a GPU it ends with the same numbers up to rounding, for there cuDNN and
atomic additions are free in their order.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from peoria.config.trial import TrialConfig
from peoria.data.batches import Batches
from peoria.data.dataset import Dataset
from peoria.data.subsets import subset_mask
from peoria.data.targets import counts, kept_by_outlier_filter
from peoria.errors import DivergedError
from peoria.records.folder import TrialFolder
from peoria.records.points import Curve
from peoria.records.schema import ModelCard
from peoria.records.val_scores import ValScores
from peoria.tasks import get_task
from peoria.training.checkpoint import load_checkpoint, save_checkpoint, save_model
from peoria.training.evaluate import network_metrics, objective_name
from peoria.training.messages import TrialReport


def train(config: TrialConfig, dataset: Dataset, folder: TrialFolder) -> Iterator[TrialReport]:
    """Trains, and yields a report at each evaluation point; whoever iterates may stop at any report.

    ``folder`` is the trial's own: a checkpoint found there is gone on from, its last report first.

    Raises:
        DivergedError: the loss was not finite; carries the step and the settings.
        SweepError: the checkpoint in ``folder`` is of other settings.
    """
    import torch

    from peoria.models import build, to_device
    from peoria.models.precision import FLOAT32_ON_CUDA
    from peoria.training.optim import Schedule, make_optimizer, set_learning_rate
    from peoria.training.steps import make_steps

    torch.set_num_threads(config.threads)
    labels = dataset.train.labels
    y = counts(labels, config.target_name)
    subset = np.flatnonzero(subset_mask(labels, config.subset, dataset.identity))  # a study that has no more: cut and constants come from it too
    rows = subset[kept_by_outlier_filter(labels.take(subset), config.outlier_sd)]
    fitted = get_task(config.task).fit(y[subset], y[rows], config.target_scale, config.target_name)
    net, loaded = build(
        config.net,
        head=config.head,
        num_outputs=fitted.num_outputs,
        weights=config.weights,
        weights_prefix=config.weights_prefix,
        trunk=config.trunk,
        seed=config.seed,
    )
    device, autocast = to_device(net, config.net, config.device)
    settings = {
        "config": config.model_dump(mode="json"),
        "identity": dataset.identity,
        "control": dataset.control,
        "weights": None if loaded is None else loaded.sha256,
        "device": device.type,
        "autocast": str(autocast),
        "torch": str(torch.__version__),
        **({"float32": FLOAT32_ON_CUDA} if device.type == "cuda" else {}),
    }
    resumed = load_checkpoint(folder, settings)
    if resumed is not None:
        yield resumed.report
        if resumed.state is None:
            return

    optimizer = make_optimizer(
        net,
        learning_rate=config.learning_rate,
        head_multiplier=config.head_multiplier,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    )
    schedule = Schedule(config.schedule, config.pictures, config.schedule_gamma, config.schedule_pictures)
    batches = Batches(dataset.train.pixels, fitted.encode(y), rows, config.batch_size, config.seed, config.order == "fixed")
    steps = make_steps(config, dataset, net, fitted, batches, autocast)
    objective = objective_name(dataset.val.labels)

    start = 0
    if resumed is not None:
        assert resumed.state is not None
        steps.trained.load_state_dict(resumed.state["net"])
        optimizer.load_state_dict(resumed.state["optimizer"])
        start = resumed.report.step
    seen = batch_end(start, config.batch_size)
    evaluations = set(config.evaluation_points())
    points: Curve = []
    net.train()
    for step in (point for point in config.set_points() if point > start):
        total, num_batches = torch.zeros((), device=device), 0
        while seen < step:
            factor = schedule.factor(seen)
            set_learning_rate(optimizer, config.learning_rate * factor)
            loss = steps.loss(seen)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.detach()  # stays on the device: reading it here would make the device wait for us
            num_batches += 1
            seen += config.batch_size
        mean_loss = float(total) / num_batches
        if not math.isfinite(mean_loss):
            raise DivergedError(step, mean_loss, config.model_dump(mode="json"))
        points.append((step, {"train/loss": mean_loss, "train/learning_rate": config.learning_rate * factor}))
        if step not in evaluations:
            continue

        outputs = steps.outputs()
        if not np.isfinite(outputs).all():
            raise DivergedError(step, float("nan"), config.model_dump(mode="json"))
        found = network_metrics(fitted, outputs, dataset.val.labels)
        values = {f"val/{name}": value for name, value in found.items()}
        points[-1][1].update(values)
        if math.isfinite(on_val := val_loss(fitted, outputs, dataset.val.labels)):  # of finite outputs it may yet overflow; as the metrics, left out
            points[-1][1]["train/loss_on_val"] = on_val
        done = step == config.pictures
        report = TrialReport(step=step, status="done" if done else "running", objective=found[objective], metrics=values, points=points)
        score = fitted.score(outputs)
        ValScores(dataset.val.labels.keys, score, score).write(folder.val_scores)
        if done:
            card = ModelCard(
                config=config,
                task=fitted.state(),
                identity=dataset.identity,
                control=dataset.control,
                preprocessing=net.preprocessing,
                precision={name: str(settings[name]) for name in ("device", "autocast", "torch", "float32") if name in settings},
                num_train=len(subset),
                num_kept=len(rows),
                weights=None if loaded is None else {"source": loaded.source, "sha256": loaded.sha256, "matched": len(loaded.matched)},
                objective=objective,
                metrics=values,
            )
            save_model(folder, net, card)
            save_checkpoint(folder, settings=settings, report=report)
        else:
            save_checkpoint(folder, settings=settings, report=report, trained=steps.trained, optimizer=optimizer)
        yield report
        points = []


def batch_end(step: int, batch_size: int) -> int:
    """The first batch end at or after the set point ``step``, in pictures seen."""
    return -(-step // batch_size) * batch_size


def val_loss(fitted: Any, outputs: np.ndarray, labels: Any) -> float:
    """The loss that training minimises, on val. In the unit of this trial's own scale: comparable with its ``train/loss``, with no other's."""
    import torch

    encoded = torch.from_numpy(fitted.encode(counts(labels, fitted.target)))
    return float(fitted.loss(torch.from_numpy(outputs), encoded))
