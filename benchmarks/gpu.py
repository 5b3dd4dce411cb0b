"""What a GPU that trains CaffeNet in bfloat16 gets from the decoded copy, alone and shared by several trials."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Measured, Setting, not_run
from benchmarks.rounds import Candidate, Process
from benchmarks.sets import cache, packed

FED = Figure("gpu_fed", "pictures/s of CaffeNet from the decoded copy, against one batch on the GPU", 0.90, 0.97)
WAITING = Figure("gpu_waiting", "share of the time in which the GPU waits for data", 0.10, 0.03, "", lower_is_better=True)
SHARED = {
    2: Figure("gpu_two_trials", "pictures/s of two trials on one GPU together, against one trial", None, None),
    4: Figure("gpu_four_trials", "… of four trials", None, None),
}
BATCH_SIZE, NUM_BATCHES, WARM_UP = 256, 100, 10


def gpu(setting: Setting) -> Iterator[Measured]:
    import torch

    if not torch.cuda.is_available():
        yield from not_run([FED, WAITING, *SHARED.values()], "no GPU here")
        return
    root = packed(setting)
    of = {"root": str(root), "cache": str(cache(setting, root))}
    candidates = {name: Candidate("gpu:caffenet", of | {"resident": name == "resident"}, pinned=False) for name in ("fed", "resident")}
    with ExitStack() as stack:
        processes = {name: stack.enter_context(Process(candidate)) for name, candidate in candidates.items()}
        rounds = {name: [process.round() for _ in range(setting.rounds)] for name, process in processes.items()}
    rates = {name: statistics.median(r.told["rate"] for r in found) for name, found in rounds.items()}
    detail = {name: round(rate) for name, rate in rates.items()} | {"device": torch.cuda.get_device_name(0), "batch_size": BATCH_SIZE}
    yield Measured(FED, rates["fed"] / rates["resident"], detail=detail)
    yield Measured(WAITING, 1 - rates["fed"] / rates["resident"], detail=detail | {"filling": rounds["fed"][-1].told["filling"]})
    for num, figure in SHARED.items():
        with ExitStack() as stack:
            together = [stack.enter_context(Process(candidates["fed"])) for _ in range(num)]
            for process in together:
                process.start()
            found = [process.finish().told["rate"] for process in together]
        yield Measured(figure, sum(found) / rates["fed"], detail={"each": [round(rate) for rate in found], "one": round(rates["fed"])})


def caffenet(root: str, cache: str, resident: bool) -> Callable[[], tuple[int, dict[str, Any]]]:
    """Training steps as peoria takes them; ``resident``: always the same batch, which is on the GPU already.

    Tells pictures/s and the share of the time that the CPU spent on filling batches, which is waiting only where the GPU is faster.
    """
    import numpy as np
    import torch

    from peoria.data import CROP_PX, Batches, open_dataset
    from peoria.models import build, precision
    from peoria.optim import make_optimizer

    device = torch.device("cuda")
    autocast, _ = precision("caffenet", "cuda")
    train = open_dataset(Path(root), Path(cache)).train
    net, _ = build("caffenet", num_outputs=1, seed=0)
    net.to(device).to(memory_format=torch.channels_last).train()
    optimizer = make_optimizer(net, learning_rate=1e-4, head_multiplier=5.0)
    batches = Batches(train.pixels, np.zeros((len(train), 1), np.float32), np.arange(len(train)), BATCH_SIZE, seed=0)
    buffer = np.empty((BATCH_SIZE, CROP_PX, CROP_PX, 3), np.uint8)
    crops, encoded = batches.fill(0, buffer)
    kept, wanted = torch.from_numpy(crops).to(device), torch.from_numpy(encoded).to(device)

    def run() -> tuple[int, dict[str, Any]]:
        filling = 0.0
        for number in range(WARM_UP + NUM_BATCHES):
            if number == WARM_UP:
                torch.cuda.synchronize()
                start, filling = time.perf_counter(), 0.0
            pixels, before = kept, time.perf_counter()
            if not resident:
                crops, _ = batches.fill(number * BATCH_SIZE, buffer)
                filling += time.perf_counter() - before
                pixels = torch.from_numpy(crops).to(device)
            with torch.autocast("cuda", autocast, enabled=autocast is not None):
                loss = torch.nn.functional.mse_loss(net(net.preprocess(pixels)), wanted)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        num = NUM_BATCHES * BATCH_SIZE
        return num, {"rate": num / seconds, "filling": round(filling / seconds, 3)}

    return run
