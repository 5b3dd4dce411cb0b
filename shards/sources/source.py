"""What every origin of pictures and counts is to a pack: rows that can be read again and again, and the bytes of a row's picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Record = dict[str, Any]
"""A row: the name of a column to its value, text where the origin has text."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row of which not even the columns can be told apart, or of which the origin itself says that it is no picture."""

    detail: str
    reason: str = "bad_row"
    id: str = ""


class Pictures(Protocol):
    """Where the bytes of pictures are. It is pickled to the processes that make pictures ready, and keeps nothing open that cannot be."""

    def check(self, given: str) -> str:
        """The path of a row as it is kept, from what the table has. Raises Bad for one that cannot be a picture's: ``empty_path``, ``path_outside``,
        ``not_a_file``."""

    def read(self, path: str) -> bytes:
        """The bytes of a picture. Raises PictureError, without folder or machine in its text: the ledger is the same wherever a set is packed; and
        FileError or StoreError where the machine or the store is at its limits, which is no word about the picture."""


class Source(Protocol):
    """Rows in an order that is always the same, with memory that does not grow with them.

    A source's own constructor does nothing but check its arguments. TableError is raised by all three where the origin as a whole cannot be read.
    """

    name: str
    """Short, without a folder: for messages and the manifest."""
    pictures: Pictures

    def header(self) -> Sequence[str]:
        """The names of the columns, in order; may read all that is there."""

    def records(self) -> Iterator[Record | BadRow]:
        """All rows, each time from the start."""

    def sha256(self) -> str:
        """Of what the rows are read from, hex; may read all that is there. Of files that hold pictures, of all but these: their own digests are in
        the manifest."""

    # A source may also have: ``remarks``, lines for the user (tuple of str); ``suggested``, our fields to its own names for them (a mapping);
    # ``without_counts``, whether it holds nothing that could be a count (bool); ``selects``, whether ``records`` takes the names of the columns that
    # are needed (bool); ``encoded``, whether its texts are in an encoding that may be another than UTF-8 (bool). They are asked for after ``header``.
