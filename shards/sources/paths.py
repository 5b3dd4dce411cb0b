"""Paths as other systems and addresses write them."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from shards.sources.cells import Bad
from shards.sources.pictures import Folder
from shards.sources.source import Pictures
from shards.words import counted

_SAMPLE = 20
_ESCAPED = re.compile(r"%[0-9A-Fa-f]{2}")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class PathStyle:
    """How a column writes paths."""

    backslashes: bool = False  # between the parts, as Windows has them
    escaped: bool = False  # %20 for a blank

    def plain(self, text: str) -> str:
        if (self.backslashes or self.escaped) and not _ADDRESS.match(text):
            text = text.replace("\\", "/") if self.backslashes else text
            text = unquote(text) if self.escaped else text
        return text


@dataclass
class PathsSeen:
    """A column of paths: the first that may be meant otherwise than they are written."""

    num_trimmed: int = 0
    backslashes: list[str] = field(default_factory=list)
    escaped: list[str] = field(default_factory=list)

    def see(self, text: str) -> None:
        self.num_trimmed += text != text.strip()
        for mark, found in (("\\", self.backslashes), ("%", self.escaped)):
            if mark in text and len(found) < _SAMPLE and not _ADDRESS.match(text) and (mark != "%" or _ESCAPED.search(text)):
                found.append(text.strip())

    def style(self, pictures: Pictures) -> PathStyle:
        """What is there as it is written stays so; what is there when it is read otherwise is read so, and so are backslashes where nothing is."""
        if not isinstance(pictures, Folder):
            return PathStyle()
        backslashes = bool(self.backslashes) and not any(_is_there(pictures, text) for text in self.backslashes)
        style = PathStyle(backslashes)
        plain = [style.plain(text) for text in self.escaped]
        escaped = not any(_is_there(pictures, text) for text in plain) and any(_is_there(pictures, unquote(text)) for text in plain)
        return PathStyle(backslashes, escaped)

    def remarks(self, style: PathStyle) -> list[str]:
        found = [f"path: blanks around {counted(self.num_trimmed, 'value')} are cut off"] if self.num_trimmed else []
        if style.backslashes:
            found.append(f"path: backslashes are read as slashes, as {self.backslashes[0]!r}")
        if style.escaped:
            found.append(f"path: %20 and the like are read as what they stand for, as {self.escaped[0]!r}")
        return found


def _is_there(pictures: Folder, text: str) -> bool:
    try:
        return os.path.lexists(Path(pictures.folder) / pictures.check(text))
    except (Bad, OSError, ValueError):
        return False
