"""JPEGs that cost what photos cost: the planted scenes with texture and sensor-like noise, calibrated to the bytes that photos have."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from peoria.data.synthetic import render


@dataclass(frozen=True)
class Size:
    """What a picture is made as; ``texture`` and ``noise_sd`` are set so that the mean is the number of bytes that was found for photos."""

    width: int
    height: int
    quality: int
    noise_sd: float  # grey levels of the sensor's noise; a picture that was made smaller has less of it
    texture: float


SIZES = {
    "small": Size(256, 256, 90, 1.3, 2.5),  # 16 KB
    "medium": Size(1024, 768, 92, 2.9, 3.5),  # 163 KB
    "large": Size(4000, 3000, 92, 7.0, 4.3),  # 2.3 MB
}


def jpegs(folder: Path, size: str, num: int) -> list[Path]:
    """``num`` pictures of a size of SIZES in ``folder``, made where they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{i:06d}.jpg" for i in range(num)]
    for i, path in enumerate(paths):
        if not path.exists():
            partial = path.with_suffix(".part")
            partial.write_bytes(picture(SIZES[size], i))
            partial.rename(path)
    return paths


def picture(size: Size, number: int) -> bytes:
    """One JPEG; the same number gives the same bytes."""
    rng = np.random.default_rng(number)
    scene = simplejpeg.decode_jpeg(render(rng.standard_normal(), rng.standard_normal(), rng))
    scene = cv2.GaussianBlur(scene, (5, 5), 1.0)  # its own grain would be the size of bricks in a large picture
    pixels = cv2.resize(scene, (size.width, size.height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    pixels += size.texture * textures(size.width, size.height, rng)[..., None]
    grain = cv2.GaussianBlur(rng.standard_normal(pixels.shape, dtype=np.float32), (3, 3), 0.7)  # as wide as a sensor's interpolation leaves it
    pixels += size.noise_sd * grain
    return bytes(simplejpeg.encode_jpeg(pixels.clip(0, 255).astype(np.uint8), quality=size.quality, colorsubsampling="420"))


def textures(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """float32 [height, width]: octaves of noise that are weaker the finer they are, as in photos, and differ from part to part."""
    octaves = np.zeros((height, width), np.float32)
    side = min(width, height)
    cells = 8
    while cells <= side:
        noise = rng.standard_normal((cells * height // side, cells * width // side), dtype=np.float32)
        octaves += 12 * (8 / cells) ** 0.5 * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
        cells *= 2
    where = cv2.resize(rng.random((4, 4), dtype=np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return octaves * where.clip(0.1, 1)
