"""What is decoded at a fraction, what is too much or too little, and what a decoder's own errors become."""

import io
import os
import pickle
import struct
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from shards.errors import PictureError
from shards.images import colour, opened
from shards.images import square as picture_rule
from shards.images.jpeg_frame import frame_of
from shards.images.opened import MAX_PIXELS, MAX_SCANS, Quiet, open_picture
from shards.images.square import decode_square, prepare
from shards.manifest import PictureRule
from tests.helpers.cpus import ROOT, another, clean
from tests.helpers.picture_kinds import ADOBE, KINDS, SIZE, by_pillow, chunk, saved, scene_of, with_chunks
from tests.shards.images.test_any_picture import MOVED

RULE = PictureRule()
SCENE = scene_of(1, *SIZE)


def large_jpeg() -> bytes:
    """Of 72 million pixels, grey, its central square lighter."""
    pixels = np.full((8000, 9000, 1), 40, np.uint8)
    pixels[:, 4500:] = 200
    data: bytes = simplejpeg.encode_jpeg(pixels, quality=80, colorspace="GRAY", colorsubsampling="Gray")
    return data


def with_size(data: bytes, width: int, height: int, bits: int = 8) -> bytes:
    """A JPEG whose header says so."""
    at = next(at for marker in (b"\xff\xc0", b"\xff\xc2") if (at := data.find(marker)) > 0)
    return data[: at + 4] + struct.pack(">BHH", bits, height, width) + data[at + 9 :]


def refused(data: bytes) -> str:
    with pytest.raises(PictureError) as caught:
        prepare(data, RULE)
    return str(caught.value)


def test_a_jpeg_larger_than_what_is_decoded_whole_is_decoded_at_a_fraction() -> None:
    data = large_jpeg()
    square, width, height = decode_square(data, RULE)
    assert width * height > MAX_PIXELS
    assert (width, height) == (9000, 8000)
    assert np.abs(square[:, :126].astype(int) - 40).max() <= 2
    assert np.abs(square[:, 130:].astype(int) - 200).max() <= 2
    at = data.index(b"\xff\xda")
    by_pillow_alone = data[:at] + b"\0\0\0" + data[at:]  # stray bytes, which libjpeg-turbo's own interface refuses and Pillow does not
    assert np.abs(decode_square(by_pillow_alone, RULE)[0].astype(int) - square).max() <= 2
    assert refused(saved(Image.new("1", (9000, 8000)), "PNG")) == "too_many_pixels: 9000 x 8000; at most 64000000 pixels and 65535 a side"


def test_a_jpeg_is_refused_where_its_decoder_would_need_too_much() -> None:
    small, progressive = (by_pillow("JPEG", progressive=kind, subsampling=0)(SCENE) for kind in (False, True))
    assert refused(with_size(small, 30_000, 20_000)) == "too_many_pixels: 30000 x 20000; at most 500000000 pixels and 65535 a side"
    assert refused(with_size(progressive, 15_000, 10_000)) == "too_many_pixels: 15000 x 10000; at most 64000000 pixels and 65535 a side"
    frame = frame_of(with_size(progressive, 15_000, 10_000))
    assert frame is not None
    assert frame.coefficient_bytes == 15_000 * 10_000 * 3 * 2  # kept whole
    assert open_picture(with_size(small, 15_000, 10_000)).size == (15_000, 10_000)  # control: row by row


def test_a_jpeg_of_scans_without_end_is_refused() -> None:
    data = by_pillow("JPEG", progressive=True)(SCENE)
    last = data[data.rindex(b"\xff\xda") : -2]
    many, few = (data[:-2] + last * more + b"\xff\xd9" for more in (MAX_SCANS, MAX_SCANS - 30))
    assert refused(many) == f"unsupported_format: JPEG of more than {MAX_SCANS} scans; fewer"
    assert prepare(few, RULE).width == SIZE[0]
    assert prepare(data + last * MAX_SCANS, RULE).width == SIZE[0]  # behind the picture's end


def test_samples_of_12_bits_are_named() -> None:
    assert refused(with_size(by_pillow("JPEG")(SCENE), *SIZE, bits=12)) == "unsupported_format: JPEG with 12-bit samples; 8 bits"


def test_the_thumbnail_in_a_raw_file_is_not_taken_for_the_picture() -> None:
    image = Image.fromarray(SCENE)
    for tags in ({254: 1}, {50706: b"\1\4\0\0"}):
        assert refused(saved(image, "TIFF", tiffinfo=tags)).startswith(
            "unsupported_format: camera raw, or a thumbnail before the picture; a picture as JPEG"
        )
    assert prepare(saved(image, "TIFF", tiffinfo={254: 0}), RULE).width == SIZE[0]


def test_tiles_larger_than_any_picture_are_refused_before_they_are_made() -> None:
    tags = {256: 300, 257: 300, 258: 8, 259: 1, 262: 1, 277: 1, 322: 30_000, 323: 30_000, 324: 8, 325: 90_000}
    tiled = (
        b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, 4, 1, of) for tag, of in tags.items()) + bytes(90_004)
    )
    assert refused(tiled) == f"too_many_pixels: tiles of 900000000 pixels; at most {MAX_PIXELS}"


def test_what_is_told_before_the_pixels_has_an_end() -> None:
    jpeg, png = by_pillow("JPEG")(SCENE), by_pillow("PNG")(SCENE)
    fill = 3 * 2**22
    comments = jpeg[:2] + b"\xff\xfe\0\2" * (fill // 4) + jpeg[2:]
    assert refused(comments) == "unsupported_format: JPEG with more than 16777216 bytes before its pixels; fewer"
    chunks = png[:33] + chunk(b"abCd", b"") * (fill // 12) + png[33:]
    assert refused(chunks) == "unsupported_format: PNG of more than 100000 chunks; fewer"
    tags = {256: (4, 1, 300), 257: (4, 1, 300), 258: (4, 1, 8), 259: (4, 1, 1), 262: (4, 1, 1), 273: (4, fill // 4, 200), 279: (4, fill // 4, 200)}
    offsets = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", tag, *of) for tag, of in tags.items())
    assert refused(offsets + bytes(fill)) == "unsupported_format: TIFF with more than 1000000 values in a tag; fewer"
    long_film = jpeg + comments  # control: behind the picture it is harmless
    assert prepare(long_film, RULE).width == SIZE[0]
    few = png[:33] + chunk(b"abCd", bytes(2**20)) * 8 + png[33:]
    assert prepare(few, RULE).width == SIZE[0]


@pytest.mark.parametrize("name", ["JPEG quality 90", "JPEG progressive 2", "PNG RGB", "WEBP lossy", "GIF", "TIFF tiff_lzw", "BMP RGB", "AVIF 4:2:0"])
def test_what_follows_a_picture_is_harmless(name: str) -> None:
    """As a phone's film behind its JPEG is: Pillow and browsers do not look at it."""
    data = next(kind for kind in KINDS if kind.name == name).picture(1)[0]
    after = np.random.default_rng(0).integers(0, 256, 50_000, dtype=np.uint8).tobytes()
    assert (decode_square(data + after, RULE)[0] == decode_square(data, RULE)[0]).all()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (AssertionError(), "undecodable: PNG: AssertionError; a whole file"),
        (RecursionError("maximum depth"), "undecodable: PNG: maximum depth; a whole file"),
        (cv2.error("bad argument"), "undecodable: PNG: bad argument; a whole file"),
        (OSError("image file is truncated (4 bytes not processed)"), "truncated: PNG: image file is truncated (4 bytes not processed); a whole file"),
        (Image.DecompressionBombError("300 pixels"), f"too_many_pixels: 300 pixels; at most {MAX_PIXELS} pixels"),
        (MemoryError(), "out_of_memory: MemoryError; memory for the picture"),
    ],
)
def test_whatever_a_decoder_raises_is_a_word_about_the_picture(error: Exception, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(image: Image.Image, *rest: object) -> None:
        raise error

    monkeypatch.setattr(picture_rule, "rgb_of", fails)
    assert refused(by_pillow("PNG")(SCENE)) == said


def test_no_palette_is_told() -> None:
    """Pillow asserts that there is one."""
    data = saved(Image.fromarray(SCENE).quantize(), "PNG")
    start = data.index(b"PLTE") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4])
    without = data[:start] + data[end:]
    with pytest.raises(AssertionError):
        Image.open(io.BytesIO(without)).has_transparency_data  # noqa: B018
    assert refused(without) == "undecodable: PNG: no palette; a whole file"


def test_a_profile_too_large_to_be_one_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    data = by_pillow("JPEG", icc_profile=ADOBE)(SCENE)
    managed = decode_square(data, RULE)[0]
    monkeypatch.setattr(colour, "MAX_PROFILE_BYTES", 100)
    assert (decode_square(data, RULE)[0] == decode_square(data, PictureRule(version=2))[0]).all()
    assert (decode_square(data, RULE)[0] != managed).any()


def test_high_dynamic_range_is_named() -> None:
    data = with_chunks(by_pillow("PNG"), (b"cICP", bytes([9, 16, 0, 1])))(SCENE)
    unknown = with_chunks(by_pillow("PNG", icc_profile=ADOBE), (b"cICP", bytes([2, 2, 0, 1])))(SCENE)  # nothing that takes the profile's place
    assert (decode_square(unknown, RULE)[0] == decode_square(by_pillow("PNG", icc_profile=ADOBE)(SCENE), RULE)[0]).all()
    assert refused(data) == "unsupported_format: PNG of high dynamic range (PQ); standard range"


def test_no_thread_leaves_warnings_off_for_the_others() -> None:
    before = list(warnings.filters)
    inside, outside = threading.Event(), threading.Event()

    def other() -> None:
        with Quiet():
            inside.set()
            assert outside.wait(60)

    thread = threading.Thread(target=other)
    with Quiet():
        thread.start()
        assert inside.wait(60)
    assert warnings.filters != before  # the other is not done
    outside.set()
    thread.join()
    assert warnings.filters == before

    first, second = warnings.catch_warnings(), warnings.catch_warnings()  # control: what threads do that each change them by themselves
    with warnings.catch_warnings():
        first.__enter__()
        warnings.simplefilter("ignore")
        second.__enter__()
        first.__exit__(None, None, None)
        second.__exit__(None, None, None)
        assert warnings.filters != before


TELL = """
import hashlib, math, pickle, random, sys
from pathlib import Path
from shards.images.square import decode_square
from shards.manifest import PictureRule
draw = random.Random(0)
print(sum(math.pow(draw.random(), 3 * draw.random()).hex().endswith("p-1") for _ in range(1000)))
print(hashlib.sha256(str([math.sin(100 * draw.random()) for _ in range(20_000)]).encode()).hexdigest())
for data in pickle.loads(Path(sys.argv[1]).read_bytes()):
    print(hashlib.sha256(decode_square(data, PictureRule())[0].tobytes()).hexdigest())
"""


def test_managed_colours_are_the_same_on_every_cpu(tmp_path: Path) -> None:
    """Also where the C library computes without fused multiplications, whose last bits are others."""
    (path := tmp_path / "pictures").write_bytes(pickle.dumps([kind.picture(1)[0] for kind in KINDS if kind.name in MOVED]))
    old = clean() | another() | {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX,-FMA,-FMA4,-AVX512F", "JSIMD_FORCENONE": "1"}
    run = [subprocess.Popen([sys.executable, "-c", TELL, str(path)], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) for env in (clean(), old)]
    (_, sums, *here), (_, other_sums, *there) = ([*process.communicate(timeout=120)[0].split()] for process in run)
    assert len(here) == len(MOVED)
    assert here == there
    if "fma" in Path("/proc/cpuinfo").read_text().split() and os.uname().machine == "x86_64":
        assert sums != other_sums  # control: the sines are not


def test_one_thread_decodes_an_avif() -> None:
    assert opened.AvifImagePlugin.DEFAULT_MAX_THREADS == 1
