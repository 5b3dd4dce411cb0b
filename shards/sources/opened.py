"""Which origin it is that was given: by its name, by its suffix, or by what lies there."""

import difflib
import glob
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shards.addresses import checked_url, is_url
from shards.errors import ShardsError, TableError
from shards.sources.folder import PictureFolder
from shards.sources.held import SUFFIXES
from shards.sources.parquets import SUFFIXES as PARQUET
from shards.sources.parquets import Parquets, columns_of
from shards.sources.pictures import Folder
from shards.sources.rows import Table, read_source
from shards.sources.source import Pictures, Source
from shards.sources.stored import StoredPictures, StoredTable
from shards.sources.tables import TableFile
from shards.sources.tars import Tars
from shards.sources.unsplash import Unsplash, is_unsplash
from shards.sources.yfcc import NAME as YFCC
from shards.sources.yfcc import Yfcc

_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
_PARTS = re.compile(r"\.(tsv|csv)[0-9]{3}$", re.IGNORECASE)  # as Unsplash's are called


def open_source(
    given: str, kind: str | None = None, pictures: Path | str | None = None, *, encoding: str | None = None, format: str | None = None
) -> Source:
    """The rows and the pictures of what was given. No more is read of it yet than tells its kind.

    Args:
        given: a file, a folder, a pattern of files (``tars/*.tar``), or the address of a table in a store.
        kind: one of `KINDS`; None: found by suffix and by what lies there.
        pictures: where paths start from, a folder or an address of a store; None: where the table is.
        encoding: of a table, as `TableFile` takes it.
        format: likewise.

    Raises:
        TableError: nothing is there, or nothing that is known.
        ShardsError: ``pictures`` is no folder.
    """
    if kind is not None and kind not in KINDS:
        near = difflib.get_close_matches(kind.lower(), KINDS, 1)
        raise TableError(f"kind {kind!r}; one of {', '.join(KINDS)}", hint=f"did you mean {near[0]}?" if near else "without it, it is found")
    where, how = _pictures_at(pictures), {name: value for name, value in (("encoding", encoding), ("format", format)) if value is not None}
    if is_url(given):
        return _stored(given, kind, where, how)
    found = _found(given)
    kind = kind or ("table" if how else _kind(found))
    if how and kind != "table":
        raise TableError(f"{', '.join(how)}: of a table, and {given} is read as {kind}; one of the two")
    return _open_table(found, where, **how) if kind == "table" else KINDS[kind](found, where)


def read_origin(
    given: str,
    kind: str | None = None,
    pictures: Path | str | None = None,
    columns: Mapping[str, str] | None = None,
    keep: Sequence[str] = (),
    drop: Sequence[str] = (),
    path_pattern: str | None = None,
    **how: Any,
) -> Table:
    """`open_source`, read with the names that the origin itself has for our fields where ``columns`` has none; without counts where it is a folder of
    pictures and nothing else."""
    source, columns = open_source(given, kind, pictures, **how), columns or {}
    taken = {*columns, *drop, *(("path",) if path_pattern is not None else ())}
    own = getattr(source, "suggested", {}).items()
    suggested = {field: column for field, column in own if field not in taken and column not in columns.values()}
    if getattr(source, "without_counts", False) and "views" not in columns:
        drop = tuple(dict.fromkeys((*drop, "views")))
    return read_source(source, suggested | dict(columns), keep, drop, path_pattern)


@dataclass(frozen=True)
class _Found:
    """What was given: files of one folder, or the folder itself."""

    given: str
    folder: Path
    files: tuple[str, ...]  # relative to ``folder``, sorted
    whole: bool = False  # the folder was given, and ``files`` are those at its top

    def ending(self, *suffixes: str) -> tuple[str, ...]:
        return tuple(file for file in self.files if file.lower().endswith(suffixes))

    @property
    def name(self) -> str:
        """Of one file its own, else the folder's."""
        return self.files[0].rpartition("/")[2] if len(self.files) == 1 and not self.whole else Path(os.path.abspath(self.folder)).name or "folder"


def _found(given: str) -> _Found:
    path = Path(given)
    if os.path.isdir(given):
        try:
            files = _files_in(path, "")
            files += _files_in(path, "data/") if (path / "data").is_dir() else []  # as data sets on Hugging Face
        except OSError as error:
            raise TableError(f"{given}: cannot be read: {error.strerror}; a folder of pictures, of tars or of tables") from None
        return _Found(given, path, tuple(files), whole=True)
    if not os.path.lexists(given) and glob.has_magic(given):
        base = Path(*_plain_parts(path))
        files = [os.path.relpath(name, base) for name in sorted(glob.glob(given, recursive=True)) if os.path.isfile(name)]
        if not files:
            raise TableError(f"{given}: no file of this pattern; tars or Parquet files")
        return _Found(given, base, tuple(Path(name).as_posix() for name in files))
    return _Found(given, path.parent, (path.name,))


def _files_in(folder: Path, below: str) -> list[str]:
    with os.scandir(folder / below) as entries:
        return sorted(below + entry.name for entry in entries if entry.is_file())


def _plain_parts(path: Path) -> list[str]:
    """The parts before the first that holds a pattern, which the last one always does."""
    parts = list(path.parts)
    return parts[: next((i for i, part in enumerate(parts) if glob.has_magic(part)), len(parts))]


def _kind(found: _Found) -> str:
    if found.files and all(name.startswith(YFCC) for name in found.files):
        return "yfcc"
    tars, parquets, parts = found.ending(".tar"), found.ending(*PARQUET), [name for name in found.files if _PARTS.search(name)]
    if not found.whole:
        if len(tars) == len(found.files):
            return "tars"
        if len(parquets) == len(found.files) and (len(parquets) > 1 or _holds_pictures(found.folder, parquets)):
            return "parquet"
        if len(found.files) > 1:
            raise TableError(f"{found.given}: {len(found.files)} files, the first {found.files[0]}; one table, or only tars, or only Parquet files")
        plain = (found.folder / found.files[0]).is_file()  # a pipe can be read once
        return "unsplash" if parts or (plain and is_unsplash(found.folder / found.files[0])) else "table"
    pictures = found.ending(*(f".{suffix}" for suffix in SUFFIXES))
    if tars and not pictures:
        return "tars"
    if any(name.startswith("photos.") for name in parts):
        return "unsplash"
    beside = [name for name in found.ending(*_TABLES) if "/" not in name]
    if parquets and not pictures and not beside and (_holds_pictures(found.folder, parquets) or not _folders_of(found, parquets)):
        return "parquet"
    if tars or beside:
        both = "" if beside else " and pictures"
        raise TableError(
            f"{found.given}: holds {(beside or tars)[0]}{both}; what is meant",
            hint=f"name the table, {Path(found.given, beside[0])}, or --as folder for pictures without it" if beside else "--as tars or --as folder",
        )
    return "folder"


def _holds_pictures(folder: Path, parquets: Sequence[str]) -> bool:
    """Only the first is looked at: the files of a data set are of one kind. A pipe can be read once."""
    try:
        return (folder / parquets[0]).is_file() and bool(columns_of(folder / parquets[0]).pictures)
    except TableError:
        return False  # what is wrong is told where it is read


def _folders_of(found: _Found, parquets: Sequence[str]) -> bool:
    """Whether the tables are img2dataset's, whose pictures are in a folder of the table's name."""
    return any((found.folder / name.rpartition(".")[0]).is_dir() for name in parquets)


def _pictures_at(pictures: Path | str | None) -> Pictures | None:
    if pictures is None:
        return None
    if is_url(pictures):
        return StoredPictures(checked_url(str(pictures)))
    if not os.path.isdir(pictures):
        raise ShardsError(f"pictures: {pictures}; a folder, or the address of a store")
    return Folder(Path(pictures))


def _stored(given: str, kind: str | None, pictures: Pictures | None, how: dict[str, str]) -> Source:
    if re.match("https?:", given, re.IGNORECASE):
        raise TableError(f"{given.partition('?')[0]}: a table on the web; a file, a folder, or a table in a store", hint="download it first")
    url = checked_url(given)
    if kind not in (None, "table") or not re.search(r"/[^/]+\.[A-Za-z0-9]+$", url.partition("://")[2]):
        raise TableError(f"{given}: of a store, a table; a file as {given.rstrip('/')}/pictures.csv", hint="copy other origins here first")
    return StoredTable(url, pictures, **how)


def _open_table(found: _Found, pictures: Pictures | None, **how: str) -> Source:
    if found.whole or len(found.files) > 1:
        raise TableError(f"{found.given}: {len(found.files)} files; one table")
    return TableFile(found.folder / found.files[0] if found.given != "-" else "-", pictures=pictures, **how)


def _open_folder(found: _Found, pictures: Pictures | None) -> Source:
    if not found.whole:
        raise TableError(f"{found.given}: no folder; a folder of pictures")
    if pictures is not None:
        raise ShardsError("pictures: a folder for pictures, and no table that names them; one of the two")
    return PictureFolder(Path(found.given))


def _open_tars(found: _Found, pictures: Pictures | None) -> Source:
    if pictures is not None:
        raise ShardsError("pictures: a folder for pictures, and tars that hold them; one of the two")
    return Tars(found.folder, _of_kind(found, (".tar",)), found.name)


def _open_parquets(found: _Found, pictures: Pictures | None) -> Source:
    return Parquets(found.folder, _of_kind(found, PARQUET), found.name, pictures or Folder(found.folder))


def _open_unsplash(found: _Found, pictures: Pictures | None) -> Source:
    parts = [name for name in found.files if name.startswith("photos.")] if found.whole else list(found.files)
    if not parts:
        raise TableError(f"{found.given}: no photos.tsv000; the folder of the Unsplash data set")
    return Unsplash([found.folder / name for name in parts], found.name, pictures or Folder(found.folder))


def _open_yfcc(found: _Found, pictures: Pictures | None) -> Source:
    if pictures is not None:
        raise ShardsError("pictures: a folder for pictures, and metadata with their addresses; one of the two")
    return Yfcc(found.folder if found.whole else [found.folder / name for name in found.files])


def _of_kind(found: _Found, suffixes: tuple[str, ...]) -> tuple[str, ...]:
    files = found.ending(*suffixes)
    if not files or (len(files) < len(found.files) and not found.whole):
        raise TableError(f"{found.given}: {'no' if not files else 'not each'} file ends in {suffixes[0]}; files that do")
    odd = [name for name in files if os.path.lexists(found.folder / name) and not (found.folder / name).is_file()]
    if odd:
        raise TableError(f"{found.folder / odd[0]}: a folder, a pipe or a device; a file")
    return files


KINDS: dict[str, Callable[[_Found, Pictures | None], Source]] = {
    "table": _open_table,
    "folder": _open_folder,
    "tars": _open_tars,
    "parquet": _open_parquets,
    "unsplash": _open_unsplash,
    "yfcc": _open_yfcc,
}


def set_name(given: str) -> str:
    """What a set packed of it is called where nobody says: the folder that was given, or that of the table."""
    if is_url(given):
        return given.rstrip("/").split("/")[-2]
    found = Path(given if os.path.isdir(given) else Path(*_plain_parts(Path(given))) if glob.has_magic(given) else Path(given).parent).resolve()
    return found.name
