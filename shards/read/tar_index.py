"""Where each member of a shard lies, by walking the tar's headers; a mapped shard is then read at any place, in any order."""

import hashlib
import os
import re
from pathlib import Path
from types import TracebackType
from typing import Self

from shards.errors import DamagedShardError, ShardsError
from shards.files import not_as_packed, open_plain
from shards.manifest import Manifest, Shard

BLOCK_BYTES = 512
_NAME = re.compile(rb"([0-9]+)\.(jpg|json)")
_FILE = re.compile(r"(train|val|test)/[0-9]+(-[0-9]+)?\.tar")  # the second number: of the change that wrote it anew

Place = tuple[int, int]  # offset and size in bytes


class MappedShard:
    """One shard in memory, whole and as it was packed; ``places`` are of the pictures that were not removed. Use as a context manager.

    Raises DamagedShardError naming the shard where the file is missing, is not the one that was packed, or holds anything but pairs
    KEY.jpg, KEY.json.
    """

    def __init__(self, root: Path, shard: Shard) -> None:
        self.shard = shard
        self.root = root

    def __enter__(self) -> Self:
        import pyarrow as pa

        path = shard_path(self.root, self.shard)
        try:
            with open_plain(path) as file:
                if (found := os.fstat(file.fileno()).st_size) != self.shard.bytes:
                    raise DamagedShardError(f"{path}: {found} bytes; {self.shard.bytes} bytes were packed")
            with pa.memory_map(str(path)) as source:  # Python's own maps keep a descriptor each: a thousand shards would use them up
                self.data = memoryview(source.read_buffer()).cast("B")  # Arrow says signed
        except OSError as error:
            raise not_as_packed(error, path, "the shard that was packed") from None
        try:
            self.check()
            self.places = index(self.data, str(path))
            if len(self.places) != self.shard.num_samples:
                raise DamagedShardError(f"{path}: {len(self.places)} samples; {self.shard.num_samples} were packed")
            for key in self.shard.removed:
                if self.places.pop(key, None) is None:
                    raise DamagedShardError(f"{path}: no picture {key}, which was removed; the shard that was packed")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def close(self) -> None:
        self.__exit__(None, None, None)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.data.release()  # unmapped once the last member's view is gone too

    def check(self) -> None:
        """Compares the sha256 of the whole file: the only check that sees every flipped bit."""
        found = hashlib.sha256(self.data).hexdigest()
        if found != self.shard.sha256:
            path = shard_path(self.root, self.shard)
            raise DamagedShardError(f"{path}: sha256 {found[:16]}…; {self.shard.sha256[:16]}… was packed", hint="pack again")

    def member(self, key: str, suffix: str) -> memoryview:
        """The bytes of ``KEY.suffix``, a view that lives as long as the map."""
        offset, size = self.places[key][suffix]
        return self.data[offset : offset + size]


def index(data: memoryview, name: str) -> dict[str, dict[str, Place]]:
    """key → {"jpg": place, "json": place}, in the order of the file; ``name`` is for the text of DamagedShardError."""
    places: dict[str, dict[str, Place]] = {}
    offset = 0
    while offset + BLOCK_BYTES <= len(data):
        header = bytes(data[offset : offset + BLOCK_BYTES])
        if not any(header):
            break
        where = f"{name}: header at byte {offset}"
        if _octal(header[148:156]) != sum(header[:148]) + sum(b" " * 8) + sum(header[156:]):
            raise DamagedShardError(f"{where}: its checksum does not fit; a tar header")
        member = header[:100].split(b"\0", 1)[0]
        match, size = _NAME.fullmatch(member), _octal(header[124:136])
        if match is None or header[156:157] not in (b"0", b"\0") or header[345:500].strip(b"\0"):
            raise DamagedShardError(f"{where}: member {member.decode(errors='replace')!r}; plain files KEY.jpg and KEY.json, KEY of digits")
        if size is None or offset + BLOCK_BYTES + size > len(data):
            raise DamagedShardError(f"{where}: a member of {size} bytes; one that ends within the file")
        key, suffix = (part.decode() for part in match.groups())
        if suffix in places.setdefault(key, {}):
            raise DamagedShardError(f"{where}: a second {key}.{suffix}; one of each")
        places[key][suffix] = (offset + BLOCK_BYTES, size)
        offset += BLOCK_BYTES + -(-size // BLOCK_BYTES) * BLOCK_BYTES
    if len(data) < offset + 2 * BLOCK_BYTES or any(data[offset:]):
        raise DamagedShardError(f"{name}: no end of archive at byte {offset}; two empty blocks, and nothing after them")
    for key, found in places.items():
        if len(found) != 2:
            raise DamagedShardError(f"{name}: {key} has {', '.join(found)} only; jpg and json")
    return places


def shard_path(root: Path, shard: Shard) -> Path:
    return Path(os.path.realpath(root), shard.file)  # no Path.resolve: of a link to itself it raises what is no OSError


def check_paths(root: Path, manifest: Manifest) -> None:
    """Raises ShardsError for a shard that does not lie in its split's folder inside the set: a manifest is data, and data names no other file."""
    folder = Path(os.path.realpath(root))
    problems = []
    for shard in manifest.shards:
        plain = _FILE.fullmatch(shard.file) is not None and shard.file.startswith(f"{shard.split}/")
        if not plain or not Path(os.path.realpath(folder / shard.file)).is_relative_to(folder):
            problems.append(f"manifest.json: shards: file {shard.file!r}; a file like {shard.split}/00000.tar inside {folder}")
    if len({shard.file for shard in manifest.shards}) < len(manifest.shards):
        problems.append("manifest.json: shards: a file is named twice; each once")
    if problems:
        raise ShardsError(*problems, hint="the file was changed after packing: pack again")


def _octal(field: bytes) -> int | None:
    """None for what is no octal number (a header that was never a tar's)."""
    digits = field.strip(b"\0 ")
    return int(digits, 8) if digits and not digits.strip(b"01234567") else None
