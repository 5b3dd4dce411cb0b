"""A step as one graph, in the hands of a CPU: what replays is computed again on the same memory, which a CUDA graph is promised to do."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from peoria.data.batches import Batches
from peoria.data.dataset import Dataset
from peoria.data.images import ArrayPictures, TakenPictures
from peoria.data.on_device import DevicePictures
from peoria.data.targets import counts
from peoria.models import build
from peoria.models.caffenet import caffenet_trunk
from peoria.records.folder import TrialFolder
from peoria.tasks import get_task
from peoria.training import captured, steps
from peoria.training.captured import COMPILED_FROM, DenseConv2d, OneByOne, OneGraph, Step, dense_groups, is_compiled, make_step
from peoria.training.loop import train
from peoria.training.optim import make_optimizer
from peoria.training.steps import FineTuning
from tests.helpers.small import trial_config

RATE, SIZE = 2.0**-9, 8  # a rate that float32 holds, with all its multiples
Compute = Callable[[], None]


def replaying(compute: Compute) -> Compute:
    """As a capture: computes nothing yet."""
    return compute


def trained(
    dataset: Dataset, make: Callable[[FineTuning, torch.optim.Optimizer], Step], batches: int = 8, passes: int = 9
) -> tuple[FineTuning, list[float]]:
    """The tiny net with dropout in front of its head, after some steps, and their losses."""
    y = counts(dataset.train.labels, "views")
    fitted = get_task("regression").fit(y, y, "log1p", "views")
    net, _ = build("tiny", num_outputs=1, seed=0)
    net.trunk.append(torch.nn.Dropout(0.5))  # type: ignore[operator]
    net.train()
    of = Batches(dataset.train.pixels, fitted.encode(y), np.arange(len(y)), SIZE, 0)
    how = FineTuning(net, fitted, of, dataset.val, passes * len(y), None)
    step = make(how, make_optimizer(net, learning_rate=RATE, head_multiplier=8.0))
    return how, [float(step(number * SIZE, RATE / 2 ** (number // 4))) for number in range(batches)]


def one_graph(how: FineTuning, optimizer: torch.optim.Optimizer) -> OneGraph:
    return OneGraph(how, optimizer, replaying)


@pytest.mark.parametrize("room", [0, 10**12])
def test_a_graph_takes_the_steps_that_are_taken_one_by_one(dataset: Dataset, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """The same bits, batch by batch, with dropout and a rate that falls; also from pictures that lie on the device whole."""
    monkeypatch.setattr(steps, "spare_bytes", lambda *_: room)
    alone, losses = trained(dataset, OneByOne)
    graph, same = trained(dataset, one_graph)
    assert (graph._resident is not None) is bool(room)
    assert same == losses
    for name, tensor in alone.net.state_dict().items():
        assert torch.equal(graph.net.state_dict()[name], tensor), name


def test_without_the_copy_or_the_seed_it_takes_others(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The controls: a replay without its batch copied there sees the first again; without the seed it drops others."""
    monkeypatch.setattr(steps, "spare_bytes", lambda *_: 0)
    _, losses = trained(dataset, OneByOne)
    monkeypatch.setattr(torch.Tensor, "copy_", lambda self, other: self)
    _, stale = trained(dataset, one_graph)
    assert stale[:4] == losses[:4]
    assert stale[4:] != losses[4:]
    monkeypatch.undo()
    monkeypatch.setattr(steps, "spare_bytes", lambda *_: 0)
    monkeypatch.setattr(steps, "seed_dropout", lambda *_: None)
    assert trained(dataset, one_graph)[1] != losses


@pytest.mark.parametrize("said", ["CUDA error: operation not permitted when stream is capturing\nCUDA kernel errors", "out of memory"])
def test_what_cannot_be_captured_is_launched_by_itself(dataset: Dataset, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """And nothing else that is raised there is taken for that."""
    monkeypatch.setattr(steps, "spare_bytes", lambda *_: 0)
    notes: list[str] = []

    def refused(compute: Compute) -> Compute:
        raise RuntimeError(said)

    def take() -> list[float]:
        return trained(dataset, lambda how, optimizer: OneGraph(how, optimizer, refused, notes.append))[1]

    if "capturing" in said:
        assert take() == trained(dataset, OneByOne)[1]
        assert len(notes) == 1
        assert "operation not permitted when stream is capturing; each operation" in notes[0]
    else:
        with pytest.raises(RuntimeError, match=said):
            take()
        assert notes == []


def test_a_plugins_net_is_not_captured(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "spare_bytes", lambda *_: 0)
    how, _ = trained(dataset, OneByOne, batches=1)
    how.device = torch.device("cuda")
    optimizer, config = make_optimizer(how.net, learning_rate=RATE, head_multiplier=8.0), trial_config()
    assert isinstance(make_step(config.model_copy(update={"plugins": {"x.py": "0" * 64}}), how, optimizer, print), OneByOne)
    monkeypatch.setattr(captured, "OneGraph", lambda *_, **__: "a graph")
    assert make_step(config, how, optimizer, print) == "a graph"  # control


def test_a_set_that_is_seen_too_seldom_is_not_brought_whole(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "spare_bytes", lambda *_: 10**12)
    assert trained(dataset, one_graph, batches=5, passes=1)[0]._resident is None


def test_crops_on_the_device_are_those_of_the_cpu() -> None:
    random = np.random.default_rng(0)
    whole = ArrayPictures(random.integers(0, 256, (20, 256, 256, 3), dtype=np.uint8))
    kept = np.array([1, 2, 3, 5, 8, 9])
    augment = np.concatenate([random.integers(0, (30, 30, 2), (60, 3)), [[0, 0, 0], [29, 29, 1], [0, 29, 1], [29, 0, 0]]])
    for pixels in (whole, TakenPictures(whole, np.arange(19, -1, -1)), TakenPictures(TakenPictures(whole, np.arange(1, 20)), np.arange(3, 18))):
        resident = DevicePictures.of(pixels, kept, torch.device("cpu"))
        assert resident is not None
        rows = kept[random.integers(0, len(kept), len(augment))]
        out = np.empty((len(augment), 227, 227, 3), np.uint8)
        pixels.crops(rows, augment, out)
        found = resident.crops(torch.from_numpy(resident.places(rows)), torch.from_numpy(augment))
        assert np.array_equal(found.numpy(), out)
    flipped = augment * [1, 1, 0] + [0, 0, 1] * (1 - augment)  # the control
    assert not np.array_equal(resident.crops(torch.from_numpy(resident.places(rows)), torch.from_numpy(flipped)).numpy(), out)


def test_groups_as_one_compute_what_groups_compute() -> None:
    torch.manual_seed(0)
    grouped = torch.nn.Conv2d(6, 8, 3, padding=1, groups=2)
    dense = torch.nn.Conv2d(6, 8, 3, padding=1, groups=2)
    dense.load_state_dict(grouped.state_dict())
    dense.__class__ = DenseConv2d
    images = torch.randn(2, 6, 5, 5)
    for layer in (grouped, dense):
        layer(images).square().sum().backward()
    torch.testing.assert_close(dense(images), grouped(images))
    torch.testing.assert_close(dense.weight.grad, grouped.weight.grad)
    assert dense.weight.shape == (8, 3, 3, 3)
    with torch.no_grad():  # the control: the other group's inputs are not looked at
        images[:, 3:] += 1
        assert torch.equal(dense(images)[:, :4], dense(images * torch.tensor([1.0, 1, 1, 0, 0, 0])[:, None, None])[:, :4])


def test_caffenet_has_three_such_layers() -> None:
    with torch.device("meta"):
        trunk = caffenet_trunk("fc").module
    before = list(trunk.state_dict())
    dense_groups(trunk)  # type: ignore[arg-type]
    assert [name for name, module in trunk.named_modules() if isinstance(module, DenseConv2d)] == ["conv2", "conv4", "conv5"]
    assert list(trunk.state_dict()) == before


def test_what_is_compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr("torch.utils._triton.has_triton", lambda: True)
    monkeypatch.setattr(captured.sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setenv("CC", "cc")
    cuda, long = torch.device("cuda"), trial_config(pictures=COMPILED_FROM)
    assert is_compiled(long, cuda)
    assert not is_compiled(long, torch.device("cpu"))
    assert not is_compiled(trial_config(), cuda)
    assert not is_compiled(trial_config(pictures=COMPILED_FROM, weights="x", trunk="frozen"), cuda)
    for change in (
        lambda patched: patched.setattr("torch.utils._triton.has_triton", lambda: False),
        lambda patched: patched.setattr(captured.sysconfig, "get_path", lambda _: "/nowhere"),
        lambda patched: (patched.delenv("CC"), patched.setenv("PATH", "/nowhere")),
    ):
        with monkeypatch.context() as patched:
            change(patched)
            assert not is_compiled(long, cuda)
    with torch._dynamo.config.patch(disable=True):
        assert not is_compiled(long, cuda)
    assert is_compiled(long, cuda)


def test_a_trial_that_was_compiled_goes_on_compiled_alone(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its dropout draws other numbers. Here nothing is compiled: the word alone is looked at."""
    from peoria.errors import SweepError

    running = train(trial_config(), dataset, folder := TrialFolder(tmp_path))
    next(running)
    running.close()  # type: ignore[attr-defined]
    monkeypatch.setattr(captured, "is_compiled", lambda *_: True)
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    with pytest.raises(SweepError, match="compiled: None before, True now"):
        next(train(trial_config(), dataset, folder))
