"""Which column of the table is which of our fields."""

import difflib
import re
import shlex
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shards.errors import TableError
from shards.sources.cells import NUMBER

REQUIRED = ("path", "views")
FIELDS = ("id", *REQUIRED, "favorites", "comments", "owner", "uploaded_at", "observed_at", "taken_at", "tags", "licence", "page")
TIMES = ("uploaded_at", "observed_at")
COUNTS = ("views", "favorites", "comments")
RESERVED = {*FIELDS, "key", "split"}  # names of our own in labels.parquet
_ALIASES = {"favorites": ("favourites",), "licence": ("license",)}  # the same word, spelt otherwise
_LIKE = {  # what a column of ours may be called elsewhere, the likely ones first: asked about, never taken
    "path": ("path", "file", "image|img|pic", "photo(?!.*id)", "url|src", "thumb"),
    "views": ("views?_?count|num_?views?|views", "view", "watch|plays|visits|hits|reads", "impressions"),
    "owner": ("owner", "^user$|user_?(id|name)$", "uploader|photographer|author|creator|nsid"),
    "uploaded_at": ("upload(?!er)", "^(date|time)_?(posted|created|published)|(posted|created|published)_?(at|on|date|time)"),
}
_ASKED = ("owner", "uploaded_at")  # optional, and a verdict wants them
_MAX_LISTED = 30
_PICTURE = re.compile(r"\.(jpe?g|png|webp|gif|tiff?|bmp|avif|heic)$|^https?://", re.IGNORECASE)


@dataclass(frozen=True)
class Columns:
    fields: dict[str, str]  # our field → the table's column; of a path that is made of columns, the pattern
    keep: tuple[str, ...]
    unmapped: tuple[str, ...]
    pattern: tuple[tuple[str, str], ...] = ()  # of the path: (text, the column after it or "")
    remarks: tuple[str, ...] = ()
    header: frozenset[str] = frozenset()

    @property
    def used(self) -> set[str]:
        """The columns that have to be read; of a member of an object, the column that holds it."""
        names = {column for field, column in self.fields.items() if column != self.made} | {*self.keep} | {column for _, column in self.pattern}
        return {self.holder(name) for name in names - {""}}

    @property
    def made(self) -> str | None:
        """The pattern that the path is made by."""
        return self.fields["path"] if self.pattern else None

    def holder(self, name: str) -> str:
        if name in self.header:
            return name
        parts = name.split(".")
        return next((holder for end in range(len(parts) - 1, 0, -1) if (holder := ".".join(parts[:end])) in self.header), name)

    def value(self, record: Mapping[str, Any], name: str) -> Any:
        """A cell; of ``stats.views`` the member ``views`` of the object in the column ``stats``, None where it is not there."""
        if name in self.header:
            return record.get(name)
        holder = self.holder(name)
        value = record.get(holder)
        for part in name[len(holder) + 1 :].split("."):
            if isinstance(value, list) and part.isdecimal():
                value = value[int(part)] if int(part) < len(value) else None
            elif isinstance(value, dict):
                value = value.get(part)
            else:
                return None
        return value


class _Names:
    """The names of a header, by what they mean to a person."""

    def __init__(self, header: Sequence[str], inner: Sequence[str]) -> None:
        self.header, self.inner = header, inner
        self.times = Counter(header)
        self.plain: dict[str, list[str]] = {}
        for name in dict.fromkeys((*header, *inner)):
            self.plain.setdefault(_plain(name), []).append(name)

    def find(self, wanted: str, *, inner: bool) -> tuple[str | None, str]:
        """The column of that name, else the only one that differs in case and blanks alone; and a problem where there are several."""
        if wanted in self.times or (inner and wanted in self.inner):
            return wanted, ""
        found = [name for name in self.plain.get(_plain(wanted), []) if inner or name in self.times]
        if len(found) > 1:
            return None, f"{' and '.join(map(repr, found))} may both be {wanted!r}; one, by its exact name"
        return (found[0] if found else None), ""

    def near(self, field: str, taken: set[str]) -> str | None:
        """The column that may be meant by ``field``."""
        free = [name for name in (*self.times, *self.inner) if name not in taken and _plain(name) not in FIELDS]
        for like in _LIKE.get(field, ()):
            if found := [name for name in free if re.search(like, _plain(name))]:
                return max(found, key=lambda name: difflib.SequenceMatcher(None, field, _plain(name)).ratio())
        if field in _ASKED:  # updated_at is no uploaded_at
            return None
        close = difflib.get_close_matches(_plain(field), [_plain(name) for name in free], 1, 0.75)
        return next((name for name in free if close and _plain(name) == close[0]), None)

    @property
    def listed(self) -> str:
        names = list(self.header)
        more = f" and {len(names) - _MAX_LISTED} more" if len(names) > _MAX_LISTED else ""
        return f"the table has {', '.join(name if len(name) <= 60 else name[:57] + '...' for name in names[:_MAX_LISTED]) or 'no columns'}{more}"


def resolve(
    table: str,
    header: Sequence[str],
    columns: Mapping[str, str],
    keep: Sequence[str] = (),
    drop: Sequence[str] = (),
    path_pattern: str | None = None,
    inner: Sequence[str] = (),
) -> Columns:
    """``inner`` are members of objects in columns, as far as they are known, named as ``stats.views``.

    Raises TableError naming every field and column that does not fit.
    """
    names = _Names(header, inner)
    problems: list[str] = []
    fields: dict[str, str] = {}
    remarks: list[str] = []
    for kind, given in (("columns", columns), ("drop", drop)):
        problems += [f"{kind}: unknown field {field!r}; {', '.join(FIELDS)}" for field in given if field not in FIELDS]
    problems += [f"drop: {field}: a picture needs one; another field" for field in drop if field == "path"]
    problems += [f"drop: {field}: is mapped to {columns[field]!r} too; one of the two" for field in drop if field in columns]
    if path_pattern is not None and "path" in columns:
        problems.append(f"path: {columns['path']!r} and the pattern {path_pattern!r}; one of the two")
    missing: list[str] = []
    taken = {found for column in columns.values() if (found := names.find(column, inner=True)[0])}
    for field in FIELDS:
        if field in drop or (field == "path" and path_pattern is not None):
            continue
        if field in columns:
            column, problem = names.find(columns[field], inner=True)
            if column is None and not problem and _nested(columns[field], header):
                column = columns[field]
            problem = problem or (f"no column {columns[field]!r}; {names.listed}" if column is None else "")
        else:
            column, problem = _of_own_name(field, names, taken)
        if problem:
            problems.append(f"{table}: {field}: {problem}")
        elif column is not None:
            fields[field] = column
            if field not in columns and column.strip() != field:
                remarks.append(f"{field}: taken from the column {column!r}")
        elif field in REQUIRED:
            missing.append(field)
            problems.append(f"{table}: {field}: no column {field!r}; {names.listed}")
    for field in _ASKED:
        if field not in fields and field not in drop and (near := names.near(field, {*fields.values()} | taken | {*keep})) is not None:
            remarks.append(f"{field}: no such column; is it --column {shlex.quote(f'{field}={near}')}?")
    pattern: tuple[tuple[str, str], ...] = ()
    if path_pattern is not None:
        pattern, problem = _pattern(path_pattern, names, fields)
        problems += [f"path: {problem}"] if problem else []
        fields["path"] = path_pattern
    kept: list[str] = []
    for name in keep:
        column, problem = names.find(name, inner=False)
        if column is None:
            problems.append(f"{table}: keep: {problem or f'no column {name!r}; {names.listed}'}")
        else:
            kept.append(column)
        if (column or name) in RESERVED:
            problems.append(f"keep: {column or name!r} is a name of our own; another name, or map the column to the field")
    used = {*fields.values(), *kept, *(column for _, column in pattern)}
    for name, times in names.times.items():
        if times > 1 and name in used | {*columns.values()}:
            problems.append(f"{table}: {times} columns are named {name!r}; one of a name")
    if problems:
        raise TableError(*problems, hint=_hint(table, header, names, missing, {*fields.values()} | taken, path_pattern))
    if "id" not in fields:
        fields = {"id": fields["path"], **fields}
        remarks.append("id: no such column; the path is the id")
    result = Columns(
        {field: fields[field] for field in FIELDS if field in fields}, tuple(dict.fromkeys(kept)), (), pattern, tuple(remarks), frozenset(header)
    )
    return Columns(result.fields, result.keep, tuple(name for name in header if name not in result.used), pattern, tuple(remarks), result.header)


def _of_own_name(field: str, names: _Names, taken: set[str]) -> tuple[str | None, str]:
    for wanted in (field, *_ALIASES.get(field, ())):
        column, problem = names.find(wanted, inner=False)
        if problem or (column is not None and column not in taken):
            return column, problem
    return None, ""


def _nested(name: str, header: Sequence[str]) -> bool:
    return any(name.startswith(f"{holder}.") for holder in header)


def _pattern(text: str, names: _Names, fields: Mapping[str, str]) -> tuple[tuple[tuple[str, str], ...], str]:
    """The parts of a path as ``img/{id}.jpg``, and what is wrong with it."""
    accepted = "text with names of columns in braces, as img/{id}.jpg"
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        return (), f"{text!r}: {error}; {accepted}"
    found: list[tuple[str, str]] = []
    for literal, name, spec, conversion in parts:
        if name is None:
            found.append((literal, ""))
            continue
        column, problem = names.find(name, inner=True)
        if column is None and not problem:
            column = fields.get(name) or (name if _nested(name, names.header) else None)
        if column is None or spec or conversion:
            return (
                (),
                f"{text!r}: {problem or f'no column {name!r}; {names.listed}'}" if column is None else f"{text!r}: {{{name}:{spec}}}; {accepted}",
            )
        found.append((literal, column))
    if not any(column for _, column in found):
        return (), f"{text!r} names no column, and each picture would have the same path; {accepted}"
    return tuple(found), ""


def _hint(table: str, header: Sequence[str], names: _Names, missing: Sequence[str], taken: set[str], pattern: str | None) -> str:
    if missing and (shown := [cell for cell in header if NUMBER.fullmatch(cell.strip()) or _PICTURE.search(cell.strip())]):
        return f"the first line looks like a row of the table ({shown[0]}): put a line with the names of the columns before it"
    if missing and len(names.times) == 1 and re.search(r"[^A-Za-z0-9_.-]", header[0].strip()):
        return "the first line names the columns, parted by commas, semicolons, tabs or bars: this one is not parted by any of them"
    words, taken = [], set(taken)
    for field in missing:
        if (near := names.near(field, taken)) is not None:
            words.append(f"--column {shlex.quote(f'{field}={near}')}")
            taken.add(near)
    if words:
        return f"did you mean {' '.join(words)}?"
    if missing == ["path"] and pattern is None:
        return 'name the column, as in --column path=filename, or make the path of others, as in --path "img/{id}.jpg"'
    return "map a field to a column with --column FIELD=COLUMN, as in --column views=num_views"


def _plain(name: str) -> str:
    """A name as people compare it: case, blanks and hyphens aside."""
    return re.sub(r"[\s-]+", "_", name.strip().strip("\ufeff#")).casefold()
