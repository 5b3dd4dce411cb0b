"""The exported program says what the net says, of any number of pictures, and is whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from peoria.data.images import CENTRE, ArrayPictures
from peoria.data.targets import Scale
from peoria.errors import PeoriaError
from peoria.models import PopularityNet, build
from peoria.serving.program import MAX_KNOWN, NEAR, as_onnx, as_torch, program_of, refuse_other, run_onnx, run_torch, samples
from peoria.tasks import FittedTask
from peoria.tasks.classification import FittedClassification
from peoria.tasks.hybrid import FittedHybrid
from peoria.tasks.regression import FittedRegression
from peoria.training.evaluate import forward_all

REGRESSION = FittedRegression(target="views", scale=Scale("log1p", 3.0, 1.2), mean=40.0, median=20.0, geometric_mean=19.0)
HYBRID = FittedHybrid(target="views", edges=(1.0, 5.0), scale=Scale("standard", 1.5, 1.1), mean_bin=1.5, median_bin=1.0)
CLASSIFICATION = FittedClassification(target="favorites", prior=0.5)


def net_of(name: str, fitted: FittedTask, head: str = "fc") -> PopularityNet:
    return build(name, head=head, num_outputs=fitted.num_outputs, seed=1)[0].eval()


def outputs_of(net: PopularityNet, squares: np.ndarray) -> np.ndarray:
    return forward_all(net, ArrayPictures(squares), device=torch.device("cpu"), autocast=None)


EVERY_KIND = [("tiny", "fc", REGRESSION), ("tiny", "pool", HYBRID), ("caffenet", "pool", CLASSIFICATION), ("resnet18", "fc", HYBRID)]


@pytest.mark.parametrize(("name", "head", "fitted"), EVERY_KIND)
def test_the_program_says_what_the_net_says_of_any_number_of_pictures(name: str, head: str, fitted: FittedTask) -> None:
    net, known = net_of(name, fitted, head), np.linspace(-2, 2, 301)
    data = as_torch(program_of(net, fitted, known))
    right = [same(run_torch(data, samples(num)), net, fitted, known, samples(num)) for num in (1, 4)][-1]
    # control: another crop, or a net that is given grey levels as they are, scores otherwise
    assert np.abs(fitted.score(outputs_of(net, np.roll(samples(4), 20, axis=1))) - right).max() > 10 * NEAR
    with torch.inference_mode():
        side = 64 if name == "tiny" else 224
        raw = net(torch.from_numpy(samples(4)[:, CENTRE, CENTRE]).permute(0, 3, 1, 2)[:, :, :side, :side].float()).double().numpy()
    assert np.abs(fitted.score(raw) - right).max() > 10 * NEAR


@pytest.mark.slow
@pytest.mark.parametrize(("name", "head", "fitted"), EVERY_KIND[2:])
def test_the_program_in_onnx_says_the_same(name: str, head: str, fitted: FittedTask) -> None:
    net, known = net_of(name, fitted, head), np.linspace(-2, 2, 301)
    data = as_onnx(program_of(net, fitted, known))
    refuse_other("onnx", data, net, fitted)
    same(run_onnx(data, samples(4)), net, fitted, known, samples(4))


def same(found: dict[str, np.ndarray], net: PopularityNet, fitted: FittedTask, known: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """The net's own scores, float64 [N]."""
    outputs = outputs_of(net, squares)
    score = fitted.score(outputs)
    np.testing.assert_allclose(found["score"], score, rtol=NEAR, atol=NEAR)
    np.testing.assert_allclose(found["value"], fitted.predict(outputs), rtol=NEAR, atol=NEAR)
    np.testing.assert_allclose(found["percentile"], np.searchsorted(known, score) / len(known), atol=1.01 / len(known))
    return score


def test_a_file_of_another_model_is_found_out() -> None:
    net = net_of("tiny", REGRESSION)
    data = as_torch(program_of(net, REGRESSION, np.zeros(3)))
    refuse_other("torch", data, net, REGRESSION)  # control
    other = build("tiny", num_outputs=1, seed=2)[0].eval()
    with pytest.raises(PeoriaError, match="--format torch: a score differs"):
        refuse_other("torch", data, other, REGRESSION)
    with pytest.raises(PeoriaError, match="a value differs"):
        refuse_other("torch", data, net, replace(REGRESSION, scale=Scale("log1p", 3.5, 1.2)))


class Branching(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) if images.sum() > 0 else images.amax((2, 3))


def test_a_net_or_a_task_that_cannot_be_traced_is_told_in_a_line() -> None:
    net = net_of("tiny", REGRESSION)
    net.trunk = Branching()
    net.head = nn.Linear(3, 1)
    with pytest.raises(PeoriaError, match=r"^net: .*; one that torch.export can trace\nhint: --format safetensors has the weights alone$"):
        program_of(net, REGRESSION, np.zeros(3))

    class Odd(FittedRegression):
        def predict(self, outputs: np.ndarray) -> np.ndarray:
            return np.array([float(f"{one:.3g}") for one in outputs[:, 0].tolist()])

    odd = Odd(**vars(REGRESSION))
    with pytest.raises(PeoriaError, match=r"^task regression: .*; one that torch.export can trace"):
        program_of(net_of("tiny", odd), odd, np.zeros(3))


def test_of_many_val_scores_some_are_held() -> None:
    known = np.sort(np.random.default_rng(0).normal(size=3 * MAX_KNOWN))
    net = net_of("tiny", REGRESSION)
    found = run_torch(as_torch(program_of(net, REGRESSION, known[::-1].copy())), samples(4))
    np.testing.assert_allclose(found["percentile"], np.searchsorted(known, found["score"]) / len(known), atol=1e-4)
