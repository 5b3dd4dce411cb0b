"""A sweep over heads on a frozen trunk, against fine-tuning the whole net as often: all on one core, CPU time.

Ours is the product's own path: a sweep's store and `peoria.training.trial.run_trial`, from a cache that has the decoded copy and no features. Counted
are the features of two crops a train picture and one of val, made once, and all of every trial: its net built and loaded, its head trained, val
evaluated, its checkpoints and model. The full fine-tune is the same net from the same weights with nothing frozen, and of it the training steps
alone are counted: on a part, in pictures a second, for the time of a step does not depend on what it learns.
"""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np

from benchmarks.figures import Figure, Measured, Setting
from benchmarks.rounds import Candidate, Process, cpu_rate, wall_rate
from benchmarks.sets import cache, packed
from peoria.records.folder import SweepFolder

FROZEN = Figure(
    "frozen_trunk", "100 heads on a frozen AlexNet, 200,000 pictures each, its features made first, against full fine-tunes", 1000.0, 1500.0
)
NET, BATCH_SIZE = "alexnet", 50
HEAD: Literal["fc", "pool"] = "pool"  # as in sweeps/linear_probe.py: one new linear layer on the last convolutions
TRIALS, PICTURES, CROPS = 100, 200_000, 2  # a trial's length is that of sweeps/linear_probe.py
PART = 10  # batches of the full fine-tune in a round


def frozen_trunk(setting: Setting) -> Iterator[Measured]:
    root = packed(setting)
    of = {"root": str(root), "weights": str(weights(setting.work)), "cache": str(cache(setting, root))}
    candidates = {
        "heads": Candidate("frozen_trunk:heads", of | {"work": str(setting.work)}),
        "full": Candidate("frozen_trunk:full", of),
    }
    with ExitStack() as stack:
        processes = {name: stack.enter_context(Process(candidate)) for name, candidate in candidates.items()}
        processes["full"].round()  # a round of heads is a whole sweep of minutes: it has nothing to warm up for, and one is enough
        rounds = {"full": [processes["full"].round() for _ in range(min(setting.rounds, 3))], "heads": [processes["heads"].round()]}
        rounds["full"] += [processes["full"].round() for _ in range(min(setting.rounds, 3))]  # before and after
    heads, full = rounds["heads"], rounds["full"]
    pictures = heads[0].num
    detail = {
        "heads_s": round(pictures / cpu_rate(heads), 1),
        "full_s_scaled": round(pictures / cpu_rate(full)),
        "of_which_features_s": heads[0].told["features_s"],
        "full_pictures_per_s": round(cpu_rate(full), 1),
        "of_wall_time": round(wall_rate(heads) / wall_rate(full), 1),
        "net": f"{NET}, head {HEAD}, random weights from a file",
        "pictures": f"{pictures:,} = {TRIALS} trials x {PICTURES:,}, of {heads[0].told['num_train']:,} train pictures in {CROPS} crops each",
        "measured": f"full fine-tune: {PART} batches of {BATCH_SIZE} a round, training steps alone, scaled",
    }
    yield Measured(FROZEN, cpu_rate(heads) / cpu_rate(full), detail=detail)


def weights(work: Path) -> Path:
    """Of a trunk that was not trained, which costs what any other costs."""
    from safetensors.torch import save_file

    from peoria.models import build

    path = work / f"{NET}-{HEAD}-random.safetensors"
    if not path.exists():
        partial = path.with_suffix(".part")
        save_file(build(NET, head=HEAD, num_outputs=1, seed=9)[0].trunk.state_dict(), partial)
        partial.rename(path)
    return path


def heads(root: str, weights: str, cache: str, work: str) -> Callable[[], tuple[int, dict[str, Any]]]:
    """A round is the whole sweep, in a folder of its own, with no features in ``cache``."""
    import torch

    from peoria.config.sweep import Sweep
    from peoria.data.dataset import open_dataset
    from peoria.sweep.trial_store import TrialStore
    from peoria.training import frozen_features
    from peoria.training.messages import TrialSpec
    from peoria.training.trial import run_trial

    torch.set_num_threads(1)
    shared = {
        "net": NET,
        "head": HEAD,
        "weights": weights,
        "trunk": "frozen",
        "frozen_crops": CROPS,
        "target_scale": "log1p",
        "batch_size": BATCH_SIZE,
    }
    shared |= {"schedule": "cosine", "evaluations": 4, "device": "cpu"}
    features_s = 0.0
    compute = frozen_features._compute

    def timed(*arguments: Any) -> None:
        nonlocal features_s
        start = time.process_time()
        compute(*arguments)
        features_s += time.process_time() - start

    vars(frozen_features)["_compute"] = timed
    num = len(open_dataset(Path(root), Path(cache)).train)

    def run() -> tuple[int, dict[str, Any]]:
        nonlocal features_s
        features_s = 0.0
        for path in Path(cache).glob("*.f16*"):
            path.unlink()
        sweep = Sweep(name="linear-probe", shards=root, trials=TRIALS, shared=shared | {"pictures": PICTURES}, prune=False, seeds=0, questions=())
        with tempfile.TemporaryDirectory(dir=work) as folder:
            store = TrialStore(SweepFolder(Path(folder)), sweep)
            while (assignment := store.ask()) is not None:
                places = {"folder": assignment.folder.path, "shards": Path(root), "cache": Path(cache)}
                spec = TrialSpec(key=assignment.key, config=assignment.config, cache_bytes=None, control=None, where=None, **places)
                for report in run_trial(spec):
                    store.report(assignment.key, report)
            counts = store.counts()
        assert counts["done"] + counts["diverged"] == TRIALS, counts
        assert features_s > 0
        return TRIALS * PICTURES, {"features_s": round(features_s, 1), "num_train": num}

    return run


def full(root: str, weights: str, cache: str) -> Callable[[], int]:
    """A round is a part of a trial: the product's own training steps and nothing else."""
    import torch

    from peoria.config.trial import TrialConfig
    from peoria.data.batches import Batches
    from peoria.data.dataset import open_dataset
    from peoria.models import build, to_device
    from peoria.tasks import get_task
    from peoria.training.optim import make_optimizer
    from peoria.training.steps import FineTuning, make_steps

    torch.set_num_threads(1)
    config = TrialConfig(task="regression", learning_rate=1e-4, net=NET, head=HEAD, weights=weights, batch_size=BATCH_SIZE, device="cpu")
    dataset = open_dataset(Path(root), Path(cache))
    y = dataset.train.labels.views.astype(np.float64)
    fitted = get_task(config.task).fit(y, y, "log1p", "views")
    net, _ = build(NET, head=HEAD, num_outputs=fitted.num_outputs, weights=weights, seed=0)
    _, autocast = to_device(net, NET, config.device)
    optimizer = make_optimizer(net, learning_rate=config.learning_rate, head_multiplier=config.head_multiplier)
    batches = Batches(dataset.train.pixels, fitted.encode(y), np.arange(len(y)), BATCH_SIZE, seed=0)
    steps = make_steps(config, dataset, net, fitted, batches, autocast)
    assert isinstance(steps, FineTuning)
    positions = itertools.count(0, BATCH_SIZE)
    net.train()

    def run() -> int:
        for _ in range(PART):
            loss = steps.loss(next(positions))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        return PART * BATCH_SIZE

    return run
