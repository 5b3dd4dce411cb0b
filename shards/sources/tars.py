"""Tars of samples, as img2dataset and WebDataset write them: KEY.jpg, and beside it KEY.json with its counts.

Members are grouped as webdataset groups them: those that follow one another and have one key, the path up to the first dot of the file's name.
Where img2dataset has left SHARD.parquet beside SHARD.tar, what it could not download is a row too.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import BinaryIO

from shards.errors import PictureError, TableError
from shards.sources.cells import Bad
from shards.sources.held import SUFFIXES, judged, refuse_large, said
from shards.sources.sidecars import fields, left_out, looked_through, placed, refuse_long
from shards.sources.source import BadRow, Pictures, Record
from shards.sources.tar_walk import Member, Odd, members

MOST_MEMBERS = 1_000_000  # of a tar: where each picture lies is kept in memory
_TEXTS = ("txt", "cls")
_KEY = re.compile(r"((?:.*/|)[^.]+)\.([^/]*)", re.DOTALL)  # webdataset's base_plus_ext
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # what steers a terminal, and what is no text
_META = re.compile(r"__[^/]*__(/|$)")  # passed over there too
_KEPT_OPEN = 4  # tars of which a process remembers where the pictures are


class Tars:
    """The samples of some tars in the order of their names (`shards.sources.source.Source`)."""

    def __init__(self, folder: Path, tars: Sequence[str], name: str) -> None:
        """``tars`` relative to ``folder``."""
        self.folder, self.tars, self.name = folder, tuple(sorted(tars)), name
        self.pictures: Pictures = TarPictures(folder)

    def header(self) -> Sequence[str]:
        return self._looked[0]

    def records(self) -> Iterator[Record | BadRow]:
        return (row for row, _ in self._rows({}))

    def sha256(self) -> str:
        """Of the rows, and of the names and sizes of their pictures; the pictures themselves are not read for it."""
        return self._looked[1]

    @property
    def remarks(self) -> tuple[str, ...]:
        return tuple(f"{number:,} members belong to no sample, the first {name}; KEY.jpg with KEY.json" for name, number in self._looked[2].items())

    @cached_property
    def _looked(self) -> tuple[tuple[str, ...], str, dict[str, int]]:
        passed = dict[str, int]()
        return *looked_through(self._rows(passed), ("path", "key")), passed

    def _rows(self, passed: dict[str, int]) -> Iterator[tuple[Record | BadRow, int]]:
        """Each row, and the size of its picture; of members that belong to none the first and their number are put into ``passed``."""
        for tar in self.tars:
            path = self.folder / tar
            keys: set[str] | None = set() if path.with_suffix(".parquet").is_file() else None
            try:
                with path.open("rb") as file:
                    for group in _groups(file, tar, path.stat().st_size, passed):
                        yield _row(tar, group, file)
                        if keys is not None:
                            keys.add(group[0].name.rpartition("/")[2].partition(".")[0])
            except OSError as error:
                raise TableError(f"{path}: cannot be read: {error.strerror}; a tar of pictures") from None
            if keys is not None:
                yield from ((row, 0) for row in not_downloaded(path.with_suffix(".parquet"), tar, keys))


def _groups(file: BinaryIO, tar: str, num_bytes: int, passed: dict[str, int]) -> Iterator[list[Member | Odd]]:
    """Members of one key, as they follow one another; an archive's own damage is a group of its own."""
    group: list[Member | Odd] = []
    key: str | None = None
    for number, member in enumerate(members(file, num_bytes)):
        if isinstance(member, Odd) and not number and member.reason == "bad_row":
            raise TableError(f"{tar}: {member.detail}", hint="unpack what is compressed (gunzip), or leave the file out")
        if number >= MOST_MEMBERS:
            raise TableError(f"{tar}: more than {MOST_MEMBERS:,} members; smaller tars")
        match = None if _META.match(member.name) else _KEY.fullmatch(member.name)
        if match is None and (member.name or isinstance(member, Member)):
            first = next(iter(passed), ascii(f"{tar}/{member.name}"))
            passed[first] = passed.get(first, 0) + 1
            continue
        found = match[1] if match else None
        if group and (found is None or found != key):
            yield group
            group = []
        group.append(member)
        key = found
    if group:
        yield group


def _row(tar: str, group: list[Member | Odd], file: BinaryIO) -> tuple[Record | BadRow, int]:
    match = _KEY.fullmatch(group[0].name)
    if match is None:
        assert isinstance(group[0], Odd)
        return left_out(f"{tar}: {group[0].detail}", group[0].reason), 0
    key, found = match[1], dict[str, Member | Odd]()
    where = f"{tar}/{key}"
    for member in group:
        suffix = member.name[len(key) + 1 :].lower()
        if isinstance(member, Odd):
            return left_out(f"{tar}/{member.name}: {member.detail}", member.reason, key), 0
        if _ODD.search(member.name) or {"..", ""} & {*member.name.split("/")}:
            return left_out(f"{tar}: a member named {member.name!a}; a path inside the tar", "path_outside", ascii(key)), 0
        if suffix in found:
            return left_out(f"{where}: two members {suffix!r}; one of each", id=key), 0
        found[suffix] = member
    at = _picture_of(list(found))
    if at is None:
        found_text = ", ".join(sorted(found)) or "nothing"
        accepted = f"one picture, as {key.rpartition('/')[2]}.jpg, beside it (members of a key lie together: tar --sort=name)"
        return left_out(f"{where}: {found_text}; {accepted}", "no_picture", key), 0
    said_of: Record = {}
    for suffix in ("json", *_TEXTS):
        if suffix not in found:
            continue
        try:
            read = _fields(suffix, file, found[suffix])
        except Bad as bad:
            return left_out(f"{where}.{suffix}: {bad.detail}", bad.reason, key), 0
        said_of = read | said_of  # what the JSON has of a name counts
    picture = found[at]
    assert isinstance(picture, Member)
    return {"key": key} | placed(f"{tar}/{picture.name}", said_of), picture.size


def _picture_of(suffixes: list[str]) -> str | None:
    """Which member of a sample is its picture: the first of a plain suffix, else the only one whose suffix ends in one."""
    plain = [suffix for suffix in suffixes if suffix in SUFFIXES]
    others = [suffix for suffix in suffixes if suffix.rpartition(".")[2] in SUFFIXES]
    return plain[0] if plain else others[0] if len(others) == 1 else None


def _fields(suffix: str, file: BinaryIO, member: Member | Odd) -> Record:
    assert isinstance(member, Member)
    refuse_long(member.size)
    file.seek(member.offset)
    return fields(file.read(member.size), "" if suffix == "json" else suffix)


def not_downloaded(parquet: Path, tar: str, there: set[str]) -> Iterator[BadRow]:
    """Rows of img2dataset's own table of a shard of which the tar has no sample."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(parquet) as table:
            names = table.schema_arrow.names
            if not {"key", "status"} <= {*names}:
                return
            wanted = [name for name in ("key", "status", "error_message") if name in names]
            for batch in table.iter_batches(batch_size=1000, columns=wanted):
                for line in batch.to_pylist():
                    key = str(line["key"])
                    if line["status"] != "success":
                        yield left_out(
                            f"{tar}: {key}: {line['status']}: {line.get('error_message')}; a picture that was downloaded", "not_downloaded", key
                        )
                    elif key not in there:
                        yield left_out(f"{tar}: no sample {key}; one of each that {parquet.name} has", "no_picture", key)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        yield left_out(f"{parquet.name}: {said(error)}; the table that img2dataset wrote")


@dataclass(frozen=True)
class TarPictures:
    """Pictures by tar and member, as ``00003.tar/000030005.jpg`` (`shards.sources.source.Pictures`)."""

    folder: Path

    def check(self, given: str) -> str:
        if not given.strip():
            raise Bad("empty_path", "empty; TAR/MEMBER, as 00003.tar/000030005.jpg")
        if not re.search(r"\.tar/.", given) or "\0" in given:
            raise Bad("not_a_file", f"{given!r} is in no tar; TAR/MEMBER, as 00003.tar/000030005.jpg")
        if {"..", ""} & {*given.split("/")}:
            raise Bad("path_outside", f"{given!r} leaves the folder of the tars; a path inside it")
        return given

    def read(self, path: str) -> bytes:
        for match in re.finditer(r"\.tar/", path):  # a folder may have such a name too
            tar, name = self.folder / path[: match.end() - 1], path[match.end() :]
            if not tar.is_dir():
                return _read_member(tar, name)
        raise PictureError("missing_file", "no such tar; one in the folder of the tars")


def _read_member(tar: Path, name: str) -> bytes:
    with judged(tar):
        found = tar.stat()
        place = _places(tar, found.st_size, found.st_mtime_ns).get(name)
        if place is None:
            raise PictureError("missing_file", "no such member; a plain file in the tar")
        refuse_large(place[1])
        with tar.open("rb") as file:
            file.seek(place[0])
            data = file.read(place[1])
    if len(data) < place[1]:
        raise PictureError("truncated", f"{len(data)} of {place[1]} bytes; a whole tar")
    return data


@lru_cache(_KEPT_OPEN)
def _places(tar: Path, num_bytes: int, changed_ns: int) -> dict[str, tuple[int, int]]:
    """name → offset and size of each picture; of two of one name the first, as the rows have it."""
    found: dict[str, tuple[int, int]] = {}
    with tar.open("rb") as file:
        for member in members(file, num_bytes):
            if isinstance(member, Member) and member.name.rpartition(".")[2].lower() in SUFFIXES:
                found.setdefault(member.name, (member.offset, member.size))
            if len(found) > MOST_MEMBERS:
                break
    return found
