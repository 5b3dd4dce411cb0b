"""The rows of a text whose cells are parted by a delimiter. Text stays text: an id "007" is not 7."""

import csv
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from shards.errors import TableError
from shards.sources.source import BadRow, Record
from shards.sources.table_bytes import MAX_LINE, TableBytes

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
MAX_CELL = 2**24  # characters; what is longer is a quote that never closes
_SAMPLE_ROWS = 50


@dataclass(frozen=True)
class Dialect:
    delimiter: str
    skip_lines: int = 0  # before the header
    quote: str = '"'  # "": quotes are letters as others are
    skip_blanks: bool = False  # those after a delimiter: quotes follow them
    escape: str | None = None  # what stands before a quote inside a quoted cell, where quotes are not doubled

    def reader(self, lines: Any) -> Any:
        # strict: without it a quote that never closes swallows the rest of the table as one cell
        how: dict[str, Any] = {"delimiter": self.delimiter, "strict": True, "skipinitialspace": self.skip_blanks}
        how |= {"quotechar": self.quote} if self.quote else {"quoting": csv.QUOTE_NONE}
        return csv.reader(lines, **how, escapechar=self.escape, doublequote=self.escape is None)


def sniff(text: str, usual: str, complete: bool) -> Dialect:
    """The dialect of a table that begins with ``text``, which is all of it where it is ``complete``; ``usual`` is the delimiter of its suffix."""
    lines = text.splitlines(keepends=True)
    if not complete and len(lines) > 1:
        lines.pop()
    said = re.fullmatch(r"sep=(.)\s*", lines[0]) if lines else None
    if said:  # what Excel writes
        return _refined(Dialect(said[1], skip_lines=1), lines[1:])
    scores = {delimiter: _score(lines, delimiter) for delimiter in DELIMITERS}
    if scores[usual][0] < 0.5:
        best = max(scores, key=lambda delimiter: (scores[delimiter], delimiter == usual))
        usual = best if scores[best][0] >= 0.5 else usual
    return _refined(Dialect(usual), lines)


def _score(lines: Sequence[str], delimiter: str) -> tuple[float, int]:
    """What share of the rows has as many cells as the header, of which there are more than one; and how many."""
    rows = _some(lines, delimiter)
    if not rows or len(rows[0]) < 2:
        return 0.0, 0
    agree = [_fitted(row, rows[0]) is not None for row in rows[1:]]
    return (sum(agree) / len(agree) if agree else 1.0), len(rows[0])


def _some(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    rows: list[list[str]] = []
    csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL))  # of the process; it is only ever raised
    for row in csv.reader(lines, delimiter=delimiter):
        if row:
            rows.append(row)
        if len(rows) > _SAMPLE_ROWS:
            break
    return rows


def _refined(dialect: Dialect, lines: Sequence[str]) -> Dialect:
    text, mark = "".join(lines[: _SAMPLE_ROWS + 1]), re.escape(dialect.delimiter)
    first = _some(lines, dialect.delimiter)[:4]
    blanks = any(cell.startswith(' "') and cell.rstrip().endswith('"') for row in first for cell in row)
    backslashes = set(re.findall(r"\\(.)", re.sub(rf'\\"(?={mark}|\s*$)', "", text, flags=re.MULTILINE)))
    escaped = '"' in backslashes <= {'"', "\\", "/"} and not re.search(rf'[^{mark}\s]""', text)
    quote = "'" if first and all(len(cell) > 1 and cell[0] == cell[-1] == "'" for cell in first[0]) else '"'
    if dialect.delimiter == "\t" and _letters(lines):
        return Dialect(dialect.delimiter, dialect.skip_lines, "")
    return Dialect(dialect.delimiter, dialect.skip_lines, quote, blanks, "\\" if escaped and quote == '"' else None)


def _letters(lines: Sequence[str]) -> bool:
    """Whether quotes are letters, as where programs write cells parted by tabs as they are: some would open and not close, none stand around a cell,
    and as letters the rows fit the header."""
    rows = [line.rstrip("\r\n").split("\t") for line in lines[:_SAMPLE_ROWS]]
    if any(len(cell) > 1 and cell[0] == cell[-1] == '"' for row in rows for cell in row) or any(len(row) != len(rows[0]) for row in rows):
        return False
    return any(cell.startswith('"') for row in rows for cell in row)


def _fitted(cells: list[str], header: Sequence[str]) -> list[str] | None:
    """A row as wide as the header; None where it is not. Empty cells beyond it, after a delimiter at the end of the line, are none, and cells
    without a name need not be there."""
    if len(cells) > len(header) and not any(cell.strip() for cell in cells[len(header) :]):
        return cells[: len(header)]
    if len(cells) < len(header) and not any(name.strip() for name in header[len(cells) :]):
        return cells + [""] * (len(header) - len(cells))
    return cells if len(cells) == len(header) else None


class Delimited:
    """A table of lines, the first of which names the columns."""

    def __init__(self, data: TableBytes, encoding: str, dialect: Dialect) -> None:
        self.data, self.encoding, self.dialect = data, encoding, dialect

    def header(self) -> list[str]:
        return next(self._rows(), (0, []))[1]

    def members(self) -> list[str]:
        return []

    def records(self, columns: Collection[str] | None) -> Iterator[Record | BadRow]:
        rows = self._rows()
        _, header = next(rows, (0, []))
        first = {name: place for place, name in reversed(list(enumerate(header)))}
        wanted = [(name, place) for name, place in first.items() if columns is None or name in columns]
        for line, cells in rows:
            if (fitted := _fitted(cells, header)) is None:
                yield BadRow(f"line {line}: {len(cells)} cells; {len(header)}, as in the header")
            else:
                yield {name: fitted[place] for name, place in wanted}

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """The header and the rows, each with the number of its last line, from 1."""
        name, started = self.data.name, 1
        csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL))
        with self.data.text(self.encoding, "") as text:
            for _ in range(self.dialect.skip_lines):
                text.readline(MAX_LINE)
            reader = self.dialect.reader(self._lines(text))
            header: list[str] | None = None
            try:
                for cells in reader:
                    if not any(map(str.strip, cells)):  # a line of nothing but delimiters is a blank one
                        cells = []
                    if cells and header is None:
                        header = cells = [cells[0].removeprefix("\ufeff"), *cells[1:]]
                    if cells:
                        yield reader.line_num + self.dialect.skip_lines, cells
                    started = reader.line_num + 1
            except csv.Error as error:
                started, line = started + self.dialect.skip_lines, reader.line_num + self.dialect.skip_lines
                raise TableError(f"{name}: {_why(str(error), started, line)}", hint=_HINT) from None

    def _lines(self, text: Any) -> Iterator[str]:
        while line := text.readline(MAX_LINE):
            if len(line) == MAX_LINE and not line.endswith(("\n", "\r")):
                raise TableError(f"{self.data.name}: a line of more than {MAX_LINE:,} characters; rows in lines")
            yield line


_HINT = 'a quote inside a quoted cell is written twice, as in "say ""hi"""'


def _why(error: str, started: int, line: int) -> str:
    if "unexpected end" in error or "field limit" in error or "field larger" in error:
        return f"line {started}: a quote opens in the row that begins here and never closes; each cell that opens with a quote ends with one"
    if started == line:
        return f"line {line}: {error}; cells as CSV writes them"
    return f"line {line}: {error}, in a row that begins in line {started}, where a quote may be open; cells as CSV writes them"
