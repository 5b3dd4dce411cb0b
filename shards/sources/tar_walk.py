"""The members of any tar (ustar, GNU, pax), one after another, by their headers alone: nothing is extracted, and nothing of a member is read here.

Python's `tarfile` ends in silence at a header that is damaged, reads a name as long as a header claims, and keeps every member; here each of these
is told, and memory does not grow.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

BLOCK_BYTES = 512
MOST_NAME_BYTES = 2**20  # of a header that holds a long name or other attributes
_ZEROS = bytes(BLOCK_BYTES)
_FILES, _LINKS, _DEVICES, _FOLDER, _ATTRIBUTES = b"0\07", b"12", b"346", b"5", b"xXgLK"


@dataclass(frozen=True, slots=True)
class Member:
    """A plain file."""

    name: str
    offset: int  # of its bytes
    size: int


@dataclass(frozen=True, slots=True)
class Odd:
    """What is no plain file, or where the archive is damaged: its name ("" where none can be told) and what is wrong, ``<found>; <accepted>``."""

    name: str
    detail: str
    reason: str = "not_a_file"


def members(file: BinaryIO, num_bytes: int) -> Iterator[Member | Odd]:
    """In the order of the archive; folders are passed over. Where it is damaged or cut short the last item says so: nothing after it can be found.

    Args:
        file: the archive, at its start; it is moved about.
        num_bytes: its size.
    """
    offset, attributes = 0, dict[str, str]()
    while True:
        header = _at(file, offset, BLOCK_BYTES)
        where = f"at byte {offset:,} of {num_bytes:,}"
        if not header:
            yield Odd("", f"{where}: no end of archive; two empty blocks", "truncated")
            return
        if header == _ZEROS:
            break
        if len(header) < BLOCK_BYTES:
            yield Odd("", f"{where}: half a header; a whole archive", "truncated")
            return
        size = _number(header[124:136])
        if not _checks(header) or size is None:
            yield Odd("", f"{where}: no header; a plain tar, not compressed and not damaged", "bad_row")
            return
        kind, start = header[156:157], offset + BLOCK_BYTES
        if "size" in attributes and kind not in _ATTRIBUTES:
            size = int(attributes["size"]) if re.fullmatch(r"[0-9]{1,18}", attributes["size"]) else num_bytes + 1
        if kind in _LINKS + _DEVICES + _FOLDER:
            size = 0  # what they announce is no room in the archive
        more = kind == b"S" and header[482] != 0
        while more:  # blocks that say where the holes are
            block = _at(file, start, BLOCK_BYTES)
            start, more = start + BLOCK_BYTES, len(block) == BLOCK_BYTES and block[504] != 0
        end = start + size
        if end > num_bytes:
            yield Odd(_name(header, attributes), f"{where}: {size:,} bytes are announced, the file ends before; a whole archive", "truncated")
            return
        if kind in _ATTRIBUTES:
            if size > MOST_NAME_BYTES:
                yield Odd("", f"{where}: {size:,} bytes of name and attributes; at most {MOST_NAME_BYTES:,}", "bad_row")
                return
            said = _at(file, start, size)
            if kind == b"L":
                attributes["path"] = _text(said.rstrip(b"\0"))
            elif kind in b"xX":
                attributes |= _pax(said)
        else:
            name = _name(header, attributes)
            if kind in _FILES and not name.endswith("/") and not any(key.startswith("GNU.sparse") for key in attributes):
                yield Member(name, start, size)
            elif kind != _FOLDER and not name.endswith("/"):
                found = (
                    "a link" if kind in _LINKS else "a device or a pipe" if kind in _DEVICES else "a file with holes, or of a kind that is unknown"
                )
                yield Odd(name, f"{found}; a plain file")
            attributes = {}
        offset = start + -(-size // BLOCK_BYTES) * BLOCK_BYTES
    file.seek(offset)
    while rest := file.read(2**20):
        if rest.count(0) < len(rest):
            yield Odd("", f"{where}: something follows the end of the archive; one archive a file", "bad_row")
            return


def _at(file: BinaryIO, offset: int, num_bytes: int) -> bytes:
    file.seek(offset)
    return file.read(num_bytes)


def _checks(header: bytes) -> bool:
    unsigned = sum(header) - sum(header[148:156]) + 8 * 32
    said = _number(header[148:156])
    return said is not None and said in (unsigned, unsigned - 256 * sum(byte > 127 for byte in header[:148] + header[156:]))  # old ones summed signed


def _number(field: bytes) -> int | None:
    """Octal, or of a large file base 256; None for what is neither or negative."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b"\0 ")
    if not digits:
        return 0
    return int(digits, 8) if not digits.strip(b"01234567") else None


def _name(header: bytes, attributes: dict[str, str]) -> str:
    if "path" in attributes:
        return attributes["path"]
    name = header[:100].split(b"\0", 1)[0]
    prefix = header[345:500].split(b"\0", 1)[0] if header[257:263] == b"ustar\0" else b""  # GNU's own format has times there
    return _text(prefix + b"/" + name if prefix else name)


def _pax(data: bytes) -> dict[str, str]:
    """``LENGTH KEY=VALUE\\n`` again and again; what does not follow that is passed over."""
    found, at = dict[str, str](), 0
    while match := re.compile(rb"([0-9]{1,7}) ([^=]+)=").match(data, at):
        end = at + int(match[1])
        if not match.end() < end <= len(data):
            break
        found[_text(match[2])] = _text(data[match.end() : end - 1])
        at = end
    return found


def _text(name: bytes) -> str:
    return name.decode(errors="surrogateescape")
