"""The picture rule, and what becomes of files that are no plain pictures."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from shards.errors import PictureError
from shards.images import square as picture_rule
from shards.images.pdq import pdq
from shards.images.square import decode_square, prepare
from shards.manifest import PictureRule

RULE = PictureRule()
Photo = Callable[..., np.ndarray]
Jpeg = Callable[..., bytes]


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    sink = io.BytesIO()
    image.save(sink, kind, **options)
    return sink.getvalue()


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b.astype(float)) ** 2))))


def by_pillow(data: bytes) -> np.ndarray:
    """The rule word for word: decode in full, short side to 256 by bicubic, central crop."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    scale = 256 / min(image.size)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC)
    left, top = (image.width - 256) // 2, (image.height - 256) // 2
    return np.asarray(image.crop((left, top, left + 256, top + 256)))


@pytest.mark.parametrize(("width", "height"), [(1024, 768), (2100, 2800), (900, 1600), (500, 300), (200, 150), (256, 300)])
def test_the_fast_path_shows_what_a_full_decode_shows(make_photo: Photo, make_jpeg: Jpeg, width: int, height: int) -> None:
    data = make_jpeg(make_photo(width, height))
    square, *size = decode_square(data, RULE)
    assert square.shape == (256, 256, 3)
    assert square.dtype == np.uint8
    assert size == [width, height]
    assert psnr(square, by_pillow(data)) >= 40
    packed = simplejpeg.decode_jpeg(prepare(data, RULE).jpeg)
    assert packed.shape == (256, 256, 3)
    assert psnr(packed, square) >= 40


def test_a_decoder_scaled_to_just_enough_would_be_softer(make_photo: Photo, make_jpeg: Jpeg, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_jpeg(make_photo(2100, 2800, noise_sd=15))
    image = Image.open(io.BytesIO(data))
    reference = np.asarray(image.resize((256, 256), Image.Resampling.BICUBIC, box=(0, 350, 2100, 2450)))
    kept = psnr(decode_square(data, RULE)[0], reference)
    monkeypatch.setattr(picture_rule, "MIN_DECODED_PER_SIDE", 1.0)
    assert psnr(decode_square(data, RULE)[0], reference) < kept - 3


def to_the_fraction(data: bytes) -> np.ndarray:
    """The exact central square of a full decode, by bicubic."""
    image = Image.open(io.BytesIO(data))
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return np.asarray(image.resize((256, 256), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)))


@pytest.mark.parametrize(("width", "height"), [(640, 427), (427, 640), (1680, 1050), (3079, 4111)])
def test_the_square_is_central_to_half_a_pixel(make_photo: Photo, make_jpeg: Jpeg, width: int, height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_jpeg(make_photo(width, height))
    wanted = to_the_fraction(data)
    found = psnr(decode_square(data, RULE)[0], wanted)
    assert found >= 40
    monkeypatch.setattr(picture_rule, "_start", lambda size, available, side: ((available - side) // 2, 0))
    assert psnr(decode_square(data, RULE)[0], wanted) < found - 1


def test_a_picture_that_fits_is_left_as_it_is(make_photo: Photo) -> None:
    for width, height in ((256, 256), (301, 256), (256, 300)):
        photo = make_photo(width, height)
        top, left = (height - 256) // 2, (width - 256) // 2
        assert (decode_square(saved(Image.fromarray(photo), "PNG"), RULE)[0] == photo[top : top + 256, left : left + 256]).all()


@pytest.mark.parametrize("side", [100, 384, 427, 512, 600, 900])
def test_the_bytes_do_not_depend_on_the_cpu(make_photo: Photo, side: int) -> None:
    """Intel's library inside OpenCV takes other ways on other CPUs, and is there on some only."""
    if not (hasattr(cv2, "ipp") and cv2.ipp.useIPP()):
        pytest.skip("this OpenCV has no IPP to switch off")
    data = saved(Image.fromarray(make_photo(side + 1, side)), "PNG")
    square = decode_square(data, RULE)[0]
    cubic = cv2.resize(square, (311, 311), interpolation=cv2.INTER_CUBIC)
    try:
        cv2.ipp.setUseIPP(False)
        assert (decode_square(data, RULE)[0] == square).all()
        assert (cv2.resize(square, (311, 311), interpolation=cv2.INTER_CUBIC) != cubic).any()
    finally:
        cv2.ipp.setUseIPP(True)


def test_big_jpegs_are_decoded_small(make_photo: Photo, make_jpeg: Jpeg, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = []
    decode = simplejpeg.decode_jpeg

    def spy(*args: Any, **options: Any) -> np.ndarray:
        pixels: np.ndarray = decode(*args, **options)
        shapes.append(pixels.shape)
        return pixels

    monkeypatch.setattr(simplejpeg, "decode_jpeg", spy)
    for width, height in [(3073, 3100), (1600, 770), (1600, 766), (300, 200)]:
        decode_square(make_jpeg(make_photo(width, height)), RULE)
    assert shapes == [(388, 385, 3), (385, 800, 3), (766, 1600, 3), (200, 300, 3)]


def test_the_same_bytes_give_the_same_bytes(make_photo: Photo, make_jpeg: Jpeg) -> None:
    data = make_jpeg(make_photo(1000, 800))
    made = prepare(data, RULE)
    assert made == prepare(bytearray(data), RULE)  # type: ignore[arg-type]
    assert (made.width, made.height, len(made.pdq)) == (1000, 800, 32)
    assert (made.pdq, made.quality) == pdq(decode_square(data, RULE)[0])
    assert made.quality >= 50


def test_flat_pictures_have_poor_hashes(make_jpeg: Jpeg) -> None:
    assert prepare(make_jpeg(np.full((300, 300, 3), 90, np.uint8)), RULE).quality < 50


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(kind: str, orientation: int) -> None:
    upright = np.full((240, 320, 3), 40, np.uint8)
    upright[:120, :160] = (230, 30, 30)  # red at the top left
    upright[120:, :160] = (30, 30, 230)  # blue below it
    undo = {2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}  # the orientation that takes an upright picture to what a camera stored
    stored = Image.fromarray(picture_rule._upright(upright, undo.get(orientation, 1)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    square, width, height = decode_square(saved(stored, kind, exif=exif), RULE)
    assert (width, height) == (320, 240)
    for (y, x), colour in {(60, 60): (230, 30, 30), (200, 60): (30, 30, 230), (60, 200): (40, 40, 40), (200, 200): (40, 40, 40)}.items():
        assert np.abs(square[y, x].astype(int) - colour).max() < 12


def test_our_turning_is_pillows() -> None:
    pixels = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    names = ["FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90"]
    turns = [None, *(Image.Transpose[name] for name in names)]
    for orientation, turn in enumerate(turns, start=1):
        expected = pixels if turn is None else np.asarray(Image.fromarray(pixels).transpose(turn))
        np.testing.assert_array_equal(picture_rule._upright(pixels, orientation), expected)


def grey16(value: int) -> Image.Image:
    return Image.fromarray(np.full((300, 300), value, np.uint16))


def with_alpha(alpha: int) -> Image.Image:
    return Image.new("RGBA", (300, 300), (200, 0, 0, alpha))


def palette_with_hole() -> bytes:
    image = Image.new("P", (300, 300), 1)
    image.putpalette([0, 0, 0, 200, 0, 0])
    return saved(image, "GIF", transparency=1)


def gif_of_two() -> bytes:
    return saved(Image.new("RGB", (300, 300), (0, 0, 255)), "GIF", save_all=True, append_images=[Image.new("RGB", (300, 300), (255, 0, 0))])


def grey12() -> bytes:
    """A TIFF of which each sample has 12 bits, all set."""
    data = bytearray(saved(grey16(65535), "TIFF"))
    at = data.index(struct.pack("<HHIH", 258, 3, 1, 16))
    data[at + 8 : at + 10] = struct.pack("<H", 12)
    return bytes(data)


@pytest.mark.parametrize(
    ("name", "data", "colour"),
    [
        ("grey JPEG", lambda: saved(Image.new("L", (300, 300), 90), "JPEG"), (90, 90, 90)),
        ("CMYK JPEG", lambda: saved(Image.new("CMYK", (300, 300), (0, 255, 255, 0)), "JPEG"), (255, 0, 0)),
        ("RGB PNG", lambda: saved(Image.new("RGB", (300, 300), (9, 99, 199)), "PNG"), (9, 99, 199)),
        ("one-bit PNG", lambda: saved(Image.new("1", (300, 300), 1), "PNG"), (255, 255, 255)),
        ("16-bit grey PNG", lambda: saved(grey16(30000), "PNG"), (117, 117, 117)),
        ("16-bit grey TIFF", lambda: saved(grey16(30000), "TIFF"), (117, 117, 117)),
        ("16-bit grey TIFF, white is zero", lambda: saved(grey16(30000), "TIFF", tiffinfo={262: 0}), (138, 138, 138)),
        ("12-bit grey TIFF", grey12, (255, 255, 255)),
        ("opaque PNG", lambda: saved(with_alpha(255), "PNG"), (200, 0, 0)),
        ("half-transparent PNG", lambda: saved(with_alpha(128), "PNG"), (227, 127, 127)),
        ("transparent WebP", lambda: saved(with_alpha(0), "WEBP", lossless=True), (255, 255, 255)),
        ("GIF with a hole", palette_with_hole, (255, 255, 255)),
        ("GIF, first of two frames", gif_of_two, (0, 0, 255)),
        ("BMP", lambda: saved(Image.new("RGB", (33, 32), (1, 2, 3)), "BMP"), (1, 2, 3)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_kind_shows_its_colour(name: str, data: Callable[[], bytes], colour: tuple[int, int, int]) -> None:
    square, _, _ = decode_square(data(), RULE)
    assert np.abs(square.astype(int) - colour).max() <= 2


def test_pillow_alone_would_clip_16_bits_to_white() -> None:
    assert np.asarray(Image.open(io.BytesIO(saved(grey16(30000), "PNG"))).convert("RGB")).min() == 255


def bomb() -> bytes:
    """A PNG of a few bytes whose header claims 13000 x 13000."""
    header = struct.pack(">IIBBBBB", 13_000, 13_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)


def cut(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("data", "reason", "detail"),
    [
        (b"", "undecodable", "an empty file; a picture as JPEG, MPO, PNG, WEBP, GIF, TIFF, BMP, AVIF"),
        (b"\n<!DOCTYPE html><p>404", "undecodable", "text or HTML; a picture"),
        (b"\0" * 5000, "undecodable", "no picture's header"),
        (b"\xff\xd8\xff", "undecodable", "JPEG: "),
        (b"%PDF-1.7 ...", "unsupported_format", "PDF; a picture as"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "unsupported_format", "PostScript; a picture as"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "unsupported_format", "HEIF; a picture as"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "unsupported_format", "HEIF; a picture as"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp41", "unsupported_format", "video; a picture as"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "truncated", "AVIF: Failed to decode image"),
        (b"\xff\x0a\xfa\x1f", "unsupported_format", "JPEG XL; a picture as"),
        (cut(saved(NOISE, "JPEG"), 0.5), "truncated", "JPEG: image file is truncated .*; a whole file"),
        (cut(saved(NOISE, "PNG"), 0.5), "truncated", "PNG: image file is truncated"),
        (cut(saved(NOISE, "WEBP"), 0.5), "undecodable", "; a "),
        (saved(Image.new("F", (300, 300), 0.5), "TIFF"), "unsupported_format", "TIFF with 32-bit samples, whose white is not set; 8 or 16 bits"),
        (saved(Image.new("I", (300, 300), 9), "TIFF"), "unsupported_format", "TIFF with 32-bit samples"),
        (bomb(), "too_many_pixels", "13000 x 13000; at most 64000000 pixels and 65535 a side"),
        (saved(Image.new("1", (8001, 8000)), "PNG"), "too_many_pixels", "8001 x 8000; at most 64000000 pixels and 65535 a side"),
        (saved(Image.new("1", (70_000, 1)), "PNG"), "too_many_pixels", "70000 x 1"),
        (saved(NOISE.crop((0, 0, 31, 300)), "PNG"), "too_small", "31 x 300; at least 32 a side"),
    ],
)
def test_bad_pictures_are_told_apart(data: bytes, reason: str, detail: str) -> None:
    with pytest.raises(PictureError, match=f"{reason}: .*{detail}") as caught:
        prepare(data, RULE)
    assert caught.value.reason == reason


def test_a_bomb_is_refused_before_its_pixels_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_rule, "rgb_of", lambda image, box, colour: pytest.fail("decoded"))
    with pytest.raises(PictureError, match="too_many_pixels"):
        prepare(bomb(), RULE)
    with pytest.raises(pytest.fail.Exception, match="decoded"):  # control: a small PNG does get that far
        prepare(saved(NOISE, "PNG"), RULE)


def test_a_jpeg_with_a_small_fault_is_still_a_picture(make_photo: Photo, make_jpeg: Jpeg) -> None:
    data = make_jpeg(make_photo(300, 300))
    at = data.index(b"\xff\xda")
    noisy = data[:at] + b"\0\0\0" + data[at:]  # stray bytes before a marker: libjpeg warns and goes on
    with pytest.raises(ValueError, match="extraneous"):
        simplejpeg.decode_jpeg(noisy)
    assert psnr(decode_square(noisy, RULE)[0], by_pillow(data)) > 40


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "TIFF", "WEBP", "BMP"])
def test_mutated_files_never_raise_anything_else(kind: str) -> None:
    whole = saved(NOISE.resize((40, 36)), kind, **({"compression": "tiff_lzw"} if kind == "TIFF" else {}))
    random = np.random.default_rng(1)
    made = refused = 0
    for _ in range(300):
        data = bytearray(whole)
        for at in random.integers(0, min(len(data), 400), random.integers(1, 8)):
            data[at] = random.integers(256)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                prepare(bytes(data[: random.integers(1, len(data) + 200)]), RULE)
            made += 1
        except PictureError:
            refused += 1
    assert made
    assert refused
