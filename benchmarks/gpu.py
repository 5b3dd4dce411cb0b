"""What a GPU that trains CaffeNet reaches, by peoria's own steps, and what keeps it from that: launches, input, evaluations, neighbours.

Each process warms up first: kernels are compiled, algorithms chosen, the step is captured as a graph. Then all that run together begin at one word
and train for the same seconds by the clock. ``device="cpu"`` runs the same code with another net where there is no GPU.
"""

import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Measured, NotRunError, Setting, not_run
from benchmarks.rounds import Candidate, Process
from benchmarks.sets import cache, packed

SIZES = (50, 256)  # the recipe's, where the host is as slow as the device; and one where the device alone binds
STEP = {
    50: Figure("gpu_step_50", "training steps of CaffeNet on one batch of 50 that is on the GPU; of an H100", 17_000.0, 18_900.0, "pictures/s"),
    256: Figure("gpu_step_256", "… of 256", 26_000.0, 29_000.0, "pictures/s"),
}
REPLAY = {size: Figure(f"gpu_replay_{size}", f"… of {size}, against the replay of the same step's graph alone", 0.95, 0.98) for size in SIZES}
ONE_BY_ONE = {size: Figure(f"gpu_graph_{size}", f"… of {size} as one graph of compiled kernels, against one by one", None, None) for size in SIZES}
FED = {size: Figure(f"gpu_fed_{size}", f"… of {size} fed from the decoded copy, against one batch on the GPU", 0.95, 0.98) for size in SIZES}
ON_DEVICE = {size: Figure(f"gpu_cut_there_{size}", f"… of {size} cut from pictures on the GPU, against one batch", None, None) for size in SIZES}
WHOLE = Figure("gpu_whole_trial", "a whole trial with 8 evaluations in batches of 50, from its first report on, against its steps", 0.95, 0.98)
SHARED = {num: Figure(f"gpu_{num}_trials", f"pictures/s of {num} trials at batch 50 on one GPU together, against one", None, None) for num in (2, 4)}
MPS = {
    2: Figure("gpu_2_trials_mps", "… of two with NVIDIA's MPS", 1.2, 1.5),
    4: Figure("gpu_4_trials_mps", "… of four with NVIDIA's MPS", None, None),
}
PAPER = Figure("gpu_paper", "the paper's three experiments, one after another, by pictures/s fed", 10.0, 9.0, "min", lower_is_better=True)
STEPS = [*(figure for of in (STEP, REPLAY, ONE_BY_ONE, FED, ON_DEVICE) for figure in of.values()), PAPER]
TRIALS = [WHOLE, *SHARED.values(), *MPS.values()]
SECONDS, CHUNK = 5.0, 25  # of a round; steps between two looks at the clock, when the device is waited for
TRIAL_PICTURES, CHECKPOINT_S = 240_000, 5.0  # a trial of seconds writes checkpoints as one of minutes does


def gpu_steps(setting: Setting) -> Iterator[Measured]:
    """Of one process on the GPU."""
    import torch

    from peoria.config import paper_recipe

    if not torch.cuda.is_available():
        yield from not_run(STEPS, "no GPU here")
        return
    of = packed_of(setting)
    device, fed = {"device": torch.cuda.get_device_name(0)}, {}
    for size in SIZES:
        rates = in_turn({kind: candidate(of, kind, size) for kind in KINDS}, setting.rounds)
        detail = {kind: round(rate) for kind, rate in rates.items()} | device
        fed[size] = rates["fed"]
        yield Measured(STEP[size], rates["step"], detail=detail)
        for figures, kind, over in ((REPLAY, "step", "replay"), (ONE_BY_ONE, "step", "one_by_one"), (FED, "fed", "step"), (ON_DEVICE, "cut", "step")):
            yield Measured(figures[size], rates[kind] / rates[over], detail=detail)
    num = sum(settings["pictures"].value for settings in paper_recipe.PAPER.values())
    yield Measured(PAPER, num / fed[50] / 60, detail={"pictures": num, "rate": round(fed[50])} | device)


def gpu_trials(setting: Setting) -> Iterator[Measured]:
    """A whole trial, and trials that share the GPU."""
    import torch

    if not torch.cuda.is_available():
        yield from not_run(TRIALS, "no GPU here")
        return
    of, device = packed_of(setting), {"device": torch.cuda.get_device_name(0)}
    steps = in_turn({"cut": candidate(of, "cut")}, setting.rounds)["cut"]  # such a trial sees each picture often enough to keep them on the GPU
    with Process(Candidate("gpu:whole_trial", of | {"work": str(setting.work)}, pinned=False)) as process:
        told = [process.round().told for _ in range(min(3, setting.rounds))]
    yield Measured(WHOLE, statistics.median(one["rate"] for one in told) / steps, detail={"rounds": told, "steps": round(steps)} | device)
    for figures, sharing in ((SHARED, nullcontext({})), (MPS, mps())):
        try:
            with sharing as env:
                one = sum(together(replace(candidate(of, "fed"), env=env), 1))
                for num, figure in figures.items():
                    each = together(replace(candidate(of, "fed"), env=env), num)
                    yield Measured(figure, sum(each) / one, detail={"each": [round(rate) for rate in each], "one": round(one)} | device)
        except NotRunError as error:
            yield from not_run(figures.values(), str(error))


def packed_of(setting: Setting) -> dict[str, Any]:
    root = packed(setting)
    return {"root": str(root), "cache": str(cache(setting, root))}


def candidate(of: dict[str, Any], kind: str, size: int = 50) -> Candidate:
    return Candidate("gpu:rounds", of | {"kind": kind, "batch_size": size}, pinned=False)


def in_turn(candidates: dict[str, Candidate], num_rounds: int) -> dict[str, float]:
    """Pictures/s of each, the median of its rounds; the rounds of all in turn, each alone on the GPU."""
    with ExitStack() as stack:
        processes = {name: stack.enter_context(Process(candidate)) for name, candidate in candidates.items()}
        rounds = [{name: process.round().told["rate"] for name, process in processes.items()} for _ in range(num_rounds)]
    return {name: statistics.median(told[name] for told in rounds) for name in candidates}


def together(candidate: Candidate, num: int) -> list[float]:
    """Pictures/s of each of ``num`` processes in the same seconds: all have warmed up before the first is let go."""
    with ExitStack() as stack:
        processes = [Process(candidate) for _ in range(num)]
        for process in processes:
            process.launch()
            stack.push(process)  # ended also where one before it cannot start
        for process in processes:
            process.ready()
        for process in processes:
            process.start()
        return [float(process.finish().told["rate"]) for process in processes]


@contextmanager
def mps() -> Iterator[dict[str, str]]:
    """What lets processes use an MPS server of our own. Raises NotRunError where it cannot be had."""
    control = shutil.which("nvidia-cuda-mps-control")
    if control is None:
        raise NotRunError("no nvidia-cuda-mps-control here")
    with tempfile.TemporaryDirectory() as folder:
        env = {"CUDA_MPS_PIPE_DIRECTORY": f"{folder}/pipe", "CUDA_MPS_LOG_DIRECTORY": f"{folder}/log"}
        try:
            subprocess.run([control, "-d"], env=os.environ | env, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise NotRunError(f"nvidia-cuda-mps-control does not start: {error}") from None
        try:
            yield env
        finally:
            subprocess.run([control], input="quit\n", text=True, env=os.environ | env, check=False)  # what broke it is told


class Once:
    """A feeder that has one batch, on the device, and gives it again and again."""

    def __init__(self, feeder: Any) -> None:
        self._batch = tuple(part.clone() for part in feeder.batch(0))

    def batch(self, position: int) -> Any:
        return self._batch


KINDS = ("step", "replay", "one_by_one", "fed", "cut")


def rounds(
    root: str,
    cache: str,
    kind: str,
    *,
    net: str = "caffenet",
    batch_size: int = 50,
    seconds: float = SECONDS,
    device: str = "cuda",
) -> Callable[[], tuple[int, dict[str, Any]]]:
    """Training steps as peoria takes them, on one batch; ``replay``: their graph and nothing else; ``one_by_one``: not compiled, no graph;
    ``fed``: from the decoded copy; ``cut``: on the device, from pictures there. Tells pictures/s and the last loss.
    """
    import numpy as np
    import torch

    from peoria.data.batches import Batches
    from peoria.data.dataset import open_dataset
    from peoria.data.on_device import DevicePictures
    from peoria.models import build, to_device
    from peoria.tasks import get_task
    from peoria.training.captured import WARM_UP, OneByOne, OneGraph, dense_groups
    from peoria.training.optim import make_optimizer
    from peoria.training.steps import FineTuning

    dataset = open_dataset(Path(root), Path(cache))
    y = dataset.train.labels.views.astype(np.float64)
    fitted = get_task("regression").fit(y, y, "log1p", "views")
    model, _ = build(net, num_outputs=1, seed=0)
    where, autocast = to_device(model, net, device)
    compiled = where.type == "cuda" and kind != "one_by_one"
    if compiled:
        dense_groups(model)
    model.train()
    rows = np.arange(len(y))
    batches = Batches(dataset.train.pixels, fitted.encode(y), rows, batch_size, seed=0)
    steps = FineTuning(model, fitted, batches, dataset.val, 10**12, autocast, compiled)
    if kind == "cut":
        steps.stay(DevicePictures.of(dataset.train.pixels, rows, where))
    elif kind != "fed":
        steps.feeder = Once(steps.feeder)  # type: ignore[assignment]
    vars(steps)["settle"] = lambda: None  # what is measured stays where it is
    optimizer = make_optimizer(model, learning_rate=1e-4, head_multiplier=5.0)

    def refused(said: str) -> None:  # what would be measured then is no graph
        raise RuntimeError(said)

    step = OneGraph(steps, optimizer, note=refused) if compiled else OneByOne(steps, optimizer)
    position = 0

    def chunk(number: int) -> Any:
        nonlocal position
        for _ in range(number):
            loss = step(position, 1e-4)
            position += batch_size
        if where.type == "cuda":
            torch.cuda.synchronize()
        return loss

    def replay(number: int) -> Any:
        assert isinstance(step, OneGraph)
        assert step._replay is not None
        for _ in range(number):
            step._replay()
        torch.cuda.synchronize()
        return step._loss

    last = chunk(WARM_UP + 2)  # captured, and once replayed
    train_on = replay if kind == "replay" and where.type == "cuda" else chunk

    def run() -> tuple[int, dict[str, Any]]:
        nonlocal last
        start, num = time.perf_counter(), 0
        while time.perf_counter() - start < seconds:
            last = train_on(CHUNK)
            num += CHUNK * batch_size
        return num, {"rate": num / (time.perf_counter() - start), "loss": float(last)}

    return run


def whole_trial(
    root: str, cache: str, work: str, *, net: str = "caffenet", pictures: int = TRIAL_PICTURES, device: str = "cuda"
) -> Callable[[], tuple[int, dict[str, Any]]]:
    """A trial as a worker runs it, with 8 evaluations, its checkpoints and reports. Tells pictures/s from its first report to its last, and the
    seconds until the first: start, compiling, choice of algorithms."""
    from peoria.config.trial import TrialConfig
    from peoria.training import saving
    from peoria.training.messages import TrialSpec
    from peoria.training.trial import run_trial

    saving.EVERY_S = CHECKPOINT_S
    how: dict[str, Any] = {"net": net, "pictures": pictures, "device": device, "target_scale": "log1p", "schedule": "cosine", "evaluations": 8}
    config = TrialConfig(task="regression", learning_rate=1e-4, batch_size=50, **how)
    places = {"shards": Path(root), "cache": Path(cache), "cache_bytes": None, "control": None, "where": None}

    def run() -> tuple[int, dict[str, Any]]:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            times, last = [time.perf_counter()], None
            for report in run_trial(TrialSpec(key="0000", folder=Path(folder), config=config, **places)):
                times.append(time.perf_counter())
                last = report
        assert last is not None
        assert last.status == "done", last.error
        rate = pictures * 7 / 8 / (times[-1] - times[1])
        return pictures, {"rate": round(rate), "first_report_s": round(times[1] - times[0], 1)}

    return run
