"""A packed set as arrays: labels, and decoded pictures in the same order. Nothing damaged is handed out, and no test row without an opening."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from shards.errors import DamagedShardError, ShardsError, TestSplitClosedError
from shards.files import open_plain
from shards.images.near_duplicates import nearest_within
from shards.labels import Labels, each_group, labels_of, read_labels, read_packed
from shards.manifest import LABELS, SPLITS, Manifest, Shard
from shards.read.openings import StoredSet, TestOpening, openings
from shards.read.tar_index import MappedShard, check_paths, shard_path
from shards.read.vaults import Vaults
from shards.words import counted

if TYPE_CHECKING:
    import pyarrow as pa

NUM_THREADS = 4  # simplejpeg lets the others run: two give 1.7 to 1.9 times the pictures
COUNTS = ("views", "favorites", "comments")
TASK_PICTURES = 16  # handed to a thread at once: one by one a twelfth of the time goes into handing over


class Source(Protocol):
    """Where a set lies whose files come into a folder of this node when they are wanted (`shards.cache.fetched`)."""

    stored: StoredSet
    manifest: Manifest

    def fetch_table(self, name: str) -> None:
        """Puts the table ``name`` into the folder, if it has one; one that is there and whole stays."""

    def held(self, split: str, shards: Sequence[Shard] | None = None) -> object:
        """Puts those shards of a split into the folder that are not in it, of all or of some of them, and keeps what is there of the split while what
        it returns lives."""

    def fetch_again(self, shard: Shard) -> None:
        """Replaces what lies in the folder, which was found to be damaged."""

    def refuse_incomplete(self, splits: Iterable[str]) -> None:
        """Raises DamagedShardError for shards that are not where the set lies, or not of their size; their bytes are not read."""


class ShardSet:
    """The set packed in ``root``; or in a ``source``, from which its files come into ``root`` when they are wanted. Raises ShardsError where there
    is none, or where its manifest names files outside."""

    def __init__(self, root: Path, source: Source | None = None) -> None:
        self.root = Path(root)
        self.source = source
        self.manifest = Manifest.load(self.root) if source is None else source.manifest
        check_paths(self.root, self.manifest)

    @property
    def address(self) -> str:
        """Where the set lies, for people."""
        return str(self.root) if self.source is None else self.source.stored.store.address()

    @property
    def at(self) -> Path | StoredSet:
        """Where its openings are on record."""
        return self.root if self.source is None else self.source.stored

    @property
    def side_px(self) -> int:
        return self.manifest.picture_rule.crop_px

    @cached_property
    def table(self) -> "pa.Table":
        """labels.parquet, all splits, as it was packed: for this package's own use (`labels` guards the test rows). Raises DamagedShardError."""
        if self.source is not None:
            self.source.fetch_table(self.manifest.file_of(LABELS))
        with self._as_opened():
            return read_labels(self.root, self.manifest)

    def packed(self, name: str, columns: Sequence[str]) -> "pa.Table":
        """``columns`` of another table beside the shards. Raises DamagedShardError as `shards.labels.read_packed`."""
        if self.source is not None:
            self.source.fetch_table(self.manifest.file_of(name))
        with self._as_opened():
            return read_packed(self.root, name, self.manifest, columns)

    @contextmanager
    def _as_opened(self) -> Iterator[None]:
        """Tells damage from a change (`shards.living`) that came after the set was opened, and took away files that it knows."""
        try:
            yield
        except DamagedShardError:
            now = Manifest.load(self.root) if self.source is None else self.manifest
            if now.generation == self.manifest.generation:
                raise
            what = "compacted" if now.identity == self.manifest.identity else f"changed to {now.identity[:12]}"
            found = f"opened as {self.manifest.identity[:12]}, and meanwhile {what}"
            raise ShardsError(f"{self.address}: {found}; the set as it was opened", hint="open it again: the same command, begun anew") from None

    def each_group(self, name: str, take: "Callable[[pa.Table], None]", columns: Sequence[str] | None = None) -> None:
        """Gives ``take`` the rows of a table a group after another, as `shards.labels.each_group`: for this package's own use, as `table`."""
        if self.source is not None:
            self.source.fetch_table(self.manifest.file_of(name))
        with self._as_opened():
            each_group(self.root, name, self.manifest, take, columns)

    def sealed(self, split: str, opening: TestOpening | None) -> set[str]:
        """The keys of test that the opening does not show; none of another split. Raises DamagedShardError."""
        if opening is None or split != "test":
            return set()
        return set(np.array(self._rows(split)["key"].to_pylist())[~self._shown(opening)].tolist())

    def num_pictures(self, split: str) -> int:
        """Sealed or not."""
        return sum(shard.num_pictures for shard in self.manifest.of_split([_known(split)]))

    def check_counted(self) -> None:
        """Raises ShardsError where the set was packed without counts."""
        if not self.manifest.has_counts:
            raise ShardsError(
                f"{self.address}: packed without counts; views of each picture", hint=f"peoria recount {self.address} TABLE puts them in"
            )

    def labels(self, split: str, opening: TestOpening | None = None) -> Labels:
        """The rows of a split in the order of their keys; of test those that the opening shows. Raises TestSplitClosedError, DamagedShardError, and
        ShardsError where there are no counts."""
        self.check_open(split, opening)
        self.check_counted()
        rows = self._rows(split)
        if opening is not None and split == "test":
            rows = rows.filter(self._shown(opening))
        return labels_of(rows, self.manifest.source.kept_columns)

    def test_columns(self, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Columns of all of test that are no counts, object [N] each, in the order of its keys. Raises DamagedShardError."""
        wanted = [name for name in names if name not in COUNTS]
        rows = self._rows("test")
        return {name: np.array(rows[name].to_pylist(), dtype=object) for name in wanted if name in rows.column_names}

    @cached_property
    def vaults(self) -> Vaults:
        """Those of test, in the order of its keys. Raises DamagedShardError."""
        columns = self.test_columns(("owner", "id"))
        earlier = {ancestor.identity: ancestor.num_vaults for ancestor in self.manifest.lineage}
        return Vaults.cut(columns["owner"], columns["id"], self.manifest.split_rule, self.manifest.identity, earlier)

    def part(self, opening: TestOpening) -> str:
        """Names what an opening shows of test, "" for all of it."""
        held = self.vaults.held_by(opening)
        return "" if held == (1, self.vaults.num) else f"vaults {held[0]} to {held[1]}"

    def _rows(self, split: str) -> "pa.Table":
        import pyarrow.compute as pc

        return self.table.filter(pc.equal(self.table["split"], split)).sort_by("key")

    def _shown(self, opening: TestOpening) -> np.ndarray:
        """The rows of test that the opening shows: those of its vaults, less the near-duplicates of what earlier vaults have shown, bool [N]."""
        held = self.vaults.held_by(opening)
        shown = self.vaults.within(held)
        if held[0] > 1:
            before, rows = np.flatnonzero(self.vaults.of < held[0]), np.flatnonzero(shown)
            nearest, _ = nearest_within(self._test_hashes[rows], self._test_hashes[before], self.manifest.split_rule.near_duplicate_bits)
            shown[rows[nearest >= 0]] = False
        return shown

    @cached_property
    def _test_hashes(self) -> np.ndarray:
        """The perceptual hash of each test picture, uint8 [N, 32], as it was packed. Raises DamagedShardError."""
        keys = self._rows("test")["key"].to_pylist()
        places = dict(zip(keys, range(len(keys)), strict=True))
        found = np.zeros((len(keys), 32), np.uint8)
        held = self.held("test")
        for shard in self.manifest.of_split(["test"]):
            with closing(self.mapped(shard)) as mapped:
                path = shard_path(self.root, shard)
                names, rows = take_rows(path, list(mapped.places), places)
                for name, row in zip(names, rows, strict=True):
                    try:
                        found[row] = np.frombuffer(bytes.fromhex(json.loads(bytes(mapped.member(name, "json")))["pdq"]), np.uint8)
                    except (ValueError, TypeError, KeyError, RecursionError):
                        raise DamagedShardError(f"{path}: {name}.json: no perceptual hash; the one that was packed", hint="pack again") from None
        del held
        refuse_left(self.root, "test", places)
        return found

    def check_open(self, split: str, opening: TestOpening | None) -> None:
        """Raises TestSplitClosedError for "test" unless ``opening`` is on record for these data."""
        if _known(split) != "test":
            return
        if opening is None:
            found = "no opening"
        elif opening.identity != self.manifest.identity:
            found = f"opening {opening.number} is of other data"
        elif opening not in openings(self.at):
            found = f"opening {opening.number} is not on record"
        else:
            return
        raise TestSplitClosedError(
            f"split 'test' of {self.address}: {found}; one made by shards.read.openings.open_test", hint="peoria report opens it"
        )

    def verify_files(self, splits: Iterable[str] = SPLITS) -> None:
        """Compares every shard of ``splits`` with its digest; those of a set in a store come to this node. Raises DamagedShardError naming all that
        differ."""
        splits = [_known(split) for split in splits]
        held = [self.held(split) for split in splits]
        with ThreadPoolExecutor(NUM_THREADS) as pool:
            problems = [text for text in pool.map(self._problem, self.manifest.of_split(splits)) if text]
        del held
        if problems:
            with self._as_opened():
                raise DamagedShardError(*problems, hint="fetch these files again, or pack again")

    def held(self, split: str, shards: Sequence[Shard] | None = None) -> object:
        """Keeps the shards of a split, or some of them, on this node while what it returns lives; nothing for a set in a folder."""
        return None if self.source is None else self.source.held(_known(split), shards)

    def mapped(self, shard: Shard) -> MappedShard:
        """The shard, open: for `MappedShard.__exit__` to close. Raises DamagedShardError, of a set in a store only where the object there is damaged,
        and not its copy."""
        try:
            with self._as_opened():
                return MappedShard(self.root, shard).__enter__()
        except DamagedShardError:
            if self.source is None:
                raise
        self.source.fetch_again(shard)
        return MappedShard(self.root, shard).__enter__()

    def decode(self, split: str, out: np.ndarray, opening: TestOpening | None = None) -> None:
        """Fills ``out`` (uint8 [N, side, side, 3], contiguous) with RGB, picture i beside row i of `labels`.

        Each shard is checked against its digest before a picture of it is decoded. Raises TestSplitClosedError and DamagedShardError.
        """
        keys = self.labels(split, opening).keys
        sealed = self.sealed(split, opening)
        assert out.shape == (len(keys), self.side_px, self.side_px, 3), out.shape
        assert out.dtype == np.uint8, out.dtype
        assert out.flags.c_contiguous
        places = {key: place for place, key in enumerate(keys.tolist())}
        pictures = np.asarray(out)  # indexing a memmap itself costs more
        held = self.held(split)
        with ThreadPoolExecutor(NUM_THREADS) as pool:
            for shard in self.manifest.of_split([split]):
                with closing(self.mapped(shard)) as mapped:
                    path = shard_path(self.root, shard)
                    names, rows = take_rows(path, list(mapped.places), places, sealed)

                    def fill(part: slice, mapped: MappedShard = mapped, names: list[str] = names, rows: list[int] = rows) -> list[str]:
                        return [decode_picture(mapped.member(name, "jpg"), pictures[row]) for name, row in zip(names[part], rows[part], strict=True)]

                    parts = [slice(start, start + TASK_PICTURES) for start in range(0, len(names), TASK_PICTURES)]
                    raise_problems(path, zip(names, chain.from_iterable(pool.map(fill, parts)), strict=True))
        del held
        refuse_left(self.root, split, places)

    def _problem(self, shard: Shard) -> str:
        """What is wrong with the whole file, "" for nothing; by plain reads, for it may lie where nothing can be mapped. A damaged copy of what
        lies in a store is fetched again."""
        text = self._found(shard)
        if text and self.source is not None:
            self.source.fetch_again(shard)
            return ""
        return text

    def _found(self, shard: Shard) -> str:
        path = shard_path(self.root, shard)
        try:
            with open_plain(path) as file:
                num_bytes, digest = os.fstat(file.fileno()).st_size, hashlib.sha256()
                while block := file.read(2**20):
                    digest.update(block)
        except OSError as error:
            return f"{path}: {error.strerror}; the shard that was packed"
        if num_bytes != shard.bytes:
            return f"{path}: {num_bytes} bytes; {shard.bytes} bytes were packed"
        found = digest.hexdigest()
        return "" if found == shard.sha256 else f"{path}: sha256 {found[:16]}…; {shard.sha256[:16]}… was packed"


def take_rows(path: Path, names: list[str], places: dict[str, int], sealed: Set[str] = frozenset()) -> tuple[list[str], list[int]]:
    """The pictures of a shard without those that are ``sealed``, and the row of each, taken out of ``places``. Raises DamagedShardError for a picture
    without one."""
    unknown = next((name for name in names if name not in places and name not in sealed), None)
    if unknown is not None:
        raise DamagedShardError(f"{path}: picture {unknown} has no row in {LABELS}; one each")
    names = [name for name in names if name in places]
    return names, [places.pop(name) for name in names]


def refuse_left(root: Path, split: str, places: dict[str, int]) -> None:
    """Raises DamagedShardError for rows that no shard had a picture for."""
    if places:
        are = f"{counted(len(places), 'picture')} of {split} {'is' if len(places) == 1 else 'are'}"
        raise DamagedShardError(f"{root / LABELS}: {are} in no shard, first {min(places)}; one each")


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
