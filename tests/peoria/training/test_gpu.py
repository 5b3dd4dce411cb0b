"""A GPU that trials share. What needs one is marked; the rest is the logic around it, with torch's answers put in."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.gpu import KINDS, rounds, whole_trial
from benchmarks.rounds import ROOT, python_path
from peoria.data.batches import Batches
from peoria.data.dataset import Dataset
from peoria.data.images import CROP_PX, ArrayPictures
from peoria.data.prefetch import Prefetcher
from peoria.data.targets import counts
from peoria.models import build, to_device
from peoria.models.precision import FLOAT32_ON_CUDA
from peoria.records.folder import TrialFolder
from peoria.sweep.resources import trials_on_gpus
from peoria.tasks import get_task
from peoria.training.evaluate import forward_all
from peoria.training.gpu import CONTEXT_BYTES, breaks_process, cap_memory, memory_text, release_memory, share_bytes
from peoria.training.loop import train
from peoria.training.messages import TrialReport, TrialSpec
from peoria.training.optim import make_optimizer
from peoria.training.steps import make_steps
from peoria.training.trial import run_trial
from tests.helpers.cuda import no_waiting, only_gpu
from tests.helpers.small import trial_config

gpu = pytest.mark.gpu
CUDA = torch.device("cuda")


@pytest.mark.parametrize(("share", "capped"), [(0.25, [0.25 * (80 - 5 * 0.718) / 80]), (0.3, [0.3 * (80 - 4 * 0.718) / 80]), (1.0, []), (0.0, [])])
def test_only_a_part_of_a_gpu_is_capped(share: float, capped: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what contexts leave: that of the baselines, and one of each trial, which torch does not count."""
    found: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (0, 80_000_000_000))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", found.append)
    cap_memory(share)
    assert found == pytest.approx(capped)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cap_memory(0.5)
    assert found == pytest.approx(capped)


@pytest.mark.parametrize("share", [0.1, 0.15, 0.25, 0.3, 0.33, 0.5, 0.7])
def test_shares_and_contexts_add_up_to_what_there_is(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    total = 24_000_000_000
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (0, total))
    beside = trials_on_gpus(share, 1)
    assert beside * (share_bytes(share) + CONTEXT_BYTES) + CONTEXT_BYTES <= total
    assert beside * (share * total + CONTEXT_BYTES) + CONTEXT_BYTES > total or beside * share < 0.95  # the control: the share of all of it


@pytest.mark.parametrize(
    ("error", "broken", "text"),
    [
        (torch.OutOfMemoryError("CUDA out of memory."), True, "GPU memory: 0.25 of a GPU is not enough; a smaller batch_size, or a larger"),
        (MemoryError(), True, "memory: the machine has no more; a smaller batch_size, or fewer trials at a time"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True, "memory: the machine has no more"),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), True, ""),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), True, ""),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False, ""),
        (ValueError("CUDA error in a text"), False, ""),
    ],
)
def test_what_an_error_leaves(error: Exception, broken: bool, text: str) -> None:
    assert breaks_process(error) is broken
    assert memory_text(error, 0.25).startswith(text)
    assert bool(memory_text(error, 0.25)) == bool(text)


def test_a_trial_that_runs_out_says_what_to_do(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its last line is what the sweep prints."""

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def run(name: str) -> list[TrialReport]:
        nowhere = {"shards": tmp_path, "cache": tmp_path, "cache_bytes": None, "control": None, "where": None}
        spec = TrialSpec(key=name, folder=tmp_path / name, config=trial_config(), **nowhere)
        return list(run_trial(spec, gpu_share=0.25, broken=lambda: called.append("broken")))

    called: list[str] = []
    monkeypatch.setattr("peoria.training.trial._dataset", lambda *_: dataset)
    assert (run("good")[-1].status, called) == ("done", [])
    monkeypatch.setattr("peoria.training.trial.train", full)
    (last,) = run("full")
    assert (last.status, called) == ("infeasible", ["broken"])
    assert "Tried to allocate 2.00 GiB" in str(last.error)
    assert str(last.error).splitlines()[-1] == "GPU memory: 0.25 of a GPU is not enough; a smaller batch_size, or a larger --gpus-per-trial"


def test_the_benchmark_runs_without_a_gpu(planted_shards: Path, home: Path, tmp_path: Path) -> None:
    """All of it but the GPU: what it computes, not how fast."""
    losses = {}
    for kind in KINDS:
        run = rounds(str(planted_shards), str(home / "cache"), kind, net="tiny", batch_size=2, seconds=1e-3, device="cpu")
        num, told = run()
        assert num == 50
        assert told["rate"] > 0
        losses[kind] = told["loss"]
    assert losses["fed"] == losses["cut"]
    assert losses["step"] == losses["one_by_one"] != losses["fed"]
    num, told = whole_trial(str(planted_shards), str(home / "cache"), str(tmp_path), net="tiny", pictures=2000, device="cpu")()
    assert (num, told["rate"] > 0) == (2000, True)
    torch.set_num_threads(1)


def test_candidates_see_what_their_caller_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert python_path() == f"{ROOT}{os.pathsep}/elsewhere"
    monkeypatch.delenv("PYTHONPATH")
    assert python_path() == str(ROOT)


@pytest.mark.parametrize(
    ("markers", "found"),
    [("gpu", True), ("gpu and not slow", True), ("", False), ("not slow", False), ("not slow and not gpu", False), ("slow", False)],
)
def test_only_tests_that_need_a_gpu_see_one(markers: str, found: bool) -> None:
    assert only_gpu(markers) is found


def test_other_tests_see_none(request: pytest.FixtureRequest) -> None:
    assert only_gpu(request.config.option.markexpr) or not torch.cuda.is_available()


def test_waiting_for_the_device_is_allowed_again_after_the_test(request: pytest.FixtureRequest) -> None:
    """Torch has the mode without a GPU too; it warns, which raises here, and stays in the mode."""
    mode = torch._C._cuda_get_sync_debug_mode
    request.addfinalizer(lambda: torch.set_warn_always(False))
    torch.set_warn_always(True)  # else once a process
    with no_waiting():
        assert mode() == 2
    assert mode() == 0
    with pytest.raises(ZeroDivisionError), no_waiting():
        raise ZeroDivisionError
    assert mode() == 0
    with pytest.raises(UserWarning, match="Synchronization debug mode"):  # the control
        torch._C._cuda_set_sync_debug_mode(2)
    assert mode() == 2
    with no_waiting():
        pass


# -- with a GPU


@gpu
def test_the_feeder_brings_the_same_bytes() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, CROP_PX, CROP_PX, 3), dtype=np.uint8)

    def fill(start: int, out: np.ndarray) -> int:
        out[:8] = pixels[start % 64 : start % 64 + 8]
        return 8

    feeder = Prefetcher(fill, [((8, CROP_PX, CROP_PX, 3), np.uint8)], CUDA, step=8, stop=4000)
    busy = torch.randn(4096, 4096, device=CUDA)
    sums = []
    for start in range(0, 4000, 8):
        busy = busy @ busy / 4096  # so that the device lags behind
        sums.append(feeder.batch(start)[0].sum(dtype=torch.int64))
    expected = [int(pixels[start % 64 : start % 64 + 8].sum(dtype=np.int64)) for start in range(0, 4000, 8)]
    assert torch.stack(sums).tolist() == expected


@gpu
def test_training_never_waits_for_the_device(dataset: Dataset) -> None:
    """The loop of `train` between two points of the curve; torch raises where the CPU would wait for the GPU."""
    config = trial_config(device="cuda")
    y = counts(dataset.train.labels, "views")
    fitted = get_task("regression").fit(y, y, "log1p", "views")
    net, _ = build("tiny", num_outputs=1, seed=0)
    device, autocast = to_device(net, "tiny", "cuda")
    batches = Batches(dataset.train.pixels, fitted.encode(y), np.arange(len(y)), config.batch_size, 0)
    steps = make_steps(config, dataset, net, fitted, batches, autocast)
    optimizer = make_optimizer(net, learning_rate=1e-3, head_multiplier=5.0)
    total = torch.zeros((), device=device)

    def train_on(position: int) -> None:
        loss = steps.loss(position)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        total.add_(loss.detach())

    train_on(0)  # cuDNN tries its algorithms
    with no_waiting():
        for position in range(16, 320, 16):
            train_on(position)
        with pytest.raises(RuntimeError, match="synchroniz"):  # control: reading the loss is such a wait
            float(total)


@gpu
def test_a_trial_on_the_gpu_learns_and_goes_on(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("peoria.training.saving.EVERY_S", 0.0)  # a checkpoint at each evaluation, as of a long trial
    config = trial_config(device="cuda")
    whole = list(train(config, dataset, TrialFolder(tmp_path / "whole")))
    running = train(config, dataset, TrialFolder(tmp_path / "cut"))
    first = next(running)
    running.close()  # type: ignore[attr-defined]
    rest = list(train(config, dataset, TrialFolder(tmp_path / "cut")))
    assert rest[0] == first
    assert rest[-1].metrics["val/rho_views"] == pytest.approx(whole[-1].metrics["val/rho_views"], abs=0.02)  # up to rounding
    assert torch.backends.cuda.matmul.fp32_precision == FLOAT32_ON_CUDA["matmul"]


@gpu
def test_evaluation_agrees_with_the_cpu() -> None:
    pixels = ArrayPictures(np.random.default_rng(0).integers(0, 256, (300, 256, 256, 3), dtype=np.uint8))
    net, _ = build("caffenet", num_outputs=2, seed=0)
    on_cpu = forward_all(net, pixels, device=torch.device("cpu"), autocast=None)
    device, _ = to_device(net, "caffenet", "cuda")
    np.testing.assert_allclose(forward_all(net, pixels, device=device, autocast=None), on_cpu, rtol=1e-2, atol=1e-3 * np.abs(on_cpu).max())


@gpu
def test_a_part_of_the_gpu_is_all_there_is() -> None:
    total = torch.cuda.mem_get_info()[1]
    try:
        cap_memory(0.1)
        with pytest.raises(torch.OutOfMemoryError) as caught:
            torch.empty(int(0.2 * total), dtype=torch.uint8, device=CUDA)
        assert "0.1 of a GPU (" in memory_text(caught.value, 0.1)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    large = torch.empty(int(0.2 * total), dtype=torch.uint8, device=CUDA)  # control: without the cap it fits
    before = torch.cuda.memory_reserved()
    del large
    release_memory()
    assert torch.cuda.memory_reserved() < before
