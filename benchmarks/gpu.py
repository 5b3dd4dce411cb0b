"""What a GPU that trains CaffeNet gets from the decoded copy, alone and shared by several trials, and how long the paper's experiments would take.

It trains by peoria's own steps and feeder. ``device="cpu"`` runs the same code with another net where there is no GPU.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Measured, Setting, not_run
from benchmarks.rounds import Candidate, Process
from benchmarks.sets import cache, packed

FED = Figure("gpu_fed", "pictures/s of CaffeNet from the decoded copy, against one batch on the GPU", 0.85, 0.95)
WAITING = Figure("gpu_waiting", "share of the time in which the GPU waits for data", 0.05, 0.02, "", lower_is_better=True)
FORMATS = Figure("gpu_formats", "bfloat16 on one batch on the GPU, against float32 with its convolutions in TF32", None, None)
SHARED = {
    2: Figure("gpu_two_trials", "pictures/s of two trials on one GPU together, against one trial", None, None),
    4: Figure("gpu_four_trials", "… of four trials", None, None),
}
PAPER = Figure("gpu_paper", "the paper's three experiments on this GPU, by its pictures/s in batches of 50", None, 15.0, "min", lower_is_better=True)
FIGURES = [FED, WAITING, FORMATS, *SHARED.values(), PAPER]
BATCH_SIZE, NUM_BATCHES, WARM_UP = 256, 100, 10


def gpu(setting: Setting) -> Iterator[Measured]:
    import torch

    from peoria.config import paper_recipe

    if not torch.cuda.is_available():
        yield from not_run(FIGURES, "no GPU here")
        return
    root = packed(setting)

    def candidate(kind: str, **changes: Any) -> Candidate:
        return Candidate("gpu:rounds", {"root": str(root), "cache": str(cache(setting, root)), "kind": kind, **changes}, pinned=False)

    found = in_turn({kind: candidate(kind) for kind in ("fed", "resident", "float32")}, setting.rounds)
    rates = {kind: statistics.median(told["rate"] for told in rounds) for kind, rounds in found.items()}
    detail = {kind: round(rate) for kind, rate in rates.items()} | {"device": torch.cuda.get_device_name(0), "batch_size": BATCH_SIZE}
    yield Measured(FED, rates["fed"] / rates["resident"], detail=detail)
    yield Measured(WAITING, statistics.median(told["waiting"] for told in found["fed"]), detail=detail)
    yield Measured(FORMATS, rates["resident"] / rates["float32"], detail=detail)
    for num, figure in SHARED.items():
        each = together(candidate("fed"), num)
        yield Measured(figure, sum(each) / rates["fed"], detail={"each": [round(rate) for rate in each], "one": round(rates["fed"])})

    # As they would be run: one after another, or side by side for as long as there are three (the shortest is 1 of 10 million pictures).
    small = candidate("fed", batch_size=paper_recipe.BATCH_SIZE, num_batches=5 * NUM_BATCHES)
    alone = statistics.median(told["rate"] for told in in_turn({"fed": small}, setting.rounds)["fed"])
    lengths = sorted(settings["pictures"].value for settings in paper_recipe.PAPER.values())
    side_by_side = {num: sum(together(small, num)) for num in (3, 2)} | {1: alone}
    minutes = {"one_after_another": sum(lengths) / alone / 60, "side_by_side": seconds_side_by_side(lengths, side_by_side) / 60}
    rates_told = {f"rate_of_{num}": round(rate) for num, rate in sorted(side_by_side.items())}
    yield Measured(PAPER, min(minutes.values()), detail={name: round(value, 1) for name, value in minutes.items()} | rates_told)


def seconds_side_by_side(lengths: list[int], rates: dict[int, float]) -> float:
    """For trials of ``lengths`` pictures (ascending) that begin together; ``rates``: pictures/s of so many of them together."""
    seconds, done = 0.0, 0
    for position, length in enumerate(lengths):
        num = len(lengths) - position
        seconds += (length - done) * num / rates[num]
        done = length
    return seconds


def in_turn(candidates: dict[str, Candidate], num_rounds: int) -> dict[str, list[dict[str, Any]]]:
    """What each tells in each round, the rounds of all in turn."""
    with ExitStack() as stack:
        processes = {name: stack.enter_context(Process(candidate)) for name, candidate in candidates.items()}
        rounds = [{name: process.round().told for name, process in processes.items()} for _ in range(num_rounds)]
    return {name: [told[name] for told in rounds] for name in candidates}


def together(candidate: Candidate, num: int) -> list[float]:
    """Pictures/s of each of ``num`` processes at once."""
    with ExitStack() as stack:
        processes = [stack.enter_context(Process(candidate)) for _ in range(num)]
        for process in processes:
            process.start()
        return [float(process.finish().told["rate"]) for process in processes]


class Clock:
    """Moments as the device reaches them, with a GPU; as the program does, without."""

    def __init__(self, device: Any) -> None:
        self.on_gpu = device.type == "cuda"

    def now(self) -> Any:
        import torch

        if not self.on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self, start: Any, end: Any) -> float:
        if not self.on_gpu:
            return float(end - start)
        end.synchronize()
        return float(start.elapsed_time(end)) / 1000


class Timed:
    """A feeder that notes when the device came to need a batch and when it had it; or that gives the first batch again and again."""

    def __init__(self, feeder: Any, clock: Clock, resident: bool) -> None:
        self.feeder, self.clock = feeder, clock
        self.first = tuple(part.clone() for part in feeder.batch(0)) if resident else None
        self.waits: list[tuple[Any, Any]] = []

    def batch(self, position: int) -> Any:
        start = self.clock.now()
        found = self.first or self.feeder.batch(position)
        self.waits.append((start, self.clock.now()))
        return found


def rounds(
    root: str,
    cache: str,
    kind: str,
    *,
    net: str = "caffenet",
    batch_size: int = BATCH_SIZE,
    num_batches: int = NUM_BATCHES,
    device: str = "cuda",
) -> Callable[[], tuple[int, dict[str, Any]]]:
    """Training steps as peoria takes them. ``kind``: ``fed`` from the decoded copy; ``resident`` on one batch that is on the device already;
    ``float32``: that, in float32.

    Tells pictures/s, the last loss, and the share of the device's time between needing a batch and having it.
    """
    import numpy as np

    from peoria.data.batches import Batches
    from peoria.data.dataset import open_dataset
    from peoria.models import build, to_device
    from peoria.tasks import get_task
    from peoria.training.optim import make_optimizer
    from peoria.training.steps import FineTuning

    dataset = open_dataset(Path(root), Path(cache))
    y = dataset.train.labels.views.astype(np.float64)
    fitted = get_task("regression").fit(y, y, "log1p", "views")
    model, _ = build(net, num_outputs=1, seed=0)
    where, autocast = to_device(model, net, device)
    if kind == "float32":
        autocast = None
    model.train()
    optimizer = make_optimizer(model, learning_rate=1e-4, head_multiplier=5.0)
    batches = Batches(dataset.train.pixels, fitted.encode(y), np.arange(len(y)), batch_size, seed=0)
    clock = Clock(where)

    def run() -> tuple[int, dict[str, Any]]:
        steps = FineTuning(model, fitted, batches, dataset.val, (WARM_UP + num_batches) * batch_size, autocast)
        timed = Timed(steps.feeder, clock, resident=kind != "fed")
        steps.feeder = timed  # type: ignore[assignment]
        for number in range(WARM_UP + num_batches):
            if number == WARM_UP:
                start = clock.now()
            loss = steps.loss(number * batch_size)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        seconds = clock.seconds(start, clock.now())
        waiting = sum(clock.seconds(*wait) for wait in timed.waits[WARM_UP:]) / seconds
        num = num_batches * batch_size
        return num, {"rate": num / seconds, "waiting": round(waiting, 4), "loss": float(loss.detach())}

    return run
