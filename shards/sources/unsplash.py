"""The photos of the Unsplash data set, as it comes: ``photos.tsv000`` and its further parts. It names pictures by address, and has no favourites."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from shards.digests import files_sha256
from shards.errors import TableError
from shards.sources.held import said
from shards.sources.source import BadRow, Pictures, Record

SIDE_PX = 512  # of the short side that is asked for: twice what is packed
COLUMNS = {
    "id": "photo_id",
    "path": "photo_image_url",
    "views": "stats_views",
    "owner": "photographer_username",
    "uploaded_at": "photo_submitted_at",
    "page": "photo_url",
}
_ADDRESS = re.compile(r"https://images\.unsplash\.com/[^?#]+")
_NEEDED = {"photo_id", "photo_image_url", "stats_views"}
_MOST_CELL = 2**24  # characters


class Unsplash:
    """The parts in the order of their names (`shards.sources.source.Source`), under the data set's own names; `suggested` says which are ours."""

    def __init__(self, parts: Sequence[Path], name: str, pictures: Pictures) -> None:
        self.parts, self.name, self.pictures = tuple(sorted(parts)), name, pictures

    def header(self) -> Sequence[str]:
        return self._header

    @property
    def suggested(self) -> Mapping[str, str]:
        """Our fields that the data set has, but for those that somebody has put in as columns."""
        return {field: column for field, column in COLUMNS.items() if field not in self._header}

    def records(self) -> Iterator[Record | BadRow]:
        for part in self.parts:
            for line, cells in _lines(part):
                if len(cells) != len(self._header):
                    yield BadRow(f"{part.name}: line {line}: {len(cells)} cells; {len(self._header)}, as in the header")
                    continue
                record: Record = dict(zip(self._header, cells, strict=True))
                yield record | {"photo_image_url": sized(record["photo_image_url"], record.get("photo_width"), record.get("photo_height"))}

    def sha256(self) -> str:
        return files_sha256(self.parts)

    @cached_property
    def _header(self) -> tuple[str, ...]:
        headers = [_header_of(part) for part in self.parts]
        problems = [
            f"{part.name}: no columns {', '.join(sorted(_NEEDED - {*header}))}; photos.tsv000 of the Unsplash data set"
            for part, header in zip(self.parts, headers, strict=True)
            if not {*header} >= _NEEDED
        ]
        problems += [
            f"{part.name}: other columns than {self.parts[0].name}; the same"
            for part, header in zip(self.parts, headers, strict=True)
            if header != headers[0]
        ]
        if problems:
            raise TableError(*problems)
        return headers[0]


def is_unsplash(path: Path) -> bool:
    """By the names of its columns. Nothing is raised: what it is if not is for others to say."""
    try:
        with path.open("rb") as file:
            first = file.readline(2**16)
    except OSError:
        return False
    return {name.encode() for name in _NEEDED} <= {*first.strip(b"\xef\xbb\xbf\r\n").split(b"\t")}


def sized(address: str, width: str | None, height: str | None) -> str:
    """The address of the picture with a short side of `SIDE_PX`, by the parameters that Unsplash documents; one that has parameters already stays."""
    if not _ADDRESS.fullmatch(address):
        return address
    try:
        sides = int(width or 0), int(height or 0)
    except ValueError:
        sides = (0, 0)
    wide = -(-SIDE_PX * sides[0] // min(sides)) if min(sides) > 0 else 2 * SIDE_PX
    return f"{address}?fit=max&fm=jpg&q=90&w={max(wide, SIDE_PX)}"


def _header_of(part: Path) -> tuple[str, ...]:
    return tuple(next((cells for _, cells in _lines(part, header=True)), ()))


def _lines(part: Path, header: bool = False) -> Iterator[tuple[int, list[str]]]:
    """The number and the cells of each line, the header's or all others."""
    csv.field_size_limit(max(csv.field_size_limit(), _MOST_CELL))
    try:
        with part.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter="\t", strict=True)
            for number, cells in enumerate(reader):
                if header or (number and cells):
                    yield reader.line_num, cells
    except (csv.Error, UnicodeDecodeError) as error:
        raise TableError(f"{part.name}: {error}; the file as Unsplash gives it") from None
    except OSError as error:
        raise TableError(f"{part}: cannot be read: {said(error)}; photos.tsv000 of the Unsplash data set") from None
