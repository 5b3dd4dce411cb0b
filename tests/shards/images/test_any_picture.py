"""Any picture that a decoder may meet: in its right colours, or refused by name; none that Pillow itself refuses, and nothing else is raised."""

import contextlib
import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from shards.errors import PictureError
from shards.images import square as picture_rule
from shards.images.opened import Quiet, open_picture
from shards.images.square import decode_square, prepare
from shards.manifest import PictureRule
from tests.helpers.picture_kinds import KINDS, SIZE, Kind, by_pillow, damaged, scene_of
from tests.helpers.studies import sampled

RULE = PictureRule()
MOST_LEVELS = 2.5  # mean over 32 x 32 block means
DOTS, MOST_OF_DOTS = {"PNG 1", "TIFF 1", "TIFF group 4", "BMP 1"}, 3.5  # black and white dots, whose overshoot the bicubic filter of the truth cuts
MOVED = {
    *(f"JPEG profile {name}" for name in ("Adobe RGB", "Display P3", "ProPhoto", "linear", "of odd channels", "in parts", "of greys", "of inks")),
    *(f"PNG profile {name}" for name in ("Display P3", "with alpha", "of a palette", "of greys")),
    *("PNG gamma 1", "PNG gamma 1.8", "PNG primaries", "PNG cICP"),
    *("JPEG odd half", "WEBP profile", "TIFF profile", "TIFF profile of inks", "AVIF profile", "AVIF numbers"),
}
CHANNELS = {b"RGB ": ("RGB",), b"GRAY": ("L",), b"CMYK": ("CMYK",)}


def blocks(square: np.ndarray) -> np.ndarray:
    """Means of the 32 x 32 parts of a square, float [32, 32, 3]."""
    means: np.ndarray = square.astype(float).reshape(32, 8, 32, 8, 3).mean(axis=(1, 3))
    return means


def central(image: Image.Image) -> np.ndarray:
    """By Pillow's bicubic filter."""
    width, height = image.size
    side = min(image.size)
    left, top = (width - side) / 2, (height - side) / 2
    return np.asarray(image.resize((256, 256), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)))


def by_pillow_and_its_cms(data: bytes) -> np.ndarray:
    """What a picture shows, decoded in full, its colours managed, laid on white, and only then made square."""
    image = Image.open(io.BytesIO(data))
    image.load()
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(float)
        wide = 65535 - wide if getattr(image, "tag_v2", {}).get(262) == 0 else wide
        image = Image.fromarray(np.rint(wide / 257).astype(np.uint8))
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    profile = image.info.get("icc_profile") or b""
    image = image if image.mode in ("L", "CMYK") else image.convert("RGB")
    if image.mode in CHANNELS.get(profile[16:20], ()):
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            made = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            assert made is not None
            image = made
        except (ImageCms.PyCMSError, OSError):  # a broken one
            pass
    image = image.convert("RGB")
    if alpha is not None:
        image = Image.composite(image, Image.new("RGB", image.size, "white"), alpha)
    return central(image)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_shows_its_colours(kind: Kind) -> None:
    data, scene = kind.picture(1)
    truth = blocks(central(Image.fromarray(scene)) if kind.is_by_numbers else by_pillow_and_its_cms(data))
    assert np.abs(blocks(decode_square(data, RULE)[0]) - truth).mean() <= (MOST_OF_DOTS if kind.name in DOTS else MOST_LEVELS)
    before = np.abs(blocks(decode_square(data, PictureRule(version=2))[0]) - truth).mean()
    assert (before > MOST_LEVELS) == (kind.name in MOVED | DOTS), before  # control: as it was until version 2


def test_mutated_pictures_are_kept_or_refused_and_none_that_pillow_refuses() -> None:
    whole = [kind.picture(1)[0] for kind in KINDS]
    random = np.random.default_rng(14)
    kept, refused, refused_whole, reasons = 0, 0, 0, Counter[str]()
    num = sampled(10_000, 300)
    for number in range(num):
        data = whole[number % len(whole)]
        done = "nothing"
        if number >= len(whole):
            done, data = damaged(data, whole[int(random.integers(len(whole)))], random)
        try:
            made = prepare(data, RULE)
        except PictureError as error:
            refused += 1
            reasons[error.reason] += 1
            refused_whole += done == "nothing"
            continue
        kept += 1
        assert min(made.width, made.height) >= 32
        with Quiet():
            Image.open(io.BytesIO(data)).load()  # raises for none of them
    print(f"{num} pictures of {len(KINDS)} kinds: {kept} kept, {dict(reasons)} refused")
    assert kept + refused == num
    assert not refused_whole
    assert min(kept, refused) > num / 10
    assert {"undecodable", "truncated"} <= set(reasons)


def test_control_a_swallowed_error_keeps_half_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's getexif() loads a PNG; where that raises, a second load() says nothing."""

    def looked_at(data: bytes) -> Image.Image:
        image = open_picture(data)
        with contextlib.suppress(OSError):
            image.getexif()
        return image

    whole = by_pillow("PNG")(scene_of(3, *SIZE))
    start = len(whole) // 2
    zeroed = whole[:start] + bytes(400) + whole[start + 400 :]
    with pytest.raises(OSError, match="stream"):
        Image.open(io.BytesIO(zeroed)).load()
    with pytest.raises(PictureError, match=r"undecodable: PNG: .*stream"):
        prepare(zeroed, RULE)
    monkeypatch.setattr(picture_rule, "open_picture", looked_at)
    assert prepare(zeroed, RULE).width == SIZE[0]
