"""The paper's picture rule (section 3.1): upright, RGB, short side to 256, the central 256 x 256, as a JPEG.

A plain JPEG is decoded by libjpeg-turbo straight at a power-of-two scale (the only scales that save time) whose short side stays at least
1.5 times what is needed, and cut to its square before it is resized; everything else goes through Pillow. The header is judged before a
pixel is decoded.
"""

import io
import struct
import warnings
import zlib
from dataclasses import dataclass

import cv2
import numpy as np
import pdqhash
import simplejpeg
from PIL import Image, UnidentifiedImageError

from shards.manifest import PictureRule

MAX_PIXELS = 64_000_000
MAX_SIDE_PX = 65_535  # JPEG's own limit
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "BMP")
MIN_DECODED_PER_SIDE = 1.5  # at 1.0 a decoder's scaling is visibly too soft (37 dB against a full decode)
_ORIENTATION = 0x0112
# What Pillow's readers raise on hostile bytes (its own fuzzers expect these).
_DECODER_ERRORS = (
    OSError, SyntaxError, ValueError, NotImplementedError, ArithmeticError, LookupError, TypeError, EOFError, MemoryError, struct.error, zlib.error,
)  # fmt: skip
_KNOWN_STARTS = {b"8BPS": "Photoshop", b"%PDF": "PDF", b"%!PS": "PostScript", b"\0\0\1\0": "icon", b"\0\0\0\x0cjP": "JPEG 2000"}


class PictureError(ValueError):
    """A file that gives no picture: the reason for the ledger and the detail, ``<found>; <accepted>``."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


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
    bits, quality = pdqhash.compute(pixels)
    jpeg = simplejpeg.encode_jpeg(pixels, quality=rule.jpeg_quality, colorspace="RGB", colorsubsampling="420")
    return Prepared(jpeg, width, height, np.packbits(bits.astype(np.uint8)).tobytes(), int(quality))


def decode_square(data: bytes, rule: PictureRule) -> tuple[np.ndarray, int, int]:
    """Returns the upright square, uint8 RGB [crop_px, crop_px, 3], and the original's upright width and height."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of every odd tag
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        image = _open(data)
        width, height = image.size
        _check_size(width, height)
        orientation = _orientation(image)
        pixels = _decode_plain_jpeg(data, height, width, rule) if image.format in ("JPEG", "MPO") else None
        if pixels is None:
            pixels = _decode_by_pillow(image)
            orientation = _orientation(image)  # Pillow has turned a TIFF itself, and dropped the tag
            width, height = image.size
    if orientation >= 5:
        width, height = height, width
    return _upright(_square(pixels, rule), orientation), width, height


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


def _decode_plain_jpeg(data: bytes, height: int, width: int, rule: PictureRule) -> np.ndarray | None:
    """uint8 RGB, perhaps at 1/2, 1/4 or 1/8; None for what only Pillow judges rightly: CMYK, and files with any fault."""
    enough = MIN_DECODED_PER_SIDE * rule.short_side_px
    scale = max(scale for scale in (1, 2, 4, 8) if scale == 1 or -(-min(height, width) // scale) >= enough)
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


def _square(pixels: np.ndarray, rule: PictureRule) -> np.ndarray:
    """The central part of [H, W, 3] that scaling the short side to ``short_side_px`` would put into the crop, as [crop_px, crop_px, 3]."""
    height, width = pixels.shape[:2]
    side = max(1, round(min(height, width) * rule.crop_px / rule.short_side_px))
    top, left = (height - side) // 2, (width - side) // 2
    part = np.ascontiguousarray(pixels[top : top + side, left : left + side])
    if side == rule.crop_px:
        return part
    resized: np.ndarray = cv2.resize(part, (rule.crop_px, rule.crop_px), interpolation=cv2.INTER_AREA if side > rule.crop_px else cv2.INTER_CUBIC)
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
