"""JPEGs that cost what photos cost: the planted scenes with texture and sensor-like noise, calibrated to the bytes that photos have."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from peoria.plant import render

# name: width, height, JPEG quality, mean bytes
SIZES = {
    "small": (256, 256, 90, 16_000),
    "medium": (1024, 768, 92, 163_000),
    "large": (4000, 3000, 92, 2_300_000),
}
SENSOR_SD = 1.5  # grey levels, before the sensor's own interpolation


def jpegs(folder: Path, size: str, num: int) -> list[Path]:
    """``num`` pictures of a size of SIZES in ``folder``; made at the first call."""
    mark = folder / "made.json"
    if not mark.exists() or json.loads(mark.read_text()) != [size, num]:
        folder.mkdir(parents=True, exist_ok=True)
        texture = calibrated(size)
        for i in range(num):
            (folder / f"{i:06d}.jpg").write_bytes(picture(size, i, texture))
        mark.write_text(json.dumps([size, num]))
    return [folder / f"{i:06d}.jpg" for i in range(num)]


def calibrated(size: str) -> float:
    """The strength of the texture at which pictures have the mean number of bytes of photos of this size."""
    num, wanted = (4 if size == "large" else 16), SIZES[size][3]
    return bisected(lambda texture: float(np.mean([len(picture(size, -1 - i, texture)) for i in range(num)])) < wanted)


def bisected(too_small: Callable[[float], bool], low: float = 0.0, high: float = 4.0, steps: int = 7) -> float:
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if too_small(middle) else (low, middle)
    return (low + high) / 2


def picture(size: str, number: int, texture: float) -> bytes:
    """One JPEG; the same number gives the same bytes."""
    width, height, quality, _ = SIZES[size]
    rng = np.random.default_rng([abs(number), int(number < 0)])
    scene = simplejpeg.decode_jpeg(render(rng.standard_normal(), rng.standard_normal(), rng))
    pixels = cv2.resize(scene, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    pixels += texture * textures(width, height, rng)[..., None]
    grain = cv2.GaussianBlur(rng.standard_normal((height, width, 3), dtype=np.float32), (3, 3), 0.7)
    pixels += SENSOR_SD * grain * (0.5 + np.sqrt(pixels.clip(0) / 128))  # brighter parts are noisier in absolute terms
    return bytes(simplejpeg.encode_jpeg(pixels.clip(0, 255).astype(np.uint8), quality=quality, colorsubsampling="420"))


def textures(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """float32 [height, width]: octaves of noise whose strength falls with their frequency, as in photos; stronger in some parts than in others."""
    octaves = np.zeros((height, width), np.float32)
    cells = 8
    while cells <= min(width, height):
        noise = rng.standard_normal((cells * height // min(width, height), cells * width // min(width, height)), dtype=np.float32)
        octaves += 12 * np.float32(8 / cells) ** 0.5 * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        cells *= 2
    where = cv2.resize(rng.random((4, 4), dtype=np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return octaves * where.clip(0.1, 1)
