"""YFCC100M's metadata: a line for each of 100 million photos and videos of Flickr, parted by tabs, without a header, in one file or in ten.

B. Thomee et al., "YFCC100M: The New Data in Multimedia Research", Communications of the ACM 59(2), 2016. It holds no counts: `peoria flickr counts`
asks for them.
"""

import bz2
import gzip
import hashlib
import heapq
import json
import re
import stat
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_plus

from shards.digests import files_sha256
from shards.errors import TableError
from shards.files import told
from shards.sources.frequent import IN_MEMORY, Count, most_frequent
from shards.sources.pictures import Folder
from shards.sources.source import BadRow, Pictures, Record
from shards.sources.written import write_table
from shards.words import counted

COLUMNS = ("id", "path", "owner", "uploaded_at", "taken_at", "tags", "page", "licence", "device")
MAX_SAMPLE = 2_000_000  # drawn lines are kept in memory, about 0.5 kB each
NAME = "yfcc100m_dataset"  # as the files of the metadata begin
BLOCK_BYTES = 2**20
MAX_LINE_BYTES = 2**22
# Columns of the layout of 23; that of 25 has a line number before the id, and a hash after it.
_OWNER, _TAKEN_AT, _UPLOADED_AT, _DEVICE, _TAGS, _PAGE, _PATH, _LICENCE, _MARKER = 1, 3, 4, 5, 8, 13, 14, 15, 22
_LAYOUTS = {23: (0, 0), 25: (1, 2)}  # number of columns → column of the id, shift of the others
_PLAIN = re.compile(rb"[!-$&-*,-~]*")  # neither % nor + nor blanks
_ACCEPTED = "23 or 25, parted by tabs, as yfcc100m_dataset has them"

Progress = Callable[[str, int, int], None]
"""Is told (what is done, bytes read, bytes in all)."""
Cells = tuple[bytes, ...]
"""Of a photo, in the order of COLUMNS."""


@dataclass
class Seen:
    """Of one reading of all lines."""

    photos: int = 0
    videos: int = 0
    bad: int = 0
    first_bad: str = ""
    layouts: dict[str, int] = field(default_factory=dict)  # file → number of columns
    eligible: int = 0  # photos that have one of the most frequent tags, where that was asked


class Yfcc:
    """The photos of YFCC100M's metadata (`shards.sources.source.Source`), or a part of them; paths are addresses.

    Args:
        given: files, or folders of them; of a folder those whose names begin with ``yfcc100m_dataset``, else all. Plain, .bz2 or .gz, by their bytes.
        top_tags: only photos that have one of the so many most frequent user tags, counted over all photos, case aside, ties by name.
        sample: so many of these, drawn uniformly over them all, not by tag: those whose ids have the smallest hashes. A smaller sample of a seed is
            part of a larger one.
        seed: another sample.
        scratch: the folder for what does not fit memory while tags are counted (default: TMPDIR).
    """

    without_counts = True

    def __init__(
        self,
        given: Path | Sequence[Path],
        top_tags: int | None = None,
        sample: int | None = None,
        seed: int = 0,
        *,
        progress: Progress | None = None,
        scratch: Path | None = None,
        tags_in_memory: int = IN_MEMORY,
    ) -> None:
        if sample is not None and sample > MAX_SAMPLE:
            raise TableError(f"sample: {sample:,}; at most {MAX_SAMPLE:,}", hint="leave it out, and all are taken")
        paths = [Path(given)] if isinstance(given, (str, Path)) else [Path(path) for path in given]
        self.files = [file for path in paths for file in _files(path)]
        self.name = paths[0].name if len(paths) == 1 else NAME
        self.pictures: Pictures = Folder(paths[0] if paths[0].is_dir() else paths[0].parent)
        self.seen = Seen()
        self.top: list[Count] | None = None  # the most frequent tags, case-folded UTF-8, once they are counted
        self._top_tags, self._sample, self._seed = top_tags, sample, seed
        self._progress, self._scratch, self._tags_in_memory = progress, scratch, tags_in_memory
        self._drawn: list[bytes] | None = None  # cells parted by tabs

    def header(self) -> Sequence[str]:
        """Raises TableError, naming the file, where one has another layout."""
        for file in self.files:
            for _ in self._lines(file, Seen(), ""):
                break
        return COLUMNS

    def records(self) -> Iterator[Record | BadRow]:
        """In the order of the files. Videos are left out. ``tags`` is a list of text; all else is text as it stands there.

        A line that cannot be read comes as a `BadRow`, except where photos are drawn; ``seen`` counts them in any case."""
        if self._sample is not None:
            if self._drawn is None:
                self._drawn = self._draw(self._sample)
            yield from (_record(tuple(cells.split(b"\t"))) for cells in self._drawn)
            return
        for cells in self._eligible("reading photos"):
            yield cells if isinstance(cells, BadRow) else _record(cells)

    def sha256(self) -> str:
        return files_sha256(self.files)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was taken for granted, after a reading."""
        said = [f"{name}: YFCC100M metadata of {columns} columns" for name, columns in self.seen.layouts.items()]
        if self.seen.videos:
            said.append(f"{counted(self.seen.videos, 'video')} left out")
        if self.seen.bad:
            said.append(f"{counted(self.seen.bad, 'line')} cannot be read, the first: {self.seen.first_bad}")
        return tuple(said)

    def _draw(self, num: int) -> list[bytes]:
        heap: list[tuple[int, int, bytes]] = []  # the largest hash first, of equal ones the last line
        salt = f"{self._seed}\nsample\n".encode()
        for place, cells in enumerate(self._eligible("drawing photos")):
            if isinstance(cells, BadRow):
                continue
            order = (-int.from_bytes(hashlib.sha256(salt + cells[0]).digest()[:8]), -place)
            if len(heap) < num:
                heapq.heappush(heap, (*order, b"\t".join(cells)))
            elif order > heap[0][:2]:
                heapq.heapreplace(heap, (*order, b"\t".join(cells)))
        return [cells for _, _, cells in sorted(heap, key=lambda drawn: -drawn[1])]

    def _eligible(self, what: str) -> Iterator[Cells | BadRow]:
        """Photos that have one of the most frequent tags, where that was asked, else all."""
        if self._top_tags is not None and self.top is None:
            photos = (folded_tags(cells[5]) for cells in self._photos(Seen(), "counting tags") if not isinstance(cells, BadRow))
            self.top = most_frequent(photos, self._top_tags, self._scratch, self._tags_in_memory)
        top = None if self.top is None else {tag for tag, _ in self.top}
        seen = self.seen = Seen()
        for cells in self._photos(seen, what):
            if top is None or isinstance(cells, BadRow) or not top.isdisjoint(folded_tags(cells[5])):
                seen.eligible += not isinstance(cells, BadRow)
                yield cells

    def _photos(self, seen: Seen, what: str) -> Iterator[Cells | BadRow]:
        before = 0
        for file in self.files:
            yield from self._lines(file, seen, what, before)
            before += file.stat().st_size
        if seen.bad and not seen.photos:
            raise TableError(
                f"{self.name}: no photo in {counted(seen.bad, 'line')}; {seen.first_bad}", hint="a file of YFCC100M's metadata, unchanged"
            )

    def _lines(self, path: Path, seen: Seen, what: str, before: int = 0) -> Iterator[Cells | BadRow]:
        layout, number = 0, 0
        total = sum(file.stat().st_size for file in self.files) if self._progress and what else 0
        for lines, num_bytes in _blocks(path):
            for line in lines:
                number += 1
                cells = line.split(b"\t")
                if len(cells) != layout:
                    if not line.strip():
                        continue
                    if not layout:
                        layout = seen.layouts[path.name] = _layout(path, cells)
                        of_id, shift = _LAYOUTS[layout]
                        columns = [of_id, *(column + shift for column in (_PATH, _OWNER, _UPLOADED_AT, _TAKEN_AT, _TAGS, _PAGE, _LICENCE, _DEVICE))]
                    else:
                        yield _bad(seen, f"{path.name}, line {number}: {len(cells)} columns; {layout}, as in the first line")
                        continue
                marker = cells[-1].strip()
                if marker == b"1":
                    seen.videos += 1
                elif marker != b"0" or not cells[of_id].isdigit():
                    yield _bad(seen, f"{path.name}, line {number}: id {cells[of_id][:20]!a}, marker {marker[:20]!a}; a number, and 0 or 1")
                else:
                    seen.photos += 1
                    yield tuple([cells[column] for column in columns])
            if self._progress and what:
                self._progress(what, before + num_bytes, total)
        if not layout:
            raise TableError(f"{path.name}: no lines; {_ACCEPTED}")


def write_sample(source: Yfcc, out: Path) -> str:
    """Writes the photos of ``source`` as a table (`shards.sources.written.write_table`); returns what to say of it. ``tags`` is a JSON list.

    Raises TableError where there are none, and as `Yfcc` and `write_table` do."""
    rows = (record | {"tags": json.dumps(record["tags"], ensure_ascii=False)} for record in source.records() if not isinstance(record, BadRow))
    num = write_table(out, COLUMNS, (), _some(rows, source))
    lines = [f"{out}: {counted(num, 'photo')} of {counted(source.seen.photos, 'photo')}", *(f"  {remark}" for remark in source.remarks)]
    if source.top is not None:
        shown = ", ".join(f"{tag.decode()} ({count:,})" for tag, count in source.top[:3])
        last = f" … {source.top[-1][0].decode()} ({source.top[-1][1]:,})" if len(source.top) > 3 else ""
        lines.append(
            f"  {counted(source.seen.eligible, 'photo has', 'photos have')} one of the {len(source.top):,} most frequent tags: {shown}{last}"
        )
    return "\n".join(lines)


def _some(rows: Iterator[Record], source: Yfcc) -> Iterator[Record]:
    first = next(rows, None)
    if first is None:
        raise TableError(f"{source.name}: no photo; at least one" + (", with one of the most frequent tags" if source.top is not None else ""))
    yield first
    yield from rows


def folded_tags(text: bytes) -> set[bytes]:
    """The tags of a photo as they are counted: unquoted, case-folded, blanks made one, UTF-8; each once."""
    plain = _PLAIN.fullmatch(text)  # nothing is quoted: most photos
    tags = set(text.lower().split(b",")) if plain else {tag.casefold().encode() for tag in readable_tags(text)}
    tags.discard(b"")
    return tags


def readable_tags(text: bytes) -> list[str]:
    """The tags of a photo, form-encoded and parted by commas, as people wrote them."""
    tags = (" ".join(unquote_plus(tag).split()) for tag in text.decode(errors="replace").split(","))
    return [tag for tag in tags if tag]


def _record(cells: Cells) -> Record:
    identity, path, owner, uploaded_at, taken_at, tags, page, licence, device = cells
    return {
        "id": identity.decode(),
        "path": _text(path),
        "owner": unquote(_text(owner)),
        "uploaded_at": _text(uploaded_at),
        "taken_at": _text(taken_at),
        "tags": readable_tags(tags),
        "page": _text(page),
        "licence": _text(licence),
        "device": unquote_plus(_text(device)),
    }


def _text(cell: bytes) -> str:
    return cell.decode(errors="replace")


def _bad(seen: Seen, detail: str) -> BadRow:
    seen.bad += 1
    seen.first_bad = seen.first_bad or detail
    return BadRow(detail)


def _layout(path: Path, cells: list[bytes]) -> int:
    if len(cells) not in _LAYOUTS:
        raise TableError(
            f"{path.name}: {counted(len(cells), 'column')} in its first line; {_ACCEPTED}",
            hint="yfcc100m_autotags, _exif, _hash, _lines and _places are other files of the data set; the SQLite form is not read",
        )
    identity = cells[_LAYOUTS[len(cells)][0]]
    if not identity.isdigit() or cells[-1].strip() not in (b"0", b"1"):
        raise TableError(
            f"{path.name}: id {identity[:20]!a} and marker {cells[-1][:20]!a} in its first line; a number, and 0 or 1: there is no header"
        )
    return len(cells)


def _files(path: Path) -> list[Path]:
    with told(path, "a file of YFCC100M's metadata, or a folder of them"):
        if not stat.S_ISDIR(path.stat().st_mode):
            if not path.is_file():  # a pipe cannot be read twice
                raise TableError(f"{path}: a pipe or a device; a file of YFCC100M's metadata, or a folder of them")
            return [path]
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    files = [file for file in files if file.name.startswith(NAME)] or files
    if not files:
        raise TableError(f"{path}: no files; those of YFCC100M's metadata, as yfcc100m_dataset or yfcc100m_dataset-0.bz2")
    return files


def _blocks(path: Path) -> Iterator[tuple[list[bytes], int]]:
    """Whole lines, some at a time, and how many bytes of the file were read for them. Raises TableError, FileError."""
    number, rest = 0, b""
    with told(path, "a file of YFCC100M's metadata"), path.open("rb") as raw:
        magic = raw.read(3)
        raw.seek(0)
        file: Any = bz2.BZ2File(raw) if magic == b"BZh" else gzip.GzipFile(fileobj=raw) if magic[:2] == b"\x1f\x8b" else raw
        while True:
            try:
                block = file.read(BLOCK_BYTES)
            except (EOFError, zlib.error, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise  # the disk's
                raise TableError(f"{path.name}: damaged or cut off after line {number:,} ({error}); a whole file", hint="fetch it again") from None
            lines = (rest + block).split(b"\n")
            rest = lines.pop() if block else b""
            if len(rest) > MAX_LINE_BYTES:
                raise TableError(f"{path.name}: line {number + len(lines) + 1:,} is longer than {MAX_LINE_BYTES:,} bytes; {_ACCEPTED}")
            number += len(lines)
            yield lines, raw.tell()
            if not block:
                return
