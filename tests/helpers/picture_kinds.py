"""A hundred kinds of picture that a decoder may meet: formats, modes, bit depths, orientations, profiles, ways to be written; and ways to be damaged.

A kind is made of a scene, uint8 sRGB, drawn from a seed.
"""

import functools
import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import simplejpeg
from PIL import Image, ImageCms

from shards.images.profiles import PRIMARIES, SRGB, SRGB_CURVE, Space
from tests.helpers.profiles import inks, odd_channels, table_profile, to_odd_channels

ADOBE = Space((0.3127, 0.329, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06), 563 / 256).profile()
P3 = Space(PRIMARIES[12], SRGB_CURVE).profile()
PROPHOTO = Space((0.3457, 0.3585, 0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001), 1.8).profile()
LINEAR = Space(SRGB, 1.0).profile()
ODD = table_profile("RGB", 17, odd_channels)
LARGE = table_profile("RGB", 33, odd_channels)  # more than a marker of a JPEG holds
INKS = table_profile("CMYK", 5, inks)
STANDARD = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
GREY = b"".join([LINEAR[:16], b"GRAY", LINEAR[20:]]).replace(b"rTRC", b"kTRC")  # of gamma 1
SIZE = (330, 290)
TO_P3 = np.array([[0.8224621, 0.177538, 0.0], [0.0331941, 0.9668058, 0.0], [0.0170827, 0.0723974, 0.9105199]])  # linear sRGB to linear P3


@dataclass(frozen=True)
class Kind:
    """``is_by_numbers``: its colours are told by a PNG's or an AVIF's numbers, which Pillow does not read: the truth is the scene itself."""

    name: str
    make: Callable[[np.ndarray], bytes]
    size: tuple[int, int] = SIZE
    is_by_numbers: bool = False

    @functools.cache  # noqa: B019 - kinds live as long as the program
    def picture(self, seed: int) -> tuple[bytes, np.ndarray]:
        """The file, and the scene that it shows."""
        scene = scene_of(seed, *self.size)
        return self.make(scene), scene


@functools.cache
def scene_of(seed: int, width: int, height: int) -> np.ndarray:
    """uint8 sRGB [H, W, 3]: colours that run into one another, some spots, and a little grain."""
    random = np.random.default_rng(seed)
    coarse = random.integers(30, 226, (4, 5, 3), dtype=np.uint8)
    scene = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).astype(float)
    y, x = np.mgrid[:height, :width]
    for _ in range(6):
        spot = ((y - random.uniform(0, height)) / height) ** 2 + ((x - random.uniform(0, width)) / width) ** 2 < random.uniform(0.001, 0.02)
        scene[spot] = random.uniform(0, 255, 3)
    scene += random.normal(0, 4, (height, width, 1))
    return np.rint(scene.clip(0, 255)).astype(np.uint8)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    sink = io.BytesIO()
    image.save(sink, format, **options)
    return sink.getvalue()


def by_pillow(format: str, mode: str = "RGB", **options: Any) -> Callable[[np.ndarray], bytes]:
    return lambda scene: saved(in_mode(scene, mode), format, **options)


def in_mode(scene: np.ndarray, mode: str) -> Image.Image:
    """With half of it half transparent, where the mode has alpha; 16-bit grey of all its levels."""
    image = Image.fromarray(scene)
    if mode == "I;16":
        return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    if mode in ("RGBA", "LA"):
        alpha = np.full(scene.shape[:2], 255, np.uint8)
        alpha[:, scene.shape[1] // 2 :] = 100
        image.putalpha(Image.fromarray(alpha))
    return image.convert(mode)


def with_exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def by_opencv(suffix: str, alpha: bool = False) -> Callable[[np.ndarray], bytes]:
    """16 bits a sample, which Pillow does not write in colour."""

    def make(scene: np.ndarray) -> bytes:
        wide = scene[..., ::-1].astype(np.uint16) * 257
        if alpha:
            wide = np.dstack([wide, np.full(scene.shape[:2], 40_000, np.uint16)])
        return cv2.imencode(suffix, wide)[1].tobytes()

    return make


def by_simplejpeg(subsampling: str) -> Callable[[np.ndarray], bytes]:
    return lambda scene: simplejpeg.encode_jpeg(scene, quality=92, colorsubsampling=subsampling)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def with_chunks(make: Callable[[np.ndarray], bytes], *chunks: tuple[bytes, bytes]) -> Callable[[np.ndarray], bytes]:
    """A PNG with more chunks behind its header."""

    def made(scene: np.ndarray) -> bytes:
        png = make(scene)
        return png[:33] + b"".join(chunk(*one) for one in chunks) + png[33:]

    return made


def interlaced(channels: int) -> Callable[[np.ndarray], bytes]:
    """A PNG of seven passes (Adam7)."""

    def make(scene: np.ndarray) -> bytes:
        pixels = scene if channels == 3 else np.asarray(Image.fromarray(scene).convert("L"))[..., None]
        rows = b""
        for x, y, across, down in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)):
            rows += b"".join(b"\0" + row.tobytes() for row in pixels[y::down, x::across])
        header = struct.pack(">IIBBBBB", *scene.shape[1::-1], 8, 2 if channels == 3 else 0, 0, 0, 1)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")

    return make


def curved(make: Callable[[np.ndarray], bytes], exponent: float) -> Callable[[np.ndarray], bytes]:
    """Of a scene whose values for a screen of gamma 2.2 are written with another exponent."""
    return lambda scene: make(np.rint(255 * (scene / 255) ** (2.2 * exponent)).astype(np.uint8))


def in_p3(make: Callable[[np.ndarray], bytes]) -> Callable[[np.ndarray], bytes]:
    """Of a scene in the numbers of Display P3."""

    def made(scene: np.ndarray) -> bytes:
        value = scene / 255
        linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4) @ TO_P3.T
        coded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear.clip(0) ** (1 / 2.4) - 0.055)
        return make(np.rint(coded.clip(0, 1) * 255).astype(np.uint8))

    return made


def odd(make: Callable[[np.ndarray], bytes]) -> Callable[[np.ndarray], bytes]:
    return lambda scene: make(np.rint(to_odd_channels(scene / 255) * 255).clip(0, 255).astype(np.uint8))


def several(format: str, **options: Any) -> Callable[[np.ndarray], bytes]:
    """An animation whose first picture is the scene."""
    return lambda scene: saved(Image.fromarray(scene), format, save_all=True, append_images=[Image.fromarray(255 - scene)], **options)


def nclx(make: Callable[[np.ndarray], bytes], primaries: int) -> Callable[[np.ndarray], bytes]:
    """An AVIF of other primaries."""

    def made(scene: np.ndarray) -> bytes:
        data = bytearray(make(scene))
        at = data.index(b"colrnclx") + 8
        data[at : at + 2] = struct.pack(">H", primaries)
        return bytes(data)

    return made


def _jpegs() -> dict[str, Kind]:
    made: dict[str, Any] = {f"quality {q}": by_pillow("JPEG", quality=q) for q in (60, 90, 100)}
    made |= {f"subsampling {s}": by_simplejpeg(s) for s in ("444", "422", "420", "440", "411")}
    made |= {f"progressive {s}": by_pillow("JPEG", quality=92, subsampling=s, progressive=True) for s in (0, 2)}
    made |= {
        "grey": by_pillow("JPEG", "L"),
        "grey progressive": by_pillow("JPEG", "L", progressive=True),
        "optimized": by_pillow("JPEG", optimize=True),
    }
    made |= {"RGB": by_pillow("JPEG", keep_rgb=True), "restarts": by_pillow("JPEG", restart_marker_blocks=5), "CMYK": by_pillow("JPEG", "CMYK")}
    made |= {f"orientation {o}": by_pillow("JPEG", quality=92, exif=with_exif(o)) for o in range(2, 9)}
    profiles = {"sRGB": STANDARD, "Adobe RGB": ADOBE, "Display P3": P3, "ProPhoto": PROPHOTO, "linear": LINEAR}
    made |= {f"profile {name}": by_pillow("JPEG", quality=92, icc_profile=one) for name, one in profiles.items()}
    made |= {"profile of odd channels": odd(by_pillow("JPEG", quality=92, keep_rgb=True, icc_profile=ODD))}
    made |= {"profile in parts": odd(by_pillow("JPEG", quality=95, keep_rgb=True, icc_profile=LARGE))}
    made |= {"profile of greys": by_pillow("JPEG", "L", icc_profile=GREY), "profile of inks": by_pillow("JPEG", "CMYK", quality=92, icc_profile=INKS)}
    broken = {"no profile": b"not a profile" * 20, "cut profile": ADOBE[:200], "profile of other channels": INKS, "grey for colours": GREY}
    made |= {name: by_pillow("JPEG", quality=92, icc_profile=one) for name, one in broken.items()}
    made |= {"trailing": lambda scene: saved(Image.fromarray(scene), "JPEG") + b"MotionPhoto_Data" * 500, "MPO": several("MPO")}
    kinds = {f"JPEG {name}": Kind(f"JPEG {name}", make) for name, make in made.items()}
    sizes = {"small": (40, 33), "wide": (1500, 60), "tall": (50, 700), "half": (1100, 820), "quarter": (1700, 1600), "as large": (256, 256)}
    kinds |= {f"JPEG {name}": Kind(f"JPEG {name}", by_pillow("JPEG", quality=90), size) for name, size in sizes.items()}
    large = {"CMYK half": by_pillow("JPEG", "CMYK", quality=90), "odd half": odd(by_pillow("JPEG", quality=92, keep_rgb=True, icc_profile=ODD))}
    return kinds | {f"JPEG {name}": Kind(f"JPEG {name}", make, (1100, 820)) for name, make in large.items()}


def _pngs() -> dict[str, Kind]:
    plain = by_pillow("PNG")
    made: dict[str, Any] = {mode: by_pillow("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")}
    made |= {"16-bit": by_opencv(".png"), "16-bit alpha": by_opencv(".png", alpha=True)}
    made |= {f"{bits}-bit palette": lambda scene, bits=bits: saved(in_mode(scene, "RGB").quantize(2**bits), "PNG", bits=bits) for bits in (1, 2, 4)}
    made |= {"interlaced": interlaced(3), "interlaced grey": interlaced(1), "with text": with_chunks(plain, (b"tEXt", b"Comment\0none"))}
    made |= {"key of grey": by_pillow("PNG", "L", transparency=90), "key of a palette": by_pillow("PNG", "P", transparency=5)}
    made |= {"orientation 6": by_pillow("PNG", exif=with_exif(6)), "APNG": several("PNG"), "trailing": lambda scene: plain(scene) + b"\0" * 999}
    made |= {"profile Display P3": by_pillow("PNG", icc_profile=P3), "profile with alpha": by_pillow("PNG", "RGBA", icc_profile=ADOBE)}
    made |= {"profile of a palette": by_pillow("PNG", "P", icc_profile=P3), "no profile": by_pillow("PNG", icc_profile=b"not a profile" * 20)}
    made |= {"profile of greys": by_pillow("PNG", "L", icc_profile=GREY)}
    numbers = {
        "gamma 1": with_chunks(curved(plain, 1.0), (b"gAMA", struct.pack(">I", 100_000))),
        "gamma 1.8": with_chunks(curved(plain, 1 / 1.8), (b"gAMA", struct.pack(">I", 55_556))),
        "gamma of sRGB": with_chunks(plain, (b"gAMA", struct.pack(">I", 45_455))),
        "sRGB against gamma": with_chunks(plain, (b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 100_000))),
        "primaries": with_chunks(in_p3(plain), (b"gAMA", struct.pack(">I", 45_455)), (b"cHRM", _chromaticities())),
        "cICP": with_chunks(in_p3(plain), (b"cICP", bytes([12, 13, 0, 1])), (b"sRGB", b"\0")),
    }
    kinds = {f"PNG {name}": Kind(f"PNG {name}", make) for name, make in made.items()}
    return kinds | {f"PNG {name}": Kind(f"PNG {name}", make, is_by_numbers=True) for name, make in numbers.items()}


def _chromaticities() -> bytes:
    return struct.pack(">8I", *(round(value * 100_000) for value in PRIMARIES[12]))


def _others() -> dict[str, Kind]:
    made: dict[str, Any] = {
        "WEBP lossy": by_pillow("WEBP", quality=90),
        "WEBP lossless": by_pillow("WEBP", lossless=True),
        "WEBP animated": several("WEBP"),
    }
    made |= {"WEBP alpha": by_pillow("WEBP", "RGBA", lossless=True), "WEBP profile": by_pillow("WEBP", icc_profile=ADOBE, lossless=True)}
    made |= {"WEBP orientation": by_pillow("WEBP", exif=with_exif(8)), "GIF": by_pillow("GIF"), "GIF grey": by_pillow("GIF", "L")}
    made |= {"GIF in order": by_pillow("GIF", interlace=0), "GIF key": by_pillow("GIF", "P", transparency=7), "GIF animated": several("GIF")}
    made |= {f"TIFF {one}": by_pillow("TIFF", compression=one) for one in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")}
    made |= {f"TIFF {mode}": by_pillow("TIFF", mode, compression="tiff_lzw") for mode in ("1", "L", "P", "RGBA", "CMYK", "I;16", "YCbCr")}
    made |= {
        "TIFF group 4": by_pillow("TIFF", "1", compression="group4"),
        "TIFF large": by_pillow("TIFF", big_tiff=True),
        "TIFF 16-bit": by_opencv(".tif"),
    }
    made |= {"TIFF white is zero": by_pillow("TIFF", "I;16", tiffinfo={262: 0}), "TIFF pages": several("TIFF")}
    made |= {"TIFF orientation": by_pillow("TIFF", exif=with_exif(6)), "TIFF profile": by_pillow("TIFF", icc_profile=P3)}
    made |= {"TIFF profile of inks": by_pillow("TIFF", "CMYK", icc_profile=INKS)}
    made |= {f"BMP {mode}": by_pillow("BMP", mode) for mode in ("1", "L", "P", "RGB", "RGBA")}
    made |= {f"AVIF {s}": by_pillow("AVIF", quality=90, subsampling=s, speed=10) for s in ("4:2:0", "4:4:4")}
    made |= {"AVIF alpha": by_pillow("AVIF", "RGBA", quality=90, speed=10), "AVIF profile": by_pillow("AVIF", quality=90, speed=10, icc_profile=P3)}
    made |= {"AVIF orientation": by_pillow("AVIF", quality=90, speed=10, exif=with_exif(3)), "AVIF animated": several("AVIF", speed=10)}
    kinds = {name: Kind(name, make) for name, make in made.items()}
    numbers = nclx(in_p3(by_pillow("AVIF", quality=95, subsampling="4:4:4", speed=10)), 12)
    return kinds | {"AVIF numbers": Kind("AVIF numbers", numbers, is_by_numbers=True)}


KINDS: tuple[Kind, ...] = tuple((_jpegs() | _pngs() | _others()).values())


def damaged(data: bytes, other: bytes, random: np.random.Generator) -> tuple[str, bytes]:
    """What was done to a file, and what is left of it; ``other`` is a file that parts come from."""
    made = bytearray(data)
    start = int(random.integers(len(made)))
    run = int(random.integers(1, max(2, len(made) // 8)))
    match random.choice(["bits", "head", "cut", "zeros", "splice", "swap", "doubled", "lost"]):
        case "bits" as name:
            for at in random.integers(0, len(made), random.integers(1, 20)):
                made[at] ^= 1 << int(random.integers(8))
        case "head" as name:
            for at in random.integers(0, min(len(made), 700), random.integers(1, 6)):
                made[at] = int(random.integers(256))
        case "cut" as name:
            del made[start:]
        case "zeros" as name:
            made[start : start + run] = bytes(len(made[start : start + run]))
        case "splice" as name:
            at = int(random.integers(len(other)))
            made[start : start + run] = other[at : at + run]
        case "swap" as name:
            at = int(random.integers(1, 600))
            made[:at] = other[:at]
        case "doubled" as name:
            made[start:start] = made[start : start + run]
        case _ as name:
            del made[start : start + run]
    return str(name), bytes(made)
