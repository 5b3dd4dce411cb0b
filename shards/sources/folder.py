"""A folder of pictures and nothing else: counts come later. What KEY.json says of KEY.jpg beside it is taken along."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from shards.errors import TableError
from shards.sources.cells import Bad
from shards.sources.held import SUFFIXES, is_text, said
from shards.sources.pictures import Folder
from shards.sources.sidecars import fields, left_out, looked_through, placed, refuse_long
from shards.sources.source import BadRow, Pictures, Record
from shards.sources.tars import not_downloaded


class PictureFolder:
    """The picture files below a folder in the order of their names (`shards.sources.source.Source`). A row has ``path``, ``folder`` (the first one of
    the path; "" at the top) and the fields of its sidecar. Links to folders are not entered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pictures: Pictures = Folder(folder)
        self.name = Path(os.path.abspath(folder)).name or "folder"

    def header(self) -> Sequence[str]:
        return self._looked[0]

    def records(self) -> Iterator[Record | BadRow]:
        return (row for row, _ in self._rows({}))

    def sha256(self) -> str:
        """Of the rows and the sizes of the files; pictures are not read for it."""
        return self._looked[1]

    @property
    def without_counts(self) -> bool:
        """Whether nothing but pictures is there."""
        return self.header() == ("path", "folder")

    @property
    def remarks(self) -> tuple[str, ...]:
        return tuple(f"{number:,} of other files and links were passed over, the first {name}" for name, number in self._looked[2].items())

    @cached_property
    def _looked(self) -> tuple[tuple[str, ...], str, dict[str, int]]:
        passed = dict[str, int]()
        try:
            names, digest = looked_through(self._rows(passed), ("path", "folder"))
        except OSError as error:
            raise TableError(f"{self.folder}: {said(error)}; a folder of pictures") from None
        if not any(isinstance(row, dict) for row in self.records()):
            found = f"none among {sum(passed.values()):,} files, the first {next(iter(passed))}" if passed else "none"
            raise TableError(f"{self.folder}: {found}; pictures, as {', '.join(SUFFIXES[:6])}, in it or below")
        return names, digest, passed

    def _rows(self, passed: dict[str, int]) -> Iterator[tuple[Record | BadRow, int]]:
        """Each row and the size of its picture; the first of other files, and their number, are put into ``passed``."""
        below = [self._listed("")]  # folders in folders, not by recursion: they may be deeper than Python's calls
        while below:
            at = below[-1]
            entry = next(at.entries, None)
            if entry is None:
                below.pop()
                parquet = self.folder / f"{at.prefix.rstrip('/')}.parquet"  # img2dataset's, of files
                if at.prefix and parquet.is_file():
                    yield from ((row, 0) for row in not_downloaded(parquet, at.prefix.rstrip("/"), at.stems))
                continue
            path, (stem, suffix) = at.prefix + entry.name, os.path.splitext(entry.name)
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                try:
                    below.append(self._listed(path + "/"))
                except OSError as error:
                    yield left_out(f"{path}: {said(error)}; a folder that can be read", "bad_row", path), 0
            elif _is_picture(entry.name) and not entry.is_dir() and not is_text(path):
                yield left_out(f"{path!a}: a name that is not UTF-8; rename it", "bad_text", path), 0
            elif _is_picture(entry.name) and not entry.is_dir():
                yield self._row(path, entry, at.prefix + stem + ".json" if stem + ".json" in at.sidecars else "")
            elif not (suffix == ".json" and stem in at.stems):
                first = next(iter(passed), ascii(path))
                passed[first] = passed.get(first, 0) + 1

    def _listed(self, prefix: str) -> "_Listed":
        with os.scandir(self.folder / prefix) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        stems = {os.path.splitext(entry.name)[0] for entry in entries if _is_picture(entry.name)}
        return _Listed(prefix, iter(entries), stems, {entry.name for entry in entries if entry.name.endswith(".json")})

    def _row(self, path: str, entry: "os.DirEntry[str]", sidecar: str) -> tuple[Record | BadRow, int]:
        try:
            size = entry.stat().st_size
        except OSError:
            size = -1  # what is wrong is told where the picture is read
        beside: Record = {}
        if sidecar:
            try:
                refuse_long(os.stat(self.folder / sidecar).st_size)
                beside = fields((self.folder / sidecar).read_bytes())
            except (Bad, OSError) as error:
                return left_out(f"{sidecar}: {error.detail if isinstance(error, Bad) else said(error)}", "bad_row", path), 0
        folder, parted, _ = path.partition("/")
        return {"folder": folder if parted else ""} | placed(path, beside), size


@dataclass(frozen=True)
class _Listed:
    prefix: str  # of the names, "" or with a slash at its end
    entries: Iterator["os.DirEntry[str]"]  # in the order of their names
    stems: set[str]  # of pictures
    sidecars: set[str]


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1][1:].lower() in SUFFIXES
