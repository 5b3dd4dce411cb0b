"""A packed set as arrays: labels, and decoded pictures in the same order. Nothing damaged is handed out, and no test row without an opening."""

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from shards.errors import DamagedShardError, ShardsError, TestSplitClosedError
from shards.labels import Labels, labels_of, read_labels
from shards.manifest import LABELS, SPLITS, Manifest, Shard
from shards.read.openings import TestOpening, openings
from shards.read.tar_index import MappedShard, check_paths, shard_path

if TYPE_CHECKING:
    import pyarrow as pa

NUM_THREADS = 4  # simplejpeg lets the others run: two give 1.7 to 1.9 times the pictures
TASK_PICTURES = 16  # handed to a thread at once: one by one a twelfth of the time goes into handing over


class ShardSet:
    """The set packed in ``root``. Raises ShardsError where there is none, or where its manifest names files outside."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.manifest = Manifest.load(self.root)
        check_paths(self.root, self.manifest)

    @property
    def side_px(self) -> int:
        return self.manifest.picture_rule.crop_px

    @cached_property
    def table(self) -> "pa.Table":
        """labels.parquet, all splits, as it was packed: for this package's own use (`labels` guards the test rows). Raises DamagedShardError."""
        return read_labels(self.root, self.manifest)

    def num_pictures(self, split: str) -> int:
        return sum(shard.num_samples for shard in self.manifest.of_split([_known(split)]))

    def labels(self, split: str, opening: TestOpening | None = None) -> Labels:
        """The rows of a split in the order of their keys. Raises TestSplitClosedError and DamagedShardError."""
        import pyarrow.compute as pc

        self.check_open(split, opening)
        rows = self.table.filter(pc.equal(self.table["split"], split)).sort_by("key")
        return labels_of(rows, self.manifest.source.kept_columns)

    def check_open(self, split: str, opening: TestOpening | None) -> None:
        """Raises TestSplitClosedError for "test" unless ``opening`` is on record for these data."""
        if _known(split) != "test":
            return
        if opening is None:
            found = "no opening"
        elif opening.identity != self.manifest.identity:
            found = f"opening {opening.number} is of other data"
        elif opening not in openings(self.root):
            found = f"opening {opening.number} is not on record"
        else:
            return
        raise TestSplitClosedError(f"split 'test' of {self.root}: {found}; one made by shards.read.openings.open_test", hint="peoria report opens it")

    def verify_files(self, splits: Iterable[str] = SPLITS) -> None:
        """Compares every shard of ``splits`` with its digest. Raises DamagedShardError naming all that differ."""
        with ThreadPoolExecutor(NUM_THREADS) as pool:
            problems = [text for text in pool.map(self._problem, self.manifest.of_split([_known(split) for split in splits])) if text]
        if problems:
            raise DamagedShardError(*problems, hint="fetch these files again, or pack again")

    def decode(self, split: str, out: np.ndarray, opening: TestOpening | None = None) -> None:
        """Fills ``out`` (uint8 [N, side, side, 3], contiguous) with RGB, picture i beside row i of `labels`.

        Each shard is checked against its digest before a picture of it is decoded. Raises TestSplitClosedError and DamagedShardError.
        """
        keys = self.labels(split, opening).keys
        assert out.shape == (len(keys), self.side_px, self.side_px, 3), out.shape
        assert out.dtype == np.uint8, out.dtype
        assert out.flags.c_contiguous
        places = {key: place for place, key in enumerate(keys.tolist())}
        pictures = np.asarray(out)  # indexing a memmap itself costs more
        with ThreadPoolExecutor(NUM_THREADS) as pool:
            for shard in self.manifest.of_split([split]):
                with MappedShard(self.root, shard) as mapped:
                    path, names = shard_path(self.root, shard), list(mapped.places)
                    rows = take_rows(path, names, places)

                    def fill(part: slice, mapped: MappedShard = mapped, names: list[str] = names, rows: list[int] = rows) -> list[str]:
                        return [decode_picture(mapped.member(name, "jpg"), pictures[row]) for name, row in zip(names[part], rows[part], strict=True)]

                    parts = [slice(start, start + TASK_PICTURES) for start in range(0, len(names), TASK_PICTURES)]
                    raise_problems(path, zip(names, chain.from_iterable(pool.map(fill, parts)), strict=True))
        refuse_left(self.root, split, places)

    def _problem(self, shard: Shard) -> str:
        """What is wrong with the whole file, "" for nothing; by plain reads, for it may lie where nothing can be mapped."""
        path = shard_path(self.root, shard)
        try:
            with path.open("rb") as file:
                num_bytes, found = os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            return f"{path}: {error.strerror}; the shard that was packed"
        if num_bytes != shard.bytes:
            return f"{path}: {num_bytes} bytes; {shard.bytes} bytes were packed"
        return "" if found == shard.sha256 else f"{path}: sha256 {found[:16]}…; {shard.sha256[:16]}… was packed"


def take_rows(path: Path, names: list[str], places: dict[str, int]) -> list[int]:
    """The row of each picture of a shard, taken out of ``places``. Raises DamagedShardError for a picture without one."""
    unknown = next((name for name in names if name not in places), None)
    if unknown is not None:
        raise DamagedShardError(f"{path}: picture {unknown} has no row in {LABELS}; one each")
    return [places.pop(name) for name in names]


def refuse_left(root: Path, split: str, places: dict[str, int]) -> None:
    """Raises DamagedShardError for rows that no shard had a picture for."""
    if places:
        raise DamagedShardError(f"{root / LABELS}: {len(places)} pictures of {split} are in no shard, first {min(places)}; one each")


def decode_picture(jpeg: bytes | memoryview, out: np.ndarray) -> str:
    """Fills ``out``; returns what is wrong with the picture, "" for nothing."""
    import simplejpeg

    try:
        shape = simplejpeg.decode_jpeg(jpeg, "RGB", buffer=out).shape
    except ValueError as error:
        return str(error)
    return "" if shape == out.shape else f"{shape[1]} x {shape[0]} pixels"


def raise_problems(path: Path, results: Iterable[tuple[str, str]]) -> None:
    problems = [f"{path}: {key}.jpg: {problem}; a JPEG of the size that was packed" for key, problem in results if problem]
    if problems:
        raise DamagedShardError(*problems, hint="fetch the shard again, or pack again")


def _known(split: str) -> str:
    if split not in SPLITS:
        raise ShardsError(f"split: {split!r}; {', '.join(SPLITS)}")
    return split
