"""Colours as a browser shows them: brought to sRGB by the profile in the file, or by what a PNG or an AVIF says in numbers.

The intent is perceptual, as in browsers and by Pillow's default; the profiles of cameras and screens have one intent only, so that it tells among
printers' alone. A profile that is broken, or of other channels than the picture's, is ignored: the colours are taken for sRGB. So are the EXIF
colour space and a GIF's or a BMP's own profile, which browsers ignore.
"""

import hashlib
import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms

from shards.errors import PictureError
from shards.images.profiles import CURVES, HIGH_DYNAMIC_RANGE, PRIMARIES, SRGB, SRGB_CURVE, Chromaticities, Space

MAX_PROFILE_BYTES = 2**22  # the largest of printers are half of that
SAME_LEVELS = 2  # a profile that moves no colour by more is sRGB by another name
UNEVEN_LEVELS = 8.0  # between the mean of two colours made sRGB, and their mean made sRGB, in the mean over strong pairs
_CHANNELS = {"RGB": (b"RGB ",), "L": (b"GRAY", b"RGB "), "CMYK": (b"CMYK",)}
_CLASSES = (b"mntr", b"scnr", b"prtr", b"spac")
_MOST_KEPT = 64
_NCLX = re.compile(rb"colrnclx(.{4})", re.DOTALL)
_EXPECTED_GAMMA = 2.2  # of a screen, where a PNG has a gamma and no primaries
_NOT_YET = "not yet built"
_kept: dict[bytes, "Colour | None"] = {}


@dataclass(frozen=True)
class Colour:
    """A way to sRGB of pictures in one mode."""

    mode: str  # of Pillow: RGB, L, CMYK
    is_even: bool  # whether means of colours stay means, nearly: a decoder may then scale before
    _transform: ImageCms.ImageCmsTransform

    def of(self, image: Image.Image) -> Image.Image:
        """RGB of a picture of this mode; of an RGB one whose channels are equal where the mode is L."""
        made = Image.new("RGB", image.size)
        image = image.getchannel(0) if self.mode == "L" and image.mode == "RGB" else image
        return self._transform.apply(image, made)

    def of_array(self, pixels: np.ndarray) -> np.ndarray:
        """The same of uint8 RGB [H, W, 3]."""
        return np.asarray(self.of(Image.fromarray(np.ascontiguousarray(pixels))))


def colour_of(image: Image.Image, data: bytes, mode: str) -> Colour | None:
    """What brings a picture, whose samples are in ``mode`` (RGB, L or CMYK), to sRGB; None where it is sRGB, or nothing can be told.

    Raises:
        PictureError: unsupported_format, of high dynamic range.
    """
    coded = _coding_of(image, data)
    if coded is not None and coded[1] in HIGH_DYNAMIC_RANGE:
        raise PictureError("unsupported_format", f"{image.format} of high dynamic range ({HIGH_DYNAMIC_RANGE[coded[1]]}); standard range")
    profile = image.info.get("icc_profile")
    if coded is not None and coded[0] in PRIMARIES and coded[1] in CURVES and (image.format == "PNG" or not profile):
        return _in_space(PRIMARIES[coded[0]], CURVES[coded[1]], mode)
    if isinstance(profile, bytes) and 128 < len(profile) <= MAX_PROFILE_BYTES:
        channels = profile[16:20]
        if profile[12:16] in _CLASSES and channels in _CHANNELS[mode]:
            return _to_srgb(profile, "RGB" if channels == b"RGB " else mode)
        return None
    return _by_gamma(image.info, mode) if image.format == "PNG" and "srgb" not in image.info else None


def _coding_of(image: Image.Image, data: bytes) -> tuple[int, int] | None:
    """The numbers of ITU-T H.273 for primaries and curve, of a PNG (cICP) or an AVIF (nclx)."""
    if image.format == "PNG":
        for name, at in _chunks(data):
            if name == b"cICP" and data[at + 2 : at + 4] == b"\0\1":  # RGB, of full range
                return data[at], data[at + 1]
    elif image.format == "AVIF":
        said = set(_NCLX.findall(data, 0, 2**16))  # of more than one, as where there is a gain map, it is not known which is the picture's
        if len(said) == 1:
            return struct.unpack(">HH", said.pop())
    return None


def _chunks(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Name and start of a PNG's chunks before its pixels."""
    at = 8
    while at + 8 <= len(data) and (name := data[at + 4 : at + 8]) != b"IDAT":
        yield name, at + 8
        at += 12 + int.from_bytes(data[at : at + 4])


def _by_gamma(info: dict[str | tuple[int, int], object], mode: str) -> Colour | None:
    """A PNG's gAMA and cHRM. A gamma near 1/2.2 means sRGB's curve; one without primaries is for a screen of 2.2, as browsers take it."""
    gamma, chromaticities = info.get("gamma"), info.get("chromaticity")
    known = isinstance(gamma, float) and gamma > 0
    exponent = SRGB_CURVE if not known or abs(gamma * _EXPECTED_GAMMA - 1) < 0.05 else 1 / gamma  # type: ignore[operator]
    if isinstance(chromaticities, tuple):
        return _in_space(chromaticities, exponent, mode)
    return None if exponent == SRGB_CURVE else _in_space(SRGB, exponent, mode, Space(SRGB, _EXPECTED_GAMMA))


def _in_space(chromaticities: Chromaticities, exponent: float, mode: str, screen: Space | None = None) -> Colour | None:
    if mode == "CMYK":
        return None
    try:
        source, target = Space(chromaticities, exponent).profile(), b"" if screen is None else screen.profile()
    except (ValueError, ArithmeticError, struct.error):  # primaries that span nothing, numbers out of a profile's range
        return None
    return _to_srgb(source, "RGB", target)


def _to_srgb(profile: bytes, mode: str, target: bytes = b"") -> Colour | None:
    """Kept by the digest of the profiles: a set has few."""
    key = mode.encode() + hashlib.sha256(profile + target).digest()
    colour = _kept.get(key, _NOT_YET)  # another thread may clear it between two looks
    if isinstance(colour, str):
        if len(_kept) >= _MOST_KEPT:
            _kept.clear()
        colour = _kept[key] = _built(profile, mode, target)
    return colour


def _built(profile: bytes, mode: str, target: bytes) -> Colour | None:
    try:
        source, screen = (ImageCms.ImageCmsProfile(io.BytesIO(one)) if one else ImageCms.createProfile("sRGB") for one in (profile, target))
        transform = ImageCms.buildTransform(source, screen, mode, "RGB", ImageCms.Intent.PERCEPTUAL)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # no profile that can be used
        return None
    if mode == "CMYK":
        return Colour(mode, True, transform)
    strong = np.array(np.meshgrid(*[[0, 255]] * 3), np.uint8).reshape(3, -1).T
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    probe = np.concatenate([strong, np.full((1, 3), 128, np.uint8), greys, np.array(np.meshgrid(levels, levels, levels)).reshape(3, -1).T])
    if mode == "L":
        probe = greys
    colour = Colour(mode, True, transform)
    found = colour.of_array(probe[None])[0].astype(float)
    if np.abs(found - probe).max() <= SAME_LEVELS:
        return None
    if mode == "L":
        uneven = abs(found[128, 0] - found[[0, 255], 0].mean())
    else:  # of each corner of the cube and the one across
        uneven = float(np.abs(found[:8].reshape(8, 3) + found[:8][::-1] - 2 * found[8]).mean() / 2)
    return Colour(mode, bool(uneven <= UNEVEN_LEVELS), transform)
