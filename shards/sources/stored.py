"""Pictures and tables that lie in a store of objects: s3://, gs://, az://."""

import re
import shutil
import tempfile
import weakref
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath

from shards.addresses import without_user
from shards.errors import MissingObjectError, PictureError, TableError
from shards.fetch import MAX_FILE_BYTES
from shards.files import told
from shards.sources.cells import Bad
from shards.sources.held import refuse_large
from shards.sources.pictures import Folder
from shards.sources.source import BadRow, Pictures, Record
from shards.sources.tables import TableFile
from shards.store import Bucket, open_store

_ODD = re.compile(r"[\x00-\x1f\x7f]")
_WEB = re.compile(r"https?://", re.IGNORECASE)


@dataclass(frozen=True)
class StoredPictures:
    """Pictures by their names below an address (`shards.sources.source.Pictures`); a store that is away raises StoreAwayError."""

    url: str

    def check(self, given: str) -> str:
        if not given.strip():
            raise Bad("empty_path", "empty; the name of a picture in the store")
        if _WEB.match(given):
            return Folder(Path()).check(given)
        name = given.removeprefix(f"{self.url}/")
        if "://" in name:
            raise Bad("path_outside", f"{without_user(name)!r} is not below {self.url}; give the address that holds all pictures")
        if _ODD.search(name):
            raise Bad("not_a_file", f"{name!r} holds a control character; the name of a picture")
        parts = PurePosixPath(name).parts
        if ".." in parts or name.startswith("/") or not parts:
            raise Bad("path_outside", f"{name!r} leaves {self.url}; a name below it")
        return "/".join(parts)

    def read(self, path: str) -> bytes:
        try:
            return _bucket(self.url).picture(path)
        except MissingObjectError:
            raise PictureError("missing_file", "no such object; one in the store of the pictures") from None


class _Pictures(Bucket):
    """A bucket whose objects others have named, in any characters."""

    def picture(self, name: str) -> bytes:
        import obstore

        with self._told(None):
            found = obstore.get(self._store, name)
            size = int(found.meta["size"])
            data = bytes(found.bytes()) if size <= MAX_FILE_BYTES else b""
        refuse_large(size)
        return data


@lru_cache(8)
def _bucket(url: str) -> _Pictures:
    """Of this process: a bucket is not pickled, and making one anew costs a connection."""
    return _Pictures(url)


class StoredTable:
    """A table in a store (`shards.sources.source.Source`), brought here when it is first read; pictures are beside it, if nowhere else."""

    selects = encoded = True

    def __init__(self, url: str, pictures: Pictures | None = None, **how: str) -> None:
        """``how`` it is to be read, as `TableFile` takes it."""
        self._how = how
        self._parent, _, self.name = url.rpartition("/")
        self.pictures = pictures or StoredPictures(self._parent)

    @cached_property
    def _here(self) -> TableFile:
        folder = Path(tempfile.mkdtemp(prefix="peoria-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        path = folder / self.name
        with told(path, "a folder with room for the table", hint="TMPDIR=DIR names another"), path.open("wb") as file:
            for block in open_store(self._parent).stream(self.name):
                file.write(block)
        if path.suffix.lower() == ".parquet":
            from shards.sources.parquets import columns_of

            if columns_of(path).pictures:
                raise TableError(f"{self.name}: pictures in a Parquet file of a store; one of this machine", hint="copy it here first")
        return TableFile(path, pictures=self.pictures, **self._how)

    def header(self) -> Sequence[str]:
        return self._here.header()

    def records(self, columns: Collection[str] | None = None) -> Iterator[Record | BadRow]:
        return self._here.records(columns)

    def sha256(self) -> str:
        return self._here.sha256()

    @property
    def remarks(self) -> tuple[str, ...]:
        return self._here.remarks
