"""What moved a score, of pictures where it is known: one bright thing, whose height decides."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from peoria.data.dataset import Dataset
from peoria.data.images import CENTRE, CROP_PX, ArrayPictures
from peoria.data.synthetic import render
from peoria.models import PopularityNet, build
from peoria.records.folder import TrialFolder
from peoria.serving.explain import overlay
from peoria.tasks import FittedTask, get_task
from peoria.training.attribution import LEAST_SHOWN, occlusion, shaded
from peoria.training.checkpoint import load_model
from peoria.training.loop import train
from shards.images.square import decode_square
from shards.manifest import PictureRule
from tests.helpers.small import trial_config

HEIGHTS = np.linspace(-1.5, 1.5, 12)


def planted() -> tuple[np.ndarray, np.ndarray]:
    """Squares, uint8 [12, 256, 256, 3], the same but for the height of the subject; and its place in the crop, (y, x), found by its look."""
    import cv2

    squares = [decode_square(render(0.0, z, np.random.default_rng([77, number])), PictureRule())[0] for number, z in enumerate(HEIGHTS)]
    places = []
    for square in squares:
        hsv = cv2.cvtColor(square[CENTRE, CENTRE], cv2.COLOR_RGB2HSV)
        bright = cv2.GaussianBlur(((hsv[..., 1] < 60) & (hsv[..., 2] > 160)).astype(np.float32), (0, 0), 8)
        places.append(np.unravel_index(bright.argmax(), bright.shape))
    return np.stack(squares), np.array(places)


def agreement(net: PopularityNet, fitted: FittedTask) -> tuple[float, float]:
    """Share of pictures in which what moved the score most is the subject; correlation of its height with how it moved the score."""
    squares, places = planted()
    moved = occlusion(net, fitted, ArrayPictures(squares))
    most = np.array([np.unravel_index(np.abs(of).argmax(), of.shape) for of in moved])
    hit = np.hypot(*(most - places).T) < 35  # px; the subject's radius is some 30
    return float(hit.mean()), float(np.corrcoef(HEIGHTS, [of[y, x] for of, (y, x) in zip(moved, places, strict=True)])[0, 1])


@pytest.mark.slow
def test_what_was_planted_is_found_and_by_nets_that_did_not_learn_it_is_not(dataset: Dataset, tmp_path: Path) -> None:
    config = trial_config(pictures=12800, target_scale="log1p")
    for _ in train(config, dataset, TrialFolder(tmp_path / "trial"), lambda: False):
        pass
    net, card = load_model(TrialFolder(tmp_path / "trial"))
    fitted = get_task(card.config.task).restore(card.task)
    hit, correlation = agreement(net, fitted)
    random = build("tiny", num_outputs=1, seed=5)[0].eval()
    by_luck = agreement(random, fitted)
    print(f"hit {hit:.2f}, correlation {correlation:.2f}; of random weights {by_luck[0]:.2f}, {by_luck[1]:.2f}")
    assert hit > 0.8
    assert correlation > 0.8
    assert abs(by_luck[1]) < 0.6  # control: a bright thing moves any net, but not the right way
    assert by_luck[0] < hit


def test_covering_says_what_the_net_says_of_covered_copies() -> None:
    """Against the definition: patches one by one."""
    from peoria.training.attribution import PATCH_PX, STEP_PX

    squares = planted()[0][:1]
    net = build("tiny", num_outputs=1, seed=3)[0].eval()
    fitted = get_task("hybrid").fit(np.arange(100.0), np.arange(100.0), "standard", "views")
    moved = occlusion(net, fitted, ArrayPictures(squares))[0]
    import torch

    crop = squares[0, CENTRE, CENTRE].astype(np.float32)
    total, num = np.zeros((CROP_PX, CROP_PX)), np.zeros((CROP_PX, CROP_PX))

    def score(picture: np.ndarray) -> float:
        with torch.inference_mode():
            return float(fitted.score(net(net.preprocess(torch.from_numpy(picture[None].astype(np.uint8)))).numpy())[0])

    for y in range(0, CROP_PX - PATCH_PX + 1, STEP_PX):
        for x in range(0, CROP_PX - PATCH_PX + 1, STEP_PX):
            covered = crop.copy()
            covered[y : y + PATCH_PX, x : x + PATCH_PX] = np.rint(crop.mean(axis=(0, 1)))
            total[y : y + PATCH_PX, x : x + PATCH_PX] += score(crop) - score(covered)
            num[y : y + PATCH_PX, x : x + PATCH_PX] += 1
    assert num.min() >= 1  # nothing is left out
    np.testing.assert_allclose(moved, total / num, atol=1e-4)
    assert np.abs(moved).max() > 1e-2


def test_a_map_is_red_where_the_score_rises_and_pale_where_little_moves() -> None:
    pictures = np.full((2, 112, 112, 3), 128, np.uint8)
    moved = np.zeros((2, CROP_PX, CROP_PX), np.float32)
    moved[0, :100], moved[0, 127:] = 1.0, -0.5
    moved[1] = LEAST_SHOWN / 100
    under = shaded(pictures, moved).astype(int)
    assert under[0, 10, 50, 0] > under[0, 10, 50, 2] + 50
    assert under[0, 100, 50, 2] > under[0, 100, 50, 0] + 30
    assert np.abs(under[1] - 128).max() <= 2  # of little nothing is made
    png = overlay(pictures[0, :, :, :].repeat(3, 0)[:CROP_PX].repeat(3, 1)[:, :CROP_PX], moved[0], "a $title_ of any text\nin two lines")
    assert Image.open(io.BytesIO(png)).size == (760, 400)
