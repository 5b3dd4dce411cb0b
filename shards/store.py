"""Files by name in a folder or in a bucket: one small set of operations, which behave the same in both, on obstore.

An address is a path, or a URL: ``s3://BUCKET/PREFIX``, ``gs://…``, ``az://CONTAINER/PREFIX``; ``memory://NAME`` lives as long as the process. Keys,
region and endpoint come from the variables that these stores' own tools read (AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL, …) or from the
machine's role, never from the address. A store that does not answer is told within `TOLD_WITHIN_S`.
"""

import hashlib
import io
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from shards.addresses import checked_name, checked_url, is_url
from shards.errors import MissingObjectError, ShardsError, StoreError
from shards.files import is_temporary, locked, open_plain, open_temporary, sync_folder, told, write_atomic, write_blocks
from shards.store_errors import in_words

TOLD_WITHIN_S = 60.0
BLOCK_BYTES = 2**20  # of `Store.stream`, at least, except for the last
PART_BYTES = 5 * 2**20  # of an upload; S3 takes none smaller
MOST_PARTS = 9_000  # S3 takes 10,000
PARTS_AT_ONCE = 2  # an upload at 0.5 MB/s still gets its parts through before `_WAIT` is over
# Retries begin within 25 s, and the last one has another 25 s for its answer: together below TOLD_WITHIN_S.
_WAIT = timedelta(seconds=25)
_RETRY: Any = {
    "max_retries": 20,
    "retry_timeout": _WAIT,
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=4), "base": 2},
}
_CLIENT: Any = {"connect_timeout": timedelta(seconds=5), "read_timeout": _WAIT, "timeout": timedelta(hours=12)}
_LOCK = ".store.lock"
_READABLE, _WRITABLE = "a file that can be read", "a folder that can be written to"
_MEMORY: dict[str, Any] = {}


class Store(Protocol):
    """Objects by name (``a/b.json``; letters, digits and ``._=+@-``). All methods raise StoreError, or FileError for a folder; `MissingObjectError`
    where there is no object of that name, `StoreAwayError` where another attempt may succeed. What is put is there whole or not at all.
    No name may be the folder of another."""

    def address(self, name: str = "") -> str:
        """Of the store, or of an object in it, as people may read it: it never holds a credential."""

    def get(self, name: str) -> bytes: ...

    def stream(self, name: str) -> Iterator[bytes]:
        """The object in blocks. A connection that breaks is made again where it was; an error may come after some blocks."""

    def put(self, name: str, data: bytes | Path) -> None:
        """Writes it, or replaces what is there; a Path is a local file, sent in parts where it is large."""

    def put_if_absent(self, name: str, data: bytes) -> str | None:
        """Writes it where nothing of that name is, and gives its version; None where something is. Of any number of writers one gets a version,
        unless its answer was lost on the way: it then finds its own ``data`` there, so who must know puts something of its own in."""

    def read_versioned(self, name: str) -> tuple[bytes, str]:
        """The bytes and the version of the same moment. Equal bytes may have equal versions."""

    def replace(self, name: str, data: bytes, version: str) -> str | None:
        """Writes it where ``version`` is still there, and gives the new one; None where another or nothing is."""

    def names(self, prefix: str = "") -> dict[str, int]:
        """name → bytes of all objects whose names begin with ``prefix/``, sorted."""

    def delete(self, name: str) -> None:
        """Also where there is none."""

    def stamped_at(self, name: str) -> float:
        """When the object was written, by the store's own clock, unix seconds."""


def open_store(address: str | Path) -> Store:
    """The folder or the bucket; nothing is asked of it yet. Raises StoreError for an address of another form, or with a password in it."""
    return Bucket(str(address)) if is_url(address) else Folder(Path(address))


def refuse_unfit(store: Store) -> None:
    """
    Raises:
        StoreError: the store cannot be written to, or it puts objects that it was to put only if absent or unchanged, as some servers do.
    """
    name = f"check-{secrets.token_hex(8)}"
    try:
        first = store.put_if_absent(name, b"1")
        again = store.put_if_absent(name, b"2")
        second = store.replace(name, b"3", first) if first else None
        late = store.replace(name, b"4", first) if first else None
        if not first or again or not second or late or store.get(name) != b"3":
            raise StoreError(f"{store.address()}: puts what it was to put only if absent; a store with conditional writes", hint="name another store")
    finally:
        with suppress(ShardsError):
            store.delete(name)


class Folder:
    """A folder of this machine, or one that several machines share; made by the first put."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def address(self, name: str = "") -> str:
        return str(self._path(name) if name else self.root)

    def get(self, name: str) -> bytes:
        return b"".join(self.stream(name))

    def stream(self, name: str) -> Iterator[bytes]:
        with self._told(name), open_plain(self._path(name)) as file:
            yield from _blocks(file)

    def put(self, name: str, data: bytes | Path) -> None:
        if isinstance(data, Path):
            with told(data, _READABLE), open_plain(data) as file:
                write_blocks(self._path(name), _blocks(file), os.fstat(file.fileno()).st_size)
        else:
            write_atomic(self._path(name), data)

    def put_if_absent(self, name: str, data: bytes) -> str | None:
        path = self._path(name)
        with told(path, _WRITABLE, num_bytes=len(data)):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = open_temporary(path)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(handle)
                    os.link(temporary, path)
            except FileExistsError:
                return None
            finally:
                os.unlink(temporary)
            sync_folder(path.parent)
        return _digest(data)

    def read_versioned(self, name: str) -> tuple[bytes, str]:
        data = self.get(name)
        return data, _digest(data)

    def replace(self, name: str, data: bytes, version: str) -> str | None:
        path = self._path(name)
        if not path.parent.is_dir():
            return None
        with told(path, _WRITABLE), locked(self.root / _LOCK), suppress(MissingObjectError):
            if self.read_versioned(name)[1] == version:
                write_atomic(path, data)
                return _digest(data)
        return None

    def names(self, prefix: str = "") -> dict[str, int]:
        top, found = self._path(prefix) if prefix else self.root, {}
        with told(top, "a folder that can be read"):
            for parent, folders, files in os.walk(top, onerror=_raise):
                folders.sort()
                for file in files:
                    if file != _LOCK and not is_temporary(file):
                        with suppress(FileNotFoundError):  # has just gone
                            found[Path(parent, file).relative_to(self.root).as_posix()] = os.lstat(Path(parent, file)).st_size
        return dict(sorted(found.items()))

    def delete(self, name: str) -> None:
        with told(self._path(name), "a file that can be removed"), suppress(FileNotFoundError, NotADirectoryError):
            os.unlink(self._path(name))

    def stamped_at(self, name: str) -> float:
        with self._told(name):
            return self._path(name).stat().st_mtime

    def _path(self, name: str) -> Path:
        return self.root / checked_name(name, self.root)

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        path = self._path(name)
        with told(path, _READABLE):
            try:
                yield
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                raise MissingObjectError(f"{path}: no such file") from None


class Bucket:
    """A bucket, or the part of it below a prefix."""

    def __init__(self, url: str) -> None:
        self._url = checked_url(url)
        import obstore.store  # not where only folders are used

        with self._told(None):
            if self._url.startswith("memory://"):
                self._store = _MEMORY.setdefault(self._url, obstore.store.MemoryStore())
            else:
                self._store = obstore.store.from_url(self._url, retry_config=_RETRY, client_options=_CLIENT | {"allow_http": _allows_http()})

    def address(self, name: str = "") -> str:
        return f"{self._url}/{checked_name(name, self._url)}" if name else self._url

    def get(self, name: str) -> bytes:
        return self.read_versioned(name)[0]

    def stream(self, name: str) -> Iterator[bytes]:
        import obstore

        with self._told(name):
            yield from map(bytes, obstore.get(self._store, name).stream(min_chunk_size=BLOCK_BYTES))

    def put(self, name: str, data: bytes | Path) -> None:
        import obstore

        with told(data, _READABLE) if isinstance(data, Path) else nullcontext(), _opened(data) as file:
            num_bytes = file.seek(0, os.SEEK_END)
            file.seek(0)
            with self._told(name):
                size = max(PART_BYTES, -(-num_bytes // MOST_PARTS))
                obstore.put(self._store, name, file, use_multipart=num_bytes > PART_BYTES, chunk_size=size, max_concurrency=PARTS_AT_ONCE)

    def put_if_absent(self, name: str, data: bytes) -> str | None:
        return self._put(name, data, "create")

    def read_versioned(self, name: str) -> tuple[bytes, str]:
        import obstore

        with self._told(name):
            found = obstore.get(self._store, name)
            return bytes(found.bytes()), _version(found.meta)

    def replace(self, name: str, data: bytes, version: str) -> str | None:
        try:
            mode = json.loads(version)
        except ValueError:
            return None  # of another store
        return self._put(name, data, mode)

    def names(self, prefix: str = "") -> dict[str, int]:
        import obstore

        with self._told(prefix or None):
            found = {entry["path"]: entry["size"] for some in obstore.list(self._store, prefix or None) for entry in some}
        return dict(sorted(found.items()))

    def delete(self, name: str) -> None:
        import obstore

        with suppress(MissingObjectError), self._told(name):
            obstore.delete(self._store, name)

    def stamped_at(self, name: str) -> float:
        import obstore

        with self._told(name):
            return float(obstore.head(self._store, name)["last_modified"].timestamp())

    def _put(self, name: str, data: bytes, mode: Any) -> str | None:
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with self._told(name):
            try:
                return _version(obstore.put(self._store, name, data, mode=mode, use_multipart=False))
            except (AlreadyExistsError, PreconditionError):
                return None

    @contextmanager
    def _told(self, name: str | None) -> Iterator[None]:
        from obstore.exceptions import BaseError

        where = self._url if name is None else f"{self._url}/{checked_name(name, self._url)}"
        try:
            yield
        except ShardsError:
            raise
        except (BaseError, OSError, ValueError) as error:
            raise in_words(str(error), where, self._url, absent=isinstance(error, FileNotFoundError)) from None
        except BaseException as error:  # a panic of the library's, which Python's Exception does not cover
            if type(error).__name__ != "PanicException":
                raise
            raise in_words(str(error), where, self._url) from None


def _allows_http() -> bool:
    words = [os.environ.get(f"{kind}_ALLOW_HTTP", "") for kind in ("AWS", "AZURE", "GOOGLE")]
    return any(word.strip().lower() in ("1", "true", "yes", "on") for word in words)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        yield block


def _opened(data: bytes | Path) -> BinaryIO:
    return open_plain(data) if isinstance(data, Path) else io.BytesIO(data)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _version(meta: Any) -> str:
    return json.dumps({part: meta[part] for part in ("e_tag", "version") if meta[part] is not None})


def _raise(error: OSError) -> None:
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error
