"""Whether a file says so much before its pixels that reading it would take memory or time without end, whatever its size in pixels.

Pillow reads all of that into lists: a comment of no bytes in a JPEG takes 4 bytes there, and 60 in memory.
"""

import struct

MAX_HEAD_BYTES = 2**24  # before a JPEG's first scan: of depth maps and profiles together the largest are half of that
MAX_CHUNKS = 100_000  # of a PNG, some of 8 KB each
MAX_VALUES = 1_000_000  # of one tag of a TIFF: a strip a row, or a tile of 16 x 16
_LARGE_BYTES = 2**22  # what a file of fewer bytes holds is read in a second
_BYTES_A_TAG = {1, 2, 6, 7}  # types of a TIFF's tags that stay bytes
_SCAN = 0xDA


def endless(name: str, data: bytes) -> str:
    """What is too much before the pixels of a file in the format ``name``, ``<found>; <accepted>``; else empty."""
    if len(data) < _LARGE_BYTES:
        return ""
    match name:
        case "JPEG" if _scan_at(data) > MAX_HEAD_BYTES:
            return f"JPEG with more than {MAX_HEAD_BYTES} bytes before its pixels; fewer"
        case "PNG" if _num_chunks(data) > MAX_CHUNKS:
            return f"PNG of more than {MAX_CHUNKS} chunks; fewer"
        case "TIFF" if _most_values(data) > MAX_VALUES:
            return f"TIFF with more than {MAX_VALUES} values in a tag; fewer"
    return ""


def _scan_at(data: bytes) -> int:
    at, markers = 2, 0
    while at + 4 <= len(data) and at <= MAX_HEAD_BYTES and markers <= MAX_CHUNKS:
        if data[at] != 0xFF or data[at + 1] in (0, 1, 0xFF) or 0xD0 <= data[at + 1] <= 0xD8:
            at += 1
        elif data[at + 1] == _SCAN:
            return at
        else:
            at += 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))
            markers += 1
    return MAX_HEAD_BYTES + 1


def _num_chunks(data: bytes) -> int:
    at, num = 8, 0
    while at + 8 <= len(data) and num <= MAX_CHUNKS and data[at + 4 : at + 8] != b"IEND":
        at += 12 + int.from_bytes(data[at : at + 4])
        num += 1
    return num


def _most_values(data: bytes) -> int:
    """Of the first directory's tags; 0 where it cannot be read: Pillow has its own word for that."""
    order = "<" if data[:2] == b"II" else ">"
    is_big = data[2:4] in (b"+\0", b"\0+")
    try:
        (at,) = struct.unpack_from(order + ("Q" if is_big else "I"), data, 8 if is_big else 4)
        (num,) = struct.unpack_from(order + ("Q" if is_big else "H"), data, at)
        entry, start = ("HHQQ", at + 8) if is_big else ("HHII", at + 2)
        tags = (struct.unpack_from(order + entry, data, start + place * struct.calcsize(order + entry)) for place in range(min(num, 2**16)))
        return max((count for _, kind, count, _ in tags if kind not in _BYTES_A_TAG), default=0)
    except struct.error:
        return 0
