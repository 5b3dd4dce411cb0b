"""A shard's bytes, block by block: the tar that WebDataset's own writer makes, which imports torch."""

import hashlib
import json
import tarfile
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shards.errors import DamagedShardError
from shards.files import write_blocks
from shards.manifest import PictureRule, Shard
from shards.pack import staging
from shards.pack.layout import PlannedShard
from shards.pack.rowfile import RowFile

QUALITY_SINCE = 3  # the version of the picture rule from which on the quality of the hash is kept beside a picture
USER = "peoria"
_RECORD = tarfile.RECORDSIZE


class TarWriter:
    """Writes tars, also where a pack that was interrupted wrote one: what lies there may have changed, and writing is the cheap part."""

    def __init__(self, out: Path, work: Path, rule: PictureRule, columns: Container[str], staged: RowFile) -> None:
        """``work`` is the folder of what was ``staged``."""
        self.out, self.work, self.rule, self.staged = out, work, rule, staged
        self.columns = [name for name in ("licence", "page") if name in columns]
        self.old = {int(path.stem): path for path in (self.work / staging.OLD).glob("*/*.tar")}  # by number

    def write(self, planned: PlannedShard, rows: np.ndarray) -> Shard:
        names = ["row", "id", "path", "width", "height", "original_sha256", "pdq", "quality", "jpeg_sha256", "chunk", "offset", "bytes"]
        lines = self.staged.take(rows, [*names, *self.columns]).to_pylist()
        sidecars = [self._sidecar(line) for line in lines]
        num_bytes = size([length(line["bytes"], sidecar) for line, sidecar in zip(lines, sidecars, strict=True)])
        digest = hashlib.sha256()

        def blocks() -> Iterator[bytes]:
            written = 0
            for key, line, sidecar in zip(planned.keys, lines, sidecars, strict=True):
                for block in sample(key, self._jpeg(line), sidecar):
                    digest.update(block)
                    written += len(block)
                    yield block
            digest.update(last := end(written))
            yield last

        write_blocks(self.out / planned.file, blocks(), num_bytes)
        return Shard(file=planned.file, split=planned.split, sha256=digest.hexdigest(), bytes=num_bytes, num_samples=len(planned.keys))

    def _sidecar(self, line: dict[str, Any]) -> bytes:
        sidecar = {"id": line["id"], "source": line["path"], "width": line["width"], "height": line["height"]}
        sidecar |= {"sha256": line["original_sha256"].hex(), "pdq": line["pdq"].hex()}
        if self.rule.version >= QUALITY_SINCE:
            sidecar["quality"] = line["quality"]
        sidecar |= {name: line[name] for name in self.columns}
        return json.dumps(sidecar, sort_keys=True, allow_nan=False).encode()

    def _jpeg(self, line: dict[str, Any]) -> bytes:
        chunk = line["chunk"]
        path = staging.path_of(self.work, chunk, "jpegs") if chunk >= 0 else self.old[-1 - chunk]
        jpeg = staging.read_jpeg(path, line["offset"], line["bytes"])
        if hashlib.sha256(jpeg).digest() != line["jpeg_sha256"]:
            raise DamagedShardError(
                f"{self.work}: the picture of row {line['row']} is not the one made ready", hint=f"delete {self.work} and pack again"
            )
        return jpeg


def length(jpeg_bytes: int, sidecar: bytes) -> int:
    """Of a sample, its two members with their headers."""
    return sum(tarfile.BLOCKSIZE + num_bytes + _padding(num_bytes) for num_bytes in (jpeg_bytes, len(sidecar)))


def size(sizes: Sequence[int]) -> int:
    """Of a tar whose samples are so long."""
    end = sum(sizes) + 2 * tarfile.BLOCKSIZE
    return -(-end // _RECORD) * _RECORD


def sample(key: str, jpeg: bytes, sidecar: bytes) -> Iterator[bytes]:
    for name, data in ((f"{key}.jpg", jpeg), (f"{key}.json", sidecar)):
        yield _header(name, len(data))
        yield data
        yield b"\0" * _padding(len(data))


def end(num_bytes: int) -> bytes:
    """What closes a tar of which so much was written."""
    return b"\0" * (size([num_bytes]) - num_bytes)


def _header(name: str, num_bytes: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = num_bytes, 0, 0o444
    member.uname = member.gname = USER
    return member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _padding(num_bytes: int) -> int:
    return -num_bytes % tarfile.BLOCKSIZE
