"""Our PDQ beside the published code (pdqhash wraps it)."""

import itertools

import cv2
import numpy as np
import pdqhash
import pytest
import simplejpeg

from shards.images import pdq as module
from shards.images.pdq import pdq


def smooth(seed: int, cells: int, contrast: float) -> np.ndarray:
    """uint8 [256, 256, 3]."""
    noise = np.random.default_rng(seed).standard_normal((cells, cells, 3)).astype(np.float32)
    return (128 + contrast * cv2.resize(noise, (256, 256), interpolation=cv2.INTER_CUBIC)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("contrast", [2, 20, 80])
@pytest.mark.parametrize("cells", [3, 12, 50, 256])
def test_bits_and_quality_are_those_of_the_published_code(cells: int, contrast: float) -> None:
    found = set()
    for seed in range(8):
        square = smooth(seed, cells, contrast)
        bits, quality = pdqhash.compute(square)
        assert pdq(square) == (np.packbits(bits.astype(np.uint8)).tobytes(), quality)
        found.add(pdq(square)[0])
    assert len(found) == 8


def test_flat_pictures_have_no_quality_and_always_the_same_hash() -> None:
    hashes = {pdq(np.full((256, 256, 3), grey, np.uint8)) for grey in (0, 90, 91, 255)}
    assert hashes == {(bytes(32), 0)}


def test_noise_of_rounding_is_no_frequency(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples that are their own mirror image have none of half the frequencies; sums in another order, as on another CPU, make them ±1e-13."""
    half = np.random.default_rng(0).integers(0, 255 * 16_000, (64, 32)).astype(float)
    monkeypatch.setattr(module, "_samples", lambda square: np.concatenate([half, half[:, ::-1]], axis=1))
    square = np.zeros((256, 256, 3), np.uint8)

    def in_another_order() -> tuple[bytes, int]:
        with monkeypatch.context() as patch:
            patch.setattr(module, "_COSINES", module._COSINES * (1 + 1e-15 * np.random.default_rng(0).standard_normal((16, 64))))
            return pdq(square)

    assert in_another_order() == pdq(square)
    monkeypatch.setattr(module, "_DECIMALS", 20)
    assert in_another_order() != pdq(square)


def test_near_duplicates_are_near_and_others_far() -> None:
    squares = [smooth(seed, 20, 50) for seed in range(6)]
    hashes = [np.frombuffer(pdq(square)[0], np.uint8) for square in squares]
    for square, whole in zip(squares, hashes, strict=True):
        again = simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(square, quality=60))
        small = cv2.resize(cv2.resize(square, (140, 140), interpolation=cv2.INTER_AREA), (256, 256), interpolation=cv2.INTER_CUBIC)
        for changed in (again, small, np.clip(square * 0.9 + 10, 0, 255).astype(np.uint8)):
            assert np.bitwise_count(whole ^ np.frombuffer(pdq(changed)[0], np.uint8)).sum() <= 15
    assert min(np.bitwise_count(a ^ b).sum() for a, b in itertools.combinations(hashes, 2)) > 60
