"""The rows of JSON: an object a line, an array of objects, or one object that holds such an array."""

import json
import sys
from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any

from shards.errors import TableError
from shards.sources.cells import Unreadable
from shards.sources.source import BadRow, Record
from shards.sources.table_bytes import MAX_LINE, TableBytes

_BLOCK = 2**16  # characters read at a time
_NUM_SAMPLED = 100  # rows in which members of objects are looked for
_MAX_COLUMNS = 10_000  # keys that are remembered as names of columns
_ACCEPTED = "an array of objects, or an object a line"


def members_of(records: Iterator[Record | BadRow]) -> list[str]:
    """The members of objects in some rows, as ``stats.views``."""
    found: dict[str, None] = {}

    def look(prefix: str, value: Any, depth: int) -> None:
        for name, inner in value.items() if isinstance(value, dict) else ():
            if prefix:
                found[f"{prefix}{name}"] = None
            if depth:
                look(f"{prefix}{name}.", inner, depth - 1)

    for record in records:
        look("", record, 2)
    return list(found)


class JsonRows:
    """``key`` is the member that holds the array, of a file that is one object; "" of an array or of lines."""

    def __init__(self, data: TableBytes, encoding: str) -> None:
        self.data, self.encoding = data, encoding
        self.key = ""
        begin = self._begin()
        self.is_lines = begin != "["
        if not begin or begin == "[":
            return
        with self.data.text(self.encoding, "\n") as text:
            first = next((line for line in iter(lambda: text.readline(MAX_LINE), "") if line.strip()), "")
            more = next((line for line in iter(lambda: text.readline(MAX_LINE), "") if line.strip()), "")
        loaded = _loaded(first)
        if (begin == "{" and not more and isinstance(loaded, dict)) or (not isinstance(loaded, dict) and not _starts_object(more)):
            self.key = self._member()
            self.is_lines = not self.key

    def header(self) -> list[str]:
        names: dict[str, None] = {}
        for record in self.records(None):
            if isinstance(record, dict) and not record.keys() <= names.keys() and len(names) < _MAX_COLUMNS:
                names.update(dict.fromkeys(record))
        return list(names)

    def records(self, columns: Collection[str] | None) -> Iterator[Record | BadRow]:
        if self.is_lines:
            yield from self._lines()
        elif self.key:
            for number, element in enumerate(self._whole()[self.key]):
                yield element if isinstance(element, dict) else BadRow(f"element {number} of {self.key}: not a JSON object; {_ACCEPTED}")
        else:
            for number, element in enumerate(self._elements()):
                yield element if isinstance(element, dict) else BadRow(f"element {number}: not a JSON object; {_ACCEPTED}")

    def members(self) -> list[str]:
        return members_of(islice(self.records(None), _NUM_SAMPLED))

    def _begin(self) -> str:
        with self.data.text(self.encoding, "\n") as text:
            return text.read(_BLOCK).lstrip("\ufeff \t\r\n")[:1]

    def _lines(self) -> Iterator[Record | BadRow]:
        with self.data.text(self.encoding, "\n") as text:
            for number, line in enumerate(iter(lambda: text.readline(MAX_LINE), ""), start=1):
                if len(line) == MAX_LINE:
                    raise TableError(f"{self.data.name}: line {number}: more than {MAX_LINE:,} characters; {_ACCEPTED}")
                if not line.strip(" \t\r\n\ufeff"):
                    continue
                record = _loaded(line.rstrip(" \t\r\n,"))
                yield record if isinstance(record, dict) else BadRow(f"line {number}: not a JSON object; one object a line")

    def _elements(self) -> Iterator[Any]:
        """The elements of an array, one after another, of a file of any length."""
        number, wanted = 0, _BLOCK
        with self.data.text(self.encoding, None) as text:
            buffer, at, ended = text.read(_BLOCK).lstrip("\ufeff \t\r\n")[1:], 0, False
            while True:
                at = _past(buffer, at, " \t\r\n")
                if number and buffer[at : at + 1] == ",":
                    at = _past(buffer, at + 1, " \t\r\n")
                if buffer[at : at + 1] == "]":
                    if (buffer[at + 1 :] + text.read(_BLOCK)).strip():
                        raise TableError(f"{self.data.name}: more after the end of the array; {_ACCEPTED}")
                    return
                try:
                    element, end = _DECODER.raw_decode(buffer, at)
                    if end < len(buffer) or ended:  # else a number may go on
                        yield element
                        number, at, wanted = number + 1, end, _BLOCK
                        if at > _BLOCK:
                            buffer, at = buffer[at:], 0
                        continue
                    problem = ""
                except (ValueError, RecursionError) as error:
                    problem = str(error)
                more = text.read(wanted)
                if not more and (ended or problem):
                    raise TableError(f"{self.data.name}: element {number}: no whole JSON ({problem or 'the array does not end'}); {_ACCEPTED}")
                ended = not more
                if len(buffer) - at > MAX_LINE:
                    raise TableError(f"{self.data.name}: element {number}: more than {MAX_LINE:,} characters, or no JSON ({problem}); {_ACCEPTED}")
                buffer, at, wanted = buffer[at:] + more, 0, 2 * wanted

    def _member(self) -> str:
        """The one member of a file's only object that is a list of objects; "" where it is a row itself."""
        whole = self._whole()
        lists = [key for key, value in whole.items() if isinstance(value, list) and value and all(isinstance(element, dict) for element in value)]
        if len(lists) == 1 and lists[0] != "tags" and not {"id", "path", "views"} & whole.keys():
            return lists[0]
        if all(isinstance(value, (list, dict)) for value in whole.values()):
            raise TableError(f"{self.data.name}: one object, {len(whole)} members; {_ACCEPTED}", hint='of pandas: to_json(orient="records")')
        return ""

    def _whole(self) -> dict[str, Any]:
        with self.data.text(self.encoding, None) as text:
            given = text.read(MAX_LINE + 1)
        if len(given) > MAX_LINE:
            raise TableError(f"{self.data.name}: one object of more than {MAX_LINE:,} characters; {_ACCEPTED}")
        loaded = _loaded(given)
        return loaded if isinstance(loaded, dict) else {"": None}


def _loaded(text: str) -> Any:
    try:
        return _DECODER.decode(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return None


def _integer(text: str) -> int | Unreadable:
    try:
        return int(text)
    except ValueError:  # longer than Python reads
        return Unreadable(f"a number of {len(text):,} digits; at most {sys.get_int_max_str_digits():,}")


_DECODER = json.JSONDecoder(parse_int=_integer)  # else one such number, in a column that nobody asked for, would cost the row


def _starts_object(text: str) -> bool:
    return text.lstrip().startswith("{")


def _past(text: str, at: int, blanks: str) -> int:
    while at < len(text) and text[at] in blanks:
        at += 1
    return at
