"""The paper's picture rule (section 3.1): upright, sRGB, short side to 256, the central 256 x 256, as a JPEG.

A plain JPEG is decoded by libjpeg-turbo straight at a power-of-two scale (the only scales that save time) whose short side stays at least
1.5 times what is needed, and cut to its square, to half a pixel, before it is resized; everything else goes through Pillow. The header is
judged before a pixel is decoded. Colours are brought to sRGB before the resize: means of linear light are not those of sRGB.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from shards.errors import PictureError
from shards.images.colour import Colour, colour_of
from shards.images.decoded import decode_plain_jpeg, rgb_of, samples_of
from shards.images.opened import MAX_PIXELS, Quiet, format_of, open_picture
from shards.images.pdq import pdq
from shards.manifest import PictureRule

MIN_DECODED_PER_SIDE = 1.5  # at 1.0 a decoder's scaling is visibly too soft (37 dB against a full decode)
COLOUR_MANAGED = 3  # the version of the rule from which on profiles are applied
_HALF_PIXEL = np.array([[-1, 9, 9, -1]], np.float32) / 16  # the cubic through four pixels, half-way between the middle two
_ORIENTATION = 0x0112
MAX_EXIF_BYTES = 2**22  # cameras write a hundredth of it; the numbers in it would take ten times as much memory


@dataclass(frozen=True)
class Prepared:
    jpeg: bytes
    width: int  # px, of the original, upright
    height: int
    pdq: bytes  # 32 bytes: Facebook's 256-bit perceptual hash of the square
    quality: int  # 0 to 100, of the hash; flat pictures score below 50


@dataclass(frozen=True)
class _Window:
    """The central part of decoded pixels that becomes the square: whole pixels, and half a pixel more below or beside."""

    top: int
    left: int
    side: int
    below: int
    beside: int

    @property
    def bottom(self) -> int:
        return self.top + self.side + self.below

    @property
    def right(self) -> int:
        return self.left + self.side + self.beside


def prepare(data: bytes, rule: PictureRule) -> Prepared:
    """Raises PictureError: undecodable, truncated, unsupported_format, too_many_pixels, too_small, out_of_memory. The same bytes give the same
    result."""
    cv2.setNumThreads(1)  # processes already use every core
    pixels, width, height = decode_square(data, rule)
    return Prepared(encode_square(pixels, rule), width, height, *pdq(pixels))


def encode_square(pixels: np.ndarray, rule: PictureRule) -> bytes:
    """The JPEG that is packed of a square, uint8 RGB [crop_px, crop_px, 3], contiguous."""
    jpeg: bytes = simplejpeg.encode_jpeg(pixels, quality=rule.jpeg_quality, colorspace="RGB", colorsubsampling="420")
    return jpeg


def decode_square(data: bytes, rule: PictureRule) -> tuple[np.ndarray, int, int]:
    """Returns the upright square, uint8 RGB [crop_px, crop_px, 3], and the original's upright width and height; raises as `prepare`.

    A rule of a version below 3 leaves colours as they are in the file, as the pictures of sets packed by it are.
    """
    try:
        with Quiet():
            return _decoded(bytes(data), rule)
    except PictureError:
        raise
    except MemoryError as error:
        raise PictureError("out_of_memory", f"{_said(error)}; memory for the picture") from None
    except Image.DecompressionBombError as error:
        raise PictureError("too_many_pixels", f"{_said(error)}; at most {MAX_PIXELS} pixels") from None
    except Exception as error:  # noqa: BLE001 - the one place: decoders raise anything on hostile bytes, AssertionError and cv2.error too
        reason = "truncated" if "truncated" in str(error).lower() else "undecodable"
        raise PictureError(reason, f"{format_of(data)}: {_said(error)}; a whole file") from None


def _decoded(data: bytes, rule: PictureRule) -> tuple[np.ndarray, int, int]:
    image = open_picture(data)
    width, height = image.size
    scale, colour, pixels = 1, None, None
    if image.format in ("JPEG", "MPO"):  # nothing is decoded yet, but all is known of its colours
        colour = _colour_of(image, data, rule)
        is_whole = colour is not None and not colour.is_even and width * height <= MAX_PIXELS
        scale = 1 if is_whole else _scale(height, width, rule)
        pixels = decode_plain_jpeg(data, height, width, scale)
    if pixels is None:
        if scale > 1 and (rule.version >= COLOUR_MANAGED or width * height > MAX_PIXELS):
            image.draft(None, (width // scale, height // scale))
        else:
            scale = 1
        image.load()  # before anything else that would load it and let an error pass, as Pillow's getexif() of a PNG does
        if scale == 1:  # a TIFF was turned by Pillow
            width, height = image.size
            colour = _colour_of(image, data, rule)
    shape = (image.height, image.width) if pixels is None else pixels.shape[:2]
    window = _window(height / scale, width / scale, shape, rule)
    if pixels is None:
        pixels = rgb_of(image, (window.left, window.top, window.right, window.bottom), colour)
    else:
        pixels = pixels[window.top : window.bottom, window.left : window.right]
        pixels = pixels if colour is None else colour.of_array(pixels)
    orientation = _orientation(image)
    square = _upright(_fitted(pixels, window, rule), orientation)
    return square, *((height, width) if orientation >= 5 else (width, height))


def _colour_of(image: Image.Image, data: bytes, rule: PictureRule) -> Colour | None:
    return colour_of(image, data, samples_of(image)) if rule.version >= COLOUR_MANAGED else None


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) to 8; 1 where the tag is absent or senseless. Of a picture that is decoded, or a JPEG: nothing is decoded
    here, so that what is let pass is the fault of a tag."""
    if len(image.info.get("exif") or b"") > MAX_EXIF_BYTES:
        return 1
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - Pillow reads tags without a list of what it raises
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _scale(height: int, width: int, rule: PictureRule) -> int:
    """The largest of 1, 2, 4, 8 by which a decoder may divide the sides."""
    enough = MIN_DECODED_PER_SIDE * rule.short_side_px
    return max(scale for scale in (1, 2, 4, 8) if scale == 1 or -(-min(height, width) // scale) >= enough)


def _window(height: float, width: float, available: tuple[int, ...], rule: PictureRule) -> _Window:
    """What scaling the short side to ``short_side_px`` would put into the crop. ``height`` and ``width`` are the picture's own, in decoded pixels, of
    which [H, W] are ``available`` (rounded up by a decoder that scaled)."""
    side = max(1, round(min(height, width) * rule.crop_px / rule.short_side_px))
    top, below = _start(height, available[0], side)
    left, beside = _start(width, available[1], side)
    return _Window(top, left, side, *((0, 0) if side == rule.crop_px else (below, beside)))


def _start(size: float, available: int, side: int) -> tuple[int, int]:
    """Where the central ``side`` of ``size`` pixels starts: the whole pixel, and 1 if half a pixel more and there is a pixel to take it from."""
    start, half = divmod(max(0, round(size - side)), 2)
    start = min(start, available - side)
    return start, half if start + side < available else 0


def _fitted(part: np.ndarray, window: _Window, rule: PictureRule) -> np.ndarray:
    """The window's pixels, uint8 [H, W, 3], as [crop_px, crop_px, 3]; one that fits is left as it is, it would only lose by being moved."""
    side = window.side
    if side == rule.crop_px:
        return part
    if window.below:
        part = cv2.filter2D(part, -1, _HALF_PIXEL.T, anchor=(0, 1), borderType=cv2.BORDER_REPLICATE)[:side]
    if window.beside:
        part = cv2.filter2D(part, -1, _HALF_PIXEL, anchor=(1, 0), borderType=cv2.BORDER_REPLICATE)[:, :side]
    return _resized(part, rule.crop_px)


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
