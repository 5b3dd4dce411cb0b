"""What the markers of a JPEG say before a pixel is decoded."""

import re
from dataclasses import dataclass

_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")  # in entropy-coded data: all that is neither a stuffed 0xff nor a restart
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # not: tables of Huffman codes, JPG, conditioning of arithmetic codes
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_SCAN, _END = 0xDA, 0xD9


@dataclass(frozen=True)
class Frame:
    bits: int  # of a sample
    coefficient_bytes: int  # that a decoder holds at once: all of them where more than one scan makes the picture, else none
    data_at: int  # where the first scan's data begins

    def num_scans(self, data: bytes, at_most: int) -> int:
        """Of the picture that begins at 0, at most one more than ``at_most``."""
        scans, at = 1, self.data_at
        while scans <= at_most and (found := _MARKER.search(data, at)):
            marker = data[found.start() + 1]
            if marker == _END:
                break
            scans += marker == _SCAN
            at = found.start() + 2 + int.from_bytes(data[found.start() + 2 : found.start() + 4])
        return scans


def frame_of(data: bytes) -> Frame | None:
    """Of the first picture in ``data``; None where there is no frame, or no scan after it."""
    at, found = 2, b""
    while at + 4 <= len(data):
        if data[at] != 0xFF or data[at + 1] in (0, 1, 0xFF) or 0xD0 <= data[at + 1] <= 0xD8:  # padding, or a marker without content
            at += 1
            continue
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4])
        if marker in _FRAMES:
            found = data[at + 1 : end]
        elif marker == _SCAN:
            return _frame(found, data[at + 4], end) if len(found) >= 9 and at + 4 < len(data) else None
        elif marker == _END:
            return None
        at = end
    return None


def _frame(found: bytes, components_of_scan: int, data_at: int) -> Frame:
    marker, bits, num = found[0], found[3], found[8]
    height, width = int.from_bytes(found[4:6]), int.from_bytes(found[6:8])
    factors = [(byte >> 4, byte & 15) for byte in found[10 : 10 + 3 * num : 3]]
    most = max([horizontal for horizontal, _ in factors] or [0]) * max([vertical for _, vertical in factors] or [0])
    samples = width * height * sum(horizontal * vertical for horizontal, vertical in factors) // max(1, most)
    many = marker in _PROGRESSIVE or components_of_scan < num
    return Frame(bits, 2 * samples if many else 0, data_at)
