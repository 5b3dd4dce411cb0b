"""The paper's picture rule (section 3.1): upright, RGB, short side to 256, the central 256 x 256, as a JPEG.

A plain JPEG is decoded by libjpeg-turbo straight at a power-of-two scale (the only scales that save time) whose short side stays at least
1.5 times what is needed, and cut to its square, to half a pixel, before it is resized; everything else goes through Pillow. The header is
judged before a pixel is decoded.
"""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from shards.errors import PictureError
from shards.images.pdq import pdq
from shards.manifest import PictureRule

MAX_PIXELS = 64_000_000
MAX_SIDE_PX = 65_535  # JPEG's own limit
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "BMP")
MIN_DECODED_PER_SIDE = 1.5  # at 1.0 a decoder's scaling is visibly too soft (37 dB against a full decode)
_HALF_PIXEL = np.array([[-1, 9, 9, -1]], np.float32) / 16  # the cubic through four pixels, half-way between the middle two
_ORIENTATION = 0x0112
# What Pillow's readers raise on hostile bytes (its own fuzzers expect these).
_DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, NotImplementedError, ArithmeticError, LookupError, TypeError, EOFError, MemoryError, struct.error, zlib.error,
)  # fmt: skip
_KNOWN_STARTS = {b"8BPS": "Photoshop", b"%PDF": "PDF", b"%!PS": "PostScript", b"\0\0\1\0": "icon", b"\0\0\0\x0cjP": "JPEG 2000"}


@dataclass(frozen=True)
class Prepared:
    jpeg: bytes
    width: int  # px, of the original, upright
    height: int
    pdq: bytes  # 32 bytes: Facebook's 256-bit perceptual hash of the square
    quality: int  # 0 to 100, of the hash; flat pictures score below 50


def prepare(data: bytes, rule: PictureRule) -> Prepared:
    """Raises PictureError: undecodable, truncated, unsupported_format, too_many_pixels. The same bytes give the same result."""
    cv2.setNumThreads(1)  # processes already use every core
    pixels, width, height = decode_square(data, rule)
    jpeg = simplejpeg.encode_jpeg(pixels, quality=rule.jpeg_quality, colorspace="RGB", colorsubsampling="420")
    return Prepared(jpeg, width, height, *pdq(pixels))


def decode_square(data: bytes, rule: PictureRule) -> tuple[np.ndarray, int, int]:
    """Returns the upright square, uint8 RGB [crop_px, crop_px, 3], and the original's upright width and height."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of every odd tag
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = _open(data)
        width, height = image.size
        _check_size(width, height)
        orientation = _orientation(image)
        scale = _scale(height, width, rule)
        pixels = _decode_plain_jpeg(data, height, width, scale) if image.format in ("JPEG", "MPO") else None
        if pixels is None:
            pixels, scale = _decode_by_pillow(image), 1
            orientation = _orientation(image)  # Pillow has turned a TIFF itself, and dropped the tag
            width, height = image.size
    square = _square(pixels, height / scale, width / scale, rule)
    if orientation >= 5:
        width, height = height, width
    return _upright(square, orientation), width, height


def _open(data: bytes) -> Image.Image:
    """The header only."""
    accepted = "a picture as " + ", ".join(FORMATS)
    try:
        return Image.open(io.BytesIO(data), formats=[name for name in FORMATS if name != "MPO"])
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise PictureError("too_many_pixels", f"more than Pillow opens; {MAX_PIXELS} pixels") from None
    except UnidentifiedImageError:
        pass
    except _DECODER_ERRORS as error:
        raise PictureError("undecodable", f"{_said(error)}; {accepted}") from None
    known = next((name for start, name in _KNOWN_STARTS.items() if data.startswith(start)), "HEIF, AVIF or video" if data[4:8] == b"ftyp" else "")
    if known:
        raise PictureError("unsupported_format", f"{known}; {accepted}")
    found = "an empty file" if not data else "text or HTML" if data.lstrip()[:1] == b"<" else "no picture's header"
    raise PictureError("undecodable", f"{found}; {accepted}")


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE_PX:
        raise PictureError("too_many_pixels", f"{width} x {height}; at most {MAX_PIXELS} pixels and {MAX_SIDE_PX} a side")
    if min(width, height) < 1:
        raise PictureError("undecodable", f"{width} x {height}; at least one pixel")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) to 8; 1 where the tag is absent or senseless."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except _DECODER_ERRORS:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _scale(height: int, width: int, rule: PictureRule) -> int:
    """The largest of 1, 2, 4, 8 by which a decoder may divide the sides."""
    enough = MIN_DECODED_PER_SIDE * rule.short_side_px
    return max(scale for scale in (1, 2, 4, 8) if scale == 1 or -(-min(height, width) // scale) >= enough)


def _decode_plain_jpeg(data: bytes, height: int, width: int, scale: int) -> np.ndarray | None:
    """uint8 RGB, the sides divided by ``scale`` and rounded up; None for what only Pillow judges rightly: CMYK, and files with any fault."""
    try:
        if simplejpeg.decode_jpeg_header(data)[2] not in ("YCbCr", "RGB", "Gray"):
            return None
        # exactly the rounded-up height: any less and a slower scale such as 3/8 is taken
        pixels: np.ndarray = simplejpeg.decode_jpeg(data, "RGB", min_height=-(-height // scale), min_width=-(-width // scale))
        return pixels
    except ValueError:
        return None


def _decode_by_pillow(image: Image.Image) -> np.ndarray:
    """uint8 RGB of the first frame; alpha laid on white; 16-bit grey scaled, where Pillow's own conversion clips it to white."""
    try:
        image.load()
        if image.mode.startswith("I") or image.mode == "F":
            return _wide_grey(image)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, (255, 255, 255, 255))
            image = Image.alpha_composite(white, image)
        return np.asarray(image.convert("RGB"))
    except PictureError:
        raise
    except _DECODER_ERRORS as error:
        reason = "truncated" if "truncated" in str(error).lower() else "undecodable"
        raise PictureError(reason, f"{image.format}: {_said(error)}; a whole file") from None


def _wide_grey(image: Image.Image) -> np.ndarray:
    tags = getattr(image, "tag_v2", {})
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        raise PictureError("unsupported_format", f"{image.format} with 32-bit samples, whose white is not set; 8 or 16 bits")
    bits = tags.get(258, (16,))
    white = 2 ** (bits[0] if isinstance(bits, tuple) else int(bits)) - 1
    grey = np.asarray(image).astype(np.float32).clip(0, white) / white
    if tags.get(262) == 0:  # WhiteIsZero, which Pillow turns round for 8 bits only
        grey = 1 - grey
    return np.repeat(np.rint(grey * 255).astype(np.uint8)[..., None], 3, axis=2)


def _square(pixels: np.ndarray, height: float, width: float, rule: PictureRule) -> np.ndarray:
    """The central part that scaling the short side to ``short_side_px`` would put into the crop, as [crop_px, crop_px, 3].

    ``height`` and ``width`` are the picture's own, in pixels of ``pixels`` ([H, W, 3], rounded up by a decoder that scaled).
    """
    side = max(1, round(min(height, width) * rule.crop_px / rule.short_side_px))
    top, below = _start(height, pixels.shape[0], side)
    left, beside = _start(width, pixels.shape[1], side)
    part = pixels[top : top + side + below, left : left + side + beside]
    if side == rule.crop_px:  # resizing nothing, it would only lose by being moved
        return part[:side, :side]
    if below:
        part = cv2.filter2D(part, -1, _HALF_PIXEL.T, anchor=(0, 1), borderType=cv2.BORDER_REPLICATE)[:side]
    if beside:
        part = cv2.filter2D(part, -1, _HALF_PIXEL, anchor=(1, 0), borderType=cv2.BORDER_REPLICATE)[:, :side]
    return _resized(part, rule.crop_px)


def _start(size: float, available: int, side: int) -> tuple[int, int]:
    """Where the central ``side`` of ``size`` pixels starts: the whole pixel, and 1 if half a pixel more and there is a pixel to take it from."""
    start, half = divmod(max(0, round(size - side)), 2)
    start = min(start, available - side)
    return start, half if start + side < available else 0


def _resized(square: np.ndarray, side_px: int) -> np.ndarray:
    """By steps whose bytes are the same on every CPU, which OpenCV's cubic ones are not.

    Up to three times as large by way of a square of exactly twice the side, whose pixels are then averaged by fours: as sharp as averaging areas
    at once, and two to four times as fast.
    """
    side = len(square)
    if side < side_px:
        return np.asarray(Image.fromarray(np.ascontiguousarray(square)).resize((side_px, side_px), Image.Resampling.BICUBIC))
    if side <= 3 * side_px:
        square = cv2.resize(square, (2 * side_px, 2 * side_px), interpolation=cv2.INTER_LINEAR)
    resized: np.ndarray = cv2.resize(square, (side_px, side_px), interpolation=cv2.INTER_AREA)
    return resized


def _upright(square: np.ndarray, orientation: int) -> np.ndarray:
    if orientation in (5, 6, 7, 8):
        square = square.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        square = square[:, ::-1]
    if orientation in (3, 4, 7, 8):
        square = square[::-1]
    return np.ascontiguousarray(square)


def _said(error: BaseException) -> str:
    return (str(error).split("\n")[0] or type(error).__name__)[:120]
