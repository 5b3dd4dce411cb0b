"""A picture's header: whether what is in a file is a picture that will be decoded, before a pixel is."""

import io
import threading
import warnings
from types import TracebackType
from typing import ClassVar

from PIL import AvifImagePlugin, BmpImagePlugin, GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from shards.errors import PictureError
from shards.images.heads import endless
from shards.images.jpeg_frame import frame_of

MAX_PIXELS = 64_000_000  # of what is decoded whole: 4 bytes each, and up to 20 on the way to that
MAX_JPEG_PIXELS = 500_000_000  # a JPEG of more than MAX_PIXELS is decoded at 1/2, 1/4 or 1/8, row by row
MAX_COEFFICIENT_BYTES = 2**29  # of a progressive JPEG, which a decoder keeps whole
MAX_SCANS = 100  # of it; each costs as much time as the picture is large, programs write 3 to 20
MAX_SIDE_PX = 65_535  # JPEG's own limit
MIN_SIDE_PX = 32  # an eighth of the square: a spacer, a counting pixel or an icon, blown up to a blur
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "TIFF", "BMP", "AVIF")
PLUGINS = (JpegImagePlugin, PngImagePlugin, WebPImagePlugin, GifImagePlugin, TiffImagePlugin, BmpImagePlugin, AvifImagePlugin)  # they register
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # processes already use every core; the pixels are the same
_ACCEPTED = f"a picture as {', '.join(FORMATS)}"
_KNOWN_STARTS = {
    b"8BPS": "Photoshop", b"%PDF": "PDF", b"%!PS": "PostScript", b"\0\0\1\0": "icon", b"\0\0\0\x0cjP": "JPEG 2000", b"\xffO\xffQ": "JPEG 2000",
    b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL ": "JPEG XL", b"FUJIFILMCCD-RAW": "camera raw", b"II*\0\x10\0\0\0CR": "camera raw",
}  # fmt: skip
_HEIF = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_SUBFILE, _TILE_WIDTH, _TILE_LENGTH, _DNG = 254, 322, 323, 50706  # tags of a TIFF


class Quiet:
    """Without warnings, of which Pillow has one for every odd tag. The interpreter has one list of filters for all threads: the first that comes
    changes it, the last that goes puts it back."""

    _lock = threading.Lock()
    _inside = 0
    _caught: ClassVar[warnings.catch_warnings]

    def __enter__(self) -> None:
        with Quiet._lock:
            if Quiet._inside == 0:
                Quiet._caught = warnings.catch_warnings()
                Quiet._caught.__enter__()
                warnings.simplefilter("ignore")
            Quiet._inside += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with Quiet._lock:
            Quiet._inside -= 1
            if Quiet._inside == 0:
                Quiet._caught.__exit__(kind, error, trace)


def open_picture(data: bytes) -> Image.Image:
    """The header only, of a picture that may be decoded. Raises PictureError and whatever Pillow raises: the caller has the boundary."""
    start = data[:32]
    known = next((name for begins, name in _KNOWN_STARTS.items() if start.startswith(begins)), "")
    if known:
        raise PictureError("unsupported_format", f"{known}; {_ACCEPTED}")
    if name := format_of(data):
        return _opened(name, data)
    if start[4:8] == b"ftyp":
        raise PictureError("unsupported_format", f"{_brand(data)}; {_ACCEPTED}")
    found = "an empty file" if not data else "text or HTML" if start.lstrip()[:1] == b"<" else "no picture's header"
    raise PictureError("undecodable", f"{found}; {_ACCEPTED}")


def format_of(data: bytes) -> str:
    """Of `FORMATS`, by the first bytes; an MPO is a JPEG so far. Empty where it is none."""
    of = {name: Image.OPEN[name][1] for name in FORMATS if name != "MPO"}
    return next((name for name, accepts in of.items() if accepts is not None and accepts(data[:16]) is True), "")


def _opened(name: str, data: bytes) -> Image.Image:
    if found := endless(name, data):
        raise PictureError("unsupported_format", found)
    try:
        image = Image.OPEN[name][0](io.BytesIO(data), "")
    except Exception:
        if name == "AVIF" and _brand(data) != "AVIF":
            raise PictureError("unsupported_format", f"{_brand(data)}; {_ACCEPTED}") from None
        if name == "JPEG" and (frame := frame_of(data)) is not None and frame.bits != 8:
            raise PictureError("unsupported_format", f"JPEG with {frame.bits}-bit samples; 8 bits") from None
        raise
    width, height = image.size
    most, frame = MAX_PIXELS, None
    if name == "JPEG" and (width * height > MAX_PIXELS or "progressive" in image.info):
        frame = frame_of(data)
        if frame is None:
            raise PictureError("undecodable", "JPEG: no frame before its first scan; a whole file")
        if frame.coefficient_bytes <= MAX_COEFFICIENT_BYTES:
            most = MAX_JPEG_PIXELS
    if width * height > most or max(width, height) > MAX_SIDE_PX:
        raise PictureError("too_many_pixels", f"{width} x {height}; at most {most} pixels and {MAX_SIDE_PX} a side")
    if min(width, height) < MIN_SIDE_PX:
        raise PictureError("too_small", f"{width} x {height}; at least {MIN_SIDE_PX} a side")
    if frame is not None and frame.coefficient_bytes and frame.num_scans(data, MAX_SCANS) > MAX_SCANS:
        raise PictureError("unsupported_format", f"JPEG of more than {MAX_SCANS} scans; fewer")
    if image.mode == "P" and image.palette is None:  # colours of a palette that is not there: Pillow asserts, or takes it for greys
        raise PictureError("undecodable", f"{name}: no palette; a whole file")
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _check_tiff(image)
    return image


def _check_tiff(image: TiffImagePlugin.TiffImageFile) -> None:
    tags = image.tag_v2
    if tags.get(_SUBFILE, 0) == 1 or _DNG in tags:  # whose first picture is a thumbnail
        raise PictureError("unsupported_format", f"camera raw, or a thumbnail before the picture; {_ACCEPTED}")
    tile = int(tags.get(_TILE_WIDTH, 0)) * int(tags.get(_TILE_LENGTH, 0))
    if tile > MAX_PIXELS:
        raise PictureError("too_many_pixels", f"tiles of {tile} pixels; at most {MAX_PIXELS}")


def _brand(data: bytes) -> str:
    """What a file in the boxes of ISO/IEC 14496-12 says that it is."""
    box = data[8 : min(int.from_bytes(data[:4]), 256)]
    brands = {box[at : at + 4] for at in (0, *range(8, len(box), 4))}
    return "AVIF" if brands & {b"avif", b"avis"} else "HEIF" if brands & _HEIF else "camera raw" if b"crx " in brands else "video"
