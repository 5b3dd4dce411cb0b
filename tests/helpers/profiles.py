"""ICC profiles of colour tables, which no library here writes: for printers' inks, and for channels that mean nothing without the profile."""

import struct
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms

FIXED = 65536
D50 = (0.9642, 1.0, 0.8249)
PAIRS = 128  # bytes of a profile's header


def table_profile(channels: str, points: int, to_srgb: Callable[[np.ndarray], np.ndarray]) -> bytes:
    """A profile whose device colours become sRGB, of so many ``points`` a channel between which a reader interpolates.

    Args:
        channels: ``RGB`` or ``CMYK``.
        to_srgb: of device colours, float [N, channels] from 0 to 1, sRGB from 0 to 1, float [N, 3].
    """
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, points)] * len(channels), indexing="ij"), axis=-1).reshape(-1, len(channels))
    rgb = Image.fromarray(np.rint(to_srgb(grid).clip(0, 1) * 255).astype(np.uint8)[None])
    lab = ImageCms.applyTransform(rgb, ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"))
    assert lab is not None
    table = np.frombuffer(lab.tobytes(), np.uint8) ^ np.tile(np.array([0, 128, 128], np.uint8), len(grid))  # Pillow writes a and b as signed
    straight = bytes(range(256))
    unit = b"".join(struct.pack(">i", FIXED * (at % 4 == 0)) for at in range(9))
    head = b"mft1" + bytes(4) + bytes([len(channels), 3, points, 0])
    lut = head + unit + straight * len(channels) + table.tobytes() + straight * 3
    tags = {b"A2B0": lut, b"wtpt": b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * FIXED) for value in D50))}
    body, entries, start = b"", b"", PAIRS + 4 + 12 * len(tags)
    for name, value in tags.items():
        entries += name + struct.pack(">II", start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    # of version 2 a reader would look for the black point, and take the device's zeros for it, which odd channels have elsewhere
    kind, version = (b"prtr", 0x02400000) if channels == "CMYK" else (b"scnr", 0x04000000)
    illuminant = [round(value * FIXED) for value in D50]
    top = struct.pack(">I4xI4s4s4s12x4s28x3i", start + len(body), version, kind, channels.ljust(4).encode(), b"Lab ", b"acsp", *illuminant)
    return top.ljust(PAIRS, b"\0") + struct.pack(">I", len(tags)) + entries + body


def inks(cmyk: np.ndarray) -> np.ndarray:
    """sRGB of inks that are less pure than Pillow takes them for."""
    papers = np.array([[0.0, 0.62, 0.9], [0.9, 0.1, 0.5], [1.0, 0.92, 0.1], [0.13, 0.12, 0.13]])
    light: np.ndarray = np.prod(1 - cmyk[:, :, None] * (1 - papers[None]), axis=1)
    return light


def odd_channels(device: np.ndarray) -> np.ndarray:
    """sRGB of channels that, without the profile, show another picture: turned round, mixed and curved, as those of an XYB JPEG are."""
    x, y, b = device.T
    return np.stack([y**1.5, (1 - x) ** 1.5, (b + y) / 2], axis=1)


def to_odd_channels(srgb: np.ndarray) -> np.ndarray:
    """The device colours that `odd_channels` makes ``srgb``, float [..., 3] from 0 to 1, of, where there are such."""
    red, green, blue = np.moveaxis(srgb, -1, 0)
    y = red ** (1 / 1.5)
    return np.stack([1 - green ** (1 / 1.5), y, (2 * blue - y).clip(0, 1)], axis=-1)
