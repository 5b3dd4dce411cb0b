"""A packed set in a store of objects: its manifest is read there, its files come to this node once, into the cache, compared with their digests while
they come. From then on the set is a folder as any other; its shards may go again when room is needed and nobody uses them."""

import fcntl
import hashlib
import os
import stat
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from shards.addresses import is_url
from shards.cache.files import ANOTHER, FETCHED, USE, make_room, room_lock
from shards.cache.proof import foreign
from shards.errors import DamagedShardError, MissingObjectError, ShardsError
from shards.files import locked, open_plain, remove_stale, told, write_blocks
from shards.manifest import MANIFEST, MAX_BYTES, Manifest, Shard
from shards.read.openings import StoredSet
from shards.read.shard_set import ShardSet
from shards.store import Store, open_store

AT_ONCE = 8
MOST_TABLE_BYTES = 2**31
_HINT = "put the set there again: peoria pack TABLE --out {}"


def open_shards(address: str | Path, cache: Path, budget_bytes: int | None = None) -> ShardSet:
    """The packed set at a path or a URL. Of one in a store the manifest is read, and nothing else before it is wanted.

    Args:
        cache: the folder of this node that its files come into.
        budget_bytes: what the files of that folder may take together, as `shards.cache.mapped.built_once`.

    Raises:
        StoreError: the store cannot be read.
        ShardsError: there is no set, or its manifest is damaged.
    """
    if not is_url(address):
        return ShardSet(Path(address))
    source = Fetched(open_store(str(address)), cache, budget_bytes)
    return ShardSet(source.root, source)


def manifest_at(address: str | Path) -> Manifest:
    """The manifest alone; raises as `open_shards`."""
    return Manifest.load(Path(address)) if not is_url(address) else _manifest(open_store(str(address)))[0]


class Held:
    """Keeps the fetched shards of a split from being removed, while it lives."""

    def __init__(self, use: Path) -> None:
        handle = os.open(use, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        weakref.finalize(self, os.close, handle)
        with suppress(OSError):  # without locks nothing is removed either
            fcntl.flock(handle, fcntl.LOCK_SH)
        with suppress(OSError):
            os.utime(use)


class Fetched:
    """The `shards.read.shard_set.Source` of a set in a store; ``root`` is the folder of this node that its files come into."""

    def __init__(self, store: Store, cache: Path, budget_bytes: int | None = None) -> None:
        self.manifest, digest = _manifest(store)
        self.stored = StoredSet(store, self.manifest.identity)
        self.root = cache / FETCHED / f"{self.manifest.identity[:16]}-{digest[:16]}"  # sets of one identity may differ in their shards
        self._cache = cache
        self._budget_bytes = budget_bytes
        self._store = store

    def fetch_table(self, name: str) -> None:
        sha256 = self.manifest.files_sha256.get(name)
        with self._locked("tables"):
            path = self.root / name
            with suppress(OSError), open_plain(path) as file:
                if not foreign(os.fstat(file.fileno())) and (sha256 is None or hashlib.sha256(file.read()).hexdigest() == sha256):
                    return
            self._fetch(name, None, sha256, threading.Event())

    def held(self, split: str, shards: Sequence[Shard] | None = None) -> object:
        with told(self.root, "a folder that can be written to", hint=ANOTHER):
            self.root.mkdir(parents=True, exist_ok=True)
            held = Held(self.root / USE.format(split))
        shards = self.manifest.of_split([split]) if shards is None else shards
        if any(not self._there(shard) for shard in shards):
            with self._locked(split):  # one process of this node fetches, the others wait
                self._fetch_all(split, [shard for shard in shards if not self._there(shard)])
        return held

    def fetch_again(self, shard: Shard) -> None:
        with self._locked(shard.split):
            self._fetch(shard.file, shard.bytes, shard.sha256, threading.Event())

    def refuse_incomplete(self, splits: Iterable[str]) -> None:
        shards, there = self.manifest.of_split(splits), dict[str, int]()
        for split in sorted({shard.split for shard in shards}):
            there |= self._store.names(split)
        problems = [
            f"{self._store.address(shard.file)}: {'no such object' if (found := there.get(shard.file)) is None else f'{found} bytes'}; "
            f"{shard.bytes} bytes were packed"
            for shard in shards
            if there.get(shard.file) != shard.bytes
        ]
        if problems:
            raise DamagedShardError(*problems, hint=_HINT.format(self._store.address()))

    @contextmanager
    def _locked(self, what: str) -> Iterator[None]:
        """One process of this node, and one of its threads, at a time."""
        with ExitStack() as stack:
            with told(self.root, "a folder that can be written to", hint=ANOTHER):
                self.root.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(self.root / f".{what}.lock", private=True))
            yield

    def _there(self, shard: Shard) -> bool:
        """Of its size and nobody else's; its bytes were compared when they came, and are again before they are used."""
        try:
            found = os.lstat(self.root / shard.file)
        except OSError:
            return False
        return stat.S_ISREG(found.st_mode) and found.st_size == shard.bytes and not foreign(found)

    def _fetch_all(self, split: str, shards: list[Shard]) -> None:
        if not shards:
            return
        remove_stale(self.root / split)
        num_bytes = sum(shard.bytes for shard in shards)
        with told(self._cache, "a folder that can be written to", hint=ANOTHER), room_lock(self._cache):
            make_room(self.root / split, num_bytes, self._budget_bytes, what=f"the shards of {split}", cache=self._cache)
        stop, problems = threading.Event(), list[str]()
        pool = ThreadPoolExecutor(AT_ONCE, "fetch")
        try:
            for done in as_completed([pool.submit(self._fetch, shard.file, shard.bytes, shard.sha256, stop) for shard in shards]):
                try:
                    done.result()
                except DamagedShardError as error:
                    problems += error.problems
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
        if problems:
            raise DamagedShardError(*sorted(problems), hint=_HINT.format(self._store.address()))

    def _fetch(self, name: str, num_bytes: int | None, sha256: str | None, stop: threading.Event) -> None:
        """One file, under its name only once all of its bytes are here and are those that were packed."""
        address, hint = self._store.address(name), _HINT.format(self._store.address())

        def checked() -> Iterator[bytes]:
            digest, size = hashlib.sha256(), 0
            for block in self._store.stream(name):
                size += len(block)
                if stop.is_set():
                    raise ShardsError(f"{address}: not fetched, for another was not")
                if size > (MOST_TABLE_BYTES if num_bytes is None else num_bytes):
                    raise DamagedShardError(f"{address}: more than {size - len(block)} bytes; {num_bytes} bytes were packed", hint=hint)
                digest.update(block)
                yield block
            if num_bytes is not None and size != num_bytes:
                raise DamagedShardError(f"{address}: {size} bytes; {num_bytes} bytes were packed", hint=hint)
            if sha256 is not None and (found := digest.hexdigest()) != sha256:
                raise DamagedShardError(f"{address}: sha256 {found[:16]}…; {sha256[:16]}… was packed", hint=hint)

        try:
            write_blocks(self.root / name, checked(), num_bytes or 0, mode=0o644)
        except MissingObjectError:
            raise DamagedShardError(f"{address}: no such object; the one that was packed", hint=hint) from None


def _manifest(store: Store) -> tuple[Manifest, str]:
    """The manifest and the sha256 of its bytes."""
    data = b""
    try:
        for block in store.stream(MANIFEST):
            data += block
            if len(data) > MAX_BYTES:
                raise DamagedShardError(f"{store.address(MANIFEST)}: more than {MAX_BYTES:,} bytes; the {MANIFEST} that was packed")
    except MissingObjectError:
        text = f"{store.address()}: no {MANIFEST}; a packed set has one, written last"
        raise ShardsError(text, hint=f"peoria pack TABLE --out {store.address()}") from None
    return Manifest.parsed(data, store.address(MANIFEST)), hashlib.sha256(data).hexdigest()
