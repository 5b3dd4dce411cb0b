"""A trial as one would write it without peoria: a process of its own, webdataset, PIL, torchvision; the same net, steps and evaluations."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BATCH_SIZE = 32


def naive_trial(root: str, pictures: int) -> Callable[[], tuple[int, dict[str, Any]]]:
    """A round trains on ``pictures`` and evaluates once; it tells the seconds of each."""
    import torch
    import webdataset as wds
    from torchvision.transforms import v2

    from peoria.models import build
    from peoria.training.optim import make_optimizer
    from shards.read.shard_set import ShardSet

    torch.set_num_threads(1)
    shard_set = ShardSet(Path(root))
    views = dict(zip(shard_set.table["key"].to_pylist(), shard_set.table["views"].to_pylist(), strict=True))
    last = [v2.Resize(64, antialias=True), v2.ToDtype(torch.float32, scale=True), v2.Normalize((0.5,) * 3, (0.25,) * 3)]
    augment = v2.Compose([v2.PILToTensor(), v2.RandomCrop(227), v2.RandomHorizontalFlip(), *last])
    centre = v2.Compose([v2.PILToTensor(), v2.CenterCrop(227), *last])

    def batches(split: str, transform: Any, batch_size: int) -> Any:
        urls = [str(Path(root) / shard.file) for shard in shard_set.manifest.of_split([split])]
        data = wds.WebDataset(urls, shardshuffle=False)
        data = data.shuffle(1000) if split == "train" else data
        target = lambda key: torch.log1p(torch.tensor([float(views[key])]))  # noqa: E731
        return data.decode("pil").to_tuple("jpg", "__key__").map_tuple(transform, target).batched(batch_size)

    net, _ = build("tiny", num_outputs=1, seed=0)
    net.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(net, learning_rate=1e-3, head_multiplier=5.0)

    def run() -> tuple[int, dict[str, Any]]:
        start, seen = time.perf_counter(), 0
        while seen < pictures:
            for images, wanted in batches("train", augment, BATCH_SIZE):
                loss = torch.nn.functional.mse_loss(net(images.to(memory_format=torch.channels_last)), wanted)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                seen += len(images)
                if seen >= pictures:
                    break
        trained = time.perf_counter()
        with torch.inference_mode():
            for images, _wanted in batches("val", centre, 250):
                net(images)
        return seen, {"train_s": trained - start, "evaluation_s": time.perf_counter() - trained}

    return run


def sweep_trials(root: str, work: str, trials: int, pictures: int) -> Callable[[], tuple[int, dict[str, Any]]]:
    """The same by peoria: a sweep with nothing there yet, not even the decoded copy; it tells each trial's seconds, in the order of their ends."""
    import tempfile

    from peoria.config.sweep import Sweep
    from peoria.records.trials import read_trials
    from peoria.sweep.resources import RunOptions
    from peoria.sweep.run import run_sweep

    shared = {"net": "tiny", "target_scale": "log1p", "pictures": pictures, "batch_size": BATCH_SIZE, "evaluations": 8, "schedule": "cosine"}
    sweep = Sweep(name="demo", shards=root, trials=trials, shared=shared, prune=False, seeds=0, questions=())

    def run() -> tuple[int, dict[str, Any]]:
        with tempfile.TemporaryDirectory(dir=work) as home:
            result = run_sweep(sweep, RunOptions(home=Path(home), tracking="off"), lambda line: None)
            ended = sorted(read_trials(result.folder), key=lambda trial: trial.ended_at or 0.0)
            found = [(trial.ended_at or 0.0) - trial.started_at for trial in ended]
            assert result.complete
        return trials, {"trial_s": found}

    return run
