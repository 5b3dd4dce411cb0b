"""A picture's pixels in RGB: all that decodes, whatever the format, its samples and its channels."""

from collections.abc import Callable

import numpy as np
import simplejpeg
from PIL import Image

from shards.errors import PictureError
from shards.images.colour import Colour

BAND_PIXELS = 2**20  # that are in RGB, in RGBA and laid on white at one time
Box = tuple[int, int, int, int]  # left, top, right, bottom


def decode_plain_jpeg(data: bytes, height: int, width: int, scale: int) -> np.ndarray | None:
    """uint8 RGB, the sides divided by ``scale`` and rounded up; None for what only Pillow judges rightly: CMYK, and files with any fault."""
    try:
        *size, samples, _ = simplejpeg.decode_jpeg_header(data)
        if samples not in ("YCbCr", "RGB", "Gray") or size != [height, width]:
            return None
        # exactly the rounded-up height: any less and a slower scale such as 3/8 is taken
        pixels: np.ndarray = simplejpeg.decode_jpeg(data, "RGB", min_height=-(-height // scale), min_width=-(-width // scale))
        return pixels
    except ValueError:
        return None


def samples_of(image: Image.Image) -> str:
    """RGB, L or CMYK, what the samples of a picture are that Pillow has opened."""
    return "CMYK" if image.mode == "CMYK" else "L" if image.mode in ("1", "L", "LA", "La") or image.mode.startswith("I") else "RGB"


def rgb_of(image: Image.Image, box: Box, colour: Colour | None) -> np.ndarray:
    """A part of a picture that Pillow has decoded, uint8 RGB [H, W, 3]: in sRGB by ``colour``, alpha laid on white, and 16-bit grey scaled, where
    Pillow's own conversion clips it to white."""
    left, top, right, bottom = box
    convert = _wide_grey(image, colour) if image.mode.startswith("I") or image.mode == "F" else lambda part: _on_white(part, colour)
    pixels = np.empty((bottom - top, right - left, 3), np.uint8)
    rows = max(1, BAND_PIXELS // (right - left))
    for start in range(top, bottom, rows):
        end = min(bottom, start + rows)
        pixels[start - top : end - top] = np.asarray(convert(image.crop((left, start, right, end))))
    return pixels


def _on_white(part: Image.Image, colour: Colour | None) -> Image.Image:
    if part.mode == "LAB":
        raise PictureError("unsupported_format", "CIE L*a*b* colours; RGB, CMYK or grey")
    if part.mode == "CMYK":
        return part.convert("RGB") if colour is None else colour.of(part)
    if not part.has_transparency_data:
        rgb = part.convert("RGB")
        return rgb if colour is None else colour.of(rgb)
    part = part.convert("RGBA")
    if colour is not None:
        alpha = part.getchannel("A")
        part = colour.of(part.convert("RGB"))
        part.putalpha(alpha)
    return Image.alpha_composite(Image.new("RGBA", part.size, (255, 255, 255, 255)), part).convert("RGB")


def _wide_grey(image: Image.Image, colour: Colour | None) -> Callable[[Image.Image], Image.Image]:
    tags = getattr(image, "tag_v2", {})
    if image.mode == "F" or (image.mode == "I" and image.format != "PNG"):
        raise PictureError("unsupported_format", f"{image.format} with 32-bit samples, whose white is not set; 8 or 16 bits")
    bits = tags.get(258, (16,))
    white = 2 ** (bits[0] if isinstance(bits, tuple) else int(bits)) - 1
    is_white_zero = tags.get(262) == 0  # which Pillow turns round for 8 bits only

    def convert(part: Image.Image) -> Image.Image:
        grey = np.asarray(part).astype(np.float32).clip(0, white) / white
        scaled = Image.fromarray(np.rint((1 - grey if is_white_zero else grey) * 255).astype(np.uint8))
        return scaled.convert("RGB") if colour is None else colour.of(scaled.convert("RGB"))

    return convert
