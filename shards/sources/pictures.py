"""Pictures as files in a folder, or by their addresses."""

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from shards.errors import PictureError
from shards.fetch import is_address, read_file
from shards.fetch.guard import checked
from shards.sources.cells import Bad

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://|(https?|ftps?|file|s3|gs|az):/|(data):image/", re.IGNORECASE)  # with one slash as a Path prints it


@dataclass(frozen=True)
class Folder:
    """Pictures by their paths relative to a folder (`shards.sources.source.Pictures`), or by http(s) addresses, which a pack fetches beforehand
    (`shards.fetch.fetched_chunks`)."""

    folder: Path

    def check(self, given: str) -> str:
        """Judged by its text: a link inside the folder may lead anywhere, it is the owner's."""
        if not given.strip():
            raise Bad("empty_path", "empty; the path of a picture file")
        if is_address(given.strip()):
            return _address(given)
        if scheme := _SCHEME.match(given):
            kind = next(filter(None, scheme.groups())).lower()
            raise Bad("not_a_file", f"{given[:100]!r} is an address of the kind {kind}:; the path of a file, or http:// or https://")
        if "\0" in given:
            raise Bad("not_a_file", f"{given!r} holds a zero byte; the path of a file")
        folder = os.path.abspath(self.folder)
        relative = os.path.relpath(os.path.join(folder, given), folder)
        if relative == os.pardir or relative.startswith(os.pardir + os.sep):
            raise Bad("path_outside", f"{given!r} leaves the folder of the pictures; a path inside it, or give the folder that holds them all")
        return PurePosixPath(*Path(relative).parts).as_posix()

    def read(self, path: str) -> bytes:
        if is_address(path):
            raise ValueError(f"{path!r} is an address, and no file of {self.folder}: shards.fetch gets it")
        return read_file(self.folder / path)


def _address(given: str) -> str:
    try:
        checked(given)
    except PictureError as error:
        raise Bad(error.reason, error.detail) from None
    return given.strip()
