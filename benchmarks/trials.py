"""Candidates that train the tiny net: through peoria, and by bare loops. A round is one trial's worth of pictures."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from peoria.records.folder import TrialFolder

RoundOf = Callable[[], int]
PICTURES, BATCH_SIZE = 20_000, 32  # as in sweeps/demo.py


def tiny_config(*, evaluations: int, pictures: int = PICTURES) -> Any:
    """The demo's trial, with as many pictures as asked for."""
    from peoria.config.trial import TrialConfig

    return TrialConfig(
        task="regression",
        learning_rate=3e-3,
        head_multiplier=5.0,
        net="tiny",
        target_scale="log1p",
        pictures=pictures,
        batch_size=BATCH_SIZE,
        evaluations=evaluations,
        curve_points=40,
        schedule="cosine",
        device="cpu",
    )


def training(root: str, cache: str, resident: bool) -> RoundOf:
    """peoria's training on the decoded copy, or on one batch of pictures that never leaves the CPU's cache; one evaluation on few pictures."""
    from peoria.data.dataset import Dataset, SplitData, open_dataset
    from peoria.data.images import ArrayPictures
    from peoria.training.loop import train

    dataset = open_dataset(Path(root), Path(cache))
    few = np.arange(50)
    assert isinstance(dataset.train.pixels, ArrayPictures), "no room for the decoded copy"
    assert isinstance(dataset.val.pixels, ArrayPictures), "no room for the decoded copy"
    val = SplitData(ArrayPictures(np.asarray(dataset.val.pixels.array)[few]), dataset.val.labels.take(few))
    rows = np.arange(BATCH_SIZE if resident else len(dataset.train))
    pixels = ArrayPictures(np.asarray(dataset.train.pixels.array)[rows]) if resident else dataset.train.pixels
    dataset = Dataset(SplitData(pixels, dataset.train.labels.take(rows)), val, dataset.identity)
    config = tiny_config(evaluations=1)

    def run() -> int:
        with tempfile.TemporaryDirectory() as folder:
            for _ in train(config, dataset, TrialFolder(Path(folder))):
                pass
        return PICTURES

    return run


def whole_trial(root: str, cache: str, work: str, pictures: int = PICTURES) -> RoundOf:
    """A trial as a worker runs it: data opened, trained, evaluated eight times on all of val, checkpoints, reports."""
    from peoria.training import trial
    from peoria.training.messages import TrialSpec

    config = tiny_config(evaluations=8, pictures=pictures)
    places = {"shards": Path(root), "cache": Path(cache), "cache_bytes": None, "control": None, "where": None}

    def run() -> int:
        trial._dataset.cache_clear()
        folder = tempfile.mkdtemp(dir=work)
        reports = list(trial.run_trial(TrialSpec(key="0000", folder=Path(folder), config=config, **places)))
        shutil.rmtree(folder)
        assert reports[-1].status == "done", reports[-1].error
        return pictures

    return run


def bare_loop(root: str, cache: str, pictures: int = PICTURES) -> RoundOf:
    """The same training steps on the same input and nothing else: no evaluation, no curve, no check, no file."""
    import torch

    from peoria.data.batches import Batches
    from peoria.data.dataset import open_dataset
    from peoria.data.images import CROP_PX
    from peoria.models import build
    from peoria.tasks import get_task
    from peoria.training.optim import make_optimizer

    torch.set_num_threads(1)
    config = tiny_config(evaluations=1)
    train = open_dataset(Path(root), Path(cache)).train
    y = train.labels.views.astype(np.float64)
    fitted = get_task("regression").fit(y, y, "log1p", "views")
    batches = Batches(train.pixels, fitted.encode(y), np.arange(len(train)), BATCH_SIZE, seed=0)
    buffer = np.empty((BATCH_SIZE, CROP_PX, CROP_PX, 3), np.uint8)

    def run() -> int:
        net, _ = build("tiny", num_outputs=1, seed=0)
        net.to(memory_format=torch.channels_last).train()
        optimizer = make_optimizer(net, learning_rate=config.learning_rate, head_multiplier=config.head_multiplier)
        for seen in range(0, pictures, BATCH_SIZE):
            crops, encoded = batches.fill(seen, buffer)
            loss = fitted.loss(net(net.preprocess(torch.from_numpy(crops))), torch.from_numpy(encoded))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return pictures

    return run
