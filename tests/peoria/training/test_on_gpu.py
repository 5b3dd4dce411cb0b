"""What a GPU alone can show of steps as one graph, of pictures that lie there, and of scores. Run by ``pytest -m gpu``."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from peoria.data.batches import Batches
from peoria.data.dataset import Dataset
from peoria.data.images import ArrayPictures
from peoria.data.on_device import DevicePictures
from peoria.data.targets import counts
from peoria.models import build, exact_float32, to_device
from peoria.records.folder import TrialFolder
from peoria.stats.metrics import spearman
from peoria.tasks import get_task
from peoria.training import captured, steps
from peoria.training.captured import OneByOne, OneGraph, Step, dense_groups
from peoria.training.checkpoint import held
from peoria.training.evaluate import forward_all
from peoria.training.loop import train
from peoria.training.optim import make_optimizer
from peoria.training.steps import FineTuning
from tests.helpers.cuda import no_waiting
from tests.helpers.small import trial_config

pytestmark = pytest.mark.gpu
CUDA, SIZE, RATE = torch.device("cuda"), 16, 1e-3
compiles = pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores")  # some torch says so while it compiles; the head is exact on purpose


def made(
    dataset: Dataset, make: Callable[[FineTuning, torch.optim.Optimizer], Step], *, net: str = "tiny", compiled: bool = False
) -> tuple[Any, Any]:
    y = counts(dataset.train.labels, "views")
    fitted = get_task("regression").fit(y, y, "log1p", "views")
    built, _ = build(net, num_outputs=1, seed=0)
    if net == "tiny":
        built.trunk.append(torch.nn.Dropout(0.5))  # type: ignore[operator]
    _, autocast = to_device(built, net, "cuda")
    if compiled:
        dense_groups(built)
    built.train()
    how = FineTuning(
        built, fitted, Batches(dataset.train.pixels, fitted.encode(y), np.arange(len(y)), SIZE, 0), dataset.val, 10**6, autocast, compiled
    )
    optimizer = make_optimizer(built, learning_rate=RATE, head_multiplier=5.0)
    return how, OneGraph(how, optimizer, note=pytest.fail) if make is OneGraph else make(how, optimizer)  # launched one by one it would agree too


def losses(step: Step, num: int = 12, rate: float = RATE) -> list[float]:
    return [float(step(number * SIZE, rate)) for number in range(num)]


@pytest.mark.parametrize("whole", [False, True])
def test_a_graph_takes_the_steps_that_are_taken_one_by_one(dataset: Dataset, monkeypatch: pytest.MonkeyPatch, whole: bool) -> None:
    """Up to rounding, with dropout, whose seed is set before each replay; also with the pictures on the GPU."""
    monkeypatch.setattr(steps, "spare_bytes", lambda *_: 10**12 if whole else 0)
    alone = losses(made(dataset, OneByOne)[1])
    how, step = made(dataset, OneGraph)
    assert losses(step) == pytest.approx(alone, rel=2e-2)
    assert (how._resident is not None) is whole
    with monkeypatch.context() as patched:  # the control
        patched.setattr(steps, "seed_dropout", lambda *_: None)
        assert losses(made(dataset, OneGraph)[1]) != pytest.approx(alone, rel=2e-2)


def test_replays_wait_for_nothing(dataset: Dataset) -> None:
    _, step = made(dataset, OneGraph)
    losses(step, 5)
    with no_waiting():
        for number in range(5, 20):
            total = step(number * SIZE, RATE)
        with pytest.raises(RuntimeError, match="synchroniz"):  # the control
            float(total)


@pytest.mark.slow
@compiles
def test_the_whole_net_compiled_learns_what_it_learnt(dataset: Dataset) -> None:
    """CaffeNet drops out other units then; what it loses is of a size. At larger rates a net that begins with nothing diverges."""
    alone = losses(made(dataset, OneByOne, net="caffenet")[1], 30, 1e-5)
    compiled = losses(made(dataset, OneGraph, net="caffenet", compiled=True)[1], 30, 1e-5)
    assert np.isfinite(alone).all()
    assert np.mean(compiled) == pytest.approx(np.mean(alone), rel=0.2)


def test_a_refused_capture_leaves_torch_as_it_was() -> None:
    ones, before = torch.ones(8, device=CUDA), torch.cuda.current_stream()
    with pytest.raises(RuntimeError, match="captur"):
        captured.cuda_graph(lambda: float(ones.sum()))  # type: ignore[arg-type, return-value]
    assert torch.cuda.current_stream() == before
    torch.cuda.empty_cache()
    assert float(ones.sum()) == 8


def test_crops_on_the_gpu_are_those_of_the_cpu() -> None:
    random = np.random.default_rng(0)
    pixels = ArrayPictures(random.integers(0, 256, (40, 256, 256, 3), dtype=np.uint8))
    rows, augment = random.integers(0, 40, 64), random.integers(0, (30, 30, 2), (64, 3))
    resident = DevicePictures.of(pixels, np.arange(40), CUDA)
    assert resident is not None
    out = np.empty((64, 227, 227, 3), np.uint8)
    pixels.crops(rows, augment, out)
    found = resident.crops(torch.from_numpy(resident.places(rows)).to(CUDA), torch.from_numpy(augment).to(CUDA))
    assert np.array_equal(found.cpu().numpy(), out)


def test_what_is_held_is_the_state_when_it_was_asked_for() -> None:
    """While the device lags behind, and goes on changing it."""
    state = {"net": {"weight": torch.zeros(10_000_000, device=CUDA)}, "optimizer": {"param_groups": [{"lr": torch.tensor(0.5, device=CUDA)}]}}
    busy = torch.randn(8192, 8192, device=CUDA)
    for _ in range(20):
        busy = busy @ busy / 8192
    state["net"]["weight"] += 1
    begun = time.perf_counter()
    found = held(state)
    asked_s = time.perf_counter() - begun
    state["net"]["weight"] += 1
    whole = found()
    assert asked_s < (time.perf_counter() - begun) / 2  # it did not wait
    assert float(whole["net"]["weight"].min()) == float(whole["net"]["weight"].max()) == 1.0
    assert whole["net"]["weight"].device.type == whole["optimizer"]["param_groups"][0]["lr"].device.type == "cpu"


def test_val_s_crops_stay_there(dataset: Dataset) -> None:
    net, _ = build("tiny", num_outputs=1, seed=0)
    to_device(net, "tiny", "cuda")
    kept: list[torch.Tensor] = []
    first = forward_all(net, dataset.val.pixels, device=CUDA, autocast=None, held=kept)
    assert len(first) == len(dataset.val)
    again = forward_all(net, dataset.val.pixels, device=CUDA, autocast=None, held=kept)
    np.testing.assert_allclose(again, first, rtol=1e-5, atol=1e-6)


def test_pictures_rank_as_on_a_cpu() -> None:
    """With TF32, which convolutions have in training, they do not: the control."""
    pixels = ArrayPictures(np.random.default_rng(0).integers(0, 256, (400, 256, 256, 3), dtype=np.uint8))
    net, _ = build("caffenet", num_outputs=1, seed=0)
    on_cpu = forward_all(net, pixels, device=torch.device("cpu"), autocast=None)[:, 0]
    to_device(net, "caffenet", "cuda")
    with exact_float32():
        exact = forward_all(net, pixels, device=CUDA, autocast=None)[:, 0]
    rounded = forward_all(net, pixels, device=CUDA, autocast=None)[:, 0]
    assert 1 - spearman(exact, on_cpu) < 1e-5  # an untrained net's scores differ by 0.005 (sd): rounding swaps a few neighbours
    assert np.abs(exact - on_cpu).max() < 1e-4
    assert np.abs(rounded - on_cpu).max() > np.abs(exact - on_cpu).max()


@pytest.mark.slow
@compiles
def test_a_compiled_trial_stops_and_goes_on(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captured, "COMPILED_FROM", 0)
    config, left = trial_config(device="cuda"), iter(range(25))
    whole = list(train(config, dataset, TrialFolder(tmp_path / "whole")))
    cut = list(train(config, dataset, folder := TrialFolder(tmp_path / "cut"), lambda: next(left, None) is None))
    assert cut[-1].stopped
    rest = list(train(config, dataset, folder))
    assert rest[-1].metrics["val/rho_views"] == pytest.approx(whole[-1].metrics["val/rho_views"], abs=0.02)
