"""Where sweeps are kept: a folder; or a prefix of a bucket, whose sweeps this machine works on in a folder of its own."""

import hashlib
import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from shards.addresses import checked_url, is_url

DEFAULT = "data"
RECORDS = "PEORIA_RECORDS"  # the folder for what is kept in buckets, best on a disk that outlasts the process


@dataclass(frozen=True)
class Home:
    """``--home``."""

    path: Path
    """The folder that is written to."""
    url: str | None = None
    """Of the bucket that it is a copy of; None where it is the home itself."""

    @classmethod
    def of(cls, given: "str | os.PathLike[str] | Home") -> "Home":
        """A folder, or the URL of a bucket.

        Raises:
            StoreError: a URL that no store has.
        """
        if isinstance(given, Home):
            return given
        text = os.fspath(given)
        if not is_url(text):
            return cls(Path(text))
        url = checked_url(text)
        words = re.sub(r"[^A-Za-z0-9]+", "-", url.partition("://")[2]).strip("-")[:60]
        return cls(records_folder() / f"{words}-{hashlib.sha256(url.encode()).hexdigest()[:8]}", url)

    def __str__(self) -> str:
        return self.url or str(self.path)

    @property
    def flag(self) -> str:
        """What a command that is told to the user has at its end, for it to find this home: " --home DIR", nothing for the default."""
        return "" if str(self) == DEFAULT else f" --home {shlex.quote(str(self))}"

    @property
    def cache(self) -> Path:
        """Where a node keeps decoded pictures if nothing else was said."""
        return self.path / "cache" if self.url is None else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "peoria"

    def sweep_url(self, name: str) -> str | None:
        """Below which all of a sweep lies."""
        return None if self.url is None else f"{self.url}/sweeps/{name}"


def records_folder() -> Path:
    """``PEORIA_RECORDS``, or peoria in the user's folder for data."""
    return Path(os.environ.get(RECORDS) or Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "peoria").absolute()
