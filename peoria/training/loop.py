"""One training run: settings and a data set in, reports out. Knows nothing of the sweep it may be part of.

Everything random is derived from (seed, position in the stream), so a run that is killed at any instant and resumed on the same CPU
and number of threads ends with the same bits as one that was not; on a GPU it ends with the same numbers up to rounding, for there cuDNN and
atomic additions are free in their order.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Literal

import numpy as np

from peoria.config.trial import TrialConfig
from peoria.data.batches import Batches
from peoria.data.dataset import Dataset
from peoria.data.subsets import subset_mask
from peoria.data.targets import is_known, kept_by_outlier_filter, known_counts
from peoria.errors import ConfigError, DivergedError
from peoria.plugins import texts_of
from peoria.records.folder import TrialFolder
from peoria.records.points import Curve
from peoria.records.schema import ModelCard
from peoria.records.val_scores import ValScores
from peoria.tasks import get_task
from peoria.training.checkpoint import Partial, load_checkpoint, save_model
from peoria.training.evaluate import network_metrics, objective_name
from peoria.training.messages import TrialReport
from peoria.training.saving import Saver
from peoria.training.usage import Usage

PRECISION = ("device", "autocast", "torch", "float32", "compiled", "features", "software")  # what decides the bits, on the model's card


def train(
    config: TrialConfig, dataset: Dataset, folder: TrialFolder, stop: Callable[[], bool] = lambda: False, wanted: str | None = None
) -> Iterator[TrialReport]:
    """Trains, and yields a report at each evaluation point; whoever iterates may stop at any report.

    ``folder`` is the trial's own: a checkpoint found there is gone on from, its last report first, with the whole curve. ``stop`` is asked at each
    batch's end; once it says so the trial writes where it is, and its last report is ``interrupted``. ``wanted`` is the device, as
    ``config.device``, which it is where None.

    Raises:
        DivergedError: the loss was not finite; carries the step and the settings.
        SweepError: the checkpoint in ``folder`` is of other settings.
    """
    import torch

    from peoria.models import build, pick_device, software, to_device
    from peoria.models.precision import FLOAT32_ON_CUDA
    from peoria.training.captured import dense_groups, is_compiled, make_step
    from peoria.training.optim import Schedule, make_optimizer
    from peoria.training.steps import make_steps

    torch.set_num_threads(config.threads)
    labels = dataset.train.labels
    known, y = known_counts(labels, config.target_name)
    subset = np.flatnonzero(subset_mask(labels, config.subset, dataset.identity))  # a study that has no more: cut and constants come from it too
    kept = subset[kept_by_outlier_filter(labels.take(subset), config.outlier_sd)]
    rows = kept[np.isin(kept, known)]  # a picture whose target is unknown is in no batch
    if not len(rows):
        raise ConfigError(f"target: {config.target_name}; known for none of the {len(kept):,} training pictures; at least 1")
    task = get_task(config.task, config.plugins)
    fitted = task.fit(y[np.isin(known, subset)], y[np.isin(known, rows)], config.target_scale, config.target_name)
    of_known = fitted.encode(y)
    encoded = np.zeros(len(labels), of_known.dtype)
    encoded[known] = of_known
    net, loaded = build(
        config.net,
        head=config.head,
        num_outputs=fitted.num_outputs,
        weights=config.weights,
        weights_prefix=config.weights_prefix,
        trunk=config.trunk,
        seed=config.seed,
        plugins=config.plugins,
    )
    wanted = wanted or config.device
    features_on = pick_device(wanted) if net.trunk_is_frozen else None
    device, autocast = to_device(net, config.net, wanted if features_on is None else "cpu")
    if compiled := is_compiled(config, device):
        torch._dynamo.reset()  # of the trial before: its net's kernels, and its count towards the limit of such nets
        dense_groups(net)
    settings = {
        "settings_sha256": config.sha256,
        "config": config.model_dump(mode="json"),
        "identity": dataset.identity,
        "control": dataset.control,
        "weights": None if loaded is None else loaded.sha256,
        "device": device.type,
        "autocast": str(autocast),
        "torch": str(torch.__version__),
        **({"float32": FLOAT32_ON_CUDA} if device.type == "cuda" else {}),
        **({"compiled": True} if compiled else {}),  # its dropout draws other numbers
        **({"features": features_on.type} if features_on is not None and features_on.type != "cpu" else {}),
        **({"software": others} if (others := software(config.net, config.plugins)) else {}),
    }
    notes: list[str] = []
    resumed = load_checkpoint(folder, settings, notes.append)
    if resumed is not None and resumed.report is not None:
        yield resumed.report.model_copy(update={"note": "\n".join(notes)})
        notes.clear()
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
    batches = Batches(dataset.train.pixels, encoded, rows, config.batch_size, config.seed, config.order == "fixed")
    steps = make_steps(config, dataset, net, fitted, batches, autocast, compiled=compiled, features_on=features_on)
    objective = objective_name(dataset.val.labels)

    start = 0
    points: Curve = []
    total, num_batches = torch.zeros((), device=device), 0
    last = None if resumed is None else resumed.report  # with all points up to it: whoever lost a report gets it again
    if resumed is not None:
        assert resumed.state is not None
        steps.trained.load_state_dict(resumed.state["net"])
        optimizer.load_state_dict(resumed.state["optimizer"])
        start = 0 if last is None else last.step
    seen = batch_end(start, config.batch_size)
    if resumed is not None and resumed.partial is not None:
        seen, points, num_batches = resumed.partial.seen, list(resumed.partial.points), resumed.partial.num_batches
        total, start = resumed.partial.total.to(device), points[-1][0] if points else start
    evaluations, usage, begun_at = set(config.evaluation_points()), Usage(device.type), seen
    net.train()
    train_on = make_step(config, steps, optimizer, notes.append)
    with closing(Saver(folder, settings, steps.trained, optimizer, behind=device.type != "cpu")) as saver:
        for step in (point for point in config.set_points() if point > start):
            while seen < step:
                if stop():
                    saver.stopped(last, Partial(seen, total.cpu(), num_batches, points))
                    yield TrialReport(step=seen, status="interrupted", error="the sweep is being stopped", stopped=True)
                    return
                factor = schedule.factor(seen)
                total += train_on(seen, config.learning_rate * factor)  # stays on the device: reading it here would make the device wait for us
                num_batches += 1
                seen += config.batch_size
            mean_loss = float(total) / num_batches
            if not math.isfinite(mean_loss):
                raise DivergedError(step, mean_loss, config.model_dump(mode="json"))
            total, num_batches = torch.zeros((), device=device), 0
            points.append((step, {"train/loss": mean_loss, "train/learning_rate": config.learning_rate * factor}))
            if step not in evaluations:
                continue

            outputs = steps.outputs()
            if not np.isfinite(outputs).all():
                raise DivergedError(step, float("nan"), config.model_dump(mode="json"))
            found = network_metrics(fitted, outputs, dataset.val.labels)
            values = {f"val/{name}": value for name, value in found.items()}
            points[-1][1].update(values | usage.since(seen - begun_at))
            on_val = val_loss(fitted, outputs, dataset.val.labels)
            if math.isfinite(on_val):  # of finite outputs it may yet overflow; as the metrics, left out
                points[-1][1]["train/loss_on_val"] = on_val
            done = step == config.pictures
            end: Literal["done", "running"] = "done" if done else "running"
            report = TrialReport(step=step, status=end, objective=found[objective], metrics=values, points=points, note="\n".join(notes))
            last = report.model_copy(update={"points": (last.points if last is not None else []) + points})
            score = fitted.score(outputs)
            ValScores(dataset.val.labels.keys, score, score).write(folder.val_scores)
            if done:
                card = ModelCard(
                    config=config,
                    task=fitted.state(),
                    identity=dataset.identity,
                    control=dataset.control,
                    preprocessing=net.preprocessing,
                    precision={name: str(settings[name]) for name in PRECISION if name in settings},
                    num_train=len(subset),
                    num_kept=len(rows),
                    weights=None if loaded is None else {"source": loaded.source, "sha256": loaded.sha256, "matched": len(loaded.matched)},
                    objective=objective,
                    metrics=values,
                    plugin_texts=texts_of(config.plugins),
                )
                save_model(folder, net, card)
                saver.done(last)
            else:
                saver.evaluated(last)
            yield report
            points = []
            notes.clear()


def batch_end(step: int, batch_size: int) -> int:
    """The first batch end at or after the set point ``step``, in pictures seen."""
    return -(-step // batch_size) * batch_size


def val_loss(fitted: Any, outputs: np.ndarray, labels: Any) -> float:
    """The loss that training minimises, on val, of the pictures whose target is known; NaN where there are none. In the unit of this trial's own
    scale: comparable with its ``train/loss``, with no other's."""
    import torch

    if not is_known(labels, fitted.target):
        return math.nan
    known, y = known_counts(labels, fitted.target)
    return float(fitted.loss(torch.from_numpy(outputs[known]), torch.from_numpy(fitted.encode(y))))
