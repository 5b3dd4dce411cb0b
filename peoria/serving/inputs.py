"""Which pictures were asked for, and their squares: names in, arrays or reasons out, a few hundred at a time."""

import os
import re
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np

from peoria.errors import ConfigError
from shards.cpus import usable_cpus
from shards.errors import PictureError
from shards.fetch import FetchRules, is_address, read_file
from shards.fetch.fetcher import Fetcher
from shards.images.square import decode_square, encode_square
from shards.manifest import PictureRule
from shards.read.shard_set import decode_picture

BATCH = 250  # pictures that are decoded, and scored, at a time
AHEAD = 2  # batches that are decoded while another is scored
STDIN = "-"
ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".avif")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_MAGIC = re.compile(r"[*?[]")
_STARTS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM")  # of pictures
_LONGEST_NAME = 4096  # bytes of a path, on Linux


@dataclass(frozen=True)
class Input:
    """A picture that was asked for, or what is wrong with asking for it."""

    name: str
    error: str = ""


@dataclass(frozen=True)
class Squares:
    """A batch of pictures as the sweep's own are stored: made square by the packing rule, through a JPEG."""

    inputs: list[Input]
    """All of the batch, in order; one without an error has a row in ``squares``."""
    squares: np.ndarray
    """uint8 RGB [N, 256, 256, 3], of those that could be read."""
    sides_px: np.ndarray
    """Short side of each original, int64 [N]."""


def expand(given: Iterable[str | Path], stdin: BinaryIO | None = None) -> Iterator[Input]:
    """The pictures that names, addresses, folders (with all below, by their names' endings), globs and ``-`` (names from standard input) come to, one
    by one.

    Raises:
        ConfigError: ``-`` twice, or standard input that holds no names.
    """
    names = [os.fspath(one) for one in given]
    if names.count(STDIN) > 1:
        raise ConfigError(f"{STDIN}: given {names.count(STDIN)} times; once, for standard input ends")
    for name in names:
        if name == STDIN:
            assert stdin is not None
            for line in _names(stdin):
                yield from _one(line)
        elif _MAGIC.search(name) and not os.path.lexists(name) and not _ADDRESS.match(name):
            yield from _matches(name)
        else:
            yield from _one(name)


def _one(name: str) -> Iterator[Input]:
    if is_address(name):
        yield Input(name)
    elif _ADDRESS.match(name):
        yield Input(name, "an address of a kind that is not fetched; a file, or one that begins with http:// or https://")
    elif os.path.isdir(name):
        yield from _below(name)
    else:
        yield Input(name)


def _matches(pattern: str) -> Iterator[Input]:
    """By pathlib, whose ``**`` does not follow links to folders; hidden files and folders only where the pattern names them."""
    path = Path(pattern)
    if path.name == "**":
        yield from _one(str(path.parent))
        return
    try:
        found = sorted(str(one) for one in Path(path.anchor).glob(str(path.relative_to(path.anchor))) if not _is_hidden(one, path))
    except (ValueError, NotImplementedError, OSError) as error:
        yield Input(pattern, f"{error}; a glob, as 'new/*.jpg' or 'new/**/*.jpg'")
        return
    if not found:
        yield Input(pattern, "no such file, and nothing that it matches; a picture")
    for name in found:
        if not os.path.isdir(name):
            yield Input(name)
        elif "**" not in path.parts:  # which matches what is below by itself
            yield from _below(name)


def _is_hidden(found: Path, pattern: Path) -> bool:
    return any(part.startswith(".") and part != ".." and part not in pattern.parts for part in found.parts)


def _below(folder: str) -> Iterator[Input]:
    """Hidden files and folders are left out, as are links to folders, which may lead round in a ring."""
    problems: list[Input] = []
    num = 0
    for parent, folders, files in os.walk(folder, onerror=lambda error: problems.append(_unread(error))):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and _is_picture(name):
                num += 1
                yield Input(os.path.join(parent, name))
        yield from problems
        num += len(problems)
        problems.clear()
    yield from problems
    if not num and not problems:
        yield Input(folder, f"a folder without pictures; files that end in {' '.join(ENDINGS)}")


def _unread(error: OSError) -> Input:
    return Input(os.fsdecode(error.filename), f"{error.strerror}; a folder that can be read")


def _is_picture(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def _names(stdin: BinaryIO) -> Iterator[str]:
    """Names from a pipe as they come: one a line or, where a zero byte is among the first 4,096 bytes, ended by zero bytes."""
    text = b""
    while len(text) < _LONGEST_NAME and b"\0" not in text and (more := stdin.read1(1 << 16) if hasattr(stdin, "read1") else stdin.read(1 << 16)):
        text += more
    if text.startswith(_STARTS):
        raise ConfigError("standard input: the bytes of a picture; names of pictures, one a line", hint="give the name of its file")
    end = b"\0" if b"\0" in text else b"\n"
    text = text.removeprefix(b"\xef\xbb\xbf")
    while True:
        *whole, text = text.split(end)
        for name in whole:
            if name := _name(name, end):
                yield os.fsdecode(name)
        more = stdin.read1(1 << 16) if hasattr(stdin, "read1") else stdin.read(1 << 16)
        if not more:
            break
        text += more
    if last := _name(text, end):
        yield os.fsdecode(last)


def _name(line: bytes, end: bytes) -> bytes:
    return line.removesuffix(b"\r") if end == b"\n" else line


def decoded(inputs: Iterable[Input], rule: PictureRule, threads: int | None = None, fetch: FetchRules | None = None) -> Iterator[Squares]:
    """Batches in order, made by ``threads`` (None: one a CPU) while the caller works on the one before; some 50 MB each, three at a time. ``fetch``
    says how addresses are fetched.

    Args:
        rule: that the model's own pictures were made square by.

    Raises:
        FileError: the machine is at its limits, as of open files.
    """
    import cv2

    cv2.setNumThreads(1)  # pictures are parallel already
    left = iter(inputs)
    with ExitStack() as stack, ThreadPoolExecutor(threads or usable_cpus(), "decode") as pool:
        fetcher: Fetcher | None = None

        def fetched(one: Input) -> Future[bytes] | None:
            nonlocal fetcher
            if one.error or not is_address(one.name):
                return None
            if fetcher is None:
                fetcher = stack.enter_context(Fetcher(fetch or FetchRules(), Path(tempfile.gettempdir())))
            return fetcher.get(one.name)

        ahead: deque[tuple[list[Input], list[Future[tuple[np.ndarray, int] | str]]]] = deque()
        try:
            while True:
                while len(ahead) <= AHEAD and (batch := list(islice(left, BATCH))):
                    ahead.append((batch, [pool.submit(_decode, one, rule, fetched(one)) for one in batch]))
                if not ahead:
                    return
                yield _gathered(*ahead.popleft(), rule.crop_px)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # whoever stops in mid-way does not wait for all that was ahead,
            stack.close()  # nor for what is being fetched


def _gathered(batch: list[Input], making: list[Future[tuple[np.ndarray, int] | str]], side_px: int) -> Squares:
    made = [future.result() for future in making]
    inputs = [Input(one.name, found) if isinstance(found, str) else one for one, found in zip(batch, made, strict=True)]
    whole = [found for found in made if not isinstance(found, str)]
    squares = np.stack([square for square, _ in whole]) if whole else np.empty((0, side_px, side_px, 3), np.uint8)
    return Squares(inputs, squares, np.array([side for _, side in whole], np.int64))


def _decode(one: Input, rule: PictureRule, fetched: Future[bytes] | None) -> tuple[np.ndarray, int] | str:
    """The square and the original's short side, in px; or what is wrong."""
    if one.error:
        return one.error
    try:
        square, width, height = decode_square(read_file(Path(one.name)) if fetched is None else fetched.result(), rule)
    except PictureError as error:
        return "no such file; a picture" if error.reason == "missing_file" else str(error)
    except ValueError as error:  # a name that no file can have
        if "null" not in str(error):
            raise
        return "a zero byte in its name; a name without"
    problem = decode_picture(encode_square(square, rule), square := np.empty_like(square))
    assert not problem, problem
    return square, min(width, height)
