"""Colour profiles made of what a picture says in numbers: primaries and a curve, as the chunks of a PNG and the boxes of an AVIF do."""

import struct
from dataclasses import dataclass

Chromaticities = tuple[float, float, float, float, float, float, float, float]  # x and y of white, red, green, blue
_Matrix = list[list[float]]
_D65 = (0.3127, 0.329)
SRGB: Chromaticities = (*_D65, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
# By their numbers in ITU-T H.273; of what is not here nothing is known.
PRIMARIES: dict[int, Chromaticities] = {
    1: SRGB,
    4: (0.31, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.6, 0.15, 0.06),
    6: (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    7: (*_D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    9: (*_D65, 0.708, 0.292, 0.17, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    12: (*_D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
}
SRGB_CURVE = 0.0
CURVES = dict.fromkeys((1, 6, 13, 14, 15), SRGB_CURVE) | {4: 2.2, 5: 2.8, 8: 1.0}  # cameras' curves are shown as sRGB's, as browsers do
HIGH_DYNAMIC_RANGE = {16: "PQ", 18: "HLG"}
_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD: _Matrix = [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]


@dataclass(frozen=True)
class Space:
    """An RGB space: its chromaticities, and the exponent of its curve (`SRGB_CURVE`: sRGB's)."""

    chromaticities: Chromaticities
    exponent: float

    def profile(self) -> bytes:
        """The ICC profile of it. Raises ValueError or ZeroDivisionError for chromaticities that span nothing."""
        curve = b"para\0\0\0\0" + (_curve_of_srgb() if self.exponent == SRGB_CURVE else struct.pack(">HH", 0, 0) + _fixed(self.exponent))
        columns = zip(*_to_d50(self.chromaticities), strict=True)
        tags = {b"desc": _text("RGB"), b"cprt": _text("none"), b"wtpt": _xyz(_D50)}
        tags |= {name + b"XYZ": _xyz(column) for name, column in zip((b"r", b"g", b"b"), columns, strict=True)}
        tags |= {name + b"TRC": curve for name in (b"r", b"g", b"b")}
        table, body, start = b"", b"", 132 + 12 * len(tags)
        for name, value in tags.items():
            table += name + struct.pack(">II", start + len(body), len(value))
            body += value + bytes(-len(value) % 4)
        head = struct.pack(">I4sI4s4s4s12s4s28x", start + len(body), b"", 0x04000000, b"mntr", b"RGB ", b"XYZ ", bytes(12), b"acsp")
        return (head + _fixed(*_D50)).ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _curve_of_srgb() -> bytes:
    return struct.pack(">HH", 3, 0) + _fixed(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def _fixed(*values: float) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))


def _xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(*values)


def _text(text: str) -> bytes:
    said = text.encode("utf-16-be")
    return b"mluc" + struct.pack(">IIIHHII", 0, 1, 12, 0x656E, 0x5553, len(said), 28) + said


def _to_d50(chromaticities: Chromaticities) -> _Matrix:
    """From linear RGB to XYZ under D50, adapted by Bradford's matrix; in plain floats, whose sums are the same on every CPU."""
    white, *primaries = (_whole(*chromaticities[at : at + 2]) for at in (0, 2, 4, 6))
    columns = [list(row) for row in zip(*primaries, strict=True)]
    weights = _times(_inverse(columns), [[value] for value in white])
    rgb = [[value * weights[at][0] for at, value in enumerate(row)] for row in columns]
    seen, wanted = (_times(_BRADFORD, [[value] for value in of]) for of in (white, _D50))
    scaled = [[value * wanted[at][0] / seen[at][0] for value in row] for at, row in enumerate(_BRADFORD)]
    return _times(_times(_inverse(_BRADFORD), scaled), rgb)


def _whole(x: float, y: float) -> tuple[float, float, float]:
    return x / y, 1.0, (1 - x - y) / y


def _times(a: _Matrix, b: _Matrix) -> _Matrix:
    return [[row[0] * column[0] + row[1] * column[1] + row[2] * column[2] for column in zip(*b, strict=True)] for row in a]


def _inverse(m: _Matrix) -> _Matrix:
    (a, b, c), (d, e, f), (g, h, i) = m
    cofactors = [
        [e * i - f * h, c * h - b * i, b * f - c * e],
        [f * g - d * i, a * i - c * g, c * d - a * f],
        [d * h - e * g, b * g - a * h, a * e - b * d],
    ]
    size = a * cofactors[0][0] + b * cofactors[1][0] + c * cofactors[2][0]
    return [[value / size for value in row] for row in cofactors]
